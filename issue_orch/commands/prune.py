"""`issue-orch prune`: remove what a person merged; keep, with the reason, what is not safe on the remote."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import NamedTuple

from .. import git, push, removal
from ..context import Context, connect, open_context, token_of
from ..errors import Expected, GitHubError, LeaseHeld
from ..lease import take
from ..model import Branch, CommitSha, IssueNumber, Pull, SessionStatus
from ..pruning import Verdict, Wishes, decide
from ..shell import say
from ..store import archive, load_sessions, load_status
from ..text import sanitise


class Done(NamedTuple):
    """What became of one session. `outcome`: removed, would_remove or kept; `why` is the typed reason for keeping."""

    number: int
    outcome: str
    why: str | None
    text: str
    path: str


def prune(
    numbers: Sequence[int] = (), dry_run: bool = False, pr: int | None = None, closed: bool = False,
    cancelled: bool = False, as_json: bool = False,
) -> int:
    context = open_context()
    done = sweep(context, numbers, dry_run, pr, Wishes(closed, cancelled))
    if as_json:
        rows = [{"number": d.number, "outcome": d.outcome, "why": d.why, "text": d.text, "path": d.path} for d in done]
        sys.stdout.write(json.dumps({"schemaVersion": 1, "sessions": rows}, ensure_ascii=False) + "\n")
    else:
        for each in done:
            sys.stdout.write(f"#{each.number}: {each.outcome.replace('_', ' ')}: {sanitise(each.text)}\n")
        if not done:
            what = "No sessions" if pr is None else f"No session of pull {pr}"
            sys.stdout.write(f"{what} in this clone: {context.repo.main}\n")
    return 0


def sweep(context: Context, numbers: Sequence[int], dry_run: bool, pull: int | None, wishes: Wishes) -> list[Done]:
    """Decide for each session, then remove together. A lease is held on each while it is removed."""
    sessions, problems = load_sessions(context.state)
    for problem in problems:
        say(f"warning: {problem}")
    picked = [status for status in sessions if not numbers or status["issueNumber"] in numbers]
    if pull is not None:
        picked = [status for status in picked if (status["pullRequestUrl"] or "").endswith(f"/pull/{pull}")]
    missing = set(numbers) - {status["issueNumber"] for status in sessions}
    if missing:
        raise Expected(f"#{min(missing)}: there is no session", "issue-orch status")
    pulls = fetch_pulls(context, picked)
    stacked = {status["base"]: status["issueNumber"] for status in sessions if status["status"] != "cancelled"}
    with ExitStack() as held:
        verdicts = []
        for status in picked:
            number = status["issueNumber"]
            running = not hold(context, number, held)
            fresh = load_status(context.state, number)
            if fresh is not None:  # else another prune was quicker
                verdicts.append((fresh, decide(fresh, pulls.get(number), running, stacked, wishes)))
        kept = [Done(v.number, "kept", v.why, v.text, s["worktreePath"]) for s, v in verdicts if not v.remove]
        chosen = [(status, at_remote(context, status, verdict)) for status, verdict in verdicts if verdict.remove]
        if dry_run:
            removed = [Done(v.number, "would_remove", None, v.text, s["worktreePath"]) for s, v in chosen]
        else:
            removed = list(remove(context, chosen))
    return sorted([*kept, *removed])


def hold(context: Context, number: int, held: ExitStack) -> bool:
    """Take the session's lease for the rest of the command; False when its worker lives."""
    try:
        held.enter_context(take(context.state, number, "prune", wait=0.5))
    except LeaseHeld:
        return False
    return True


def fetch_pulls(context: Context, sessions: list[SessionStatus]) -> dict[int, list[Pull]]:
    """The pulls of each session's branch. What could not be asked is missing: 'could not find out' keeps."""
    wanted = [status for status in sessions if status["status"] != "cancelled"]
    if not wanted:
        return {}
    if sys.stderr.isatty():
        say(f"Asking {context.name} …")
    found: dict[int, list[Pull]] = {}
    try:
        with connect(context) as gh:
            for status in wanted:
                found[status["issueNumber"]] = list(gh.fetch_pulls(head_branch=status["branch"], state="all"))
    except GitHubError as error:
        say(f"warning: {error.message}")
    return found


def at_remote(context: Context, status: SessionStatus, verdict: Verdict) -> Verdict:
    """A server that names a head which git never saw cannot vouch for ours; the remote branch itself can."""
    if verdict.head is None or git.find_sha(context.repo, verdict.head) is not None:
        return verdict
    branch = Branch(status["branch"])
    own = git.find_sha(context.repo, f"refs/heads/{branch}")
    token = token_of(context)
    there = push.find_remote_sha(context.repo, context.config.remote, branch,
                                 push.Token(token.host, token.value) if token else None)
    return verdict._replace(head=own) if own is not None and there == own else verdict


def is_gone(context: Context, status: SessionStatus) -> bool:
    """Somebody removed the worktree by hand. A folder that is missing but registered may be on an unmounted disk."""
    path = status["worktreePath"]
    return not os.path.lexists(path) and git.find_admin_dir(context.repo, path) is None


def remove(context: Context, chosen: list[tuple[SessionStatus, Verdict]]) -> Iterator[Done]:
    """Remove the worktrees, then the local branches of those that are gone, then archive the sessions."""
    wanted = [removal.Wanted(status["worktreePath"], IssueNumber(verdict.number),
                             CommitSha(verdict.head) if verdict.head else None) for status, verdict in chosen]
    outcomes = removal.remove_worktrees(context.repo, wanted, datetime.now(UTC), wait=False)
    gone = []
    for (status, verdict), outcome in zip(chosen, outcomes, strict=True):
        if isinstance(outcome, removal.Kept) and not is_gone(context, status):
            yield Done(verdict.number, "kept", outcome.reason, outcome.detail, outcome.path)
            continue
        gone.append((status, verdict))
        preserved = outcome.preserved if isinstance(outcome, removal.Removed) else None
        text = verdict.text + (f"; its work is kept at {preserved}" if preserved else "")
        yield Done(verdict.number, "removed", None, text, status["worktreePath"])
    removal.delete_branches(context.repo, [
        (Branch(status["branch"]), CommitSha(verdict.head)) for status, verdict in gone if verdict.head])
    if context.config.github_write_back:
        untag(context, [verdict.number for _, verdict in gone])
    for _, verdict in gone:
        archive(context.state, verdict.number, time.time())


def untag(context: Context, numbers: list[int]) -> None:
    """No label of ours stays behind on an issue whose session goes."""
    from ..comments import tidy

    try:
        with connect(context) as gh:
            tidy(gh, numbers)
    except GitHubError as error:
        say(f"warning: orch: labels may be left: {error.message}")
