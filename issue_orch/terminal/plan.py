"""A plan as text, and as the JSON of `plan --json`. Pure: width and links are arguments."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from ..core.model import Issue
from ..core.overlap import Overlap
from ..core.plan import Eligible, Ineligible, Plan, reason_words
from ..core.ready import Reason
from ..text import and_more, one_line, wrapped
from .sessions import link

FEW = 5  # so many that are held by the same are listed one by one
_SHOWN_FILES = 10
_SHOWN_NAMES = 6
_INDENT = " " * 8


def plan_text(plan: Plan, columns: int, links: bool = False, whole: bool = False) -> str:
    """The report for a terminal; `links` makes the issue numbers clickable. Many that are held by the same are one line
    with their count, unless `whole`."""
    return "".join(f"{line}\n" for line in _plan_lines(plan, columns, links, whole))


def _plan_lines(plan: Plan, columns: int, links: bool, whole: bool) -> Iterator[str]:
    yield f"Eligible ({len(plan.eligible)})"
    yield from _eligible_lines(plan, plan.eligible, columns, links)
    if not plan.eligible:
        yield "  nothing is ready to start"
    if plan.ineligible:
        yield from ("", f"Ineligible ({len(plan.ineligible)})")
    yield from _ineligible_lines(plan.ineligible, columns, links, FEW if not whole else math.inf)
    if plan.stackable:
        yield from ("", f"Eligible with --stack ({len(plan.stackable)})")
        yield from _eligible_lines(plan, plan.stackable, columns, links)
    if plan.eligible:
        yield from ("", f"Overlap warnings ({len(plan.overlaps)})")
    for overlap in plan.overlaps:
        yield from _overlap_lines(overlap, columns)
    if plan.overlap_unknown:
        names = and_more([f"#{number}" for number in plan.overlap_unknown], 12)
        yield ""
        yield from _paragraph(
            f"Overlap unknown for {names}: not known which files they touch.", columns, ""
        )


def _ineligible_lines(
    refused: Sequence[Ineligible], columns: int, links: bool, few: float
) -> Iterator[str]:
    """Each with every reason; those of a kind of which there are more than `few` in one line, at the end."""
    kinds = {each.issue.number: each.reasons[0].kind for each in refused}
    counts = Counter(kinds.values())
    for each in refused:
        if counts[kinds[each.issue.number]] <= few:
            yield _title(each.issue, columns, links)
            for reason in each.reasons:
                yield from _paragraph(f"- {reason_words(reason)}", columns)
    many = [kind for kind, count in counts.most_common() if count > few]
    for kind in many:
        group = [each for each in refused if kinds[each.issue.number] == kind]
        texts = {each.reasons[0].text for each in group}
        words = texts.pop() if len(texts) == 1 else kind.replace("_", " ")
        names = and_more([f"#{each.issue.number}" for each in group], 4)
        yield from _paragraph(f"{len(group)} issues: {words} ({names})", columns, "  ")
    if many:
        yield "  (--all lists each of them)"


def _eligible_lines(
    plan: Plan, eligible: tuple[Eligible, ...], columns: int, links: bool
) -> Iterator[str]:
    for each in eligible:
        yield _title(each.issue, columns, links)
        if each.base:
            yield from _paragraph(
                f"starts on {each.base}, the branch of #{each.stacked_on}, which is complete",
                columns,
            )
        for words in each.unread:
            text = f"says {words}: not waited for, as it names no issue or is a quote"
            yield from _paragraph(text, columns)
        if waits := plan.held.get(each.issue.number):
            yield from _paragraph(f"waits for #{waits[0]}, which touches {waits[1]} too", columns)


def _title(issue: Issue, columns: int, links: bool) -> str:
    name = f"#{issue.number}"
    room = " " * max(0, 4 - len(name))
    return f"  {link(name, issue.url, links)}{room}  {one_line(issue.title, columns - 4 - len(name + room))}"


def _overlap_lines(overlap: Overlap, columns: int) -> Iterator[str]:
    names = [
        f"{'pull ' * touch.is_pull}#{touch.number} ({touch.source})" for touch in overlap.touches
    ]
    who, count = " <-> ".join(names[:_SHOWN_NAMES]), len(overlap.files)
    who += f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    yield from _paragraph(f"{who}: {count} shared file{'s'[: count > 1]}", columns, "  ")
    for path in overlap.files[:_SHOWN_FILES]:
        yield f"{_INDENT}{one_line(path, max(columns - 8, 20))}"
    if count > _SHOWN_FILES:
        yield f"{_INDENT}… and {count - _SHOWN_FILES} more"


def _paragraph(text: str, columns: int, indent: str = _INDENT) -> Iterator[str]:
    return wrapped(indent + one_line(text, 100_000), columns, "  ")


def plan_json(plan: Plan) -> dict[str, Any]:
    """What `plan --json` prints; docs/json.md describes it."""
    return {
        "schemaVersion": 1,
        "slots": plan.slots,
        "eligible": [_eligible_json(plan, each) for each in plan.eligible],
        "ineligible": [
            {
                **_issue_json(each.issue),
                "reasons": [_reason_json(reason) for reason in each.reasons],
            }
            for each in plan.ineligible
        ],
        "stackable": [_eligible_json(plan, each) for each in plan.stackable],
        "overlaps": [
            {
                "between": [
                    {
                        "number": touch.number,
                        "kind": "pull" if touch.is_pull else "issue",
                        "source": touch.source,
                    }
                    for touch in overlap.touches
                ],
                "files": list(overlap.files),
            }
            for overlap in plan.overlaps
        ],
        "overlapUnknown": list(plan.overlap_unknown),
    }


def _reason_json(reason: Reason) -> dict[str, str]:
    hint = {"hint": reason.hint} if reason.hint else {}
    return {"kind": reason.kind, "text": reason.text, "severity": reason.severity, **hint}


def _issue_json(issue: Issue) -> dict[str, Any]:
    return {"number": issue.number, "title": issue.title, "url": issue.url}


def _eligible_json(plan: Plan, each: Eligible) -> dict[str, Any]:
    waits = plan.held.get(each.issue.number)
    return {
        **_issue_json(each.issue),
        "base": each.base,
        "stackedOn": each.stacked_on,
        "waitsFor": {"number": waits[0], "path": waits[1]} if waits else None,
        "files": dict(each.files),
        "unread": list(each.unread),
    }
