"""`issue-orch logs`: what the agent said and did, rendered by its adapter; or raw."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from .. import agents
from ..agents.base import Event
from ..errors import Expected
from ..lease import is_alive
from ..local import find_state
from ..shell import width
from ..store import load_status, session_folder
from ..text import one_line, redact, sanitise

FOLLOW_PAUSE = 0.3
MARKS = {"text": "", "tool": "> ", "tool_end": "  ", "retry": "~ ", "denied": "! ", "error": "! ", "final": "= "}


def logs(number: int, follow: bool, raw: bool, lines: int) -> int:
    state = find_state(os.getcwd())
    status = load_status(state, number)
    if status is None:
        raise Expected(f"#{number}: there is no session", "issue-orch status")
    path = session_folder(state, number) / "agent.log"
    adapter = agents.load(status["agent"] if status["agent"] in agents.NAMES else "command")
    columns = width(sys.stdout)

    def rendered(line: str) -> list[str]:
        if raw:
            return [sanitise(redact(line)) if sys.stdout.isatty() else line]
        return [text for event in adapter.parse(line) if (text := event_text(event, columns))]

    kept = [text for line in read_log(path) for text in rendered(line)]
    write(kept[-lines:] if lines else kept)
    if follow:
        for line in follow_log(state, number, path):
            write(rendered(line))
    return 0


def write(lines: list[str]) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


def event_text(event: Event, columns: int) -> str:
    if event.kind not in MARKS or (event.kind == "tool_end" and not event.is_error):
        return ""
    text = sanitise(redact(event.text)).strip()
    if not text:
        return ""
    if event.kind in {"text", "final"}:
        return MARKS[event.kind] + text
    return one_line(MARKS[event.kind] + text, columns)


def read_log(path: Path) -> Iterator[str]:
    for part in (path.with_name(path.name + ".1"), path):
        try:
            with open(part, encoding="utf-8", errors="replace") as file:
                yield from (line.rstrip("\n") for line in file)
        except FileNotFoundError:
            continue


def follow_log(state: Path, number: int, path: Path) -> Iterator[str]:
    """New lines until no worker lives. A log that was rotated is started over."""
    try:
        position = path.stat().st_size
    except FileNotFoundError:
        position = 0
    rest = ""
    while True:
        alive = is_alive(state, number)
        if path.exists():
            position = 0 if path.stat().st_size < position else position
            with open(path, encoding="utf-8", errors="replace") as file:
                file.seek(position)
                rest += file.read()
                position = file.tell()
            *whole, rest = rest.split("\n")
            yield from whole
        if not alive:
            return
        time.sleep(FOLLOW_PAUSE)
