"""`issue-orch spawn`: start workers, for named issues or for what the plan offers."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING

from ..actions import spawn as action
from ..actions.adopt import adopted_words, find_adopted
from ..actions.context import Context, connect, find_default, last_base, open_context
from ..actions.facts import fetch_plan
from ..actions.spawn import Start
from ..actions.taken import Branches
from ..config.layers import known_agent
from ..core.model import Issue
from ..core.plan import Eligible, next_starts
from ..core.ready import Reason, not_approved, quoted
from ..errors import Expected, Usage
from ..store.ledger import warnings
from ..terminal.io import colours, confirm, fail, print_json, progress, say, warn, width
from ..terminal.plan import plan_text
from ..text import one_line

if TYPE_CHECKING:
    from ..github.client import GitHub

Ask = Callable[[str, bool], bool]  # a question, and what an empty line means


def spawn(
    numbers: list[int],
    yes: bool,
    reuse: bool,
    agent: str | None,
    stack: bool,
    as_json: bool,
    pull: int | None = None,
    branch: str | None = None,
) -> int:
    ask = _agree if yes else confirm if sys.stdin.isatty() else None
    return start(numbers, ask, reuse, agent, stack, as_json, pull, branch)


def _agree(question: str, default: bool) -> bool:
    """With --yes; why there is a question is told all the same."""
    for line in question.splitlines()[:-1]:
        say(line)
    return True


def start(
    numbers: list[int],
    ask: Ask | None,
    reuse: bool = False,
    agent: str | None = None,
    stack: bool = False,
    as_json: bool = False,
    pull: int | None = None,
    branch: str | None = None,
) -> int:
    """`ask` is None where nobody can be asked."""
    adopts = _adopts(numbers, reuse or stack, pull, branch)
    context = open_context({"agent": agent})
    known_agent(context.config)
    # A thread that starts git needs the interpreter for moments, while another one imports.
    sys.setswitchinterval(0.0002)
    before, branches = last_base(context), Branches(context, reuse)
    with ExitStack() as held:
        pool = held.enter_context(ThreadPoolExecutor())
        connected = pool.submit(connect, context)
        default = pool.submit(find_default, context, before, connected.result)
        ahead = held.enter_context(action.checkouts_ahead(context, numbers, before))
        with connected.result() as gh:
            pool.submit(import_module, "issue_orch.config.templates")
            if adopts:
                found = find_adopted(context, gh, numbers[0], pull, branch, default.result())
                branches = Branches(context, adopted=found)
            eligible = (
                _named(context, gh, numbers, stack, ask, branches)
                if numbers
                else _offered(context, gh, stack, ask, branches)
            )
            if not eligible or not _may_adopt(branches, numbers, pull, ask):
                return int(bool(numbers))
            starts = action.make_starts(context, eligible, branches, default.result())
        warn(*(text for _, text in warnings(context.state, context.ceilings, time.time())))
        progress(f"Starting {len(starts)} …")
        errors = action.spawn(context, starts, ahead)
    _show(starts, errors, as_json)
    return int(any(errors) or len(starts) < len({*numbers}))


def _adopts(numbers: list[int], more: bool, pull: int | None, branch: str | None) -> bool:
    if pull is None and branch is None:
        return False
    if len(numbers) != 1 or more or None not in (pull, branch):
        words = "one issue takes over one pull or one branch, without --reuse and --stack"
        raise Usage(words, "issue-orch spawn NUMBER --pull NUMBER, or --branch NAME")
    return True


def _may_adopt(branches: Branches, numbers: list[int], pull: int | None, ask: Ask | None) -> bool:
    """Whose work it is was shown, and the person wants it."""
    if not branches.adopted:
        return True
    say(f"takes over {adopted_words(branches.context, branches.adopted)}")
    if ask is None:
        what = f"--pull {pull}" if pull else f"--branch {branches.adopted.branch}"
        words = "there is no terminal to ask on whether to take that over"
        raise Usage(words, f"issue-orch spawn {numbers[0]} {what} --yes")
    return ask("Take it over?", False)


def _offered(
    context: Context, gh: GitHub, stack: bool, ask: Ask | None, branches: Branches
) -> list[Eligible]:
    """Show the plan, ask, and take what fits."""
    found = fetch_plan(context, gh, [], stack, branches)
    say(plan_text(found, width(sys.stderr), colours(sys.stderr)))
    chosen = next_starts(found, found.slots, ())
    if not chosen:
        taken = f"All {context.config.max_workers} places are taken. issue-orch status"
        labels = quoted(context.config.ready_labels)
        nothing = (
            f"Nothing is ready. Label issues with {labels}, or name them: issue-orch spawn NUMBER"
        )
        say(taken if found.eligible and not found.slots else nothing)
        return []
    names = ", ".join(f"#{each.issue.number}" for each in chosen)
    if ask is None:
        raise Usage(
            f"would start {names}; there is no terminal to ask on",
            "issue-orch spawn --yes, or name the issues",
        )
    return list(chosen) if ask(f"Start {names}?", True) else []


def _named(
    context: Context,
    gh: GitHub,
    numbers: list[int],
    stack: bool,
    ask: Ask | None,
    branches: Branches,
) -> list[Eligible]:
    """The named issues that may start. Their titles are shown, so naming them approves them."""
    found = fetch_plan(context, gh, numbers, stack, branches, with_files=False)
    chosen = {each.issue.number: each for each in found.eligible}
    for issue, reasons in found.ineligible:
        try:
            if _is_overruled(issue, reasons, ask):
                chosen[issue.number] = Eligible(issue, None, None, {})
        except Expected as error:
            fail(error)
    starts = [chosen[number] for number in dict.fromkeys(numbers) if number in chosen]
    for each in starts:
        say(f"#{each.issue.number} {one_line(each.issue.title, 100)}")
    return starts


def _is_overruled(issue: Issue, reasons: Iterable[Reason], ask: Ask | None) -> bool:
    """Whether it may start all the same: what only `asks` is asked, or overruled by --yes. Raises Expected when it may not."""
    left, number, name = not_approved(reasons), issue.number, f"#{issue.number}"
    holds = [reason for reason in left if reason.severity == "holds"]
    if [reason.kind for reason in holds] == ["no_place"]:
        raise Expected(holds[0].text, holds[0].hint)  # in the words of the start itself
    if holds:
        words = f"{name} {one_line(issue.title, 60)}: {'; '.join(each.text for each in holds)}"
        raise Expected(words, f"issue-orch plan {number}")
    for reason in left:
        if reason.kind == "session_cancelled":
            raise Expected(f"{name}: {reason.text}", f"issue-orch prune {number} --cancelled")
        if ask is None:
            words = f"{name}: not started: {reason.text}"
            raise Expected(words, f"issue-orch spawn {number} --yes")
        if not ask(f"{name}: {reason.text}\nStart {name} all the same?", False):
            return False
    return True


def _show(starts: list[Start], errors: list[Expected | None], as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "number": start.number,
                "started": error is None,
                "branch": start.status["branch"],
                "worktreePath": start.status["worktreePath"],
                "error": error and error.message,
            }
            for start, error in zip(starts, errors, strict=True)
        ]
        print_json(started=rows)
        return
    for start, error in zip(starts, errors, strict=True):
        if error:
            fail(error)
        else:
            where = f"{start.status['branch']} in {start.status['worktreePath']}"
            print(f"#{start.number}: worker started on {where}")
