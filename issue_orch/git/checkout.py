"""A registered worktree is filled: with the files of its commit, with files that git ignores, and with submodules."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ..core.model import CommitSha
from ..errors import Expected
from ..process.run import Done
from ..text import and_more
from .run import Overrides, Repo, admin_dir, entries, folders, git
from .trust import neutral
from .worktree import CHECKING_OUT, locked

# Measured: below some thousand files starting the helpers costs more than they save.
# The index of a checkout that is moved must be one file.
CHECKOUT = (
    ("checkout.workers", "4"),
    ("checkout.thresholdForParallelism", "5000"),
    ("core.splitIndex", "false"),
)
CHECKOUT_SECONDS = 3600


class Ahead(NamedTuple):
    """Files of a commit that are no worktree yet. `fill` makes them those of another."""

    folder: str
    commit: CommitSha
    fill: Callable[[str, int], None]


Checkouts = list[Future[Ahead]]


@contextmanager
def checkouts_ahead(repo: Repo, folder: str, commit: CommitSha, count: int) -> Iterator[Checkouts]:
    """Check out a commit so many times below `folder`, while the caller finds out whether worktrees are wanted.

    `check_out` takes them; what nobody took is removed. Nothing is made while another command does so, nor where what is
    checked out depends on the worktree.
    """
    depends = ("info/sparse-checkout", "config.worktree")
    if any(os.path.exists(os.path.join(repo.common_dir, name)) for name in depends):
        count = 0
    ahead: Checkouts = []
    with ExitStack() as stack:
        with suppress(Expected, OSError):
            lock = stack.enter_context(locked(f"{folder}.lock", 0))
            # Of a killed command; nobody ever worked there.
            shutil.rmtree(folder, ignore_errors=True)
            os.mkdir(folder, 0o700)
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            pool = stack.enter_context(ThreadPoolExecutor(os.cpu_count()))
            make = partial(_make_ahead, repo, commit, neutral(repo), lock)
            ahead += [pool.submit(make, os.path.join(folder, str(n))) for n in range(count)]
        yield ahead


def _make_ahead(
    repo: Repo, commit: CommitSha, settings: Overrides, lock: int, folder: str
) -> Ahead:
    """Its index lies beside it: `repo` is the clone as seen from there."""
    os.mkdir(folder)
    seen = repo._replace(moved=(folder, repo.common_dir))
    made = Ahead(folder, commit, partial(_fill, seen, folder, settings, f"{folder}.index"))
    made.fill(commit, lock)
    return made


def _move_ahead(ahead: Checkouts, path: str, admin: str, head: CommitSha, lock: int) -> bool:
    """Make a checkout that was made ahead that of a registered worktree. False when it has to be made there."""
    try:
        made = ahead.pop(0).result()
        if made.commit != head:
            made.fill(head, lock)
        for name in os.listdir(made.folder):
            os.rename(os.path.join(made.folder, name), os.path.join(path, name))
        os.rename(f"{made.folder}.index", os.path.join(admin, "index"))
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
    index = os.path.join(admin, "index")
    with locked(os.path.join(admin, CHECKING_OUT), CHECKOUT_SECONDS) as lock:
        if os.path.exists(index):
            return  # git renames it into place after the last file
        refuse_overwriting(repo, path)
        # A lock file is of a killed attempt: its git lives no longer, or it would hold our lock.
        Path(f"{index}.lock").unlink(missing_ok=True)
        fresh = os.listdir(path) == [".git"]
        if not (ahead and head and fresh and _move_ahead(ahead, path, admin, head, lock)):
            _fill(repo, path, neutral(repo, path), index, "HEAD", lock)


def _fill(repo: Repo, path: str, settings: Overrides, index: str, commit: str, lock: int) -> None:
    """Make the files and the index those of the commit; `settings` is what `neutral` gave. Submodules come later."""
    _refuse_filters(repo, path, commit, settings)
    git(
        repo,
        *("read-tree", "--reset", "-u", "--no-recurse-submodules", commit),
        worktree=path,
        config=(*CHECKOUT, *settings),
        env={"GIT_INDEX_FILE": index},
        network=True,
        timeout=CHECKOUT_SECONDS,
        pass_fds=(lock,),
    )


def lacks_index(admin: str) -> bool:
    """Whether no checkout has ended there, or the index was removed since; the files tell which."""
    return not os.path.lexists(os.path.join(admin, "index"))


def refuse_overwriting(repo: Repo, path: str) -> None:
    """Raises Expected when a checkout would write over more than a killed one left."""
    if names := find_overwritten(repo, path):
        ran = names == [".issue-orch"]  # which is written when a worker is started
        why = "a worker has run there" if ran else f"somebody has worked on {and_more(names, 3)}"
        raise Expected(
            f"{path}: its index is gone, and {why}, so its files are left as they are",
            f"git -C {path} reset, which makes it again and leaves the files alone",
        )


def find_overwritten(repo: Repo, path: str) -> list[str]:
    """Files that a checkout of HEAD would write over and that are neither what it writes nor the beginning of that."""
    if os.path.lexists(os.path.join(path, ".issue-orch")):
        return [".issue-orch"]
    if not os.path.isdir(path) or os.listdir(path) == [".git"]:
        return []
    with tempfile.TemporaryDirectory() as folder:
        env = {"GIT_INDEX_FILE": f"{folder}/index"}
        here = partial(git, repo, worktree=path, env=env, config=neutral(repo, path))
        here("read-tree", "HEAD")
        here("update-index", "-q", "--refresh", check=False)
        asked = ("--raw", "-z", "--no-ext-diff", "--no-renames", "--ignore-submodules=all")
        rows = entries(here("diff-files", *asked).stdout)
        pairs = zip(rows[0::2], rows[1::2], strict=True)
        return [name for about, name in pairs if not _is_begun(here, path, about.split(), name)]


def _is_begun(here: Callable[..., Done], path: str, about: list[str], name: str) -> bool:
    """Whether the file is not there, or holds the beginning of what is checked out."""
    file = Path(path, name)
    if not os.path.lexists(file):
        above = [Path(path, each) for each in folders([name])]
        return not any(os.path.lexists(each) and not _is_folder(each) for each in above)
    if about[0][1:] != about[1] or file.is_symlink() or not file.is_file():
        return False
    whole = here("cat-file", "--filters", f"HEAD:{name}").stdout
    return whole.encode("utf-8", "surrogateescape").startswith(file.read_bytes())


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _refuse_filters(repo: Repo, path: str, commit: str, settings: Overrides) -> None:
    """A filter that stands inside the clone does not run; a checkout that needs one would be wrong."""
    # Pathspecs cannot ask for other names.
    named = [re.fullmatch(r"filter\.([A-Za-z0-9_-]+)\.\w+", key) for key, _ in settings]
    drivers = sorted({found[1] for found in named if found})
    if not drivers:
        return
    with tempfile.TemporaryDirectory() as folder:
        here = partial(git, repo, worktree=path, env={"GIT_INDEX_FILE": f"{folder}/index"})
        here("read-tree", commit)
        for driver in drivers:
            listed = here("ls-files", "-z", "--", f":(attr:filter={driver})").stdout
            if needing := entries(listed):
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
    others = partial(git, repo, "ls-files", "--others", "--ignored", "-z", worktree=repo.main)
    ignored = set(entries(others("--exclude-standard").stdout))
    listed = entries(others(f"--exclude-from={listing}").stdout)
    return [name for name in listed if name in ignored and _copy_inside(repo.main, path, name)]


def _copy_inside(source: str, target: str, name: str) -> bool:
    """Copy one file to the same place under another root; nothing is followed out of it or overwritten."""
    here, there = os.path.join(source, name), os.path.join(target, name)
    parent = os.path.dirname(there)
    inside = os.path.realpath(parent) == os.path.normpath(parent)
    if not inside or os.path.lexists(there) or not os.path.isfile(here):
        return False
    os.makedirs(parent, exist_ok=True)
    shutil.copy2(here, there, follow_symlinks=False)
    return True


def populate_submodules(repo: Repo, path: str) -> list[str]:
    """Check out the submodules that are checked out in the main worktree. Asks their remotes; returns their paths."""
    file = os.path.join(path, ".gitmodules")
    if not os.path.isfile(file):
        return []
    asked = ("config", "--file", file, "-z", "--get-regexp", r"^submodule\..*\.path$")
    pairs = [entry.partition("\n")[::2] for entry in entries(git(repo, *asked, check=False).stdout)]
    wanted = {
        where: key.removeprefix("submodule.").removesuffix(".path")
        for key, where in pairs
        if os.path.lexists(os.path.join(repo.main, where, ".git"))
    }
    update = ("submodule", "--quiet", "update", "--init", "--recursive", "--checkout")
    for where, name in wanted.items():
        known = os.path.join(repo.common_dir, "modules", name)
        near = ("--reference", known, "--dissociate") if os.path.isdir(known) else ()
        told = (*update, *near, "--", where)
        git(repo, *told, worktree=path, network=True, timeout=CHECKOUT_SECONDS)
    return list(wanted)
