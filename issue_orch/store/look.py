"""What can be known without asking anybody: the state folder of the clone around a path, and its sessions."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from ..core.headline import QUIET_AFTER, Headline, Observed, asks_for_holder, headline
from ..errors import Expected
from .files import (
    load_each,
    load_json,
    load_pull,
    load_status,
    read_untrusted,
    seconds,
    session_folder,
    state_folder,
)
from .leases import probe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from _typeshed import StrPath

    from ..core.record import Message, PullFacts, SessionStatus


LITTLE = 65_536  # bytes free on a disk that counts as full


class Past(NamedTuple):
    """What happened in a session: its history, the worker's plan, and what people told it."""

    events: list[dict[str, Any]]
    plan: str
    delivered: list[Message]
    pending: list[Message]


class Seen(NamedTuple):
    """A session with what was observed about it, for showing."""

    status: SessionStatus
    pull: PullFacts | None
    headline: Headline
    now: float  # when that was
    clashes: tuple[str, ...] = ()


def find_state(cwd: str = "") -> Path:
    """The state folder. It need not exist yet."""
    return state_folder(find_git(cwd))


def load_session(state: StrPath, number: int) -> SessionStatus:
    status = load_status(state, number)
    if status is None:
        raise Expected(f"#{number}: there is no session", "issue-orch status")
    return status


def load_worktree(state: StrPath, number: int) -> str:
    """Where its worktree is. Raises Expected when it is not there."""
    where = load_session(state, number)["worktreePath"]
    if not os.path.isdir(where):
        raise Expected(f"#{number}: its worktree {where} is gone", "issue-orch doctor")
    return where


def load_past(state: Path, number: int) -> Past:
    from .history import load_lines  # `status` does without
    from .inbox import delivered, pending

    plan = read_untrusted(session_folder(state, number) / "plan.md", 65_536) or b""
    return Past(
        [*load_lines(state, number)],
        plan.decode("utf-8", "replace"),
        delivered(state, number),
        pending(state, number),
    )


def find_git(cwd: str = "") -> str:
    """The clone's common git folder, found by reading `.git` as git does; no process."""
    start = folder = os.path.abspath(cwd)
    while True:
        entry = f"{folder}/.git"
        if os.path.exists(f"{entry}/HEAD"):  # an empty folder of that name is nothing to git
            return entry
        if os.path.isfile(entry):
            return common_dir(entry)
        parent = os.path.dirname(folder)
        if parent == folder:
            raise Expected(
                f"{start}: not inside a git repository", "cd into a clone of the GitHub repository"
            )
        folder = parent


def common_dir(git_file: str) -> str:
    with open(git_file, encoding="utf-8", errors="surrogateescape") as file:
        git_dir = file.read().partition("gitdir: ")[2].rstrip("\r\n")
    git_dir = os.path.join(os.path.dirname(git_file), git_dir)
    try:
        with open(f"{git_dir}/commondir", encoding="utf-8", errors="surrogateescape") as file:
            return os.path.realpath(os.path.join(git_dir, file.read().rstrip("\r\n")))
    except FileNotFoundError:
        return os.path.realpath(git_dir)


def elsewhere(common: str, path: str) -> tuple[str, str]:
    """In words, that a worktree's `.git` leads to another clone, or to where this one was, and what to do; empty else."""
    raw = read_untrusted(f"{path}/.git", LITTLE) or b""
    named = os.fsdecode(raw).partition("gitdir: ")[2].rstrip("\r\n")
    if not named or os.path.dirname(named) == f"{common}/worktrees":  # as git writes it
        return "", ""
    admin = os.path.realpath(os.path.join(path, named))
    home = os.path.dirname(os.path.dirname(admin))
    if home == os.path.realpath(common):
        return "", ""
    clone = os.path.dirname(home) if os.path.basename(home) == ".git" else home
    if os.path.isdir(admin):
        words = f"its worktree {path} belongs to another clone, {clone}"
        return words, f"cd {clone}, and work with it there"
    words = f"its worktree {path} leads to {clone}, where its clone is no more"
    return words, f"git worktree repair {os.path.relpath(path)}"


def look(state: StrPath, status: SessionStatus, now: float) -> Seen:
    pull = load_pull(state, status["issueNumber"])
    return Seen(status, pull, headline(status, pull, observe(state, status, now)), now)


def observe(state: StrPath, status: SessionStatus, now: float) -> Observed:
    number = status["issueNumber"]
    holder = probe(state, number) if asks_for_holder(status) else None
    age = now - seconds(status["lastHeartbeat"]) if holder and status["lastHeartbeat"] else None
    full = age is not None and age > QUIET_AFTER and is_full(state)
    away = ""
    if not holder and status["status"] not in {"complete", "cancelled"}:
        away, _ = elsewhere(os.path.dirname(state), status["worktreePath"])
    return Observed(holder.role if holder else "", age, full, away)


def is_full(state: StrPath) -> bool:
    disk = os.statvfs(state)
    return disk.f_bavail * disk.f_frsize < LITTLE


def look_all(state: StrPath, now: float) -> tuple[list[Seen], list[str]]:
    """Every active session with the conflicts that `conflicts` found, and a line for each that cannot be read."""
    problems: list[str] = []
    clashes = load_clashes(state)
    seen = [
        each._replace(clashes=clashes.get(each.status["issueNumber"], ()))
        for each, _ in look_each(state, now, problems)
    ]
    return seen, problems


def load_clashes(state: StrPath) -> dict[int, tuple[str, ...]]:
    """What `conflicts` found last, by issue."""
    found = (load_json(f"{state}/conflicts.json") or {}).get("sessions", {})
    return {int(number): tuple(words) for number, words in found.items()}


def look_each(state: StrPath, now: float, problems: list[str]) -> Iterator[tuple[Seen, str]]:
    """As load_each, with what was observed about each."""
    return ((look(state, status, now), text) for status, text in load_each(state, problems))
