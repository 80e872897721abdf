"""State on disk: one folder per clone, atomic writes, messages, history and ledger. Readers never delete."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from ..core.record import BLANK, SCHEMA_VERSION, damaged
from ..errors import Expected, StateUnreadable

if (
    TYPE_CHECKING
):  # shell prompts call `status`: pathlib and the model would cost it half as much again
    from pathlib import Path

    from _typeshed import StrPath

    from ..core.record import PullFacts, SessionStatus

READ_AT_ONCE = 65_536
FOLDERS = ("locks", "sessions", "ledger", "archive")
_ISO = r"(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T(\d\d):(\d\d):(\d\d)"


def iso(seconds: float) -> str:
    """Seconds since the epoch as ISO-8601 UTC with Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def seconds(text: str | None) -> float:
    """ISO-8601 UTC with Z as seconds since the epoch; 0.0 for anything else."""
    found = re.match(_ISO, text or "")
    if not found:
        return 0.0
    year, month, day, hour, minute, second = map(int, found.groups())
    # Years from March on, so that the leap day is their last; strptime would cost an import of 4 ms.
    year, month = (year, month - 3) if month > 2 else (year - 1, month + 9)
    days = (
        365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 719_469
    )
    return float(((days * 24 + hour) * 60 + minute) * 60 + second)


def state_folder(common_dir: StrPath) -> Path:
    from pathlib import Path

    return Path(common_dir) / "issue-orch"


def make_state(common_dir: StrPath) -> Path:
    """Create the state folder with mode 0700. Raises Expected when a part of it is a symbolic link."""
    state = state_folder(common_dir)
    for folder in (state, *(state / name for name in FOLDERS)):
        if folder.is_symlink():
            raise Expected(
                f"{folder} is a symbolic link; issue-orch keeps its state only in real folders",
                f"look at where it points, then remove the link: rm {folder}",
            )
        folder.mkdir(mode=0o700, exist_ok=True)
    return state


def session_folder(state: Path, number: int) -> Path:
    return state / "sessions" / str(int(number))


def make_session(state: Path, number: int) -> Path:
    folder = session_folder(state, number)
    if folder.is_symlink():
        raise Expected(f"{folder} is a symbolic link", f"rm {folder}")
    (folder / "inbox" / "delivered").mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def write_text(path: StrPath, text: str, durable: bool = False, mode: int = 0o666) -> None:
    """Replace a file whole: a temporary file of a random name beside it, then os.replace."""
    folder, name = os.path.split(os.fspath(path))
    temporary = f"{folder or '.'}/.{name}.{os.urandom(6).hex()}"
    try:
        with open(temporary, "xb", opener=lambda at, flags: os.open(at, flags, mode)) as file:
            file.write(_encoded(text))
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        if os.path.lexists(temporary):
            os.unlink(temporary)
        raise
    if durable:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _encoded(text: str) -> bytes:
    """UTF-8, with bytes that git gave us as they were; half a character, which JSON can spell, becomes a `?`."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def write_json(path: StrPath, data: Mapping[str, Any], durable: bool = False) -> None:
    """One line for each key, to be read by people; `indent` would leave the quick encoder."""
    encode = json.JSONEncoder(ensure_ascii=False).encode
    lines = ",\n".join(f"  {encode(key)}: {encode(value)}" for key, value in data.items())
    write_text(path, f"{{\n{lines}\n}}\n", durable)


def load_json(path: StrPath) -> dict[str, Any] | None:
    """A JSON object, None when the file does not exist. Raises StateUnreadable for anything else."""
    text = load_text(path)
    return None if text is None else _parse_json(text, path)


def load_text(path: StrPath) -> str | None:
    try:
        # a third of the time of open(): status reads thousands
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        return _read_whole(descriptor).decode("utf-8", "surrogateescape")
    except (ValueError, OSError) as error:
        raise _unreadable(path, error) from error
    finally:
        os.close(descriptor)


def _parse_json(text: str, path: StrPath) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, error) from error
    if not isinstance(data, dict):
        raise StateUnreadable(f"{path}: is not a JSON object", "issue-orch doctor")
    return data


def _read_whole(descriptor: int) -> bytes:
    found = part = os.read(descriptor, READ_AT_ONCE)
    while len(part) == READ_AT_ONCE:
        part = os.read(descriptor, READ_AT_ONCE)
        found += part
    return found


def _unreadable(path: StrPath, error: Exception) -> StateUnreadable:
    return StateUnreadable(f"{path}: cannot be read ({error})", "issue-orch doctor")


def load_status(state: StrPath, number: int) -> SessionStatus | None:
    """The status file of a session, None when there is none. Missing fields read as null."""
    found = load_status_text(state, number)
    return None if found is None else found[0]


def load_status_text(state: StrPath, number: int) -> tuple[SessionStatus, str] | None:
    """The status, and the text that says all of it; '' when the file says less, as that of an older version may."""
    path = f"{state}/sessions/{int(number)}/status.json"
    text = load_text(path)
    if text is None:
        return None
    data = _parse_json(text, path)
    version = data.get("schemaVersion")
    if version != SCHEMA_VERSION:
        raise StateUnreadable(
            f"{path}: schemaVersion is {version!r}, this issue-orch knows {SCHEMA_VERSION}",
            "use the version of issue-orch that wrote it, or a newer one",
        )
    status = {**BLANK, **data}
    if field := damaged(status):
        raise StateUnreadable(f"{path}: {field} is damaged", "issue-orch doctor")
    return cast("SessionStatus", status), text if len(data) == len(status) else ""


def save_status(state: Path, status: SessionStatus, durable: bool = True) -> None:
    """Write the status file. Only the holder of the session's lease may call this."""
    write_json(session_folder(state, status["issueNumber"]) / "status.json", status, durable)


def names_in(folder: StrPath, suffix: str = "") -> list[str]:
    """Names without the suffix that they have; none where there is no folder. What cannot be read raises: it is not empty."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return [name.removesuffix(suffix) for name in names if name.endswith(suffix) and name[0] != "."]


def session_numbers(state: StrPath) -> list[int]:
    return sorted(int(name) for name in names_in(f"{state}/sessions") if name.isdecimal())


def load_sessions(state: StrPath) -> tuple[list[SessionStatus], list[str]]:
    """All sessions that can be read, and one line for each that cannot."""
    problems: list[str] = []
    return [status for status, _ in load_each(state, problems)], problems


def load_each(state: StrPath, problems: list[str]) -> Iterator[tuple[SessionStatus, str]]:
    """One session after the other with the text of its file; to `problems` a line for each that cannot be read."""
    for number in session_numbers(state):
        try:
            if found := load_status_text(state, number):
                yield found
        except StateUnreadable as error:
            problems.append(error.message)


def load_pull(state: StrPath, number: int) -> PullFacts | None:
    try:
        return cast("PullFacts | None", load_json(f"{state}/sessions/{int(number)}/pull.json"))
    except StateUnreadable:
        return None


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Append one JSON line in a single write, so that lines of two writers never mix."""
    raw = _encoded(json.dumps(record, ensure_ascii=False) + "\n")
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        size, written = os.fstat(descriptor).st_size, 0
        # a power failure cut the last line: keep ours whole
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            raw = b"\n" + raw
        try:
            written = os.write(descriptor, raw)
            if written != len(raw):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            os.fsync(descriptor)
        except OSError:
            # nobody wrote after us: the record counts as not written
            if os.fstat(descriptor).st_size == size + written:
                os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


def read_lines(path: Path) -> Iterator[dict[str, Any] | None]:
    """Each JSON object of a .jsonl file; None for a line that cannot be read (a crash may have cut it)."""
    try:
        file = open(path, encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    with file:
        for line in file:
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                record = None
            yield record if isinstance(record, dict) else None


def archive(state: Path, number: int, now: float) -> Path:
    """Move a finished session aside; its ledger stays where it is."""
    base = state / "archive" / f"{int(number)}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}"
    target = base
    while target.exists():
        target = base.with_name(f"{base.name}-{os.urandom(2).hex()}")
    return session_folder(state, number).rename(target)


def read_untrusted(path: StrPath, limit: int) -> bytes | None:
    """At most `limit` bytes of a regular file that a worker may have written; None for links, pipes and the rest."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return os.read(descriptor, limit)
    finally:
        os.close(descriptor)
