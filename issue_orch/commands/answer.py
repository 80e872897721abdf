"""`issue-orch answer`: answer a stuck worker, or go through the open questions."""

from __future__ import annotations

import sys
import time

from ..core.record import Question
from ..errors import Usage
from ..store.look import Seen, find_state, load_session, look, look_all
from ..terminal.io import ask, say
from ..terminal.session import question_lines
from ..text import one_line


def answer(number: int | None, text: str, option: int | None) -> int:
    if number is None:
        return _walk()
    if text and option is None:
        _deliver(number, text, None)
        return 0
    state = find_state()
    seen = look(state, load_session(state, number), time.time())
    if option is None and not sys.stdin.isatty():
        raise Usage("what is the answer?", f'issue-orch answer {number} "…"')
    if text := _ask(seen) if option is None else _chosen(seen, option):
        _deliver(number, text, seen.status["question"])
    return 0


def _deliver(number: int, text: str, question: Question | None) -> None:
    """As the answer to the question that was shown; one that was asked meanwhile stays open."""
    from ..actions.context import open_context
    from ..actions.steer import guide

    became = guide(open_context(), number, text, question=question)
    print(f"#{number}: {became}")


def _chosen(seen: Seen, option: int) -> str:
    number, options = seen.status["issueNumber"], _options(seen)
    if not 1 <= option <= len(options):
        raise Usage(f"#{number} has {len(options)} options", f"issue-orch show {number}")
    return options[option - 1]


def _options(seen: Seen) -> list[str]:
    question = seen.status["question"]
    return question["options"] if question else []


def _walk() -> int:
    """Go through the open questions. An empty line leaves one open."""
    seen, _ = look_all(find_state(), time.time())
    waiting = [each for each in seen if each.headline.label == "STUCK" and each.status["question"]]
    if not waiting:
        print("No open questions.")
        return 0
    if not sys.stdin.isatty():
        number = waiting[0].status["issueNumber"]
        raise Usage("no terminal to ask on", f'issue-orch answer {number} "…"')
    for place, each in enumerate(waiting, 1):
        say(f"\nQuestion {place} of {len(waiting)}")
        if text := _ask(each):
            _deliver(each.status["issueNumber"], text, each.status["question"])
        else:
            say("  left open")
    return 0


def _ask(seen: Seen) -> str:
    """Show the question with its options on stderr; take a number or a text."""
    status = seen.status
    say(f"#{status['issueNumber']} {one_line(status['issueTitle'], 70)}")
    if status["question"] is None:
        say(f"  {one_line(seen.headline.why or seen.headline.label, 200)}")
    for line, _ in question_lines(seen):
        say(f"  {line}")
    options = _options(seen)
    while True:
        text = ask("Answer (a number or a text, empty to leave it open): ")
        if not options or not text.isdecimal():
            return text
        number = int(text[:9])
        if 1 <= number <= len(options):
            return options[number - 1]
        # A number that no option has is a slip.
        say(f"  there is no option {one_line(text, 20)}: 1 to {len(options)}, or say it in words")
