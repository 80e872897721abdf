"""The ledger: what was booked for each issue, what is reserved, and what is left below the ceilings."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from .agents.base import Usage
from .store import append_line, iso, read_lines


class Ceilings(NamedTuple):
    """Limits in US dollars; None is no limit."""

    total: float | None = None
    per_issue: float | None = None
    per_day: float | None = None


class Booked(NamedTuple):
    """Sums in US dollars. `unknown` counts bookings without dollars and lines that cannot be read: never zero cost."""

    usd: float = 0.0
    reserved: float = 0.0
    unknown: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    by_day: dict[str, float] = {}
    by_agent: dict[str, float] = {}


def ledger_path(state: Path, number: int) -> Path:
    return state / "ledger" / f"{int(number)}.jsonl"


def book_line(
    state: Path, number: int, now: float, attempt: int, agent: str, counter: str, delta: Usage, reading: Usage | None,
    estimate: bool = False,
) -> None:
    """Book a difference. `reading` is what the counter stands at, so that the next difference can be taken."""
    append_line(ledger_path(state, number), {
        "at": iso(now), "kind": "cost", "attempt": attempt, "agent": agent, "counter": counter,
        "usd": delta.usd, "inputTokens": delta.input_tokens, "outputTokens": delta.output_tokens,
        "cachedTokens": delta.cached_tokens, "estimate": estimate,
        "reading": None if reading is None else list(reading),
    })


def reserve_line(state: Path, number: int, now: float, attempt: int, usd: float | None) -> None:
    """Reserve for the attempt that starts; None sets free what the attempt had reserved."""
    append_line(ledger_path(state, number), {"at": iso(now), "kind": "reserve", "attempt": attempt, "usd": usd or 0.0})


def booked(state: Path, number: int) -> Booked:
    """Fold one ledger. The last reservation counts, and bookings of its attempt use it up."""
    usd = reserved = used = 0.0
    unknown = tokens_in = tokens_out = 0
    by_day: dict[str, float] = defaultdict(float)
    by_agent: dict[str, float] = defaultdict(float)
    for line in read_lines(ledger_path(state, number)):
        if line is None or line.get("kind") not in {"cost", "reserve"}:
            unknown += 1
        elif line["kind"] == "reserve":
            reserved, used = float(line.get("usd") or 0), 0.0
        elif line.get("usd") is None:
            unknown += 1
            tokens_in, tokens_out = tokens_in + int(line["inputTokens"]), tokens_out + int(line["outputTokens"])
        else:
            cost = float(line["usd"])
            usd, used = usd + cost, used + cost
            tokens_in, tokens_out = tokens_in + int(line["inputTokens"]), tokens_out + int(line["outputTokens"])
            by_day[str(line["at"])[:10]] += cost
            by_agent[str(line.get("agent"))] += cost
    return Booked(usd, max(0.0, reserved - used), unknown, tokens_in, tokens_out, dict(by_day), dict(by_agent))


def readings(state: Path, number: int) -> dict[str, Usage]:
    """What each counter stood at when it was booked last."""
    found: dict[str, Usage] = {}
    for line in read_lines(ledger_path(state, number)):
        if line and line.get("reading"):
            found[str(line["counter"])] = Usage(*line["reading"])
    return found


def booked_all(state: Path) -> dict[int, Booked]:
    try:
        names = os.listdir(state / "ledger")
    except FileNotFoundError:
        return {}
    numbers = sorted(int(name[:-6]) for name in names if name.endswith(".jsonl") and name[:-6].isdecimal())
    return {number: booked(state, number) for number in numbers}


def left(state: Path, number: int, ceilings: Ceilings, now: float) -> float | None:
    """US dollars that a new attempt of the issue may use, below every ceiling; None without one. May be negative."""
    if ceilings == Ceilings():
        return None
    everything = booked_all(state)
    own = everything.get(number, Booked())
    reserved = sum(entry.reserved for other, entry in everything.items() if other != number)
    rooms = []
    if ceilings.total is not None:
        rooms.append(ceilings.total - sum(entry.usd for entry in everything.values()) - reserved)
    if ceilings.per_day is not None:
        today = iso(now)[:10]
        rooms.append(ceilings.per_day - sum(entry.by_day.get(today, 0.0) for entry in everything.values()) - reserved)
    if ceilings.per_issue is not None:
        rooms.append(ceilings.per_issue - own.usd)
    return min(rooms)


def share(room: float, ceilings: Ceilings, free_slots: int) -> float:
    """What one attempt reserves of `room`: its issue's ceiling where there is one, else an equal part per free slot."""
    return room if ceilings.per_issue is not None else room / max(1, free_slots)


def from_launch(budget: dict[str, Any]) -> Ceilings:
    return Ceilings(budget.get("total"), budget.get("perIssue"), budget.get("perDay"))
