"""`issue-orch pause`: let the current turn of workers end, then hold them."""

from __future__ import annotations

from functools import partial

from ..actions import steer
from ..store.files import session_numbers
from ..store.look import find_state
from ..terminal.io import each_of


def pause(numbers: list[int], everything: bool) -> int:
    state = find_state()
    every = session_numbers(state) if everything else None
    return each_of("pause", numbers, every, partial(steer.pause, state))
