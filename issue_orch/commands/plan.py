"""`issue-orch plan`: what is ready, and why the rest is not; for people and as JSON."""

from __future__ import annotations

import sys

from ..actions.context import connect, open_context
from ..actions.facts import fetch_plan
from ..actions.taken import Branches
from ..terminal.io import colours, print_json, warn, width
from ..terminal.plan import plan_json, plan_text


def plan(numbers: list[int], as_json: bool, stack: bool, everything: bool) -> int:
    context = open_context()
    branches = Branches(context, starts=False)
    with connect(context) as gh:
        found = fetch_plan(context, gh, numbers, stack, branches)
    if branches.problem:
        warn(f"what others have pushed is not known: {branches.problem}")
    if as_json:
        print_json(**plan_json(found))
    else:
        sys.stdout.write(
            plan_text(found, width(sys.stdout), colours(sys.stdout), bool(numbers) or everything)
        )
    return 0
