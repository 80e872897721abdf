"""Settle: check a worker's claim, push its branch, find or open its pull, verify it. Can be repeated at any time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from . import git, push, snapshot, worktree
from .errors import Expected, GitHubError
from .model import Branch, CommitSha, Pull, SessionStatus
from .sign_in import Token
from .text import neutralise, one_line, redact

if TYPE_CHECKING:
    from .github import GitHub

LOOKS = 3


class Settled(NamedTuple):
    """How far it came. `opened`: the pull at `url` is open (or was merged already) with exactly our commits.

    Else there is a reason. `unready`: the claim does not hold; words for the worker. `rejected`: the remote refused the
    push; told to the worker first, then to a person. `pending`: nothing that the worker could mend; tried again by any
    later command.
    """

    outcome: Literal["opened", "unready", "rejected", "pending"]
    reason: str = ""
    url: str = ""
    head_sha: str = ""


class Plan(NamedTuple):
    """What settle needs beside the session: `body` renders the pull's text from the worker's claim."""

    remote: str
    token: Token | None
    worker_opens: bool
    draft: bool
    body: Callable[[dict[str, Any]], str]


def settle(
    repo: git.Repo, connect: Callable[[], GitHub], status: SessionStatus, claim: dict[str, Any], plan: Plan
) -> Settled:
    """Bring a completed session to its recorded pull. Nothing here writes to disk."""
    path, branch, base = status["worktreePath"], Branch(status["branch"]), Branch(status["base"])
    problem = unready(repo, status)
    if problem:
        return Settled("unready", problem)
    head = worktree.head_sha(repo, path)
    if head is None:
        return Settled("unready", "You reported complete, but there is no commit on your branch.")
    try:
        pushed = push.push(repo, plan.remote, branch, head, base, plan.token)
    except Expected as error:
        return Settled("pending", error.message)
    match pushed:
        case push.Rejected(kind="other"):
            return Settled("pending", f"the remote does not take {branch}: {pushed.words}")
        case push.Rejected():
            return Settled("rejected", rejection(pushed, branch, base))
        case push.Unreachable() | push.SignIn():
            return Settled("pending", pushed.words)
    try:
        with connect() as gh:
            return open_pull(repo, gh, status, claim, head, plan)
    except GitHubError as error:
        return Settled("pending", error.message)


def unready(repo: git.Repo, status: SessionStatus) -> str | None:
    """Why a claim of completion does not hold: words for the worker."""
    path, branch = status["worktreePath"], status["branch"]
    on = git.git(repo, "symbolic-ref", "--short", "-q", "HEAD", worktree=path, check=False).stdout.strip()
    if on != branch:
        return (f"You reported complete, but the worktree is on {on or 'a detached HEAD'}, not on {branch}. "
                f"Bring your commits onto {branch} and report complete again.")
    if not worktree.commits_since(repo, path, status["baseSha"]):
        return "You reported complete, but there is no commit on your branch. Commit your work, then report complete again."
    dirty = snapshot.dirt(repo, path)
    if dirty:
        names = ", ".join(dirty[:10]) + (" …" if len(dirty) > 10 else "")
        return (f"You reported complete, but these files are not committed: {names}. "
                "Commit what belongs to the task, delete what does not, then report complete again.")
    return None


def rejection(pushed: push.Rejected, branch: Branch, base: Branch) -> str:
    if pushed.kind == "non_fast_forward":
        return (f"The push of {branch} was rejected: the branch on the remote has commits that yours does not have. "
                f"Fetch it, merge origin/{branch} into {branch} (never rebase, never force), test, report complete again.")
    return f"The remote rejected the push of {branch}: {pushed.words}. Mend it on your branch, then report complete again."


def open_pull(
    repo: git.Repo, gh: GitHub, status: SessionStatus, claim: dict[str, Any], head: CommitSha, plan: Plan
) -> Settled:
    """Our pull is the one whose head and base match. After a failed creation it is looked for before anything else."""
    pull = find_pull(gh, status, head)
    if pull is None and plan.worker_opens and claim.get("pr"):
        return Settled("unready", f"{claim['pr']} is not an open pull request from {status['branch']} into {status['base']} "
                                  "with your last commit. Give the right one with --pr.")
    if pull is None and plan.worker_opens:
        return Settled("unready", "Open the pull request yourself, then report complete with --pr URL.")
    if pull is None:
        title = pull_title(status, claim, (plan.token.value,) if plan.token else ())
        try:
            pull = gh.create_pull(status["branch"], status["base"], title, plan.body(claim), plan.draft)
        except GitHubError as error:
            pull = find_pull(gh, status, head)
            if pull is None:
                return Settled("pending", error.message)
    return verified(repo, gh, pull, status, head, plan)


def pull_title(status: SessionStatus, claim: dict[str, Any], secrets: tuple[str, ...]) -> str:
    """The worker's, else the issue's, else the branch: GitHub refuses a pull of which nothing is to be seen."""
    titles = (claim.get("title"), status["issueTitle"], status["branch"])
    return next(filter(None, (neutralise(one_line(redact(title or "", secrets), 200).strip()) for title in titles)))


def find_pull(gh: GitHub, status: SessionStatus, head: CommitSha) -> Pull | None:
    """The open pull of our branch into our base; else one that a person merged with exactly our commits."""
    pulls = [pull for pull in gh.fetch_pulls(head_branch=status["branch"], state="all")
             if pull.head_branch == status["branch"] and pull.base_branch == status["base"]
             and (pull.head_repo or status["repo"]).lower() == status["repo"].lower()]
    running = [pull for pull in pulls if pull.state == "open"]
    done = [pull for pull in pulls if pull.merged and pull.head_sha == head]
    return next(iter([*running, *done]), None)


def verified(
    repo: git.Repo, gh: GitHub, pull: Pull, status: SessionStatus, head: CommitSha, plan: Plan
) -> Settled:
    """GitHub may show the new head late: ask again, and in the end believe the remote branch itself."""
    for _ in range(LOOKS):
        if pull.head_sha == head:
            return Settled("opened", url=pull.url, head_sha=head)
        pull = gh.fetch_pull(pull.number)
    if push.find_remote_sha(repo, plan.remote, Branch(status["branch"]), plan.token) == head:
        return Settled("opened", url=pull.url, head_sha=head)
    return Settled("pending", f"{pull.url} shows {pull.head_sha[:12]}, the branch is at {head[:12]}")
