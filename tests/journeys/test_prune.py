"""`prune` of many sessions: GitHub is asked in few requests, and what became of each pull decides as ever."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from issue_orch.core.record import new_status
from issue_orch.store.files import iso, make_session, save_status
from tests.kit.git import script
from tests.kit.scene import Scene, make_scene


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with make_scene(tmp_path) as made:
        yield made
        made.check_invariants()


def finished(scene: Scene, number: int, pull: bool = True, folder: Path | None = None) -> Path:
    """What a worker left that is done: a worktree with a commit, pushed, and its pull."""
    path, branch = (folder or scene.folder) / f"widgets-issue-{number}", f"issue-{number}"
    base = scene.git("rev-parse", "origin/main").strip()
    scene.git("worktree", "add", "--quiet", "-b", branch, str(path), base)
    (path / f"work-{number}.txt").write_text("x\n")
    scene.git("add", ".", cwd=path)
    scene.git("commit", "--quiet", "-m", f"Solve #{number}", cwd=path)
    scene.git("push", "--quiet", "origin", branch)
    scene.sandbox.sync()
    url = None
    if pull:
        opened = scene.sandbox.open_pull(
            branch, "main", f"Solve #{number}", f"Closes #{number}", "you"
        )
        url = f"{scene.sandbox.base_url}/acme/widgets/pull/{opened}"
    if not (scene.state / "sessions").is_dir():
        scene.orch("init", "--yes", check=True)
    make_session(scene.state, number)
    save_status(
        scene.state,
        new_status(
            number,
            status="complete" if pull else "stuck",
            branch=branch,
            base="main",
            baseSha=base,
            repo="acme/widgets",
            startedAt=iso(0),
            pullRequestUrl=url,
            agent="scripted",
            attempt=1,
            worktreePath=str(path),
        ),
    )
    return path


def test_many_are_decided_by_two_lists_of_pulls(scene: Scene) -> None:
    numbers = [scene.issue() for _ in range(8)]
    paths = {number: finished(scene, number, pull=number != numbers[-1]) for number in numbers}
    *merged, open_, closed, none = numbers
    for number in merged:
        scene.sandbox.person.merge(scene.pull_of(number), method="squash")
    scene.sandbox.person.close_pull(scene.pull_of(closed))
    urls = {number: scene.status(number)["pullRequestUrl"] for number in numbers}
    scene.orch("prune", "--dry-run", check=True)
    scene.sandbox.requests.clear()
    out = scene.orch("prune", check=True).out.splitlines()
    assert out == [
        *(f"#{number}: removed: merged: {urls[number]}" for number in merged),
        f"#{open_}: kept: its pull is open: {urls[open_]}",
        f"#{closed}: kept: its pull was closed without a merge ({urls[closed]}); --closed removes it",
        f"#{none}: kept: has no pull yet (stuck)",
    ]
    assert [number for number in numbers if not paths[number].exists()] == merged
    asked = [(each.path, each.status) for each in scene.sandbox.requests]
    assert asked == [("/repos/acme/widgets/pulls", 304)] * 4, (
        "two lists, and the two that are in neither as merged or open"
    )


def test_an_old_pull_that_is_open_keeps_though_a_newer_one_was_merged(scene: Scene) -> None:
    numbers = [scene.issue() for _ in range(5)]
    paths = [finished(scene, number) for number in numbers]
    for number in numbers[1:]:
        scene.sandbox.person.merge(scene.pull_of(number))
    first = numbers[0]
    scene.git("push", "--quiet", str(scene.sandbox.repository.path), "main:refs/heads/release")
    scene.sandbox.sync()
    second = scene.sandbox.open_pull(f"issue-{first}", "release", "Also there", "", "you")
    scene.sandbox.person.merge(second)
    out = scene.orch("prune", check=True).out
    assert f"#{first}: kept: its pull is open: {scene.status(first)['pullRequestUrl']}" in out
    assert [path.exists() for path in paths] == [True, False, False, False, False]


def test_a_person_updated_the_branch_on_github_before_the_merge(scene: Scene) -> None:
    """The commit that was merged was never here, and its branch is gone; it holds ours, so nothing is lost."""
    number, behind = scene.issue(), scene.issue()
    path, other = finished(scene, number), finished(scene, behind)
    person = scene.folder / "person"
    scene.git("clone", "--quiet", str(scene.sandbox.repository.path), str(person))
    scene.git("switch", "--quiet", f"issue-{number}", cwd=person)
    scene.git("commit", "--quiet", "--allow-empty", "-m", "By a person", cwd=person)
    scene.git("push", "--quiet", "origin", f"issue-{number}", cwd=person)
    for each in (number, behind):
        scene.sandbox.person.merge(scene.pull_of(each), method="squash", delete_branch=True)
    scene.git("commit", "--quiet", "--allow-empty", "-m", "Not pushed", cwd=other)
    lines = scene.orch("prune", "--dry-run", check=True).out.splitlines()
    assert lines[2].startswith("  next: what was merged does not hold these commits: git -C ")
    assert lines[0].startswith(f"#{number}: would remove: merged") and lines[1].startswith(
        f"#{behind}: kept: HEAD is"
    )
    assert path.exists() and other.exists()
    lines = scene.orch("prune", check=True).out.splitlines()
    assert lines[0].startswith(f"#{number}: removed: merged") and lines[1].startswith(
        f"#{behind}: kept: HEAD is"
    )
    assert (
        not path.exists()
        and other.exists()
        and f"issue-{number}" not in scene.git("branch", "--list")
    )


def test_a_dry_run_says_what_prune_does(scene: Scene) -> None:
    number = scene.issue()
    path = finished(scene, number)
    scene.sandbox.person.merge(scene.pull_of(number))
    (path / "notes.txt").write_text("mine\n")
    said = scene.orch("prune", "--dry-run", check=True).out
    assert (
        said == f"#{number}: kept: not committed: notes.txt\n"
        f"  next: commit or delete it, or issue-orch cancel {number}, then issue-orch prune {number} --cancelled, "
        "which keeps it below refs/issue-orch\n" == scene.orch("prune", check=True).out
    )
    (path / "notes.txt").unlink()
    assert scene.orch("prune", "--dry-run", check=True).out.startswith(
        f"#{number}: would remove: merged"
    )
    assert path.exists() and scene.status(number)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("why", ["cancelled", "closed"])
def test_prune_of_a_sparse_worktree_keeps_the_new_content(
    scene: Scene, why: str, inside: bool
) -> None:
    scene.sandbox.seed({"src/x.py": "old\n", "lib/y.py": "old\n"}, "Two folders")
    scene.git("pull", "-q")
    number = scene.issue()
    path = finished(scene, number)
    scene.git("sparse-checkout", "set", "src", cwd=path)
    (path / "lib").mkdir()
    (path / "lib/y.py").write_text("an afternoon\n")
    if inside:
        (path / "src/x.py").write_text("a morning\n")
    if why == "cancelled":
        scene.orch("cancel", str(number), check=True)
    else:
        scene.sandbox.person.close_pull(scene.pull_of(number))
    out = scene.orch("prune", str(number), f"--{why}", check=True).out
    ref = out.split("kept at ")[1].split()[0]
    assert not path.exists()
    assert scene.git("show", f"{ref}:lib/y.py") == "an afternoon\n"
    assert scene.git("show", f"{ref}:src/x.py") == ("a morning\n" if inside else "old\n")


def test_prune_says_what_it_could_not_preserve(scene: Scene) -> None:
    number = scene.issue()
    path = finished(scene, number)
    (path / "lib").mkdir()
    (path / "lib/y.py").write_text("new\n")
    scene.git("add", ".", cwd=path)
    scene.git("init", "-q", str(path / "lib"))
    scene.orch("cancel", str(number), check=True)
    out = scene.orch("prune", "--cancelled", check=True).out
    said, how = f"#{number}: kept: could not be preserved as it is: lib/.git", "mend that, then"
    assert out == f"{said}\n  next: {how} issue-orch prune {number}\n"
    assert (path / "lib/.git").is_dir()


def test_an_index_that_is_gone_is_no_checkout_that_was_cut_off(scene: Scene) -> None:
    number = scene.issue()
    path = finished(scene, number, pull=False)
    (scene.state / f"sessions/{number}/prompt.md").write_text("x\n")
    (path / f"work-{number}.txt").write_text("mine\n")
    Path(scene.git("rev-parse", "--absolute-git-dir", cwd=path).strip(), "index").unlink()
    said = scene.orch("resume", str(number))
    assert "its index is gone" in said.err and f"git -C {path} reset" in said.err
    assert f"git -C {path} reset" in scene.orch("doctor").out
    out = scene.orch("doctor", "--fix").out
    assert "check issue" not in out
    assert (path / f"work-{number}.txt").read_text() == "mine\n"
    scene.git("reset", "-q", cwd=path)
    assert scene.git("status", "--porcelain", cwd=path).strip() == f"M work-{number}.txt"
    scene.orch("cancel", str(number), check=True)
    assert "kept at" in scene.orch("prune", "--cancelled", check=True).out


def test_prune_says_what_stands_half_done(scene: Scene) -> None:
    number = scene.issue()
    path = finished(scene, number)
    (path / "README.md").write_text("mine\n")
    edit = "sequence.editor=sed -i s/^pick/edit/"
    scene.git("-c", edit, "rebase", "-q", "-i", "--autostash", "HEAD~1", cwd=path)
    scene.sandbox.person.merge(scene.pull_of(number))
    for words in (("prune", "--dry-run"), ("prune",)):
        said, _, how = scene.orch(*words, check=True).out.partition("\n")
        assert said == f"#{number}: kept: a rebase is in progress"
        assert how == f"  next: end it in {path}, then issue-orch prune {number}\n"
    scene.git("rebase", "--quit", cwd=path)
    assert path.exists()


def hidden(scene: Scene) -> list[str]:
    return [each.name for each in scene.folder.iterdir() if "issue-orch-" in each.name]


def merged(scene: Scene) -> int:
    """An issue whose pull is merged; much lies in its worktree that git ignores."""
    number = scene.issue()
    path = finished(scene, number)
    (path / "node_modules").mkdir()
    (scene.clone / ".git/info/exclude").write_text("node_modules/\n")
    for each in range(2000):
        (path / "node_modules" / f"file-{each}").touch()
    scene.sandbox.person.merge(scene.pull_of(number))
    return number


@pytest.mark.parametrize("variable", ["CI", "RUNNER_TRACKING_ID"])
def test_a_job_leaves_no_deletion_to_a_process_that_ends_with_it(
    scene: Scene, variable: str
) -> None:
    number = merged(scene)
    out = scene.orch("prune", check=True, env={variable: "1"}).out
    assert f"#{number}: removed: merged" in out
    assert hidden(scene) == [] == list((scene.state / "removed").iterdir())


@pytest.mark.parametrize(
    "words", [("prune",), ("prune", "--cancelled", "--json"), ("doctor", "--fix")]
)
def test_what_a_killed_deletion_left_is_deleted_by_the_next(
    scene: Scene, words: tuple[str, ...]
) -> None:
    number = merged(scene)
    script(scene.folder / "bin/rm", "kill -9 $PPID")
    env = {"PATH": f"{scene.folder}/bin:{scene.env['PATH']}", "CI": "1"}
    killed = scene.orch("prune", env=env)
    assert killed.code == -9 and f"#{number}: removed" in killed.out and hidden(scene)
    for look in (("prune", "--dry-run"), ("doctor", "--fix", "--dry-run")):
        scene.orch(*look, env={"CI": "1"})
    assert hidden(scene), "who only looks deletes nothing"
    said = scene.orch("doctor").out
    assert "the files of 1 removed worktrees were not all deleted" in said
    scene.orch(*words, env={"CI": "1"})
    assert hidden(scene) == []
    assert "were not all deleted" not in scene.orch("doctor").out


@pytest.mark.parametrize("trouble", ["sign-in", "permission", "limit"])
@pytest.mark.parametrize("words", [("prune",), ("prune", "--json"), ("prune", "--dry-run")])
def test_that_github_could_not_be_asked_is_no_success(
    scene: Scene, trouble: str, words: tuple[str, ...]
) -> None:
    number, cancelled = scene.issue(), scene.issue()
    paths = finished(scene, number), finished(scene, cancelled)
    scene.orch("cancel", str(cancelled), check=True)
    if trouble == "sign-in":
        scene.lose_sign_in()
    elif trouble == "permission":
        said = "Resource not accessible by integration"
        scene.sandbox.fail(route=".*/pulls", times=99, status=403, message=said)
    else:
        scene.sandbox.fail(status=429, times=99, retry_after=3600)
    ran = scene.orch(*words)
    assert ran.code == 1 and "GitHub could not be asked about its pull" in ran.out
    assert paths[0].exists()
    ran = scene.orch("prune", "--cancelled", str(cancelled))
    assert ran.code == 0, "nothing has to be asked about it"
