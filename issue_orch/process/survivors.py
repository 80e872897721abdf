"""What a worker started is found by the session of its supervisor or by a marker in its environment, and ended whole."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Mapping
from contextlib import suppress

from ..core.record import ProcessId
from ..errors import Expected
from .identity import boot_id, is_running, start_ticks
from .run import wait_for

MARKER = "ISSUE_ORCH_WORKER"
_STATE_MARKER = "ISSUE_ORCH_STATE"
_NAME = "orch-"  # of the process of a supervisor, before the number of its issue
_KILL_WAIT = 10.0
# By issue, who led the session in which its worker was started.
Leaders = Mapping[int, ProcessId | None]


def marker(state: str, number: int, attempt: int) -> dict[str, str]:
    """Environment by which everything that a worker starts is found again. The state folder tells clones apart."""
    return {MARKER: f"{number}.{attempt}", _STATE_MARKER: state}


def find_workers(state: str, leaders: Leaders) -> dict[int, list[int]]:
    """Processes that workers of this clone started, by issue, ourselves left out.

    The marker, and a supervisor that lives, are found whatever `leaders` says; else what has lost the marker is found in
    the sessions of these.
    """
    if os.path.isdir("/proc/self"):
        pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    else:
        import psutil

        pids = psutil.pids()
    found: dict[int, list[int]] = {}
    believed = _believed(leaders)
    for pid in pids:
        number = _issue_of(pid, state, believed)
        if number is not None:
            found.setdefault(number, []).append(pid)
    return found


def _believed(leaders: Leaders) -> dict[int, tuple[int | None, int]]:
    """By the id of the session: the issue, and since when; what is found of others is added. No system gives an id anew that
    a session still has; a leader that is another process, or of another boot, has none."""
    boot = boot_id()
    return {
        leader["pid"]: (number, leader["startTicks"])
        for number, leader in leaders.items()
        if leader
        and leader["bootId"] == boot
        and start_ticks(leader["pid"]) in (None, leader["startTicks"])
    }


def _issue_of(pid: int, state: str, believed: dict[int, tuple[int | None, int]]) -> int | None:
    """Whose worker a process belongs to."""
    if pid == os.getpid():
        return None
    environ = read_environ(pid)
    if os.fsencode(f"{_STATE_MARKER}={state}") in environ.split(b"\0"):
        marked = re.search(rb"(?:^|\0)" + MARKER.encode() + rb"=(\d+)\.", environ)
        if marked:
            return int(marked[1])
    try:
        session = os.getsid(pid)
    except OSError:
        return None
    if session not in believed:
        believed[session] = _supervised(session, state), 0
    number, since = believed[session]
    if number is None or not is_running(pid) or (start_ticks(pid) or 0) < since:
        return None
    return number


def name_supervisor(number: int) -> None:
    """So that it is found, and with it all in its session, also where its state was removed."""
    with suppress(OSError), open("/proc/self/comm", "w") as file:
        file.write(f"{_NAME}{number}")


def _supervised(leader: int, state: str) -> int | None:
    """The issue whose supervisor leads a session."""
    try:
        with open(f"/proc/{leader}/comm") as file:
            _, named, number = file.read().strip().partition(_NAME)
        if not named:
            return None
        with open(f"/proc/{leader}/cmdline", "rb") as raw:
            return int(number) if os.fsencode(state) in raw.read().split(b"\0") else None
    except (OSError, ValueError):
        return None


def read_environ(pid: int) -> bytes:
    """The environment that a process began with; empty when it is gone or another user's."""
    if not os.path.isdir("/proc/self"):
        import psutil

        try:
            return b"\0".join(
                os.fsencode(f"{key}={value}")
                for key, value in psutil.Process(pid).environ().items()
            )
        except (psutil.Error, OSError):
            return b""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""  # no descriptor left, say, is not "nothing is marked": that is raised


def end_worker(state: str, number: int, leader: ProcessId | None, grace: float = 5.0) -> bool:
    """End everything that the session's workers started: TERM, grace in seconds, KILL until two scans are empty.

    A process is signalled only when it is still the worker's, through a descriptor that cannot be reused for another
    process where the system has one. Returns whether there was something. Raises Expected when something stays.
    """
    leaders = {number: leader}
    found = find_workers(state, leaders).get(number, [])
    for pid in found:
        _signal(pid, state, leaders, signal.SIGTERM)
    wait_for(lambda: not any(map(is_running, found)), grace, 0.02)
    empty, deadline = 0, time.monotonic() + _KILL_WAIT
    while empty < 2:
        rest = [*filter(is_running, find_workers(state, leaders).get(number, []))]
        if rest and time.monotonic() > deadline:
            pids = " ".join(map(str, rest[:5]))
            words = f"#{number}: processes of its worker cannot be ended (pid {pids})"
            raise Expected(words, f"ps -o user,stat,args -p {pids.replace(' ', ',')}; end them")
        empty = 0 if rest else empty + 1
        for pid in rest:
            _signal(pid, state, leaders, signal.SIGKILL)
        time.sleep(0.01)
    return bool(found)


def _signal(pid: int, state: str, leaders: Leaders, what: signal.Signals) -> None:
    try:
        handle = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None
    except ProcessLookupError:
        return
    try:
        # another user's, as sudo makes them, may not be signalled
        with suppress(ProcessLookupError, PermissionError):
            if _issue_of(pid, state, _believed(leaders)) in leaders:
                if handle is None:
                    os.kill(pid, what)
                else:
                    signal.pidfd_send_signal(handle, what)
    finally:
        if handle is not None:
            os.close(handle)
