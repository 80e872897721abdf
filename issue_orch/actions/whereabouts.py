"""What a session wrote down of its worktree before it made it, and whether that lies where this clone can work in it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from ..core.history import Registered, Started
from ..core.model import Branch
from ..core.record import SessionStatus
from ..errors import Expected
from ..git.run import find_admin_dir
from ..git.worktree import Intent, find_moved, is_own
from ..store.files import seconds
from ..store.history import load_entries
from ..store.look import elsewhere
from .context import Context

LEAVE = (
    "git worktree remove {path} (it refuses when work would be lost), then issue-orch doctor --fix"
)


def load_intent(state: Path, status: SessionStatus) -> Intent:
    """What the session wrote down before it made anything: the last word before its first attempt."""
    last = Registered()
    for entry in load_entries(state, status["issueNumber"]):
        if isinstance(entry, Started):
            break
        if isinstance(entry, Registered):
            last = entry
    return Intent(last.mark, seconds(status["startedAt"]), last.continues)


class NotHere(Expected):
    """The worktree of a session is not where this clone could work in it: nothing was done."""


def refuse_displaced(context: Context, status: SessionStatus) -> None:
    words, hint = displaced(context, status)
    if words:
        raise NotHere(f"#{status['issueNumber']}: {words}", hint)


def refuse_misplaced(context: Context, status: SessionStatus) -> None:
    words, hint = misplaced(context, status)
    if words:
        raise Expected(f"#{status['issueNumber']}: {words}", hint)


def misplaced(context: Context, status: SessionStatus) -> tuple[str, str]:
    """In words, that the session's worktree is displaced, or not the one that it made, and what to do; empty otherwise.

    Where an agent of an older version has run, nothing tells the last any more.
    """
    path, intent = status["worktreePath"], load_intent(context.state, status)
    away = displaced(context, status, intent)
    admin = find_admin_dir(context.repo, path)
    unknown = status["attempt"] and not intent.mark
    if away[0] or admin is None or unknown or is_own(path, admin, intent):
        return away
    return f"{path} is another worktree than the one that was made for it", LEAVE.format(path=path)


def displaced(
    context: Context, status: SessionStatus, intent: Intent | None = None
) -> tuple[str, str]:
    """As `misplaced`, that it is another clone's, or was moved."""
    path = status["worktreePath"]
    if place := moved_to(context, status, intent):
        return f"its worktree was moved to {place}", _move_back(context, place, path)
    return elsewhere(context.repo.common_dir, path)


def moved_to(context: Context, status: SessionStatus, intent: Intent | None = None) -> str:
    """Where its worktree lies now; empty when it was not moved. `intent` is what was written down of its start."""
    intent = intent or load_intent(context.state, status)
    return find_moved(context.repo, status["worktreePath"], Branch(status["branch"]), intent)


def _move_back(context: Context, place: str, path: str) -> str:
    """What to type so that a worktree lies where it was made; what lies there now goes aside first."""
    here, there, aside = (
        shlex.quote(os.path.relpath(each)) for each in (place, path, f"{path}.aside")
    )
    back = f"git worktree move {here} {there}"
    if os.path.lexists(f"{place}/.gitmodules"):  # git refuses to move it
        back = f"mv {here} {there} && git worktree repair {there}"
    if os.path.lexists(path):
        mv = "git worktree move" if find_admin_dir(context.repo, path) else "mv"
        back = f"{mv} {there} {aside} && {back}"
    return back


def was_cut_off(status: SessionStatus) -> bool:
    """Whether a start ended before any agent ran: `spawn` takes it up again."""
    return status["status"] == "registered" and not status["attempt"]
