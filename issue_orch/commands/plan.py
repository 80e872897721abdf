"""`issue-orch plan`: what is ready, and why the rest is not; for people and as JSON."""

from __future__ import annotations

import sys

from ..actions.context import connect, open_context
from ..actions.facts import fetch_plan
from ..terminal.io import colours, print_json, width
from ..terminal.plan import plan_json, plan_text


def plan(numbers: list[int], as_json: bool, stack: bool) -> int:
    context = open_context()
    with connect(context) as gh:
        found = fetch_plan(context, gh, numbers, stack)
    if as_json:
        print_json(**plan_json(found))
    else:
        sys.stdout.write(plan_text(found, width(sys.stdout), colours(sys.stdout)))
    return 0
