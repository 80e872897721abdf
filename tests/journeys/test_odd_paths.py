"""Clones at paths that few programs expect: they work, or it is said that they do not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from issue_orch.git.removal import mounts_of
from tests.kit.scene import COMPLETE, make_scene

EVERY = (
    "status", "status --json", "plan", "plan --json", "show 1", "show 1 --json", "logs 1", "conflicts", "costs",
    "costs --json", "doctor", "doctor --json", "doctor --fix", "init --approve", "prune --dry-run",
)  # fmt: skip


@pytest.mark.parametrize("odd", ['tab\there "quo\'te" back\\slash $(id) ', "non\udcffutf8"])
def test_a_clone_at_an_odd_path_works(tmp_path: Path, odd: str) -> None:
    with make_scene(tmp_path, f"{odd}/widgets") as scene:
        number = scene.stuck()
        assert scene.worktree(number).parent.name == odd
        for words in EVERY:
            ran = scene.orch(*words.split())
            assert ran.code in (0, 1) and "bug:" not in ran.err, (words, ran)
            assert "#1: its" not in ran.out + ran.err, (words, ran)
        for cwd in (scene.clone, scene.worktree(number)):
            assert scene.orch("show", cwd=cwd).code == (0 if cwd != scene.clone else 2)
        scene.agent("exec tail -f /dev/null > /dev/null\n")
        scene.orch("answer", str(number), "left", check=True)
        assert scene.workers()
        assert scene.orch("stop", str(number), check=True).out == f"#{number}: stopped\n"
        assert not scene.processes()
        scene.agent(COMPLETE)
        scene.orch("resume", str(number), check=True)
        scene.wait_status(number, "complete")
        scene.check_invariants()
        scene.sandbox.person.merge(scene.pull_of(number))
        path = scene.worktree(number)
        assert "removed" in scene.orch("prune", check=True).out and not path.exists()


def test_a_path_with_a_line_break_is_refused_by_every_command(tmp_path: Path) -> None:
    with make_scene(tmp_path, "new\nline/widgets") as scene:
        scene.issue()
        (scene.clone / "src").mkdir(exist_ok=True)
        refused = (
            "plan",
            "spawn 1",
            "run --once",
            "doctor --fix",
            "init --yes",
            "prune",
            "conflicts",
        )
        for words in refused:
            for cwd in (scene.clone, scene.clone / "src"):
                ran = scene.orch(*words.split(), cwd=cwd)
                said = " ".join(ran.err.split())
                assert ran.code == 1, (words, ran)
                assert "a path with a line break in it is not supported" in said, (words, ran)
                assert "next: mv the clone to a path without one" in said, (words, ran)
        for words in (
            "status",
            "show 1",
            "answer 1 x",
            "report working",
        ):  # nothing of git's is read
            ran = scene.orch(*words.split())
            assert ran.code in (0, 1, 2) and "bug:" not in ran.err, (words, ran)
        assert not os.listdir(scene.clone.parent)[1:], "nothing was made beside it"
        assert not scene.processes()


@pytest.mark.parametrize("name", ["a b\\c", "tab\there", "wïdgets", "non\udcffutf8"])
def test_a_mount_of_an_odd_name_is_known(name: str) -> None:
    """What is mounted inside of a worktree would go with it. As Linux spells it."""
    raw = (
        os.fsencode(name).replace(b"\\", b"\\134").replace(b" ", b"\\040").replace(b"\t", b"\\011")
    )
    table = f"36 35 98:0 / /mnt/{os.fsdecode(raw)} rw,noatime shared:1 - ext4 /dev/vda rw\n"
    assert mounts_of(table) == [f"/mnt/{name}"]
