"""`issue-orch resume`: let workers go on, after a pause, a stop, a crash or a used-up budget."""

from __future__ import annotations

from functools import partial

from ..actions import steer
from ..actions.context import open_context
from ..terminal.io import each_of


def resume(numbers: list[int], everything: bool) -> int:
    context = open_context()
    every = steer.resumable(context.state) if everything else None
    return each_of("resume", numbers, every, partial(steer.resume, context))
