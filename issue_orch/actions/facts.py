"""Facts for a decision, gathered from GitHub and from the sessions of this clone; what is asked for most, as a plan."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.closing import closed_by
from ..core.dependencies import needs_blockers, needs_states
from ..core.model import Blocker, Issue, Pull, find_number
from ..core.plan import Plan, plan
from ..core.ready import Facts, Labelled, OpenPull, Rules, SessionFacts, look_up
from ..core.record import SessionStatus
from ..core.wording import Ref
from ..errors import Expected, GitHubError, NotFound, Usage
from ..git import snapshot
from ..git.run import git
from ..store.files import load_json, load_sessions, write_json
from ..store.leases import is_alive, probe
from ..terminal.io import progress, warn
from .context import Context
from .taken import Branches, find_merged, if_readable, look_elsewhere, own_issue
from .whereabouts import was_cut_off

if TYPE_CHECKING:
    from ..github.client import GitHub


def fetch_plan(
    context: Context,
    gh: GitHub,
    numbers: list[int],
    stack: bool,
    branches: Branches,
    with_files: bool = True,
) -> Plan:
    """The plan of all ready issues, or of the named ones. Files, which overlap is about, only `with_files`."""
    warn(*context.config.warnings)
    progress(f"Asking {context.name} …")
    with ThreadPoolExecutor(3) as pool:
        if numbers:
            branches.ask(pool)
        pulls = pool.submit(fetch_open_pulls, context, gh, with_files)
        merged = pool.submit(gh.fetch_merged_pulls)
        named = gh.each(partial(_fetch_named, gh), dict.fromkeys(numbers))
        issues = [*named.values()] if numbers else gh.fetch_issues()
    asks_who = context.config.ready_assigned == "me" or any(issue.assignees for issue in issues)
    rules = rules_of(context, fetch_me(gh) if asks_who else None, stack)
    facts = gather(context, gh, issues, pulls.result(), merged.result(), with_files)
    facts = look_elsewhere(context, gh, facts, rules, branches, bool(numbers))
    active = sum(session.active for session in facts.sessions.values())
    found = plan(facts, rules, max(0, context.config.max_workers - active))
    if not numbers:
        note_listed(context.state, found)
    return found


def note_listed(state: Path, found: Plan) -> None:
    """What is ready, for completion: it asks nobody."""
    issues = {str(each.issue.number): each.issue.title for each in found.eligible}
    if issues != (load_json(state / "listed.json") or {}).get("issues"):
        write_json(state / "listed.json", {"issues": issues})


def _fetch_named(gh: GitHub, number: int) -> Issue:
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


def rules_of(context: Context, me: str | None, stack: bool, serialize: bool = False) -> Rules:
    """Without trust: for what a person names or is asked."""
    config = context.config
    return Rules(
        ready=config.ready_labels,
        excluded=config.ready_exclude,
        milestone=config.ready_milestone,
        assigned=config.ready_assigned,
        me=me,
        priorities=config.ready_priority,
        stack=stack or config.stack,
        trust=False,
        serialize=serialize,
    )


def fetch_me(gh: GitHub) -> str | None:
    """The login of the token's owner; None when the server does not say (a token of an app)."""
    try:
        return gh.fetch_user()
    except GitHubError:
        return None


def _session_facts(context: Context, with_files: bool) -> dict[int, SessionFacts]:
    """Without those whose start was cut off before any agent ran: `spawn` takes them up again."""
    state = context.state
    return {
        (number := status["issueNumber"]): SessionFacts(
            status["status"],
            is_alive(state, number),
            status["branch"],
            tuple(status["plannedFiles"]),
            changed_files(context, status) if with_files else (),
        )
        for status in load_sessions(state)[0]
        if not was_cut_off(status) or probe(state, status["issueNumber"])
    }


def changed_files(context: Context, status: SessionStatus) -> tuple[str, ...]:
    """What differs in the session's worktree; nothing where git cannot say."""
    try:
        return snapshot.changes(context.repo, status["worktreePath"], status["baseSha"]).names
    except Expected:
        return ()


def gather(
    context: Context,
    gh: GitHub,
    issues: Iterable[Issue],
    pulls: tuple[OpenPull, ...],
    merged: tuple[Pull, ...],
    with_files: bool,
) -> Facts:
    """Facts about these issues: dependencies where the summary leaves something open, sessions.

    Files, which overlap is about, only `with_files`.
    """
    found = tuple(issues)
    blocked = [issue.number for issue in found if needs_blockers(issue)]
    parents = [issue.number for issue in found if issue.sub_issues_total]
    return Facts(
        repo=context.name,
        issues=found,
        others=_fetch_others(context, gh, found),
        blockers=gh.each(partial(if_readable, gh.fetch_blockers), blocked),
        sub_issues=gh.each(partial(if_readable, gh.fetch_sub_issues), parents),
        sessions=_session_facts(context, with_files),
        pulls=pulls,
        merged=find_merged(context, merged, {issue.number for issue in found}),
        tree=_base_tree(context) if with_files else frozenset(),
    )


def _fetch_others(context: Context, gh: GitHub, issues: tuple[Issue, ...]) -> dict[Ref, Blocker]:
    """The issues outside the list that texts refer to. What cannot be read is left out, which reads as unknown."""
    listed = look_up(Facts(context.name, issues), {issue.number: issue for issue in issues})
    asked = partial(if_readable, lambda ref: gh.fetch_issue(ref.number, repo=ref.repo))
    found = gh.each(asked, needs_states(issues, context.name, listed))
    return {
        ref: Blocker(ref.repo, ref.number, issue.title, issue.state, issue.state_reason)
        for ref, issue in found.items()
        if issue
    }


def fetch_open_pulls(context: Context, gh: GitHub, with_files: bool) -> tuple[OpenPull, ...]:
    """All open pulls; those from an issue's branch of this repository carry the issue's number."""
    found, pulls = gh.fetch_pulls(state="open"), []
    changed = gh.each(gh.fetch_pull_files, (pull.number for pull in found if with_files))
    for pull in found:
        closes = closed_by(pull.body, context.name, pull.url)
        own, files = own_issue(context, pull), changed.get(pull.number, ())
        pulls.append(OpenPull(pull.number, pull.url, own, files, closes, pull.head_branch))
    return tuple(pulls)


def _base_tree(context: Context) -> frozenset[str]:
    """Paths of the checked-out commit, for inferring which files a text speaks of."""
    done = git(context.repo, "ls-tree", "-r", "-z", "--name-only", "HEAD", check=False)
    return frozenset(done.stdout.split("\0")) - {""}


def fetch_labelled(gh: GitHub, issue: Issue, rules: Rules) -> tuple[Labelled, ...]:
    """Who set each ready label last, with what permission."""
    events = gh.fetch_label_events(issue.number) or ()
    last = {event.label.casefold(): event for event in events if event.added}
    found = []
    for label in rules.ready:
        event = last.get(label.casefold())
        found.append(
            Labelled(
                label, event.actor, gh.find_permission(event.actor), event.at, event.actor_kind
            )
            if event
            else Labelled(label, None, None, None, "")
        )
    return tuple(found)
