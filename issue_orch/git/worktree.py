"""Worktrees of sessions: register one, check it out, give it the files and submodules that the clone has."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ..core.model import Branch, CommitSha
from ..errors import Expected
from ..process.run import wait_for
from ..store.leases import open_lock, try_lock
from .run import (
    Overrides,
    Repo,
    admin_dir,
    entries,
    find_admin_dir,
    find_sha,
    git,
    load_branches,
    neutral,
)

# Measured: below some thousand files starting the helpers costs more than they save.
# The index of a checkout that is moved must be one file.
CHECKOUT = (
    ("checkout.workers", "4"),
    ("checkout.thresholdForParallelism", "5000"),
    ("core.splitIndex", "false"),
)
CHECKOUT_SECONDS = 3600
LOCK_SECONDS = 60
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


def register(
    repo: Repo,
    path: str,
    branch: Branch,
    start: CommitSha,
    intent: Intent,
    *,
    reuse: bool = False,
    remote: str = "origin",
) -> CommitSha:
    """Make the branch at `start` and a worktree without files for it. Returns the head of the branch.

    What a killed attempt with this intent left is taken over or cleared away, and nothing else is; with `reuse` an
    existing branch is continued where it is. No branch is ever moved. Raises Expected.
    """
    if not os.path.isabs(path) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._/-]*", branch):
        raise Expected(f"{branch} at {path}: not a branch and an absolute path")
    path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    with locked(worktrees_lock(repo)) as lock:
        admin = find_admin_dir(repo, path)
        if admin and is_own(path, admin, intent) and adopted(repo, path, admin, branch):
            return CommitSha(find_sha(repo, f"refs/heads/{branch}") or start)
        try:
            refuse_folder(repo, path)
            return make(repo, path, branch, start, intent, reuse, remote, lock)
        except (Expected, OSError):
            if not reuse:
                take_back(repo, branch, start, intent)
            raise


def make(
    repo: Repo,
    path: str,
    branch: Branch,
    start: CommitSha,
    intent: Intent,
    reuse: bool,
    remote: str,
    lock: int,
) -> CommitSha:
    head, where, upstream = load_heads(repo, branch, remote)
    if where:
        raise Expected(
            f"the branch {branch} is checked out in {where}",
            "switch that worktree to another branch",
        )
    may = (
        reuse
        or intent.continues == (head or upstream)
        or bool(head and is_made(repo, branch, start, intent))
    )
    if head and not may:
        hint = f"issue-orch spawn NUMBER --reuse, or git branch -m {branch} NAME"
        raise Expected(f"the branch {branch} exists already", hint)
    if upstream and not may:
        hint = "ask who works on it; to go on with it: issue-orch spawn NUMBER --reuse"
        raise Expected(f"the branch {branch} exists on {remote}", hint)
    first = CommitSha(head or upstream or start)
    if not head:
        git(
            repo,
            "update-ref",
            "--create-reflog",
            "-m",
            made_by(start, intent),
            f"refs/heads/{branch}",
            first,
            "",
            pass_fds=(lock,),
        )
    # The reason is written before anything else. The lock goes when all is there: by a rename, so that the mark never does.
    git(
        repo,
        "worktree",
        "add",
        "--quiet",
        "--no-checkout",
        "--lock",
        "--reason",
        intent.mark or "issue-orch",
        path,
        branch,
        pass_fds=(lock,),
    )
    admin = admin_dir(repo, path)
    os.rename(f"{admin}/locked", f"{admin}/{MARK}")
    return first


def load_heads(repo: Repo, branch: Branch, remote: str) -> tuple[str, str, str]:
    """The commit of the branch, the worktree that has it checked out, and the branch as last fetched; each may be empty."""
    local, tracking = f"refs/heads/{branch}", f"refs/remotes/{remote}/{branch}"
    # A pattern also matches what lies below it, so the names are compared.
    found = {name: (sha, where) for name, sha, where in load_branches(repo, local, tracking)}
    return *found.get(local, ("", "")), found.get(tracking, ("", ""))[0]


def made_by(start: CommitSha, intent: Intent) -> str:
    """What the reflog of a branch begins with. The words of versions without marks were those of `git worktree add`."""
    return intent.mark or f"branch: Created from {start}"


def is_made(repo: Repo, branch: Branch, start: CommitSha, intent: Intent) -> bool:
    """Whether the branch is as this intent made it: nothing has happened to it since."""
    asked = (
        "--walk-reflogs",
        "--max-count=1",
        "--no-show-signature",
        "--format=%gs",
        "--end-of-options",
    )
    said = git(repo, "log", *asked, f"refs/heads/{branch}", "--", check=False).stdout
    return said.removesuffix("\n") == made_by(start, intent)


def take_back(repo: Repo, branch: Branch, start: CommitSha, intent: Intent) -> None:
    """No branch stays of a start that was refused."""
    head, where, _ = load_heads(repo, branch, "")
    if intent.mark and head and not where and is_made(repo, branch, start, intent):
        git(repo, "update-ref", "-d", f"refs/heads/{branch}", head, check=False)


def is_own(path: str, admin: str, intent: Intent) -> bool:
    """Whether the worktree that is registered for the path was made with this intent."""
    if intent.mark:
        return intent.mark in (
            load_text(f"{admin}/locked").strip(),
            load_text(f"{admin}/{MARK}").strip(),
        )
    begun = os.path.exists(f"{admin}/{CHECKING_OUT}") or (
        not os.path.exists(f"{admin}/index") and is_untouched(path, admin)
    )
    return begun and os.path.getmtime(f"{admin}/gitdir") >= intent.since


def adopted(repo: Repo, path: str, admin: str, branch: Branch) -> bool:
    """Whether a killed attempt had finished; what it left half-made is cleared away, unless somebody has been there."""
    half = load_text(f"{admin}/locked").startswith(("initializing", "issue-orch"))
    if not half and leads_to(path) == admin:
        if (
            git(repo, "symbolic-ref", "-q", "HEAD", worktree=path, check=False).stdout
            != f"refs/heads/{branch}\n"
        ):
            raise Expected(
                f"{path}: {branch} is not checked out there any more",
                f"git -C {path} switch {branch}",
            )
        return True
    if not is_untouched(path, admin):
        raise Expected(
            f"{path}: a start was cut off there, and something else lies there now",
            f"mv {path} {path}.aside",
        )
    if os.path.exists(f"{admin}/index"):
        raise Expected(
            f"{path}: the folder of a worktree is gone or not its own any more",
            "git worktree repair",
        )
    for file in (
        f"{path}/.git",
        f"{admin}/gitdir",
    ):  # in this order: what is left of it is known, or nobody's
        Path(file).unlink(missing_ok=True)
    shutil.rmtree(admin)
    return False


def is_untouched(path: str, admin: str) -> bool:
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


def leads_to(path: str) -> str:
    """The admin folder that a worktree's `.git` names: by a path that is relative to it, if git is told so."""
    return os.path.normpath(
        os.path.join(path, load_text(f"{path}/.git").removeprefix("gitdir: ").rstrip("\n"))
    )


def load_text(file: str) -> str:
    """The content of a small file; empty when there is no such file."""
    try:
        with open(file, encoding="utf-8", errors="surrogateescape") as opened:
            return opened.read(65536)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return ""


def refuse_folder(repo: Repo, path: str) -> None:
    if find_admin_dir(repo, path):
        raise Expected(f"{path}: already a worktree of this clone", f"git worktree remove {path}")
    nowhere = leads_to(path)
    if os.path.dirname(nowhere) != os.path.join(repo.common_dir, "worktrees") or os.path.lexists(
        nowhere
    ):
        nowhere = ""
    if not is_untouched(path, nowhere):
        raise Expected(f"{path}: exists already", "move it away, or choose another worktree path")
    Path(path, ".git").unlink(missing_ok=True)  # of a registration that is gone


class Ahead(NamedTuple):
    """Files of a commit that are no worktree yet, and their index. `repo` is the clone as seen from them, `settings` what
    `neutral` gave."""

    repo: Repo
    folder: str
    index_file: str
    commit: CommitSha
    settings: Overrides


Checkouts = list[Future[Ahead]]


@contextmanager
def checkouts_ahead(repo: Repo, folder: str, commit: CommitSha, count: int) -> Iterator[Checkouts]:
    """Check out a commit so many times below `folder`, while the caller finds out whether worktrees are wanted.

    `check_out` takes them; what nobody took is removed. Nothing is made while another command does so, nor where what is
    checked out depends on the worktree.
    """
    with ExitStack() as stack:
        if any(
            os.path.exists(os.path.join(repo.common_dir, name))
            for name in ("info/sparse-checkout", "config.worktree")
        ):
            yield []
            return
        try:
            lock = stack.enter_context(locked(f"{folder}.lock", 0))
            shutil.rmtree(
                folder, ignore_errors=True
            )  # of a killed command; nobody ever worked there
            os.mkdir(folder, 0o700)
        except (Expected, OSError):
            yield []
            return
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        pool = stack.enter_context(ThreadPoolExecutor(os.cpu_count()))
        make = partial(make_ahead, repo, commit, neutral(repo), lock)
        yield [pool.submit(make, os.path.join(folder, str(each))) for each in range(count)]


def make_ahead(repo: Repo, commit: CommitSha, settings: Overrides, lock: int, folder: str) -> Ahead:
    os.mkdir(folder)
    made = Ahead(
        repo._replace(moved=(folder, repo.common_dir)), folder, f"{folder}.index", commit, settings
    )
    fill(made.repo, folder, commit, settings, lock, made.index_file)
    return made


def move_ahead(ahead: Checkouts, path: str, admin: str, head: CommitSha, lock: int) -> bool:
    """Make a checkout that was made ahead that of a registered worktree. False when it has to be made there."""
    try:
        made = ahead.pop(0).result()
        if made.commit != head:
            fill(made.repo, made.folder, head, made.settings, lock, made.index_file)
        for name in os.listdir(made.folder):
            os.rename(os.path.join(made.folder, name), os.path.join(path, name))
        os.rename(made.index_file, os.path.join(admin, "index"))
    except (IndexError, Expected, OSError):
        return False
    return True


def check_out(
    repo: Repo, path: str, head: CommitSha | None = None, ahead: Checkouts | None = None
) -> None:
    """Fill a registered worktree, with one of `ahead` when it is empty and at `head`.

    Does nothing when that has been done, so work in it is safe. Raises Expected.
    """
    admin = admin_dir(repo, path)
    with locked(os.path.join(admin, CHECKING_OUT), CHECKOUT_SECONDS) as lock:
        if os.path.exists(os.path.join(admin, "index")):
            return  # git renames it into place after the last file
        if not is_empty(path, admin):
            raise Expected(
                f"{path}: its index is gone, and an agent has worked there",
                f"git -C {path} reset, which makes it again and leaves the files alone",
            )
        # A lock file is of a killed attempt: its git lives no longer, or it would hold our lock.
        Path(admin, "index.lock").unlink(missing_ok=True)
        if not (
            ahead
            and head
            and os.listdir(path) == [".git"]
            and move_ahead(ahead, path, admin, head, lock)
        ):
            fill(repo, path, "HEAD", neutral(repo, path), lock)


def fill(
    repo: Repo, path: str, commit: str, settings: Overrides, lock: int, index: str | None = None
) -> None:
    """Make the files and the index those of the commit; `settings` is what `neutral` gave. Submodules come later."""
    env = {"GIT_INDEX_FILE": index} if index else {}
    refuse_filters(
        repo,
        path,
        commit,
        {
            key.split(".", 1)[1].rpartition(".")[0]
            for key, _ in settings
            if key.startswith("filter.")
        },
    )
    git(
        repo,
        "read-tree",
        "--reset",
        "-u",
        "--no-recurse-submodules",
        commit,
        worktree=path,
        config=(*CHECKOUT, *settings),
        env=env,
        network=True,
        timeout=CHECKOUT_SECONDS,
        pass_fds=(lock,),
    )


def is_empty(path: str, admin: str) -> bool:
    """Whether no checkout has ended there yet: nobody has worked there."""
    return not os.path.exists(os.path.join(admin, "index")) and not os.path.lexists(
        os.path.join(path, ".issue-orch")
    )


def refuse_filters(repo: Repo, path: str, commit: str, drivers: set[str]) -> None:
    """A filter that stands inside the clone does not run; a checkout that needs one would be wrong."""
    if not drivers:
        return
    with tempfile.TemporaryDirectory() as folder:
        env = {"GIT_INDEX_FILE": os.path.join(folder, "index")}
        git(repo, "read-tree", commit, worktree=path, env=env)
        for driver in sorted(drivers):
            if not re.fullmatch(r"[A-Za-z0-9_-]+", driver):
                continue  # pathspecs cannot ask for it
            asked = ("ls-files", "-z", "--", f":(attr:filter={driver})")
            needing = entries(git(repo, *asked, worktree=path, env=env).stdout)
            if needing:
                raise Expected(
                    f"{needing[0]} needs the filter {driver!r}, which is set in the clone's own configuration, "
                    "where workers can write: it is not run",
                    f"set it in your own: git config --global filter.{driver}.smudge …, and the other keys of it",
                )


def copy_listed(repo: Repo, path: str) -> list[str]:
    """Copy files of the main worktree that git ignores and `.worktreeinclude` lists; existing ones are kept."""
    listing = os.path.join(repo.main, ".worktreeinclude")
    if not os.path.isfile(listing):
        return []
    others = ("ls-files", "--others", "--ignored", "-z")
    listed = git(repo, *others, f"--exclude-from={listing}", worktree=repo.main).stdout
    ignored = set(entries(git(repo, *others, "--exclude-standard", worktree=repo.main).stdout))
    return [
        name for name in entries(listed) if name in ignored and copy_inside(repo.main, path, name)
    ]


def copy_inside(source: str, target: str, name: str) -> bool:
    """Copy one file to the same place under another root; nothing is followed out of it or overwritten."""
    there, parent = os.path.join(target, name), os.path.dirname(os.path.join(target, name))
    inside = os.path.realpath(parent) == os.path.normpath(parent)
    if not inside or os.path.lexists(there) or not os.path.isfile(os.path.join(source, name)):
        return False
    os.makedirs(parent, exist_ok=True)
    shutil.copy2(os.path.join(source, name), there, follow_symlinks=False)
    return True


def populate_submodules(repo: Repo, path: str) -> list[str]:
    """Check out the submodules that are checked out in the main worktree. Asks their remotes; returns their paths."""
    file = os.path.join(path, ".gitmodules")
    if not os.path.isfile(file):
        return []
    asked = ("config", "--file", file, "-z", "--get-regexp", r"^submodule\..*\.path$")
    pairs = [entry.partition("\n")[::2] for entry in entries(git(repo, *asked, check=False).stdout)]
    wanted = [
        (key[len("submodule.") : -len(".path")], where)
        for key, where in pairs
        if os.path.lexists(os.path.join(repo.main, where, ".git"))
    ]
    for name, where in wanted:
        known = os.path.join(repo.common_dir, "modules", name)
        near = ("--reference", known, "--dissociate") if os.path.isdir(known) else ()
        git(
            repo,
            "submodule",
            "--quiet",
            "update",
            "--init",
            "--recursive",
            "--checkout",
            *near,
            "--",
            where,
            worktree=path,
            network=True,
            timeout=CHECKOUT_SECONDS,
        )
    return [where for _, where in wanted]


def head_sha(repo: Repo, path: str) -> CommitSha | None:
    """The commit that is checked out there; None on a branch without commits."""
    return find_sha(repo, "HEAD", path)


def commits_since(repo: Repo, path: str, base: str) -> list[tuple[CommitSha, str]]:
    """Commits of the worktree's HEAD that `base` lacks, newest first, each with its subject (untrusted)."""
    asked = (
        "rev-list",
        "--no-commit-header",
        "--format=%H%x00%s",
        "--end-of-options",
        f"{base}..HEAD",
    )
    lines = git(repo, *asked, worktree=path).stdout.splitlines()
    return [
        (CommitSha(sha), subject) for sha, _, subject in (line.partition("\0") for line in lines)
    ]
