"""kill -9, or a full disk, at every point of the commands that nobody watches: `run --once`, `prune`, `doctor --fix`.

As in test_crash.py: CRASH_POINTS=all runs every point, a number that many of each story, CRASH_SEED chooses others.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.kit.scene import ASK, COMPLETE, Scene, make_scene
from tests.promises.crash.test_crash import ENDLESS, HITS, Rig, allowed, sweep

WORDS = "left, I say"
LOOKS = 8  # passes until everything is done


def write_back(scene: Scene) -> None:
    scene.config += "write_back = true\n"
    scene.write_config()


def asked(scene: Scene) -> None:
    write_back(scene)
    scene.agent(ASK)
    scene.orch("spawn", "1", check=True)
    scene.wait_status(1, "stuck")


def answered(scene: Scene) -> None:
    asked(scene)
    scene.orch("run", "--once", check=True)
    scene.sandbox.comment(1, f"/answer {WORDS}", by="maria")


def ready(scene: Scene) -> None:
    scene.agent(COMPLETE)


def failing(scene: Scene) -> None:
    write_back(scene)
    scene.agent(COMPLETE)
    scene.orch("spawn", "1", check=True)
    scene.wait_status(1, "complete")
    [pull] = scene.sandbox.pulls.values()
    scene.sandbox.set_check(pull.head_sha, "test", "failure")


def cancelled(scene: Scene) -> None:
    begun(scene)
    (scene.worktree(1) / "loose.txt").write_text("loose\n")
    scene.orch("cancel", "1", check=True)


def begun(scene: Scene) -> None:
    scene.agent(ENDLESS)
    scene.orch("spawn", "1", check=True)
    scene.wait(lambda: scene.status(1)["status"] == "working")


def lost(scene: Scene) -> None:
    """A supervisor that was killed, its agent that lives on, and a worktree that somebody removed."""
    begun(scene)
    for pid in scene.supervisors():
        os.kill(pid, 9)
    scene.wait(lambda: not scene.supervisors())
    path = scene.worktree(1)
    shutil.rmtree(path)
    shutil.rmtree(scene.clone / ".git" / "worktrees" / path.name)
    (scene.clone / ".git" / "packed-refs.lock").write_text("")
    os.utime(scene.clone / ".git" / "packed-refs.lock", (1, 1))


def passes(scene: Scene, done: Callable[[], bool]) -> None:
    for _ in range(LOOKS):
        scene.orch("run", "--once")
        scene.wait(lambda: not scene.supervisors(), what="the supervisor ends")
        if done():
            return
    raise AssertionError(f"not done after {LOOKS} passes: {scene.describe()}")


def ours(scene: Scene) -> list[str]:
    """The marks of our comments."""
    found = (
        re.match(r"<!-- issue-orch:\S+ -->", each.body)
        for each in scene.sandbox.comments.get(1, {}).values()
    )
    return sorted(match[0] for match in found if match)


def prompts(scene: Scene) -> str:
    return "".join(path.read_text() for path in scene.folder.glob("prompt-1.*"))


def labels(scene: Scene) -> set[str]:
    return {label for label in scene.sandbox.issues[1].labels if label.startswith("orch:")}


def is_posted(scene: Scene) -> None:
    passes(scene, lambda: len(ours(scene)) == 2 and labels(scene) == {"orch:stuck"})
    assert scene.status(1)["status"] == "stuck", "nobody answered"


def is_answered(scene: Scene) -> None:
    passes(
        scene,
        lambda: (
            scene.status(1)["status"] == "complete"
            and any("**Answered**" in each.body for each in scene.sandbox.comments[1].values())
        ),
    )
    assert WORDS in prompts(scene), "the answer reached the worker"
    assert len(scene.sandbox.pulls) == 1


def is_solved(scene: Scene) -> None:
    passes(scene, lambda: scene.status(1).get("status") == "complete")
    assert len(scene.sandbox.pulls) == 1


def is_followed_up(scene: Scene) -> None:
    def done() -> bool:
        return (
            "test" in "".join(event["text"] for event in scene.events(1, "delivered"))
            and scene.status(1)["status"] == "complete"
            and len(list(scene.folder.glob("prompt-1.*"))) > 1
        )

    passes(scene, done)
    assert len(scene.sandbox.pulls) == 1
    [pull] = scene.sandbox.pulls.values()
    assert pull.head_sha == scene.git("rev-parse", "issue-1").strip()


def is_preserved(scene: Scene) -> None:
    scene.orch("prune", "1", "--cancelled")
    assert not (scene.folder / "widgets-issue-1").exists() and not scene.status(1)
    refs = scene.git("for-each-ref", "--format=%(refname)", "refs/issue-orch/preserved/1").split()
    kept = [scene.git("ls-tree", "--name-only", ref).split() for ref in refs]
    assert any({"begun-1.txt", "loose.txt"} <= set(names) for names in kept), (refs, kept)


def is_mended(scene: Scene) -> None:
    scene.orch("doctor", "--fix")
    assert not scene.workers() and not (scene.clone / ".git" / "packed-refs.lock").exists()
    scene.agent(COMPLETE)
    scene.orch("resume", "1", check=True)
    scene.wait_status(1, "complete")
    assert (scene.worktree(1) / "begun-1.txt").exists(), "its commits are there again"


class Story(NamedTuple):
    """What comes first, the command, the roles of processes to kill, and what must be reached all the same."""

    prepare: Callable[[Scene], None]
    command: tuple[str, ...]
    roles: tuple[str, ...]
    finish: Callable[[Scene], None]


ONCE = ("run", "--once")
STORIES = {
    "start": Story(ready, ONCE, ("run",), is_solved),
    "post": Story(asked, ONCE, ("run",), is_posted),
    "answer by comment": Story(answered, ONCE, ("run", "supervisor"), is_answered),
    "follow-up": Story(failing, ONCE, ("run", "supervisor", "helper"), is_followed_up),
    "prune cancelled": Story(cancelled, ("prune", "1", "--cancelled"), ("prune",), is_preserved),
    "doctor": Story(lost, ("doctor", "--fix"), ("doctor",), is_mended),
}
CASES = [(name, role) for name, story in STORIES.items() for role in story.roles]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    return Rig(tmp_path_factory.mktemp("rig") / "venv")


def play(rig: Rig, folder: Path, story: Story, plan: str) -> bool:
    folder.mkdir()
    rig.plan("off")
    with make_scene(folder) as scene:
        scene.issue()
        scene.command[0] = rig.python
        story.prepare(scene)
        rig.plan(plan)
        allowed(scene, scene.orch(*story.command))
        scene.check_invariants(quiet=False)
        story.finish(scene)
        scene.wait_quiet()
        marks = ours(scene)
        assert len(marks) == len(set(marks)), f"a comment twice: {marks}"
        scene.check_invariants()
    return rig.killed()


@pytest.mark.wide(6)
@pytest.mark.parametrize(("name", "role"), CASES)
@pytest.mark.parametrize("hit", HITS)
def test_hit_while_nobody_watches(rig: Rig, tmp_path: Path, hit: str, name: str, role: str) -> None:
    sweep(
        rig, name, role, hit, lambda folder, plan: play(rig, tmp_path / folder, STORIES[name], plan)
    )
