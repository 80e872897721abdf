"""What the supervisor wants to know of its worktree, asked of git."""

from __future__ import annotations

import os
from typing import Any

from . import git, snapshot
from .errors import Expected
from .model import Changes, SessionStatus
from .store import read_untrusted


def repo_of(launch: dict[str, Any]) -> git.Repo:
    fields = launch["repo"]
    return git.Repo(**{**fields, "version": tuple(fields["version"])})


def measure_changes(launch: dict[str, Any], status: SessionStatus) -> Changes | None:
    """Files and lines against the base; what was known before when git cannot say."""
    try:
        changed = snapshot.changes(repo_of(launch), status["worktreePath"], status["baseSha"])
    except Expected:
        return status["changes"]
    return {"files": changed.files, "insertions": changed.insertions, "deletions": changed.deletions}


def head_of(launch: dict[str, Any], status: SessionStatus) -> str | None:
    """Where HEAD of the worktree is. A branch in a file of its own is read without a process."""
    name = read_ref(launch["gitDir"], "HEAD").removeprefix("ref: refs/heads/")
    sha = read_ref(os.path.join(launch["commonDir"], "refs", "heads"), name) if name == status["branch"] else ""
    if len(sha) in (40, 64) and sha.isalnum():
        return sha
    try:
        return git.find_sha(repo_of(launch), "HEAD", status["worktreePath"])
    except Expected:
        return None


def read_ref(folder: str, name: str) -> str:
    return (read_untrusted(os.path.join(folder, name), 4096) or b"").decode("utf-8", "replace").strip()
