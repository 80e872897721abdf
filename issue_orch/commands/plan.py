"""`issue-orch plan`: what is ready, and why the rest is not; for people and as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from ..actions.context import Context, connect, open_context
from ..actions.facts import fetch_me, fetch_open_pulls, gather, rules_of
from ..core.model import Issue, find_number
from ..core.overlap import Overlap
from ..core.plan import Eligible, Plan
from ..core.plan import plan as make_plan
from ..core.ready import and_more
from ..errors import NotFound, Usage
from ..terminal.io import colours, print_json, say, width
from ..terminal.sessions import link
from ..text import one_line, wrapped

if TYPE_CHECKING:
    from ..github.client import GitHub


MOST_AT_ONCE = 8  # GitHub does not like many requests at the same time
SHOWN_FILES = 10
SHOWN_NAMES = 6
INDENT = " " * 8


def plan(numbers: list[int], as_json: bool, stack: bool) -> int:
    context = open_context()
    with connect(context) as gh:
        found = fetch_plan(context, gh, numbers, stack)
    if as_json:
        print_json(plan_json(found))
    else:
        sys.stdout.write(plan_text(found, width(sys.stdout), colours(sys.stdout)))
    return 0


def fetch_plan(
    context: Context, gh: GitHub, numbers: list[int], stack: bool, with_files: bool = True
) -> Plan:
    """The plan of all ready issues, or of the named ones. Files, which overlap is about, only `with_files`."""
    for warning in context.config.warnings:
        say(f"warning: {warning}")
    if sys.stderr.isatty():
        say(f"Asking {context.name} …")
    with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        pulls = pool.submit(fetch_open_pulls, context, gh, with_files)
        issues = (
            list(pool.map(partial(fetch_one, gh), dict.fromkeys(numbers)))
            if numbers
            else gh.fetch_issues()
        )
    me = (
        fetch_me(gh)
        if context.config.ready_assigned == "me" or any(issue.assignees for issue in issues)
        else None
    )
    rules = rules_of(context, me, stack)
    facts = gather(context, gh, issues, with_files, pulls.result())
    active = sum(session.active for session in facts.sessions.values())
    return make_plan(facts, rules, max(0, context.config.max_workers - active))


def fetch_one(gh: GitHub, number: int) -> Issue:
    if find_number(str(number)) is None:
        raise Usage(f"{number} is not the number of an issue", "issue-orch plan")
    try:
        issue = gh.fetch_issue(number)
    except NotFound as error:
        raise NotFound(
            f"#{number}: there is no such issue in {gh.repo}, or the token may not see it",
            "issue-orch plan, or issue-orch doctor for the token",
        ) from error
    if issue.is_pull:
        raise Usage(f"#{number} is a pull, not an issue", "issue-orch plan")
    return issue


def plan_text(plan: Plan, columns: int, links: bool = False) -> str:
    """The report for a terminal; `links` makes the issue numbers clickable."""
    return "".join(f"{line}\n" for line in plan_lines(plan, columns, links))


def plan_lines(plan: Plan, columns: int, links: bool) -> Iterator[str]:
    yield f"Eligible ({len(plan.eligible)})"
    yield from eligible_lines(plan, plan.eligible, columns, links)
    if not plan.eligible:
        yield "  nothing is ready to start"
    if plan.ineligible:
        yield from ("", f"Ineligible ({len(plan.ineligible)})")
    for refused in plan.ineligible:
        yield title(refused.issue, columns, links)
        for reason in refused.reasons:
            yield from paragraph(f"- {reason.text}", columns)
    if plan.stackable:
        yield from ("", f"Eligible with --stack ({len(plan.stackable)})")
        yield from eligible_lines(plan, plan.stackable, columns, links)
    if plan.eligible:
        yield from ("", f"Overlap warnings ({len(plan.overlaps)})")
    for overlap in plan.overlaps:
        yield from overlap_lines(overlap, columns)
    if plan.overlap_unknown:
        names = and_more([f"#{number}" for number in plan.overlap_unknown], 12)
        yield ""
        yield from paragraph(
            f"Overlap unknown for {names}: not known which files they touch.", columns, ""
        )


def eligible_lines(
    plan: Plan, eligible: tuple[Eligible, ...], columns: int, links: bool
) -> Iterator[str]:
    for each in eligible:
        yield title(each.issue, columns, links)
        if each.base:
            yield from paragraph(
                f"starts on {each.base}, the branch of #{each.stacked_on}, which is complete",
                columns,
            )
        if waits := plan.held.get(each.issue.number):
            yield from paragraph(f"waits for #{waits[0]}, which touches {waits[1]} too", columns)


def title(issue: Issue, columns: int, links: bool) -> str:
    name = f"#{issue.number}"
    room = " " * max(0, 4 - len(name))
    return f"  {link(name, issue.url, links)}{room}  {one_line(issue.title, columns - 4 - len(name + room))}"


def overlap_lines(overlap: Overlap, columns: int) -> Iterator[str]:
    names = [
        f"{'pull ' * touch.is_pull}#{touch.number} ({touch.source})" for touch in overlap.touches
    ]
    who, count = " <-> ".join(names[:SHOWN_NAMES]), len(overlap.files)
    who += f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    yield from paragraph(f"{who}: {count} shared file{'s'[: count > 1]}", columns, "  ")
    for path in overlap.files[:SHOWN_FILES]:
        yield f"{INDENT}{one_line(path, max(columns - 8, 20))}"
    if count > SHOWN_FILES:
        yield f"{INDENT}… and {count - SHOWN_FILES} more"


def paragraph(text: str, columns: int, indent: str = INDENT) -> Iterator[str]:
    return wrapped(indent + one_line(text, 100_000), columns, "  ")


def plan_json(plan: Plan) -> dict[str, Any]:
    """What `plan --json` prints; docs/json.md describes it."""
    return {
        "schemaVersion": 1,
        "slots": plan.slots,
        "eligible": [eligible_json(plan, each) for each in plan.eligible],
        "ineligible": [
            {**issue_json(each.issue), "reasons": [reason._asdict() for reason in each.reasons]}
            for each in plan.ineligible
        ],
        "stackable": [eligible_json(plan, each) for each in plan.stackable],
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


def issue_json(issue: Issue) -> dict[str, Any]:
    return {"number": issue.number, "title": issue.title, "url": issue.url}


def eligible_json(plan: Plan, each: Eligible) -> dict[str, Any]:
    waits = plan.held.get(each.issue.number)
    return {
        **issue_json(each.issue),
        "base": each.base,
        "stackedOn": each.stacked_on,
        "waitsFor": {"number": waits[0], "path": waits[1]} if waits else None,
        "files": dict(each.files),
    }
