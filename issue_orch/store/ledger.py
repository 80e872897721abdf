"""The ledger: what was booked for each issue, what is reserved, and what is left below the ceilings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..core import prices
from ..core.prices import Usage
from ..process.survivors import find_workers
from .files import append_line, iso, names_in, read_lines
from .launch import leaders
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
    """US dollars left below the tightest ceiling, perhaps negative, what uses that ceiling up, and how to go on. `others` is
    how many issues have a part of it reserved."""

    usd: float
    why: str
    hint: str = "issue-orch costs; raise the budget to go on"
    others: int = 0


class Booking(NamedTuple):
    """`usd` is None when nobody knows it: never zero cost. A line that cannot be read has no day either."""

    day: str = ""
    agent: str = ""
    usd: float | None = None
    input_tokens: int = 0
    output_tokens: int = 0


class Booked(NamedTuple):
    """What was booked for an issue, and the US dollars that its attempt has reserved and not used."""

    bookings: Sequence[Booking] = ()
    reserved: float = 0.0

    @property
    def usd(self) -> float:
        return round(sum(each.usd or 0.0 for each in self.bookings), 9)

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
    line = {
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
        "reading": reading,
    }
    append_line(ledger_path(state, number), line)


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
    for line in _lines(state, number):
        kind, cost = line.get("kind"), prices.dollars(line.get("usd"))
        if kind == "cost":
            tokens = (
                int(prices.number(line.get(key), 0, 2**63) or 0)
                for key in ("inputTokens", "outputTokens")
            )
            day, agent = str(line.get("at"))[:10], str(line.get("agent"))
            bookings.append(Booking(day, agent, cost, *tokens))
            reserved -= cost or 0.0
        elif kind == "reserve" and cost is not None:
            reserved = cost
        else:
            bookings.append(Booking())
    return Booked(bookings, max(0.0, reserved))


def readings(state: Path, number: int, since: str = "") -> dict[str, Usage]:
    """What each counter stood at when it was booked last; `rough` after an estimate."""
    found: dict[str, Usage] = {}
    for line in _lines(state, number, since):
        match line.get("reading"):
            case [str(), int() | float() | None, int(), int(), int()]:
                said = Usage(*line["reading"])
                said = said._replace(scope="rough") if line.get("estimate") else said
                found[str(line.get("counter"))] = said
    return found


def of_attempt(state: Path, number: int, attempt: int, since: str) -> list[float | None]:
    """The cost in each line of an attempt."""
    return [
        prices.dollars(line.get("usd"))
        for line in _lines(state, number, since)
        if line.get("kind") == "cost" and line.get("attempt") == attempt
    ]


def _lines(state: Path, number: int, since: str = "") -> Iterator[dict[str, Any]]:
    """An empty one for a line that cannot be read: perhaps it was a cost."""
    lines = (line or {} for line in read_lines(ledger_path(state, number)))
    return (line for line in lines if str(line.get("at", "")) >= since)


def booked_all(state: Path) -> dict[int, Booked]:
    names = names_in(state / "ledger", ".jsonl")
    numbers = sorted(int(name) for name in names if name.isdecimal())
    return {number: booked(state, number) for number in numbers}


def _sums(
    everything: dict[int, Booked],
    ceilings: Ceilings,
    today: str,
    numbers: Iterable[int],
    reserved: float = 0.0,
) -> list[tuple[str, float, Booked]]:
    """(name, limit, what was booked below it) of each ceiling that all issues share, and of those `numbers` have.
    `reserved` is what others need of the shared ones."""
    bookings = [each for entry in everything.values() for each in entry.bookings]
    # What was booked before the clock was set back counts as today's: the ceiling holds.
    recent = [each for each in bookings if each.day >= today or not each.day]
    found = [
        ("in total", ceilings.total, Booked(bookings, reserved)),
        ("a day", ceilings.per_day, Booked(recent, reserved)),
        *(
            (
                f"for #{number}",
                ceilings.per_issue,
                everything.get(number, Booked())._replace(reserved=0.0),
            )
            for number in numbers
        ),
    ]
    return [(name, limit, sums) for name, limit, sums in found if limit is not None]


def room(state: Path, number: int, ceilings: Ceilings, now: float) -> Room | None:
    """What a new attempt of the issue may use below every ceiling; None without one."""
    if not ceilings.limited:
        return None
    everything = booked_all(state)
    # A reservation counts while the lease is held or anything that the worker started runs.
    reserved = {
        other: entry.reserved
        for other, entry in everything.items()
        if other != number and entry.reserved
    }
    at_work = find_workers(str(state), leaders(state)) if reserved else {}
    others = [
        usd
        for other, usd in reserved.items()
        if other in at_work or probe(state, other) is not None
    ]
    rows = _sums(everything, ceilings, iso(now)[:10], [number], sum(others))
    return min(_room_of(*row, ceilings.allow_unknown) for row in rows)._replace(others=len(others))


def _room_of(name: str, limit: float, sums: Booked, allow_unknown: bool) -> Room:
    if sums.unknown and not allow_unknown:
        return Room(
            0.0,
            f"a budget of ${limit:.2f} {name} is set, and the cost of {sums.unknown} bookings is not known "
            "(budget.allow_unknown = true accepts that)",
            "issue-orch costs; to go on all the same: budget.allow_unknown = true",
        )
    spent = f"${sums.usd:.2f} spent, ${sums.reserved:.2f} reserved"
    why = f"the budget of ${limit:.2f} {name} is used up: {spent}"
    return Room(round(limit - sums.usd - sums.reserved, 9), why)


def reserve(
    state: Path, number: int, attempt: int, ceilings: Ceilings, slots: int, now: float
) -> Room | None:
    """Reserve for the attempt that is to start, under the admission lease: those that start at once share what is left.

    Returns what was reserved, None without a ceiling. At zero or below nothing was, and nothing may start.
    """
    found = room(state, number, ceilings, now)
    if found is None or found.usd <= 0:
        return found
    # An issue with a ceiling of its own reserves that; else each free slot gets an equal part.
    shares = 1 if ceilings.per_issue is not None else max(1, slots - found.others)
    reserve_line(state, number, now, attempt, found.usd / shares)
    return found._replace(usd=found.usd / shares)


def warnings(state: Path, ceilings: Ceilings, now: float) -> list[tuple[str, str]]:
    """(what it is about, words) for each ceiling that is used to 75 or 90 per cent. One that is reached speaks itself."""
    if not ceilings.limited:
        return []
    found, today, everything = [], iso(now)[:10], booked_all(state)
    for name, limit, sums in _sums(everything, ceilings, today, everything):
        level = next((level for level in (90, 75) if limit > sums.usd >= limit * level / 100), None)
        if level:
            key = f"{name} {today} {level}" if name == "a day" else f"{name} {level}"
            words = f"${sums.usd:.2f} of the budget of ${limit:.2f} {name} are spent"
            found.append((key, words))
    return found
