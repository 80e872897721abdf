"""`pause`, `resume`, `stop`, `cancel`: one session, several, or all; each says what really happened."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from .. import control
from ..errors import Expected, Usage
from ..local import find_state
from ..shell import fail
from ..store import load_status, session_numbers


def pause(numbers: list[int], everything: bool) -> int:
    state = find_state(os.getcwd())
    return each(chosen(state, numbers, everything, "pause"), lambda number: control.pause(state, number, getpass.getuser()))


def stop(numbers: list[int], everything: bool, cancel: bool) -> int:
    state = find_state(os.getcwd())
    picked = chosen(state, numbers, everything, "cancel" if cancel else "stop")
    return each(picked, lambda number: control.stop(state, number, getpass.getuser(), cancel))


def resume(numbers: list[int], everything: bool) -> int:
    from ..context import open_context
    from ..launching import relaunch

    context = open_context()
    picked = chosen(context.state, numbers, everything, "resume")
    if everything:
        picked = [number for number in picked if resumable(context.state, number)]
    return each(picked, lambda number: control.resume(context.state, number, getpass.getuser(), partial(relaunch, context)))


def resumable(state: Path, number: int) -> bool:
    """What `resume --all` means: not what waits for an answer, is complete or cancelled."""
    status = load_status(state, number)
    if status is None or status["status"] in {"cancelled", "complete"}:
        return False
    return not (status["status"] == "stuck" and status["question"])


def chosen(state: Path, numbers: list[int], everything: bool, word: str) -> list[int]:
    if everything:
        return session_numbers(state)
    if not numbers:
        raise Usage(f"{word} which? Give numbers, or --all", "issue-orch status")
    return list(dict.fromkeys(numbers))


def each(numbers: list[int], do: Callable[[int], str]) -> int:
    """Side by side; a failure of one does not stop the others. Exit code 1 when one failed."""

    def attempt(number: int) -> str | Expected:
        try:
            return do(number)
        except Expected as error:
            return error

    with ThreadPoolExecutor(max_workers=8) as pool:
        results = list(pool.map(attempt, numbers))
    for number, result in zip(numbers, results, strict=True):
        if isinstance(result, Expected):
            fail(result)
        else:
            sys.stdout.write(f"#{number}: {result}\n")
    if not numbers:
        sys.stdout.write("No sessions.\n")
    return int(any(isinstance(result, Expected) for result in results))
