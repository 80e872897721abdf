"""`issue-orch show`: everything about one session, from local files."""

from __future__ import annotations

import os
import sys
import time

from ..errors import Expected
from ..headline import next_command
from ..local import find_state, look
from ..messages import delivered, pending
from ..session_text import session_lines
from ..shell import colours, print_json, width
from ..status_text import link, paint
from ..store import load_events, load_status


def show(number: int, as_json: bool) -> int:
    state = find_state(os.getcwd())
    status = load_status(state, number)
    if status is None:
        raise Expected(f"#{number}: there is no session", "issue-orch status")
    now = time.time()
    seen = look(state, status, now)
    if as_json:
        record = {**status, "headline": seen.headline.label, "pull": seen.pull, "events": load_events(state, number),
                  "guidance": {"pending": pending(state, number), "delivered": delivered(state, number)}}
        print_json({"schemaVersion": 1, "session": record}, indent=2)
        return 0
    colour = colours(sys.stdout)
    for text, style in session_lines(state, seen, now, max(40, width(sys.stdout))):
        address = text.strip() if text.startswith("  http") else None
        sys.stdout.write(paint(link(text, address, colour), style, colour) + "\n")
    following = next_command(status, seen.headline.label)
    if following:
        sys.stdout.write(f"\nNext: {paint(following, 'bold', colour)}\n")
    return 0
