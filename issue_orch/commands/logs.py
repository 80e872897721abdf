"""`issue-orch logs`: what the agent said and did, rendered by its adapter; or raw."""

from __future__ import annotations

import os
import sys
import time
from collections import deque

from ..agent_log import Line, LogReader, Rendering
from ..errors import Expected
from ..lease import is_alive
from ..local import find_state
from ..shell import colours, say
from ..status_text import paint
from ..store import load_status, session_folder
from ..text import redact, sanitise

FOLLOW_PAUSE = 0.3


def logs(number: int, follow: bool, raw: bool, lines: int) -> int:
    state = find_state(os.getcwd())
    status = load_status(state, number)
    if status is None:
        raise Expected(f"#{number}: there is no session", "issue-orch status")
    reader, rendering = LogReader(session_folder(state, number) / "agent.log"), Rendering(status["agent"])
    colour = colours(sys.stdout)

    def rendered() -> list[str]:
        if raw:
            return [sanitise(redact(line)) if sys.stdout.isatty() else line for line, _ in reader.read()]
        return [line_text(row, colour) for line, at in reader.read() for row in rendering.lines(line, at)]

    kept = deque(rendered(), lines or None)
    write(kept)
    if not kept:
        say(f"#{number}: the agent has said nothing yet")
    while follow:
        alive = is_alive(state, number)  # before reading: what a worker says at its end is not missed
        write(rendered())
        if not alive:
            break
        time.sleep(FOLLOW_PAUSE)
    return 0


def line_text(line: Line, colour: bool) -> str:
    return f"{paint(f'{line.clock:8}', 'dim', colour)}  {paint(line.text, line.style, colour)}".rstrip()


def write(lines: list[str] | deque[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
