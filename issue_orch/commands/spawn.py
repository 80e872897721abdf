"""`issue-orch spawn`: start workers, for named issues or for what the plan offers."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING

from ..actions import spawn as act
from ..actions.context import Context, connect, open_context
from ..actions.facts import fetch_plan
from ..actions.launch import ceilings
from ..actions.spawn import Outcome
from ..config.keys import Config
from ..config.layers import check_agent
from ..core.model import Issue
from ..core.plan import Eligible, Plan, next_starts
from ..core.ready import Reason, not_approved, quoted
from ..errors import Expected, Usage
from ..store.ledger import warnings
from ..terminal.io import colours, confirm, fail, print_json, progress, say, warn, width
from ..terminal.plan import plan_text
from ..text import one_line

if TYPE_CHECKING:
    from ..github.client import GitHub


def spawn(
    numbers: list[int], yes: bool, reuse: bool, agent: str | None, stack: bool, as_json: bool
) -> int:
    context = open_context({"agent": agent})
    check_agent(context.config)
    # A thread that starts git needs the interpreter for moments, while another one imports.
    sys.setswitchinterval(0.0002)
    before = act.last_base(context)
    with ExitStack() as held:
        pool = held.enter_context(ThreadPoolExecutor())
        connected = pool.submit(connect, context)
        default = pool.submit(act.find_default, context, before, connected.result)
        ahead = held.enter_context(act.checkouts_ahead(context, numbers, before))
        with connected.result() as gh:
            pool.submit(import_module, "issue_orch.config.templates")
            eligible = (
                _named(context, gh, numbers, stack, yes)
                if numbers
                else _offered(context, gh, stack, yes)
            )
            starts = (
                act.make_starts(context, gh, eligible, reuse, default.result()) if eligible else []
            )
        if not starts:
            return int(bool(numbers))
        spent = warnings(context.state, ceilings(context.config), time.time())
        warn(*(text for _, text in spent))
        progress(f"Starting {len(starts)} …")
        outcomes = act.spawn(context, starts, ahead)
    refused = len(set(numbers)) - len(eligible) if numbers else 0
    _show(outcomes, as_json)
    return int(bool(refused or any(outcome.error for outcome in outcomes)))


def _offered(context: Context, gh: GitHub, stack: bool, yes: bool) -> list[Eligible]:
    """Show the plan, ask, and take what fits."""
    found = fetch_plan(context, gh, [], stack)
    say(plan_text(found, width(sys.stderr), colours(sys.stderr)))
    chosen = next_starts(found, found.slots, ())
    if not chosen:
        say(_nothing_to_start(context.config, found))
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


def _nothing_to_start(config: Config, found: Plan) -> str:
    if found.eligible and not found.slots:
        return f"All {config.max_workers} places are taken. issue-orch status"
    labels = quoted(config.ready_labels)
    return f"Nothing is ready. Label issues with {labels}, or name them: issue-orch spawn NUMBER"


def _named(
    context: Context, gh: GitHub, numbers: list[int], stack: bool, yes: bool
) -> list[Eligible]:
    """The named issues that may start. Their titles are shown, so naming them approves them."""
    found = fetch_plan(context, gh, numbers, stack, with_files=False)
    chosen = {each.issue.number: each for each in found.eligible}
    for issue, reasons in found.ineligible:
        if not _holds(issue, reasons, yes):
            chosen[issue.number] = Eligible(issue, None, None, {})
    starts = [chosen[number] for number in dict.fromkeys(numbers) if number in chosen]
    for each in starts:
        say(f"#{each.issue.number} {one_line(each.issue.title, 100)}")
    return starts


def _holds(issue: Issue, reasons: Iterable[Reason], yes: bool) -> bool:
    """Whether something holds the issue; says what. What only `asks` is asked, or overruled by --yes."""
    left, name = not_approved(reasons), f"#{issue.number}"
    if holds := "; ".join(reason.text for reason in left if reason.severity == "holds"):
        title = one_line(issue.title, 60)
        return _refuse(f"{name} {title}: {holds}", f"issue-orch plan {issue.number}")
    for reason in left:
        if reason.kind == "session_cancelled":
            hint = f"issue-orch prune {issue.number} --cancelled"
            return _refuse(f"{name}: {reason.text}", hint)
        say(f"{name}: {reason.text}")
        if not yes and not sys.stdin.isatty():
            hint = f"issue-orch spawn {issue.number} --yes"
            return _refuse(f"{name}: not started: {reason.text}", hint)
        if not yes and not confirm(f"Start {name} all the same?", False):
            return True
    return False


def _refuse(text: str, hint: str) -> bool:
    fail(Expected(text, hint))
    return True


def _show(outcomes: list[Outcome], as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "number": each.number,
                "started": each.error is None,
                "branch": each.branch,
                "worktreePath": each.path,
                "error": each.error and each.error.message,
            }
            for each in outcomes
        ]
        print_json(started=rows)
        return
    for each in outcomes:
        if each.error:
            fail(each.error)
        else:
            print(f"#{each.number}: worker started on {each.branch} in {each.path}")
