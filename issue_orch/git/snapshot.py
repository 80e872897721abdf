"""What a worktree holds at one moment, asked of git and of the folder.

Nothing here takes a lock or writes the index of the worktree: a worker may be committing at the same moment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Literal, NamedTuple

from ..core.model import CommitSha
from ..store.files import read_untrusted
from .run import Overrides, Repo, admin_dir, entries, folders, git, leads_to
from .trust import neutral

COUNTED_BYTES = 1_000_000
# Before the name in a line of `git status --porcelain=v2`, by its kind.
SPACES = {"#": 2, "1": 8, "u": 10, "?": 1}
UNTRACKED = ("ls-files", "-z", "--others", "--exclude-standard")
# Of a diff: no program of the configuration runs for it.
QUIET = ("--no-ext-diff", "--no-textconv", "--submodule=short", "--ignore-submodules=dirty")


class Changed(NamedTuple):
    """What a session changed since its base, uncommitted and untracked included."""

    files: int
    insertions: int
    deletions: int
    names: tuple[str, ...]


def changes(repo: Repo, path: str, base: str) -> Changed:
    """Count lines against `base`. Lines of untracked files count as inserted, if they are text of up to 1 MB."""
    settings = neutral(repo, path)
    asked = ("--numstat", "-z", "--no-renames", *QUIET, base)
    diff = git(repo, "diff", *asked, "--", worktree=path, config=settings).stdout
    untracked = entries(git(repo, *UNTRACKED, worktree=path, config=settings).stdout)
    rows = [entry.split("\t", 2) for entry in entries(diff)]
    rows += [[_count_lines(os.path.join(path, name)), "0", name] for name in untracked]
    added, removed = (sum(int(row[each]) for row in rows if row[each] != "-") for each in (0, 1))
    names = sorted({row[2] for row in rows})
    return Changed(len(names), added, removed, tuple(names))


def difference(
    repo: Repo, path: str | None, base: str, head: str, options: Sequence[str], columns: int
) -> str:
    """What `git diff` says since `base`: of the worktree with all that is in it, or of `head` where there is no worktree."""
    from shutil import copyfile
    from tempfile import TemporaryDirectory  # a supervisor does without

    asked, wide = ("diff", *QUIET, *options, "--end-of-options", base), {"COLUMNS": str(columns)}
    if path is None:
        return git(repo, *asked, head, "--", config=neutral(repo), env=wide).stdout
    with TemporaryDirectory(prefix="issue-orch-") as folder:
        index = os.path.join(folder, "index")
        with suppress(FileNotFoundError):
            copyfile(os.path.join(admin_dir(repo, path), "index"), index)
        env = {"GIT_INDEX_FILE": index, **wide}
        here = partial(git, repo, worktree=path, config=neutral(repo, path), env=env)
        new = [name for name in entries(here(*UNTRACKED).stdout) if not name.endswith("/")]
        add = ("--literal-pathspecs", "add", "--intent-to-add", "--pathspec-from-file=-")
        if new:
            here(*add, "--pathspec-file-nul", stdin="".join(f"{name}\0" for name in new))
        return here(*asked, "--").stdout


def _count_lines(file: str) -> str:
    """As `git diff --numstat` does it. Nothing is said of what is gone or unreadable: the worker is at it."""
    content = read_untrusted(file, COUNTED_BYTES + 1) or b""
    if b"\0" in content or len(content) > COUNTED_BYTES:
        return "-"
    return str(len(content.removesuffix(b"\n").split(b"\n")) if content else 0)


class Condition(NamedTuple):
    """A worktree at one moment.

    `staged`: what the index has that HEAD has not, by name: mode and object, of a conflict those of each of three sides;
    zeros for nothing. `unstaged`: what the folder has that the index has not, is untracked, or git was told not to look at.
    """

    head: CommitSha | None
    staged: dict[str, tuple[str, ...]]
    unstaged: tuple[str, ...]
    submodules: tuple[str, ...]

    @property
    def dirt(self) -> list[str]:
        """What is not committed; nothing means clean."""
        return sorted({*self.staged, *self.unstaged})


def inspect(
    repo: Repo, path: str, config: Overrides, untracked: Literal["normal", "all"] = "normal"
) -> Condition:
    """Two commands; `config` is what `neutral` gave. `normal` names a new folder, not what is in it."""
    quiet = (
        "--no-ahead-behind",
        f"--untracked-files={untracked}",
        "--no-renames",
        "--ignore-submodules=dirty",
    )
    # Where the file system tells README from readme git must, too, or it takes one for the other and shows neither.
    if not os.path.lexists(os.path.join(path, ".GIT")):
        config = (*config, ("core.ignoreCase", "false"))
    done = git(
        repo, "status", "--porcelain=v2", "--branch", "-z", *quiet, worktree=path, config=config
    )
    head, staged = None, {}
    unstaged, submodules = _what_git_passes_over(repo, path)
    for entry in entries(done.stdout):
        kind, *about, name = entry.split(" ", SPACES[entry[0]])
        if kind == "#":
            if about == ["branch.oid"] and name != "(initial)":
                head = CommitSha(name)
            continue
        if kind == "u":
            staged[name] = tuple(map(" ".join, zip(about[2:5], about[6:9], strict=True)))
        elif kind == "1" and about[0][0] != ".":
            staged[name] = (f"{about[3]} {about[6]}",)
        if kind == "?" or about[0][1] != ".":
            unstaged.append(name)
    return Condition(head, staged, tuple(unstaged), tuple(submodules))


def dirt(repo: Repo, path: str) -> list[str]:
    """What is not committed; nothing means clean."""
    return inspect(repo, path, neutral(repo, path)).dirt


def _what_git_passes_over(repo: Repo, path: str) -> tuple[list[str], list[str]]:
    """Files marked assume-unchanged or skip-worktree that are there, and the `.git` of repositories that were made in
    folders of ours, on which git looks as if they were not there; and, beside these, the submodules."""
    listed = git(repo, "ls-files", "-z", "-s", "-v", worktree=path).stdout
    above = folders({*re.findall(r"\t([^\0]+/)", listed)}) - {""}
    # There may be a hundred thousand of them: ordinary files and links are left out first.
    odd = [each for each in entries(listed) if not each.startswith(("H 100", "H 120"))]
    rows = [(each[0], each[2:8], each.partition("\t")[2]) for each in odd]
    perhaps = [f"{folder}/.git" for folder in sorted(above)]
    perhaps += [name for tag, _, name in rows if tag == "S"]
    return (
        [name for name in perhaps if os.path.lexists(os.path.join(path, name))]
        + [name for tag, _, name in rows if tag.islower()],
        [name for _, mode, name in rows if mode == "160000"],
    )


def find_git_dir(folder: str) -> str | None:
    """The git folder of a checked-out submodule, by its `.git`."""
    entry = os.path.join(folder, ".git")
    if os.path.isfile(entry):
        entry = leads_to(folder)
    elif not os.path.isdir(entry):
        return None
    return os.path.realpath(entry)
