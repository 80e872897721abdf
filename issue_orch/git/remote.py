"""The remote: fetch the base, ask for a branch, push exactly one ref, and say in its words why it did not take it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Literal
from urllib.parse import urlsplit

from ..core.model import Branch, CommitSha, Token
from ..errors import CommandFailed, Expected
from ..process.run import Done
from .run import Repo, git, rev_parse

SECONDS = 120
FETCHES = 5
LOOPBACK = ("127.0.0.1", "localhost", "::1")
SIGN_IN = re.compile(
    r"authentication failed|could not read (username|password)|terminal prompts disabled|permission denied"
    r"|invalid username or|invalid credentials|requested url returned error: 40[13]|permission to .* denied"
    r"|host key verification failed|repository not found|http basic: access denied",
    re.IGNORECASE,
)


class RemoteFailed(Expected):
    """The remote was not reached."""


class SignInRefused(RemoteFailed):
    """The remote let nobody in."""


class Rejected(Expected):
    """The remote does not take the push; what it says of the content (`hook`) can be mended there. Its words are untrusted."""

    def __init__(self, kind: Literal["non_fast_forward", "hook", "other"], words: str) -> None:
        super().__init__(words)
        self.kind = kind


def push(
    repo: Repo,
    remote: str,
    branch: Branch,
    sha: CommitSha,
    base: Branch,
    token: Token | None = None,
    timeout: float = SECONDS,
) -> None:
    """Make `branch` on the remote be `sha`: that one ref, never forced, no hooks, no tags, no submodules, no prompt.

    The token is used over https alone, and only when nothing of the user's own gets in. Raises Rejected or RemoteFailed.
    """
    if not re.fullmatch(r"[0-9a-f]{40,64}", sha):
        raise Expected(f"{sha!r}: not a commit to push (an empty one would delete the branch)")
    if branch == base:
        raise Expected(
            f"{branch} is the base: it is never pushed to", "give the session a branch of its own"
        )
    if find_remote_sha(repo, remote, branch, token, timeout) == sha:
        return
    if uses_lfs(
        repo, sha
    ):  # the pre-push hook that usually uploads what the pointers point to is off
        if shutil.which("git-lfs") is None:
            raise Rejected(
                "other", "the branch has files in LFS, and git-lfs is not installed here"
            )
        ask(repo, remote, token, "lfs", "push", remote, branch, timeout=max(timeout, 600))
    flags = (
        "--porcelain",
        "--no-verify",
        "--no-follow-tags",
        "--no-force-with-lease",
        "--recurse-submodules=no",
    )
    done = ask(
        repo,
        remote,
        token,
        "push",
        *flags,
        "--",
        remote,
        f"{sha}:refs/heads/{branch}",
        timeout=timeout,
    )
    if done.code:
        raise read_rejection(done)


def read_rejection(done: Done) -> Rejected:
    """Why, from the line of `--porcelain` (`!\\t<from>:<to>\\t[rejected] (reason)`) and what the remote said."""
    reason = next(
        (line.split("\t")[2] for line in done.stdout.splitlines() if line.startswith("!\t")), ""
    )
    said = [
        line.removeprefix("remote:").strip()
        for line in done.stderr.splitlines()
        if line.startswith("remote:")
    ]
    words = "\n".join(line for line in said if line) or reason or clean_words(done.stderr)
    if reason.startswith("[rejected]") and re.search(
        r"non-fast-forward|fetch first|stale info", reason
    ):
        return Rejected("non_fast_forward", words)
    ruleset = re.search(r"\bGH0\d\d\b|rule violation|protected branch", words + reason)
    return Rejected("hook" if "hook declined" in reason and not ruleset else "other", words)


def find_remote_sha(
    repo: Repo, remote: str, branch: Branch, token: Token | None = None, timeout: float = SECONDS
) -> CommitSha | None:
    """The head of a branch on the remote, None when it is not there. Raises RemoteFailed."""
    ref = f"refs/heads/{branch}"  # git also lists names that end in it
    done = ask(repo, remote, token, "ls-remote", "--", remote, ref, timeout=timeout)
    rows = (line.partition("\t") for line in done.stdout.splitlines())
    return next((CommitSha(sha) for sha, _, name in rows if name == ref), None)


def is_at(repo: Repo, remote: str, branch: Branch, sha: CommitSha, token: Token | None) -> bool:
    """Whether the branch on the remote is known to be at this commit."""
    try:
        return find_remote_sha(repo, remote, branch, token) == sha
    except RemoteFailed:
        return False


def fetch_base(repo: Repo, remote: str, base: Branch, token: Token | None = None) -> CommitSha:
    """Update `refs/remotes/<remote>/<base>` and nothing else; returns it. Raises Expected."""
    tracking = f"refs/remotes/{remote}/{base}"
    for _ in range(FETCHES):
        done = fetch(repo, remote, token, f"+refs/heads/{base}:{tracking}")
        if not (done.code and "cannot lock ref" in done.stderr):
            break  # else somebody fetched the same at the same moment; what they got may be older by now
    if done.code and "couldn't find remote ref" in done.stderr:
        raise Expected(
            f"{remote} has no branch {base}", "push it, or set the base branch in the configuration"
        )
    if done.code:
        raise Expected(
            f"{remote}/{base} could not be fetched: {clean_words(done.stderr)}",
            f"git fetch {remote}",
        )
    return rev_parse(repo, tracking)


def fetch_commit(repo: Repo, remote: str, sha: CommitSha, token: Token | None) -> None:
    """Bring a commit here that no ref of ours is to name, if the remote gives it."""
    with suppress(RemoteFailed):
        fetch(repo, remote, token, sha)


def fetch(repo: Repo, remote: str, token: Token | None, what: str) -> Done:
    """Fetch that alone. No other ref changes: git 2.48 would make refs/remotes/<remote>/HEAD."""
    flags = (
        "--quiet",
        "--no-tags",
        "--no-prune",
        "--no-write-fetch-head",
        "--refmap=",
        "--recurse-submodules=no",
    )
    only = ("-c", f"remote.{remote}.followRemoteHEAD=never")
    return ask(repo, remote, token, *only, "fetch", *flags, "--", remote, what, timeout=600)


def uses_lfs(repo: Repo, sha: CommitSha) -> bool:
    """Whether a `.gitattributes` of the commit hands files to LFS."""
    asked = ("grep", "--quiet", "-e", "filter=lfs", sha, "--", ":(glob)**/.gitattributes")
    done = git(repo, *asked, network=True, check=False)  # a partial clone may have to fetch them
    if done.code > 1:
        raise CommandFailed(("git", *asked), done.code, done.stdout, done.stderr)
    return done.code == 0


def ask(repo: Repo, remote: str, token: Token | None, *args: str, timeout: float) -> Done:
    """One git command with the remote: as the user signs in, and with the token when that does not do.

    Raises RemoteFailed unless the remote answered; what it answered may be a refusal.
    """
    run = partial(git, repo, *args, env=ssh_env(repo), network=True, timeout=timeout, check=False)
    try:
        return answered(run, remote, timeout)
    except SignInRefused:
        url = urlsplit(git(repo, "remote", "get-url", "--push", remote, check=False).stdout.strip())
        host = url.netloc.rpartition("@")[2].lower()
        safe = url.scheme == "https" or (url.scheme == "http" and url.hostname in LOOPBACK)
        if token is None or not safe or host != token.host.lower():
            raise
    read, write = os.pipe()
    try:
        with open(write, "w") as pipe:
            pipe.write(f"username=x-access-token\npassword={token.value}\n")
        # Git gives it to this host alone. The empty helper switches the others off: they would store the token.
        helper = f'!f() {{ test "$1" = get && cat /dev/fd/{read}; }}; f'
        config = (("credential.helper", ""), (f"credential.{url.scheme}://{host}.helper", helper))
        return answered(partial(run, config=config, pass_fds=(read,)), remote, timeout)
    finally:
        os.close(read)


def answered(run: Callable[[], Done], remote: str, timeout: float) -> Done:
    """Tell a remote that was not reached, or let nobody in, from one that answered."""
    try:
        done = run()
    except CommandFailed:
        raise RemoteFailed(
            f"{remote} cannot be reached: no answer in {timeout:.0f} s", f"git ls-remote {remote}"
        ) from None
    refused = any(line.startswith("!\t") for line in done.stdout.splitlines())
    if (
        done.code == 0
        or refused
        or "couldn't find remote ref" in done.stderr
        or "cannot lock ref" in done.stderr
    ):
        return done
    words = clean_words(done.stderr)
    if SIGN_IN.search(words):
        raise SignInRefused(f"{remote} does not let us in: {words}", f"git ls-remote {remote}")
    raise RemoteFailed(f"{remote} cannot be reached: {words}", f"git ls-remote {remote}")


def clean_words(text: str) -> str:
    """The last lines of what git printed, without credentials in addresses."""
    return re.sub(r"//[^/@\s]+@", "//", "\n".join(text.strip().splitlines()[-10:]))


def ssh_env(repo: Repo) -> dict[str, str]:
    """The user's ssh command, if it is ssh, told not to ask."""
    command = git(repo, "config", "--get", "core.sshCommand", check=False).stdout.strip() or "ssh"
    try:
        program = os.path.basename(shlex.split(command)[0])
    except (ValueError, IndexError):
        return {}
    return {"GIT_SSH_COMMAND": f"{command} -oBatchMode=yes"} if program == "ssh" else {}
