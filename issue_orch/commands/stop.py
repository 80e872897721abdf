"""`issue-orch stop`: end workers and all that they started; sessions and work stay."""

from __future__ import annotations

from functools import partial

from ..actions import steer
from ..store.files import session_numbers
from ..store.look import find_state
from ..terminal.io import each_of


def stop(numbers: list[int], everything: bool) -> int:
    state = find_state()
    every = session_numbers(state) if everything else None
    return each_of("stop", numbers, every, partial(steer.stop, state))
