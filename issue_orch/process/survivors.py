"""What a worker started is found by a marker in its environment, and ended whole."""

from __future__ import annotations

import os
import signal
import time

from .identity import is_running
from .run import wait_for

MARKER = "ISSUE_ORCH_WORKER"
_STATE_MARKER = "ISSUE_ORCH_STATE"


def marker(state: str, number: int, attempt: int) -> dict[str, str]:
    """Environment by which everything that a worker starts is found again. The state folder tells clones apart."""
    return {MARKER: f"{number}.{attempt}", _STATE_MARKER: state}


def is_marked(environ: bytes, state: str, number: int | None) -> bool:
    entries = environ.split(b"\0")
    if f"{_STATE_MARKER}={state}".encode() not in entries:
        return False
    wanted = f"{MARKER}=" if number is None else f"{MARKER}={number}."
    return any(entry.startswith(wanted.encode()) for entry in entries)


def find_marked(state: str, number: int | None) -> list[int]:
    """Processes that workers of this clone started (of one session, or of all with None), ourselves left out."""
    if os.path.isdir("/proc/self"):
        pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    else:
        import psutil

        pids = psutil.pids()
    return [
        pid for pid in pids if pid != os.getpid() and is_marked(read_environ(pid), state, number)
    ]


def read_environ(pid: int) -> bytes:
    """The environment that a process began with; empty when it is gone or another user's."""
    if not os.path.isdir("/proc/self"):
        import psutil

        try:
            return b"\0".join(
                f"{key}={value}".encode() for key, value in psutil.Process(pid).environ().items()
            )
        except (psutil.Error, OSError):
            return b""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""  # no descriptor left, say, is not "nothing is marked": that is raised


def end_marked(state: str, number: int, grace: float = 5.0) -> bool:
    """End everything that the session's workers started: TERM, grace in seconds, KILL until two scans are empty.

    A process is signalled only when its environment still carries the marker, through a descriptor that cannot
    be reused for another process where the system has one. Returns whether there was something.
    """
    found = find_marked(state, number)
    for pid in found:
        signal_marked(pid, state, number, signal.SIGTERM)
    wait_for(lambda: not any(map(is_running, found)), grace, 0.02)
    empty = 0
    while empty < 2:
        rest = [*filter(is_running, find_marked(state, number))]
        empty = 0 if rest else empty + 1
        for pid in rest:
            signal_marked(pid, state, number, signal.SIGKILL)
        time.sleep(0.01)
    return bool(found)


def signal_marked(pid: int, state: str, number: int, what: signal.Signals) -> None:
    try:
        handle = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None
    except ProcessLookupError:
        return
    try:
        if is_marked(read_environ(pid), state, number):
            if handle is None:
                os.kill(pid, what)
            else:
                signal.pidfd_send_signal(handle, what)
    except ProcessLookupError:
        pass
    finally:
        if handle is not None:
            os.close(handle)
