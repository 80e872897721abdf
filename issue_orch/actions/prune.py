"""`prune`: remove what a person merged; keep, with the reason, what is not safe on the remote."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from typing import NamedTuple

from ..core.headline import LABELS
from ..core.model import Branch, CommitSha, Number, Pull
from ..core.pruning import Asked, Verdict, Why, decide, is_asked, pulls_of
from ..core.record import PullFacts, SessionStatus
from ..errors import Expected, GitHubError, LeaseHeld, Moved, NotFound
from ..git import leftovers, removal
from ..git.remote import fetch_commit, is_at
from ..git.run import find_admin_dir, find_sha, is_ancestor, load_branches
from ..store.files import (
    archive,
    load_pull,
    load_sessions,
    load_status,
    session_folder,
    write_json,
)
from ..store.leases import take
from ..terminal.io import progress, warn
from .context import Context, connect, remote_of
from .whereabouts import misplaced

JOBS = {"CI", "RUNNER_TRACKING_ID"}  # variables of a job
FEW = 4  # so many sessions are asked for one by one; for more, two lists of pulls come first


Chosen = tuple[SessionStatus, Verdict]
# How a person ends what is kept, by its reason. What is cancelled is kept below refs/issue-orch when its worktree goes.
_GIVE_UP = "issue-orch cancel {number}, then issue-orch prune {number} --cancelled, which keeps it below refs/issue-orch"
_LOOK = (
    "what was merged does not hold these commits: git -C {path} log {head}..HEAD; to give them up: "
)
NEXT = {
    "changed": _LOOK + _GIVE_UP,
    "unpushed": _LOOK + _GIVE_UP,
    "dirty": f"commit or delete it, or {_GIVE_UP}",
    "submodule": f"commit and push it there, or {_GIVE_UP}",
    "nested": "move it elsewhere, then issue-orch prune {number}",
    "half_done": "end it in {path}, then issue-orch prune {number}",
    "in_use": "end that, or leave the folder, then issue-orch prune {number}",
    "locked": "git worktree unlock {path}, then issue-orch prune {number}",
    "missing": "mount its disk; if it is gone for good: git worktree remove --force {path}",
    "not_ours": "move it away, then issue-orch prune {number}",
    "failed": "mend that, then issue-orch prune {number}",
}


class Done(NamedTuple):
    """What became of one session. `outcome`: removed, would_remove or kept; `why` is the typed reason for keeping, and
    `next` how a person ends that, where its `text` does not say it."""

    number: int
    outcome: str
    why: Why | removal.Reason | None
    text: str
    path: str
    next: str = ""


def prune(context: Context, asked: Asked, dry_run: bool) -> list[Done]:
    """Decide for each session, then remove together. A lease is held on each while it is removed."""
    sessions, problems = load_sessions(context.state)
    warn(*problems)
    missing = {*asked.numbers} - {status["issueNumber"] for status in sessions}
    if missing:
        raise Expected(f"#{min(missing)}: there is no session", "issue-orch status")
    picked = [status for status in sessions if is_asked(status, asked)]
    pulls = _fetch_pulls(context, picked)
    stacked = {
        each["base"]: each["issueNumber"] for each in sessions if each["status"] != "cancelled"
    }
    chosen, done = [], []
    with ExitStack() as held:
        for number in (status["issueNumber"] for status in picked):
            running = False
            try:
                held.enter_context(take(context.state, number, "prune", wait=0.5))
            except LeaseHeld:
                running = True
            status = load_status(context.state, number)
            if status is None:
                continue  # another prune was quicker
            verdict = decide(status, pulls.get(number), running, stacked, asked)
            if verdict.why is None and (away := misplaced(context, status))[0]:
                verdict = Verdict("not_ours", f"{away[0]}: {away[1]}")
            if verdict.why is None:
                chosen.append((status, verdict))
            else:
                done.append(Done(number, "kept", verdict.why, verdict.text, status["worktreePath"]))
        if chosen:
            done += _remove(context, chosen, dry_run)
    return sorted(done)


def _fetch_pulls(context: Context, sessions: list[SessionStatus]) -> dict[int, list[Pull]]:
    """The pulls of each session's branch. What could not be asked is missing: 'could not find out' keeps."""
    wanted = [status for status in sessions if status["status"] != "cancelled"]
    found: dict[int, list[Pull]] = {}
    if not wanted:
        return found
    progress(f"Asking {context.name} …")
    try:
        with connect(context) as gh:
            many = len(wanted) > FEW
            listed = [*gh.fetch_pulls(state="open"), *gh.fetch_newest_pulls()] if many else []
            for status in wanted:
                pulls = pulls_of(status, listed)
                # All that are open are in the list; of the others, one that is merged is enough to know.
                if not any(pull.merged or pull.state == "open" for pull in pulls):
                    pulls = pulls_of(status, gh.fetch_pulls(head_branch=status["branch"]))
                found[status["issueNumber"]] = pulls
    except GitHubError as error:
        warn(error.message + (f"\n  next: {error.hint}" if error.hint else ""))
    return found


def _remove(context: Context, chosen: list[Chosen], dry_run: bool) -> Iterator[Done]:
    """Remove the worktrees, then the local branches of those that are gone, then archive the sessions; or only look."""
    repo = context.repo
    heads = {name: CommitSha(sha) for name, sha, _ in load_branches(repo, "refs/heads/")}
    wanted = []
    for status, verdict in chosen:
        branch, head = status["branch"], verdict.head
        own = heads.get(f"refs/heads/{branch}")
        # Where the merged head is another one than ours but holds it, ours is as good as merged.
        if own and head and own != head and _holds(context, head, own, branch):
            head = own
        wanted.append(removal.Wanted(status["worktreePath"], Number(status["issueNumber"]), head))
    remote = remote_of(context)
    if dry_run:
        outcomes = [removal.foresee(repo, each, remote) for each in wanted]
    else:
        now = datetime.now(UTC)
        outcomes = removal.remove_worktrees(repo, wanted, now, remote=remote)
    gone = []
    for (status, verdict), (path, number, head), outcome in zip(
        chosen, wanted, outcomes, strict=True
    ):
        if isinstance(outcome, removal.Kept) and not _is_gone(context, path):
            how = NEXT[outcome.reason].format(number=number, path=path, head=head)
            yield Done(number, "kept", outcome.reason, outcome.detail, path, how)
            continue
        gone.append((number, status["branch"], head))
        if verdict.pull and not dry_run:
            try:
                _remember(context, number, verdict.pull)
            except (Expected, OSError):  # on a full disk what is removed makes room
                leftovers.sweep(context.repo.common_dir)
                _remember(context, number, verdict.pull)
        text = verdict.text
        if isinstance(outcome, removal.Removed) and outcome.preserved:
            text += f"; its work is kept at {outcome.preserved}"
        yield Done(number, "would_remove" if dry_run else "removed", None, text, path)
    if not dry_run:
        _forget(context, gone)


def sweep(context: Context) -> None:
    """Delete the files of what is removed, by this prune or an earlier one: in the background, where that outlives us. The
    runner of a workflow ends at the end of a job what the job started."""
    leftovers.sweep(context.repo.common_dir, wait=bool(JOBS & context.env.keys()))


def _remember(context: Context, number: Number, pull: Pull) -> None:
    """What was merged, for whoever asks the archive whether the issue is done."""
    facts: PullFacts = {
        **(load_pull(context.state, number) or {}),
        "number": pull.number,
        "url": pull.url,
        "state": "closed",
        "merged": True,
        "headSha": pull.head_sha,
        "mergedAt": pull.merged_at,
    }
    write_json(session_folder(context.state, number) / "pull.json", facts, durable=True)


def _forget(context: Context, gone: list[tuple[Number, Branch, CommitSha | None]]) -> None:
    """The local branches, our labels, and at last the sessions."""
    removal.delete_branches(context.repo, [(branch, head) for _, branch, head in gone if head])
    if context.config.github_write_back:
        _untag(context, [number for number, _, _ in gone])
    for number, _, _ in gone:
        archive(context.state, number, time.time())


def _holds(context: Context, merged: CommitSha, own: CommitSha, branch: Branch) -> bool:
    """Whether what was merged holds our commit: on GitHub a person may have updated the branch, or committed to it. What
    git never saw is fetched; of a server that names other heads than git does, the remote branch itself can vouch."""
    if find_sha(context.repo, merged) is None:
        remote = remote_of(context)
        if is_at(remote, branch, own):
            return True
        fetch_commit(remote, merged)
    return is_ancestor(context.repo, own, merged)


def _is_gone(context: Context, path: str) -> bool:
    """Somebody removed the worktree by hand. A folder that is missing but registered may be on an unmounted disk."""
    return not os.path.lexists(path) and find_admin_dir(context.repo, path) is None


def _untag(context: Context, numbers: list[int]) -> None:
    """No label of ours stays behind on an issue whose session goes."""
    try:
        with connect(context) as gh:
            for number in numbers:
                with suppress(NotFound, Moved):  # an issue that is gone has no labels
                    for label in LABELS.keys() & map(str.casefold, gh.fetch_issue(number).labels):
                        gh.remove_label(number, label)
    except GitHubError as error:
        warn(f"orch: labels may be left: {error.message}")
