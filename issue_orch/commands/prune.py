"""`issue-orch prune`: remove what a person merged; keep, with the reason, what is not safe on the remote."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from ..actions.context import Context, connect, open_context, token_of
from ..actions.launch import foreign
from ..core.model import Branch, CommitSha, Number, Pull, SessionStatus
from ..errors import Expected, GitHubError, LeaseHeld
from ..git import remote, removal
from ..git.run import find_admin_dir, find_missing, git, load_branches
from ..store.files import archive, load_sessions, load_status
from ..store.leases import take
from ..terminal.io import print_json, say
from ..text import sanitise

Why = Literal["open", "running", "stacked", "unknown", "not_ours"]
FEW = 4  # so many sessions are asked for one by one; for more, two lists of pulls come first


class Verdict(NamedTuple):
    """What is to become of one session: kept when there is a `why`. `head`: what its worktree must be at to be removed
    (None: it is preserved first)."""

    why: Why | None
    text: str
    head: CommitSha | None = None


class Done(NamedTuple):
    """What became of one session. `outcome`: removed, would_remove or kept; `why` is the typed reason for keeping."""

    number: int
    outcome: str
    why: Why | removal.Reason | None
    text: str
    path: str


def prune(
    numbers: Sequence[int],
    dry_run: bool,
    pull: int | None,
    closed: bool,
    cancelled: bool,
    as_json: bool,
) -> int:
    context = open_context()
    done = sweep(context, numbers, dry_run, pull, closed, cancelled)
    if as_json:
        print_json({"schemaVersion": 1, "sessions": [each._asdict() for each in done]})
        return 0
    for each in done:
        sys.stdout.write(
            f"#{each.number}: {each.outcome.replace('_', ' ')}: {sanitise(each.text)}\n"
        )
    if not done:
        sys.stdout.write(
            f"No session{'s' if pull is None else f' of pull {pull}'} in this clone: {context.repo.main}\n"
        )
    return 0


def sweep(
    context: Context,
    numbers: Sequence[int],
    dry_run: bool,
    pull: int | None,
    closed: bool,
    cancelled: bool,
) -> list[Done]:
    """Decide for each session, then remove together. A lease is held on each while it is removed."""
    sessions, problems = load_sessions(context.state)
    for problem in problems:
        say(f"warning: {problem}")
    missing = set(numbers) - {status["issueNumber"] for status in sessions}
    if missing:
        raise Expected(f"#{min(missing)}: there is no session", "issue-orch status")
    picked = [status for status in sessions if not numbers or status["issueNumber"] in numbers]
    if pull is not None:
        picked = [
            status
            for status in picked
            if (status["pullRequestUrl"] or "").endswith(f"/pull/{pull}")
        ]
    pulls = fetch_pulls(context, picked)
    stacked = {
        status["base"]: status["issueNumber"]
        for status in sessions
        if status["status"] != "cancelled"
    }
    chosen, done = [], []
    with ExitStack() as held:
        for number in (status["issueNumber"] for status in picked):
            try:
                held.enter_context(take(context.state, number, "prune", wait=0.5))
                running = False
            except LeaseHeld:
                running = True
            status = load_status(context.state, number)
            if status is None:
                continue  # another prune was quicker
            verdict = decide(status, pulls.get(number), running, stacked, closed, cancelled)
            if verdict.why is None and (words := foreign(context, status)):
                verdict = Verdict("not_ours", words)
            if verdict.why is None:
                chosen.append((status, verdict))
            else:
                done.append(Done(number, "kept", verdict.why, verdict.text, status["worktreePath"]))
        if chosen:
            done += remove(context, vouched(context, chosen), dry_run)
    return sorted(done)


def fetch_pulls(context: Context, sessions: list[SessionStatus]) -> dict[int, list[Pull]]:
    """The pulls of each session's branch. What could not be asked is missing: 'could not find out' keeps."""
    wanted = [status for status in sessions if status["status"] != "cancelled"]
    found: dict[int, list[Pull]] = {}
    if not wanted:
        return found
    if sys.stderr.isatty():
        say(f"Asking {context.name} …")
    try:
        with connect(context) as gh:
            listed = (
                [*gh.fetch_pulls(state="open"), *gh.fetch_newest_pulls()]
                if len(wanted) > FEW
                else []
            )
            for status in wanted:
                pulls = [pull for pull in listed if is_ours(pull, status)]
                # All that are open are in the list; of the others, one that is merged is enough to know.
                if not any(pull.merged or pull.state == "open" for pull in pulls):
                    pulls = [
                        pull
                        for pull in gh.fetch_pulls(head_branch=status["branch"])
                        if is_ours(pull, status)
                    ]
                found[status["issueNumber"]] = pulls
    except GitHubError as error:
        say(f"warning: {error.message}" + (f"\n  next: {error.hint}" if error.hint else ""))
    return found


def is_ours(pull: Pull, status: SessionStatus) -> bool:
    """The head is our branch in our repository. The base is not compared: a stacked pull is retargeted later."""
    if pull.url == status["pullRequestUrl"]:
        return True
    return (
        pull.head_branch == status["branch"]
        and (pull.head_repo or "").lower() == status["repo"].lower()
    )


def decide(
    status: SessionStatus,
    pulls: Sequence[Pull] | None,
    running: bool,
    stacked: Mapping[str, int],
    closed: bool,
    cancelled: bool,
) -> Verdict:
    """`pulls` are the session's; None when they could not be found out. `stacked` is branch -> issue."""
    if running:
        return Verdict("running", "its worker lives")
    if status["branch"] in stacked:
        return Verdict("stacked", f"#{stacked[status['branch']]} is stacked on its branch")
    if status["status"] == "cancelled":
        return (
            Verdict(None, "cancelled")
            if cancelled
            else Verdict("open", "cancelled; --cancelled removes it")
        )
    if pulls is None:
        return Verdict("unknown", "GitHub could not be asked about its pull")
    for pull in pulls:
        if pull.state == "open":
            return Verdict("open", f"its pull is open: {pull.url}")
    for pull in pulls:
        if pull.merged:
            return Verdict(None, f"merged: {pull.url}", CommitSha(pull.head_sha))
    if not pulls:
        return Verdict("open", f"has no pull yet ({status['status']})")
    if closed:
        return Verdict(None, f"closed without a merge: {pulls[0].url}")
    return Verdict(
        "open", f"its pull was closed without a merge ({pulls[0].url}); --closed removes it"
    )


def vouched(
    context: Context, chosen: Sequence[tuple[SessionStatus, Verdict]]
) -> Iterator[tuple[SessionStatus, Verdict]]:
    """Where the merged head is another one than ours but holds it, ours is as good as merged."""
    heads = {name: CommitSha(sha) for name, sha, _ in load_branches(context.repo, "refs/heads/")}
    for status, verdict in chosen:
        own = heads.get(f"refs/heads/{status['branch']}")
        if (
            own
            and verdict.head
            and own != verdict.head
            and holds(context, verdict.head, own, Branch(status["branch"]))
        ):
            verdict = verdict._replace(head=own)
        yield status, verdict


def holds(context: Context, merged: CommitSha, own: CommitSha, branch: Branch) -> bool:
    """Whether what was merged holds our commit: on GitHub a person may have updated the branch, or committed to it. What
    git never saw is fetched; of a server that names other heads than git does, the remote branch itself can vouch."""
    if find_missing(context.repo, [merged]):
        where, token = (context.repo, context.config.remote), token_of(context)
        if remote.is_at(*where, branch, own, token):
            return True
        remote.fetch_commit(*where, merged, token)
    return git(context.repo, "merge-base", "--is-ancestor", own, merged, check=False).code == 0


def remove(
    context: Context, chosen: Iterable[tuple[SessionStatus, Verdict]], dry_run: bool
) -> Iterator[Done]:
    """Remove the worktrees, then the local branches of those that are gone, then archive the sessions; or only look."""
    chosen = list(chosen)
    wanted = [
        removal.Wanted(status["worktreePath"], Number(status["issueNumber"]), verdict.head)
        for status, verdict in chosen
    ]
    outcomes = (
        [removal.foresee(context.repo, each) for each in wanted]
        if dry_run
        else removal.remove_worktrees(context.repo, wanted, datetime.now(UTC), wait=False)
    )
    gone = []
    for (status, verdict), outcome in zip(chosen, outcomes, strict=True):
        number, path, text = status["issueNumber"], status["worktreePath"], verdict.text
        if isinstance(outcome, removal.Kept) and not is_gone(context, path):
            yield Done(number, "kept", outcome.reason, outcome.detail, path)
            continue
        gone.append((status, verdict))
        if isinstance(outcome, removal.Removed) and outcome.preserved:
            text += f"; its work is kept at {outcome.preserved}"
        yield Done(number, "would_remove" if dry_run else "removed", None, text, path)
    if dry_run:
        return
    removal.delete_branches(
        context.repo,
        [(Branch(status["branch"]), verdict.head) for status, verdict in gone if verdict.head],
    )
    numbers = [status["issueNumber"] for status, _ in gone]
    if context.config.github_write_back:
        untag(context, numbers)
    for number in numbers:
        archive(context.state, number, time.time())


def is_gone(context: Context, path: str) -> bool:
    """Somebody removed the worktree by hand. A folder that is missing but registered may be on an unmounted disk."""
    return not os.path.lexists(path) and find_admin_dir(context.repo, path) is None


def untag(context: Context, numbers: list[int]) -> None:
    """No label of ours stays behind on an issue whose session goes."""
    from ..coordinator.write_back import tidy

    try:
        with connect(context) as gh:
            tidy(gh, numbers)
    except GitHubError as error:
        say(f"warning: orch: labels may be left: {error.message}")
