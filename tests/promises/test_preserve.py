"""A worktree goes only when the commit that is kept holds every file of it, as it is there, and what was staged."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from issue_orch.core.model import Number
from issue_orch.git import preserve as preserved
from issue_orch.git.checkout import populate_submodules
from issue_orch.git.remote import Remote
from issue_orch.git.removal import Kept, Removed, Wanted, remove_worktrees
from issue_orch.git.run import admin_dir, find_repo, rev_parse
from tests.git.test_worktree import add_submodule
from tests.kit.git import Clone, clone, commit, home, make_worktree, script, sh, write

__all__ = ["clone", "home"]
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
Staged = dict[str, str]
Found = dict[str, tuple[str, bytes]]


def seed(clone: Clone) -> None:
    """More to lose on the base."""
    run = {
        "run": "#!/bin/sh\n",
        "lib/y.py": "old\n",
        "lib/deep/z.py": "old\n",
        "folder/one": "1\n",
        "folder/two": "2\n",
    }
    commit(clone.top, "more", **run)
    (clone.top / "link").symlink_to("README.md")
    commit(clone.top, "a link")
    sh(clone.top, "git", "push", "-q", "origin", "main")


def files_of(path: Path) -> Found:
    """Every file and link that the tests' .gitignore does not name, with its kind and content."""
    found = {}
    for where, folders, names in os.walk(path):
        for name in [*names, *(each for each in folders if Path(where, each).is_symlink())]:
            file = Path(where, name)
            if name == ".git" or name.endswith(".log"):
                continue
            if file.is_symlink():
                found[str(file.relative_to(path))] = ("link", os.fsencode(os.readlink(file)))
            else:
                found[str(file.relative_to(path))] = (
                    "run" if os.access(file, os.X_OK) else "file",
                    file.read_bytes(),
                )
        if ".git" in folders:
            folders.remove(".git")
    return found


def as_root_sees_it(found: Found, path: Path) -> Found:
    """access() says of root that it may run what anybody may."""
    return {
        name: ("run" if kind != "link" and (path / name).stat().st_mode & 0o100 else kind, content)
        for name, (kind, content) in found.items()
    }


def sparse(path: Path, *words: str) -> None:
    sh(path, "git", "sparse-checkout", "set", *words)
    assert not (path / "lib").exists()


# What may lie in a worktree. Each returns what is staged and not the same as in the folder.


def outside_of_the_cone(clone: Clone, path: Path) -> Staged:
    sparse(path, "src")
    write(path / "lib/y.py", "an afternoon\n")
    return {}


def outside_and_inside(clone: Clone, path: Path) -> Staged:
    write(path / "src/café one.txt", "new\n")
    return outside_of_the_cone(clone, path)


def outside_of_patterns(clone: Clone, path: Path) -> Staged:
    sparse(path, "--no-cone", "/src/", "/README.md")
    write(path / "lib/y.py", "an afternoon\n")
    write(path / "link", "no link any more\n")
    return {}


def outside_with_a_sparse_index(clone: Clone, path: Path) -> Staged:
    sparse(path, "--cone", "--sparse-index", "src")
    write(path / "lib/deep/z.py", "an afternoon\n")
    return {}


def outside_where_files_are_expected(clone: Clone, path: Path) -> Staged:
    sh(path, "git", "config", "sparse.expectFilesOutsideOfPatterns", "true")
    return outside_of_the_cone(clone, path)


def new_outside_of_the_cone(clone: Clone, path: Path) -> Staged:
    sparse(path, "src")
    write(path / "lib/new.py", "an afternoon\n")
    write(path / "elsewhere/new.py", "another\n")
    return {}


def staged_outside_of_the_cone(clone: Clone, path: Path) -> Staged:
    sparse(path, "src")
    write(path / "lib/y.py", "staged\n")
    sh(path, "git", "update-index", "--no-skip-worktree", "lib/y.py")
    sh(path, "git", "add", "--sparse", "lib/y.py")
    write(path / "lib/y.py", "in the folder\n")
    return {"lib/y.py": "staged\n"}


def staged_outside_and_gone(clone: Clone, path: Path) -> Staged:
    sparse(path, "src")
    write(path / "lib/y.py", "staged\n")
    sh(path, "git", "update-index", "--no-skip-worktree", "lib/y.py")
    sh(path, "git", "add", "--sparse", "lib/y.py")
    sh(path, "git", "update-index", "--skip-worktree", "lib/y.py")
    (path / "lib/y.py").unlink()
    return {"lib/y.py": "staged\n"}


def a_folder_outside_became_a_link(clone: Clone, path: Path) -> Staged:
    sparse(path, "src")
    write(path.parent / "other/y.py", "somebody else's\n")
    (path / "lib").symlink_to(path.parent / "other")
    return {}


def folders_outside_became_others(clone: Clone, path: Path) -> Staged:
    sparse(path, "src")
    write(path / "lib", "a file now\n")
    write(path.parent / "other/of another name", "somebody else's\n")
    (path / "folder").symlink_to(path.parent / "other")
    return {}


def skipped_by_hand(clone: Clone, path: Path) -> Staged:
    sh(path, "git", "update-index", "--skip-worktree", "lib/y.py", "folder/one")
    write(path / "lib/y.py", "new\n")
    (path / "folder/one").unlink()
    write(path / "folder/one/inner", "a folder now\n")
    return {}


def assumed_unchanged(clone: Clone, path: Path) -> Staged:
    sh(path, "git", "update-index", "--assume-unchanged", "lib/y.py", "folder/one", "run")
    write(path / "lib/y.py", "new\n")
    (path / "folder/one").unlink()
    (path / "run").chmod(0o755)
    return {}


def intended_to_add(clone: Clone, path: Path) -> Staged:
    write(path / "intended", "new\n")
    write(path / "and gone", "new\n")
    sh(path, "git", "add", "-N", "intended", "and gone")
    (path / "and gone").unlink()
    return {}


def a_split_index(clone: Clone, path: Path) -> Staged:
    sh(path, "git", "update-index", "--split-index")
    write(path / "README.md", "staged\n")
    sh(path, "git", "add", ".")
    write(path / "README.md", "in the folder\n")
    return {"README.md": "staged\n"}


def files_and_folders_swapped(clone: Clone, path: Path) -> Staged:
    (path / "run").unlink()
    write(path / "run/inner", "a folder now\n")
    sh(path, "rm", "-r", "folder")
    write(path / "folder", "a file now\n")
    return {}


def links_and_files_swapped(clone: Clone, path: Path) -> Staged:
    (path / "link").unlink()
    write(path / "link", "a file now\n")
    (path / "run").unlink()
    (path / "run").symlink_to("nowhere at all")
    sh(path, "rm", "-r", "folder")
    (path / "folder").symlink_to("lib")
    return {}


def only_the_mode(clone: Clone, path: Path) -> Staged:
    (path / "run").chmod(0o755)
    return {}


def modes_that_git_does_not_look_at(clone: Clone, path: Path) -> Staged:
    sh(path, "git", "config", "core.fileMode", "false")
    write(path / "run", "#!/bin/sh\nnew\n").chmod(0o755)
    write(path / "new", "#!/bin/sh\n").chmod(0o755)
    return {}


def time_set_back(clone: Clone, path: Path) -> Staged:
    sh(path, "git", "config", "core.trustctime", "false")
    sh(path, "git", "config", "core.checkStat", "minimal")
    file = path / "lib/y.py"
    os.utime(file, (1, 1))
    sh(path, "git", "update-index", "--refresh")
    os.utime(write(path / "another", "new\n"), (1, 1))
    (path / "another").rename(file)
    assert sh(path, "git", "status", "--porcelain") == ""
    return {}


def names_that_differ_in_case(clone: Clone, path: Path) -> Staged:
    sh(path, "git", "config", "core.ignoreCase", "true")
    write(path / "readme.md", "beside README.md\n")
    (path / "lib/y.py").rename(path / "lib/Y.py")
    return {}


def odd_names(clone: Clone, path: Path) -> Staged:
    for name in (
        "a\nline",
        " blank",
        '"quoted"',
        "back\\slash",
        "tab\there",
        "return\r",
        ":(glob)*",
        "-option",
        "\udcff",
    ):
        write(path / name / name, "new\r\n")
    sh(path, "git", "config", "core.autocrlf", "input")
    return {}


def line_endings_that_git_would_change(clone: Clone, path: Path) -> Staged:
    sh(path, "git", "config", "core.autocrlf", "input")
    sh(path, "git", "config", "core.safecrlf", "true")
    (path / "README.md").write_bytes(b"one\r\ntwo\r\n")
    (path / "new").write_bytes(b"one\r\ntwo\n")
    return {}


def line_endings_that_come_back(clone: Clone, path: Path) -> Staged:
    sh(path, "git", "config", "core.autocrlf", "true")
    (path / "README.md").write_bytes(b"new\r\ntwo\r\n")
    return {}


def attributes_of_its_own(clone: Clone, path: Path) -> Staged:
    write(
        path / ".gitattributes",
        "*.crlf text eol=crlf\n*.dat text\n*.id ident\n*.utf16 working-tree-encoding=UTF-16\n",
    )
    (path / "mixed.crlf").write_bytes(b"one\r\ntwo\nthree\n")
    (path / "not text.dat").write_bytes(b"\x00\r\n\x00\r\n")
    (path / "an.id").write_bytes(b"$Id: what stands here $\n")
    (path / "wide.utf16").write_bytes("wide ü\n".encode("utf-16"))
    return {}


def filters_of_the_user_and_of_the_clone(clone: Clone, path: Path) -> Staged:
    sh(path, "git", "config", "--global", "filter.lossy.clean", "sed s/secret//")
    sh(path, "git", "config", "--global", "filter.turn.clean", "tr a-z b-za")
    sh(path, "git", "config", "--global", "filter.turn.smudge", "tr b-za a-z")
    sh(path, "git", "config", "filter.planted.clean", f"touch {path.parent}/ran; cat")
    sh(path, "git", "config", "filter.planted.smudge", f"touch {path.parent}/ran; cat")
    write(
        path / ".gitattributes",
        "*.lossy filter=lossy\n*.turn filter=turn\n*.planted filter=planted\n",
    )
    for name in ("a.lossy", "b.turn", "c.planted"):
        write(path / name, "a secret\n")
    return {}


def staged_in_three_ways(clone: Clone, path: Path) -> Staged:
    for name in ("README.md", "run", "lib/y.py"):
        write(path / name, f"staged {name}\n")
    sh(path, "git", "add", ".")
    write(path / "README.md", "in the folder\n")
    (path / "run").unlink()
    sh(path, "git", "show", "HEAD:lib/y.py")
    write(path / "lib/y.py", "old\n")
    return {name: f"staged {name}\n" for name in ("README.md", "run", "lib/y.py")}


def sides_of_a_conflict(clone: Clone, path: Path) -> Staged:
    """`switch --merge` leaves what was changed in the folder in one place alone: on a side of the conflict."""
    commit(clone.top, "theirs", **{"README.md": "theirs\n"})
    write(path / "README.md", "mine, uncommitted\n")
    write(path / "run", "staged\n")
    sh(path, "git", "switch", "-q", "--merge", "--detach", "main", check=False)
    assert sh(path, "git", "ls-files", "-u")
    write(path / "lib/y.py", "staged\n")
    sh(path, "git", "add", "lib/y.py")
    write(path / "lib/y.py", "in the folder\n")
    write(path / "README.md", "settled\n")
    return {"README.md": "mine, uncommitted\n", "lib/y.py": "staged\n"}


def a_conflict_deleted_in_the_folder(clone: Clone, path: Path) -> Staged:
    staged = sides_of_a_conflict(clone, path)
    (path / "README.md").unlink()
    return staged


def removed_from_the_index_and_ignored(clone: Clone, path: Path) -> Staged:
    sh(path, "git", "mv", "run", "run.log")
    commit(path, "it is in the index though ignored")
    write(path / "run.log", "not work\n")
    sh(path, "git", "rm", "-q", "--cached", "run.log")
    write(path / "README.md", "new\n")
    return {}


WORK = [
    outside_of_the_cone,
    outside_and_inside,
    outside_of_patterns,
    outside_with_a_sparse_index,
    outside_where_files_are_expected,
    new_outside_of_the_cone,
    staged_outside_of_the_cone,
    staged_outside_and_gone,
    a_folder_outside_became_a_link,
    folders_outside_became_others,
    skipped_by_hand,
    assumed_unchanged,
    intended_to_add,
    a_split_index,
    files_and_folders_swapped,
    links_and_files_swapped,
    only_the_mode,
    modes_that_git_does_not_look_at,
    time_set_back,
    names_that_differ_in_case,
    odd_names,
    line_endings_that_git_would_change,
    line_endings_that_come_back,
    attributes_of_its_own,
    filters_of_the_user_and_of_the_clone,
    staged_in_three_ways,
    sides_of_a_conflict,
    a_conflict_deleted_in_the_folder,
    removed_from_the_index_and_ignored,
]


def preserve(clone: Clone, path: Path) -> Removed | Kept:
    return remove_worktrees(clone.repo, [Wanted(str(path), Number(1), None)], NOW)[0]


def blob(clone: Clone, rev: str, name: str) -> bytes | None:
    done = subprocess.run(
        ["git", "cat-file", "blob", f"{rev}:{name}"],
        cwd=clone.top,
        capture_output=True,
        check=False,
    )
    return None if done.returncode else done.stdout


def check_kept(clone: Clone, ref: str, before: Found, skipped: set[str]) -> None:
    """Each file comes back from the ref, by a checkout or as it is stored; and nothing that was not there."""
    sh(clone.top, "git", "config", "core.sparseCheckout", "false")
    again = clone.top.parent / "again"
    sh(clone.top, "git", "worktree", "add", "-q", "--detach", str(again), ref)
    back = as_root_sees_it(files_of(again), again)
    for name, (kind, content) in before.items():
        assert name in back, name
        assert back[name][0] == kind, name
        assert content in (back[name][1], blob(clone, ref, name)), name
    assert back.keys() - before.keys() == skipped


@pytest.mark.wide(12)
@pytest.mark.parametrize("make", WORK)
def test_what_is_kept_is_what_was_there(
    clone: Clone, make: Callable[[Clone, Path], Staged]
) -> None:
    seed(clone)
    path = make_worktree(clone)
    staged = make(clone, path)
    before = as_root_sees_it(files_of(path), path)
    listed = sh(path, "git", "-c", "core.quotePath=false", "ls-files", "-v").splitlines()
    skipped = {
        line[2:] for line in listed if line[0] == "S" and not os.path.lexists(path / line[2:])
    }
    found = preserve(clone, path)
    assert isinstance(found, Removed) and found.preserved, found
    assert not path.exists()
    for name, content in staged.items():
        revs = sh(clone.top, "git", "rev-parse", found.preserved, f"{found.preserved}^@").split()
        assert content.encode() in [blob(clone, rev, name) for rev in revs], name
    skipped = {
        name for name in skipped if not any(str(parent) in before for parent in Path(name).parents)
    }
    assert not (path.parent / "ran").exists(), "the filter that the clone names"
    check_kept(clone, found.preserved, before, skipped)


def test_what_comes_back_is_stored_as_git_stores_it(clone: Clone) -> None:
    path = make_worktree(clone)
    line_endings_that_come_back(clone, path)
    found = preserve(clone, path)
    assert isinstance(found, Removed)
    assert blob(clone, str(found.preserved), "README.md") == b"new\ntwo\n"


@pytest.mark.parametrize("make", [outside_of_the_cone, new_outside_of_the_cone])
def test_a_sparse_worktree_of_a_partial_clone(
    clone: Clone, tmp_path: Path, make: Callable[[Clone, Path], Staged]
) -> None:
    seed(clone)
    sh(clone.remote, "git", "config", "uploadpack.allowFilter", "true")
    sh(
        tmp_path,
        "git",
        "clone",
        "-q",
        "--sparse",
        "--filter=blob:none",
        f"file://{clone.remote}",
        "other",
    )
    sh(tmp_path / "other", "git", "sparse-checkout", "set", "src")
    other = Clone(find_repo(str(tmp_path / "other")), clone.remote)
    path = make_worktree(other)
    make(other, path)
    before = as_root_sees_it(files_of(path), path)
    found = preserve(other, path)
    assert isinstance(found, Removed) and found.preserved, found
    for name, (_, content) in before.items():
        assert blob(other, found.preserved, name) == content
    tree = sh(other.top, "git", "ls-tree", "-r", "--name-only", found.preserved).splitlines()
    assert {"lib/y.py", "lib/deep/z.py", "folder/one"} <= set(tree), (
        "what was never checked out stays"
    )


def test_a_submodule_at_another_commit_is_kept_by_its_commit(clone: Clone) -> None:
    module = add_submodule(clone)
    path = make_worktree(clone)
    populate_submodules(clone.repo, str(path))
    sha = commit(path / "sub", "pushed", inner="new\n")
    sh(path / "sub", "git", "push", "-q", str(module), f"{sha}:refs/heads/pushed")
    sh(path / "sub", "git", "fetch", "-q", "origin")
    write(path / "README.md", "new\n")
    ref = preserved.preserve(clone.repo, str(path), Number(1), NOW, Remote(clone.repo, "origin"))
    assert sha in sh(clone.top, "git", "ls-tree", str(ref), "sub")
    assert blob(clone, str(ref), "README.md") == b"new\n"


def test_a_submodule_that_is_not_checked_out_is_kept_as_it_is_staged(clone: Clone) -> None:
    module = add_submodule(clone)
    path = make_worktree(clone)
    sha = commit(module, "newer", inner="new\n")
    sh(path, "git", "update-index", "--cacheinfo", f"160000,{sha},unused")
    ref = preserved.preserve(clone.repo, str(path), Number(1), NOW)
    assert sha in sh(clone.top, "git", "ls-tree", str(ref), "unused")


# What cannot be kept: each returns words of the reason.


def a_repository_for_a_file(clone: Clone, path: Path) -> str:
    (path / "run").unlink()
    sh(path, "git", "init", "-q", "run")
    commit(path / "run", "inner", file="x")
    return "run"


def a_repository_in_a_folder_of_ours(clone: Clone, path: Path) -> str:
    """Git goes on seeing the files, and nothing of the commits."""
    sh(path, "git", "init", "-q", "lib/deep")
    commit(path / "lib/deep", "inner", file="x")
    return "lib/deep/.git"


def a_worktree_in_a_folder_of_ours(clone: Clone, path: Path) -> str:
    """Its `.git` is a file."""
    sh(path, "git", "worktree", "add", "-q", "--detach", str(path.parent / "inner"))
    (path.parent / "inner/.git").rename(path / "lib/deep/.git")
    return "lib/deep/.git"


def files_in_a_submodule_that_is_not_there(clone: Clone, path: Path) -> str:
    assert (path / "unused").is_dir()
    write(path / "unused/notes", "mine\n")
    return "submodule unused is not checked out"


def a_pipe_for_a_file(clone: Clone, path: Path) -> str:
    (path / "run").unlink()
    os.mkfifo(path / "run")
    return "run"


def text_that_is_none(clone: Clone, path: Path) -> str:
    write(path / ".gitattributes", "*.utf16 working-tree-encoding=UTF-16\n")
    (path / "odd.utf16").write_bytes(b"odd")
    return "odd.utf16"


@pytest.mark.parametrize(
    "make",
    [
        a_repository_for_a_file,
        a_repository_in_a_folder_of_ours,
        a_worktree_in_a_folder_of_ours,
        files_in_a_submodule_that_is_not_there,
        a_pipe_for_a_file,
        text_that_is_none,
    ],
)
def test_what_no_commit_can_hold_is_kept_where_it_is(
    clone: Clone, make: Callable[[Clone, Path], str]
) -> None:
    seed(clone)
    add_submodule(clone)
    path = make_worktree(clone)
    words = make(clone, path)
    before = sorted(path.rglob("*"))
    found = preserve(clone, path)
    assert isinstance(found, Kept) and words in found.detail, found
    assert sorted(path.rglob("*")) == before
    assert not sh(clone.top, "git", "for-each-ref", "refs/issue-orch")


def at(folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, change: str) -> None:
    """Something in the worktree, which lies aside by then, changes whenever that git command runs."""
    real = sh(folder, "sh", "-c", "command -v git")
    wrapped = f'( unset GIT_INDEX_FILE GIT_DIR GIT_COMMON_DIR GIT_WORK_TREE; cd "{folder}"/.work*checking && {change} )'
    script(
        folder / "bin/git",
        f'git() {{ {real} "$@"; }}\ncase "$1" in {command}) {wrapped};; esac\nexec {real} "$@"',
    )
    monkeypatch.setenv("PATH", f"{folder}/bin:{os.environ['PATH']}")


@pytest.mark.wide(6)
@pytest.mark.parametrize("command", ["write-tree", "commit-tree", "update-ref"])
@pytest.mark.parametrize("late", ["README.md", "lib/y.py", "new/file", "staged", "HEAD"])
def test_what_changes_while_it_is_preserved_is_kept(
    clone: Clone, monkeypatch: pytest.MonkeyPatch, late: str, command: str
) -> None:
    """Each time anew: no commit can hold it, and the last word stays."""
    seed(clone)
    path = make_worktree(clone)
    write(path / "README.md", "new\n")
    changes = {
        "staged": "date +%N > staged && git add staged && rm staged",
        "HEAD": "git commit -q --allow-empty -m late",
    }
    at(path.parent, monkeypatch, command, changes.get(late, f"mkdir -p new && date +%N >> {late}"))
    found = preserve(clone, path)
    monkeypatch.undo()
    assert isinstance(found, Kept) and late in found.detail, found
    assert (path / "README.md").read_text().startswith("new\n")


@pytest.mark.parametrize("command", ["commit-tree", "update-ref"])
def test_what_changed_once_is_kept_the_next_time(
    clone: Clone, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    path = make_worktree(clone)
    write(path / "README.md", "new\n")
    at(
        path.parent,
        monkeypatch,
        command,
        f'if mkdir "{path.parent}/once"; then echo newer > README.md; fi',
    )
    first, second = preserve(clone, path), preserve(clone, path)
    assert isinstance(first, Kept) and isinstance(second, Removed)
    assert blob(clone, str(second.preserved), "README.md") == b"newer\n"


def a_repository_and_nothing_else(clone: Clone, path: Path) -> Staged:
    a_repository_in_a_folder_of_ours(clone, path)
    assert sh(path, "git", "status", "--porcelain") == "?? lib/deep/file"
    (path / "lib/deep/file").unlink()
    return {}


@pytest.mark.parametrize(
    "make",
    [
        time_set_back,
        a_repository_and_nothing_else,
        names_that_differ_in_case,
        outside_of_the_cone,
        skipped_by_hand,
    ],
)
def test_a_merged_worktree_with_what_git_would_not_show_stays(
    clone: Clone, make: Callable[[Clone, Path], Staged]
) -> None:
    seed(clone)
    path = make_worktree(clone)
    make(clone, path)
    before = files_of(path)
    head = rev_parse(clone.repo, "issue-1")
    found = remove_worktrees(clone.repo, [Wanted(str(path), Number(1), head)], NOW)[0]
    assert isinstance(found, Kept) and found.reason == "dirty", found
    assert files_of(path) == before


def test_the_index_of_the_worktree_is_left_alone(clone: Clone) -> None:
    """Also when a side of a conflict is written, and when it is not removed in the end."""
    seed(clone)
    path = make_worktree(clone)
    sides_of_a_conflict(clone, path)
    index = Path(admin_dir(clone.repo, str(path)), "index")
    before = index.read_bytes()
    ref = preserved.preserve(clone.repo, str(path), Number(1), NOW)
    assert index.read_bytes() == before
    assert preserved.preserve(clone.repo, str(path), Number(1), NOW) == ref, (
        "the same work, the same ref"
    )
