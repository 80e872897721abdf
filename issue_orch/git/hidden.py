"""Work that HEAD, index and files of a worktree do not show: what stands half done, submodules, repositories and worktrees
inside of it, and commits that only its reflog or a ref of its own names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..core.model import CommitSha
from ..errors import Expected
from .remote import Remote, load_heads_of
from .run import Overrides, Repo, admin_dir, entries, git, leads_to, load_text, named_by
from .snapshot import find_git_dir, inspect
from .trust import neutral

# What git leaves in a git folder while it waits for a person.
HALF_DONE = {
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase or git am",
    "MERGE_HEAD": "a merge",
    "MERGE_AUTOSTASH": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "sequencer": "a cherry-pick or revert",
    "BISECT_LOG": "a bisect",
    "BISECT_START": "a bisect",
    "NOTES_MERGE_PARTIAL": "a merge of notes",
}
STAYING = ("--exclude=refs/remotes/*", "--all")


def find_half_done(repo: Repo, git_dir: str) -> str | None:
    """An operation of git that was begun and neither finished nor given up, in words."""
    names = [name for name in HALF_DONE if os.path.lexists(os.path.join(git_dir, name))]
    if not names and os.path.isdir(os.path.join(git_dir, "reftable")):
        asked = ("rev-parse", "--revs-only", "--symbolic", "CHERRY_PICK_HEAD", "REVERT_HEAD")
        names = git(repo, *asked, env={"GIT_DIR": git_dir}).stdout.split()
    return f"{HALF_DONE[names[0]]} is in progress" if names else None


def find_inner_worktree(repo: Repo, path: str, worktrees: Iterable[str]) -> str | None:
    """One of the clone's other worktrees that lies inside of this one."""
    inside = (each for each in (repo.main, *worktrees) if each.startswith(f"{path}/"))
    return next((each for each in inside if os.path.lexists(each)), None)


def load_worktrees(repo: Repo) -> list[str]:
    return [named_by(str(admin)) for admin in Path(repo.common_dir, "worktrees").glob("*")]


# -- submodules, and repositories where git does not look


def find_submodule_trouble(
    repo: Repo, path: str, submodules: Sequence[str], remote: Remote | None = None
) -> str | None:
    """Work in a submodule that would be lost with the worktree: changes, or commits that are on none of its remotes.

    Without `remote`, whose way of asking is taken, no remote is asked, and what only one of them has counts as work.
    """
    git_dirs: set[str] = set()
    git_dir = repo.common_dir
    if path != repo.main:  # those whose folder is gone are looked for, too
        git_dir = admin_dir(repo, path)
        git_dirs |= _find_modules(git_dir)
    for name in submodules:
        folder = os.path.join(path, name)
        inner = find_git_dir(folder)
        if inner is None:
            if os.path.isdir(folder) and not os.path.islink(folder) and os.listdir(folder):
                return f"the submodule {name} is not checked out, but there are files"  # which git does not see
            continue
        git_dirs.add(inner)
        module = Repo(inner, folder, folder, repo.version)
        found = inspect(module, folder, neutral(module, folder))
        if found.dirt:
            return f"the submodule {name} has uncommitted changes"
        if deeper := find_submodule_trouble(module, folder, found.submodules, remote):
            return f"{name}: {deeper}"
    for each in sorted(git_dirs):
        # The clone's own copy of the submodule stays.
        twin = os.path.join(repo.common_dir, os.path.relpath(each, git_dir))
        if trouble := _find_ref_trouble(repo, each, remote, twin):
            return f"the submodule in {os.path.relpath(each, repo.common_dir)} {trouble}"
    return None


def _find_modules(git_dir: str) -> set[str]:
    heads = Path(git_dir, "modules").rglob("HEAD")
    return {os.path.realpath(each.parent) for each in heads if (each.parent / "objects").is_dir()}


def _find_ref_trouble(
    repo: Repo, git_dir: str, remote: Remote | None, twin: str = ""
) -> str | None:
    """What the git folder of a repository that would go holds for itself, whatever ref or stash names it."""
    module = Repo(git_dir, git_dir, git_dir, repo.version)
    if found := find_half_done(module, git_dir):
        return f"has something half done: {found}"
    if any(map(os.path.lexists, load_worktrees(module))):
        return "has worktrees of its own"
    held = _load_refs(module, twin) if twin != git_dir and os.path.isdir(twin) else []
    if not _find_unheld(module, held):
        return None
    asked = ("config", "--local", "-z", "--get-regexp", r"^remote\..*\.url$")
    for entry in entries(git(module, *asked, check=False).stdout):
        held += load_heads_of(remote and _without_token(remote, entry.partition("\n")[2]))
    if _find_unheld(module, held):
        return "has commits that are on no remote that could be asked"
    return None


def _without_token(remote: Remote, url: str) -> Remote:
    """A worker may have written the address."""
    return remote._replace(repo=remote.repo._replace(find_token=None), name=url)


def _load_refs(repo: Repo, git_dir: str) -> list[str]:
    asked = ("for-each-ref", "--format=%(objectname)", "refs/heads", "refs/tags")
    return git(repo, *asked, env={"GIT_DIR": git_dir, "GIT_COMMON_DIR": git_dir}).stdout.split()


def _find_unheld(repo: Repo, held: Iterable[str]) -> str:
    without = "".join(f"^{sha}\n" for sha in held)
    asked = ("rev-list", "-n1", "--ignore-missing", *STAYING, "--stdin")
    return git(repo, *asked, stdin=without).stdout


def find_repository(repo: Repo, path: str, remote: Remote | None, config: Overrides) -> str | None:
    """A repository in a folder that git ignores and that holds work, in words. Raises OSError where it cannot look."""
    asked = ("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
    for name in entries(git(repo, *asked, worktree=path, config=config).stdout):
        for folder in _walk(os.path.join(path, name)) if name.endswith("/") else ():
            if trouble := _find_trouble_in(repo, folder, remote):
                return f"the repository {os.path.relpath(folder, path)} {trouble}"
    return None


def _walk(top: str) -> Iterator[str]:
    """The folders that are repositories."""
    for where, folders, files in os.walk(top, onerror=_raise):
        if ".git" in folders or ".git" in files:
            yield where
            folders[:] = [name for name in folders if name != ".git"]
        elif "HEAD" in files and {"objects", "refs"} <= {*folders}:
            yield where
            folders.clear()


def _raise(error: OSError) -> None:
    raise error


def _find_trouble_in(repo: Repo, folder: str, remote: Remote | None) -> str | None:
    inner = os.path.join(folder, ".git")
    if not os.path.lexists(inner):
        return _find_ref_trouble(repo, folder, remote)
    if not os.path.isdir(inner):
        there = os.path.lexists(leads_to(folder))
        return "belongs to another one, which is not looked at" if there else None
    inner = os.path.realpath(inner)
    module = Repo(inner, folder, folder, repo.version)
    found = inspect(module, folder, neutral(module, folder))
    if found.dirt:
        return "has uncommitted changes"
    if deeper := find_submodule_trouble(module, folder, found.submodules, remote):
        return f"has work in a submodule: {deeper}"
    troubles = (
        _find_ref_trouble(repo, each, remote) for each in (inner, *sorted(_find_modules(inner)))
    )
    return next(filter(None, troubles), None)


# -- commits that nothing names but what goes with the worktree


def find_loose(repo: Repo, path: str, head: CommitSha | None, remote: Remote | None) -> list[str]:
    """The newest commits that only the worktree's reflog, or refs of its own, name; `head` is safe.

    What was amended is none: another commit took its place. Raises Expected for refs to something else.
    """
    tips = [*_read_reflog(repo, path), *_load_own_refs(repo, path)]
    held = [head] if head else []
    loose = _without_held(repo, tips, held)
    if loose and remote:
        loose = _without_held(repo, tips, [*held, *load_heads_of(remote)])
    return loose


def _without_held(repo: Repo, tips: list[str], held: Sequence[str]) -> list[str]:
    if {*tips} <= {*held}:
        return []
    asked = ("rev-list", "--parents", "--ignore-missing", "--single-worktree", "--stdin")
    stdin = "".join(f"{sha}\n" for sha in (*tips, *(f"^{sha}" for sha in held)))
    rows = [
        row.split() for row in git(repo, *asked, "--not", *STAYING, stdin=stdin).stdout.splitlines()
    ]
    return sorted({row[0] for row in rows} - {sha for row in rows for sha in row[1:]})


def _read_reflog(repo: Repo, path: str) -> list[str]:
    admin = admin_dir(repo, path)
    file = Path(admin, "logs", "HEAD")
    if file.is_file():  # git itself reads none where HEAD has no commit yet
        lines = file.read_text("utf-8", "surrogateescape").splitlines()
        rows = [(line[:90].split(" ")[1], line.partition("\t")[2]) for line in reversed(lines)]
    else:
        asked = ("log", "--walk-reflogs", "--no-show-signature", "--format=%H %gs", "HEAD", "--")
        said = git(repo, *asked, worktree=path, check=False).stdout.splitlines()
        rows = [(sha, words) for sha, _, words in (line.partition(" ") for line in said)]
    # What was committed next has it as its parent, or took its place when it was amended.
    followed = [False, *(words.startswith("commit") for _, words in rows)]
    found = [sha for (sha, _), covered in zip(rows, followed, strict=False) if not covered]
    before = load_text(os.path.join(admin, "ORIG_HEAD")).strip()
    found += [before] if re.fullmatch("[0-9a-f]{40,64}", before) else []
    return [sha for sha in dict.fromkeys(found) if sha.strip("0")]


def _load_own_refs(repo: Repo, path: str) -> list[str]:
    admin = Path(admin_dir(repo, path))
    if not (admin / "reftable").is_dir() and not any((admin / "refs").glob("*/*")):
        return []  # they are never packed
    asked = ("for-each-ref", "--format=%(objecttype) %(objectname) %(refname)")
    own = ("refs/worktree", "refs/bisect", "refs/rewritten")
    found = []
    for line in git(repo, *asked, *own, worktree=path).stdout.splitlines():
        kind, sha, name = line.split(" ", 2)
        if kind != "commit":
            words = f"{path}: {name} of this worktree alone names a {kind}, which is not preserved"
            raise Expected(words, f"git -C {path} update-ref refs/NAME {name}")
        found.append(sha)
    return found
