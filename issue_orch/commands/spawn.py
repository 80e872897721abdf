"""`issue-orch spawn`: start workers, for named issues or for what the plan offers."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING

from ..actions import launch
from ..actions import spawn as act
from ..actions.context import Context, connect, open_context
from ..actions.facts import fetch_plan
from ..actions.spawn import Outcome
from ..config.layers import check_agent
from ..core.model import Issue
from ..core.plan import Eligible, Plan, next_starts
from ..core.ready import Reason
from ..errors import Expected, Usage
from ..store import ledger
from ..terminal.io import colours, confirm, fail, print_json, say, width
from ..terminal.plan import plan_text
from ..text import one_line

if TYPE_CHECKING:
    from ..github.client import GitHub

# What naming an issue on the command line approves.
APPROVED_BY_NAME = frozenset({"missing_label", "milestone", "assigned_elsewhere"})


def spawn(
    numbers: list[int], yes: bool, reuse: bool, agent: str | None, stack: bool, as_json: bool
) -> int:
    context = open_context({"agent": agent})
    check_agent(context.config)
    sys.setswitchinterval(
        0.0002
    )  # a thread that starts git needs the interpreter for moments, while another one imports
    before = act.last_base(context)
    with ExitStack() as held:
        pool = held.enter_context(ThreadPoolExecutor())
        connected = pool.submit(connect, context)
        default = pool.submit(act.find_default, context, before, connected.result)
        ahead = held.enter_context(act.checkouts_ahead(context, numbers, before))
        with connected.result() as gh:
            pool.submit(import_module, "issue_orch.config.templates")
            eligible = (
                named(context, gh, numbers, stack, yes)
                if numbers
                else offered(context, gh, stack, yes)
            )
            starts = (
                act.make_starts(context, gh, eligible, reuse, default.result()) if eligible else []
            )
        if not starts:
            return int(bool(numbers))
        for _, warning in ledger.warnings(
            context.state, launch.ceilings(context.config), time.time()
        ):
            say(f"warning: {warning}")
        if sys.stderr.isatty():
            say(f"Starting {len(starts)} …")
        outcomes = act.spawn(context, starts, ahead)
    refused = len(set(numbers)) - len(eligible) if numbers else 0
    show(context, outcomes, as_json)
    return int(bool(refused or any(outcome.error for outcome in outcomes)))


def offered(context: Context, gh: GitHub, stack: bool, yes: bool) -> list[Eligible]:
    """Show the plan, ask, and take what fits."""
    found = fetch_plan(context, gh, [], stack)
    say(plan_text(found, width(sys.stderr), colours(sys.stderr)))
    chosen = next_starts(found, found.slots, ())
    if not chosen:
        say(nothing_to_start(context, found))
        return []
    names = ", ".join(f"#{each.issue.number}" for each in chosen)
    if not yes:
        if not sys.stdin.isatty():
            raise Usage(
                f"would start {names}; there is no terminal to ask on",
                "issue-orch spawn --yes, or name the issues",
            )
        if not confirm(f"Start {names}?", True):
            return []
    return list(chosen)


def nothing_to_start(context: Context, found: Plan) -> str:
    if found.eligible and not found.slots:
        return f"All {context.config.max_workers} places are taken. issue-orch status"
    labels = ", ".join(f'"{label}"' for label in context.config.ready_labels)
    return f"Nothing is ready. Label issues with {labels}, or name them: issue-orch spawn NUMBER"


def named(
    context: Context, gh: GitHub, numbers: list[int], stack: bool, yes: bool
) -> list[Eligible]:
    """The named issues that may start. Their titles are shown, so naming them approves them."""
    found = fetch_plan(context, gh, numbers, stack, with_files=False)
    chosen = {each.issue.number: each for each in found.eligible}
    for each in found.ineligible:
        if not holding(each.issue, each.reasons, yes):
            chosen[each.issue.number] = Eligible(each.issue, None, None, {})
    for number in numbers:
        if number in chosen:
            say(f"#{number} {one_line(chosen[number].issue.title, 100)}")
    return [chosen[number] for number in dict.fromkeys(numbers) if number in chosen]


def holding(issue: Issue, reasons: tuple[Reason, ...], yes: bool) -> bool:
    """Whether something holds the issue; says what. What only `asks` is asked, or overruled by --yes."""
    left = [reason for reason in reasons if reason.kind not in APPROVED_BY_NAME]
    holds = [reason for reason in left if reason.severity == "holds"]
    if holds:
        words = "; ".join(reason.text for reason in holds)
        fail(
            Expected(
                f"#{issue.number} {one_line(issue.title, 60)}: {words}",
                f"issue-orch plan {issue.number}",
            )
        )
        return True
    for reason in left:
        if reason.kind == "session_cancelled":
            fail(
                Expected(
                    f"#{issue.number}: {reason.text}",
                    f"issue-orch prune {issue.number} --cancelled",
                )
            )
            return True
        say(f"#{issue.number}: {reason.text}")
        if yes:
            continue
        if not sys.stdin.isatty():
            fail(
                Expected(
                    f"#{issue.number}: not started: {reason.text}",
                    f"issue-orch spawn {issue.number} --yes",
                )
            )
            return True
        if not confirm(f"Start #{issue.number} all the same?", False):
            return True
    return False


def show(context: Context, outcomes: list[Outcome], as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "number": each.number,
                "started": each.error is None,
                "branch": each.branch,
                "worktreePath": each.path,
                "error": each.error.message if each.error else None,
            }
            for each in outcomes
        ]
        print_json({"schemaVersion": 1, "started": rows})
        return
    for each in outcomes:
        if each.error:
            fail(each.error)
        else:
            sys.stdout.write(f"#{each.number}: worker started on {each.branch} in {each.path}\n")
