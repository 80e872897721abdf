"""What `pause`, `resume`, `stop` and `cancel` have in common: sessions by number or all of them, side by side."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..actions.naming import issue_here
from ..errors import Expected
from ..store.files import session_numbers
from ..store.look import find_state
from ..terminal.io import fail


def each_of(
    do: Callable[[Path, int], str],
    numbers: list[int],
    everything: bool,
    every: Callable[[Path], list[int]] = session_numbers,
) -> int:
    """A failure of one does not stop the others. Exit code 1 when one failed."""
    state = find_state()
    asked = every(state) if everything else numbers or [issue_here()]

    def attempt(number: int) -> str | Expected:
        try:
            return do(state, number)
        except Expected as error:
            return error

    with ThreadPoolExecutor(max_workers=8) as pool:
        results = list(pool.map(attempt, asked))
    for number, result in zip(asked, results, strict=True):
        if isinstance(result, Expected):
            fail(result)
        else:
            print(f"#{number}: {result}")
    if not asked:
        print("No sessions.")
    return int(any(isinstance(result, Expected) for result in results))
