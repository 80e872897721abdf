"""Which process is which, whatever becomes of its pid and of the clock."""

from __future__ import annotations

import os

from ..core.record import ProcessId


def boot_id() -> str:
    """An id that changes at every boot: wall-clock boot times move when the clock is set."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        import psutil

        return str(int(psutil.boot_time()))


def stat_of(pid: int) -> list[bytes]:
    """What Linux says of a process after its name, its state first; empty when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot (hundredths of a second elsewhere); None when it is gone."""
    if os.path.isdir("/proc/self"):
        found = stat_of(pid)
        return int(found[19]) if found else None
    import psutil

    try:
        return int(psutil.Process(pid).create_time() * 100)
    except psutil.Error:
        return None


def is_running(pid: int) -> bool:
    """A zombie is not."""
    return start_ticks(pid) is not None and stat_of(pid)[:1] != [b"Z"]


def identity(pid: int) -> ProcessId:
    return {"pid": pid, "startTicks": start_ticks(pid) or 0, "bootId": boot_id()}
