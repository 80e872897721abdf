"""`issue-orch plan`: what is ready, and why the rest is not."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from ..context import Context, connect, open_context
from ..errors import NotFound, Usage
from ..gather import fetch_me, gather, rules_of
from ..model import Issue
from ..plan import Plan
from ..plan import plan as make_plan
from ..shell import colours, print_json, say, width

if TYPE_CHECKING:
    from ..github import GitHub


MOST_AT_ONCE = 8  # GitHub does not like many requests at the same time


def plan(numbers: list[int], as_json: bool, stack: bool) -> int:
    from ..plan_text import plan_json, plan_text

    context = open_context()
    with connect(context) as gh:
        found, _ = fetch_plan(context, gh, numbers, stack)
    if as_json:
        print_json(plan_json(found))
    else:
        sys.stdout.write(plan_text(found, width(sys.stdout), colours(sys.stdout)))
    return 0


def fetch_plan(context: Context, gh: GitHub, numbers: list[int], stack: bool) -> tuple[Plan, int]:
    """The plan of all ready issues (or of the named ones), and how many places are free."""
    for warning in context.config.warnings:
        say(f"warning: {warning}")
    if sys.stderr.isatty():
        say(f"Asking {context.name} …")
    issues = fetch_named(gh, numbers) if numbers else gh.fetch_issues()
    me = fetch_me(gh) if context.config.ready_assigned == "me" or any(issue.assignees for issue in issues) else None
    rules = rules_of(context, me, stack, trust=False)
    facts = gather(context, gh, issues)
    active = sum(session.active for session in facts.sessions.values())
    free = max(0, context.config.max_workers - active)
    return make_plan(facts, rules, free), free


def fetch_named(gh: GitHub, numbers: list[int]) -> list[Issue]:
    with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        return list(pool.map(lambda number: fetch_one(gh, number), dict.fromkeys(numbers)))


def fetch_one(gh: GitHub, number: int) -> Issue:
    if number < 1:
        raise Usage(f"{number} is not the number of an issue", "issue-orch plan")
    try:
        issue = gh.fetch_issue(number)
    except NotFound as error:
        raise NotFound(f"#{number}: there is no such issue in {gh.repo}, or the token may not see it",
                       "issue-orch plan, or issue-orch doctor for the token") from error
    if issue.is_pull:
        raise Usage(f"#{number} is a pull, not an issue", "issue-orch plan")
    return issue
