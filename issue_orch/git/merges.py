"""Which branches would conflict, with their base and with each other, as `git merge-tree` sees it: textually."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import combinations, groupby
from typing import NamedTuple

from ..core.model import Branch, CommitSha
from ..errors import Expected
from .run import Overrides, Repo, entries, folders, git
from .trust import neutral

MINIMUM = (2, 39)  # merge-tree --stdin
PROCESSES = 2


class Prediction(NamedTuple):
    """Conflicting files; who is not listed merges textually cleanly."""

    against_base: dict[Branch, tuple[str, ...]]
    pairs: dict[tuple[Branch, Branch], tuple[str, ...]]


class Touched(NamedTuple):
    """What a branch changed since it left the base."""

    names: frozenset[str]
    added: frozenset[str]
    deleted: frozenset[str]


def predict(repo: Repo, base: CommitSha, branches: Mapping[Branch, CommitSha]) -> Prediction:
    """Merge each branch with base, and each two of them, in memory. Raises Expected. Changes nothing."""
    if repo.version < MINIMUM:
        words = "predicting conflicts needs git 2.39"
        raise Expected(words, "install a newer git; everything else works without")
    with ThreadPoolExecutor(PROCESSES) as pool:
        read = pool.map(partial(_load_touched, repo, base), branches, branches.values())
        touched = dict(zip(branches, read, strict=True))
    pairs = [(a, b) for a, b in combinations(branches, 2) if may_conflict(touched[a], touched[b])]
    merges = [(base, sha) for sha in branches.values()]
    merges += [(branches[a], branches[b]) for a, b in pairs]
    found = iter(_merge_all(repo, merges))
    against_base = {branch: files for branch in branches if (files := next(found))}
    both = {}
    for (a, b), files in zip(pairs, found, strict=True):
        # What conflicts with the base anyway is no news of the pair, unless both touch it.
        known = {*against_base.get(a, ()), *against_base.get(b, ())}
        known -= touched[a].names & touched[b].names
        if left := tuple(file for file in files if file not in known):
            both[a, b] = left
    return Prediction(against_base, both)


def _load_touched(repo: Repo, base: CommitSha, branch: Branch, sha: CommitSha) -> Touched:
    flags = ("-r", "-z", "--no-renames", "--name-status", "--ignore-submodules=none")
    for since in (("--merge-base",), ()):  # without a common ancestor everything counts as touched
        done = git(repo, "diff-tree", *flags, *since, base, sha, network=True, check=False)
        if done.code == 0:
            fields = entries(done.stdout)
            found = list(zip(fields[::2], fields[1::2], strict=True))
            added, deleted = (
                frozenset(name for status, name in found if status == wanted) for wanted in "AD"
            )
            return Touched(frozenset(fields[1::2]), added, deleted)
    raise Expected(f"{branch}: its head {sha} is not in this clone", "git fetch")


def may_conflict(a: Touched, b: Touched) -> bool:
    """Only two that share a name can: the same file, a file where the other has a folder, or a folder moved away
    under a file that the other adds."""
    if a.names & b.names or folders(a.names) & b.names or a.names & folders(b.names):
        return True
    return bool(folders(a.deleted) & folders(b.added) or folders(b.deleted) & folders(a.added))


def _merge_all(repo: Repo, merges: Sequence[tuple[CommitSha, CommitSha]]) -> list[tuple[str, ...]]:
    """The conflicting files of each merge, in order."""
    parts = [merges[start::PROCESSES] for start in range(PROCESSES)]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(PROCESSES) as pool:
        done = list(pool.map(partial(_merge_some, repo, neutral(repo), folder), parts))
    return [done[number % PROCESSES][number // PROCESSES] for number in range(len(merges))]


def _merge_some(
    repo: Repo, config: Overrides, folder: str, merges: Sequence[tuple[CommitSha, CommitSha]]
) -> list[tuple[str, ...]]:
    if not merges:
        return []
    # What is merged is written to a folder that goes away, not to the clone.
    objects = {
        "GIT_OBJECT_DIRECTORY": folder,
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.path.join(repo.common_dir, "objects"),
    }
    flags = ("--stdin", "--name-only", "--no-messages", "--allow-unrelated-histories")
    lines = "".join(f"{a} {b}\n" for a, b in merges)
    done = git(
        repo,
        *("merge-tree", "--write-tree", *flags),
        env=objects,
        config=config,
        stdin=lines,
        network=True,
        timeout=600,
    )
    return list(_read_merges(entries(done.stdout)))


def _read_merges(fields: list[str]) -> Iterator[tuple[str, ...]]:
    """Each merge is `<0 for conflicts, 1 for clean>`, a tree, the files, and an empty field."""
    for filled, merge in groupby(fields, key=bool):
        if filled:
            yield tuple(dict.fromkeys([*merge][2:]))
