"""Removing worktrees so that no work is lost: rename away, look there, put back or let go.

Names make it safe to be killed: `.<name>.issue-orch-checking` goes back, `.<name>.issue-orch-deleting-*` is decided.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from glob import glob
from pathlib import Path
from typing import Literal, NamedTuple

from ..core.model import Branch, CommitSha, Number
from ..errors import Expected
from ..text import and_more
from .hidden import (
    find_half_done,
    find_inner_worktree,
    find_repository,
    find_submodule_trouble,
    load_worktrees,
)
from .leftovers import beside, leftovers, make_attic
from .preserve import preserve, preserve_loose
from .remote import Remote
from .run import (
    Overrides,
    Repo,
    admin_dir,
    entries,
    find_admin_dir,
    git,
    is_ancestor,
    leads_to,
    load_branches,
    load_text,
)
from .snapshot import Condition, inspect
from .trust import neutral
from .worktree import locked, worktrees_lock

Reason = Literal[
    "dirty",
    "unpushed",
    "changed",
    "submodule",
    "nested",
    "half_done",
    "in_use",
    "locked",
    "missing",
    "not_ours",
    "failed",
]


class Wanted(NamedTuple):
    """A worktree that may go when it is clean and its HEAD is `head`; without `head`, after it was preserved."""

    path: str
    issue: Number
    head: CommitSha | None


class Removed(NamedTuple):
    """`preserved`: the refs that keep its work, none when all of it is elsewhere, in words."""

    path: str
    preserved: str | None = None


class Kept(NamedTuple):
    path: str
    reason: Reason
    detail: str


def remove_worktrees(
    repo: Repo,
    wanted: Sequence[Wanted],
    now: datetime,
    remote: Remote | None = None,
) -> list[Removed | Kept]:
    """Remove those that hold nothing more than expected, and say of each other why it was kept; in order.

    Branches stay: see `delete_branches`. Safe beside itself, `register` and a kill at any moment. What the `remote` says that
    it has is not preserved. The files of what is removed are by then out of sight and of git's knowledge; `sweep` deletes them.
    """
    with locked(worktrees_lock(repo)), ThreadPoolExecutor((os.cpu_count() or 2) + 1) as pool:
        # Many are looked at side by side: threads of each git would be in each other's way.
        mounts = mounts_of(load_text("/proc/self/mountinfo"))  # Linux only
        config = (*neutral(repo), ("core.preloadIndex", "false"))
        attic, worktrees = make_attic(repo.common_dir), load_worktrees(repo)
        moved = [_move_aside(repo, each.path, mounts, worktrees) for each in wanted]
        # Who is not inside now cannot write there any more: nobody knows the name. So this comes before the look.
        users = _find_users([checking(each.path) for each in wanted])
        judge = partial(_look_aside, repo, now, config, remote, users)
        return [_let_go(repo, attic, found) for found in pool.map(judge, wanted, moved)]


def checking(path: str) -> str:
    return beside(path, "checking")


def _move_aside(
    repo: Repo, path: str, mounts: Sequence[str], worktrees: Sequence[str]
) -> Removed | Kept | None:
    """Rename the worktree to where nobody knows it; None when that was done and it is to be looked at."""
    try:
        _put_back(path)
        if not os.path.lexists(path) and leftovers(path):
            return Removed(path)  # decided by a run that was killed
        if any(_is_in(path, mount) for mount in mounts):
            return Kept(path, "in_use", "a file system is mounted there")
        if kept := _refuse_foreign(repo, path, worktrees):
            return kept
        os.rename(path, checking(path))
    except OSError as error:
        return Kept(path, "failed", str(error))
    return None


def _is_in(folder: str, path: str) -> bool:
    return f"{path}/".startswith(f"{folder}/")


def _look_aside(
    repo: Repo,
    now: datetime,
    config: Overrides,
    remote: Remote | None,
    users: Mapping[str, str],
    wanted: Wanted,
    known: Removed | Kept | None,
) -> Removed | Kept:
    """Look at what was moved aside, unless it is `known` already; it goes back unless it may go."""
    if known is None:
        where = checking(wanted.path)
        used = where in users and Kept(wanted.path, "in_use", users[where])
        known = used or _look(repo, wanted, where, now, config, remote)
        if isinstance(known, Kept):
            _put_back(wanted.path)
    return known


def _put_back(path: str) -> None:
    if os.path.lexists(checking(path)) and not os.path.lexists(path):
        os.rename(checking(path), path)


def _refuse_foreign(repo: Repo, path: str, worktrees: Sequence[str]) -> Kept | None:
    admin = find_admin_dir(repo, path)
    if not os.path.lexists(path):
        return Kept(path, "missing", "its folder is not there (on a disk that is not mounted?)")
    if admin is None or not stat.S_ISDIR(os.lstat(path).st_mode):
        return Kept(path, "not_ours", "it is not registered as a worktree of this clone")
    if leads_to(path) != admin:
        return Kept(path, "not_ours", "its .git does not lead to this clone")
    if os.path.lexists(f"{admin}/locked"):
        return Kept(path, "locked", load_text(f"{admin}/locked").strip() or "git worktree lock")
    if inner := find_inner_worktree(repo, path, worktrees):
        return Kept(path, "nested", f"the worktree {inner} lies inside of it")
    return None


def _look(
    repo: Repo,
    wanted: Wanted,
    where: str,
    now: datetime | None,
    config: Overrides,
    remote: Remote | None,
) -> Removed | Kept:
    """Whether the worktree, lying at `where`, holds only what is expected; or else, preserve it, unless without `now`."""
    try:
        admin = admin_dir(repo, wanted.path)
        repo = repo._replace(moved=(where, admin))
        if os.path.lexists(os.path.join(admin, "config.worktree")):
            config = neutral(repo, where)
        found = inspect(repo, where, config)
        kept = _find_hidden(repo, (wanted.path, where), found, remote, config)
        if kept or (wanted.head and (kept := _compare(repo, wanted, where, found))):
            return kept
        if now is None:
            return Removed(wanted.path)
        about = (repo, where, wanted.issue, now)
        work = None if wanted.head else preserve(*about, remote)
        refs = filter(None, (work, preserve_loose(*about, found.head, remote)))
    except (Expected, OSError) as error:
        return Kept(wanted.path, "failed", str(error))
    return Removed(wanted.path, " and ".join(refs) or None)


def _find_hidden(
    repo: Repo,
    places: tuple[str, str],
    found: Condition,
    remote: Remote | None,
    config: Overrides,
) -> Kept | None:
    path, where = places
    if words := find_half_done(repo, admin_dir(repo, where)):
        return Kept(path, "half_done", words)
    if words := find_submodule_trouble(repo, where, found.submodules, remote):
        return Kept(path, "submodule", words)
    if words := find_repository(repo, where, remote, config):
        return Kept(path, "nested", words)
    return None


def _compare(repo: Repo, wanted: Wanted, where: str, found: Condition) -> Kept | None:
    """With what was merged."""
    if found.head != wanted.head:
        more = is_ancestor(repo, str(wanted.head), "HEAD", where)
        words = f"HEAD is {found.head}, expected was {wanted.head}"
        return Kept(wanted.path, "unpushed" if more else "changed", words)
    if found.dirt:
        return Kept(wanted.path, "dirty", f"not committed: {and_more(found.dirt, 3)}")
    return None


def foresee(repo: Repo, wanted: Wanted, remote: Remote | None = None) -> Removed | Kept:
    """What would become of one of `remove_worktrees`, looked at where it is. Who works in it is not asked."""
    try:
        if kept := _refuse_foreign(repo, wanted.path, load_worktrees(repo)):
            return kept
    except OSError as error:
        return Kept(wanted.path, "failed", str(error))
    return _look(repo, wanted, wanted.path, None, neutral(repo), remote)


def _let_go(repo: Repo, attic: Path, found: Removed | Kept) -> Removed | Kept:
    """The point of no return: the folder gets the name of the doomed, its admin folder leaves git's sight."""
    if isinstance(found, Kept):
        return found
    path, unique = found.path, secrets.token_hex(4)
    doomed = beside(path, f"deleting-{unique}")
    try:
        if os.path.lexists(checking(path)):
            os.rename(checking(path), doomed)
        if admin := find_admin_dir(repo, path):
            os.rename(admin, attic / f"{os.path.basename(admin)}-{unique}")
    except OSError as error:
        if os.path.lexists(doomed):
            os.rename(doomed, checking(path))
        _put_back(path)
        return Kept(path, "failed", str(error))
    return found


def _find_users(folders: Sequence[str]) -> dict[str, str]:
    """Processes that work or hold files in the folders: they would go on writing into what is deleted. Linux only."""
    users: dict[str, str] = {}
    for link in (*glob("/proc/[0-9]*/cwd"), *glob("/proc/[0-9]*/fd/*")):
        try:
            target, pid = os.readlink(link), link.split("/")[2]
        except OSError:
            continue  # ended meanwhile, or somebody else's
        if "-checking" not in target or int(pid) == os.getpid():
            continue  # there may be many more files than folders
        for folder in folders:
            if _is_in(folder, target):
                name = load_text(f"/proc/{pid}/comm").strip()
                users[folder] = f"in use by process {pid} ({name})"
    return users


def mounts_of(table: str) -> list[str]:
    """Where file systems are mounted, by the system's table: it spells blanks and backslashes as octal bytes."""
    places = (os.fsencode(line.split(" ")[4]) for line in table.splitlines())
    return [
        os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), each))
        for each in places
    ]


def delete_branches(repo: Repo, wanted: Iterable[tuple[Branch, CommitSha]]) -> list[Branch]:
    """Delete the local branches that are still at the given commit and checked out nowhere; returns them."""
    free = {(name, sha) for name, sha, where in load_branches(repo, "refs/heads/") if not where}
    deleted = _delete_refs(
        repo, [each for each in wanted if (f"refs/heads/{each[0]}", each[1]) in free]
    )
    asked = ("config", "--local", "-z", "--name-only", "--get-regexp", r"^branch\.")
    keys = entries(git(repo, *asked, check=False).stdout)
    for branch in {key.removeprefix("branch.").rpartition(".")[0] for key in keys} & set(deleted):
        git(repo, "config", "--local", "--remove-section", f"branch.{branch}", check=False)
    return deleted


def _delete_refs(repo: Repo, doomed: list[tuple[Branch, CommitSha]]) -> list[Branch]:
    """A batch is all or nothing: one that has just moved must not hold up the others."""
    lines = "".join(f"delete refs/heads/{branch}\0{sha}\0" for branch, sha in doomed)
    if git(repo, "update-ref", "-z", "--stdin", stdin=lines, check=False).code == 0:
        return [branch for branch, _ in doomed]
    if len(doomed) < 2:
        return []
    return [branch for each in doomed for branch in _delete_refs(repo, [each])]
