"""The ledger: what was booked for each issue, what is reserved, and what is left below the ceilings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..core.prices import Usage
from ..process.survivors import find_marked
from .files import append_line, iso, read_lines
from .leases import probe


class Ceilings(NamedTuple):
    """Limits in US dollars; None is no limit. Without `allow_unknown` a cost that nobody knows uses all of it up."""

    total: float | None = None
    per_issue: float | None = None
    per_day: float | None = None
    allow_unknown: bool = False

    @property
    def limited(self) -> bool:
        return any(limit is not None for limit in self[:3])


class Room(NamedTuple):
    """US dollars left below the tightest ceiling, perhaps negative, what uses that ceiling up, and how to go on."""

    usd: float
    why: str
    hint: str = "issue-orch costs; raise the budget to go on"


class Booking(NamedTuple):
    """`usd` is None when nobody knows it: never zero cost. A line that cannot be read has no day either."""

    day: str = ""
    agent: str = ""
    usd: float | None = None
    input_tokens: int = 0
    output_tokens: int = 0


class Booked(NamedTuple):
    """What was booked for an issue, and the US dollars that its attempt has reserved and not used."""

    bookings: tuple[Booking, ...] = ()
    reserved: float = 0.0

    @property
    def usd(self) -> float:
        return sum(each.usd or 0.0 for each in self.bookings)

    @property
    def unknown(self) -> int:
        return sum(each.usd is None for each in self.bookings)

    @property
    def known(self) -> float | None:
        """US dollars as they are shown; None when nothing is known of any."""
        return None if not self.usd and (self.unknown or not self.bookings) else round(self.usd, 6)


def ledger_path(state: Path, number: int) -> Path:
    return state / "ledger" / f"{int(number)}.jsonl"


def book_line(
    state: Path,
    number: int,
    now: float,
    attempt: int,
    agent: str,
    counter: str,
    delta: Usage,
    reading: Usage | None,
    estimate: bool = False,
) -> None:
    """Book a difference. `reading` is what the counter stands at, so that the next difference can be taken."""
    append_line(
        ledger_path(state, number),
        {
            "at": iso(now),
            "kind": "cost",
            "attempt": attempt,
            "agent": agent,
            "counter": counter,
            "usd": delta.usd,
            "inputTokens": delta.input_tokens,
            "outputTokens": delta.output_tokens,
            "cachedTokens": delta.cached_tokens,
            "estimate": estimate,
            "reading": None if reading is None else list(reading),
        },
    )


def reserve_line(state: Path, number: int, now: float, attempt: int, usd: float | None) -> None:
    """Reserve for the attempt that starts; None sets free what the attempt had reserved."""
    append_line(
        ledger_path(state, number),
        {"at": iso(now), "kind": "reserve", "attempt": attempt, "usd": usd or 0.0},
    )


def booked(state: Path, number: int) -> Booked:
    """Fold one ledger. The last reservation counts, and bookings of its attempt use it up."""
    bookings: list[Booking] = []
    reserved = 0.0
    for line in read_lines(ledger_path(state, number)):
        kind, cost = line.get("kind") if line else None, dollars(line)
        if line and kind == "cost":
            tokens = count(line, "inputTokens"), count(line, "outputTokens")
            bookings.append(
                Booking(str(line.get("at"))[:10], str(line.get("agent")), cost, *tokens)
            )
            reserved -= cost or 0.0
        elif kind == "reserve" and cost is not None:
            reserved = cost
        else:
            bookings.append(Booking())
    return Booked(tuple(bookings), max(0.0, reserved))


def dollars(line: dict[str, Any] | None) -> float | None:
    """The cost in a line; None when it has none that can be counted."""
    usd = line.get("usd") if line else None
    return (
        float(usd)
        if isinstance(usd, int | float) and not isinstance(usd, bool) and 0 <= usd < float("inf")
        else None
    )


def count(line: dict[str, Any], key: str) -> int:
    value = line.get(key)
    return value if isinstance(value, int) and value > 0 else 0


def readings(state: Path, number: int, since: str = "") -> dict[str, Usage]:
    """What each counter stood at when it was booked last; `rough` after an estimate."""
    found: dict[str, Usage] = {}
    for line in lines_since(state, number, since):
        reading = line.get("reading")
        if isinstance(reading, list) and len(reading) == len(Usage._fields) and is_usage(*reading):
            said = Usage(*reading)
            found[str(line.get("counter"))] = (
                said._replace(scope="rough") if line.get("estimate") else said
            )
    return found


def of_attempt(state: Path, number: int, attempt: int, since: str) -> list[float | None]:
    """The cost in each line of an attempt."""
    return [
        dollars(line)
        for line in lines_since(state, number, since)
        if line.get("kind") == "cost" and line.get("attempt") == attempt
    ]


def lines_since(state: Path, number: int, since: str) -> Iterator[dict[str, Any]]:
    return (
        line
        for line in read_lines(ledger_path(state, number))
        if line and str(line.get("at")) >= since
    )


def is_usage(scope: object, usd: object, *tokens: object) -> bool:
    return (
        isinstance(scope, str)
        and isinstance(usd, int | float | None)
        and all(type(each) is int for each in tokens)
    )


def booked_all(state: Path) -> dict[int, Booked]:
    try:
        names = os.listdir(state / "ledger")
    except FileNotFoundError:
        return {}
    numbers = sorted(
        int(name[:-6]) for name in names if name.endswith(".jsonl") and name[:-6].isdecimal()
    )
    return {number: booked(state, number) for number in numbers}


def sums(
    everything: dict[int, Booked], ceilings: Ceilings, today: str
) -> list[tuple[str, float, float, int]]:
    """(name, limit, booked, bookings of unknown cost) of each ceiling that all issues share."""
    found = []
    if ceilings.total is not None:
        unknown = sum(entry.unknown for entry in everything.values())
        found.append(
            (
                "in total",
                ceilings.total,
                round(sum(entry.usd for entry in everything.values()), 9),
                unknown,
            )
        )
    if ceilings.per_day is not None:
        # What was booked before the clock was set back counts as today's: the ceiling holds.
        counted = [
            each
            for entry in everything.values()
            for each in entry.bookings
            if each.day >= today or not each.day
        ]
        usd, unknown = (
            round(sum(each.usd or 0.0 for each in counted), 9),
            sum(each.usd is None for each in counted),
        )
        found.append(("a day", ceilings.per_day, usd, unknown))
    return found


def room(state: Path, number: int, ceilings: Ceilings, now: float) -> Room | None:
    """What a new attempt of the issue may use below every ceiling; None without one."""
    if not ceilings.limited:
        return None
    everything = booked_all(state)
    return room_in(
        everything, sum(reservations(state, number, everything)), number, ceilings, iso(now)[:10]
    )


def room_in(
    everything: dict[int, Booked], reserved: float, number: int, ceilings: Ceilings, today: str
) -> Room:
    own = everything.get(number, Booked())
    rows = [(*row, reserved) for row in sums(everything, ceilings, today)]
    if ceilings.per_issue is not None:
        rows.append((f"for #{number}", ceilings.per_issue, own.usd, own.unknown, 0.0))
    return min(room_of(*row, ceilings.allow_unknown) for row in rows)


def reservations(state: Path, number: int, everything: dict[int, Booked]) -> list[float]:
    """What other issues have reserved. It counts while the lease is held or anything that the worker started runs."""
    return [
        entry.reserved
        for other, entry in everything.items()
        if other != number
        and entry.reserved
        and (probe(state, other) is not None or find_marked(str(state), other))
    ]


def room_of(
    name: str, limit: float, usd: float, unknown: int, reserved: float, allow_unknown: bool
) -> Room:
    if unknown and not allow_unknown:
        return Room(
            0.0,
            f"a budget of ${limit:.2f} {name} is set, and the cost of {unknown} bookings is not known "
            "(budget.allow_unknown = true accepts that)",
            "issue-orch costs; to go on all the same: budget.allow_unknown = true",
        )
    why = (
        f"the budget of ${limit:.2f} {name} is used up: ${usd:.2f} spent, ${reserved:.2f} reserved"
    )
    return Room(round(limit - usd - reserved, 9), why)


def reserve(
    state: Path, number: int, attempt: int, ceilings: Ceilings, slots: int, now: float
) -> Room | None:
    """Reserve for the attempt that is to start, under the admission lease: those that start at once share what is left.

    Returns what was reserved, None without a ceiling. At zero or below nothing was, and nothing may start.
    """
    if not ceilings.limited:
        return None
    everything = booked_all(state)
    others = reservations(state, number, everything)
    found = room_in(everything, sum(others), number, ceilings, iso(now)[:10])
    if found.usd <= 0:
        return found
    # An issue with a ceiling of its own reserves that; else each free slot gets an equal part.
    part = found.usd if ceilings.per_issue is not None else found.usd / max(1, slots - len(others))
    reserve_line(state, number, now, attempt, part)
    return found._replace(usd=part)


def warnings(state: Path, ceilings: Ceilings, now: float) -> list[tuple[str, str]]:
    """(what it is about, words) for each ceiling that is used to 75 or 90 per cent. One that is reached speaks itself."""
    if not ceilings.limited:
        return []
    everything, today = booked_all(state), iso(now)[:10]
    rows = [row[:3] for row in sums(everything, ceilings, today)]
    if ceilings.per_issue is not None:
        rows += [
            (f"for #{number}", ceilings.per_issue, entry.usd)
            for number, entry in everything.items()
        ]
    found = []
    for name, limit, usd in rows:
        level = next((level for level in (90, 75) if limit > usd >= limit * level / 100), None)
        if level:
            day = f" {today}" if name == "a day" else ""
            found.append(
                (
                    f"{name}{day} {level}",
                    f"${usd:.2f} of the budget of ${limit:.2f} {name} are spent",
                )
            )
    return found
