"""`issue-orch cancel`: end workers, and give their sessions up."""

from __future__ import annotations

from ..actions import steer
from .several import each_of


def cancel(numbers: list[int], everything: bool) -> int:
    return each_of("cancel", numbers, everything, steer.cancel)
