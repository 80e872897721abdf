"""The plan: what starts, in which order, what holds the rest, and who touches the same files."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from ..markdown import shown
from .model import Issue
from .overlap import (
    Item,
    Overlap,
    Source,
    claim,
    clash,
    declared_files,
    inferred_files,
    overlaps,
    resolve,
)
from .ready import Facts, Index, Reason, Rules, SessionFacts, index_of, stack_on, why_not
from .wording import said

LONGEST_BACKOFF = 600.0  # seconds


class Eligible(NamedTuple):
    """An issue that may start; on the branch `base` of the complete session `stacked_on`, if set. `unread` are words of
    its text that sound like a dependency and name no issue: nothing is waited for."""

    issue: Issue
    base: str | None
    stacked_on: int | None
    files: Mapping[str, Source] = {}
    unread: tuple[str, ...] = ()


class Ineligible(NamedTuple):
    issue: Issue
    reasons: tuple[Reason, ...]


class Plan(NamedTuple):
    """`eligible` is in the order of starting. `stackable` would start with `stack`. `busy` is who works on a file.

    With `serialize`, `held` says for which issue an eligible one waits, and for which file.
    """

    slots: int
    eligible: tuple[Eligible, ...]
    ineligible: tuple[Ineligible, ...]
    overlaps: tuple[Overlap, ...]
    overlap_unknown: tuple[int, ...]
    stackable: tuple[Eligible, ...]
    held: Mapping[int, tuple[int, str]]
    busy: Mapping[str, set[int]]
    serialize: bool


class Failure(NamedTuple):
    """Starts of an issue that failed in a row; `retry_at` is seconds since the epoch."""

    in_a_row: int
    retry_at: float


def reason_words(reason: Reason) -> str:
    return f"{reason.text} ({reason.hint})" if reason.hint else reason.text


def plan(facts: Facts, rules: Rules, slots: int) -> Plan:
    """The plan for `slots` free places. Pulls among the issues are left out."""
    index = index_of(facts)
    startable: list[Eligible] = []
    stackable: list[Eligible] = []
    ineligible: list[Ineligible] = []
    for issue in sorted(index.issues.values(), key=_order(rules)):
        reasons, below = why_not(issue, facts, rules, index), stack_on(issue, facts, index)
        start = Eligible(issue, facts.sessions[below].branch if below else None, below)
        if not reasons:
            startable.append(start._replace(unread=said(issue, facts.repo).unread))
        elif not issue.is_pull:
            ineligible.append(Ineligible(issue, reasons))
            if below and [reason.kind for reason in reasons] == ["blocked"]:
                stackable.append(start)
    mine = [Item(each.issue.number, False, _text_files(each.issue, facts)) for each in startable]
    items, unknown = resolve([*mine, *(_live_items(facts, index) if mine else ())], facts.tree)
    eligible = tuple(
        each._replace(files=item.files) for each, item in zip(startable, items, strict=False)
    )
    busy: dict[str, set[int]] = {}
    for item in items[len(eligible) :]:
        if not item.is_pull:
            claim(item.number, item.files, busy)
    stacked = [{each.issue.number, each.stacked_on} for each in eligible if each.stacked_on]
    return Plan(
        slots=slots,
        eligible=eligible,
        ineligible=tuple(sorted(ineligible, key=lambda each: each.issue.number)),
        overlaps=tuple(
            each
            for each in overlaps(items, {item.number for item in mine})
            if {touch.number for touch in each.touches} not in stacked
        ),
        overlap_unknown=tuple(sorted(unknown)),
        stackable=tuple(stackable),
        held=_held_back(eligible, busy) if rules.serialize else {},
        busy=busy,
        serialize=rules.serialize,
    )


def _order(rules: Rules) -> Callable[[Issue], tuple[object, ...]]:
    """The key of what starts first: priority label, then milestone (none last), then the oldest."""

    def key(issue: Issue) -> tuple[object, ...]:
        of = (at for at, label in enumerate(rules.priorities) if issue.has([label]))
        rank = next(of, len(rules.priorities))
        milestone = _natural(issue.milestone) if issue.milestone else ()
        return rank, not milestone, milestone, issue.created_at, issue.number

    return key


def _natural(text: str) -> tuple[object, ...]:
    """A key under which v1.9 comes before v1.10. Digits compare by length and text: any number of them is fine."""
    parts = re.split("([0-9]+)", text.casefold())
    return tuple(
        (len(part.lstrip("0")), part.lstrip("0")) if at % 2 else part
        for at, part in enumerate(parts)
    )


def _text_files(issue: Issue, facts: Facts) -> Mapping[str, Source]:
    """What the issue declares, else what its text seems to speak of."""
    if declared := declared_files(issue.body):
        return dict.fromkeys(declared, "declared")
    body = shown(issue.body) if "<!--" in issue.body else issue.body
    return dict.fromkeys(inferred_files(f"{issue.title}\n{body}", facts.tree), "inferred")


def _live_items(facts: Facts, index: Index) -> list[Item]:
    """What is being worked on: sessions with their pulls, and the pulls of others."""
    live = {number: each for number, each in facts.sessions.items() if each.phase != "cancelled"}
    numbers = sorted(live.keys() | {pull.issue for pull in facts.pulls if pull.issue})
    theirs = index.pulls.get(None, ())
    return [
        *(Item(number, False, _live_files(number, live, facts, index)) for number in numbers),
        *(Item(pull.number, True, dict.fromkeys(pull.files, "pull")) for pull in theirs),
    ]


def _live_files(
    number: int, live: Mapping[int, SessionFacts], facts: Facts, index: Index
) -> Mapping[str, Source]:
    known = live.get(number, SessionFacts("cancelled", False, ""))
    files: dict[str, Source] = dict.fromkeys(known.planned_files, "planned")
    for pull in index.pulls.get(number, ()):
        files.update(dict.fromkeys(pull.files, "pull"))
    files.update(dict.fromkeys(known.changed_files, "actual"))
    if not files and number in index.issues:
        return _text_files(index.issues[number], facts)
    return files


def _held_back(
    eligible: Iterable[Eligible], busy: Mapping[str, Collection[int]]
) -> dict[int, tuple[int, str]]:
    """Which of the eligible wait for which, when files are never worked on twice at a time."""
    claimed = {path: set(numbers) for path, numbers in busy.items()}
    held: dict[int, tuple[int, str]] = {}
    for each in eligible:
        if found := clash(each.files, claimed, each.stacked_on):
            held[each.issue.number] = found
        else:
            claim(each.issue.number, each.files, claimed)
    return held


def next_starts(
    plan: Plan,
    slots: int,
    running: Collection[int],
    failures: Mapping[int, Failure] = {},
    now: float = 0,
) -> tuple[Eligible, ...]:
    """What to start now, with `slots` in all and `running` in use (seconds since the epoch for `now`).

    An issue whose start failed waits until its time, and then comes after those that failed less often: it never
    keeps others from starting, and neither do files that only it would touch.
    """
    busy = {path: set(numbers) for path, numbers in plan.busy.items()}
    due: list[tuple[int, Eligible]] = []
    for each in plan.eligible:
        failed = failures.get(each.issue.number, Failure(0, 0))
        if each.issue.number in running:
            claim(each.issue.number, each.files, busy)
        elif failed.retry_at <= now:
            due.append((failed.in_a_row, each))
    waiting = [each for _, each in sorted(due, key=lambda each: each[0])]
    held = _held_back(waiting, busy) if plan.serialize else {}
    free = max(0, slots - len(running))
    return tuple(each for each in waiting if each.issue.number not in held)[:free]


def next_failure(before: Failure | None, now: float, interval: float) -> Failure:
    """One more failure of a start; the delays double from `interval` on (seconds)."""
    again = (before.in_a_row if before else 0) + 1
    return Failure(again, now + min(max(interval, 1.0) * 2.0 ** (again - 1), LONGEST_BACKOFF))
