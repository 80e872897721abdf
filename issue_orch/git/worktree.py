"""The worktree and branch of a session are registered; whose one is, and what a killed start left of it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from glob import escape, glob
from pathlib import Path
from typing import NamedTuple

from ..core.model import Branch, CommitSha
from ..errors import Expected
from ..process.run import wait_for
from ..store.leases import open_lock, try_lock
from .run import (
    Repo,
    admin_dir,
    find_admin_dir,
    find_sha,
    git,
    leads_to,
    load_branches,
    load_text,
    named_by,
)

LOCK_SECONDS = 60
BRANCH = r"[A-Za-z0-9_][A-Za-z0-9._/-]*"
# Files in the admin folder of a worktree: whose it is, and the lock of whoever checks it out.
MARK, CHECKING_OUT = "issue-orch-start", "issue-orch-checkout"


@contextmanager
def locked(file: str, seconds: float = LOCK_SECONDS) -> Iterator[int]:
    """Hold an exclusive flock. Its descriptor is for `pass_fds`: should we be killed, our git goes on holding it."""
    os.makedirs(os.path.dirname(file), mode=0o700, exist_ok=True)
    descriptor = open_lock(file)
    try:
        if not wait_for(partial(try_lock, descriptor), seconds, 0.005):
            words = f"{file}: held for {seconds:.0f} s by somebody else"
            raise Expected(words, "wait until the other issue-orch is done")
        yield descriptor
    finally:
        os.close(descriptor)


def worktrees_lock(repo: Repo) -> str:
    """One per clone for adding and removing: each of them can fail on the other's half-made admin folder."""
    return os.path.join(repo.common_dir, "issue-orch", "locks", "worktrees")


class Intent(NamedTuple):
    """What a session wrote down before it made its worktree and its branch. Both carry `mark` from the moment they are
    there, so nobody else's is taken for them, whatever its name and whenever it was made.

    Sessions of versions without marks have an empty one; `since` is when they began. `continues`: where a branch was that
    a person let it continue.
    """

    mark: str
    since: float = 0.0
    continues: str = ""

    @property
    def issue(self) -> str:
        """The number, as it is typed."""
        found = re.match(r"issue-orch #([0-9]+)", self.mark)
        return found[1] if found else "NUMBER"


def register(
    repo: Repo,
    path: str,
    branch: Branch,
    start: CommitSha,
    intent: Intent,
    *,
    reuse: bool = False,
    there: str = "",
    remote: str = "origin",
) -> CommitSha:
    """Make the branch at `start` and a worktree without files for it. Returns the head of the branch.

    What a killed attempt with this intent left is taken over or cleared away, and nothing else is; with `reuse` an
    existing branch is continued where it is, on the `remote` at the commit `there`. No branch is ever moved. Raises Expected.
    """
    if not os.path.isabs(path) or "\n" in path or not re.fullmatch(BRANCH, branch):
        raise Expected(f"{branch} at {path}: not a branch and an absolute path")
    path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    with locked(worktrees_lock(repo)) as lock:
        admin = find_admin_dir(repo, path)
        if admin and is_own(path, admin, intent) and _adopted(repo, path, admin, branch):
            return CommitSha(find_sha(repo, f"refs/heads/{branch}") or start)
        try:
            heads = Heads(*load_head(repo, branch), there)
            may = reuse or is_ours(repo, branch, heads, start, intent)
            if refused := refusal(repo, path, branch, heads, may, remote, intent.issue):
                raise refused
            return _make(repo, path, branch, heads, start, intent, lock)
        except (Expected, OSError):
            if not reuse:
                take_back(repo, branch, start, intent)
            raise


class Heads(NamedTuple):
    """Of a branch: its commit here, the worktree that has it checked out, its commit on the remote; each may be empty."""

    here: str = ""
    where: str = ""
    there: str = ""


def refusal(
    repo: Repo, path: str, branch: str, heads: Heads, may: bool, remote: str, issue: str
) -> Expected | None:
    """Why no worktree of the branch is made at the path: in `plan`, before the start and at it. `may`: it is continued."""
    if refused := _folder_refusal(repo, path):
        return refused
    if heads.where:
        words = f"the branch {branch} is checked out in {heads.where}"
        return Expected(words, f"git -C {heads.where} switch --detach")
    if heads.here and not may:
        hint = f"issue-orch spawn {issue} --reuse, or git branch -m {branch} {branch}-old"
        return Expected(f"the branch {branch} exists already", hint)
    if heads.there and not may:
        hint = f"ask who works on it; to go on with it: issue-orch spawn {issue} --reuse"
        return Expected(f"the branch {branch} exists on {remote}", hint)
    return None


def is_ours(repo: Repo, branch: Branch, heads: Heads, start: CommitSha, intent: Intent) -> bool:
    """Whether the branch is where a start with this intent left it, or was let continue it."""
    return intent.continues == (heads.here or heads.there) or _is_made(repo, branch, start, intent)


def _make(
    repo: Repo,
    path: str,
    branch: Branch,
    heads: Heads,
    start: CommitSha,
    intent: Intent,
    lock: int,
) -> CommitSha:
    first = CommitSha(heads.here or heads.there or start)
    if not heads.here:
        note = ("--create-reflog", "-m", _made_by(start, intent))
        git(repo, "update-ref", *note, f"refs/heads/{branch}", first, "", pass_fds=(lock,))
    Path(path, ".git").unlink(missing_ok=True)  # of a registration that is gone
    # The reason is written before anything else. The lock goes when all is there: by a rename, so that the mark never does.
    told = ("--quiet", "--no-checkout", "--lock", "--reason", intent.mark or "issue-orch")
    git(repo, "worktree", "add", *told, path, branch, pass_fds=(lock,))
    admin = admin_dir(repo, path)
    os.rename(f"{admin}/locked", f"{admin}/{MARK}")
    return first


def load_head(repo: Repo, branch: str) -> tuple[str, str]:
    """The commit of the branch here, and the worktree that has it checked out; each may be empty."""
    ref = f"refs/heads/{branch}"
    # A pattern also matches what lies below it, so the names are compared.
    found = (each[1:] for each in load_branches(repo, ref) if each[0] == ref)
    return next(found, ("", ""))


def _made_by(start: CommitSha, intent: Intent) -> str:
    """What the reflog of a branch begins with. The words of versions without marks were those of `git worktree add`."""
    return intent.mark or f"branch: Created from {start}"


def _is_made(repo: Repo, branch: Branch, start: CommitSha, intent: Intent) -> bool:
    """Whether the branch is there as this intent made it: nothing has happened to it since."""
    newest = ("--walk-reflogs", "--max-count=1", "--no-show-signature", "--format=%gs")
    asked = (*newest, "--end-of-options", f"refs/heads/{branch}", "--")
    said = git(repo, "log", *asked, check=False).stdout
    return said.removesuffix("\n") == _made_by(start, intent)


def take_back(repo: Repo, branch: Branch, start: CommitSha, intent: Intent) -> None:
    """No branch stays of a start that was refused."""
    head, where = load_head(repo, branch)
    if intent.mark and head and not where and _is_made(repo, branch, start, intent):
        git(repo, "update-ref", "-d", f"refs/heads/{branch}", head, check=False)


def is_own(path: str, admin: str, intent: Intent) -> bool:
    """Whether the worktree that is registered for the path was made with this intent."""
    if intent.mark:
        return intent.mark in (load_text(f"{admin}/{each}").strip() for each in ("locked", MARK))
    begun = os.path.exists(f"{admin}/{CHECKING_OUT}") or (
        not os.path.exists(f"{admin}/index") and _is_untouched(path, admin)
    )
    return begun and os.path.getmtime(f"{admin}/gitdir") >= intent.since


def find_moved(repo: Repo, path: str, branch: Branch, intent: Intent) -> str:
    """Where the worktree that was made at `path` lies now, as after `git worktree move`; empty when it is there, or gone.

    A session without marks is known by its branch: its worktree is where git says that this is checked out.
    """
    here = find_admin_dir(repo, path)
    if here and (not intent.mark or is_own(path, here, intent)):
        return ""
    for admin in glob(f"{escape(repo.common_dir)}/worktrees/*"):
        place = named_by(admin)
        on = load_text(f"{admin}/HEAD") == f"ref: refs/heads/{branch}\n"
        if leads_to(place) == admin and (is_own(place, admin, intent) if intent.mark else on):
            return place
    return ""


def _adopted(repo: Repo, path: str, admin: str, branch: Branch) -> bool:
    """Whether a killed attempt had finished; what it left half-made is cleared away, unless somebody has been there."""
    half = load_text(f"{admin}/locked").startswith(("initializing", "issue-orch"))
    if not half and leads_to(path) == admin:
        on = git(repo, "symbolic-ref", "-q", "HEAD", worktree=path, check=False).stdout
        if on != f"refs/heads/{branch}\n":
            words = f"{path}: {branch} is not checked out there any more"
            raise Expected(words, f"git -C {path} switch {branch}")
        return True
    if not _is_untouched(path, admin):
        words = f"{path}: a start was cut off there, and something else lies there now"
        raise Expected(words, f"mv {path} {path}.aside")
    if os.path.exists(f"{admin}/index"):
        words = f"{path}: the folder of a worktree is gone or not its own any more"
        raise Expected(words, "git worktree repair")
    for file in (f"{path}/.git", f"{admin}/gitdir"):
        # In this order: what is left of it is known, or nobody's.
        Path(file).unlink(missing_ok=True)
    shutil.rmtree(admin)
    return False


def _is_untouched(path: str, admin: str) -> bool:
    """Whether nothing lies there but a `.git` that leads to the admin folder, or not even that."""
    if not os.path.lexists(path):
        return True
    if os.path.islink(path) or not os.path.isdir(path):
        return False
    names = os.listdir(path)
    # An empty `.git` is one that was being written.
    return not names or (
        names == [".git"] and os.path.isfile(f"{path}/.git") and leads_to(path) in (admin, path)
    )


def _folder_refusal(repo: Repo, path: str) -> Expected | None:
    if find_admin_dir(repo, path):
        return Expected(f"{path}: already a worktree of this clone", f"git worktree remove {path}")
    admin = leads_to(path)
    gone = os.path.dirname(admin) == f"{repo.common_dir}/worktrees" and not os.path.lexists(admin)
    if not _is_untouched(path, admin if gone else ""):
        return Expected(f"{path}: exists already", f"mv {path} {path}.aside")
    return None
