"""Work that status does not show: half done, in submodules, in what lies inside, in the reflog, on a remote no more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from issue_orch.core.model import Number
from issue_orch.errors import Expected
from issue_orch.git.checkout import check_out, populate_submodules
from issue_orch.git.remote import Remote
from issue_orch.git.removal import Kept, Removed, Wanted, foresee, remove_worktrees
from issue_orch.git.run import admin_dir, rev_parse
from tests.git.test_worktree import NOW, add_submodule
from tests.kit.git import Clone, clone, commit, home, make_worktree, sh, write

__all__ = ["clone", "home"]
HOW = pytest.mark.parametrize("merged", [True, False], ids=["merged", "cancelled"])


def remove(clone: Clone, path: Path, merged: bool) -> Removed | Kept:
    """As `prune` does it, which must come to what `--dry-run` says."""
    head = rev_parse(clone.repo, sh(path, "git", "rev-parse", "HEAD")) if merged else None
    wanted, remote = Wanted(str(path), Number(1), head), Remote(clone.repo, "origin")
    said = foresee(clone.repo, wanted, remote)
    [done] = remove_worktrees(clone.repo, [wanted], NOW, remote=remote)
    assert type(said) is type(done), (said, done)
    return done


def holds(clone: Clone, sha: str) -> bool:
    """Whether a ref that stays has it: none of a remote."""
    mine = ("--exclude=refs/remotes/*", "--all")
    return not sh(clone.top, "git", "rev-list", "-n1", sha, "--not", *mine)


# -- what stands half done


def other(path: Path) -> None:
    """A branch that changes the same."""
    branch = sh(path, "git", "symbolic-ref", "--short", "HEAD")
    sh(path, "git", "switch", "-qc", "other", "HEAD~1")
    commit(path, "theirs", a="theirs\n")
    sh(path, "git", "switch", "-q", branch)


def a_rebase_with_an_autostash(path: Path) -> str:
    other(path)
    write(path / "README.md", "mine\n")
    sh(path, "git", "-c", "rebase.autoStash=true", "rebase", "other", check=False)
    return "a rebase"


def an_interactive_rebase(path: Path) -> str:
    write(path / "README.md", "mine\n")
    edit = "sequence.editor=sed -i s/^pick/edit/"
    sh(path, "git", "-c", edit, "rebase", "-i", "--autostash", "HEAD~1")
    assert sh(path, "git", "status", "--porcelain") == ""
    return "a rebase"


def a_rebase_by_apply(path: Path) -> str:
    other(path)
    sh(path, "git", "rebase", "--apply", "other", check=False)
    return "a rebase"


def a_mail(path: Path) -> str:
    other(path)
    mail = write(path.parent / "mail", sh(path, "git", "format-patch", "--stdout", "-1", "other"))
    sh(path, "git", "am", "-3", str(mail), check=False)
    return "git am"


def a_merge(path: Path) -> str:
    other(path)
    sh(path, "git", "merge", "other", check=False)
    return "a merge"


def a_merge_with_nothing_to_see(path: Path) -> str:
    other(path)
    sh(path, "git", "merge", "-s", "ours", "--no-commit", "other")
    return "a merge"


def a_cherry_pick(path: Path) -> str:
    other(path)
    sh(path, "git", "cherry-pick", "other", check=False)
    return "a cherry-pick"


def a_sequence_of_them(path: Path) -> str:
    other(path)
    sh(path, "git", "cherry-pick", "other", "HEAD~1", check=False)
    sh(path, "git", "checkout", "-q", "HEAD", "--", "a")
    sh(path, "git", "update-ref", "-d", "CHERRY_PICK_HEAD")
    return "a cherry-pick"


def a_revert(path: Path) -> str:
    commit(path, "again", a="again\n")
    sh(path, "git", "revert", "HEAD~1", check=False)
    return "a revert"


def a_bisect(path: Path) -> str:
    sh(path, "git", "bisect", "start", "HEAD", "HEAD~1")
    return "a bisect"


HALF = [
    a_rebase_with_an_autostash,
    an_interactive_rebase,
    a_rebase_by_apply,
    a_mail,
    a_merge,
    a_merge_with_nothing_to_see,
    a_cherry_pick,
    a_sequence_of_them,
    a_revert,
    a_bisect,
]


@HOW
@pytest.mark.parametrize("make", HALF)
def test_what_stands_half_done_is_kept(
    clone: Clone, make: Callable[[Path], str], merged: bool
) -> None:
    path = make_worktree(clone)
    commit(path, "mine", a="mine\n")
    words = make(path)
    found = remove(clone, path, merged)
    assert isinstance(found, Kept) and found.reason == "half_done" and words in found.detail
    assert "in progress" in found.detail and path.exists()


# -- what only the reflog or a ref of the worktree names


def reset_away(path: Path) -> str:
    sha = commit(path, "lost", b="lost\n")
    sh(path, "git", "reset", "-q", "--hard", "HEAD~1")
    return sha


def detached_and_left(path: Path) -> str:
    sh(path, "git", "switch", "-q", "--detach")
    sha = commit(path, "lost", b="lost\n")
    sh(path, "git", "switch", "-q", "issue-1")
    return sha


def a_branch_deleted(path: Path) -> str:
    sh(path, "git", "switch", "-qc", "short")
    sha = commit(path, "lost", b="lost\n")
    sh(path, "git", "switch", "-q", "issue-1")
    sh(path, "git", "branch", "-qD", "short")
    return sha


def a_ref_of_the_worktree(path: Path) -> str:
    write(path / "README.md", "mine\n")
    sha = sh(path, "git", "stash", "create")
    sh(path, "git", "update-ref", "refs/worktree/keep", sha)
    sh(path, "git", "checkout", "-q", "README.md")
    return sha


def without_a_reflog(path: Path) -> str:
    sh(path, "git", "config", "core.logAllRefUpdates", "false")
    log = Path(sh(path, "git", "rev-parse", "--absolute-git-dir"), "logs/HEAD")
    log.unlink()
    return reset_away(path)


@HOW
@pytest.mark.parametrize(
    "make",
    [reset_away, detached_and_left, a_branch_deleted, a_ref_of_the_worktree, without_a_reflog],
)
def test_what_only_the_worktree_names_is_preserved(
    clone: Clone, make: Callable[[Path], str], merged: bool
) -> None:
    path = make_worktree(clone)
    sha = make(path)
    assert not holds(clone, sha)
    found = remove(clone, path, merged)
    assert isinstance(found, Removed) and found.preserved and holds(clone, sha), found


def test_several_are_kept_by_one_ref_and_what_was_amended_by_none(clone: Clone) -> None:
    path = make_worktree(clone)
    shas = [reset_away(path), detached_and_left(path)]
    commit(path, "first words", c="1\n")
    sh(path, "git", "commit", "-q", "--amend", "-m", "better words")
    amended = sh(path, "git", "rev-parse", "HEAD@{1}")
    sh(path, "git", "push", "-q", "origin", "issue-1")
    found = remove(clone, path, merged=True)
    assert isinstance(found, Removed) and found.preserved
    assert all(holds(clone, sha) for sha in shas) and not holds(clone, amended)
    assert len(sh(clone.top, "git", "for-each-ref", "refs/issue-orch").splitlines()) == 1


@HOW
def test_a_ref_of_the_worktree_to_what_is_no_commit_keeps_it(clone: Clone, merged: bool) -> None:
    path = make_worktree(clone)
    sha = sh(path, "sh", "-c", "echo mine | git hash-object -w --stdin")
    sh(path, "git", "update-ref", "refs/worktree/notes", sha)
    head = rev_parse(clone.repo, "issue-1") if merged else None
    [found] = remove_worktrees(clone.repo, [Wanted(str(path), Number(1), head)], NOW)
    assert isinstance(found, Kept) and "refs/worktree/notes" in found.detail


# -- submodules


def with_submodule(clone: Clone) -> tuple[Path, Path]:
    """A worktree with a submodule `sub`, and one in it, `sub/deep`."""
    sh(clone.top, "git", "config", "--global", "protocol.file.allow", "always")
    deep = clone.top.parent / "deep"
    sh(clone.top.parent, "git", "init", "-q", str(deep))
    commit(deep, "deep", x="x\n")
    module = add_submodule(clone)
    sh(module, "git", "submodule", "--quiet", "add", str(deep), "deep")
    commit(module, "with another")
    sh(clone.top / "sub", "git", "pull", "-q")
    sh(clone.top / "sub", "git", "submodule", "--quiet", "update", "--init")
    commit(clone.top, "newer")
    sh(clone.top, "git", "push", "-q", "origin", "main")
    path = make_worktree(clone)
    populate_submodules(clone.repo, str(path))
    assert (path / "sub/deep/x").exists()
    return path, module


def stashed(folder: Path) -> None:
    write(next(folder.glob("[ix]*")), "mine\n")
    sh(folder, "git", "stash")


def tagged(folder: Path) -> None:
    commit(folder, "mine", y="y\n")
    sh(folder, "git", "tag", "v9")
    sh(folder, "git", "checkout", "-q", "--detach", "HEAD~1")


def on_a_branch(folder: Path) -> None:
    sh(folder, "git", "switch", "-qc", "mine")
    commit(folder, "mine", y="y\n")
    sh(folder, "git", "checkout", "-q", "--detach", "HEAD~1")


def under_notes(folder: Path) -> None:
    sh(folder, "git", "notes", "add", "-m", "mine")


def rebasing(folder: Path) -> None:
    edit = "sequence.editor=sed -i '1i break'"
    sh(folder, "git", "-c", edit, "rebase", "-i", "HEAD")


def with_a_worktree(folder: Path) -> None:
    top = next(each for each in folder.parents if each.name == "work 1")
    sh(folder, "git", "worktree", "add", "-q", "--detach", str(top.with_name("outside")))


def dirty(folder: Path) -> None:
    write(folder / "new", "mine\n")


def pushed_to_a_branch_that_is_gone(folder: Path) -> None:
    sh(folder, "git", "switch", "-q", "--detach")
    commit(folder, "mine", y="y\n")
    sh(folder, "git", "push", "-q", "origin", "HEAD:refs/heads/gone")
    sh(folder, "git", "fetch", "-q", "origin")
    url = sh(folder, "git", "remote", "get-url", "origin")
    sh(Path(url), "git", "branch", "-qD", "gone")
    sh(folder, "git", "checkout", "-q", "--detach", "HEAD~1")


IN_SUB = [
    stashed,
    tagged,
    on_a_branch,
    under_notes,
    rebasing,
    with_a_worktree,
    dirty,
    pushed_to_a_branch_that_is_gone,
]


@pytest.mark.wide(12)
@HOW
@pytest.mark.parametrize("where", ["sub", "sub/deep"])
@pytest.mark.parametrize("make", IN_SUB)
def test_work_in_a_submodule_keeps_the_worktree(
    clone: Clone, make: Callable[[Path], None], where: str, merged: bool
) -> None:
    path, _ = with_submodule(clone)
    make(path / where)
    if make is pushed_to_a_branch_that_is_gone:  # HEAD is elsewhere, so hold it by a branch
        sha = sh(path / where, "git", "rev-parse", "refs/remotes/origin/gone")
        sh(path / where, "git", "branch", "mine", sha)
    found = remove(clone, path, merged)
    assert isinstance(found, Kept) and found.reason == "submodule", found
    assert "sub" in found.detail and path.exists()


@HOW
@pytest.mark.parametrize("ahead", [False, True], ids=["untouched", "pushed"])
def test_a_submodule_without_work_goes(clone: Clone, merged: bool, ahead: bool) -> None:
    path, module = with_submodule(clone)
    if ahead:
        sha = commit(path / "sub", "pushed", y="y\n")
        sh(path / "sub", "git", "push", "-q", "origin", f"{sha}:refs/heads/pushed")
        commit(path, "newer")
        sh(path, "git", "push", "-q", "origin", "issue-1")
    else:
        module.rename(module.with_name("not there"))
    assert remove(clone, path, merged) == Removed(str(path))
    assert not path.exists()


# -- what lies inside


def build(clone: Clone) -> Path:
    write(clone.top / ".gitignore", "*.log\n.env\nbuild/\n.claude/worktrees/\n")
    commit(clone.top, "ignore")
    sh(clone.top, "git", "push", "-q", "origin", "main")
    return make_worktree(clone)


@HOW
@pytest.mark.parametrize("inner", [".claude/worktrees/sub", "build/wt"])
def test_a_worktree_inside_keeps_it_and_is_named(clone: Clone, inner: str, merged: bool) -> None:
    path = build(clone)
    sh(path, "git", "worktree", "add", "-q", "--detach", inner)
    sha = commit(path / inner, "mine", y="y\n")
    write(path / inner / "new", "mine\n")
    found = remove(clone, path, merged)
    assert isinstance(found, Kept) and inner in found.detail and found.reason == "nested"
    assert sh(path / inner, "git", "rev-parse", "HEAD") == sha
    sh(path, "git", "worktree", "remove", "--force", inner)
    assert isinstance(remove(clone, path, merged), Removed)


def a_repository(clone: Clone, folder: Path) -> None:
    sh(folder.parent, "git", "init", "-q", folder.name)
    commit(folder, "mine", y="y\n")


def a_dirty_clone(clone: Clone, folder: Path) -> None:
    a_clone(clone, folder)
    write(folder / "new", "mine\n")


def a_clone(clone: Clone, folder: Path) -> None:
    sh(folder.parent, "git", "clone", "-q", str(clone.remote), folder.name)


def a_clone_that_is_ahead(clone: Clone, folder: Path) -> None:
    a_clone(clone, folder)
    commit(folder, "mine", y="y\n")


def a_stash(clone: Clone, folder: Path) -> None:
    a_clone(clone, folder)
    write(folder / "README.md", "mine\n")
    sh(folder, "git", "stash")


def a_bare_repository(clone: Clone, folder: Path) -> None:
    a_repository(clone, folder.with_name("from"))
    sh(folder.parent, "git", "clone", "-q", "--bare", "from", folder.name)
    sh(folder.parent, "rm", "-rf", "from")


def a_worktree_of_another_clone(clone: Clone, folder: Path) -> None:
    a_clone(clone, clone.top.parent / "another")
    sh(clone.top.parent / "another", "git", "worktree", "add", "-q", "--detach", str(folder))


@HOW
@pytest.mark.parametrize(
    "make",
    [
        a_repository,
        a_dirty_clone,
        a_clone_that_is_ahead,
        a_stash,
        a_bare_repository,
        a_worktree_of_another_clone,
    ],
)
def test_a_repository_in_an_ignored_folder_keeps_it_and_is_named(
    clone: Clone, make: Callable[[Clone, Path], None], merged: bool
) -> None:
    path = build(clone)
    (path / "build/deep").mkdir(parents=True)
    make(clone, path / "build/deep/repo")
    found = remove(clone, path, merged)
    assert isinstance(found, Kept) and "build/deep/repo" in found.detail, found


@HOW
def test_a_clone_of_what_others_have_goes(clone: Clone, merged: bool) -> None:
    path = build(clone)
    (path / "build").mkdir()
    a_clone(clone, path / "build/repo")
    assert isinstance(remove(clone, path, merged), Removed)


# -- on a remote


def gone_from_the_remote(clone: Clone) -> tuple[Path, str]:
    path = make_worktree(clone)
    sh(path, "git", "checkout", "-q", "--detach")
    sha = commit(path, "mine", y="y\n")
    sh(path, "git", "push", "-q", "origin", "HEAD:refs/heads/gone")
    sh(path, "git", "fetch", "-q", "origin")
    return path, sha


@pytest.mark.parametrize("how", ["deleted", "moved", "offline"])
def test_what_the_remote_has_no_more_is_preserved(clone: Clone, how: str) -> None:
    path, sha = gone_from_the_remote(clone)
    if how == "offline":
        clone.remote.rename(clone.remote.with_name("unplugged"))
    elif how == "deleted":
        sh(clone.remote, "git", "branch", "-D", "gone")
    else:
        sh(clone.remote, "git", "branch", "-f", "gone", "main")
    found = remove(clone, path, merged=False)
    assert isinstance(found, Removed) and found.preserved and holds(clone, sha), found


def test_what_the_remote_has_still_is_not_preserved(clone: Clone) -> None:
    path, _ = gone_from_the_remote(clone)
    assert remove(clone, path, merged=False) == Removed(str(path))


# -- a checkout that is made again


def lose_the_index(clone: Clone) -> tuple[Path, Path]:
    path = make_worktree(clone)
    index = Path(admin_dir(clone.repo, str(path)), "index")
    index.unlink()
    return path, index


def a_change(path: Path) -> None:
    write(path / "README.md", "mine\n")


def more_at_the_end(path: Path) -> None:
    write(path / "README.md", "one\ntwo\nmine\n")


def a_mode(path: Path) -> None:
    (path / "README.md").chmod(0o755)


def a_folder_for_a_file(path: Path) -> None:
    (path / "README.md").unlink()
    write(path / "README.md/inner", "mine\n")


def a_file_for_a_folder(path: Path) -> None:
    sh(path, "rm", "-r", "src")
    write(path / "src", "mine\n")


def a_link_for_a_folder(path: Path) -> None:
    sh(path, "rm", "-r", "src")
    (path / "src").symlink_to("elsewhere")


@pytest.mark.parametrize(
    "make",
    [
        a_change,
        more_at_the_end,
        a_mode,
        a_folder_for_a_file,
        a_file_for_a_folder,
        a_link_for_a_folder,
    ],
)
def test_no_checkout_over_work(clone: Clone, make: Callable[[Path], None]) -> None:
    path, index = lose_the_index(clone)
    make(path)
    before = sh(path, "sh", "-c", "find . -type f -o -type l | sort | xargs -d '\\n' ls -ld")
    with pytest.raises(Expected, match="index is gone") as refused:
        check_out(clone.repo, str(path))
    assert "reset" in refused.value.hint
    assert before == sh(
        path, "sh", "-c", "find . -type f -o -type l | sort | xargs -d '\\n' ls -ld"
    )
    assert not index.exists()


def test_what_a_killed_checkout_left_is_finished(clone: Clone) -> None:
    path, _ = lose_the_index(clone)
    write(path / "README.md", "one\nt")
    write(path / ".gitignore", "")
    (path / "src/café one.txt").unlink()
    write(path / "new", "nobody overwrites it\n")
    check_out(clone.repo, str(path))
    assert sh(path, "git", "status", "--porcelain") == "?? new"
