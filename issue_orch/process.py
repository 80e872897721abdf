"""Processes: the one way to run a short command, identity of a process, and ending everything that a worker started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from .errors import CommandFailed, Expected
from .model import ProcessId

MARKER = "ISSUE_ORCH_WORKER"
STATE_MARKER = "ISSUE_ORCH_STATE"


class Done(NamedTuple):
    """A finished command. Streams are decoded as UTF-8 with surrogateescape."""

    code: int
    stdout: str
    stderr: str


def run(
    *argv: str,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    timeout: float = 60,
    check: bool = True,
    pass_fds: tuple[int, ...] = (),
) -> Done:
    """Run a short command without a shell, in a session of its own, ended whole after `timeout` seconds.

    Raises CommandFailed when `check` and the code is not zero, when the time is up (code None),
    and Expected when the program does not exist.
    """
    try:
        child = subprocess.Popen(
            argv, cwd=cwd, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True, pass_fds=pass_fds,
        )
    except FileNotFoundError as error:
        raise Expected(f"{argv[0]}: not found ({error.filename})", f"install {argv[0]}, or mend PATH") from error
    except NotADirectoryError as error:
        raise Expected(f"{cwd}: not a folder") from error
    with child:
        try:
            out, err = child.communicate(stdin.encode("utf-8", "surrogateescape"), timeout=timeout)
        except subprocess.TimeoutExpired:
            kill_group(child.pid)
            out, err = child.communicate()
            raise CommandFailed(argv, None, decode(out), decode(err)) from None
        except BaseException:
            kill_group(child.pid)
            raise
    done = Done(child.returncode, decode(out), decode(err))
    if check and done.code:
        raise CommandFailed(argv, done.code, done.stdout, done.stderr)
    return done


def kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:  # it has just ended by itself
        pass


def decode(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def boot_id() -> str:
    """An id that changes at every boot: wall-clock boot times move when the clock is set."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        import psutil

        return str(int(psutil.boot_time()))


def start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot (hundredths of a second elsewhere); None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        if os.path.isdir("/proc/self"):
            return None
    import psutil

    try:
        return int(psutil.Process(pid).create_time() * 100)
    except psutil.Error:
        return None


def identity(pid: int) -> ProcessId:
    return {"pid": pid, "startTicks": start_ticks(pid) or 0, "bootId": boot_id()}


def is_running(process: ProcessId | None) -> bool:
    """Whether exactly this process still runs (not another one with its pid)."""
    if process is None or process["bootId"] != boot_id():
        return False
    return start_ticks(process["pid"]) == process["startTicks"]


def marker(state: str, number: int, attempt: int) -> dict[str, str]:
    """Environment by which everything that a worker starts is found again. The state folder tells clones apart."""
    return {MARKER: f"{number}.{attempt}", STATE_MARKER: state}


def is_marked(environ: bytes, state: str, number: int | None) -> bool:
    entries = environ.split(b"\0")
    if f"{STATE_MARKER}={state}".encode() not in entries:
        return False
    wanted = f"{MARKER}=" if number is None else f"{MARKER}={number}."
    return any(entry.startswith(wanted.encode()) for entry in entries)


def find_marked(state: str, number: int | None) -> list[int]:
    """Processes that workers of this clone started (of one session, or of all with None), ourselves left out."""
    if os.path.isdir("/proc/self"):
        pids: Iterable[int] = (int(name) for name in os.listdir("/proc") if name.isdecimal())
        read: Callable[[int], bytes] = read_environ
    else:
        import psutil

        pids, read = psutil.pids(), read_environ_psutil
    own = os.getpid()
    return [pid for pid in pids if pid != own and is_marked(read(pid), state, number)]


def read_environ(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read()
    except OSError:
        return b""


def read_environ_psutil(pid: int) -> bytes:
    import psutil

    try:
        return b"\0".join(f"{key}={value}".encode() for key, value in psutil.Process(pid).environ().items())
    except (psutil.Error, OSError):
        return b""


def end_marked(state: str, number: int, grace: float = 5.0) -> int:
    """End everything that the session's workers started: TERM, grace in seconds, KILL until two scans are empty.

    A process is signalled only when its environment still carries the marker, through a descriptor that cannot
    be reused for another process where the system has one. Returns how many were found.
    """
    found = find_marked(state, number)
    for pid in found:
        signal_marked(pid, state, number, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline and any(start_ticks(pid) and not is_zombie(pid) for pid in found):
        time.sleep(0.02)
    empty = 0
    while empty < 2:
        rest = [pid for pid in find_marked(state, number) if not is_zombie(pid)]
        empty = 0 if rest else empty + 1
        for pid in rest:
            signal_marked(pid, state, number, signal.SIGKILL)
        time.sleep(0.01)
    return len(found)


def is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:
        return False


def signal_marked(pid: int, state: str, number: int, what: signal.Signals) -> None:
    read = read_environ if os.path.isdir("/proc/self") else read_environ_psutil
    try:
        handle = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None
    except OSError:
        return
    try:
        if not is_marked(read(pid), state, number):
            return
        if handle is None:
            os.kill(pid, what)
        else:
            signal.pidfd_send_signal(handle, what)
    except ProcessLookupError:
        pass
    finally:
        if handle is not None:
            os.close(handle)
