"""`issue-orch cancel`: end workers, and give their sessions up."""

from __future__ import annotations

from functools import partial

from ..actions import steer
from ..store.files import session_numbers
from ..store.look import find_state
from ..terminal.io import each_of


def cancel(numbers: list[int], everything: bool) -> int:
    state = find_state()
    every = session_numbers(state) if everything else None
    return each_of("cancel", numbers, every, partial(steer.cancel, state))
