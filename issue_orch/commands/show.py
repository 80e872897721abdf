"""`issue-orch show`: everything about one session, from local files."""

from __future__ import annotations

import sys
import time

from ..core.headline import next_command
from ..store.look import find_state, load_clashes, load_past, load_session, look
from ..terminal.io import colours, print_json, width
from ..terminal.session import session_lines
from ..terminal.sessions import link, paint


def show(number: int, as_json: bool) -> int:
    state = find_state()
    status = load_session(state, number)
    seen = look(state, status, time.time())._replace(clashes=load_clashes(state).get(number, ()))
    past = load_past(state, number)
    if as_json:
        record = {
            **status,
            "headline": seen.headline.label,
            "pull": seen.pull,
            "events": past.events,
            "guidance": {"pending": past.pending, "delivered": past.delivered},
        }
        print_json(2, session=record)
        return 0
    colour = colours(sys.stdout)
    for text, style in session_lines(seen, past, max(40, width(sys.stdout))):
        print(paint(link(text, text.rpartition(" ")[2], colour), style, colour))
    following = next_command(status, seen.headline.label)
    if following:
        print(f"\nNext: {paint(following, 'bold', colour)}")
    return 0
