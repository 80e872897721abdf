"""`issue-orch answer`: answer a stuck worker, or go through the open questions."""

from __future__ import annotations

import sys
import time

from ..errors import Usage
from ..store.look import Seen, find_state, load_session, look, look_all
from ..terminal.io import ask, say
from ..terminal.session import question_lines
from ..text import one_line


def answer(number: int | None, text: str, option: int | None) -> int:
    if number is None:
        return _walk()
    state = find_state()
    seen = look(state, load_session(state, number), time.time())
    if option is not None:
        text = _chosen(seen, option)
    elif not text:
        if not sys.stdin.isatty():
            raise Usage("what is the answer?", f'issue-orch answer {number} "…"')
        text = _ask(seen)
    if text:
        _deliver(seen, text)
    return 0


def _deliver(seen: Seen, text: str) -> None:
    from ..actions.context import open_context
    from ..actions.steer import guide

    number, question = seen.status["issueNumber"], seen.status["question"]
    became = guide(open_context(), number, text, question=question["id"] if question else None)
    print(f"#{number}: {became}")


def _chosen(seen: Seen, option: int) -> str:
    question = seen.status["question"]
    options = question["options"] if question else []
    if not 1 <= option <= len(options):
        raise Usage(
            f"#{seen.status['issueNumber']} has {len(options)} options",
            f"issue-orch show {seen.status['issueNumber']}",
        )
    return options[option - 1]


def _walk() -> int:
    """Go through the open questions. An empty line leaves one open."""
    seen, _ = look_all(find_state(), time.time())
    waiting = [each for each in seen if each.headline.label == "STUCK" and each.status["question"]]
    if not waiting:
        print("No open questions.")
        return 0
    if not sys.stdin.isatty():
        raise Usage(
            "no terminal to ask on", f'issue-orch answer {waiting[0].status["issueNumber"]} "…"'
        )
    for place, each in enumerate(waiting, 1):
        say(f"\nQuestion {place} of {len(waiting)}")
        text = _ask(each)
        if text:
            _deliver(each, text)
        else:
            say("  left open")
    return 0


def _ask(seen: Seen) -> str:
    """Show the question with its options on stderr; take a number or a text."""
    question = seen.status["question"]
    say(f"#{seen.status['issueNumber']} {one_line(seen.status['issueTitle'], 70)}")
    if question is None:
        say(f"  {one_line(seen.headline.why or seen.headline.label, 200)}")
    for line, _ in question_lines(seen):
        say(f"  {line}")
    return _read_answer(question["options"] if question else [])


def _read_answer(options: list[str]) -> str:
    """An option by its number, or a text. A number that no option has is a slip: it is asked for again."""
    while True:
        text = ask("Answer (a number or a text, empty to leave it open): ")
        if not options or not text.isdecimal():
            return text
        if 1 <= int(text[:9]) <= len(options):
            return options[int(text[:9]) - 1]
        say(f"  there is no option {one_line(text, 20)}: 1 to {len(options)}, or say it in words")
