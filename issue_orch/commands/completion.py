"""`issue-orch completion`: the script for a shell, and what it asks: what could be typed next, from local files alone."""

from __future__ import annotations

import os
import sys

from ..errors import Expected, Usage

TYPE_CHECKING = False  # typing itself costs three milliseconds
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..store.look import Seen

_PACKAGE = os.path.dirname(os.path.dirname(__file__))
# A title may hold anything, and a shell may expand what we print.
_UNSAFE = r"[^\w .,:/()'+-]+"
_RESUMABLE = {"CRASHED", "PUBLISH PENDING", "OVER BUDGET", "STOPPED", "PAUSED", "RETRYING"}
_NOT_FOR_PEOPLE = {"merge", "report"}
SHELLS = ("bash", "zsh", "fish")


def _runs(seen: Seen) -> bool:
    return seen.status["status"] not in {"complete", "cancelled"}


def _is_kept(seen: Seen) -> bool:
    return seen.status["status"] != "cancelled"


def _asks(seen: Seen) -> bool:
    return seen.headline.label == "STUCK" and seen.status["question"] is not None


def _waits(seen: Seen) -> bool:
    stuck = seen.headline.label == "STUCK" and not seen.status["question"]
    return stuck or seen.headline.label in _RESUMABLE


# The sessions that a command can act on; `plan` and `spawn` take issues that have none.
ACTS_ON: dict[str, Callable[[Seen], object]] = {
    **dict.fromkeys(("show", "explain", "logs", "path", "open", "diff"), lambda seen: True),
    **dict.fromkeys(("tell", "attach", "cancel"), _is_kept),
    "answer": _asks,
    "pause": lambda seen: _runs(seen) and seen.status["hold"] not in {"paused", "stopped"},
    "stop": lambda seen: _runs(seen) and seen.status["hold"] != "stopped",
    "resume": _waits,
    "prune": lambda seen: not _runs(seen),
}
NEW = {"plan", "spawn"}
SEVERAL = {"plan", "spawn", "pause", "resume", "stop", "cancel", "prune"}


def completion(shell: str | None) -> int:
    name = shell or os.path.basename(os.environ.get("SHELL", ""))
    if name not in SHELLS:
        words = f"there is no completion for {name!r}, but for {', '.join(SHELLS)}"
        raise Usage(words, "issue-orch completion bash")
    with open(f"{_PACKAGE}/completion.{name}", encoding="utf-8") as file:
        sys.stdout.write(file.read())
    return 0


def complete(words: list[str]) -> int:
    """A line for each word that could stand where the last one stands, and behind a tab what it is."""
    import re

    *before, begun = words or [""]
    try:
        for word, about in _candidates(before, begun):
            if word.startswith(begun.removeprefix("#")):
                sys.stdout.write(f"{word}\t{re.sub(_UNSAFE, ' ', about)[:60].strip()}\n")
    except (Expected, OSError):
        pass  # no clone, say: nothing can be offered
    return 0


def _candidates(before: list[str], begun: str) -> Iterator[tuple[str, str]]:
    verb, *typed = before or [""]
    known = _commands()
    if not verb:
        yield from ((name, rows[""]) for name, rows in known.items() if name not in _NOT_FOR_PEOPLE)
    elif verb not in known or "--" in typed:
        return
    elif typed and f"{typed[-1]}=" in known[verb]:
        yield from _values(typed[-1])
    elif begun.startswith("-"):
        yield from ((name.rstrip("="), about) for name, about in known[verb].items() if name)
    else:
        yield from _words(verb, [each for each in typed if not each.startswith("-")])


def _state() -> str:
    from ..store.look import find_git

    return os.path.join(find_git(), "issue-orch")


def _commands() -> dict[str, dict[str, str]]:
    """Each with its options, as cli.py declares them; of the command itself behind an empty name. Made by scripts/docs."""
    found: dict[str, dict[str, str]] = {}
    with open(f"{_PACKAGE}/complete.txt", encoding="utf-8") as file:
        for line in file:
            verb, option, about = line.rstrip("\n").split("\t")
            found.setdefault(verb, {})[option] = about
    return found


def _values(option: str) -> Iterator[tuple[str, str]]:
    """What can stand behind an option that takes a value."""
    if option == "--agent":
        yield from ((name, "") for name in _agents())


def _agents() -> list[str]:
    """Those that are built in, and those of the configuration, as far as it can be read."""
    from ..agents.registry import NAMES
    from ..config.layers import load_config

    names = [*NAMES]
    try:
        state = _state()
        top = os.path.dirname(os.path.dirname(state))
        names += load_config(top, state, os.environ, executing=False).agents
    except Expected:
        pass
    return [*dict.fromkeys(names)]


def _words(verb: str, typed: list[str]) -> Iterator[tuple[str, str]]:
    if verb == "completion":
        yield from ((name, "") for name in SHELLS if not typed)
    elif verb == "answer" and typed:
        yield from _options_of(typed)
    elif verb in SEVERAL or not typed:
        issues = _ready() if verb in NEW else _sessions(verb)
        yield from (row for row in issues if row[0] not in typed)


def _options_of(typed: list[str]) -> Iterator[tuple[str, str]]:
    """The options of the question of this session, by their numbers."""
    from ..store.files import load_status

    status = load_status(_state(), int(typed[0])) if typed[0].isdecimal() else None
    if status and status["question"] and len(typed) == 1:
        yield from ((str(at), text) for at, text in enumerate(status["question"]["options"], 1))


def _ready() -> Iterator[tuple[str, str]]:
    """What was ready when issues were listed last, and has no session by now."""
    from ..store.files import load_json, session_numbers

    state = _state()
    known = {*map(str, session_numbers(state))}
    listed = (load_json(os.path.join(state, "listed.json")) or {}).get("issues", {})
    yield from ((number, title) for number, title in listed.items() if number not in known)


def _sessions(verb: str) -> Iterator[tuple[str, str]]:
    import time

    from ..store.look import look_all

    fits = ACTS_ON.get(verb)
    for seen in look_all(_state(), time.time())[0] if fits else ():
        if fits and fits(seen):
            yield str(seen.status["issueNumber"]), seen.status["issueTitle"]
