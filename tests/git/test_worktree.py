from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from issue_orch.core.model import Branch, CommitSha, Number
from issue_orch.errors import Expected
from issue_orch.git import hidden, snapshot
from issue_orch.git.checkout import check_out, copy_listed, populate_submodules
from issue_orch.git.preserve import preserve
from issue_orch.git.remote import Remote, fetch_heads
from issue_orch.git.run import (
    admin_dir,
    commits_since,
    find_admin_dir,
    find_repo,
    find_sha,
    rev_parse,
)
from issue_orch.git.worktree import MARK, Intent, locked, register, worktrees_lock
from tests.kit.git import (
    INTENT,
    Clone,
    clone,
    commit,
    home,
    make_clone,
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


def start_of(clone: Clone) -> CommitSha:
    return rev_parse(clone.repo, "origin/main")


def names(path: Path) -> set[str]:
    return {
        str(file.relative_to(path))
        for file in path.rglob("*")
        if file.is_file() and file.name != ".git"
    }


def test_register_and_check_out(clone: Clone) -> None:
    path = make_worktree(clone)
    assert names(path) == {"README.md", "src/café one.txt", ".gitignore"}
    assert sh(path, "git", "status", "--porcelain", "-b") == "## issue-1"
    assert find_sha(clone.repo, "HEAD", str(path)) == start_of(clone)
    assert "issue-1" not in (clone.admin / "config").read_text(), (
        "no tracking: it would need config.lock"
    )


def test_check_out_never_touches_work(clone: Clone) -> None:
    path = make_worktree(clone)
    write(path / "README.md", "mine\n")
    (path / ".gitignore").unlink()
    check_out(clone.repo, str(path))
    assert (path / "README.md").read_text() == "mine\n"
    assert not (path / ".gitignore").exists()


def test_a_killed_check_out_is_finished(clone: Clone) -> None:
    path = clone.top.parent / "work 1"
    register(clone.repo, str(path), ONE, start_of(clone), INTENT)
    write(path / "README.md", "one\nt")
    write(Path(admin_dir(clone.repo, str(path)), "index.lock"), "left")
    check_out(clone.repo, str(path))
    assert sh(path, "git", "status", "--porcelain") == ""


@pytest.mark.parametrize("reuse", [False, True])
def test_a_local_branch_is_taken_or_continued(clone: Clone, reuse: bool) -> None:
    sh(clone.top, "git", "switch", "-qc", ONE)
    sha = commit(clone.top, "earlier work", file="x")
    sh(clone.top, "git", "switch", "-q", "main")
    if reuse:
        assert (make_worktree(clone, reuse=True) / "file").read_text() == "x"
    else:
        with pytest.raises(Expected, match="exists already"):
            make_worktree(clone)
        assert not (clone.top.parent / "work 1").exists()
    assert rev_parse(clone.repo, ONE) == sha


def test_a_remote_branch_is_taken_or_continued(clone: Clone) -> None:
    sh(clone.top, "git", "push", "-q", "origin", "main:issue-1")
    there = fetch_heads(Remote(clone.repo, "origin"), "issue-1")[ONE]
    with pytest.raises(Expected, match="exists on origin"):
        make_worktree(clone, there=there)
    assert find_admin_dir(clone.repo, str(clone.top.parent / "work 1")) is None
    make_worktree(clone, reuse=True, there=there)


def test_what_was_fetched_once_is_not_taken_for_the_remote(clone: Clone) -> None:
    sh(clone.top, "git", "switch", "-qc", ONE)
    commit(clone.top, "earlier work", file="x")
    sh(clone.top, "git", "push", "-q", "origin", ONE)
    sh(clone.top, "git", "switch", "-q", "main")
    sh(clone.top, "git", "branch", "-qD", ONE)
    sh(clone.remote, "git", "branch", "-qD", ONE)
    assert fetch_heads(Remote(clone.repo, "origin"), "issue-*") == {}
    assert not (make_worktree(clone, reuse=True) / "file").exists()


def test_a_branch_checked_out_elsewhere_is_never_taken(clone: Clone) -> None:
    sh(clone.top, "git", "switch", "-qc", ONE)
    for reuse in (False, True):
        with pytest.raises(Expected, match=r"checked out in .*clone ü"):
            make_worktree(clone, reuse=reuse)


def test_an_existing_folder_is_refused(clone: Clone) -> None:
    write(clone.top.parent / "work 1/file", "mine")
    with pytest.raises(Expected, match="exists already"):
        make_worktree(clone)
    assert sh(clone.top, "git", "branch", "--list", ONE) == ""


@pytest.mark.parametrize("branch", ["-b", "--force", "a b", "", "x\n"])
def test_a_branch_that_looks_like_an_option_is_refused(clone: Clone, branch: str) -> None:
    with pytest.raises(Expected, match="not a branch"):
        register(clone.repo, str(clone.top.parent / "w"), Branch(branch), start_of(clone), INTENT)


@pytest.mark.parametrize("kind", ["ordinary", "relative", "reftable"])
def test_ours_is_adopted_with_its_commits(clone: Clone, kind: str) -> None:
    if kind == "reftable":
        if clone.repo.version < (2, 45):
            pytest.skip("git 2.45 was the first with reftable")
        clone = make_clone(clone.top.parent, "other", "--ref-format=reftable")
    path = make_worktree(clone)
    if kind == "relative":
        make_relative(clone, path)
    sha = commit(path, "work", file="x")
    assert register(clone.repo, str(path), ONE, start_of(clone), INTENT) == sha
    with pytest.raises(Expected, match="already a worktree"):
        register(clone.repo, str(path), ONE, start_of(clone), Intent("another"))


@pytest.mark.parametrize("left", ["branch", "admin", "initializing", "folder"])
def test_what_a_killed_register_left_is_cleared_away(clone: Clone, left: str) -> None:
    path = clone.top.parent / "work 1"
    if left == "branch":
        sh(
            clone.top,
            "git",
            "update-ref",
            "--create-reflog",
            "-m",
            INTENT.mark,
            f"refs/heads/{ONE}",
            start_of(clone),
        )
    else:
        register(clone.repo, str(path), ONE, start_of(clone), INTENT)
        admin = Path(admin_dir(clone.repo, str(path)))
        if left == "admin":
            (path / ".git").unlink()
            path.rmdir()
        elif left == "initializing":
            (admin / MARK).rename(admin / "locked")
            (admin / "HEAD").unlink()
        else:
            for file in sorted(admin.rglob("*"), reverse=True):
                file.rmdir() if file.is_dir() else file.unlink()
            admin.rmdir()
    assert register(clone.repo, str(path), ONE, start_of(clone), INTENT) == start_of(clone)
    check_out(clone.repo, str(path))
    assert sh(path, "git", "status", "--porcelain", "-b") == "## issue-1"


@pytest.mark.parametrize(
    "left", ["no folder", "empty folder", "empty pointer", "no HEAD", "all of it"]
)
def test_what_git_left_when_it_was_killed_is_cleared_away(clone: Clone, left: str) -> None:
    path = clone.top.parent / "work 1"
    register(clone.repo, str(path), ONE, start_of(clone), INTENT)
    admin = Path(admin_dir(clone.repo, str(path)))
    (admin / MARK).rename(admin / "locked")
    if left == "no HEAD":
        (admin / "HEAD").unlink()
    elif left == "empty pointer":
        (path / ".git").write_text("")
    elif left != "all of it":
        (path / ".git").unlink()
        if left == "no folder":
            path.rmdir()
    for _ in range(2):
        assert register(clone.repo, str(path), ONE, start_of(clone), INTENT) == start_of(clone)
    assert admin_dir(clone.repo, str(path)) == str(admin) and not (admin / "locked").exists()


OLD = Intent("", since=1_000_000_000.0)


def by_git(clone: Clone, *options: str, start: str = "") -> Path:
    """A worktree as a version without marks made it: `git worktree add -b`."""
    path = clone.top.parent / "work 1"
    sh(
        clone.top,
        "git",
        "worktree",
        "add",
        "-q",
        *options,
        "--no-track",
        "-b",
        ONE,
        str(path),
        start or start_of(clone),
    )
    return Path(admin_dir(clone.repo, str(path)))


@pytest.mark.parametrize(
    "left", ["branch", "initializing", "no files", "half the files", "all files"]
)
def test_what_a_version_without_marks_had_begun_is_taken_up(clone: Clone, left: str) -> None:
    if left == "branch":
        sh(clone.top, "git", "branch", "--no-track", ONE, start_of(clone))
    else:
        admin = by_git(clone, *[] if left == "all files" else ["--no-checkout"])
        if left == "initializing":
            write(admin / "locked", "initializing")
            (admin / "HEAD").unlink()
        elif left != "no files":
            (admin / "issue-orch-checkout").touch()
            write(clone.top.parent / "work 1/README.md", "one\ntwo\n")
    path = str(clone.top.parent / "work 1")
    assert register(clone.repo, path, ONE, start_of(clone), OLD) == start_of(clone)
    check_out(clone.repo, path)
    assert sh(path, "git", "status", "--porcelain", "-b") == "## issue-1"


@pytest.mark.parametrize("left", ["branch", "worktree", "files without an index", "older"])
def test_what_a_person_made_is_not_taken_for_the_start_of_a_version_without_marks(
    clone: Clone, left: str
) -> None:
    since = OLD.since
    if left == "branch":
        sh(clone.top, "git", "branch", "--no-track", ONE, "origin/main")
    elif left == "files without an index":
        by_git(clone, "--no-checkout")
        write(clone.top.parent / "work 1/README.md", "mine")
    else:
        admin = by_git(clone)
        if left == "older":
            (admin / "issue-orch-checkout").touch()
            since = (admin / "gitdir").stat().st_mtime + 1
    before = (
        sh(clone.top, "git", "for-each-ref"),
        sh(clone.top, "git", "worktree", "list", "--porcelain"),
    )
    for _ in range(2):
        with pytest.raises(Expected, match="already"):
            register(
                clone.repo,
                str(clone.top.parent / "work 1"),
                ONE,
                start_of(clone),
                OLD._replace(since=since),
            )
        assert before == (
            sh(clone.top, "git", "for-each-ref"),
            sh(clone.top, "git", "worktree", "list", "--porcelain"),
        )


def test_a_lost_folder_with_an_index_is_not_forgotten(clone: Clone) -> None:
    path = make_worktree(clone)
    path.rename(clone.top.parent / "moved away")
    with pytest.raises(Expected, match="gone") as error:
        register(clone.repo, str(path), ONE, start_of(clone), INTENT)
    assert error.value.hint == "git worktree repair"


REGISTER = """
import sys
from issue_orch.git.run import find_repo
from issue_orch.git.checkout import check_out
from issue_orch.git.worktree import Intent, register
repo = find_repo(sys.argv[1])
for number in range(5):
    path = f"{sys.argv[1]}-{sys.argv[2]}-{number}"
    register(repo, path, f"issue-{sys.argv[2]}-{number}", sys.argv[3], Intent("x"))
    check_out(repo, path)
"""


def test_eight_processes_at_once(clone: Clone) -> None:
    argv = [sys.executable, "-c", REGISTER, str(clone.top)]
    running = [
        subprocess.Popen([*argv, str(n), start_of(clone)], stderr=subprocess.PIPE) for n in range(8)
    ]
    assert [(each.communicate(timeout=60)[1], each.returncode) for each in running] == [
        (b"", 0)
    ] * 8
    assert sh(clone.top, "git", "worktree", "list").count("issue-") == 40
    assert sh(clone.top, "git", "worktree", "prune", "-n", "-v") == ""


def test_a_killed_command_leaves_the_lock_to_its_git(clone: Clone, tmp_path: Path) -> None:
    """The next command must not clear away what a git without its parent is still making."""
    real = sh(tmp_path, "sh", "-c", "command -v git")
    wait = f'echo $$ > "{tmp_path}/pid"; read x < "{tmp_path}/gate"'
    script(tmp_path / "bin/git", f'case "$*" in *"worktree add"*) {wait};; esac\nexec {real} "$@"')
    os.mkfifo(tmp_path / "gate")
    path = clone.top.parent / "work 1"
    code = (
        "import sys; from issue_orch.git.run import find_repo; from issue_orch.git.worktree import Intent, register; "
        f"register(find_repo(sys.argv[1]), sys.argv[2], 'issue-1', sys.argv[3], Intent({INTENT.mark!r}))"
    )
    env = os.environ | {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    with subprocess.Popen(
        [sys.executable, "-c", code, str(clone.top), str(path), start_of(clone)], env=env
    ) as child:
        wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
        child.send_signal(signal.SIGKILL)
    with pytest.raises(Expected, match="held"), locked(worktrees_lock(clone.repo), 0.1):
        pass
    (tmp_path / "gate").write_text("go\n")
    assert register(clone.repo, str(path), ONE, start_of(clone), INTENT) == start_of(clone)
    assert sh(clone.top, "git", "worktree", "list").count("work 1") == 1


def test_files_that_are_ignored_and_listed_are_copied(clone: Clone, tmp_path: Path) -> None:
    path = make_worktree(clone)
    assert copy_listed(clone.repo, str(path)) == []
    write(clone.top / ".env", "secret").chmod(0o600)
    write(clone.top / "cfg/ü.log", "log")
    write(clone.top / "other.log", "not listed")
    write(clone.top / "untracked.txt", "not ignored")
    write(clone.top / "out/escape.log", "x")
    write(clone.top / ".worktreeinclude", ".env\ncfg/\nuntracked.txt\nREADME.md\nout/*\nsame.log\n")
    write(clone.top / "same.log", "theirs")
    write(path / "same.log", "mine")
    (path / "out").symlink_to(tmp_path)
    assert sorted(copy_listed(clone.repo, str(path))) == [".env", "cfg/ü.log"]
    assert (path / ".env").read_text() == "secret"
    assert (path / ".env").stat().st_mode & 0o777 == 0o600
    assert (path / "same.log").read_text() == "mine"
    assert not (tmp_path / "escape.log").exists()
    assert copy_listed(clone.repo, str(path)) == []


def add_submodule(clone: Clone) -> Path:
    module = clone.top.parent / "module"
    sh(clone.top.parent, "git", "init", "-q", str(module))
    commit(module, "module", inner="inner\n")
    for name in ("sub", "unused"):
        sh(
            clone.top,
            "git",
            "-c",
            "protocol.file.allow=always",
            "submodule",
            "--quiet",
            "add",
            str(module),
            name,
        )
    commit(clone.top, "with submodules")
    sh(clone.top, "git", "push", "-q", "origin", "main")
    sh(clone.top, "git", "submodule", "--quiet", "deinit", "unused")
    return module


def trouble_of(clone: Clone, path: Path) -> str | None:
    found = snapshot.inspect(clone.repo, str(path), ())
    return hidden.find_submodule_trouble(clone.repo, str(path), found.submodules)


def test_submodules_are_as_the_clone_has_them(clone: Clone) -> None:
    module = add_submodule(clone)
    path = make_worktree(clone)
    assert populate_submodules(clone.repo, str(path)) == ["sub"]
    assert (path / "sub/inner").read_text() == "inner\n"
    assert list((path / "unused").iterdir()) == []
    assert sh(path / "sub", "git", "remote", "get-url", "origin") == str(module)
    assert snapshot.dirt(clone.repo, str(path)) == []
    assert trouble_of(clone, path) is None
    assert populate_submodules(clone.repo, str(path)) == ["sub"]


def test_work_in_a_submodule_is_seen(clone: Clone) -> None:
    add_submodule(clone)
    path = make_worktree(clone)
    populate_submodules(clone.repo, str(path))
    write(path / "sub/inner", "changed\n")
    assert "uncommitted" in str(trouble_of(clone, path))
    commit(path / "sub", "mine")
    sh(path / "sub", "git", "switch", "-qc", "mine")
    sh(path / "sub", "git", "switch", "-q", "--detach", "HEAD~")
    assert "on no remote" in str(trouble_of(clone, path))
    sh(path, "git", "submodule", "deinit", "-f", "sub")
    assert "on no remote" in str(trouble_of(clone, path))
    with pytest.raises(Expected, match="submodule"):
        preserve(clone.repo, str(path), Number(1), NOW)


@pytest.mark.parametrize("kind", ["--depth=1", "--filter=blob:none", "sparse"])
def test_shallow_partial_and_sparse_are_inherited(clone: Clone, tmp_path: Path, kind: str) -> None:
    commit(clone.top, "more", **{"a/x": "x\n", "b/y": "y\n"})
    sh(clone.top, "git", "push", "-q", "origin", "main")
    sh(clone.remote, "git", "config", "uploadpack.allowFilter", "true")
    flags = ["--sparse"] if kind == "sparse" else [kind, "--no-checkout"]
    sh(tmp_path, "git", "clone", "-q", *flags, f"file://{clone.remote}", "other")
    if kind == "sparse":
        sh(tmp_path / "other", "git", "sparse-checkout", "set", "a")
    other = Clone(find_repo(str(tmp_path / "other")), clone.remote)
    path = make_worktree(other)
    assert (path / "a/x").read_text() == "x\n"
    assert (path / "b").exists() is (
        kind != "sparse" or clone.repo.version < (2, 36)
    )  # then it is handed on to worktrees
    assert snapshot.dirt(other.repo, str(path)) == []
    write(path / "a/x", "changed\n")
    assert snapshot.changes(other.repo, str(path), "HEAD") == (1, 1, 1, ("a/x",))
    ref = preserve(other.repo, str(path), Number(1), NOW)
    assert "b/y" in sh(path, "git", "ls-tree", "-r", "--name-only", str(ref))


def test_a_smudge_filter_of_the_user_runs_at_check_out(clone: Clone, home: Path) -> None:
    """As LFS does it: content in the worktree, pointers in the repository."""
    sh(home, "git", "config", "--global", "filter.lfs.smudge", "sed s/pointer/content/")
    sh(home, "git", "config", "--global", "filter.lfs.clean", "sed s/content/pointer/")
    commit(clone.top, "lfs", **{".gitattributes": "*.bin filter=lfs\n", "a.bin": "content\n"})
    sh(clone.top, "git", "push", "-q", "origin", "main")
    path = make_worktree(clone)
    assert sh(path, "git", "show", "HEAD:a.bin") == "pointer"
    assert (path / "a.bin").read_text() == "content\n"
    os.utime(path / "a.bin")
    assert snapshot.dirt(clone.repo, str(path)) == []


def test_changes(clone: Clone) -> None:
    path = make_worktree(clone)
    base = start_of(clone)
    assert snapshot.changes(clone.repo, str(path), base) == (0, 0, 0, ())
    commit(path, "committed", **{"new ü.txt": "1\n2\n3\n"})
    write(path / "README.md", "one\n")
    write(path / "untracked", "no newline")
    write(path / "ignored.log", "ignored")
    (path / "binary").write_bytes(b"\0\n\n")
    (path / "link").symlink_to("/etc/passwd")
    os.mkfifo(path / "fifo")
    sh(path, "git", "rm", "-q", "src/café one.txt")
    found = snapshot.changes(clone.repo, str(path), base)
    assert found == (
        6,
        4,
        2,
        ("README.md", "binary", "link", "new ü.txt", "src/café one.txt", "untracked"),
    )
    assert commits_since(clone.repo, str(path), base) == [
        (find_sha(clone.repo, "HEAD", str(path)), "committed")
    ]


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_a_change_that_git_was_told_to_ignore_is_dirt_and_preserved(
    clone: Clone, flag: str
) -> None:
    path = make_worktree(clone)
    sh(path, "git", "update-index", flag, "README.md")
    write(path / "README.md", "hidden\n")
    assert sh(path, "git", "status", "--porcelain") == ""
    assert snapshot.dirt(clone.repo, str(path)) == ["README.md"]
    ref = preserve(clone.repo, str(path), Number(1), NOW)
    assert sh(path, "git", "show", f"{ref}:README.md") == "hidden"


def test_preserve_keeps_everything_but_ignored_files(clone: Clone) -> None:
    path = make_worktree(clone)
    assert preserve(clone.repo, str(path), Number(1), NOW, Remote(clone.repo, "origin")) is None
    write(path / "README.md", "staged\n")
    sh(path, "git", "add", "README.md")
    write(path / "README.md", "worked\n")
    write(path / "new ü/file", "new")
    write(path / "x.log", "ignored")
    index = Path(admin_dir(clone.repo, str(path)), "index")
    sh(path, "git", "status")
    before = index.read_bytes()
    ref = preserve(clone.repo, str(path), Number(1), NOW)
    assert ref == "refs/issue-orch/preserved/1/20260102T030405Z"
    assert index.read_bytes() == before
    assert sh(path, "git", "show", f"{ref}:README.md") == "worked"
    assert sh(path, "git", "show", f"{ref}:new ü/file") == "new"
    assert sh(path, "git", "show", f"{ref}^2:README.md") == "staged"
    assert sh(path, "git", "rev-parse", f"{ref}^1") == find_sha(clone.repo, "HEAD", str(path))
    assert "x.log" not in sh(path, "git", "ls-tree", "-r", "--name-only", ref)
    assert preserve(clone.repo, str(path), Number(1), NOW) == ref, "the same work, the same ref"
    write(path / "more", "more")
    assert preserve(clone.repo, str(path), Number(1), NOW) == f"{ref}-2"


def test_preserve_keeps_commits_that_are_on_no_remote(clone: Clone) -> None:
    path = make_worktree(clone)
    sh(path, "git", "switch", "-q", "--detach")
    sha = commit(path, "detached", file="x")
    ref = preserve(clone.repo, str(path), Number(1), NOW)
    assert sh(path, "git", "rev-parse", str(ref)) == sha
    sh(path, "git", "push", "-q", "origin", "HEAD:refs/heads/somewhere")
    assert preserve(clone.repo, str(path), Number(1), NOW, Remote(clone.repo, "origin")) is None


def test_preserve_where_names_are_sha256(home: Path, tmp_path: Path) -> None:
    sh(tmp_path, "git", "init", "-q", "--object-format=sha256", "wide")
    commit(tmp_path / "wide", "first", file="x")
    write(tmp_path / "wide/new", "untracked")
    repo = find_repo(str(tmp_path / "wide"))
    ref = preserve(repo, repo.main, Number(1), NOW)
    assert sh(tmp_path / "wide", "git", "show", f"{ref}:new") == "untracked"


def test_preserve_in_the_middle_of_a_conflict_and_without_any_commit(clone: Clone) -> None:
    path = make_worktree(clone)
    sh(path, "git", "switch", "-qc", "other")
    commit(path, "a", **{"README.md": "a\n"})
    sh(path, "git", "switch", "-q", ONE)
    commit(path, "b", **{"README.md": "b\n"})
    sh(path, "git", "merge", "-q", "other", check=False)
    ref = preserve(clone.repo, str(path), Number(1), NOW)
    assert "<<<<<<<" in sh(path, "git", "show", f"{ref}:README.md")
    sh(path, "git", "merge", "--abort")
    sh(path, "git", "switch", "-q", "--orphan", "empty")
    write(path / "only", "here")
    assert find_sha(clone.repo, "HEAD", str(path)) is None
    ref = preserve(clone.repo, str(path), Number(2), NOW)
    assert sh(path, "git", "show", f"{ref}:only") == "here"


def test_preserve_refuses_what_it_cannot_keep(clone: Clone) -> None:
    path = make_worktree(clone)
    write(path / "big", "x" * 2000)
    with pytest.raises(Expected, match="not committed"):
        preserve(clone.repo, str(path), Number(1), NOW, max_bytes=1000)
    (path / "big").unlink()
    sh(path, "git", "init", "-q", "nested")
    commit(path / "nested", "inner", file="x")
    with pytest.raises(Expected, match="repository of its own"):
        preserve(clone.repo, str(path), Number(1), NOW)
    assert sh(clone.top, "git", "for-each-ref", "refs/issue-orch") == ""


COMMIT = """
n=0; while [ $n -lt 60 ]; do n=$((n+1)); echo $n > file; git add -A && git commit -qm $n || exit 1; done
"""


def test_reading_never_breaks_a_commit_of_the_agent(clone: Clone) -> None:
    path = make_worktree(clone)
    base, reads = start_of(clone), 0
    with subprocess.Popen(["sh", "-c", COMMIT], cwd=path, stderr=subprocess.PIPE) as agent:
        while agent.poll() is None:
            snapshot.changes(clone.repo, str(path), base)
            snapshot.dirt(clone.repo, str(path))
            with suppress(Expected):  # it changes meanwhile
                preserve(clone.repo, str(path), Number(1), NOW)
            reads += 1
        assert agent.stderr is not None
        assert (agent.returncode, agent.stderr.read()) == (0, b"")
    assert reads > 1
    assert len(commits_since(clone.repo, str(path), base)) == 60
