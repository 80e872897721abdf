"""What a worktree holds that is nowhere else, and a copy of it under `refs/issue-orch/preserved`.

Nothing here takes a lock or writes the index of the worktree: a worker may be committing at the same moment.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from .errors import Expected
from .git import Overrides, Repo, admin_dir, entries, find_sha, git, neutral
from .model import CommitSha, Number

if TYPE_CHECKING:
    from datetime import datetime

MAX_BYTES = 50_000_000
COUNTED_BYTES = 1_000_000
PRESERVED = "refs/issue-orch/preserved"
UNTRACKED = ("ls-files", "-z", "--others", "--exclude-standard")


class Changed(NamedTuple):
    """What a session changed since its base, uncommitted and untracked included."""

    files: int
    insertions: int
    deletions: int
    names: tuple[str, ...]


def changes(repo: Repo, path: str, base: str) -> Changed:
    """Count lines against `base`. Lines of untracked files count as inserted, if they are text of up to 1 MB."""
    settings = neutral(repo, path)
    quiet = ("--no-renames", "--no-ext-diff", "--no-textconv", "--submodule=short", "--ignore-submodules=dirty")
    diff = git(repo, "diff", "--numstat", "-z", *quiet, base, "--", worktree=path, config=settings).stdout
    rows = [entry.split("\t", 2) for entry in entries(diff)]
    untracked = entries(git(repo, *UNTRACKED, worktree=path, config=settings).stdout)
    added = sum(int(row[0]) for row in rows if row[0] != "-")
    added += sum(count_lines(os.path.join(path, name)) for name in untracked)
    removed = sum(int(row[1]) for row in rows if row[1] != "-")
    names = sorted({row[2] for row in rows} | set(untracked))
    return Changed(len(names), added, removed, tuple(names))


def count_lines(file: str) -> int:
    try:
        about = os.lstat(file)
        if not stat.S_ISREG(about.st_mode) or about.st_size > COUNTED_BYTES:
            return 0
        with open(file, "rb") as opened:
            content = opened.read(COUNTED_BYTES)
    except OSError:
        return 0  # gone or unreadable: the worker is at it, and a count is only a count
    return 0 if b"\0" in content else content.count(b"\n") + (not content.endswith(b"\n") and bool(content))


class Condition(NamedTuple):
    """A worktree at one moment. `dirt`: what differs from HEAD, is untracked, or git was told not to look at."""

    head: CommitSha | None
    dirt: tuple[str, ...]
    submodules: tuple[str, ...]


def dirt(repo: Repo, path: str) -> tuple[str, ...]:
    """What is not committed; nothing means clean."""
    return inspect(repo, path, neutral(repo, path)).dirt


def inspect(repo: Repo, path: str, config: Overrides) -> Condition:
    """HEAD, dirt and submodules in two commands; `config` is what `neutral` gave."""
    quiet = ("--no-ahead-behind", "--untracked-files=normal", "--no-renames", "--ignore-submodules=dirty")
    done = git(repo, "status", "--porcelain=v2", "--branch", "-z", *quiet, worktree=path, config=config)
    head, names = None, []
    for entry in entries(done.stdout):
        match entry[0]:
            case "#" if entry.startswith("# branch.oid ") and not entry.endswith("(initial)"):
                head = CommitSha(entry.rpartition(" ")[2])
            case "1" | "u":
                names.append(entry.split(" ", 8 if entry[0] == "1" else 10)[-1])
            case "?":
                names.append(entry[2:])
    hidden, submodules = index_oddities(repo, path)
    return Condition(head, (*names, *hidden), tuple(submodules))


def index_oddities(repo: Repo, path: str) -> tuple[list[str], list[str]]:
    """Files marked assume-unchanged, or skip-worktree though they are there; and submodules."""
    hidden: list[str] = []
    links: list[str] = []
    listed = git(repo, "ls-files", "-z", "-s", "-v", worktree=path).stdout
    ordinary = f"\0{listed}".count("\0H 100") + f"\0{listed}".count("\0H 120")  # files and links
    if ordinary == listed.count("\0"):  # there may be a hundred thousand of them
        return hidden, links
    for entry in entries(listed):
        tag, name = entry[0], entry.partition("\t")[2]
        if tag.islower() or (tag == "S" and os.path.lexists(os.path.join(path, name))):
            hidden.append(name)
        if entry[2:8] == "160000":
            links.append(name)
    return hidden, links


def find_submodule_trouble(repo: Repo, path: str, submodules: Iterable[str] | None = None) -> str | None:
    """Work in a submodule that would be lost with the worktree: changes, or commits that are on none of its remotes."""
    git_dirs = set(find_git_dirs(os.path.join(admin_dir(repo, path), "modules"))) if path != repo.main else set()
    for name in index_oddities(repo, path)[1] if submodules is None else submodules:
        folder = os.path.join(path, name)
        git_dir = find_git_dir(folder)
        if git_dir is None:
            continue
        git_dirs.add(git_dir)
        module = Repo(git_dir, folder, folder, repo.version)
        if dirt(module, folder):
            return f"the submodule {name} has uncommitted changes"
        if deeper := find_submodule_trouble(module, folder):
            return f"{name}: {deeper}"
    for git_dir in sorted(git_dirs):
        module = Repo(git_dir, git_dir, git_dir, repo.version)
        mine = ["--branches", "--glob=refs/stash", *(["HEAD"] if find_sha(module, "HEAD") else [])]
        if git(module, "rev-list", "-n1", *mine, "--not", "--remotes").stdout:
            return f"the submodule in {os.path.relpath(git_dir, repo.common_dir)} has commits that are on no remote"
    return None


def find_git_dirs(folder: str) -> Iterable[str]:
    for where, folders, files in os.walk(folder):
        if "HEAD" in files and "objects" in folders:
            folders[:] = [each for each in folders if each == "modules"]
            yield os.path.realpath(where)


def find_git_dir(folder: str) -> str | None:
    """The git folder of a checked-out submodule, by its `.git`."""
    entry = os.path.join(folder, ".git")
    if os.path.isdir(entry):
        return os.path.realpath(entry)
    if not os.path.isfile(entry):
        return None
    with open(entry, encoding="utf-8", errors="surrogateescape") as opened:
        return os.path.realpath(os.path.join(folder, opened.read().removeprefix("gitdir: ").rstrip("\n")))


def preserve(
    repo: Repo, path: str, issue: Number, now: datetime, max_bytes: int = MAX_BYTES
) -> str | None:
    """Keep what is nowhere else as a commit under a ref, and name that ref; None when everything is on a remote.

    The commit's parents are HEAD and, like in a stash, what was staged if that is a third thing. Ignored files stay
    out. Raises Expected when the files are too big or work sits in a submodule.
    """
    if trouble := find_submodule_trouble(repo, path):
        raise Expected(f"{path}: {trouble}", "push or remove that work first")
    staged, work = write_trees(repo, path, max_bytes)
    head = find_sha(repo, "HEAD", path)
    head_tree, date = describe(repo, head) if head else (None, "0")
    if head and work == head_tree and staged in (None, head_tree):
        on_remote = not git(repo, "rev-list", "-n1", head, "--not", "--remotes").stdout
        return None if on_remote else keep(repo, issue, now, head)
    parents = [head] if head else []
    if staged not in (None, head_tree, work):
        parents.append(commit(repo, staged, parents, f"Staged for issue {issue}", date))
    return keep(repo, issue, now, commit(repo, work, parents, f"Work on issue {issue}, preserved", date))


def describe(repo: Repo, sha: CommitSha) -> tuple[str, str]:
    """Tree and date (seconds since the epoch) of a commit."""
    tree, date = git(repo, "rev-list", "-n1", "--no-commit-header", "--format=%T %ct", sha).stdout.split()
    return tree, date


def write_trees(repo: Repo, path: str, max_bytes: int = MAX_BYTES) -> tuple[str | None, str]:
    """Write what is staged (None while there are conflicts) and what is in the folder as trees, through a copy of the index."""
    # Every command that writes an index may run filters (write-tree too: entries as young as the index).
    config = (*neutral(repo, path), ("core.splitIndex", "false"), ("add.ignoreErrors", "false"))
    import tempfile  # a supervisor, which counts changes alone, does without

    with tempfile.TemporaryDirectory() as folder:
        index = os.path.join(folder, "index")
        copy_index(os.path.join(admin_dir(repo, path), "index"), index)
        here = partial(git, repo, worktree=path, env={"GIT_INDEX_FILE": index}, config=config)
        staged = None if here("ls-files", "--unmerged").stdout else here("write-tree").stdout.strip()
        hidden = "".join(f"{name}\0" for name in index_oddities(repo, path)[0])
        for flag in ("--no-assume-unchanged", "--no-skip-worktree"):
            if hidden:
                here("update-index", flag, "-z", "--stdin", stdin=hidden)
        untracked = entries(here(*UNTRACKED).stdout)
        stale = entries(here("diff-files", "--name-only", "-z", "--ignore-submodules=dirty").stdout)
        refuse_unfit(path, {*untracked, *stale}, max_bytes)
        here("add", "--all", "--", ".", timeout=600)
        return staged, here("write-tree").stdout.strip()


def copy_index(source: str, target: str) -> None:
    """With its time: git distrusts files that are as young as the index, and a younger copy would be trusted."""
    try:
        opened = open(source, "rb")
    except FileNotFoundError:
        return
    with opened, open(target, "wb") as copy:
        copy.write(opened.read())
        copy.flush()
        about = os.fstat(opened.fileno())
        os.utime(target, ns=(about.st_atime_ns, about.st_mtime_ns))


def refuse_unfit(path: str, names: set[str], max_bytes: int) -> None:
    nested = next((name for name in sorted(names) if name.endswith("/")), None)
    if nested:
        raise Expected(f"{path}/{nested} is a repository of its own", "push or move it first")
    total = sum(measure(os.path.join(path, name)) for name in names)
    if total > max_bytes:
        raise Expected(
            f"{path}: {total / 1e6:.0f} MB are not committed; up to {max_bytes / 1e6:.0f} MB are preserved",
            "commit, ignore or move the big files first",
        )


def measure(file: str) -> int:
    try:
        return os.lstat(file).st_size
    except FileNotFoundError:
        return 0


def commit(repo: Repo, tree: str, parents: list[CommitSha], message: str, date: str) -> CommitSha:
    """Dated like HEAD, so that the same work gives the same commit, however often it is preserved."""
    who = {"NAME": "issue-orch", "EMAIL": "issue-orch@localhost", "DATE": f"@{date} +0000"}
    env = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in who.items()}
    flags = [word for parent in parents for word in ("-p", parent)]
    return CommitSha(git(repo, "commit-tree", *flags, "-m", message, tree, env=env).stdout.strip())


def keep(repo: Repo, issue: Number, now: datetime, sha: CommitSha) -> str:
    """A ref for `sha`: an earlier one or a new one. None is ever moved."""
    listed = git(repo, "for-each-ref", "--format=%(refname) %(objectname)", f"{PRESERVED}/{issue}/").stdout
    refs = dict(line.split(" ") for line in listed.splitlines())
    if earlier := next((ref for ref, kept in refs.items() if kept == sha), None):
        return earlier
    stem = f"{PRESERVED}/{issue}/{now:%Y%m%dT%H%M%SZ}"
    ref = next(name for name in (stem, *(f"{stem}-{n}" for n in range(2, 10_000))) if name not in refs)
    git(repo, "update-ref", ref, sha, "")  # only if there is none of that name
    return ref
