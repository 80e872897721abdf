"""What a session may call its own: the worktree and the branch that it made, and never what only has their name.

A person makes something under the name of a start: before it, or after a start that was killed at some point.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from issue_orch.store.files import iso
from tests.kit.scene import COMPLETE, Ran, Scene, make_scene

# Whatever it finds goes along: notes of a person would be committed and pushed.
GRASP = 'git add -A\ngit commit -q --allow-empty -m "For #$issue"\nreport complete --title Solved\n'


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with make_scene(tmp_path) as made:
        made.issue()
        made.agent(GRASP)
        yield made


def place(scene: Scene) -> Path:
    return scene.clone.with_name("widgets-issue-1")


def admin(scene: Scene) -> Path:
    return scene.clone / ".git" / "worktrees" / "widgets-issue-1"


def base(scene: Scene) -> str:
    return scene.git("rev-parse", "origin/main").strip()


# -- what a person makes

NOTES = "private-notes.txt"


def worktree(scene: Scene) -> None:
    scene.git("worktree", "add", "-q", "-b", "issue-1", str(place(scene)))
    (place(scene) / NOTES).write_text("mine\n")


def clean_worktree(scene: Scene) -> None:
    """As nearly as a start makes it: the same commit, said in full."""
    scene.git(
        "worktree", "add", "-q", "--no-track", "-b", "issue-1", str(place(scene)), base(scene)
    )


def bare_worktree(scene: Scene) -> None:
    scene.git("worktree", "add", "-q", "--no-checkout", "-b", "issue-1", str(place(scene)))


def worktree_with_commits(scene: Scene) -> None:
    worktree(scene)
    scene.git("add", "-A", cwd=place(scene))
    scene.git("commit", "-q", "-m", "Mine", cwd=place(scene))


def worktree_of_another_branch(scene: Scene) -> None:
    scene.git("worktree", "add", "-q", "-b", "mine", str(place(scene)))
    (place(scene) / NOTES).write_text("mine\n")


def detached_worktree(scene: Scene) -> None:
    scene.git("worktree", "add", "-q", "--detach", str(place(scene)))


def worktree_elsewhere(scene: Scene) -> None:
    scene.git("worktree", "add", "-q", "-b", "issue-1", str(scene.folder / "elsewhere"))
    (scene.folder / "elsewhere" / NOTES).write_text("mine\n")


def folder(scene: Scene) -> None:
    place(scene).mkdir()
    (place(scene) / NOTES).write_text("mine\n")


def other_clone(scene: Scene) -> None:
    scene.git("clone", "-q", "--no-checkout", str(scene.clone), str(place(scene)))


def pointer(scene: Scene) -> None:
    """A worktree of another clone, without files."""
    other = scene.folder / "other"
    scene.git("clone", "-q", str(scene.clone), str(other))
    scene.git("worktree", "add", "-q", "--no-checkout", "--detach", str(place(scene)), cwd=other)


def branch(scene: Scene) -> None:
    scene.git("branch", "--no-track", "issue-1", base(scene))


def branch_with_commits(scene: Scene) -> None:
    scene.git("switch", "-q", "-c", "issue-1")
    scene.git("commit", "-q", "--allow-empty", "-m", "Mine")
    scene.git("switch", "-q", "main")


PERSON = {
    each.__name__: each
    for each in (
        worktree,
        clean_worktree,
        bare_worktree,
        worktree_with_commits,
        worktree_of_another_branch,
        detached_worktree,
        worktree_elsewhere,
        folder,
        other_clone,
        pointer,
        branch,
        branch_with_commits,
    )
}


def seen(scene: Scene) -> tuple[str, str, dict[str, str]]:
    """What a person has made, and could miss."""
    files = {
        str(path): path.read_text()
        for where in (place(scene), scene.folder / "elsewhere")
        for path in where.rglob("*")
        if path.is_file() and path.name in {NOTES, ".git", "README.md"}
    }
    return (
        scene.git("worktree", "list", "--porcelain"),
        scene.git("for-each-ref", "refs/heads"),
        files,
    )


def untouched(scene: Scene, before: tuple[str, str, dict[str, str]]) -> None:
    """Nobody worked, nothing was pushed, and nothing is left that a later attempt could believe."""
    assert seen(scene) == before
    assert (
        not list(scene.folder.glob("prompt-*"))
        and not scene.sandbox.pulls
        and not scene.sandbox.pushes
    )
    assert not (scene.state / "sessions" / "1").exists(), scene.describe()
    assert not scene.git("for-each-ref", "refs/issue-orch"), "nor was it preserved"
    assert not scene.processes()


def refusal(ran: Ran) -> str:
    """The words; the same each time."""
    assert ran.code == 1 and "error: " in ran.err and "next: " in ran.err, ran
    return ran.err.partition("error: ")[2]


def refused(scene: Scene, times: int = 3) -> None:
    before = seen(scene)
    words = set()
    for _ in range(times):
        words.add(refusal(scene.orch("spawn", "1", "--yes")))
        untouched(scene, before)
    assert len(words) == 1, words


@pytest.mark.wide(4)
@pytest.mark.parametrize("name", PERSON)
def test_what_a_person_made_is_never_taken(scene: Scene, name: str) -> None:
    PERSON[name](scene)
    refused(scene, 2)


@pytest.mark.parametrize("name", ["worktree", "folder"])
def test_what_a_person_made_is_not_taken_by_whatever_is_typed(scene: Scene, name: str) -> None:
    PERSON[name](scene)
    before = seen(scene)
    for words in (
        ("run", "--once"),
        ("run", "--once"),
        ("spawn", "1", "--yes", "--reuse"),
        ("spawn", "1", "--yes", "--reuse"),
        ("resume", "1"),
        ("doctor", "--fix"),
        ("cancel", "1"),
        ("prune", "--cancelled"),
    ):
        ran = scene.orch(*words)
        untouched(scene, before)
        assert words[0] not in {"run", "spawn"} or str(place(scene)) in ran.err + ran.out, ran
    refused(scene)
    scene.check_invariants()


def test_the_way_out_of_a_refusal_is_the_one_that_it_names(scene: Scene) -> None:
    worktree(scene)
    hint = refusal(scene.orch("spawn", "1", "--yes")).partition("next: ")[2].strip()
    assert hint == f"git worktree remove {place(scene)}"
    (place(scene) / NOTES).rename(scene.folder / NOTES)
    scene.git(*hint.split()[1:])
    hint = refusal(scene.orch("spawn", "1", "--yes")).partition("next: ")[2].strip()
    assert hint.startswith("issue-orch spawn 1 --reuse")
    scene.orch("spawn", "1", "--yes", "--reuse", check=True)
    scene.wait_status(1, "complete")
    scene.check_invariants()


# -- starts that were killed


def killed(scene: Scene, pattern: str, *words: str, before: bool = False) -> None:
    """Run a command that is killed when it has run (or is about to run) a git command line like that."""
    real, bin = scene.git("--exec-path").strip() + "/git", scene.folder / "bin"
    bin.mkdir(exist_ok=True)
    run = "" if before else f'"{real}" "$@"\n'
    (bin / "git").write_text(
        f'#!/bin/sh\ncase "$*" in {pattern}) {run}kill -9 $PPID; exit 1;; esac\nexec "{real}" "$@"\n'
    )
    (bin / "git").chmod(0o755)
    (scene.clone / ".git" / "info" / "sparse-checkout").touch()  # so that no files are made ahead
    ran = scene.orch(
        *(words or ("spawn", "1", "--yes")), env={"PATH": f"{bin}:{scene.env['PATH']}"}
    )
    assert ran.code == -9, ran
    scene.wait(lambda: not scene.processes(), what="its supervisor ends with it")
    (scene.clone / ".git" / "info" / "sparse-checkout").unlink()


def killed_in_setup(scene: Scene) -> None:
    config, scene.config = scene.config, 'setup = [["sh", "-c", "kill -9 $PPID"]]\n' + scene.config
    scene.write_config()
    assert scene.orch("spawn", "1", "--yes").code == -9
    scene.config = config
    scene.write_config()
    scene.wait(lambda: not scene.processes(), what="its supervisor ends with it")


POINTS: dict[str, Callable[[Scene], None]] = {
    "before it looked": lambda scene: killed(scene, "*refs/heads/issue-1*", before=True),
    "before the branch": lambda scene: killed(scene, "*update-ref*", before=True),
    "after the branch": lambda scene: killed(scene, "*update-ref*"),
    "half registered": lambda scene: killed(scene, "*'worktree add'*"),
    "before the files": lambda scene: killed(scene, "read-tree*", before=True),
    "after the files": lambda scene: killed(scene, "read-tree*"),
    "setup": killed_in_setup,
}


@pytest.mark.wide(3)
@pytest.mark.parametrize(
    ("point", "words"),
    [
        *((point, ("spawn", "1", "--yes")) for point in POINTS),
        ("half registered", ("run", "--once")),
        ("setup", ("run", "--once")),
    ],
)
def test_a_start_of_ours_that_was_killed_is_taken_up(
    scene: Scene, point: str, words: tuple[str, ...]
) -> None:
    POINTS[point](scene)
    assert scene.status(1)["attempt"] == 0
    scene.orch(*words, check=True)
    scene.wait_status(1, "complete")
    assert len(scene.sandbox.pulls) == 1
    assert "locked" not in scene.git("worktree", "list", "--porcelain")
    scene.check_invariants()


def clear(scene: Scene) -> None:
    """A person removes what is there, knowing nothing of us."""
    scene.git("worktree", "remove", "--force", "--force", str(place(scene)), check=False)
    scene.git("branch", "-q", "-D", "issue-1", check=False)


@pytest.mark.wide(3)
@pytest.mark.parametrize(
    ("point", "name"),
    [
        ("before it looked", "worktree"),
        ("before it looked", "folder"),
        ("before the branch", "branch"),
        ("after the branch", "clean_worktree"),
        ("after the branch", "worktree_elsewhere"),
        ("half registered", "bare_worktree"),
        ("half registered", "branch_with_commits"),
        ("before the files", "worktree_of_another_branch"),
        ("after the files", "pointer"),
        ("setup", "worktree"),
        ("setup", "clean_worktree"),
    ],
)
def test_what_a_person_made_after_a_killed_start_is_not_taken(
    scene: Scene, point: str, name: str
) -> None:
    POINTS[point](scene)
    clear(scene)
    PERSON[name](scene)
    refused(scene, 2)


def test_whatever_is_typed_after_a_killed_start(scene: Scene) -> None:
    for typed in (
        [("resume", "1"), ("doctor", "--fix"), ("run", "--once")],
        [("spawn", "1", "--yes", "--reuse")],
        [("cancel", "1"), ("spawn", "1", "--yes"), ("prune", "1", "--cancelled")],
    ):
        killed_in_setup(scene)
        clear(scene)
        worktree(scene)
        before = seen(scene)
        for words in typed:
            ran = scene.orch(*words)
            assert "started" not in ran.out and seen(scene) == before, (words, ran)
            assert not scene.sandbox.pushes and not list(scene.folder.glob("prompt-*"))
        if "cancel" not in typed[0]:
            refused(scene, 1)
        clear(scene)


def test_a_worktree_on_the_branch_of_a_killed_start(scene: Scene) -> None:
    POINTS["after the branch"](scene)
    scene.git("worktree", "add", "-q", str(place(scene)), "issue-1")
    (place(scene) / NOTES).write_text("mine\n")
    refused(scene)


def test_a_branch_of_a_killed_start_that_somebody_worked_on(scene: Scene) -> None:
    POINTS["after the branch"](scene)
    scene.git("switch", "-q", "issue-1")
    scene.git("commit", "-q", "--allow-empty", "-m", "Mine")
    scene.git("switch", "-q", "main")
    refused(scene, 2)
    scene.orch("spawn", "1", "--yes", "--reuse", check=True)
    scene.wait_status(1, "complete")
    assert "Mine" in scene.git("log", "--format=%s", "issue-1")


def test_a_refused_start_leaves_no_branch(scene: Scene) -> None:
    POINTS["after the branch"](scene)
    folder(scene)
    for _ in range(2):
        assert "exists already\n  next: mv " in scene.orch("spawn", "1", "--yes").err
        assert not scene.git("branch", "--list", "issue-1") and not scene.status(1)
    (place(scene) / NOTES).rename(scene.folder / NOTES)
    scene.orch("spawn", "1", "--yes", check=True)
    scene.wait_status(1, "complete")


def test_doctor_forgets_a_killed_start_with_its_branch(scene: Scene) -> None:
    POINTS["after the branch"](scene)
    assert "forget its start" in scene.orch("doctor", "--fix").err
    assert not scene.git("branch", "--list", "issue-1")
    scene.orch("spawn", "1", "--yes", check=True)
    scene.wait_status(1, "complete")


def test_files_in_a_half_registered_worktree(scene: Scene) -> None:
    POINTS["half registered"](scene)
    (place(scene) / "README.md").write_text("mine\n")
    for _ in range(2):
        hint = refusal(scene.orch("spawn", "1", "--yes")).partition("next: ")[2].strip()
        assert (
            hint == f"mv {place(scene)} {place(scene)}.aside"
            and (place(scene) / "README.md").read_text() == "mine\n"
        )
    place(scene).rename(f"{place(scene)}.aside")
    scene.orch("spawn", "1", "--yes", check=True)
    scene.wait_status(1, "complete")


def test_guidance_for_a_killed_start_that_is_then_refused_is_kept(scene: Scene) -> None:
    POINTS["before it looked"](scene)
    scene.orch("tell", "1", "use tabs")
    worktree(scene)
    refusal(scene.orch("spawn", "1", "--yes"))
    assert not scene.status(1)
    assert any("use tabs" in path.read_text() for path in (scene.state / "archive").rglob("*.json"))


# -- what a person let go on


@pytest.mark.parametrize(
    ("point", "where"),
    [("before it looked", "here"), ("half registered", "on the remote"), ("setup", "here")],
)
def test_a_killed_start_goes_on_with_the_branch_that_it_was_given(
    scene: Scene, point: str, where: str
) -> None:
    branch_with_commits(scene)
    if where == "on the remote":
        scene.git("push", "-q", str(scene.sandbox.bare), "issue-1")
        scene.git("fetch", "-q")
        scene.git("branch", "-q", "-D", "issue-1")
    if point == "setup":
        scene.config = 'setup = [["sh", "-c", "kill -9 $PPID"]]\n' + scene.config
        scene.write_config()
        assert scene.orch("spawn", "1", "--yes", "--reuse").code == -9
        scene.config = scene.config.partition("\n")[2]
        scene.write_config()
    else:
        pattern = "*'worktree add'*" if point == "half registered" else "*read-tree*"
        killed(scene, pattern, "spawn", "1", "--yes", "--reuse", before=point == "before it looked")
    scene.orch("spawn", "1", "--yes", check=True)
    scene.wait_status(1, "complete")
    assert "Mine" in scene.git("log", "--format=%s", "issue-1")


def test_another_branch_than_the_one_that_it_was_given(scene: Scene) -> None:
    branch_with_commits(scene)
    killed(scene, "*'worktree add'*", "spawn", "1", "--yes", "--reuse", before=True)
    scene.git("branch", "-q", "-f", "issue-1", base(scene))
    refused(scene, 2)


# -- sessions that have worked


def replaced(scene: Scene) -> int:
    """A stuck session whose worktree a person removed, and made one by hand in its place."""
    number = scene.stuck()
    path = scene.worktree(number)
    scene.git("worktree", "remove", "--force", str(path))
    scene.git("worktree", "add", "-q", str(path), f"issue-{number}")
    (path / NOTES).write_text("mine\n")
    scene.agent(GRASP)
    return number


def test_nobody_is_sent_to_work_in_a_worktree_that_was_put_in_the_place_of_ours(
    scene: Scene,
) -> None:
    number = replaced(scene)
    path = scene.worktree(number)
    for words in (("answer", str(number), "left"), ("resume", str(number)), ("run", "--once")):
        ran = scene.orch(*words)
        assert "is another worktree than the one that was made for it" in ran.err + ran.out, (
            words,
            ran,
        )
    assert len(scene.events(number, "started")) == 1 and (path / NOTES).exists()
    scene.orch("cancel", str(number), check=True)
    ran = scene.orch("prune", str(number), "--cancelled")
    assert f"#{number}: kept: {path} is another worktree" in ran.out and (path / NOTES).exists()


def test_the_way_out_of_a_worktree_that_is_not_ours_is_the_one_that_doctor_names(
    scene: Scene,
) -> None:
    number = replaced(scene)
    path = scene.worktree(number)
    rows = [
        row
        for row in json.loads(scene.orch("doctor", "--json").out)["checks"]
        if row["name"] == "sessions"
    ]
    assert rows[0]["state"] == "error" and rows[0]["mend"].startswith(
        f"git worktree remove {path} "
    )
    assert "Nothing to mend" in scene.orch("doctor", "--fix").err
    (path / NOTES).unlink()
    scene.git("worktree", "remove", str(path))
    assert f"check issue-{number} out again" in scene.orch("doctor", "--fix").err
    scene.orch("answer", str(number), "left", check=True)
    scene.wait_status(number, "complete")


# -- what versions before marks left


def old_intent(scene: Scene, since: float) -> None:
    sha = base(scene)
    session = scene.state / "sessions" / "1"
    (session / "inbox" / "delivered").mkdir(parents=True)
    (session / "events.jsonl").write_text(
        json.dumps({"at": iso(since), "kind": "registered", "branch": "issue-1", "base": "main"})
        + "\n"
    )
    (session / "status.json").write_text(
        json.dumps(
            {
                "schemaVersion": 1,
                "id": "1",
                "issueNumber": 1,
                "issueTitle": "A task",
                "status": "registered",
                "branch": "issue-1",
                "worktreePath": str(place(scene)),
                "startedAt": iso(since),
                "repo": "acme/widgets",
                "base": "main",
                "baseSha": sha,
                "agent": "scripted",
                "attempt": 0,
                "failure": f"{place(scene)}: already a worktree of this clone",
            }
        )
    )


@pytest.mark.parametrize("name", ["worktree", "worktree_with_commits"])
def test_an_intent_of_before_marks_takes_nothing_of_a_person(scene: Scene, name: str) -> None:
    """As the first of two starts left it that were refused."""
    scene.orch("status", check=True)
    PERSON[name](scene)
    old_intent(scene, time.time())
    refused(scene)


def test_a_start_of_before_marks_that_was_killed_is_taken_up(scene: Scene) -> None:
    scene.orch("status", check=True)
    old_intent(scene, time.time() - 1)
    clean_worktree(scene)
    (admin(scene) / "issue-orch-checkout").touch()
    scene.orch("spawn", "1", "--yes", check=True)
    scene.wait_status(1, "complete")
    scene.check_invariants()


def test_a_session_of_before_marks_goes_on(scene: Scene) -> None:
    number = scene.stuck()
    (scene.clone / ".git" / "worktrees" / scene.worktree(number).name / "issue-orch-start").unlink()
    events = scene.state / "sessions" / str(number) / "events.jsonl"
    events.write_text(
        "".join(
            json.dumps({key: row[key] for key in row if key not in {"mark", "continues"}}) + "\n"
            for row in scene.events(number)
        )
    )
    scene.orch("answer", str(number), "left", check=True)
    scene.wait_status(number, "complete")
    scene.check_invariants()


def test_a_state_folder_that_was_removed_makes_nothing_ours(scene: Scene) -> None:
    """Nor does what an earlier life of this clone made: whose it was is not known any more."""
    scene.agent(COMPLETE)
    scene.orch("spawn", "1", check=True)
    scene.wait_status(1, "complete")
    scene.wait_quiet()
    os.rename(scene.state, scene.folder / "state")
    for _ in range(2):
        ran = scene.orch("spawn", "1", "--yes")
        assert ran.code == 1 and not (scene.state / "sessions" / "1").exists(), ran
