"""What a person tells workers: `answer` and `tell`; `pause`, `resume`, `stop` and `cancel`, each saying what became of it."""

from __future__ import annotations

import getpass
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ..errors import Expected, Usage
from ..store import inbox
from ..store.files import load_status, session_numbers
from ..store.look import Seen, find_state, look, look_all
from ..terminal import io
from ..terminal.io import fail, say
from ..text import one_line
from .show import question_lines


def answer(number: int | None, text: str, option: int | None) -> int:
    if number is None:
        return walk()
    seen = find_question(number)
    if option is not None:
        text = chosen(seen, option)
    elif not text:
        if not sys.stdin.isatty():
            raise Usage("what is the answer?", f'issue-orch answer {number} "…"')
        text = ask(seen)
    if text:
        deliver(seen, text)
    return 0


def tell(number: int, text: str, now: bool) -> int:
    sys.stdout.write(f"#{number}: {give(number, text, None, now)}\n")
    return 0


def deliver(seen: Seen, text: str) -> None:
    number, question = seen.status["issueNumber"], seen.status["question"]
    sys.stdout.write(f"#{number}: {give(number, text, question['id'] if question else None)}\n")


def give(number: int, text: str, question: str | None, at_once: bool = False) -> str:
    from ..actions.context import open_context
    from ..actions.launch import guide

    return guide(open_context(), number, text, getpass.getuser(), question, at_once)


def find_question(number: int) -> Seen:
    state = find_state(os.getcwd())
    return look(state, inbox.session(state, number), time.time())


def chosen(seen: Seen, option: int) -> str:
    question = seen.status["question"]
    options = question["options"] if question else []
    if not 1 <= option <= len(options):
        raise Usage(
            f"#{seen.status['issueNumber']} has {len(options)} options",
            f"issue-orch show {seen.status['issueNumber']}",
        )
    return options[option - 1]


def walk() -> int:
    """Go through the open questions. An empty line leaves one open."""
    seen, _ = look_all(find_state(os.getcwd()), time.time())
    waiting = [each for each in seen if each.headline.label == "STUCK" and each.status["question"]]
    if not waiting:
        sys.stdout.write("No open questions.\n")
        return 0
    if not sys.stdin.isatty():
        raise Usage(
            "no terminal to ask on", f'issue-orch answer {waiting[0].status["issueNumber"]} "…"'
        )
    for place, each in enumerate(waiting, 1):
        say(f"\nQuestion {place} of {len(waiting)}")
        text = ask(each)
        if text:
            deliver(each, text)
        else:
            say("  left open")
    return 0


def ask(seen: Seen) -> str:
    """Show the question with its options on stderr; take a number or a text."""
    question = seen.status["question"]
    say(f"#{seen.status['issueNumber']} {one_line(seen.status['issueTitle'], 70)}")
    if question is None:
        say(f"  {one_line(seen.headline.why or seen.headline.label, 200)}")
    for line, _ in question_lines(seen):
        say(f"  {line}")
    return read_answer(question["options"] if question else [])


def read_answer(options: list[str]) -> str:
    """An option by its number, or a text. A number that no option has is a slip: it is asked for again."""
    while True:
        text = io.ask("Answer (a number or a text, empty to leave it open): ")
        if not options or not text.isdecimal():
            return text
        if 1 <= int(text[:9]) <= len(options):
            return options[int(text[:9]) - 1]
        say(f"  there is no option {one_line(text, 20)}: 1 to {len(options)}, or say it in words")


def pause(numbers: list[int], everything: bool) -> int:
    state = find_state(os.getcwd())
    return each_of(
        picked(state, numbers, everything, "pause"), lambda number: inbox.pause(state, number)
    )


def stop(numbers: list[int], everything: bool, cancel: bool) -> int:
    state = find_state(os.getcwd())
    asked = picked(state, numbers, everything, "cancel" if cancel else "stop")
    return each_of(asked, lambda number: inbox.stop(state, number, cancel))


def resume(numbers: list[int], everything: bool) -> int:
    from ..actions import launch
    from ..actions.context import open_context

    context = open_context()
    asked = picked(context.state, numbers, everything, "resume")
    if everything:
        asked = [number for number in asked if resumable(context.state, number)]
    return each_of(asked, lambda number: launch.resume(context, number))


def resumable(state: Path, number: int) -> bool:
    """What `resume --all` means: not what waits for an answer, is complete or cancelled."""
    status = load_status(state, number)
    if status is None or status["status"] in {"cancelled", "complete"}:
        return False
    return not (status["status"] == "stuck" and status["question"])


def picked(state: Path, numbers: list[int], everything: bool, word: str) -> list[int]:
    if everything:
        return session_numbers(state)
    if not numbers:
        raise Usage(f"{word} which? Give numbers, or --all", "issue-orch status")
    return list(dict.fromkeys(numbers))


def each_of(numbers: list[int], do: Callable[[int], str]) -> int:
    """Side by side; a failure of one does not stop the others. Exit code 1 when one failed."""

    def attempt(number: int) -> str | Expected:
        try:
            return do(number)
        except Expected as error:
            return error

    from concurrent.futures import ThreadPoolExecutor

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
