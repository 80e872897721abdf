"""`issue-orch stop`: end workers and all that they started; sessions and work stay."""

from __future__ import annotations

from ..actions import steer
from .several import each_of


def stop(numbers: list[int], everything: bool) -> int:
    return each_of("stop", numbers, everything, steer.stop)
