"""`issue-orch costs`: what was booked, by issue, agent and day, and how far the budget is used."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Literal

from ..actions.context import Context, open_context
from ..actions.launch import ceilings
from ..errors import Expected
from ..store import ledger
from ..store.files import iso, load_sessions
from ..store.ledger import Booked, Ceilings
from ..store.look import find_state
from ..terminal.io import print_json, say
from ..text import one_line


def costs(as_json: bool) -> int:
    """The ledgers are read even where the configuration is broken; only the ceilings are not known then."""
    limits, state = Ceilings(), find_state(os.getcwd())
    try:
        context: Context = open_context(executing=False)
        limits, state = ceilings(context.config), context.state
    except Expected as error:
        say(f"warning: {error.message}")
    found = summary(ledger.booked_all(state), limits, time.time())
    if as_json:
        print_json(found)
        return 0
    titles = {status["issueNumber"]: status["issueTitle"] for status in load_sessions(state)[0]}
    sys.stdout.write(text_of(found, titles))
    return 0


def summary(everything: dict[int, Booked], limits: Ceilings, now: float) -> dict[str, Any]:
    """As printed with --json; docs/json.md describes it."""
    total = Booked(tuple(each for entry in everything.values() for each in entry.bookings))
    agents, days = by(total, "agent"), by(total, "day")
    # No line says a cost, and there were attempts: an older version wrote none where the agent said nothing.
    nothing = None if any(not entry.bookings for entry in everything.values()) else 0.0
    return {
        "schemaVersion": 1,
        "issues": [
            {
                "number": number,
                "usd": entry.known,
                "reserved": round(entry.reserved, 6),
                "unknown": entry.unknown,
                "inputTokens": sum(each.input_tokens for each in entry.bookings),
                "outputTokens": sum(each.output_tokens for each in entry.bookings),
            }
            for number, entry in everything.items()
        ],
        "agents": agents,
        "days": days,
        "total": {
            "usd": total.known if total.bookings else nothing,
            "unknown": total.unknown,
            "today": days.get(iso(now)[:10], nothing),
        },
        "ceilings": {"total": limits.total, "perIssue": limits.per_issue, "perDay": limits.per_day},
    }


def by(total: Booked, key: Literal["agent", "day"]) -> dict[str, float | None]:
    """Lines that cannot be read have neither; the total counts them."""
    names = sorted({getattr(each, key) for each in total.bookings if each.day})
    return {
        name: Booked(tuple(each for each in total.bookings if getattr(each, key) == name)).known
        for name in names
    }


def text_of(found: dict[str, Any], titles: dict[int, str]) -> str:
    """Dollars, then what they are for. What nobody knows is said, never shown as zero."""
    if not found["issues"]:
        return "Nothing was booked in this clone.\n"
    limits, total = found["ceilings"], found["total"]
    lines = [
        "By issue"
        + (f" (at most ${limits['perIssue']:.2f} each)" if limits["perIssue"] is not None else "")
    ]
    for row in found["issues"]:
        rest = f"  + ${row['reserved']:.2f} reserved" if row["reserved"] else ""
        rest += f"  + {row['unknown']} bookings of unknown cost" if row["unknown"] else ""
        said = row["usd"] is not None or row["inputTokens"] or row["outputTokens"]
        tokens = (
            f"{row['inputTokens']:,} in, {row['outputTokens']:,} out"
            if said
            else "its agent reported nothing"
        )
        title = one_line(titles.get(row["number"], ""), 50)
        lines.append(f"{money(row['usd'])}  #{row['number']:<6} {title}  ({tokens}){rest}")
    for heading, key in (("By agent", "agents"), ("By day (UTC)", "days")):
        lines += [
            "",
            heading,
            *(f"{money(usd)}  {one_line(name, 40)}" for name, usd in found[key].items()),
        ]
    lines += ["", f"{money(total['usd'])}  in total{of(total['usd'], limits['total'])}"]
    lines += [f"{money(total['today'])}  today{of(total['today'], limits['perDay'])}"]
    if total["unknown"]:
        lines.append(f"  and {total['unknown']} bookings of unknown cost")
    return "\n".join(lines) + "\n"


def money(usd: float | None) -> str:
    shown = "?" if usd is None else "<0.01" if 0 < usd < 0.005 else f"{usd:.2f}"
    return f"  ${shown:>9}"


def of(usd: float | None, limit: float | None) -> str:
    share = f" ({100 * usd / limit:.0f} %)" if limit and usd is not None else ""
    return "" if limit is None else f" of ${limit:.2f}{share}"
