"""Removing worktrees so that no work is lost: look, rename away, look again there, and only then delete.

Names make it safe to be killed: `.<name>.issue-orch-checking` goes back, `.<name>.issue-orch-deleting-*` is decided.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from .errors import CommandFailed, Expected
from .git import Repo, entries, find_admin_dir, find_sha, git
from .model import Branch, CommitSha, IssueNumber
from .process import run
from .snapshot import dirt, find_submodule_trouble, preserve
from .worktree import load_text, locked, worktrees_lock

Reason = Literal["dirty", "unpushed", "changed", "submodule", "in_use", "locked", "missing", "not_ours", "unknown"]


class Wanted(NamedTuple):
    """A worktree that may go when it is clean and its HEAD is `head`; without `head`, after it was preserved."""

    path: str
    issue: IssueNumber
    head: CommitSha | None


class Removed(NamedTuple):
    """`preserved` is the ref that keeps its work, None when all of it was on the remote."""

    path: str
    preserved: str | None = None


class Kept(NamedTuple):
    path: str
    reason: Reason
    detail: str


def remove_worktrees(repo: Repo, wanted: Sequence[Wanted], now: datetime) -> list[Removed | Kept]:
    """Remove those that hold nothing more than expected, and say of each other why it was kept; in order.

    Branches stay: see `delete_branches`. Safe beside itself, `register` and a kill at any moment.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        with locked(worktrees_lock(repo)):
            mounts = load_mounts()
            looked = list(pool.map(partial(look_twice, repo, now, mounts), wanted))
            users = find_users([checking(found.path) for found in looked if isinstance(found, Removed)])
            outcomes = [decide(repo, found, users) for found in looked]
        attic = [str(each) for each in attic_of(repo).glob("*")]
        gone = [left for done in outcomes if isinstance(done, Removed) for left in leftovers(done.path)]
        list(pool.map(delete_folders, (gone[0::2] + attic, gone[1::2])))
    return outcomes


def checking(path: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.issue-orch-checking")


def deleting(path: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.issue-orch-deleting-")


def leftovers(path: str) -> list[str]:
    """Folders that were at `path` once, decided to be deleted."""
    folder, start = os.path.split(deleting(path))
    if not os.path.isdir(folder):
        return []
    return [os.path.join(folder, name) for name in os.listdir(folder) if name.startswith(start)]


def attic_of(repo: Repo) -> Path:
    return Path(repo.common_dir, "issue-orch", "removed")


def look_twice(repo: Repo, now: datetime, mounts: Sequence[str], wanted: Wanted) -> Removed | Kept:
    """Look at the worktree, rename it to where nobody knows it, look again; it stays there when it may go."""
    path, aside = wanted.path, checking(wanted.path)
    try:
        put_back(path)
        if not os.path.lexists(path) and leftovers(path):
            return Removed(path)  # decided by a run that was killed
        if any(mount == path or mount.startswith(path + os.sep) for mount in mounts):
            return Kept(path, "in_use", "a file system is mounted there")
        found = look(repo, wanted, path, None)
        if isinstance(found, Kept):
            return found
        os.rename(path, aside)
        found = look(repo, wanted, aside, now)
    except (Expected, OSError) as error:
        found = Kept(path, "unknown", str(error))
    if isinstance(found, Kept):
        put_back(path)
    return found


def put_back(path: str) -> None:
    if os.path.lexists(checking(path)) and not os.path.lexists(path):
        os.rename(checking(path), path)


def look(repo: Repo, wanted: Wanted, where: str, now: datetime | None) -> Removed | Kept:
    """Whether the worktree, lying at `where`, may go; with `now`, what is not expected is preserved."""
    path = wanted.path
    admin = find_admin_dir(repo, path)
    if not os.path.lexists(where):
        return Kept(path, "missing", "its folder is not there (on a disk that is not mounted?)")
    if admin is None or not stat.S_ISDIR(os.lstat(where).st_mode):
        return Kept(path, "not_ours", "it is not registered as a worktree of this clone")
    if os.path.normpath(os.path.join(path, load_text(f"{where}/.git").removeprefix("gitdir: ").rstrip("\n"))) != admin:
        return Kept(path, "not_ours", "its .git does not lead to this clone")
    if os.path.lexists(f"{admin}/locked"):
        return Kept(path, "locked", load_text(f"{admin}/locked").strip() or "git worktree lock")
    there = repo._replace(moved=(where, admin))
    if trouble := find_submodule_trouble(there, where):
        return Kept(path, "submodule", trouble)
    if wanted.head is None:
        return Removed(path, preserve(there, where, wanted.issue, now) if now else None)
    return find_surplus(there, wanted, where) or Removed(path)


def find_surplus(repo: Repo, wanted: Wanted, where: str) -> Kept | None:
    head = find_sha(repo, "HEAD", where)
    if head != wanted.head:
        asked = ("merge-base", "--is-ancestor", str(wanted.head), "HEAD")
        more = git(repo, *asked, worktree=where, check=False).code == 0
        return Kept(wanted.path, "unpushed" if more else "changed", f"HEAD is {head}, expected was {wanted.head}")
    names = dirt(repo, where)
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return Kept(wanted.path, "dirty", ", ".join(names[:3]) + rest) if names else None


def decide(repo: Repo, found: Removed | Kept, users: dict[str, str]) -> Removed | Kept:
    """The point of no return: the folder gets the name of the doomed, its admin folder leaves git's sight."""
    if isinstance(found, Kept):
        return found
    path, aside = found.path, checking(found.path)
    if aside in users:
        put_back(path)
        return Kept(path, "in_use", users[aside])
    if os.path.lexists(aside):
        os.rename(aside, deleting(path) + secrets.token_hex(4))
    admin = find_admin_dir(repo, path)
    if admin:
        attic_of(repo).mkdir(mode=0o700, parents=True, exist_ok=True)
        os.rename(admin, attic_of(repo) / f"{os.path.basename(admin)}-{secrets.token_hex(4)}")
    return found


def find_users(folders: Sequence[str]) -> dict[str, str]:
    """Processes that work or hold files in the folders: they would go on writing into what is deleted. Linux only."""
    users: dict[str, str] = {}
    for pid in (name for name in list_folder("/proc") if name.isdigit() and int(name) != os.getpid()):
        links = [f"/proc/{pid}/cwd", *(f"/proc/{pid}/fd/{number}" for number in list_folder(f"/proc/{pid}/fd"))]
        for target in filter(None, map(read_link, links)):
            for folder in folders:
                if target == folder or target.startswith(folder + os.sep):
                    users[folder] = f"in use by process {pid} ({load_text(f'/proc/{pid}/comm').strip()})"
    return users


def list_folder(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []  # ended meanwhile, somebody else's, or a system without /proc


def read_link(link: str) -> str | None:
    try:
        return os.readlink(link)
    except OSError:
        return None


def load_mounts() -> list[str]:
    """Where file systems are mounted. Linux only."""
    lines = load_text("/proc/self/mountinfo").splitlines()
    return [line.split(" ")[4].encode().decode("unicode_escape") for line in lines]


def delete_folders(folders: Sequence[str]) -> None:
    """Measured: rm is three times as fast as shutil.rmtree."""
    if folders and run("rm", "-rf", "--", *folders, timeout=3600, check=False).code:
        for folder in folders:
            for where, _, _ in os.walk(folder):
                os.chmod(where, 0o700)  # what lies in a read-only folder cannot be deleted
        run("rm", "-rf", "--", *folders, timeout=3600)


def delete_branches(repo: Repo, wanted: Iterable[tuple[Branch, CommitSha]]) -> list[Branch]:
    """Delete the local branches that are still at the given commit and checked out nowhere; returns them."""
    form = "--format=%(refname:lstrip=2)%00%(objectname)%00%(worktreepath)%00"
    fields = git(repo, "for-each-ref", form, "refs/heads/").stdout.replace("\0\n", "\0").split("\0")
    rows = zip(fields[0::3], fields[1::3], fields[2::3], strict=False)
    free = {(name, sha) for name, sha, where in rows if not where}
    doomed = [(branch, sha) for branch, sha in wanted if (branch, sha) in free]
    try:
        delete_refs(repo, doomed)
        deleted = [branch for branch, _ in doomed]
    except CommandFailed:  # one of them has just moved, and a batch is all or nothing
        deleted = [branch for branch, sha in doomed if deleted_alone(repo, branch, sha)]
    asked = ("config", "--local", "-z", "--name-only", "--get-regexp", r"^branch\.")
    keys = entries(git(repo, *asked, check=False).stdout)
    for branch in {key.removeprefix("branch.").rpartition(".")[0] for key in keys} & set(deleted):
        git(repo, "config", "--local", "--remove-section", f"branch.{branch}", check=False)
    return deleted


def delete_refs(repo: Repo, doomed: Iterable[tuple[Branch, CommitSha]]) -> None:
    lines = "".join(f"delete refs/heads/{branch}\0{sha}\0" for branch, sha in doomed)
    if lines:
        git(repo, "update-ref", "-z", "--stdin", stdin=lines)


def deleted_alone(repo: Repo, branch: Branch, sha: CommitSha) -> bool:
    try:
        delete_refs(repo, [(branch, sha)])
    except CommandFailed:
        return False
    return True
