"""What an agent says of its cost, what of it is to be booked, and what it is worth in dollars."""

from __future__ import annotations

import operator
from typing import Any, Literal, NamedTuple

Scope = Literal["session", "process", "call", "rough"]


class Usage(NamedTuple):
    """Cost as the agent says it. `input_tokens` includes `cached_tokens`.

    scope: `session` cumulative over the agent session, `process` over this run, one `call`,
    or `rough`: seen on the way, superseded by the next exact one.
    """

    scope: Scope
    usd: float | None
    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0


class Prices(NamedTuple):
    """US dollars for a million tokens. `cached` is the part of the input that came from a cache."""

    input: float
    output: float
    cached: float | None = None


def number(value: Any, low: float, high: float) -> float | None:
    """A number in [low, high); anything else is none."""
    known = isinstance(value, int | float) and not isinstance(value, bool) and low <= value < high
    return value if known else None


def dollars(value: Any) -> float | None:
    found = number(value, 0, 10**12)
    return None if found is None else float(found)


def counter(agent: str, session_id: str | None, attempt: int, usage: Usage) -> str:
    """The name of the counter that `usage` reads: one for an agent session, or one for each run."""
    if usage.scope == "session" and session_id:
        return f"{agent}:{session_id}"
    return f"{agent}:run-{attempt}"


def book(previous: Usage | None, usage: Usage) -> tuple[Usage, Usage]:
    """The new reading of a counter, and the difference to book against the reading that was booked last.

    A counter that went down was reset: all of it is new. Dollars that are unknown stay unknown; the next reading that
    has some is compared with the last one that had.
    """
    if previous is None or went_down(previous, usage):
        previous = Usage(usage.scope, 0, 0, 0)
    usd = None if usage.usd is None else max(0.0, usage.usd - (previous.usd or 0))
    tokens = (max(0, now - before) for now, before in zip(usage[2:], previous[2:], strict=True))
    reading = usage if usd is not None else usage._replace(usd=previous.usd or None)
    return reading, Usage(usage.scope, usd, *tokens)


def went_down(previous: Usage | None, usage: Usage) -> bool:
    """Dollars below an estimate are no reset: it was too high."""
    if previous is None:
        return False
    if (
        usage.usd is not None
        and previous.scope != "rough"
        and usage.usd < (previous.usd or 0) - 1e-9
    ):
        return True
    return sum(usage[2:4]) < sum(previous[2:4])


def price(usage: Usage, prices: Prices | None) -> Usage:
    """The same usage with dollars: the agent's own, else from the prices, else unknown.

    No dollars for tokens that you gave prices for are the word of an agent that does not know them.
    """
    _, usd, tokens, output, cached = usage
    if usd or prices is None or not tokens + output:
        return usage
    cheap = prices.input if prices.cached is None else prices.cached
    millions = (tokens - cached) * prices.input + cached * cheap + output * prices.output
    return usage._replace(usd=dollars(millions / 1_000_000))


def reading_after(previous: Usage | None, rough: Usage, exit_code: int) -> Usage | None:
    """The reading that an estimate brings a counter of the session to, None when it does not move it.

    claude ended by SIGTERM keeps what it spent in its own total, so the next difference must not contain it again;
    after SIGKILL that cost is in no total.
    """
    if exit_code not in (143, -15):
        return None
    rough = rough._replace(scope="session")
    return rough if previous is None else add(previous, rough)


def add(one: Usage, other: Usage) -> Usage:
    """The sum, in the scope of the first. Dollars are unknown only when neither says."""
    usd = None if one.usd is None and other.usd is None else (one.usd or 0) + (other.usd or 0)
    return Usage(one.scope, usd, *map(operator.add, one[2:], other[2:]))
