"""Settle: check a worker's claim, push its branch, find or open its pull, verify it. Can be repeated at any time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ..core.headline import pushed_words
from ..core.model import Branch, CommitSha, Pull, Token, find_number
from ..core.record import SessionStatus
from ..errors import Expected, GitHubError
from ..git.remote import Rejected, Remote, fetch_base, is_at, push
from ..git.run import Repo, commits_since, git, own_commits_on
from ..git.snapshot import dirt
from ..store.launch import Launch
from ..text import neutralise, one_line, redact
from .changes import repo_of

if TYPE_CHECKING:
    from ..github.client import GitHub

_LOOKS = 3


class Settled(NamedTuple):
    """How far it came. `opened`: the pull at `url` is open (or was merged already) with exactly our commits.

    Else there is a reason. `unready`: the claim does not hold; words for the worker. `rejected`: the remote refused the
    push; told to the worker first, then to a person. `pushed`: the worker brought them to the base itself; words for a
    person. What the worker could not mend is raised as Expected, and tried again
    by any later command.
    """

    outcome: Literal["opened", "unready", "rejected", "pushed"]
    reason: str = ""
    url: str = ""
    head_sha: str = ""


class Job(NamedTuple):
    """What is settled: the worker's `claim` for the session, by the settings of its `launch`, and signed in with `token`.
    `told`: a person knows already what was pushed to the base, and lets it go on. `guard`: that of its repository."""

    launch: Launch
    status: SessionStatus
    claim: dict[str, Any]
    token: Token
    told: bool = False
    guard: Callable[[], object] | None = None

    @property
    def remote(self) -> Remote:
        repo = repo_of(self.launch)._replace(find_token=lambda: self.token, guard=self.guard)
        return Remote(repo, self.launch["remote"])


def settle(job: Job, gh: GitHub) -> Settled:
    """Bring a completed session to its recorded pull. Nothing here writes to the session's files."""
    status, remote = job.status, job.remote
    branch, path = status["branch"], status["worktreePath"]
    commits = commits_since(remote.repo, path, status["baseSha"])
    if problem := _unready(remote.repo, path, branch, bool(commits)):
        return Settled("unready", problem)
    head = commits[0][0]
    try:
        push(remote, branch, head, status["base"])
    except Rejected as error:
        if error.kind == "other":
            raise Rejected("other", f"the remote does not take {branch}: {error.message}") from None
        if error.kind == "non_fast_forward":  # the worker has nothing to sign in with
            fetch_base(remote, branch)
        return Settled("rejected", _rejection(error, branch, remote.name))
    with gh:
        return _open_pull(job, gh, head)


def _unready(repo: Repo, path: str, branch: Branch, has_commits: bool) -> str | None:
    """Why a claim of completion does not hold: words for the worker, who is told in the last line what to do."""
    on = git(repo, "symbolic-ref", "--short", "-q", "HEAD", worktree=path, check=False).stdout
    if on.strip() != branch:
        return (
            f"You reported complete, but the worktree is on {on.strip() or 'a detached HEAD'}, not on {branch}.\n"
            f"Bring your commits onto {branch} and report complete again."
        )
    if not has_commits:
        return "You reported complete, but there is no commit on your branch.\nCommit your work, then report complete again."
    if dirty := dirt(repo, path):
        names = ", ".join(dirty[:10]) + (" …" if len(dirty) > 10 else "")
        return (
            f"You reported complete, but these files are not committed: {names}.\n"
            "Commit what belongs to the task, delete what does not, then report complete again."
        )
    return None


def _rejection(pushed: Rejected, branch: Branch, remote: str) -> str:
    if pushed.kind == "non_fast_forward":
        return (
            f"The push of {branch} was rejected: the branch on the remote has commits that yours does not have.\n"
            f"They are fetched already: run `git merge refs/remotes/{remote}/{branch}` on {branch} (never rebase, never "
            "force), keep what they did, test, then report complete again."
        )
    return f"The remote rejected the push of {branch}: {pushed.message}.\nMend it on your branch, then report complete again."


def _open_pull(job: Job, gh: GitHub, head: CommitSha) -> Settled:
    """Our pull is the one whose head and base match. After a failed creation it is looked for before anything else."""
    status, claim = job.status, job.claim
    pull = _find_pull(gh, status, head) or _find_recorded(gh, status)
    if pull is None and (problem := _on_base(job)):
        return problem
    if pull is None and job.launch["pullsOpen"] == "worker":
        if given := claim.get("pr"):
            return Settled(
                "unready",
                f"{given} is not an open pull request from {status['branch']} into {status['base']} "
                "with your last commit.\nGive the right one with --pr.",
            )
        return Settled(
            "unready", "Open the pull request yourself, then report complete with --pr URL."
        )
    if pull is None:
        title, body = _title(job), _body(job)
        try:
            pull = gh.create_pull(
                status["branch"], status["base"], title, body, job.launch["draft"]
            )
        except GitHubError:
            pull = _find_pull(gh, status, head)
            if pull is None:
                raise
    return _verified(job, gh, pull, head)


def _on_base(job: Job) -> Settled | None:
    """Why no pull can be of it: its commits are on the base, and none of its own brought them there."""
    status, remote = job.status, job.remote
    path, branch, base = status["worktreePath"], status["branch"], status["base"]
    tip = fetch_base(remote, base)
    left = commits_since(remote.repo, path, tip)
    pushed = own_commits_on(remote.repo, path, branch, status["baseSha"], tip)
    if pushed and not (left and job.told):
        return Settled("pushed", pushed_words(status, pushed[0]))
    if not left:
        words = (
            f"You reported complete, but there is no commit on {branch} that {base} has not got.\n"
        )
        return Settled("unready", f"{words}Commit your work, then report complete again.")
    return None


def _title(job: Job) -> str:
    """The worker's, else the issue's, else the branch: GitHub refuses a pull of which nothing is to be seen."""
    titles = (job.claim.get("title") or "", job.status["issueTitle"], job.status["branch"])
    lines = (one_line(redact(title, (job.token.value,)), 200) for title in titles)
    return next(filter(None, (neutralise(line.strip()) for line in lines)))


def _body(job: Job) -> str:
    from ..config.templates import pull_body

    words = job.claim.get("body") or job.claim.get("note") or ""
    return pull_body(job.launch["top"], job.status["issueNumber"], words, (job.token.value,))


def _find_pull(gh: GitHub, status: SessionStatus, head: CommitSha) -> Pull | None:
    """The open pull of our branch into our base; else one that a person merged with exactly our commits."""
    pulls = gh.fetch_pulls(status["branch"], status["base"])
    running = [pull for pull in pulls if pull.state == "open"]
    done = [pull for pull in pulls if pull.merged and pull.head_sha == head]
    return next(iter([*running, *done]), None)


def _find_recorded(gh: GitHub, status: SessionStatus) -> Pull | None:
    """The pull that the session has already, into whatever base a person pointed it. No second one is opened beside it, nor
    after one that a person closed. Raises Expected."""
    url = status["pullRequestUrl"]
    number = find_number((url or "").rpartition("/pull/")[2])
    pull = gh.fetch_pull(number) if number else None
    if pull is None or pull.state == "open":
        return pull
    if not pull.merged:
        how = f"reopen it, then issue-orch resume {status['issueNumber']}"
        words = f"its pull {url} was closed without a merge: {how}"
        raise Expected(words, f"issue-orch cancel {status['issueNumber']}, if it is given up")
    return None


def _verified(job: Job, gh: GitHub, pull: Pull, head: CommitSha) -> Settled:
    """GitHub may show the new head late: ask again, and in the end believe the remote branch itself."""
    for _ in range(_LOOKS):
        if pull.head_sha == head:
            return Settled("opened", url=pull.url, head_sha=head)
        pull = gh.fetch_pull(pull.number)
    if is_at(job.remote, job.status["branch"], head):
        return Settled("opened", url=pull.url, head_sha=head)
    raise GitHubError(f"{pull.url} shows {pull.head_sha[:12]}, the branch is at {head[:12]}")
