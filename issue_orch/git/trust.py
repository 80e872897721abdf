"""What is held against keys of a clone's configuration, where workers can write: what of them runs, and what has changed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from glob import escape, glob
from itertools import chain
from pathlib import Path

from ..store.files import load_json, session_folder
from .run import Overrides, Repo, git
from .settings import TOLD, fits, is_held

# Exactly what `git lfs install` writes: the one filter that may come from the clone's own configuration.
LFS_COMMANDS = {
    "git-lfs clean -- %f",
    "git-lfs smudge -- %f",
    "git-lfs smudge --skip -- %f",
    "git-lfs filter-process",
    "git-lfs filter-process --skip",
}
LFS_RUNS = re.compile(r"lfs\.(extension\.|customtransfer\.|standalonetransferagent)")
# What `keys.json` held before it had a mark, which says how much is noted.
MARK = "issue-orch.table"
DANGEROUS = re.compile(
    r"(filter\..*|diff\.external|diff\..*\.(command|textconv)|merge\..*\.driver|core\.(sshcommand|gitproxy|askpass)"
    r"|credential\..*|url\..*|http\..*|include.*|gpg\.(.*\.)?program|gpg\..*command"
    r"|lfs\.(extension\..*|customtransfer\..*|standalonetransferagent|url|pushurl)"
    r"|extensions\.partialclone|remote\..*\.promisor"  # git fetches what is missing from any such remote
    r"|remote\.(?P<remote>.*)\.(url|pushurl|receivepack|uploadpack|proxy|vcs))",
    re.DOTALL,
)


def load_settings(repo: Repo, worktree: str | None = None) -> list[tuple[str, str, bool]]:
    """Each value of the configuration as git sees it, includes followed: the key as git canonicalises it, the value, and
    whether it stands inside the clone."""
    done = git(repo, "config", "--list", "--show-scope", "-z", worktree=worktree)
    fields = done.stdout.split("\0")
    pairs = zip(fields[0::2], fields[1::2], strict=False)
    split = [(scope, *pair.partition("\n")[::2]) for scope, pair in pairs]
    return [
        (key, value, scope in ("local", "worktree"))
        for scope, key, value in split
        if scope != "command"
    ]


def own_setting(repo: Repo, key: str) -> str:
    """The user's own value: what stands inside the clone, where a worker can write, does not count. Empty when unset."""
    own = [value for name, value, local in load_settings(repo) if name == key and not local]
    return own[-1] if own else ""


def _load_worktrees(repo: Repo) -> Iterator[tuple[str, str]]:
    """What is set for one linked worktree alone (`git config --worktree`), each key with the file that it stands in."""
    for file in sorted(glob(f"{escape(repo.common_dir)}/worktrees/*/config.worktree")):
        where = os.path.relpath(file, repo.common_dir)
        listed = git(repo, "config", "--file", file, "--includes", "--list", "-z", check=False)
        for entry in listed.stdout.split("\0")[:-1]:
            key, _, value = entry.partition("\n")
            yield f"{where}: {key}", value
        if listed.code:  # what cannot be read is not unchanged
            yield f"{where}: include.path", listed.stderr


def split_key(name: str) -> tuple[str, str]:
    """The file of a key that is not the clone's, and the key. No key of git begins so: its section has no slash."""
    where, _, key = name.partition("/config.worktree: ")
    return (f"{where}/config.worktree", key) if where.startswith("worktrees/") else ("", name)


def neutral(repo: Repo, worktree: str | None = None) -> Overrides:
    """Settings for commands that look at files: filters and merge drivers from inside the clone do not run.

    Those of the user's own configuration do, and LFS does, unless the clone tells LFS to run something.
    """
    settings = load_settings(repo, worktree)
    lfs = not any(LFS_RUNS.match(key) for key, *_ in settings)
    overrides: dict[str, str] = {}
    for key, value, local in settings:
        driver, _, variable = key.rpartition(".")
        if not local or "." not in driver:
            continue
        if key.startswith("filter.") and not (
            lfs and (value in LFS_COMMANDS or variable == "required")
        ):
            # An empty `process` outranks the others and does nothing; a required filter that does nothing fails.
            off = {"process": "", "clean": "", "smudge": "", "required": "false"}
            overrides |= {f"{driver}.{each}": nothing for each, nothing in off.items()}
        elif key.startswith("merge.") and variable == "driver":
            overrides[key] = "false"  # one that fails is a conflict, which is the careful answer
    return tuple(overrides.items())


def dangerous_keys(repo: Repo, remote: str = "origin") -> dict[str, str]:
    """Keys whose change is held against a worker or told, each with a hash of its values (they may be secret).

    Of remotes only `remote` counts: adding another one is everyday work.
    """
    from hashlib import sha256  # with OpenSSL, which a supervisor does without

    values: dict[str, list[str]] = {}
    shared = ((key, value) for key, value, _ in load_settings(repo))
    for name, value in chain(shared, _load_worktrees(repo)):
        _, key = split_key(name)
        own = re.fullmatch(r"(?s)remote\.(.*)\.(?!promisor)[^.]+", key)
        if (not own or own[1] == remote) and (fits(key, TOLD) or is_held(key)):
            values.setdefault(name, []).append(value)
    return {
        key: sha256("\0".join(each).encode("utf-8", "surrogateescape")).hexdigest()
        for key, each in values.items()
    } | {MARK: "3"}


def changed_keys(state: Path, number: int, now: Mapping[str, str], told: bool = False) -> list[str]:
    """Those that differ from what was noted when the worker of this session started (threat S9).

    With `told` those that hold nothing and are only told.
    """
    noted = load_json(session_folder(state, number) / "keys.json")
    if noted is None:
        return []
    changed = {key for key, _ in noted.items() ^ now.items()} - {MARK}
    if MARK not in noted:  # before there was a table: other keys were not noted
        changed = {key for key in changed if DANGEROUS.fullmatch(key)}
    if noted.get(MARK) == "2":  # nor were those of linked worktrees
        changed = {key for key in changed if not split_key(key)[0]}
    return sorted(key for key in changed if told is not is_held(split_key(key)[1]))
