"""`issue-orch costs`: what was booked, by issue, agent and day, and how far the budget is used."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from .. import ledger
from ..context import Context, open_context
from ..errors import Expected
from ..launching import ceilings
from ..ledger import Booked, Ceilings
from ..local import find_state
from ..shell import print_json, say
from ..store import iso, load_sessions
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
    agents: dict[str, float] = {}
    days: dict[str, float] = {}
    for each in sorted(booking for entry in everything.values() for booking in entry.bookings if booking.usd is not None):
        agents[each.agent] = round(agents.get(each.agent, 0.0) + (each.usd or 0.0), 6)
        days[each.day] = round(days.get(each.day, 0.0) + (each.usd or 0.0), 6)
    today = iso(now)[:10]
    return {
        "schemaVersion": 1,
        "issues": [{"number": number, "usd": round(entry.usd, 6), "reserved": round(entry.reserved, 6), "unknown": entry.unknown,
                    "inputTokens": sum(each.input_tokens for each in entry.bookings),
                    "outputTokens": sum(each.output_tokens for each in entry.bookings)}
                   for number, entry in everything.items()],
        "agents": agents, "days": days,
        "total": {"usd": round(sum(entry.usd for entry in everything.values()), 6),
                  "unknown": sum(entry.unknown for entry in everything.values()), "today": days.get(today, 0.0)},
        "ceilings": {"total": limits.total, "perIssue": limits.per_issue, "perDay": limits.per_day},
    }


def text_of(found: dict[str, Any], titles: dict[int, str]) -> str:
    """Dollars, then what they are for. What nobody knows is said, never shown as zero."""
    if not found["issues"]:
        return "Nothing was booked in this clone.\n"
    limits, total = found["ceilings"], found["total"]
    lines = ["By issue" + (f" (at most ${limits['perIssue']:.2f} each)" if limits["perIssue"] is not None else "")]
    for row in found["issues"]:
        rest = f"  + ${row['reserved']:.2f} reserved" if row["reserved"] else ""
        rest += f"  + {row['unknown']} bookings of unknown cost" if row["unknown"] else ""
        said = any(row[name] for name in ("usd", "inputTokens", "outputTokens", "unknown"))
        tokens = f"{row['inputTokens']:,} in, {row['outputTokens']:,} out" if said else "its agent reported nothing"
        usd = f"{row['usd']:.2f}" if said else "?"
        lines.append(f"  ${usd:>9}  #{row['number']:<6} {one_line(titles.get(row['number'], ''), 50)}  ({tokens}){rest}")
    for heading, key in (("By agent", "agents"), ("By day (UTC)", "days")):
        lines += ["", heading, *(f"  ${usd:9.2f}  {one_line(name, 40)}" for name, usd in found[key].items())]
    lines += ["", f"  ${total['usd']:9.2f}  in total{of(total['usd'], limits['total'])}"]
    lines += [f"  ${total['today']:9.2f}  today{of(total['today'], limits['perDay'])}"]
    if total["unknown"]:
        lines.append(f"  and {total['unknown']} bookings of unknown cost")
    return "\n".join(lines) + "\n"


def of(usd: float, limit: float | None) -> str:
    share = f" ({100 * usd / limit:.0f} %)" if limit else ""
    return "" if limit is None else f" of ${limit:.2f}{share}"
