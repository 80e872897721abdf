"""A copy, under `refs/issue-orch/preserved`, of what a worktree holds that is nowhere else.

Nothing here takes a lock or writes the index of the worktree: a worker may be committing at the same moment.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from hashlib import new
from pathlib import Path

from ..core.model import CommitSha, Number
from ..errors import Expected
from ..process.run import Done
from ..text import and_more
from .hidden import find_loose, find_submodule_trouble
from .remote import Remote, load_heads_of
from .run import Overrides, Repo, entries, find_sha, git, load_branches
from .snapshot import Condition, find_git_dir, inspect
from .trust import neutral

MAX_BYTES = 50_000_000
PRESERVED = "refs/issue-orch/preserved"
# The index that is written is one whole file, and no setting keeps a file from being added.
WRITING = (("core.splitIndex", "false"), ("index.sparse", "false"), ("core.safecrlf", "false"))

Files = dict[str, str]  # mode and object by name, as git lists them; zeros for what is not there


def preserve(
    repo: Repo,
    path: str,
    issue: Number,
    now: datetime,
    remote: Remote | None = None,
    max_bytes: int = MAX_BYTES,
) -> str | None:
    """Keep what is nowhere else as a commit under a ref, and name that ref; None when the remote says that it has it.

    The commit's parents are HEAD and, like in a stash, what was staged if that is a third thing; of a conflict, each side.
    Ignored files stay out. Raises Expected when the files are too big, work sits in a submodule, or the commit does not
    hold all that is there.
    """
    config = (*neutral(repo, path), *WRITING)
    found = inspect(repo, path, config, "all")
    if trouble := find_submodule_trouble(repo, path, found.submodules, remote):
        raise Expected(f"{path}: {trouble}", "push or remove that work first")
    _refuse_unfit(path, found, max_bytes)
    write = partial(_write_tree, repo, path, config)
    staged = [write(found.head, files) for files in _sides(found)]
    files = _load_files(repo, path, found, len(staged[0]))
    work = write(staged[-1], files, read=True)
    kept = _write_commit(repo, issue, found.head, staged, work)
    ref = None if _is_held(repo, kept, remote) else _keep(repo, issue, now, kept)
    later = inspect(repo, path, config, "all")  # what was written while we did that
    changed = {("HEAD", found.head), *found.staged.items(), *files.items()} ^ {
        ("HEAD", later.head),
        *later.staged.items(),
        *_load_files(repo, path, later, len(work)).items(),
    }
    _refuse_lost(name for name, _ in changed)
    return ref


def _is_held(repo: Repo, kept: CommitSha, remote: Remote | None) -> bool:
    """Whether the remote still has it: what was fetched once may be gone there."""
    if git(repo, "rev-list", "-n1", kept, "--not", "--remotes").stdout:
        return False
    held = "".join(f"^{sha}\n" for sha in load_heads_of(remote))
    asked = ("rev-list", "-n1", "--ignore-missing", kept, "--stdin")
    return not git(repo, *asked, stdin=held).stdout


def preserve_loose(
    repo: Repo,
    path: str,
    issue: Number,
    now: datetime,
    head: CommitSha | None,
    remote: Remote | None,
) -> str | None:
    """Keep the commits that would go with the worktree's reflog and its own refs; `head` is kept otherwise."""
    tips = find_loose(repo, path, head, remote)
    if not tips:
        return None
    parents = [word for tip in tips for word in ("-p", tip)]
    words = f"What only the worktree of issue {issue} named"
    kept = (
        tips[0] if len(tips) == 1 else _commit(repo, tips[0], f"{tips[0]}^{{tree}}", parents, words)
    )
    return _keep(repo, issue, now, CommitSha(kept))


def _refuse_lost(names: Iterable[str]) -> None:
    if lost := sorted({*names}):
        raise Expected(
            f"could not be preserved as it is: {and_more(lost, 3)}", "commit it, or move it away"
        )


def _refuse_unfit(path: str, found: Condition, max_bytes: int) -> None:
    """Repositories, also for a file of ours or in a folder of ours, and what is too big."""
    names = sorted({*found.unstaged} - {*found.submodules})
    if nested := [name for name in names if name.endswith("/")]:
        raise Expected(f"{path}/{nested[0]} is a repository of its own", "push or move it first")
    _refuse_lost(
        name
        for name in names
        if name.endswith("/.git") or os.path.lexists(os.path.join(path, name, ".git"))
    )
    files = [os.path.join(path, name) for name in found.unstaged]
    total = sum(os.lstat(file).st_size for file in files if os.path.lexists(file))
    if total > max_bytes:
        raise Expected(
            f"{path}: {total / 1e6:.0f} MB are not committed; up to {max_bytes / 1e6:.0f} MB are preserved",
            "commit, ignore or move the big files first",
        )


def _sides(found: Condition) -> list[Files]:
    """What is staged; of an index with conflicts each side that there is, in order: what both come from, ours, theirs."""
    conflicts = [sides for sides in found.staged.values() if len(sides) > 1]
    stages = [each for each in range(3) if any(int(sides[each][:6]) for sides in conflicts)]
    return [
        {name: sides[stage % len(sides)] for name, sides in found.staged.items()}
        for stage in stages or [0]
    ]


def _load_files(repo: Repo, path: str, found: Condition, width: int) -> Files:
    """What lies in the folder alone, as it is there; of submodules what is checked out."""
    files = {name: _load_entry(path, name, width) for name in found.unstaged}
    for name in files.keys() & {*found.submodules}:
        if files[name] == _nothing(width) and (git_dir := find_git_dir(os.path.join(path, name))):
            files[name] = f"160000 {find_sha(repo._replace(common_dir=git_dir), 'HEAD')}"
    return files


def _nothing(width: int) -> str:
    return f"000000 {'0' * width}"


def _load_entry(folder: str, name: str, width: int) -> str:
    """Mode and object as git would store a file without any conversion."""
    file = os.path.join(folder, name)
    below = os.path.dirname(os.path.join(os.path.realpath(folder), name))
    inside = os.path.realpath(os.path.dirname(file)) == os.path.normpath(below)
    if os.path.islink(file) and inside:
        mode, content = "120000", os.fsencode(os.readlink(file))
    elif not inside or not os.path.lexists(file) or os.path.isdir(file):
        return _nothing(width)
    elif os.path.isfile(file):
        mode = "100755" if os.stat(file).st_mode & 0o100 else "100644"
        content = Path(file).read_bytes()
    else:
        raise Expected(f"{file} is neither a file nor a link", "move it away")
    whole = b"blob %d\0%b" % (len(content), content)
    return f"{mode} {new('sha1' if width == 40 else 'sha256', whole).hexdigest()}"


def _write_tree(
    repo: Repo, path: str, config: Overrides, base: str | None, files: Files, read: bool = False
) -> str:
    """The tree of `base` with these files; their content is stored first where it is to be `read` from the folder."""
    with tempfile.TemporaryDirectory() as folder:
        env = {"GIT_INDEX_FILE": os.path.join(folder, "index")}
        here = partial(git, repo, worktree=path, env=env, config=config, timeout=600)
        if base:
            here("read-tree", base)
        returning = _store(here, path, folder, files) if read else set()
        lines = [f"{about}\t{name}\0" for name, about in files.items() if name not in returning]
        here("update-index", "-z", "--index-info", stdin="".join(lines))
        # A partial clone need not have what lies beside it.
        tree = here("write-tree", "--missing-ok").stdout.strip()
    held = _load_tree(repo, tree)
    nothing = _nothing(len(tree))
    _refuse_lost(
        name
        for name, about in files.items()
        if name not in returning and held.get(name, nothing) != about
    )
    return tree


def _store(here: Callable[..., Done], path: str, folder: str, files: Files) -> set[str]:
    """Store the content of files as git does, and name those that a checkout gives back; the others are stored as they are,
    for line endings and filters need not give them back."""
    names = [name for name, about in files.items() if about.startswith(("10", "12"))]
    listed = "".join(f"{name}\0" for name in names)
    here("update-index", "--add", "--replace", "-z", "--stdin", stdin=listed)
    prefix = f"--prefix={folder}/files/"
    here("checkout-index", "--quiet", "-z", "--stdin", prefix, stdin=listed, check=False)
    returning = {
        name
        for name in names
        if _load_entry(f"{folder}/files", name, len(files[name].split()[1])) == files[name]
    }
    raw = [name for name in names if name not in returning and files[name].startswith("10")]
    quoted = (name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for name in raw)
    lines = "".join(f'"{name}"\n' for name in quoted)
    stored = here("hash-object", "-w", "--no-filters", "--stdin-paths", stdin=lines).stdout.split()
    _refuse_lost(
        name for name, sha in zip(raw, stored, strict=True) if not files[name].endswith(sha)
    )
    return returning


def _load_tree(repo: Repo, tree: str) -> Files:
    rows = (row.partition("\t") for row in entries(git(repo, "ls-tree", "-r", "-z", tree).stdout))
    return {name: about.replace(" blob ", " ").replace(" commit ", " ") for about, _, name in rows}


def _write_commit(
    repo: Repo, issue: Number, head: CommitSha | None, staged: list[str], work: str
) -> CommitSha:
    """HEAD when it holds all of it, else a new commit, dated like HEAD: the same work gives the same commit."""
    head_tree = git(repo, "rev-parse", f"{head}^{{tree}}").stdout.strip() if head else ""
    thirds = [tree for tree in dict.fromkeys(staged) if tree not in (head_tree, work)]
    if head and work == head_tree and not thirds:
        return head
    base = ["-p", head] if head else []
    parents = [*base]
    for tree in thirds:
        parents += ["-p", _commit(repo, head, tree, base, f"Staged for issue {issue}")]
    return _commit(repo, head, work, parents, f"Work on issue {issue}, preserved")


def _commit(
    repo: Repo, dated: str | None, tree: str, parents: list[str], message: str
) -> CommitSha:
    date = "0"
    if dated:
        asked = ("rev-list", "-n1", "--no-commit-header", "--format=%ct", dated)
        date = git(repo, *asked).stdout.strip()
    who = {"NAME": "issue-orch", "EMAIL": "issue-orch@localhost", "DATE": f"@{date} +0000"}
    env = {
        f"GIT_{role}_{part}": word for role in ("AUTHOR", "COMMITTER") for part, word in who.items()
    }
    done = git(repo, "commit-tree", tree, *parents, "-m", message, env=env)
    return CommitSha(done.stdout.strip())


def _keep(repo: Repo, issue: Number, now: datetime, sha: CommitSha) -> str:
    """A ref for `sha`: an earlier one or a new one. None is ever moved."""
    refs = {name: kept for name, kept, _ in load_branches(repo, f"{PRESERVED}/{issue}/")}
    if earlier := next((ref for ref, kept in refs.items() if kept == sha), None):
        return earlier
    stem = f"{PRESERVED}/{issue}/{now:%Y%m%dT%H%M%SZ}"
    ref = next(
        name
        for name in (stem, *(f"{stem}-{n}" for n in range(2, len(refs) + 3)))
        if name not in refs
    )
    git(repo, "update-ref", ref, sha, "")  # only if there is none of that name
    return ref
