"""The plan as people read it, and as JSON."""

from __future__ import annotations

from typing import Any

from .model import Issue
from .overlap import Overlap, Touch
from .plan import Eligible, Held, Plan
from .ready import and_more
from .text import display_width, one_line

SHOWN_FILES = 10
SHOWN_NAMES = 6
INDENT = " " * 8


def plan_text(plan: Plan, width: int, links: bool = False) -> str:
    """The report for a terminal of `width` columns; `links` makes the issue numbers clickable."""
    held = {each.number: each for each in plan.held}
    lines = [f"Eligible ({len(plan.eligible)})"]
    for each in plan.eligible:
        lines += [title(each.issue, width, links), *how(each, held.get(each.issue.number), width)]
    if not plan.eligible:
        lines += ["  nothing is ready to start"]
    if plan.ineligible:
        lines += ["", f"Ineligible ({len(plan.ineligible)})"]
    for refused in plan.ineligible:
        lines += [title(refused.issue, width, links)]
        lines += [line for reason in refused.reasons for line in wrapped(f"- {reason.text}", width)]
    if plan.stackable:
        lines += ["", f"Eligible with --stack ({len(plan.stackable)})"]
    for each in plan.stackable:
        lines += [title(each.issue, width, links), *how(each, None, width)]
    if plan.eligible:
        lines += ["", f"Overlap warnings ({len(plan.overlaps)})"]
    for overlap in plan.overlaps:
        lines += overlap_lines(overlap, width)
    if plan.overlap_unknown:
        names = and_more([f"#{number}" for number in plan.overlap_unknown], 12)
        text = f"Overlap unknown for {names}: not known which files they touch."
        lines += ["", *wrapped(text, width, "")]
    return "\n".join(lines) + "\n"


def title(issue: Issue, width: int, links: bool) -> str:
    name = f"#{issue.number}"
    room = " " * max(0, 4 - len(name))
    if links and issue.url.startswith(("http://", "https://")) and issue.url.isprintable():
        return f"  \x1b]8;;{issue.url}\x1b\\{name}\x1b]8;;\x1b\\{room}  {one_line(issue.title, width - 8)}"
    return f"  {name}{room}  {one_line(issue.title, width - 4 - max(4, len(name)))}"


def how(each: Eligible, held: Held | None, width: int) -> list[str]:
    lines: list[str] = []
    if each.base:
        lines += wrapped(f"starts on {each.base}, the branch of #{each.stacked_on}, which is complete", width)
    if held:
        lines += wrapped(f"waits for #{held.on}, which touches {held.path} too", width)
    return lines


def overlap_lines(overlap: Overlap, width: int) -> list[str]:
    names = [f"{touch_name(touch)} ({touch.source})" for touch in overlap.touches]
    count = len(overlap.files)
    who = " <-> ".join(names[:SHOWN_NAMES])
    who += f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    shown = [f"{INDENT}{one_line(path, max(width - 8, 20))}" for path in overlap.files[:SHOWN_FILES]]
    rest = [f"{INDENT}… and {count - SHOWN_FILES} more"] if count > SHOWN_FILES else []
    return [*wrapped(f"{who}: {count} shared file{'s'[: count > 1]}", width, "  "), *shown, *rest]


def touch_name(touch: Touch) -> str:
    return f"pull #{touch.number}" if touch.is_pull else f"#{touch.number}"


def wrapped(text: str, width: int, indent: str = INDENT) -> list[str]:
    """Lines of at most `width` columns where words allow it; what comes after the first is set in by two."""
    lines: list[str] = []
    line, used = indent, 0
    for word in one_line(text, 100_000).split():
        if used and display_width(line) + 1 + display_width(word) > width:
            lines.append(line)
            line, used = f"{indent}  ", 0
        line, used = f"{line} {word}" if used else f"{line}{word}", used + 1
    return [*lines, line]


def plan_json(plan: Plan) -> dict[str, Any]:
    """What `plan --json` prints."""
    held = {each.number: each for each in plan.held}
    return {
        "schemaVersion": 1,
        "slots": plan.slots,
        "eligible": [eligible_json(each, held.get(each.issue.number)) for each in plan.eligible],
        "ineligible": [
            {**issue_json(each.issue), "reasons": [reason._asdict() for reason in each.reasons]}
            for each in plan.ineligible
        ],
        "stackable": [eligible_json(each, None) for each in plan.stackable],
        "overlaps": [overlap_json(overlap) for overlap in plan.overlaps],
        "overlapUnknown": list(plan.overlap_unknown),
    }


def issue_json(issue: Issue) -> dict[str, Any]:
    return {"number": issue.number, "title": issue.title, "url": issue.url}


def eligible_json(each: Eligible, held: Held | None) -> dict[str, Any]:
    """`base` null: the base of the repository. `files`: how each path is known to be touched."""
    return {
        **issue_json(each.issue),
        "base": each.base,
        "stackedOn": each.stacked_on,
        "waitsFor": {"number": held.on, "path": held.path} if held else None,
        "files": dict(each.files),
    }


def overlap_json(overlap: Overlap) -> dict[str, Any]:
    between = [
        {"number": touch.number, "kind": "pull" if touch.is_pull else "issue", "source": touch.source}
        for touch in overlap.touches
    ]
    return {"between": between, "files": list(overlap.files)}
