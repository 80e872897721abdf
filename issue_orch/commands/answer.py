"""`issue-orch answer`: answer a stuck worker, or go through the open questions."""

from __future__ import annotations

import shlex
import sys
import time

from ..core.record import Question, SessionStatus, read_answer
from ..errors import Expected, Usage
from ..store.look import Seen, find_state, load_session, look, look_all
from ..terminal.io import ask, given_text, say
from ..terminal.session import question_lines
from ..text import one_line


def answer(number: int | None, text: str, option: int | None) -> int:
    if number is None:
        if option is not None:
            raise Usage("an option of which issue?", f"issue-orch answer ISSUE --option {option}")
        return _walk()
    state = find_state()
    seen = look(state, load_session(state, number), time.time())
    _refuse_unasked(seen.status, text)
    text = given_text(text)
    if option is not None:
        chosen = _chosen(seen, option)
        text = f"{chosen}\n{text}" if text else str(option)
    elif not text:
        if not sys.stdin.isatty():
            raise Usage("what is the answer?", f'issue-orch answer {number} "…"')
        text = _ask(seen)
    if text:
        _deliver(number, text, seen.status["question"])
    return 0


def _refuse_unasked(status: SessionStatus, text: str) -> None:
    """To a finished worker, a wrong number would cost a turn."""
    number = status["issueNumber"]
    if status["status"] == "complete" and not status["question"]:
        words = shlex.quote(text) if text not in ("", "-") else '"…"'
        raise Expected(
            f"#{number} is complete and asks nothing", f"issue-orch tell {number} {words}"
        )


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
    while True:
        text = ask("Answer (a number or a text, empty to leave it open): ")
        try:
            read_answer(text, _options(seen))
            return text
        except ValueError as error:  # a slip
            say(f"  {error}")
