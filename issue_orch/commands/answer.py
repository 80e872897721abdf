"""`answer` and `tell`: guidance from a person to a worker."""

from __future__ import annotations

import getpass
import os
import sys
import time
from functools import partial

from ..control import guide
from ..errors import Expected, Usage
from ..local import Seen, find_state, look, look_all
from ..model import Question
from ..shell import say
from ..store import load_sessions, load_status
from ..text import one_line, sanitise


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
        tell(number, text, False, seen.status["question"])
    return 0


def tell(number: int, text: str, now: bool, question: Question | None = None) -> int:
    sys.stdout.write(f"#{number}: {give(number, text, question['id'] if question else None, now)}\n")
    return 0


def give(number: int, text: str, question: str | None, at_once: bool = False) -> str:
    from ..context import open_context
    from ..launching import relaunch

    context = open_context()
    return guide(context.state, number, text, getpass.getuser(), partial(relaunch, context), question, at_once)


def find_question(number: int) -> Seen:
    state = find_state(os.getcwd())
    status = load_status(state, number)
    if status is None:
        waiting = [f"#{each['issueNumber']}" for each in load_sessions(state)[0] if each["question"]]
        raise Expected(f"#{number}: there is no session" + (f"; waiting for an answer: {', '.join(waiting)}" if waiting else ""),
                       "issue-orch status")
    return look(state, status, time.time())


def chosen(seen: Seen, option: int) -> str:
    question = seen.status["question"]
    options = question["options"] if question else []
    if not 1 <= option <= len(options):
        raise Usage(f"#{seen.status['issueNumber']} has {len(options)} options", f"issue-orch show {seen.status['issueNumber']}")
    return options[option - 1]


def walk() -> int:
    """Go through the open questions. An empty line leaves one open."""
    seen, _ = look_all(find_state(os.getcwd()), time.time())
    waiting = [each for each in seen if each.headline.label == "STUCK" and each.status["question"]]
    if not waiting:
        sys.stdout.write("No open questions.\n")
        return 0
    if not sys.stdin.isatty():
        raise Usage("no terminal to ask on", f'issue-orch answer {waiting[0].status["issueNumber"]} "…"')
    for number, each in enumerate(waiting, 1):
        say(f"\nQuestion {number} of {len(waiting)}")
        text = ask(each)
        if not text:
            say("  left open")
            continue
        tell(each.status["issueNumber"], text, False, each.status["question"])
    return 0


def ask(seen: Seen) -> str:
    """Show the question with its options on stderr; take a number or a text."""
    question = seen.status["question"]
    say(f"#{seen.status['issueNumber']} {one_line(seen.status['issueTitle'], 70)}")
    if question is None:
        say(f"  {one_line(seen.headline.why or seen.headline.label, 200)}")
    else:
        say(f"  Decision: {sanitise(question['decision'])}")
        if question["context"]:
            say(f"  Context:  {sanitise(question['context'])}")
        for number, option in enumerate(question["options"], 1):
            say(f"    {number}) {sanitise(option)}" + " (its default)" * (option == question["default"]))
        if question["default"] and question["default"] not in question["options"]:
            say(f"  Its default: {sanitise(question['default'])}")
    return read_answer(question["options"] if question else [])


def read_answer(options: list[str]) -> str:
    """An option by its number, or a text. A number that no option has is a slip: it is asked for again."""
    while True:
        sys.stderr.write("Answer (a number or a text, empty to leave it open): ")
        sys.stderr.flush()
        text = sys.stdin.readline().strip()
        if not options or not text.isdecimal():
            return text
        if 1 <= int(text[:9]) <= len(options):
            return options[int(text[:9]) - 1]
        say(f"  there is no option {one_line(text, 20)}: 1 to {len(options)}, or say it in words")
