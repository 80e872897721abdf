"""`issue-orch resume`: let workers go on, after a pause, a stop, a crash or a used-up budget."""

from __future__ import annotations

from ..actions import steer
from ..actions.context import open_context
from .several import each_of


def resume(numbers: list[int], everything: bool) -> int:
    context = open_context()

    def go_on(_: object, number: int) -> str:
        return steer.resume(context, number)

    return each_of(go_on, numbers, everything, steer.resumable)
