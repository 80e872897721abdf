"""`issue-orch logs`: the agent's log as it grows, rendered with the time that tools took; or raw."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator

from ..actions.launch import load_adapter
from ..store.files import session_folder
from ..store.leases import is_alive
from ..store.log import LogReader
from ..store.look import find_state, load_session
from ..terminal.io import colours, say
from ..terminal.log import Rendering, line_text
from ..text import redact, sanitise

FOLLOW_PAUSE = 0.3


def logs(number: int, follow: bool, raw: bool, lines: int) -> int:
    state = find_state()
    status = load_session(state, number)
    reader = LogReader(session_folder(state, number) / "agent.log")
    rendering, colour = Rendering(load_adapter(status["agent"]).parse), colours(sys.stdout)

    def rendered() -> Iterator[str]:
        for line, at in reader.read():
            if raw:
                yield sanitise(redact(line)) if sys.stdout.isatty() else line
            else:
                yield from (line_text(row, colour) for row in rendering.lines(line, at))

    kept = deque(rendered(), lines or None)
    _write(kept)
    if not kept:
        why = status["failure"] or (not status["question"] and status["stuckReason"])
        say(f"#{number}: the agent has said nothing yet{f': {sanitise(why)}' if why else ''}")
    while follow:
        follow = is_alive(state, number)  # before reading: what it says at its end is not missed
        _write(rendered())
        if follow:
            time.sleep(FOLLOW_PAUSE)
    return 0


def _write(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()
