"""The remote: fetch the base, ask for a branch, push exactly one ref, and say in its words why it did not take it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Literal, NamedTuple

from ..core.model import Branch, CommitSha
from ..errors import CommandFailed, Expected
from ..process.run import Done
from .credentials import SIGN_IN
from .run import Repo, git, rev_parse

FETCHES = 5
ANSWERS = re.compile("couldn't find remote ref|cannot lock ref")


class RemoteFailed(Expected):
    """The remote was not reached."""


class SignInRefused(RemoteFailed):
    """The remote let nobody in."""


class Rejected(Expected):
    """The remote does not take the push; what it says of the content (`hook`) can be mended there. Its words are untrusted."""

    def __init__(self, kind: Literal["non_fast_forward", "hook", "other"], words: str) -> None:
        super().__init__(words)
        self.kind = kind


class Remote(NamedTuple):
    """A remote of a clone; `timeout` in seconds."""

    repo: Repo
    name: str
    timeout: float = 120


def push(remote: Remote, branch: Branch, sha: CommitSha, base: Branch) -> None:
    """Make `branch` on the remote be `sha`: that one ref, never forced, no hooks, no tags, no submodules, no prompt.

    Raises Rejected or RemoteFailed.
    """
    if not re.fullmatch(r"[0-9a-f]{40,64}", sha):
        raise Expected(f"{sha!r}: not a commit to push (an empty one would delete the branch)")
    if branch == base:
        words = f"{branch} is the base: it is never pushed to"
        raise Expected(words, "give the session a branch of its own")
    if find_remote_sha(remote, branch) == sha:
        return
    if uses_lfs(remote.repo, sha):
        # The pre-push hook that usually uploads what the pointers point to is off.
        if shutil.which("git-lfs") is None:
            words = "the branch has files in LFS, and git-lfs is not installed here"
            raise Rejected("other", words)
        ask(remote._replace(timeout=600), "lfs", "push", remote.name, branch)
    flags = (
        "--porcelain",
        "--no-verify",
        "--no-follow-tags",
        "--no-force-with-lease",
        "--recurse-submodules=no",
    )
    done = ask(remote, "push", *flags, "--", remote.name, f"{sha}:refs/heads/{branch}")
    if done.code:
        raise _read_rejection(done)


def _read_rejection(done: Done) -> Rejected:
    """Why, from the line of `--porcelain` (`!\\t<from>:<to>\\t[rejected] (reason)`) and what the remote said."""
    reasons = [line.split("\t")[2] for line in done.stdout.splitlines() if line.startswith("!\t")]
    reason = reasons[0] if reasons else ""
    said = [line.strip() for line in re.findall("(?m)^remote:(.*)", done.stderr)]
    words = "\n".join(filter(None, said)) or reason or _clean_words(done.stderr)
    if re.match(r"\[rejected\].*(non-fast-forward|fetch first|stale info)", reason):
        return Rejected("non_fast_forward", words)
    ruleset = re.search(r"\bGH0\d\d\b|rule violation|protected branch", words + reason)
    return Rejected("hook" if "hook declined" in reason and not ruleset else "other", words)


def fetch_heads(remote: Remote, *branches: str) -> dict[str, CommitSha]:
    """The heads of branches on the remote, asked once; a `*` stands for anything. Raises RemoteFailed."""
    refs = [f"refs/heads/{branch}" for branch in branches]
    done = ask(remote, "ls-remote", "--", remote.name, *refs)
    rows = (line.partition("\t") for line in done.stdout.splitlines())
    # git also lists names that end in one of them
    start = "refs/heads/"
    return {
        name.removeprefix(start): CommitSha(sha) for sha, _, name in rows if name.startswith(start)
    }


def find_remote_sha(remote: Remote, branch: Branch) -> CommitSha | None:
    """The head of a branch on the remote, None when it is not there. Raises RemoteFailed."""
    return fetch_heads(remote, branch).get(branch)


def load_heads_of(remote: Remote | None) -> list[str]:
    """What the branches and tags of a remote name now; nothing where there is none to ask, or it cannot be asked, also
    because a worker may have said where it is."""
    if remote is None:
        return []
    try:
        done = ask(remote, "ls-remote", "--heads", "--tags", "--", remote.name)
    except Expected:
        return []
    return [line.partition("\t")[0] for line in done.stdout.splitlines()]


def is_at(remote: Remote, branch: Branch, sha: CommitSha) -> bool:
    """Whether the branch on the remote is known to be at this commit."""
    try:
        return find_remote_sha(remote, branch) == sha
    except RemoteFailed:
        return False


def fetch_base(remote: Remote, base: Branch) -> CommitSha:
    """Update `refs/remotes/<remote>/<base>` and nothing else; returns it. Raises Expected."""
    tracking = f"refs/remotes/{remote.name}/{base}"
    for _ in range(FETCHES):
        done = _fetch(remote, f"+refs/heads/{base}:{tracking}")
        if not (done.code and "cannot lock ref" in done.stderr):
            break  # else somebody fetched the same at the same moment; what they got may be older by now
    if done.code and "couldn't find remote ref" in done.stderr:
        hint = "push it, or set the base branch in the configuration"
        raise Expected(f"{remote.name} has no branch {base}", hint)
    if done.code:
        words = f"{remote.name}/{base} could not be fetched: {_clean_words(done.stderr)}"
        raise Expected(words, f"git fetch {remote.name}")
    return rev_parse(remote.repo, tracking)


def fetch_commit(remote: Remote, sha: CommitSha) -> None:
    """Bring a commit here that no ref of ours is to name, if the remote gives it."""
    with suppress(RemoteFailed):
        _fetch(remote, sha)


def _fetch(remote: Remote, what: str) -> Done:
    """Fetch that alone. No other ref changes: git 2.48 would make refs/remotes/<remote>/HEAD."""
    flags = (
        "--quiet",
        "--no-tags",
        "--no-prune",
        "--no-write-fetch-head",
        "--refmap=",
        "--recurse-submodules=no",
    )
    only = ("-c", f"remote.{remote.name}.followRemoteHEAD=never")
    return ask(remote._replace(timeout=600), *only, "fetch", *flags, "--", remote.name, what)


def uses_lfs(repo: Repo, sha: CommitSha) -> bool:
    """Whether a `.gitattributes` of the commit hands files to LFS."""
    asked = ("grep", "--quiet", "-e", "filter=lfs", sha, "--", ":(glob)**/.gitattributes")
    done = git(repo, *asked, network=True, check=False)  # a partial clone may have to fetch them
    if done.code > 1:
        raise CommandFailed(("git", *asked), done.code, done.stdout, done.stderr)
    return done.code == 0


def ask(remote: Remote, *args: str) -> Done:
    """One git command with the remote.

    Raises RemoteFailed unless the remote answered; what it answered may be a refusal.
    """
    repo, timeout = remote.repo, remote.timeout
    run = partial(git, repo, *args, env=_ssh_env(repo), network=True, timeout=timeout, check=False)
    return _answered(run, remote)


def _answered(run: Callable[[], Done], remote: Remote) -> Done:
    """Tell a remote that was not reached, or let nobody in, from one that answered."""
    hint = f"git ls-remote {remote.name}"
    try:
        done = run()
    except CommandFailed:
        words = f"{remote.name} cannot be reached: no answer in {remote.timeout:.0f} s"
        raise RemoteFailed(words, hint) from None
    refused = re.search("(?m)^!\t", done.stdout)
    if done.code == 0 or refused or ANSWERS.search(done.stderr):
        return done
    words = _clean_words(done.stderr)
    if SIGN_IN.search(words):
        raise SignInRefused(f"{remote.name} does not let us in: {words}", hint)
    raise RemoteFailed(f"{remote.name} cannot be reached: {words}", hint)


def _clean_words(text: str) -> str:
    """The last lines of what git printed, without credentials in addresses."""
    return re.sub(r"//[^/@\s]+@", "//", "\n".join(text.strip().splitlines()[-10:]))


def _ssh_env(repo: Repo) -> dict[str, str]:
    """The user's ssh command, if it is ssh, told not to ask."""
    command = git(repo, "config", "--get", "core.sshCommand", check=False).stdout.strip() or "ssh"
    try:
        program = os.path.basename(shlex.split(command)[0])
    except (ValueError, IndexError):
        return {}
    return {"GIT_SSH_COMMAND": f"{command} -oBatchMode=yes"} if program == "ssh" else {}
