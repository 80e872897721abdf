"""What is for people alone: a worker may not do it, with its marker or without."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..errors import Expected
from .identity import stat_of
from .survivors import MARKER, read_environ


def refuse_nested(env: Mapping[str, str]) -> None:
    """For people alone: nothing that a worker started may do this, its own marker taken off or not (threat S15)."""
    if env.get(MARKER) or below_worker():
        raise Expected(
            "a worker does not start workers, nor answer, approve or end anything",
            "end your turn; a person does that",
        )


def below_worker() -> bool:
    """Whether a process above us carries the marker. What left its tree is not found, nor anything without /proc."""
    pid = os.getppid()
    while pid > 1:
        if any(entry.startswith(f"{MARKER}=".encode()) for entry in read_environ(pid).split(b"\0")):
            return True
        found = stat_of(pid)
        pid = int(found[1]) if found else 0
    return False
