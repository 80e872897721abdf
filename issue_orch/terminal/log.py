"""The agent's log as text: what it said and did, and how long its tools took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from ..text import one_line, redact, sanitise
from .sessions import age, paint

_LOOKS = {
    "text": ("", ""),
    "tool": ("> ", "cyan"),
    "retry": ("~ ", "blue"),
    "denied": ("! ", "red"),
    "error": ("! ", "red"),
    "final": ("= ", "bold"),
}


class Event(Protocol):
    """What is shown of something that an agent did; the adapters of agents make them."""

    @property
    def kind(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def is_error(self) -> bool: ...


class Line(NamedTuple):
    """One rendered line. `clock` is HH:MM:SS in local time, '' when it is not known or the same as above."""

    clock: str
    text: str
    style: str


def line_text(line: Line, colour: bool) -> str:
    return f"{paint(f'{line.clock:8}', 'dim', colour)}  {paint(line.text, line.style, colour)}".rstrip()


class Rendering:
    """Turns lines of an agent into lines for people; remembers the tools that run, to say how long they took."""

    def __init__(self, parse: Callable[[str], Iterable[Event]]) -> None:
        """`parse` is that of the agent's adapter."""
        self.parse = parse
        self.running: dict[str, tuple[str, float]] = {}
        self.latest = ""
        self.clock = ""

    def lines(self, raw: str, at: float) -> list[Line]:
        return [line for event in self.parse(raw) for line in self._event_lines(event, at)]

    def _event_lines(self, event: Event, at: float) -> list[Line]:
        if event.kind == "tool_end":
            return self._tool_end(event, at)
        text = sanitise(redact(event.text)).strip()
        if event.kind not in _LOOKS or not text:
            return []
        mark, style = _LOOKS[event.kind]
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

    def _tool_end(self, event: Event, at: float) -> list[Line]:
        name, since = self.running.pop(event.id, ("", 0.0))
        lasted = at - since if at and since else 0.0
        if lasted < 1 and not event.is_error:
            return []
        words = f"{'failed' if event.is_error else 'done'}{f' after {age(lasted)}' if lasted >= 1 else ''}"
        named = f": {one_line(name, 60)}" if name and event.id != self.latest else ""
        return [Line("", f"  {words}{named}", "red" if event.is_error else "dim")]
