"""`issue-orch status`: from local files alone, and with little to import, because shell prompts call it."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING

from ..store.look import Seen, find_git, look_all, look_each
from ..terminal.io import colours, say, warn, width

if TYPE_CHECKING:
    from collections.abc import Iterator

PAUSE = 2.0

_encode = json.JSONEncoder(separators=(",", ":")).encode


def status(as_json: bool, needs_me: bool, watch: bool, fetch: bool, verbose: bool) -> int:
    """Print the sessions. With `needs_me`: only those, exit code 0 when there is one, else 1."""
    if fetch:
        _ask_github()
    state = os.path.join(find_git(), "issue-orch")
    while True:
        now = time.time()
        if as_json:
            problems: list[str] = []
            count = _print_records(look_each(state, now, problems), needs_me)
        else:
            sessions, problems = look_all(state, now)
            wanted = [seen for seen in sessions if seen.headline.needs_you or not needs_me]
            count = len(wanted)
            _print_text(wanted, len(sessions), watch)
        if verbose:
            from ..store.files import load_json
            from ..terminal.sessions import rate_text

            say(rate_text(load_json(os.path.join(state, "rate.json")) or {}, now))
        if not watch:
            warn(*problems)
            return int(needs_me and not count)
        time.sleep(PAUSE)


def _ask_github() -> None:
    """Look at the pulls before printing. What cannot be asked is said; the rest is shown as it was."""
    from ..actions.context import connect, open_context
    from ..coordinator.follow_up import refresh

    context = open_context()
    with connect(context) as gh:
        warn(*refresh(context, gh, time.time()))


def _print_text(sessions: list[Seen], total: int, watch: bool) -> None:
    from ..terminal.sessions import status_text

    text = status_text(sessions, width(sys.stdout), colours(sys.stdout))
    if total and not sessions:
        text = f"Nothing needs you ({total} active session{'s' * (total > 1)}).\n"
    if watch and sys.stdout.isatty():
        text = _screen(text, os.get_terminal_size(sys.stdout.fileno()).lines)
    sys.stdout.write(text)
    sys.stdout.flush()


def _screen(text: str, rows: int) -> str:
    """The top of the text over what was there before: each line erased as it is written, so that nothing flickers."""
    lines = text.splitlines()
    if len(lines) >= rows:
        lines[rows - 2 :] = [f"… {len(lines) - rows + 2} more lines: issue-orch watch"]
    return "\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J"


def _print_records(sessions: Iterator[tuple[Seen, str]], needs_me: bool) -> int:
    records = [
        _record(seen, text) for seen, text in sessions if seen.headline.needs_you or not needs_me
    ]
    sys.stdout.write('{"schemaVersion":1,"sessions":[' + ",".join(records) + "]}\n")
    sys.stdout.flush()
    return len(records)


def _record(seen: Seen, text: str) -> str:
    """A session as JSON. The text of its file is taken over: to encode a thousand again costs as much as to read them."""
    if not text or not text.isascii():  # what is not ASCII could hold what a terminal obeys
        text = _encode(seen.status)
    needs_you = "true" if seen.headline.needs_you else "false"
    pull = _encode(seen.pull) if seen.pull else "null"
    known = text.rstrip().removesuffix("}").replace("\n", "")
    return f'{known},"headline":"{seen.headline.label}","needsYou":{needs_you},"pull":{pull}}}'
