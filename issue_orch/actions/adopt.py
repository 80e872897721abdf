"""Adopt: a branch or a pull of this repository, which others made, becomes the session of an issue."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..core.model import Branch, CommitSha, Pull, find_number
from ..errors import Expected, NotFound, Usage
from ..git import remote
from ..git.run import git, is_ancestor
from ..git.worktree import BRANCH, load_head
from ..store.files import load_sessions
from ..text import and_more, one_line
from .context import Base, Context, fetch_base, remote_of
from .taken import Adopted, issue_of_branch

if TYPE_CHECKING:
    from ..github.client import GitHub


def find_adopted(
    context: Context, gh: GitHub, number: int, pull: int | None, branch: str | None, base: Base
) -> Adopted:
    """What is taken over for the issue: the pull, or the branch and its open pull if it has one. Raises Expected."""
    found = _fetch_pull(context, gh, number, pull) if pull else None
    name = Branch(found.head_branch if found else (branch or "").removeprefix("refs/heads/"))
    _refuse_name(context, gh, number, name, base)
    pulls = [found] if found else gh.fetch_pulls(name)
    running = (pull for pull in pulls if pull.state == "open")
    found = min(running, key=lambda pull: pull.base_branch != base.branch, default=None)
    if found and found.base_branch != base.branch:
        words = f"{found.url} goes into {found.base_branch}, and sessions start from {base.branch}"
        how = f'change its base on GitHub, or set base = "{found.base_branch}"'
        raise Expected(words, how)
    head, there = _find_head(context, name)
    if done := [pull.url for pull in pulls if pull.merged and pull.head_sha == head]:
        words = f"what {name} holds was merged already ({done[0]})"
        raise Expected(words, f"issue-orch spawn {number}, which starts from {base.branch}")
    fork = git(context.repo, "merge-base", base.sha, head, check=False).stdout.strip()
    if not fork:
        raise Expected(f"{name} has no commit in common with {base.branch}", f"git log {name}")
    return Adopted(name, head, there, CommitSha(fork), found)


def _fetch_pull(context: Context, gh: GitHub, number: int, pull: int) -> Pull:
    """An open one of this repository's own branches."""
    if find_number(str(pull)) is None:
        raise Usage(f"{pull} is not the number of a pull", "issue-orch spawn NUMBER --pull NUMBER")
    try:
        found = gh.fetch_pull(pull)
    except NotFound as error:
        words = f"#{pull} is no pull of {context.name}: an issue, or nothing that the token sees"
        raise Usage(words, f"issue-orch spawn {number} --branch NAME") from error
    if found.merged:
        raise Expected(f"{found.url} was merged already", f"issue-orch plan {number}")
    if found.state != "open":
        raise Expected(f"{found.url} is closed", "reopen it on GitHub, then the same again")
    if not found.is_of(context.name):
        words = f"{found.url} comes from the fork {found.head_repo or '(which is gone)'}"
        how = (
            f"git fetch {context.config.remote} pull/{pull}/head:NAME, git push {context.config.remote} NAME, "
            f"then issue-orch spawn {number} --branch NAME"
        )
        raise Expected(f"{words}: issue-orch pushes to {context.name} alone", how)
    return found


def _refuse_name(context: Context, gh: GitHub, number: int, branch: Branch, base: Base) -> None:
    if not re.fullmatch(BRANCH, branch):
        words = (
            f"{one_line(branch, 80)!r}: issue-orch works on branches of letters, digits and ._/-"
        )
        raise Usage(words, "git branch -m OLD NEW, and push it")
    if branch in (base.branch, gh.fetch_repo().default_branch):
        raise Usage(f"{branch} is a base: it is never pushed to", "name the branch of the work")
    other = issue_of_branch(context, branch)
    for status in load_sessions(context.state)[0]:
        if status["branch"] == branch:
            other = status["issueNumber"]
    if other not in (None, number):
        words = f"{branch} is the branch of #{other}"
        raise Expected(words, f"issue-orch show {other}, or issue-orch spawn {other} --reuse")


def _find_head(context: Context, branch: Branch) -> tuple[CommitSha, str]:
    """Where the branch is, fetched, and where the remote has it. One that is here has to hold all that the remote has."""
    there = remote.find_remote_sha(remote_of(context), branch)
    here, where = load_head(context.repo, branch)
    if where:
        words = f"the branch {branch} is checked out in {where}"
        raise Expected(words, f"git -C {where} switch --detach")
    name = context.config.remote
    if not (here or there):
        raise Expected(
            f"{name} has no branch {branch}, nor has this clone", f"git ls-remote {name}"
        )
    if there is None:
        return CommitSha(here), ""
    there = fetch_base(context, branch)
    if not here or is_ancestor(context.repo, there, here):
        return CommitSha(here or there), there
    if is_ancestor(context.repo, here, there):
        words, how = (
            f"the branch {branch} here is behind {name}",
            f"git fetch {name} {branch}:{branch}",
        )
    else:
        words = f"the branch {branch} here and on {name} have both gone on"
        how = f"git branch -m {branch} {branch}-mine, then the same again"
    raise Expected(words, how)


def adopted_words(context: Context, adopted: Adopted) -> str:
    """Whose it is, and what it holds: for the person who is asked."""
    span = f"{adopted.fork}..{adopted.head}"
    rows = git(context.repo, "log", "--no-show-signature", "--format=%an%x00%s", span).stdout
    commits = [row.partition("\0") for row in rows.splitlines()]
    names = [*dict.fromkeys(one_line(name, 40) for name, _, _ in commits)]
    who = and_more(names, 3)
    last = f', the last: "{one_line(commits[0][2], 60)}"' if commits else ""
    what = f"{len(commits)} commit{'s'[: len(commits) != 1]}{f' by {who}' if who else ''}{last}"
    pull = adopted.pull
    if not pull:
        return f"{adopted.branch}: {what}"
    return (
        f'{adopted.branch}: {what}; pull "{one_line(pull.title, 60)}" of @{pull.author}: {pull.url}'
    )
