"""What the supervisor wants to know of its worktree, asked of git."""

from __future__ import annotations

from ..core.record import Changes, SessionStatus
from ..errors import Expected
from ..git import snapshot
from ..git.run import Repo
from ..store.launch import Launch


def repo_of(launch: Launch) -> Repo:
    fields = launch["repo"]
    return Repo(**{**fields, "version": tuple(fields["version"])})


def measure_changes(launch: Launch, status: SessionStatus) -> Changes | None:
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
