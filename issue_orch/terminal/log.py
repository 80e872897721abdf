"""The agent's log as text: what it said and did, and how long its tools took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ..core.outcomes import Event
from ..text import one_line, redact, sanitise
from .sessions import age, paint

_LOOKS = {
    "text": ("", ""),
    "tool": ("> ", "cyan"),
    "retry": ("~ ", "blue"),
    "denied": ("! ", "red"),
    "error": ("! ", "red"),
    "final": ("= ", "bold"),
    "alive": ("", "dim"),  # of what the adapter does not know
}
_LAST_LINES = 20  # of what a tool that failed said


class Line(NamedTuple):
    """One rendered line. `clock` is HH:MM:SS in local time, '' when it is not known or the same as above."""

    clock: str
    text: str
    style: str


Lines = Iterator[Line]


def line_text(line: Line, colour: bool) -> str:
    return f"{paint(f'{line.clock:8}', 'dim', colour)}  {paint(line.text, line.style, colour)}".rstrip()


class Rendering:
    """Turns lines of an agent into lines for people; remembers the tools that run, to say how long they took."""

    def __init__(self, parse: Callable[[str], Iterable[Event]]) -> None:
        """`parse` is that of the agent's adapter."""
        self.parse = parse
        self.running: dict[str, tuple[str, float]] = {}
        self.latest = self.said = ""
        self.clock = ""

    def lines(self, raw: str, at: float) -> Lines:
        events = [*self.parse(raw)]
        if not events and not raw.lstrip().startswith(("{", "[")):  # stderr, mostly
            events = [Event("alive", raw)]
        for event in events:
            if event.kind == "tool_end":
                yield from self._tool_end(event, at)
            elif event.kind in _LOOKS:
                yield from self._event_lines(event, at)

    def _event_lines(self, event: Event, at: float) -> Lines:
        text = sanitise(redact(event.text)).strip()
        if not text or (event.kind == "final" and text == self.said):
            return
        self.said = text
        if event.kind == "tool":
            self.latest = event.id
            self.running[event.id] = (text, at)
        rows = [one_line(text, 500)] if event.kind in {"tool", "retry"} else text.split("\n")
        mark, style = _LOOKS[event.kind]
        clock = time.strftime("%H:%M:%S", time.localtime(at)) if at else ""
        shown, self.clock = clock if clock != self.clock else "", clock
        yield Line(shown, mark + rows[0], style)
        yield from (Line("", " " * len(mark) + row, style) for row in rows[1:])

    def _tool_end(self, event: Event, at: float) -> Lines:
        name, since = self.running.pop(event.id, ("", 0.0))
        lasted = at - since if at and since else 0.0
        if lasted >= 1 or event.is_error:
            after = f" after {age(lasted)}" if lasted >= 1 else ""
            named = f": {one_line(name, 60)}" if name and event.id != self.latest else ""
            text = f"  {'failed' if event.is_error else 'done'}{after}{named}"
            yield Line("", text, "red" if event.is_error else "dim")
        said = sanitise(redact(event.text)).strip().split("\n") if event.is_error else []
        if len(said) > _LAST_LINES:
            yield Line("", f"  … {len(said) - _LAST_LINES} lines before (logs --raw)", "dim")
        yield from (Line("", f"  {row}".rstrip(), "") for row in said[-_LAST_LINES:] if row)
