"""What `watch` looks at: state files, read again only when they changed, and the diff of a worktree."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from .errors import StateUnreadable
from .git import Repo, entries, git, neutral
from .headline import Observed, headline
from .lease import probe
from .local import Seen
from .model import SessionStatus
from .snapshot import UNTRACKED
from .store import load_pull, load_status, read_untrusted, seconds, session_folder, session_numbers
from .text import redact, sanitise

WATCHED = ("status.json", "pull.json", "events.jsonl", "plan.md", "inbox", "inbox/delivered")
DIFF_LINES = 3000
NEW_FILE_BYTES = 20_000
STYLES = {"+": "green", "-": "red", "@": "cyan"}

Marks = tuple[object, ...]


class Row(NamedTuple):
    """A session as it was read last. `marks` change when one of its files does, or its worker comes or goes."""

    marks: Marks
    seen: Seen


def scan(state: Path, before: dict[int, Row], now: float) -> dict[int, Row]:
    """Look at every session; read those that changed. Asks the file system and nobody else."""
    rows = {}
    for number in session_numbers(state):
        holder = probe(state, number)
        role = holder.role if holder else ""
        marks: Marks = (role, *(changed_at(session_folder(state, number) / name) for name in WATCHED))
        known = before.get(number)
        try:
            status = known.seen.status if known and known.marks == marks else load_status(state, number)
        except StateUnreadable:
            status = known.seen.status if known else None
        if status is None:
            continue
        pull = known.seen.pull if known and known.marks == marks else load_pull(state, number)
        age = now - seconds(status["lastHeartbeat"]) if status["lastHeartbeat"] else None
        rows[number] = Row(marks, Seen(status, pull, headline(status, pull, Observed(role, age))))
    return rows


def changed_at(path: Path) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def diff_lines(repo: Repo, status: SessionStatus) -> list[tuple[str, str]]:
    """What the worktree has more than its base, with styles; files that git does not track yet at the end."""
    path, base = status["worktreePath"], status["baseSha"]
    settings = neutral(repo, path)
    quiet = ("--no-color", "--no-ext-diff", "--no-textconv", "--submodule=short", "--ignore-submodules=dirty")
    text = git(repo, "diff", *quiet, "--stat", "--patch", base, "--", worktree=path, config=settings).stdout
    lines = [(line, STYLES.get(line[:1], "bold" if line.startswith("diff ") else "")) for line in shown(text)]
    for name in entries(git(repo, *UNTRACKED, worktree=path, config=settings).stdout)[:50]:
        content = (read_untrusted(os.path.join(path, name), NEW_FILE_BYTES) or b"").decode("utf-8", "replace")
        lines += [("", ""), (f"new file, not added yet: {sanitise(name)}", "bold")]
        lines += [(f"+{line}", "green") for line in shown(content if "\0" not in content else "(binary)")]
    return lines[:DIFF_LINES] or [("Nothing is changed yet.", "dim")]


def shown(text: str) -> list[str]:
    return [line.expandtabs(4) for line in sanitise(redact(text)).splitlines()[:DIFF_LINES]]
