"""Why a session has its headline, as text: the rules that were asked, the facts they saw, what changes it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ..core.headline import LOOKS, RULES, Observed, decide, next_command, pull_notes
from ..core.history import Report, Transition, counters, entry_of
from ..store.files import seconds
from ..store.leases import Holder
from ..store.ledger import Booked, Ceilings, Room
from ..store.look import Past, Seen
from ..text import one_line, wrapped
from .sessions import Line, age

# What ends each headline.
UNTIL = {
    "CANCELLED": "nothing; prune --cancelled removes it, and the issue can be started again",
    "MERGED": "nothing; prune removes it",
    "CLOSED": "somebody opens the pull again (seen at the next look), or prune --closed removes it",
    "ELSEWHERE": "its worktree is repaired, or worked with in the clone that it leads to",
    "STUCK": "a person says something: an answer, a tell, a resume",
    "CRASHED": "a worker is started again, by resume, or by itself under run",
    "PUBLISH PENDING": "the reason is mended and it is published again, by resume or under run",
    "OVER BUDGET": "the budget is raised, or a day's budget begins anew (UTC); then resume, or run",
    "STOPPED": "a person lets it go on: resume",
    "PAUSED": "a person lets it go on: resume",
    "CONFLICT": "the branch gets the base's commits: run sends it back, or tell the worker",
    "CHANGES REQUESTED": "new commits and another review: run sends it back, or tell the worker",
    "CHECKS FAILING": "new commits whose checks pass: run sends it back, or tell the worker",
    "PR READY": "a person merges or closes it; or checks, review or base change",
    "PR OPEN": "its checks are looked at and have ended: run, or status --fetch",
    "RETRYING": "its time comes, or resume, which tries now",
    "QUIET": "the worker is heard of again, or ends",
    "PLANNING": "its next report, or the end of its turn",
    "WORKING": "its next report, or the end of its turn",
    "STARTING": "its first report, or the end of its turn",
}
_SHOWN = 200  # columns of what others wrote
_NAMES = 12  # columns before a fact


class Fact(NamedTuple):
    """A piece of evidence. `at` is when it was so, where that is known."""

    name: str
    text: str
    at: str | None = None


class Known(NamedTuple):
    """All that is on this machine about why a session has its headline. `processes` are those of its worker."""

    seen: Seen
    observed: Observed
    past: Past
    holder: Holder | None
    processes: list[int]
    booked: Booked
    ceilings: Ceilings
    room: Room | None


def explanation(known: Known) -> dict[str, Any]:
    """As `explain --json` prints it; docs/json.md describes it."""
    seen = known.seen
    head = seen.headline
    place, _ = decide(seen.status, seen.pull, known.observed)
    decides = RULES[place].of
    return {
        "number": seen.status["issueNumber"],
        "title": seen.status["issueTitle"],
        "headline": head.label,
        "why": head.why,
        "needsYou": head.needs_you,
        "rules": [
            {"asks": rule.asks, "applies": at == place}
            for at, rule in enumerate(RULES[: place + 1])
        ],
        "facts": [{**fact._asdict(), "decides": fact.name in decides} for fact in _facts(known)],
        "until": UNTIL[head.label],
        "next": next_command(seen.status, head.label),
    }


def explain_lines(found: dict[str, Any], now: float, columns: int) -> list[Line]:
    """The same for people, no line wider than `columns`."""
    colour = LOOKS[found["headline"]][1]
    why = f": {one_line(found['why'], 300)}" if found["why"] else ""
    head = [
        *_block(f"#{found['number']} ", one_line(found["title"], _SHOWN), "bold", columns),
        *_block("  ", f"{found['headline']}{why}", colour, columns),
    ]
    asked = [
        line
        for rule in found["rules"]
        for line in _block(
            "  yes  " if rule["applies"] else "  no   ",
            rule["asks"],
            colour if rule["applies"] else "dim",
            columns,
        )
    ]
    sections = {
        "Asked in this order": asked,
        "Known here (* decided it)": _fact_lines(found["facts"], now, columns),
        "It stays so until": _block("  ", found["until"], "", columns),
    }
    if found["next"]:
        sections["Next"] = _block("  ", found["next"], "bold", columns)
    titled = ([("", ""), (title, "bold"), *lines] for title, lines in sections.items())
    return [*head, *(line for lines in titled for line in lines)]


def _fact_lines(facts: list[dict[str, Any]], now: float, columns: int) -> list[Line]:
    lines: list[Line] = []
    for fact in facts:
        ago = f" ({age(now - seconds(fact['at']))} ago)" if fact["at"] else ""
        name = f"{'*' if fact['decides'] else ' '} {fact['name']:<{_NAMES - 2}}"
        style = "" if fact["decides"] else "dim"
        lines += _block(name, f"{one_line(fact['text'], 2 * _SHOWN)}{ago}", style, columns)
    return lines


def _block(start: str, text: str, style: str, columns: int) -> list[Line]:
    """A text that is broken where that is possible, each row below the first as far in as that one's."""
    rows = wrapped(text, max(20, columns - len(start)))
    return [((" " * len(start) if at else start) + row, style) for at, row in enumerate(rows)]


def _facts(known: Known) -> Iterator[Fact]:
    status, entries = known.seen.status, [(entry_of(line), line) for line in known.past.events]
    moves = [line for entry, line in entries if isinstance(entry, Transition)]
    since = str(moves[-1].get("at")) if moves else status["startedAt"]
    yield Fact("status", f"{status['status']}, attempt {status['attempt']}", since)
    reports = [(entry, line) for entry, line in entries if isinstance(entry, Report)]
    if reports:
        entry, line = reports[-1]
        refused = "" if entry.accepted else f", not accepted: {entry.reason}"
        yield Fact("report", f"{entry.report}{refused}", str(line.get("at")))
    else:
        yield Fact("report", "none yet")
    yield from _worker_facts(known)
    tried = counters(entry for entry, _ in entries)
    times = f"starts {tried.launches}, lost {tried.failures}, reminders {tried.nudges}"
    yield Fact("tries", f"{times}, waits {tried.waits}, since progress or a person")
    yield from _hold_facts(known)
    yield from _pull_facts(known.seen)
    yield Fact("budget", _budget_text(known))


def _worker_facts(known: Known) -> Iterator[Fact]:
    status, holder = known.seen.status, known.holder
    question, inbox = status["question"], [each["kind"] for each in known.past.pending]
    if question:
        count = f"{len(question['options'])} options" if question["options"] else "no options"
        asked = f"{question['id']}, {count}: {one_line(question['decision'], _SHOWN)}"
        yield Fact("question", asked, question["askedAt"])
    else:
        yield Fact("question", "none")
    yield Fact("inbox", f"{', '.join(inbox)} not taken yet" if inbox else "empty")
    held = f"{holder.role} holds the lease, pid {holder.pid}" if holder else "nobody has the lease"
    beat = "; last heartbeat" if status["lastHeartbeat"] else "; no heartbeat yet"
    yield Fact("worker", f"{held}{beat}", status["lastHeartbeat"])
    pids = ", ".join(map(str, known.processes[:5]))
    process = status["agentProcess"]
    code = process and process["exitCode"]
    ended = "" if code is None else f"; its agent ended with code {code}"
    runs = f"{len(known.processes)} of its worker run, pid {pids}" if pids else "none runs"
    yield Fact("processes", f"{runs}{ended}")
    last = status["lastActivity"]
    quiet = f"; {last['quiet']}" if last and last.get("quiet") else ""
    said = f"{one_line(last['text'], _SHOWN)}{quiet}" if last else "none"
    yield Fact("activity", said, last["at"] if last else None)


def _hold_facts(known: Known) -> Iterator[Fact]:
    status, observed = known.seen.status, known.observed
    yield Fact("hold", status["hold"] or "none")
    retry = f"again at {status['retryAt'][:16]} UTC" if status["retryAt"] else "waits for nothing"
    yield Fact("retry", retry.replace("T", " "))
    yield Fact("failure", status["failure"] or "none")
    yield Fact("publish", status["publish"]["reason"] if status["publish"] else "nothing is due")
    disk = "; the disk is full" * observed.full
    yield Fact("worktree", (observed.elsewhere or status["worktreePath"]) + disk)


def _pull_facts(seen: Seen) -> Iterator[Fact]:
    """As recorded, and when it was looked at."""
    pull, url = seen.pull, seen.status["pullRequestUrl"]
    if not pull:
        yield Fact("pull", f"{url}, not looked at yet" if url else "none")
        return
    at = pull.get("fetchedAt")
    state = "merged" if pull.get("merged") else pull.get("state", "not looked at")
    notes = "; ".join(["", *filter(None, pull_notes(pull))])
    yield Fact("pull", f"#{pull.get('number')} {state}{notes}", at)
    failing = ", ".join(str(each.get("name")) for each in pull.get("failingChecks", []))
    checks = pull.get("checks", "not looked at") + (f": {failing}" if failing else "")
    yield Fact("checks", checks, at)
    yield Fact("review", pull.get("review", "not looked at").replace("_", " "), at)
    clear = {True: "none", False: "yes", None: "GitHub does not say"}
    base = pull.get("base", "its base")
    yield Fact("conflict", f"with {base}: {clear[pull.get('mergeable')]}", at)


def _budget_text(known: Known) -> str:
    booked, limits = known.booked, known.ceilings
    spent = f"${booked.usd:.2f} spent" + (
        f", ${booked.reserved:.2f} reserved" * bool(booked.reserved)
    )
    spent += f", {booked.unknown} bookings of unknown cost" * bool(booked.unknown)
    named = {"for the issue": limits.per_issue, "a day": limits.per_day, "in total": limits.total}
    most = ", ".join(f"${usd:.2f} {name}" for name, usd in named.items() if usd is not None)
    if known.room is None:
        return f"{spent}; no ceiling"
    left = f"${known.room.usd:.2f} left" if known.room.usd > 0 else known.room.why
    return f"{spent}; at most {most}; {left}"
