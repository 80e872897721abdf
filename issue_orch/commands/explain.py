"""`issue-orch explain`: why a session has its headline. From local files and processes alone; nothing is changed."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from ..core.headline import headline
from ..process.survivors import find_workers
from ..store.files import load_pull
from ..store.launch import leaders, load_launch
from ..store.leases import probe
from ..store.ledger import Ceilings, booked, room
from ..store.look import Seen, find_state, load_past, load_session, observe
from ..terminal.explain import Known, explain_lines, explanation
from ..terminal.io import colours, print_json, width
from ..terminal.sessions import paint


def explain(number: int, as_json: bool) -> int:
    state, now = find_state(), time.time()
    found = find_reasons(state, number, now)
    if as_json:
        print_json(2, explanation=found)
        return 0
    colour = colours(sys.stdout)
    for text, style in explain_lines(found, now, max(40, width(sys.stdout))):
        print(paint(text, style, colour))
    return 0


def find_reasons(state: Path, number: int, now: float) -> dict[str, Any]:
    """The explanation of a session as JSON."""
    status = load_session(state, number)
    launch = load_launch(state, number)
    ceilings = Ceilings(**launch["budget"]) if launch else Ceilings()
    pull, observed = load_pull(state, number), observe(state, status, now)
    known = Known(
        Seen(status, pull, headline(status, pull, observed), now),
        observed,
        load_past(state, number),
        probe(state, number),
        find_workers(str(state), leaders(state)).get(number, []),
        booked(state, number),
        ceilings,
        room(state, number, ceilings, now),
    )
    return explanation(known)
