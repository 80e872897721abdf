"""What a worker reported: read from its outbox as untrusted input, in order, and taken by its session once."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from ..core.history import Refused, Report
from ..report import ALLOWED, SINGLE, STUCK_NEEDS
from ..store.files import read_untrusted
from ..store.inbox import SIZE_LIMIT
from .session import Session

TEXT_FIELDS = frozenset(SINGLE.values())
LIST_FIELDS = frozenset({"options", "touches"})
_AT_ONCE = 100
AT_END = 500  # after a turn: what the worker said last counts, whatever it flooded us with before


def apply_reports(session: Session, most: int = _AT_ONCE) -> None:
    for path, found in load_reports(session.status["worktreePath"], session.refused, most):
        if isinstance(found, str):
            session.refused.add(path)
            session.note(Refused(path, found))
        else:
            session.take(found)
            with suppress(FileNotFoundError):
                os.unlink(path)  # it stands in the history


def load_reports(
    worktree: str, known: Collection[str], most: int = _AT_ONCE
) -> Iterator[tuple[str, Report | str]]:
    """Each path with its report, or with why it is refused; in the order in which they were written, without the `known`."""
    folder = Path(worktree, ".issue-orch", "outbox")
    if folder.is_symlink() or folder.parent.is_symlink():
        if str(folder) not in known:
            yield str(folder), "the outbox is a symbolic link"
        return
    try:
        entries = [
            entry
            for entry in os.scandir(folder)
            if entry.name.endswith(".json") and not entry.name.startswith(".")
        ]
    except (FileNotFoundError, NotADirectoryError):
        return
    fresh = [entry for entry in entries if entry.path not in known]
    for entry in sorted(fresh, key=_written)[:most]:
        yield entry.path, parse_report(Path(entry.path))


def _written(entry: os.DirEntry[str]) -> tuple[int, str]:
    """When, in nanoseconds; names tell those apart that one tick of the file system's clock wrote."""
    try:
        return entry.stat(follow_symlinks=False).st_mtime_ns, entry.name
    except FileNotFoundError:
        return 0, entry.name


def parse_report(path: Path) -> Report | str:
    """A report, or why the file is refused."""
    raw = read_untrusted(path, SIZE_LIMIT + 1)
    if raw is None:
        return "not a regular file"
    if len(raw) > SIZE_LIMIT:
        return f"larger than {SIZE_LIMIT} bytes"
    try:
        data = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        return "not JSON"
    if not isinstance(data, dict):
        return "not a JSON object"
    kind, attempt = str(data.get("kind")), data.get("attempt")
    if kind not in ALLOWED:
        return f"kind must be one of {', '.join(ALLOWED)}, not {data.get('kind')!r}"
    fields = {
        key: value
        for key, value in data.items()
        if key in TEXT_FIELDS | LIST_FIELDS and value is not None
    }
    for key, value in fields.items():
        if key in TEXT_FIELDS and not isinstance(value, str):
            return f"{key} must be a text"
        if key in LIST_FIELDS and not (
            isinstance(value, list) and all(isinstance(item, str) for item in value)
        ):
            return f"{key} must be a list of texts"
    if kind == "stuck" and not (fields.get("decision") or fields.get("reason")):
        return STUCK_NEEDS
    return Report(kind, path.stem, attempt if isinstance(attempt, int) else None, fields)
