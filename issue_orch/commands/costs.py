"""`issue-orch costs`: what was booked, by issue, agent and day, and how far the budget is used."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Literal

from ..actions.context import open_context
from ..errors import Expected
from ..store.files import iso, load_sessions
from ..store.ledger import Booked, Ceilings, booked_all
from ..store.look import find_state
from ..terminal.io import print_json, warn
from ..text import one_line


def costs(as_json: bool) -> int:
    """The ledgers are read even where the configuration is broken; only the ceilings are not known then."""
    limits, state = Ceilings(), find_state()
    try:
        context = open_context(executing=False)
        limits, state = context.ceilings, context.state
    except Expected as error:
        warn(error.message)
    found = summary(booked_all(state), limits, iso(time.time())[:10])
    if as_json:
        print_json(**found)
    else:
        titles = {status["issueNumber"]: status["issueTitle"] for status in load_sessions(state)[0]}
        print(*lines(found, titles), sep="\n")
    return 0


def summary(everything: dict[int, Booked], limits: Ceilings, today: str) -> dict[str, Any]:
    """As printed with --json; docs/json.md describes it."""
    total = Booked(tuple(each for entry in everything.values() for each in entry.bookings))
    # No line says a cost, and there were attempts: an older version wrote none where the agent said nothing.
    nothing = None if any(not entry.bookings for entry in everything.values()) else 0.0
    days = _by(total, "day")
    issues = [
        {
            "number": number,
            "usd": entry.known,
            "reserved": round(entry.reserved, 6),
            "unknown": entry.unknown,
            "inputTokens": sum(each.input_tokens for each in entry.bookings),
            "outputTokens": sum(each.output_tokens for each in entry.bookings),
        }
        for number, entry in everything.items()
    ]
    return {
        "issues": issues,
        "agents": _by(total, "agent"),
        "days": days,
        "total": {
            "usd": total.known if total.bookings else nothing,
            "unknown": total.unknown,
            "today": days.get(today, nothing),
        },
        "ceilings": {"total": limits.total, "perIssue": limits.per_issue, "perDay": limits.per_day},
    }


def _by(total: Booked, key: Literal["agent", "day"]) -> dict[str, float | None]:
    """Lines that cannot be read have neither; the total counts them."""
    names = sorted({getattr(each, key) for each in total.bookings if each.day})
    return {
        name: Booked(tuple(each for each in total.bookings if getattr(each, key) == name)).known
        for name in names
    }


def lines(found: dict[str, Any], titles: dict[int, str]) -> Iterator[str]:
    """Dollars, then what they are for. What nobody knows is said, never shown as zero."""
    if not found["issues"]:
        yield "Nothing was booked in this clone."
        return
    limits, total = found["ceilings"], found["total"]
    each = "" if limits["perIssue"] is None else f" (at most ${limits['perIssue']:.2f} each)"
    yield f"By issue{each}"
    for row in found["issues"]:
        rest = f"  + ${row['reserved']:.2f} reserved" if row["reserved"] else ""
        rest += f"  + {row['unknown']} bookings of unknown cost" if row["unknown"] else ""
        tokens = "its agent reported nothing"
        if row["usd"] is not None or row["inputTokens"] or row["outputTokens"]:
            tokens = f"{row['inputTokens']:,} in, {row['outputTokens']:,} out"
        title = one_line(titles.get(row["number"], ""), 50)
        yield f"{_money(row['usd'])}  #{row['number']:<6} {title}  ({tokens}){rest}"
    for heading, key in (("By agent", "agents"), ("By day (UTC)", "days")):
        yield f"\n{heading}"
        yield from (f"{_money(usd)}  {one_line(name, 40)}" for name, usd in found[key].items())
    yield f"\n{_money(total['usd'])}  in total{_of(total['usd'], limits['total'])}"
    yield f"{_money(total['today'])}  today{_of(total['today'], limits['perDay'])}"
    if total["unknown"]:
        yield f"  and {total['unknown']} bookings of unknown cost"


def _money(usd: float | None) -> str:
    shown = "?" if usd is None else "<0.01" if 0 < usd < 0.005 else f"{usd:.2f}"
    return f"  ${shown:>9}"


def _of(usd: float | None, limit: float | None) -> str:
    share = f" ({100 * usd / limit:.0f} %)" if limit and usd is not None else ""
    return "" if limit is None else f" of ${limit:.2f}{share}"
