"""The plan: what starts, in which order, what holds the rest, and who touches the same files."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

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
from .ready import Facts, Index, Reason, Rules, index_of, stack_on, why_not

LONGEST_BACKOFF = 600.0  # seconds


class Eligible(NamedTuple):
    """An issue that may start; on the branch `base` of the complete session `stacked_on`, if set."""

    issue: Issue
    base: str | None
    stacked_on: int | None
    files: Mapping[str, Source]


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
    busy: Mapping[str, frozenset[int]]
    serialize: bool


class Failure(NamedTuple):
    """Starts of an issue that failed in a row; `retry_at` is seconds since the epoch."""

    in_a_row: int
    retry_at: float


def plan(facts: Facts, rules: Rules, slots: int) -> Plan:
    """The plan for `slots` free places. Pulls among the issues are left out."""
    index = index_of(facts)
    startable: list[Eligible] = []
    stackable: list[Eligible] = []
    ineligible: list[Ineligible] = []
    for issue in index.issues.values():
        reasons = why_not(issue, facts, rules, index)
        below = stack_on(issue, facts, index)
        start = Eligible(issue, facts.sessions[below].branch if below else None, below, {})
        if not reasons:
            startable.append(start)
        elif not issue.is_pull:
            ineligible.append(Ineligible(issue, reasons))
            if below and len(reasons) == 1 and reasons[0].kind == "blocked":
                stackable.append(start)
    startable.sort(key=order(rules))
    ineligible.sort(key=lambda each: each.issue.number)
    mine = [Item(each.issue.number, False, text_files(each.issue, facts)) for each in startable]
    items, unknown = resolve([*mine, *(live_items(facts, index) if mine else ())], facts.tree)
    eligible = tuple(
        each._replace(files=item.files) for each, item in zip(startable, items, strict=False)
    )
    busy: dict[str, set[int]] = {}
    for item in items[len(eligible) :]:
        if not item.is_pull:
            claim(item.number, item.files, busy)
    found = overlaps(items, {item.number for item in mine})
    stacked = {
        frozenset((each.issue.number, each.stacked_on)) for each in eligible if each.stacked_on
    }
    return Plan(
        slots=slots,
        eligible=eligible,
        ineligible=tuple(ineligible),
        overlaps=tuple(
            each
            for each in found
            if frozenset(touch.number for touch in each.touches) not in stacked
        ),
        overlap_unknown=tuple(sorted(unknown)),
        stackable=tuple(sorted(stackable, key=order(rules))),
        held=held_back(eligible, busy) if rules.serialize else {},
        busy={path: frozenset(numbers) for path, numbers in busy.items()},
        serialize=rules.serialize,
    )


def order(rules: Rules) -> Callable[[Eligible], tuple[object, ...]]:
    """The key of what starts first: priority label, then milestone (none last), then the oldest."""
    rank = {label.casefold(): at for at, label in reversed([*enumerate(rules.priorities)])}
    milestones: dict[str | None, tuple[object, ...]] = {None: (1,)}

    def key(each: Eligible) -> tuple[object, ...]:
        issue = each.issue
        if issue.milestone not in milestones:
            milestones[issue.milestone] = (0, natural(issue.milestone or ""))
        first = min(
            (rank.get(label.casefold(), len(rank)) for label in issue.labels), default=len(rank)
        )
        return first, milestones[issue.milestone], issue.created_at, issue.number

    return key


def natural(text: str) -> tuple[object, ...]:
    """A key under which v1.9 comes before v1.10. Digits compare by length and text: any number of them is fine."""
    parts = re.split("([0-9]+)", text.casefold())
    return tuple(
        (len(part.lstrip("0")), part.lstrip("0")) if at % 2 else part
        for at, part in enumerate(parts)
    )


def text_files(issue: Issue, facts: Facts) -> Mapping[str, Source]:
    """What the issue declares, else what its text seems to speak of."""
    if declared := declared_files(issue.body):
        return dict.fromkeys(declared, "declared")
    return dict.fromkeys(inferred_files(f"{issue.title}\n{issue.body}", facts.tree), "inferred")


def live_items(facts: Facts, index: Index) -> list[Item]:
    """What is being worked on: sessions with their pulls, and the pulls of others."""
    found: list[Item] = []
    live = {number for number, known in facts.sessions.items() if known.phase != "cancelled"}
    for number in sorted(live | set(index.pulls)):
        files: dict[str, Source] = {}
        if number in live:
            files.update(dict.fromkeys(facts.sessions[number].planned_files, "planned"))
        for pull in index.pulls.get(number, ()):
            files.update(dict.fromkeys(pull.files or (), "pull"))
        if number in live:
            files.update(dict.fromkeys(facts.sessions[number].changed_files, "actual"))
        if not files and number in index.issues:
            files.update(text_files(index.issues[number], facts))
        found.append(Item(number, False, files))
    theirs = [pull for pull in facts.pulls if pull.issue is None]
    return [
        *found,
        *(Item(pull.number, True, dict.fromkeys(pull.files or (), "pull")) for pull in theirs),
    ]


def held_back(
    eligible: tuple[Eligible, ...], busy: Mapping[str, Collection[int]]
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
    claimed = {path: set(numbers) for path, numbers in plan.busy.items()}
    for each in plan.eligible:
        if each.issue.number in running:
            claim(each.issue.number, each.files, claimed)
    due = [
        each
        for each in plan.eligible
        if each.issue.number not in running
        and ((failure := failures.get(each.issue.number)) is None or failure.retry_at <= now)
    ]
    due.sort(
        key=lambda each: (
            failures[each.issue.number].in_a_row if each.issue.number in failures else 0
        )
    )
    chosen: list[Eligible] = []
    for each in due:
        if len(chosen) >= slots - len(running):
            break
        if plan.serialize and clash(each.files, claimed, each.stacked_on):
            continue
        claim(each.issue.number, each.files, claimed)
        chosen.append(each)
    return tuple(chosen)


def next_failure(before: Failure | None, now: float, interval: float) -> Failure:
    """One more failure of a start; the delays double from `interval` on (seconds)."""
    again = (before.in_a_row if before else 0) + 1
    return Failure(again, now + min(max(interval, 1.0) * 2.0 ** (again - 1), LONGEST_BACKOFF))
