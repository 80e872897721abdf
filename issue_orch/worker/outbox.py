"""What a worker reported: read from its outbox as untrusted input, in order, and taken by its session once."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from errno import ELOOP
from pathlib import Path
from stat import S_ISFIFO
from time import time_ns
from typing import NamedTuple

from ..core.history import Refused, Report
from ..report import ALLOWED, SINGLE, STUCK_NEEDS, WAKE
from ..store.files import read_untrusted
from ..store.inbox import SIZE_LIMIT
from .session import Session

TEXT_FIELDS = frozenset(SINGLE.values())
LIST_FIELDS = frozenset({"options", "touches"})
_FILES, _REPORTS = 1_000, 100  # of one look while the agent runs: nothing else is to wait for it
_AT_END = 200  # reports of one turn that waited until its end: the last ones count


class File(NamedTuple):
    """A file in the outbox, and when it was written, in nanoseconds: it may be written anew."""

    path: str
    written: int


def apply_reports(session: Session) -> None:
    """While the agent runs. What is no report is left where it is until the turn ends: it may not be finished."""
    taken = 0
    for file, found in load_reports(session.status["worktreePath"], session.passed, _FILES):
        if isinstance(found, str):
            _refuse(session, file, found)
            continue
        _take(session, file, found)
        if (taken := taken + 1) == _REPORTS:
            return


def apply_last_reports(session: Session) -> None:
    """After a turn: all that waits, for what the worker said last counts, whatever it flooded us with before."""
    reports: list[tuple[File, str]] = []
    for file, found in load_reports(session.status["worktreePath"], session.passed):
        if isinstance(found, str):
            _refuse(session, file, found)
        else:  # read again below: they may be too many to be kept
            reports.append((file, found.report))
    early = reports[:-_AT_END]
    question = [each for each in early if each[1] == "stuck"][-1:]  # no later note takes it back
    for file, _ in early:
        if (file, "stuck") not in question:
            _refuse(session, file, f"more than {_AT_END} reports were left")
    for file, _ in (*question, *reports[-_AT_END:]):
        if not isinstance(found := parse_report(Path(file.path)), str):
            _take(session, file, found)
    _set_aside(session)


def _take(session: Session, file: File, report: Report) -> None:
    session.take(report)
    session.refused.pop(file.path, None)  # it was not finished then
    try:
        os.unlink(file.path)  # it stands in the history
    except FileNotFoundError:
        pass
    except OSError:  # its worker forbade it
        session.passed[file.path] = file.written


def _refuse(session: Session, file: File, reason: str) -> None:
    session.passed[file.path] = file.written
    session.refused[file.path] = reason


def _set_aside(session: Session) -> None:
    """What was refused is said in one line, and renamed, so that it is looked at no more; it is its worker's."""
    if not session.refused:
        return
    first, reasons = min(session.refused), Counter(session.refused.values()).most_common()
    words = ", ".join(f"{reason} ({count})" for reason, count in reasons[:3])
    several = f"{len(session.refused)} files: {words}{', and others' * (len(reasons) > 3)}"
    entry = Refused(first, several if len(session.refused) > 1 else reasons[0][0])
    if entry not in session.entries:
        session.note(entry)
    for path in session.refused:
        folder, name = os.path.split(path)
        if name.endswith(".json"):  # else it is the outbox itself
            short = os.fsdecode(os.fsencode(name)[:200])
            with suppress(OSError):
                os.rename(path, f"{folder}/.refused-{time_ns()}-{short}")
                del session.passed[path]
    session.refused.clear()


def load_reports(
    worktree: str, passed: Mapping[str, int], most: int | None = None
) -> Iterator[tuple[File, Report | str]]:
    """Each file with its report, or with why it is none; in the order in which they were written, without what was
    `passed` over and is as it was then."""
    folder = Path(worktree, ".issue-orch", "outbox")
    try:
        found = _list_files(folder)
    except FileNotFoundError:
        return
    except OSError as error:  # a link, no folder, or not for us
        if str(folder) not in passed:
            yield File(str(folder), 0), f"the outbox cannot be read: {error.strerror}"
        return
    fresh = [file for file in found if passed.get(file.path) != file.written]
    for file in fresh[:most]:
        yield file, parse_report(Path(file.path))


def _list_files(folder: Path) -> list[File]:
    """Names tell those apart that one tick of the file system's clock wrote."""
    if folder.is_symlink() or folder.parent.is_symlink():
        raise OSError(ELOOP, "it is a symbolic link")
    with os.scandir(folder) as entries:
        named = [each for each in entries if each.name.endswith(".json") and each.name[0] != "."]
    files = [File(entry.path, _written(entry)) for entry in named]
    return sorted(files, key=lambda file: (file.written, file.path))


def _written(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_mtime_ns
    except FileNotFoundError:
        return 0


class Bell:
    """The pipe beside the outbox by which `report` wakes us, also from where our signals do not reach.

    It lies where its worker can do what it likes: what is no pipe is left alone, and what comes through it is thrown
    away, for it says no more than that there is something to look at. `descriptor` is None where there is none to hear.
    """

    def __init__(self, worktree: str) -> None:
        self.path = f"{worktree}/{WAKE}"
        self.descriptor: int | None = None
        self.place = (0, 0)
        self.listen()

    def listen(self) -> None:
        """Make it, or find it again, where an agent removed it (`git clean -x`)."""
        try:
            if self._is_there():
                return
            if os.path.islink(os.path.dirname(self.path)):
                raise OSError(ELOOP, "it leads elsewhere")
            with suppress(FileExistsError):
                os.mkfifo(self.path, 0o600)
            fresh = _open_pipe(self.path)
        except OSError:
            fresh = None
        if self.descriptor is not None:
            os.close(self.descriptor)
        self.descriptor = fresh
        if fresh is not None:
            found = os.fstat(fresh)
            self.place = (found.st_dev, found.st_ino)

    def _is_there(self) -> bool:
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            return False
        return self.descriptor is not None and (found.st_dev, found.st_ino) == self.place

    def drain(self) -> None:
        if self.descriptor is not None:
            with suppress(OSError):  # nothing is in it
                os.read(self.descriptor, 65_536)

    def close(self) -> None:
        """Nobody who reads everything in the worktree is to wait for what nobody writes."""
        with suppress(OSError):
            if self._is_there():
                os.unlink(self.path)
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def _open_pipe(path: str) -> int | None:
    """With a writing end of our own, so that it is never at its end. Nothing that lies there makes us wait."""
    if not S_ISFIFO(os.lstat(path).st_mode):
        return None
    found = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY)
    if S_ISFIFO(os.fstat(found).st_mode):
        return found
    os.close(found)
    return None


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
        return f"kind must be one of {', '.join(ALLOWED)}, not {kind[:40]!r}"
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
