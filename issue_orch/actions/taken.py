"""What is done for an issue, or what somebody is doing, as far as no session says so: asked of the archive, of GitHub, of
the remote once for all candidates, and of git. `plan` and every start ask the same."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ..core.closing import closed_by
from ..core.model import Branch, CommitSha, Pull, find_number
from ..core.ready import BY_NAME, Facts, Rules, index_of, why_not
from ..core.record import SessionStatus
from ..core.taken import Merged, Refusal
from ..errors import Expected, GitHubError, StateUnreadable
from ..git import remote, worktree
from ..git.run import find_admin_dir, is_ancestor, load_branches
from ..process.run import wait_for
from ..process.survivors import find_workers
from ..store.files import load_json, load_sessions, load_status, names_in
from .context import Context, fetch_base, last_base, remote_of, worktree_path
from .whereabouts import load_intent, was_cut_off

if TYPE_CHECKING:
    from ..github.client import GitHub

T = TypeVar("T")
U = TypeVar("U")


def issue_of_branch(context: Context, branch: str) -> int | None:
    """The issue whose branch has this name, by the pattern of the configuration. `issue-007` is nobody's."""
    head, _, tail = context.config.branch.partition("{number}")
    number = find_number(branch.removeprefix(head).removesuffix(tail))
    return number if number and context.config.branch.format(number=number) == branch else None


def own_issue(context: Context, pull: Pull) -> int | None:
    """The issue from whose branch, in this repository, a pull is."""
    return issue_of_branch(context, pull.head_branch) if pull.is_of(context.name) else None


class Adopted(NamedTuple):
    """A branch of others that becomes a session's: where it is, where the remote has it, where it left the base, and its
    open pull."""

    branch: Branch
    head: CommitSha
    there: str
    fork: CommitSha
    pull: Pull | None


def find_living(state: Path, number: int) -> Expected | None:
    """What is said while a worker lives that the state knows nothing of: it was removed, or set back."""
    find = partial(find_workers, str(state), {})
    # One whose session was just archived is ending.
    if wait_for(lambda: number not in find(), 1.0):
        return None
    pids = ", ".join(map(str, find().get(number, [])[:5]))
    words = f"#{number}: a worker lives of which the state knows nothing (pid {pids})"
    return Expected(words, "issue-orch doctor --fix   ends it")


class Branches:
    """The branches of issues, here and on the remote, for one command. With `reuse` they are continued; one that is
    `adopted` takes the place of the issue's own. `plan` only looks: it starts nothing."""

    def __init__(
        self,
        context: Context,
        reuse: bool = False,
        adopted: Adopted | None = None,
        starts: bool = True,
    ) -> None:
        self.starts = starts
        self.context, self.reuse, self.adopted = context, reuse or bool(adopted), adopted
        self._anew = set[str]()  # whose head on the remote was merged
        self.problem = ""
        self._asked: Future[dict[str, CommitSha]] | None = None

    def ask(self, pool: ThreadPoolExecutor) -> None:
        """Begin to ask the remote."""
        if not self.adopted:
            self._asked = pool.submit(self._fetch)

    @cached_property
    def there(self) -> dict[str, CommitSha]:
        """Raises RemoteFailed."""
        return self._asked.result() if self._asked else self._fetch()

    def _fetch(self) -> dict[str, CommitSha]:
        if self.adopted:
            return {self.adopted.branch: CommitSha(self.adopted.there)}
        names = {each["branch"] for each in self.cut_off}
        ours = self.context.config.branch.format(number="*")
        return remote.fetch_heads(remote_of(self.context), ours, *sorted(names))

    @cached_property
    def cut_off(self) -> list[SessionStatus]:
        """Sessions whose start is to be taken up again."""
        return [each for each in load_sessions(self.context.state)[0] if was_cut_off(each)]

    @cached_property
    def here(self) -> dict[str, tuple[str, str]]:
        """The commit of each, and the worktree that has it checked out."""
        return {
            name: (sha, where)
            for name, sha, where in load_branches(self.context.repo, "refs/heads/")
        }

    def reached(self) -> bool:
        """Whether the remote could be asked; `problem` says why not."""
        try:
            self.there  # noqa: B018 - it is asked
        except Expected as error:
            self.problem = error.message
        return not self.problem

    def continued(self, status: SessionStatus) -> tuple[str, str]:
        """The commit that is continued, if one is, and where the remote has the branch; fetched where that is all of it."""
        branch = status["branch"]
        here, there = self.here.get(f"refs/heads/{branch}", ("", ""))[0], self.there.get(branch, "")
        let = load_intent(self.context.state, status).continues
        if branch in self._anew:
            return "", ""
        if not (self.reuse or (let and let == (here or there))):
            return "", there
        if there and not here:
            there = fetch_base(self.context, branch)
        return here or there, there

    def refusal(self, number: int, merged: Merged | None) -> Expected | None:
        """Why git has no place for the issue. A branch that was merged is neither in the way nor continued."""
        context, existing = self.context, load_status(self.context.state, number)
        repo, path = context.repo, worktree_path(context, number)
        branch, intent = Branch(context.config.branch.format(number=number)), worktree.Intent("")
        if self.adopted:
            branch = self.adopted.branch
        if existing and self.starts:
            return None  # what is refused at the start takes the intent back
        if existing:  # its start was cut off
            branch, path = existing["branch"], existing["worktreePath"]
            intent = load_intent(context.state, existing)
            admin = find_admin_dir(repo, path)
            if admin and worktree.is_own(path, admin, intent):
                return None
        here, where = self.here.get(f"refs/heads/{branch}", ("", ""))
        heads = worktree.Heads(here, where, self.there.get(branch, ""))
        if merged and not (existing or self.adopted):
            if refused := self._merged_refusal(branch, heads, merged):
                return refused
            if self._is_in(heads.there, merged.heads):
                self._anew.add(branch)
                heads = heads._replace(there="")
        start = existing["baseSha"] if existing else CommitSha("")
        may = self.reuse or bool(existing and worktree.is_ours(repo, branch, heads, start, intent))
        about = (may, context.config.remote, str(number))
        refused = worktree.refusal(repo, path, branch, heads, *about)
        return (None if existing else refused and find_living(context.state, number)) or refused

    def _merged_refusal(
        self, branch: Branch, heads: worktree.Heads, merged: Merged
    ) -> Expected | None:
        """Why a branch of which all was merged cannot begin anew from the base."""
        if not heads.where and self._is_in(heads.here, merged.heads):
            words = f"the branch {branch} here is what was merged already ({merged.url})"
            return Expected(words, f"git branch -D {branch}")
        if self._is_in(heads.there, merged.heads) and not self._is_on_base(heads.there):
            name = self.context.config.remote
            words = f"the branch {branch} on {name} is what was merged already ({merged.url})"
            return Expected(words, f"delete it there: git push {name} --delete {branch}")
        return None

    def _is_in(self, sha: str, commits: Collection[str]) -> bool:
        """Whether one of the commits is this one, or holds it."""
        return bool(sha) and (
            sha in commits or any(is_ancestor(self.context.repo, sha, each) for each in commits)
        )

    def _is_on_base(self, sha: str) -> bool:
        """Whether a push of what begins at the base can follow it."""
        base = last_base(self.context)
        return base is not None and self._is_in(sha, [fetch_base(self.context, base.branch)])


def look_elsewhere(
    context: Context,
    gh: GitHub,
    facts: Facts,
    rules: Rules,
    branches: Branches,
    named: bool,
) -> Facts:
    """With what is asked only for issues that nothing else holds: who labelled them since a merge, and whether git has a
    place for them. What a remote that is not reached has is left to the start, which fails then."""
    ours = {each["pullRequestUrl"] for each in branches.cut_off}
    if branches.adopted and branches.adopted.pull:
        ours.add(branches.adopted.pull.url)
    facts = facts._replace(pulls=tuple(pull for pull in facts.pulls if pull.url not in ours))
    index, open_kinds = index_of(facts), {"merged", *(BY_NAME if named else ())}
    asked = [
        issue.number
        for issue in facts.issues
        if issue.number not in facts.sessions
        and {
            each.kind
            for each in why_not(issue, facts, rules, index)
            if each.severity == "holds" or not named
        }
        <= open_kinds
    ]
    told = partial(if_readable, gh.fetch_label_events)
    wishes = gh.each(told, (number for number in asked if number in facts.merged))
    refused: dict[int, Refusal] = {}
    for number in asked if asked and branches.reached() else ():
        if found := branches.refusal(number, facts.merged.get(number)):
            refused[number] = Refusal(found.message, found.hint)
    return facts._replace(wishes=wishes, refused=refused)


def if_readable(fetch: Callable[[T], U | None], item: T) -> U | None:
    """None when it cannot be read: unknown, never 'nothing'."""
    try:
        return fetch(item)
    except GitHubError:
        return None


# -- what was merged


def find_merged(
    context: Context, pulls: Iterable[Pull], numbers: Collection[int]
) -> dict[int, Merged]:
    """For which of the issues something was merged: what this clone's archive remembers, and what `pulls`, which were
    merged, say."""
    found: dict[int, Merged] = {}
    for number, merged in (*_archived(context, numbers), *_of_pulls(context, pulls)):
        if number in numbers:
            found[number] = merged.joined(found.get(number))
    return found


def _of_pulls(context: Context, pulls: Iterable[Pull]) -> Iterator[tuple[int, Merged]]:
    for pull in pulls:
        own = own_issue(context, pull)
        for number in closed_by(pull.body, context.name, pull.url) | {own}:
            if number:
                heads = frozenset({pull.head_sha} if number == own else ())
                yield number, Merged(pull.url, pull.merged_at, number == own, heads)


def _archived(context: Context, numbers: Collection[int]) -> Iterator[tuple[int, Merged]]:
    """Sessions of this clone that were archived with a pull that was merged; when, is known of older versions' by our time."""
    folder = context.state / "archive"
    for name in names_in(folder):
        number = find_number(name.partition("-")[0])
        if number is None or number not in numbers:
            continue
        try:
            pull = load_json(folder / name / "pull.json") or {}
        except StateUnreadable:
            continue
        if pull.get("merged") and pull.get("url"):
            at = pull.get("mergedAt") or pull.get("fetchedAt") or ""
            yield (
                number,
                Merged(
                    str(pull["url"]),
                    str(at),
                    True,
                    frozenset({str(pull.get("headSha") or "")} - {""}),
                ),
            )
