"""The lease: a held flock says that a session has its one worker. Lock files are never unlinked."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import Expected, LeaseHeld

if TYPE_CHECKING:
    from pathlib import Path

    from _typeshed import StrPath

TAKE_WAIT = 2.0


class Holder(NamedTuple):
    """Who holds a lease: `supervisor` or the name of a command."""

    role: str
    pid: int


class Lease:
    """A held lock. Whoever closes the last copy of the descriptor releases it."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def write_holder(self, role: str) -> None:
        from ..process.identity import identity  # with subprocess, which readers can do without

        raw = json.dumps({"role": role, **identity(os.getpid())}).encode()
        os.pwrite(self.descriptor, raw.ljust(200), 0)

    def release(self) -> None:
        """Close our copy. A copy that was passed to a supervisor keeps the lock."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _lock_path(state: Path, name: int | str) -> Path:
    return state / "locks" / str(name)


def open_lock(path: StrPath) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def take(state: Path, name: int | str, role: str, wait: float = TAKE_WAIT) -> Lease:
    """Take a lease within `wait` seconds. Raises LeaseHeld, which names the holder."""
    from ..process.run import wait_for

    path = _lock_path(state, name)
    descriptor = open_lock(path)
    try:
        taken = wait_for(lambda: try_lock(descriptor), wait, 0.02)
    except OSError as error:
        os.close(descriptor)
        raise _no_locks(path, error) from error
    if not taken:
        with Lease(descriptor):
            raise _held_error(name, _read_holder(descriptor))
    lease = Lease(descriptor)
    with suppress(OSError):  # on a full disk nobody can read who holds it; it is held all the same
        lease.write_holder(role)
    return lease


def _held_error(name: int | str, holder: Holder) -> LeaseHeld:
    if not isinstance(name, int):
        return LeaseHeld(
            f"another command is at work ({holder.role}, pid {holder.pid})",
            "wait for it, then try again",
        )
    who = (
        "its worker is running"
        if holder.role == "supervisor"
        else f"`{holder.role}` is at work on it"
    )
    return LeaseHeld(f"#{name}: {who} (pid {holder.pid})", f"issue-orch show {name}")


def _no_locks(path: Path, error: OSError) -> Expected:
    return Expected(
        f"{path.parent}: the file system gives no locks ({error.strerror}); two workers could start on one issue",
        "put the clone on a local file system",
    )


def adopt(descriptor: int, role: str) -> Lease:
    """Take over a lease from the process that started us. No child may inherit it."""
    os.set_inheritable(descriptor, False)
    lease = Lease(descriptor)
    lease.write_holder(role)
    return lease


def probe(state: StrPath, name: int | str) -> Holder | None:
    """Who holds the lease right now, None when nobody does. Never blocks and never creates the file."""
    try:
        descriptor = os.open(f"{state}/locks/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_holder(descriptor)
    finally:
        os.close(descriptor)
    return None


def is_alive(state: Path, name: int) -> bool:
    """Whether a supervisor lives for the session: the lease is held, and by a supervisor."""
    holder = probe(state, name)
    return holder is not None and holder.role == "supervisor"


def nudge(state: Path, name: int) -> None:
    """Let the supervisor look into its inbox now. SIGURG does nothing to a process that does not wait for it."""
    import signal

    holder = probe(state, name)
    if holder is not None and holder.role == "supervisor":
        # else it has ended, or looks by itself within ten seconds
        with suppress(ProcessLookupError, PermissionError):
            os.kill(holder.pid, signal.SIGURG)


def _read_holder(descriptor: int) -> Holder:
    try:
        data: Any = json.loads(os.pread(descriptor, 400, 0))
        return Holder(str(data["role"]), int(data["pid"]))
    except (ValueError, KeyError, TypeError):
        return Holder("starting", 0)


def check_locks(state: Path) -> None:
    """Try that the file system really locks: two descriptors, one of which must be refused."""
    path = _lock_path(state, "trial")
    first, second = Lease(open_lock(path)), Lease(open_lock(path))
    try:
        with first, second:
            if try_lock(first.descriptor) and try_lock(second.descriptor):
                raise OSError(0, "two locks were given at once")
    except OSError as error:
        raise _no_locks(path, error) from error
