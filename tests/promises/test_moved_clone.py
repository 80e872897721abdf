"""A clone that was copied or moved: its sessions are worked on only from the clone to which their worktree leads."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.kit.scene import COMPLETE, Ran, Scene
from tests.promises.test_recovery import at_work


def copied(scene: Scene) -> str:
    copy = str(scene.folder / "copy")
    shutil.copytree(scene.clone, copy, symlinks=True)
    return copy


@pytest.mark.parametrize("supervised", [True, False])
def test_a_copy_starts_and_ends_nothing_of_the_first_clone(scene: Scene, supervised: bool) -> None:
    number = at_work(scene)
    copy = copied(scene)
    if not supervised:
        for pid in scene.supervisors():
            os.kill(pid, signal.SIGKILL)
        scene.wait(lambda: not scene.supervisors(), what="the supervisor is gone")
    before = sorted(scene.workers())
    said = scene.orch("status", cwd=copy).out
    assert "ELSEWHERE" in said and str(scene.clone) in said and "gone" not in said
    for words in (("resume",), ("tell", "go on"), ("pause",), ("stop",), ("cancel",)):
        name, *text = words
        ran: Ran = scene.orch(name, str(number), *text, cwd=copy)
        assert ran.code == 1 and f"another clone, {scene.clone}" in " ".join(ran.err.split()), words
    kept = list((Path(copy) / ".git/issue-orch/sessions" / str(number) / "inbox").glob("*.json"))
    assert not kept, "what was refused does not lie there for later"
    said = " ".join(scene.orch("doctor", "--fix", cwd=copy).out.split())
    assert f"belongs to another clone, {scene.clone}" in said
    assert sorted(scene.workers()) == before, "nothing was started, and nothing ended"
    assert scene.orch("stop", str(number), check=True).out == f"#{number}: stopped\n"
    assert not scene.workers()


@pytest.mark.parametrize("stopped", [True, False])
def test_a_moved_clone_is_repaired_and_goes_on(scene: Scene, stopped: bool) -> None:
    number = at_work(scene)
    for pid in scene.supervisors() if not stopped else ():
        os.kill(pid, signal.SIGKILL)
    moved = scene.folder / "moved"
    first = scene.clone
    first.rename(moved)
    scene.clone = moved
    if stopped:
        assert "stopped" in scene.orch("stop", str(number), cwd=moved, check=True).out
    repair = f"git worktree repair ../widgets-issue-{number}"
    refused = scene.orch("resume", str(number), cwd=moved)
    assert refused.code == 1 and f"next: {repair}" in refused.err
    assert repair in scene.orch("doctor", "--fix", cwd=moved).out
    assert "ELSEWHERE" in scene.orch("status", cwd=moved).out
    scene.git("worktree", "repair", f"../widgets-issue-{number}", cwd=moved)
    assert "ELSEWHERE" not in scene.orch("status", cwd=moved).out
    scene.agent(COMPLETE)
    assert scene.orch("resume", str(number), cwd=moved, check=True).out == f"#{number}: resumed\n"
    scene.wait_status(number, "complete")
    scene.check_invariants()


def test_an_answer_in_a_copy_is_refused_before_it_is_written(scene: Scene) -> None:
    number = scene.stuck()
    copy = copied(scene)
    refused = scene.orch("answer", str(number), "left", cwd=copy)
    assert refused.code == 1 and f"another clone, {scene.clone}" in " ".join(refused.err.split())
    assert not list(
        (Path(copy) / ".git/issue-orch/sessions" / str(number) / "inbox").glob("*.json")
    )
    assert "delivered" in scene.orch("answer", str(number), "right", check=True).out
    scene.wait_status(number, "complete")
