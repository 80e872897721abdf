"""`issue-orch logs`: the agent's log as it grows, rendered by its adapter with the time that tools took; or raw."""

from __future__ import annotations

import os
import sys
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..agents import registry
from ..agents.base import Event
from ..store.files import session_folder
from ..store.inbox import session
from ..store.leases import is_alive
from ..store.look import find_state
from ..terminal.io import colours, say
from ..terminal.sessions import age, paint
from ..text import one_line, redact, sanitise

FOLLOW_PAUSE = 0.3
LOOKS = {
    "text": ("", ""),
    "tool": ("> ", "cyan"),
    "retry": ("~ ", "blue"),
    "denied": ("! ", "red"),
    "error": ("! ", "red"),
    "final": ("= ", "bold"),
}


class Line(NamedTuple):
    """One rendered line. `clock` is HH:MM:SS in local time, '' when it is not known or the same as above."""

    clock: str
    text: str
    style: str


def logs(number: int, follow: bool, raw: bool, lines: int) -> int:
    state = find_state(os.getcwd())
    status = session(state, number)
    reader, rendering = (
        LogReader(session_folder(state, number) / "agent.log"),
        Rendering(status["agent"]),
    )
    colour = colours(sys.stdout)

    def rendered() -> list[str]:
        if raw:
            return [
                sanitise(redact(line)) if sys.stdout.isatty() else line for line, _ in reader.read()
            ]
        return [
            line_text(row, colour)
            for line, at in reader.read()
            for row in rendering.lines(line, at)
        ]

    kept = deque(rendered(), lines or None)
    write(kept)
    if not kept:
        say(f"#{number}: the agent has said nothing yet")
    while follow:
        alive = is_alive(
            state, number
        )  # before reading: what a worker says at its end is not missed
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


class LogReader:
    """Lives as long as somebody follows a log: keeps its place, and goes on in the new file after a rotation."""

    def __init__(self, path: Path, tail: int = 0) -> None:
        """With `tail` about that many bytes from the end, else from the start of the rotated part."""
        self.path, self.older, self.tail = path, path.with_name(path.name + ".1"), tail
        self.inode, self.position, self.rest = -1, 0, b""

    def read(self) -> list[tuple[str, float]]:
        """Whole lines that were added, each with the time at which it came (seconds since the epoch, 0.0: unknown)."""
        first = self.inode == -1 and not self.tail
        rotated = self.inode == inode(self.older) != -1
        paths = (self.older, self.path) if first or rotated else (self.path,)
        return [line for path in paths for line in self.read_file(path)]

    def read_file(self, path: Path) -> list[tuple[str, float]]:
        try:
            with open(path, "rb") as file:
                about = os.fstat(file.fileno())
                if about.st_ino != self.inode:
                    self.inode, self.position = (
                        about.st_ino,
                        max(0, about.st_size - self.tail) if self.tail else 0,
                    )
                file.seek(self.position)
                if self.tail and self.position:
                    file.readline()  # of which we may have only the end
                self.tail = 0
                start = file.tell() - len(self.rest)
                *whole, self.rest = (self.rest + file.read()).split(b"\n")
                self.position = file.tell()
        except FileNotFoundError:
            return []
        return list(stamped(whole, start, load_stamps(path) if whole else []))


def inode(path: Path) -> int:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return -1


def stamped(
    lines: list[bytes], start: int, stamps: list[tuple[int, float]]
) -> Iterator[tuple[str, float]]:
    for raw in lines:
        start += len(raw) + 1
        place = bisect_left(stamps, (start, 0.0))
        yield raw.decode("utf-8", "replace"), stamps[place][1] if place < len(stamps) else 0.0


def load_stamps(log: Path) -> list[tuple[int, float]]:
    try:
        with open(f"{log}.times", encoding="ascii", errors="replace") as file:
            rows = [line.split() for line in file]
    except FileNotFoundError:
        return []
    return [(int(row[0]), float(row[1])) for row in rows if len(row) == 2 and row[0].isdecimal()]


class Rendering:
    """Turns lines of an agent into lines for people; remembers the tools that run, to say how long they took."""

    def __init__(self, agent: str) -> None:
        self.adapter = registry.load(agent if agent in registry.NAMES else "command")
        self.running: dict[str, tuple[str, float]] = {}
        self.latest = ""
        self.clock = ""

    def lines(self, raw: str, at: float) -> list[Line]:
        return [line for event in self.adapter.parse(raw) for line in self.event_lines(event, at)]

    def event_lines(self, event: Event, at: float) -> list[Line]:
        if event.kind == "tool_end":
            return self.tool_end(event, at)
        text = sanitise(redact(event.text)).strip()
        if event.kind not in LOOKS or not text:
            return []
        mark, style = LOOKS[event.kind]
        if event.kind == "tool":
            self.latest = event.id
            self.running[event.id] = (text, at)
        rows = text.split("\n") if event.kind in {"text", "final"} else [one_line(text, 500)]
        clock = time.strftime("%H:%M:%S", time.localtime(at)) if at else ""
        shown, self.clock = clock if clock != self.clock else "", clock
        return [
            Line("" if place else shown, (" " * len(mark) if place else mark) + row, style)
            for place, row in enumerate(rows)
        ]

    def tool_end(self, event: Event, at: float) -> list[Line]:
        name, since = self.running.pop(event.id, ("", 0.0))
        lasted = at - since if at and since else 0.0
        if lasted < 1 and not event.is_error:
            return []
        words = f"{'failed' if event.is_error else 'done'}{f' after {age(lasted)}' if lasted >= 1 else ''}"
        named = f": {one_line(name, 60)}" if name and event.id != self.latest else ""
        return [Line("", f"  {words}{named}", "red" if event.is_error else "dim")]
