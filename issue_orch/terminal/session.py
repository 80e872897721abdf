"""One session as text: what `show` prints and `watch` shows. Pure, and nothing of it is markup."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.history import (
    Delivered,
    Entry,
    Exit,
    Held,
    Reasoned,
    Refused,
    Report,
    Resumed,
    Settled,
    Stalled,
    Started,
    Transition,
    entry_of,
    kind_of,
)
from ..store.files import seconds
from ..store.look import Past, Seen
from ..text import one_line, sanitise, wrapped
from .sessions import Line, Lines, age, work_lines

_PLAN_LINES = 20
_TIMELINE_LINES = 15
_LONG = {"registered": "starting", "planning": "planning", "working": "working", "stuck": "stuck"}


def session_lines(seen: Seen, past: Past, columns: int) -> list[Line]:
    """All that is known of a session, no line wider than `columns`."""
    sections = {
        "Question": question_lines(seen),
        "Plan": _plan_lines(past.plan, seen),
        "Guidance": _guidance_lines(past, seen.now),
        "Work": work_lines(seen, 1_000),
        "Session": _fact_lines(seen),
        "Timeline": _timeline_lines(past, seen),
    }
    lines = list(_head_lines(seen))
    for title, found in sections.items():
        if rows := [(f"  {text}", style) for text, style in found]:
            lines += [("", ""), (title, "bold"), *rows]
    return [(row, style) for text, style in lines for row in wrapped(text, columns)]


def _head_lines(seen: Seen) -> Lines:
    status, head = seen.status, seen.headline
    yield f"#{status['id']} {one_line(status['issueTitle'], 200)}", "bold"
    why = f": {one_line(head.why, 300)}" if head.why and not status["question"] else ""
    yield f"  {head.label}{why}", head.colour


def _fact_lines(seen: Seen) -> Lines:
    status, cost = seen.status, seen.status["cost"]
    held = f", held: {status['hold']}" if status["hold"] else ""
    started = f"{age(seen.now - seconds(status['startedAt']))} ago, attempt {status['attempt']}"
    yield f"started {started}{held}, agent {one_line(status['agent'], 40)}", "dim"
    if cost["inputTokens"]:
        unknown = ", cost unknown" if cost["usd"] is None else ""
        yield f"{cost['inputTokens']:,} tokens in, {cost['outputTokens']:,} out{unknown}", "dim"
    yield (
        f"{sanitise(status['branch'])} from {sanitise(status['base'])} ({status['baseSha'][:12]})",
        "dim",
    )
    yield f"{sanitise(status['worktreePath'])}", "dim"
    yield f"{sanitise(status['issueUrl'])}", "dim"


def question_lines(seen: Seen) -> Lines:
    question = seen.status["question"]
    if not question:
        return
    yield sanitise(question["decision"]), "bold"
    if question["context"]:
        yield from ((line, "") for line in sanitise(question["context"]).splitlines())
    for number, option in enumerate(question["options"], 1):
        default = " (its default)" if option == question["default"] else ""
        yield f"{number}) {sanitise(option)}{default}", ""
    if question["default"] and question["default"] not in question["options"]:
        yield f"Its default: {sanitise(question['default'])}", ""


def _plan_lines(text: str, seen: Seen) -> Lines:
    lines = sanitise(text).strip().splitlines()
    yield from ((line.rstrip(), "") for line in lines[:_PLAN_LINES])
    if len(lines) > _PLAN_LINES:
        yield f"… {len(lines) - _PLAN_LINES} more lines in plan.md", "dim"
    if seen.status["plannedFiles"]:
        yield (
            f"touches {', '.join(one_line(name, 60) for name in seen.status['plannedFiles'][:12])}",
            "dim",
        )


def _guidance_lines(past: Past, now: float) -> Lines:
    told = (("delivered", "", past.delivered), ("waiting", "yellow", past.pending))
    for state, style, messages in told:
        for message in messages:
            if message["kind"] == "guidance":
                when, who = age(now - seconds(message["at"])), one_line(message["author"], 40)
                yield f"[{state}] {when} ago, {who}: {one_line(message['text'], 400)}", style


def _timeline_lines(past: Past, seen: Seen) -> Lines:
    """How long in each phase, then the last entries of the history, in words and local time."""
    phases = phase_times(past.events, seen)
    if phases:
        yield ", ".join(f"{_LONG[phase]} {age(lasted)}" for phase, lasted in phases.items()), ""
    rows = [
        (line.get("at"), words) for line in past.events if (words := _entry_words(entry_of(line)))
    ]
    if len(rows) > _TIMELINE_LINES:
        yield f"… {len(rows) - _TIMELINE_LINES} earlier entries: --json has them", "dim"
    for at, words in rows[-_TIMELINE_LINES:]:
        yield f"{time.strftime('%H:%M:%S', time.localtime(seconds(at)))}  {words}", "dim"


def phase_times(events: Sequence[Mapping[str, Any]], seen: Seen) -> dict[str, float]:
    """Seconds spent in each phase that needs work; the last one until it ended, or until now."""
    phase, since = "registered", seconds(seen.status["startedAt"])
    ended = seconds(seen.status["endedAt"]) or seen.now
    moves = [
        (each.after, seconds(line.get("at")))
        for line in events
        if isinstance(each := entry_of(line), Transition)
    ]
    times: dict[str, float] = {}
    for following, at in [*moves, ("", ended)]:
        if phase in _LONG:
            times[phase] = times.get(phase, 0.0) + max(0.0, at - since)
        phase, since = following, at
    return times


def _entry_words(entry: Entry) -> str:
    """One entry of the history for people; '' for what says them nothing. Parts of it are the worker's own words."""
    match entry:
        case Started():
            return f"attempt {entry.attempt} started"
        case Transition():
            return f"{entry.before} -> {entry.after}"
        case Report():
            refused = "" if entry.accepted else f" (not accepted: {one_line(entry.reason, 120)})"
            note = one_line(str(entry.fields.get("note") or ""), 120)
            return f"reported {entry.report}{refused}" + (f": {note}" if note else "")
        case Exit():
            lasted = f" after {age(entry.seconds)}" if entry.seconds else ""
            return f"attempt {entry.attempt} ended{lasted}: {one_line(entry.message, 120)}"
        case Delivered(messageKind="guidance"):
            return "guidance delivered"
        case Settled():
            return f"pull recorded: {one_line(entry.url, 200)}"
        case Resumed():
            return "resumed"
        case Reasoned() | Held() | Stalled() | Refused():
            return f"{kind_of(type(entry)).replace('_', ' ')}: {one_line(entry[-1], 120)}"
        case _:
            return ""
