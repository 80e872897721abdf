"""`issue-orch pause`: let the current turn of workers end, then hold them."""

from __future__ import annotations

from ..actions import steer
from .several import each_of


def pause(numbers: list[int], everything: bool) -> int:
    return each_of("pause", numbers, everything, steer.pause)
