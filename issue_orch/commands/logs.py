"""`issue-orch logs`: the agent's log as it grows, rendered with the time that tools took; or raw."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterable

from ..actions.launch import adapter_name
from ..agents.registry import load
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
    agent = load_session(state, number)["agent"]
    reader = LogReader(session_folder(state, number) / "agent.log")
    rendering, colour = Rendering(load(adapter_name(agent)).parse), colours(sys.stdout)

    def rendered() -> list[str]:
        if raw:
            shown = (line for line, _ in reader.read())
            return [sanitise(redact(line)) if sys.stdout.isatty() else line for line in shown]
        rows = (row for line, at in reader.read() for row in rendering.lines(line, at))
        return [line_text(row, colour) for row in rows]

    kept = deque(rendered(), lines or None)
    _write(kept)
    if not kept:
        say(f"#{number}: the agent has said nothing yet")
    while follow:
        alive = is_alive(state, number)  # before reading: what it says at its end is not missed
        _write(rendered())
        if not alive:
            break
        time.sleep(FOLLOW_PAUSE)
    return 0


def _write(lines: Iterable[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
