from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from issue_orch.core.model import Branch, CommitSha, Number
from issue_orch.errors import Expected
from issue_orch.git.checkout import populate_submodules
from issue_orch.git.leftovers import find_abandoned, leftovers, sweep
from issue_orch.git.remote import Remote
from issue_orch.git.removal import (
    Kept,
    Removed,
    Wanted,
    checking,
    delete_branches,
    remove_worktrees,
)
from issue_orch.git.run import admin_dir, find_admin_dir, rev_parse
from tests.git.test_worktree import add_submodule
from tests.kit.git import (
    Clone,
    clone,
    commit,
    home,
    make_relative,
    make_worktree,
    script,
    sh,
    wait_for,
    write,
)

__all__ = ["clone", "home"]
ONE = Branch("issue-1")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def want(clone: Clone, path: Path, number: int = 1) -> Wanted:
    return Wanted(str(path), Number(number), rev_parse(clone.repo, f"refs/heads/issue-{number}"))


def remove(clone: Clone, *wanted: Wanted) -> list[Removed | Kept]:
    found = remove_worktrees(clone.repo, wanted, NOW)
    sweep(str(clone.admin))
    return found


def siblings(path: Path) -> list[str]:
    return [name for name in os.listdir(path.parent) if "issue-orch" in name]


def test_removed_with_nothing_left(clone: Clone) -> None:
    path = make_worktree(clone)
    commit(path, "work", file="x")
    write(path / "ignored.log", "x")
    write(path / "deep/er/file.log", "x")
    (path / "deep").chmod(0o500)
    other = make_worktree(clone, 2)
    assert remove(clone, want(clone, path)) == [Removed(str(path))]
    assert not path.exists()
    assert siblings(path) == []
    assert len(sh(clone.top, "git", "worktree", "list").splitlines()) == 2
    assert sh(other, "git", "status", "--porcelain") == ""
    assert list((clone.admin / "issue-orch/removed").iterdir()) == []
    assert sh(clone.top, "git", "branch", "--list", "issue-1"), "branches are deleted by themselves"
    assert [each.reason for each in remove(clone, want(clone, path)) if isinstance(each, Kept)] == [
        "missing"
    ]


def keep_dirty(clone: Clone, path: Path) -> str:
    write(path / "README.md", "changed\n")
    return "dirty"


def keep_untracked(clone: Clone, path: Path) -> str:
    write(path / "new ü/file", "x")
    return "dirty"


def keep_staged(clone: Clone, path: Path) -> str:
    write(path / "README.md", "changed\n")
    sh(path, "git", "add", ".")
    return "dirty"


def keep_hidden(clone: Clone, path: Path) -> str:
    sh(path, "git", "update-index", "--assume-unchanged", "README.md")
    write(path / "README.md", "changed\n")
    return "dirty"


def keep_nested(clone: Clone, path: Path) -> str:
    sh(path, "git", "init", "-q", "nested")
    commit(path / "nested", "inner", file="x")
    return "dirty"


def keep_other_branch(clone: Clone, path: Path) -> str:
    sh(path, "git", "switch", "-q", "--detach", "HEAD")
    commit(path, "detached", file="x")
    return "unpushed"


def keep_older(clone: Clone, path: Path) -> str:
    commit(path, "on the pull", file="x")
    sh(path, "git", "switch", "-q", "--detach", "HEAD~")
    return "changed"


def keep_locked(clone: Clone, path: Path) -> str:
    sh(clone.top, "git", "worktree", "lock", "--reason", "on a stick", str(path))
    return "locked"


def keep_own_git(clone: Clone, path: Path) -> str:
    (path / ".git").unlink()
    sh(path, "git", "init", "-q")
    return "not_ours"


def keep_foreign_pointer(clone: Clone, path: Path) -> str:
    write(path / ".git", f"gitdir: {clone.admin}\n")
    return "not_ours"


def keep_symlink(clone: Clone, path: Path) -> str:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")
    return "not_ours"


def keep_missing(clone: Clone, path: Path) -> str:
    path.rename(path.with_name("elsewhere"))
    return "missing"


def keep_broken(clone: Clone, path: Path) -> str:
    write(Path(admin_dir(clone.repo, str(path)), "index"), "not an index")
    return "failed"


KEEPS = [
    keep_dirty,
    keep_untracked,
    keep_staged,
    keep_hidden,
    keep_nested,
    keep_other_branch,
    keep_older,
    keep_locked,
    keep_own_git,
    keep_foreign_pointer,
    keep_symlink,
    keep_missing,
    keep_broken,
]


@pytest.mark.parametrize("make", KEEPS)
def test_kept_and_untouched(clone: Clone, make) -> None:  # type: ignore[no-untyped-def]
    path = make_worktree(clone)
    reason = make(clone, path)
    before = sorted(str(each) for each in path.rglob("*")), sh(clone.top, "git", "worktree", "list")
    kept = remove(clone, want(clone, path))[0]
    assert isinstance(kept, Kept)
    assert (kept.reason, bool(kept.detail)) == (reason, True), kept
    assert (
        sorted(str(each) for each in path.rglob("*")),
        sh(clone.top, "git", "worktree", "list"),
    ) == before
    assert siblings(path) == []


def test_not_ours_at_all(clone: Clone, tmp_path: Path) -> None:
    folder = write(tmp_path / "folder/file", "x").parent
    head = rev_parse(clone.repo, "main")
    found = remove(
        clone,
        Wanted(str(folder), Number(1), head),
        Wanted(str(clone.top), Number(2), head),
    )
    assert [each.reason for each in found if isinstance(each, Kept)] == ["not_ours", "not_ours"]
    assert (folder / "file").exists()


def test_submodules(clone: Clone) -> None:
    add_submodule(clone)
    path = make_worktree(clone)
    populate_submodules(clone.repo, str(path))
    write(path / "sub/new", "x")
    found = remove(clone, want(clone, path))[0]
    assert isinstance(found, Kept)
    assert found.reason == "submodule"
    (path / "sub/new").unlink()
    assert remove(clone, want(clone, path)) == [Removed(str(path))]


def test_a_process_that_works_there(clone: Clone) -> None:
    path = make_worktree(clone)
    with subprocess.Popen(
        ["sh", "-c", "echo ready; read x"], cwd=path, stdin=-1, stdout=-1, text=True
    ) as shell:
        assert shell.stdout
        assert shell.stdout.readline() == "ready\n"
        found = remove(clone, want(clone, path))[0]
        assert found == Kept(str(path), "in_use", f"in use by process {shell.pid} (sh)")
        assert path.exists()
        shell.communicate("done\n")
    with (
        open(path / "open.log", "w") as held,
        subprocess.Popen(["cat"], stdin=-1, stdout=held) as holder,
    ):
        wait_for(lambda: os.readlink(f"/proc/{holder.pid}/exe").endswith("cat"))
        found = remove(clone, want(clone, path))[0]
        assert isinstance(found, Kept)
        assert found.reason == "in_use"
        holder.communicate(b"")
    assert remove(clone, want(clone, path)) == [Removed(str(path))]


def test_dirty_at_the_last_moment(
    clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something writes when the removal has begun: it is found where the worktree was moved to, and put back."""
    path = make_worktree(clone)
    wanted = want(clone, path)
    real = sh(tmp_path, "sh", "-c", "command -v git")
    hidden = checking(str(path))
    script(
        tmp_path / "bin/git",
        f'case "$*" in *status*) echo late > "{hidden}/late";; esac\nexec {real} "$@"',
    )
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    assert remove(clone, wanted) == [Kept(str(path), "dirty", "not committed: late")]
    assert (path / "late").read_text() == "late\n"
    assert siblings(path) == []


def test_removed_whose_pointers_are_relative(clone: Clone) -> None:
    path = make_worktree(clone)
    make_relative(clone, path)
    assert remove(clone, want(clone, path)) == [Removed(str(path))]
    assert siblings(path) == [] and not list((clone.admin / "issue-orch/removed").iterdir())


def test_files_may_be_deleted_later(clone: Clone) -> None:
    path = make_worktree(clone)
    assert remove_worktrees(clone.repo, [want(clone, path)], NOW) == [Removed(str(path))]
    assert not path.exists() and siblings(path)
    assert find_abandoned(str(clone.admin))
    sweep(str(clone.admin), wait=False)
    assert len(sh(clone.top, "git", "worktree", "list").splitlines()) == 1
    wait_for(
        lambda: not siblings(path) and not list((clone.admin / "issue-orch/removed").iterdir())
    )


def test_a_planted_link_does_not_lead_the_deletion_elsewhere(clone: Clone, tmp_path: Path) -> None:
    """Whatever lies where what is set aside goes is deleted in the end: it must be our own folder."""
    path = make_worktree(clone)
    precious = write(tmp_path / "elsewhere/folder/file", "x")
    (clone.admin / "issue-orch").mkdir(exist_ok=True)
    (clone.admin / "issue-orch/removed").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Expected, match="a link"):
        remove(clone, want(clone, path))
    with pytest.raises(Expected, match="a link"):
        sweep(str(clone.admin))
    assert precious.exists() and path.exists() and siblings(path) == []


def test_preserved_and_removed(clone: Clone) -> None:
    path = make_worktree(clone)
    sha = commit(path, "unpushed", file="x")
    write(path / "new", "untracked")
    found = remove(clone, Wanted(str(path), Number(1), None))[0]
    assert isinstance(found, Removed)
    assert sh(clone.top, "git", "show", f"{found.preserved}:new") == "untracked"
    assert sh(clone.top, "git", "rev-parse", f"{found.preserved}^") == sha
    path = make_worktree(clone, 2)
    wanted = [Wanted(str(path), Number(2), None)]
    found = remove_worktrees(clone.repo, wanted, NOW, remote=Remote(clone.repo, "origin"))
    assert found == [Removed(str(path), None)]


def test_what_is_staged_is_not_taken_for_a_conflict(
    clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room for the staged tree for a moment: nothing is removed, and the next attempt preserves it."""
    path = make_worktree(clone)
    write(path / "README.md", "staged\n")
    sh(path, "git", "add", ".")
    write(path / "README.md", "in the work tree\n")
    real = sh(tmp_path, "sh", "-c", "command -v git")
    full = f'*write-tree*) if mkdir "{tmp_path}/once"; then echo "fatal: No space left on device" >&2; exit 128; fi;;'
    script(tmp_path / "bin/git", f'case "$*" in {full} esac\nexec {real} "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    kept, removed = (remove(clone, Wanted(str(path), Number(1), None))[0] for _ in range(2))
    assert isinstance(kept, Kept) and "No space left" in kept.detail
    assert isinstance(removed, Removed)
    assert sh(clone.top, "git", "show", f"{removed.preserved}:README.md") == "in the work tree"
    assert sh(clone.top, "git", "show", f"{removed.preserved}^2:README.md") == "staged"


def test_what_cannot_be_preserved_stays(clone: Clone) -> None:
    path = make_worktree(clone)
    sh(path, "git", "init", "-q", "nested")
    commit(path / "nested", "inner", file="x")
    found = remove(clone, Wanted(str(path), Number(1), None))[0]
    assert isinstance(found, Kept)
    assert "repository of its own" in found.detail
    assert (path / "nested/file").exists()


@pytest.mark.parametrize("killed", ["checking", "deleting", "before the folder"])
def test_killed_in_the_middle(clone: Clone, killed: str) -> None:
    path = make_worktree(clone)
    wanted = want(clone, path)
    if killed == "checking":
        path.rename(checking(str(path)))
    else:
        path.rename(path.with_name(".work 1.issue-orch-deleting-0"))
        (path.with_name(".work 1.issue-orch-deleting-0") / "README.md").unlink()
    if killed == "before the folder":
        (clone.admin / "issue-orch/removed").mkdir(parents=True)
        Path(admin_dir(clone.repo, str(path))).rename(clone.admin / "issue-orch/removed/x")
    assert remove(clone, wanted) == [Removed(str(path))]
    assert find_admin_dir(clone.repo, str(path)) is None
    assert leftovers(str(path)) == siblings(path) == []


REMOVE = """
import sys
from datetime import UTC, datetime
from issue_orch.git.run import find_repo
from issue_orch.git.removal import Kept, Wanted, remove_worktrees
wanted = [Wanted(path, 1, sys.argv[2]) for path in sys.argv[3:]]
for each in remove_worktrees(find_repo(sys.argv[1]), wanted, datetime.now(UTC)):
    print(each.reason if isinstance(each, Kept) else "removed")
"""


def test_two_at_once_beside_one_that_adds(clone: Clone) -> None:
    paths = [make_worktree(clone, number) for number in range(1, 9)]
    dirty = write(paths[3] / "dirty", "x")
    argv = [
        sys.executable,
        "-c",
        REMOVE,
        str(clone.top),
        rev_parse(clone.repo, "main"),
        *map(str, paths),
    ]
    running = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for number in range(11, 16):
        make_worktree(clone, number)
    said = [each.communicate(timeout=60)[0].split() for each in running]
    assert [each.returncode for each in running] == [0, 0]
    for number, pair in enumerate(zip(*said, strict=True)):
        assert sorted(pair) == (
            ["dirty", "dirty"] if number == 3 else ["missing", "removed"]
        ) or pair == ("removed", "removed"), (
            pair
        )  # the second may help to clear away what the first decided
    assert dirty.exists()
    assert len(sh(clone.top, "git", "worktree", "list").splitlines()) == 1 + 1 + 5
    sweep(str(clone.admin))
    assert siblings(paths[0]) == []


def test_branches_go_in_one_batch_with_their_sections(clone: Clone) -> None:
    path = make_worktree(clone)
    sha = rev_parse(clone.repo, "main")
    for name in ("a", "b ü", "moved", "issue/4"):
        sh(clone.top, "git", "branch", name.replace(" ", "-"), "main")
    sh(clone.top, "git", "config", "branch.a.remote", "origin")
    sh(clone.top, "git", "config", "branch.moved.remote", "origin")
    wanted = [(Branch(name), sha) for name in ("a", "b-ü", "issue/4", "issue-1", "main", "nothing")]
    wanted.append((Branch("moved"), CommitSha("1" * 40)))
    assert delete_branches(clone.repo, wanted) == ["a", "b-ü", "issue/4"]
    assert sh(clone.top, "git", "branch", "--format=%(refname:short)").split() == [
        "issue-1",
        "main",
        "moved",
    ]
    assert "branch.a" not in sh(clone.top, "git", "config", "--list")
    assert "branch.moved" in sh(clone.top, "git", "config", "--list")
    assert path.exists()
    assert delete_branches(clone.repo, []) == []


def test_a_branch_that_is_locked_does_not_hold_up_the_others(clone: Clone) -> None:
    sha = rev_parse(clone.repo, "main")
    for name in ("a", "b"):
        sh(clone.top, "git", "branch", name)
    write(clone.admin / "refs/heads/a.lock", "")
    assert delete_branches(clone.repo, [(Branch("a"), sha), (Branch("b"), sha)]) == ["b"]
