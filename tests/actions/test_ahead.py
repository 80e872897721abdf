"""Checkouts that `spawn` makes while GitHub answers: they hold what the branch holds, or they are gone."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.scene import Scene, make_scene

WAITS = "report working --note waits\nexec tail -f /dev/null > /dev/null\n"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with make_scene(tmp_path) as made:
        made.agent(WAITS)
        yield made
        made.orch("stop", "--all", check=True)
        assert not (made.state / "ahead").exists()
        made.wait_quiet()
        made.check_invariants()


def note_checkouts(scene: Scene) -> Path:
    """A filter of the person's own, which writes down each time that a file of it is checked out."""
    seen = scene.folder / "seen"
    seen.touch()
    scene.git("config", "--global", "filter.noted.smudge", f"echo x >> {seen}; cat")
    scene.sandbox.seed(
        {".gitattributes": "noted.txt filter=noted\n", "noted.txt": "once\n"}, "A filter"
    )
    scene.git("fetch", "--quiet", "origin")
    return seen


def check(scene: Scene, number: int) -> Path:
    """The worktree holds what its HEAD holds, and nothing else."""
    path = scene.worktree(number)
    assert scene.git("status", "--porcelain", "--untracked-files=all", cwd=path) == ""
    assert scene.git("diff", "HEAD", cwd=path) == ""
    tracked = set(scene.git("ls-files", cwd=path).split())
    there = {str(file.relative_to(path)) for file in path.rglob("*") if not file.is_dir()}
    assert {name for name in there if not name.startswith(".issue-orch/")} == tracked | {".git"}
    return path


def test_files_are_checked_out_once_and_before_it_is_known_whether_they_are_wanted(
    scene: Scene,
) -> None:
    seen = note_checkouts(scene)
    closed, ready = scene.issue(), scene.issue()
    scene.sandbox.close_issue(closed)
    ran = scene.orch("spawn", str(closed))
    assert ran.code == 1 and "closed as completed" in ran.err
    assert seen.read_text() == "x\n", "made ahead"
    assert not (scene.state / "ahead").exists() and not scene.status(closed)
    assert scene.git("worktree", "list").count("\n") == 1 and "issue-" not in scene.git("branch")
    scene.orch("spawn", str(ready), check=True)
    assert seen.read_text() == "x\nx\n", "and taken over"
    assert (check(scene, ready) / "noted.txt").read_text() == "once\n"


def test_a_checkout_of_an_older_base_becomes_that_of_the_new_one(scene: Scene) -> None:
    """Files changed, gone, come, and become a folder."""
    other = scene.folder / "other"
    scene.git("clone", "--quiet", str(scene.sandbox.repository.path), str(other), cwd=scene.folder)
    (other / "README.md").unlink()
    (other / "src" / "menu.py").unlink()
    (other / "src" / "menu.py").mkdir()
    (other / "src" / "menu.py" / "new.py").touch()
    (other / "top").write_text("b\n")
    scene.git("add", "--all", cwd=other)
    scene.git("commit", "--quiet", "-m", "Since then", cwd=other)
    scene.git("push", "--quiet", "origin", "HEAD:main", cwd=other)
    numbers = [scene.issue() for _ in range(3)]
    scene.orch("spawn", *map(str, numbers), check=True)
    for number in numbers:
        path = check(scene, number)
        assert (path / "src" / "menu.py" / "new.py").exists() and not (path / "README.md").exists()


def test_a_branch_that_is_continued_keeps_its_own_files(scene: Scene) -> None:
    number = scene.issue()
    scene.git("switch", "--quiet", "-c", f"issue-{number}")
    (scene.clone / "mine.txt").write_text("mine\n")
    scene.git("add", ".")
    scene.git("commit", "--quiet", "-m", "Mine")
    scene.git("switch", "--quiet", "main")
    scene.orch("spawn", str(number), "--reuse", check=True)
    assert (check(scene, number) / "mine.txt").read_text() == "mine\n"


def test_what_lies_where_checkouts_are_made_gets_into_no_worktree(scene: Scene) -> None:
    """Left by a killed command, or planted; and nothing is made there while another command does."""
    planted = scene.state / "ahead" / "0" / "planted"
    first, second = scene.issue(), scene.issue()
    scene.orch("status", check=True)
    planted.parent.mkdir(parents=True)
    planted.write_text("")
    with open(scene.state / "ahead.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        scene.orch("spawn", str(first), check=True)
        assert planted.exists(), "another command may be at it"
    scene.orch("spawn", str(second), check=True)
    check(scene, first)
    check(scene, second)


def test_a_link_in_the_place_of_checkouts_leads_nowhere(scene: Scene) -> None:
    precious = scene.folder / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept\n")
    number = scene.issue()
    scene.orch("status", check=True)
    scene.state.mkdir(exist_ok=True)
    (scene.state / "ahead").symlink_to(precious)
    scene.orch("spawn", str(number), check=True)
    check(scene, number)
    assert [each.name for each in precious.rglob("*")] == ["file"]
    (scene.state / "ahead").unlink()


def test_submodules_of_the_clone_are_left_alone(scene: Scene) -> None:
    """`submodule.recurse` would have git take the clone's own submodule for one of the checkout."""
    inner = scene.folder / "inner"
    scene.git("init", "--quiet", str(inner))
    (inner / "in.txt").write_text("in\n")
    scene.git("add", ".", cwd=inner)
    scene.git("commit", "--quiet", "-m", "In", cwd=inner)
    scene.git("config", "--global", "submodule.recurse", "true")
    scene.git("submodule", "--quiet", "add", str(inner), "sub")
    scene.git("commit", "--quiet", "-m", "A submodule")
    scene.git("push", "--quiet", str(scene.sandbox.repository.path), "HEAD:refs/heads/main")
    scene.git("fetch", "--quiet", "origin")
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    path = scene.worktree(number)
    assert (path / "sub" / "in.txt").read_text() == "in\n"
    assert os.path.realpath(
        scene.git("rev-parse", "--show-toplevel", cwd=scene.clone / "sub").strip()
    ) == str(scene.clone / "sub")
    assert (
        scene.git("status", "--porcelain") == ""
        and scene.git("status", "--porcelain", cwd=path) == ""
    )


def test_a_sparse_clone_gets_the_worktree_that_git_makes(scene: Scene) -> None:
    scene.sandbox.seed({"one/a": "", "two/b": ""}, "Folders")
    scene.git("fetch", "--quiet", "origin")
    scene.git("sparse-checkout", "set", "one")
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    expected = scene.folder / "expected"
    scene.git("worktree", "add", "--quiet", "--detach", str(expected), "origin/main")
    names = [sorted(os.listdir(path)) for path in (expected, scene.worktree(number))]
    assert [name for name in names[1] if name != ".issue-orch"] == names[0]
