"""What a worktree holds that is nowhere else, and a copy of it under `refs/issue-orch/preserved`.

Nothing here takes a lock or writes the index of the worktree: a worker may be committing at the same moment.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from ..core.model import CommitSha, Number
from ..errors import Expected
from ..process.run import Done
from .run import Overrides, Repo, admin_dir, entries, find_sha, git, neutral

if TYPE_CHECKING:
    from datetime import datetime

MAX_BYTES = 50_000_000
COUNTED_BYTES = 1_000_000
PRESERVED = "refs/issue-orch/preserved"
# The copy of an index is one whole file, and no setting makes a file fail to be added, or be passed over.
WRITING = (
    ("core.splitIndex", "false"),
    ("index.sparse", "false"),
    ("add.ignoreErrors", "false"),
    ("core.safecrlf", "false"),
)
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
    quiet = (
        "--no-renames",
        "--no-ext-diff",
        "--no-textconv",
        "--submodule=short",
        "--ignore-submodules=dirty",
    )
    diff = git(
        repo, "diff", "--numstat", "-z", *quiet, base, "--", worktree=path, config=settings
    ).stdout
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
    return (
        0
        if b"\0" in content
        else content.count(b"\n") + (not content.endswith(b"\n") and bool(content))
    )


class Condition(NamedTuple):
    """A worktree at one moment. `dirt`: what differs from HEAD, is untracked, or git was told not to look at; `staged`: what
    the index has of it, all sides of a conflict, each with mode and object; `skipped`: what a sparse checkout left out."""

    head: CommitSha | None
    dirt: tuple[str, ...]
    submodules: tuple[str, ...]
    staged: tuple[tuple[str, str], ...]
    skipped: tuple[str, ...]


def dirt(repo: Repo, path: str) -> tuple[str, ...]:
    """What is not committed; nothing means clean."""
    return inspect(repo, path, neutral(repo, path)).dirt


def name_some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def as_the_disk_does(path: str) -> Overrides:
    """Where the file system tells README from readme git must, too, or it takes one for the other and shows neither."""
    return () if os.path.lexists(os.path.join(path, ".GIT")) else (("core.ignoreCase", "false"),)


def inspect(
    repo: Repo, path: str, config: Overrides, untracked: Literal["normal", "all"] = "normal"
) -> Condition:
    """HEAD, dirt and submodules in two commands; `config` is what `neutral` gave. `normal` names a new folder, not what is
    in it."""
    quiet = (
        "--no-ahead-behind",
        f"--untracked-files={untracked}",
        "--no-renames",
        "--ignore-submodules=dirty",
    )
    config = (*config, *as_the_disk_does(path))
    done = git(
        repo, "status", "--porcelain=v2", "--branch", "-z", *quiet, worktree=path, config=config
    )
    head, names, staged = None, [], []
    for entry in entries(done.stdout):
        match entry[0]:
            case "#" if entry.startswith("# branch.oid ") and not entry.endswith("(initial)"):
                head = CommitSha(entry.rpartition(" ")[2])
            case "1" | "u":
                *about, name = entry.split(" ", 8 if entry[0] == "1" else 10)
                names.append(name)
                if not about[1].startswith("."):
                    sides = (
                        zip(about[3:6], about[7:10], strict=True)
                        if entry[0] == "u"
                        else [(about[4], about[7])]
                    )
                    staged += [(name, f"{mode} {sha}") for mode, sha in sides if mode != "000000"]
            case "?":
                names.append(entry[2:])
    hidden, submodules, skipped = index_oddities(repo, path)
    return Condition(head, (*names, *hidden), tuple(submodules), tuple(staged), tuple(skipped))


def is_repository(name: str) -> bool:
    """Of what `inspect` found: a folder that is a repository of its own, or the `.git` of one in a folder of ours."""
    return name.endswith(("/", "/.git"))


def find_inner(path: str, listed: str) -> list[str]:
    """The `.git` of repositories made in folders of files that are listed: git looks on as if they were not there."""
    folders = set(re.findall(r"\t([^\0]+)/", listed))
    for folder in tuple(folders):
        while (folder := folder.rpartition("/")[0]) and folder not in folders:
            folders.add(folder)
    return [
        f"{each}/.git"
        for each in sorted(folders)
        if os.path.lexists(os.path.join(path, each, ".git"))
    ]


def index_oddities(repo: Repo, path: str) -> tuple[list[str], list[str], list[str]]:
    """What git does not look at though it is there: files marked assume-unchanged or skip-worktree, and repositories in our
    folders; submodules; the other files of skip-worktree."""
    listed = git(repo, "ls-files", "-z", "-s", "-v", worktree=path).stdout
    hidden = find_inner(path, listed)
    links: list[str] = []
    skipped: list[str] = []
    ordinary = f"\0{listed}".count("\0H 100") + f"\0{listed}".count("\0H 120")  # files and links
    if ordinary == listed.count("\0"):  # there may be a hundred thousand of them
        return hidden, links, skipped
    for entry in entries(listed):
        tag, name = entry[0], entry.partition("\t")[2]
        if tag.islower() or (tag == "S" and os.path.lexists(os.path.join(path, name))):
            hidden.append(name)
        elif tag == "S":
            skipped.append(name)
        if entry[2:8] == "160000":
            links.append(name)
    return hidden, links, skipped


def find_submodule_trouble(
    repo: Repo, path: str, submodules: Iterable[str] | None = None
) -> str | None:
    """Work in a submodule that would be lost with the worktree: changes, or commits that are on none of its remotes."""
    git_dirs = (
        set(find_git_dirs(os.path.join(admin_dir(repo, path), "modules")))
        if path != repo.main
        else set()
    )
    for name in index_oddities(repo, path)[1] if submodules is None else submodules:
        folder = os.path.join(path, name)
        git_dir = find_git_dir(folder)
        if git_dir is None:
            if os.path.isdir(folder) and not os.path.islink(folder) and os.listdir(folder):
                return f"the submodule {name} is not checked out, but there are files"  # which git does not see
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
        return os.path.realpath(
            os.path.join(folder, opened.read().removeprefix("gitdir: ").rstrip("\n"))
        )


def preserve(
    repo: Repo, path: str, issue: Number, now: datetime, max_bytes: int = MAX_BYTES
) -> str | None:
    """Keep what is nowhere else as a commit under a ref, and name that ref; None when everything is on a remote.

    The commit's parents are HEAD and, like in a stash, what was staged if that is a third thing; of a conflict, each side.
    Ignored files stay out. Raises Expected when the files are too big, work sits in a submodule, or the commit does not
    hold all that is there.
    """
    if trouble := find_submodule_trouble(repo, path):
        raise Expected(f"{path}: {trouble}", "push or remove that work first")
    head = find_sha(repo, "HEAD", path)
    staged, work = write_trees(repo, path, max_bytes)
    if lost := find_lost(repo, path, head, staged, work):
        # What git makes of a file need not give it back (line endings, a filter): those as they are.
        staged, work = write_trees(repo, path, max_bytes, lost)
        refuse_lost(find_lost(repo, path, head, staged, work))
    kept = write_commit(repo, issue, head, staged, work)
    on_remote = not git(repo, "rev-list", "-n1", kept, "--not", "--remotes").stdout
    ref = None if on_remote else keep(repo, issue, now, kept)
    refuse_lost(find_lost(repo, path, head, staged, work))  # what was written while we did that
    return ref


def write_commit(
    repo: Repo, issue: Number, head: CommitSha | None, staged: Sequence[str], work: str
) -> CommitSha:
    """HEAD when it holds all of it, else a new commit."""
    head_tree, date = describe(repo, head) if head else (None, "0")
    parents = [head] if head else []
    thirds = [tree for tree in dict.fromkeys(staged) if tree not in (head_tree, work)]
    if head and work == head_tree and not thirds:
        return head
    parents += [
        commit(repo, tree, parents[:1], f"Staged for issue {issue}", date) for tree in thirds
    ]
    return commit(repo, work, parents, f"Work on issue {issue}, preserved", date)


def refuse_lost(names: Sequence[str]) -> None:
    if names:
        raise Expected(
            f"could not be preserved as it is: {name_some(names)}", "commit it, or move it away"
        )


def find_lost(
    repo: Repo, path: str, head: CommitSha | None, staged: Sequence[str], work: str
) -> list[str]:
    """Names of what is there now and neither git ignores nor the tree `work` holds, nor those of `staged` what is staged."""
    config = neutral(repo, path)
    found, held = inspect(repo, path, config, "all"), load_tree(repo, work)
    trees = [load_tree(repo, tree) for tree in staged if found.staged]
    lost = {name for name, about in found.staged if about not in [tree.get(name) for tree in trees]}
    lost |= {"HEAD"} if found.head != head else set()
    there = {name: load_entry(path, name, len(work)) for name in {*found.dirt} - {*found.skipped}}
    for name in set(found.submodules) & there.keys():
        if there[name] is None and os.path.isdir(folder := os.path.join(path, name)):
            git_dir = find_git_dir(folder)
            sha = git_dir and find_sha(repo._replace(common_dir=git_dir), "HEAD")
            there[name] = f"160000 {sha}" if git_dir else held.get(name)  # which is not checked out
    differing = {
        name: about
        for name, about in there.items()
        if about != held.get(name) or is_repository(name)
    }
    return sorted(lost | differing.keys() - find_returning(repo, path, work, differing, config))


def load_tree(repo: Repo, tree: str) -> dict[str, str]:
    """Mode and object of all files of a tree."""
    rows = (row.partition("\t") for row in entries(git(repo, "ls-tree", "-r", "-z", tree).stdout))
    return {name: about.replace(" blob ", " ").replace(" commit ", " ") for about, _, name in rows}


def load_entry(folder: str, name: str, width: int) -> str | None:
    """Mode and object as git would store a file without any conversion; None where there is no file."""
    from hashlib import new  # with OpenSSL, which a supervisor does without

    file, parent = os.path.join(folder, name), os.path.dirname(name)
    inside = os.path.realpath(os.path.join(folder, parent)) == os.path.normpath(
        os.path.join(os.path.realpath(folder), parent)
    )
    if os.path.islink(file) and inside:
        mode, content = "120000", os.fsencode(os.readlink(file))
    elif not inside or not os.path.lexists(file) or os.path.isdir(file):
        return None
    elif os.path.isfile(file):
        mode, content = (
            "100755" if os.stat(file).st_mode & 0o100 else "100644",
            Path(file).read_bytes(),
        )
    else:
        return "neither a file nor a link"
    whole = b"blob %d\0%b" % (len(content), content)
    return f"{mode} {new('sha1' if width == 40 else 'sha256', whole).hexdigest()}"


def find_returning(
    repo: Repo, path: str, tree: str, there: Mapping[str, str | None], config: Overrides
) -> set[str]:
    """Those that differ from what is stored only by git's own conversion: a checkout gives them back. And what is ignored."""
    files = {name: about for name, about in there.items() if about}
    if not files:
        return set()
    names = "".join(f"./{name}\0" for name in files)  # no name is magic of a pathspec
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        env = {"GIT_INDEX_FILE": os.path.join(folder, "index")}
        here = partial(
            git, repo, worktree=path, env=env, config=config, stdin=names, timeout=600, check=False
        )
        git(repo, "read-tree", tree, worktree=path, env=env, config=config)
        here("checkout-index", "--quiet", "-z", "--stdin", f"--prefix={folder}/files/")
        back = {
            name
            for name, about in files.items()
            if load_entry(f"{folder}/files", name, len(tree)) == about
        }
        return back | {
            name.removeprefix("./")
            for name in entries(here("check-ignore", "-z", "--stdin").stdout)
        }


def describe(repo: Repo, sha: CommitSha) -> tuple[str, str]:
    """Tree and date (seconds since the epoch) of a commit."""
    tree, date = git(
        repo, "rev-list", "-n1", "--no-commit-header", "--format=%T %ct", sha
    ).stdout.split()
    return tree, date


def write_trees(
    repo: Repo, path: str, max_bytes: int = MAX_BYTES, raw: Sequence[str] = ()
) -> tuple[list[str], str]:
    """Write what is staged and what is in the folder as trees, through a copy of the index; those of `raw` as they are."""
    # Every command that writes an index may run filters (write-tree too: entries as young as the index).
    import tempfile  # a supervisor, which counts changes alone, does without

    config = (*neutral(repo, path), *as_the_disk_does(path), *WRITING)
    with tempfile.TemporaryDirectory() as folder:
        index = os.path.join(folder, "index")
        copy_index(os.path.join(admin_dir(repo, path), "index"), index)
        here = partial(git, repo, worktree=path, env={"GIT_INDEX_FILE": index}, config=config)
        staged = write_sides(here, index) or [here("write-tree").stdout.strip()]
        hidden = "".join(
            f"{name}\0" for name in index_oddities(repo, path)[0] if not is_repository(name)
        )
        for flag in ("--no-assume-unchanged", "--no-skip-worktree"):
            if hidden:
                here("update-index", flag, "-z", "--stdin", stdin=hidden)
        untracked = entries(here(*UNTRACKED).stdout)
        stale = entries(here("diff-files", "--name-only", "-z", "--ignore-submodules=dirty").stdout)
        refuse_unfit(path, {*untracked, *stale}, max_bytes)
        here("add", "--all", "--sparse", "--", ".", timeout=600)
        add_raw(here, path, raw)
        return staged, here("write-tree").stdout.strip()


def write_sides(here: Callable[..., Done], index: str) -> list[str]:
    """Of an index with conflicts a tree for each side of them, in order: what both come from, ours, theirs."""
    rows = [
        row.partition("\t")[::2] for row in entries(here("ls-files", "-z", "--unmerged").stdout)
    ]
    side = f"{index}-of-a-side"
    trees = []
    for stage in sorted({about[-1] for about, _ in rows}):
        copy_index(index, side)
        lines = [f"0 {'0' * len(about.split()[1])}\t{name}\0" for about, name in rows]
        lines += [f"{about[:-1]}0\t{name}\0" for about, name in rows if about[-1] == stage]
        here(
            "update-index", "-z", "--index-info", stdin="".join(lines), env={"GIT_INDEX_FILE": side}
        )
        trees.append(here("write-tree", env={"GIT_INDEX_FILE": side}).stdout.strip())
    return trees


def add_raw(here: Callable[..., Done], path: str, names: Sequence[str]) -> None:
    """Put files into the index as they are."""
    entry = {name: load_entry(path, name, 40) or "" for name in names if not is_repository(name)}
    modes = {name: about.split()[0] for name, about in entry.items() if about.startswith("100")}
    quoted = (name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for name in modes)
    lines = "".join(f'"{name}"\n' for name in quoted)
    stored = here(
        "hash-object", "-w", "--no-filters", "--stdin-paths", stdin=lines, timeout=600
    ).stdout.split()
    pairs = zip(modes.items(), stored, strict=True)
    here(
        "update-index",
        "-z",
        "--index-info",
        stdin="".join(f"{mode} {sha}\t{name}\0" for (name, mode), sha in pairs),
    )


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
    except (FileNotFoundError, NotADirectoryError):
        return 0


def commit(repo: Repo, tree: str, parents: list[CommitSha], message: str, date: str) -> CommitSha:
    """Dated like HEAD, so that the same work gives the same commit, however often it is preserved."""
    who = {"NAME": "issue-orch", "EMAIL": "issue-orch@localhost", "DATE": f"@{date} +0000"}
    env = {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in who.items()
    }
    flags = [word for parent in parents for word in ("-p", parent)]
    return CommitSha(git(repo, "commit-tree", *flags, "-m", message, tree, env=env).stdout.strip())


def keep(repo: Repo, issue: Number, now: datetime, sha: CommitSha) -> str:
    """A ref for `sha`: an earlier one or a new one. None is ever moved."""
    listed = git(
        repo, "for-each-ref", "--format=%(refname) %(objectname)", f"{PRESERVED}/{issue}/"
    ).stdout
    refs = dict(line.split(" ") for line in listed.splitlines())
    if earlier := next((ref for ref, kept in refs.items() if kept == sha), None):
        return earlier
    stem = f"{PRESERVED}/{issue}/{now:%Y%m%dT%H%M%SZ}"
    ref = next(
        name for name in (stem, *(f"{stem}-{n}" for n in range(2, 10_000))) if name not in refs
    )
    git(repo, "update-ref", ref, sha, "")  # only if there is none of that name
    return ref
