"""Costs: what an agent says of itself, turned into differences that a ledger can add up."""

from __future__ import annotations

from .base import Prices, Turn, Usage, add


def counter(agent: str, session_id: str | None, attempt: int, usage: Usage) -> str:
    """The name of the counter that `usage` reads: one for an agent session, or one for each run."""
    if usage.scope == "session" and session_id:
        return f"{agent}:{session_id}"
    return f"{agent}:run-{attempt}"


def book(previous: Usage | None, usage: Usage) -> tuple[Usage, Usage]:
    """The new reading of a counter, and the difference to book against the reading that was booked last.

    A counter that went down was reset: all of it is new. Dollars that are unknown stay unknown.
    """
    if previous is None or usage.input_tokens + usage.output_tokens < previous.input_tokens + previous.output_tokens:
        previous = usage._replace(usd=0, input_tokens=0, output_tokens=0, cached_tokens=0)
    usd = None if usage.usd is None else max(0.0, usage.usd - (previous.usd or 0))
    delta = usage._replace(
        usd=usd,
        input_tokens=max(0, usage.input_tokens - previous.input_tokens),
        output_tokens=max(0, usage.output_tokens - previous.output_tokens),
        cached_tokens=max(0, usage.cached_tokens - previous.cached_tokens),
    )
    return usage, delta


def price(usage: Usage, prices: Prices | None) -> Usage:
    """The same usage with dollars: the agent's own, else from the prices, else unknown."""
    if usage.usd is not None or prices is None:
        return usage
    cached = prices.input if prices.cached is None else prices.cached
    fresh = usage.input_tokens - usage.cached_tokens
    millions = fresh * prices.input + usage.cached_tokens * cached + usage.output_tokens * prices.output
    return usage._replace(usd=millions / 1_000_000)


def estimate(turn: Turn, prices: Prices | None) -> Usage | None:
    """What a run that was cut off has probably cost beyond its last exact reading; None when nothing was seen.

    Booked and marked as an estimate; `reading_after` says whether it moves the counter.
    """
    rough = turn.rough
    if not rough.input_tokens and not rough.output_tokens:
        return None
    return price(rough, prices)


def reading_after(previous: Usage | None, rough: Usage, exit_code: int) -> Usage | None:
    """The reading that an estimate brings a counter of the session to, None when it does not move it.

    claude ended by SIGTERM keeps what it spent in its own total, so the next difference must not contain it again;
    after SIGKILL that cost is in no total.
    """
    if exit_code not in (143, -15):
        return None
    rough = rough._replace(scope="session")
    return rough if previous is None else add(previous, rough)
