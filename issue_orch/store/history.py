"""The history of a session on disk: one line an entry, appended only; what is not understood is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..core.history import Entry, entry_of, kind_of
from .files import append_line, iso, read_lines, session_folder


def append_entry(state: Path, number: int, entry: Entry, now: float) -> None:
    line = {"at": iso(now), "kind": kind_of(type(entry)), **entry._asdict()}
    append_line(_path(state, number), line)


def load_entries(state: Path, number: int) -> Iterator[Entry]:
    return map(entry_of, load_lines(state, number))


def load_lines(state: Path, number: int) -> Iterator[dict[str, Any]]:
    """The same as it is on disk, with the time `at` of each."""
    return filter(None, read_lines(_path(state, number)))


def _path(state: Path, number: int) -> Path:
    return session_folder(state, number) / "events.jsonl"
