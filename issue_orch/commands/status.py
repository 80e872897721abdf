"""`issue-orch status`: from local files alone. Parsed by hand, because shell prompts call it."""

from __future__ import annotations

import os
import sys
import time

from ..errors import Usage
from ..local import Seen, find_state, look_all
from ..shell import colours, say, width


def main(words: list[str]) -> int:
    flags = {"--json", "--needs-me", "-v", "--verbose"}
    unknown = [word for word in words if word not in flags]
    if unknown:
        raise Usage(f"status does not know {unknown[0]}", "issue-orch status --help")
    return status(as_json="--json" in words, needs_me="--needs-me" in words, verbose="-v" in words or "--verbose" in words)


def status(as_json: bool, needs_me: bool, verbose: bool = False) -> int:
    """Print the sessions. With `needs_me`: only those, exit code 0 when there is one, else 1."""
    now = time.time()
    sessions, problems = look_all(find_state(os.getcwd()), now)
    if needs_me:
        sessions = [seen for seen in sessions if seen.headline.needs_you]
    if as_json:
        print_json(sessions)
    else:
        from ..status_text import status_text

        sys.stdout.write(status_text(sessions, now, width(sys.stdout), colours(sys.stdout)))
    for problem in problems:
        say(f"warning: {problem}")
    return int(needs_me and not sessions)


def watch(needs_me: bool) -> int:
    """The same, again every two seconds. `issue-orch watch` shows more and reacts faster."""
    from ..status_text import status_text

    while True:
        now = time.time()
        sessions, _ = look_all(find_state(os.getcwd()), now)
        shown = [seen for seen in sessions if seen.headline.needs_you or not needs_me]
        text = status_text(shown, now, width(sys.stdout), colours(sys.stdout))
        sys.stdout.write(("\x1b[H\x1b[2J" if sys.stdout.isatty() else "") + text)
        sys.stdout.flush()
        time.sleep(2)


def print_json(sessions: list[Seen]) -> None:
    import json

    rows = [{**seen.status, "headline": seen.headline.label, "needsYou": seen.headline.needs_you, "pull": seen.pull}
            for seen in sessions]
    sys.stdout.write(json.dumps({"schemaVersion": 1, "sessions": rows}, ensure_ascii=False, separators=(",", ":")) + "\n")
