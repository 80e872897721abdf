"""What the supervisor wants to know of its worktree, asked of git."""

from __future__ import annotations

from typing import Any

from . import git, snapshot
from .errors import Expected
from .model import Changes, SessionStatus


def repo_of(launch: dict[str, Any]) -> git.Repo:
    fields = launch["repo"]
    return git.Repo(**{**fields, "version": tuple(fields["version"])})


def measure_changes(launch: dict[str, Any], status: SessionStatus) -> Changes | None:
    """Files and lines against the base; what was known before when git cannot say."""
    try:
        changed = snapshot.changes(repo_of(launch), status["worktreePath"], status["baseSha"])
    except Expected:
        return status["changes"]
    return {
        "files": changed.files,
        "insertions": changed.insertions,
        "deletions": changed.deletions,
    }
