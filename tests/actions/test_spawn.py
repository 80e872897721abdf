"""What `spawn` does beside starting a worker: what it asks git and GitHub for, what it imports, what it leaves behind."""

from __future__ import annotations

import json
import subprocess

import pytest

from issue_orch.store.leases import probe
from tests.kit.scene import ENDLESS, Scene
from tests.repository.test_imports import LIST, PACKAGES


def move_base(scene: Scene) -> str:
    """Somebody else's commit on main."""
    return scene.sandbox.seed({"other.txt": "new\n"}, "Other")


@pytest.mark.parametrize("moved", [True, False])
@pytest.mark.parametrize(
    "key", ["credential.helper", "core.sshCommand", "remote.origin.uploadpack"]
)
def test_what_a_worker_planted_does_not_run_in_the_next_fetch(
    scene: Scene, key: str, moved: bool
) -> None:
    """Nor is it noted for the next worker as what was always there."""
    first, second = scene.issue(), scene.issue()
    scene.agent(ENDLESS)
    scene.orch("spawn", str(first), check=True)
    sha = move_base(scene) if moved else scene.git("rev-parse", "origin/main").strip()
    trap, program = scene.folder / "trap", scene.folder / "program"
    program.write_text(f"#!/bin/sh\ntouch {trap}\n")
    program.chmod(0o755)
    scene.git("config", key, f"!{program}" if key == "credential.helper" else str(program))
    ran = scene.orch("spawn", str(second))
    assert (
        ran.code == 1
        and f"{key.lower()} of the git configuration changed after #{first} started" in ran.err
    )
    assert not trap.exists() and not scene.status(second) and not probe(scene.state, second)
    assert "issue-2" not in scene.git("worktree", "list")
    scene.orch("conflicts")
    assert not trap.exists()
    scene.git("config", "--unset", key)
    scene.orch("spawn", str(second), check=True)
    assert scene.status(second)["baseSha"] == sha
    scene.orch("stop", "--all", check=True)


def test_work_starts_from_the_base_as_the_remote_has_it(scene: Scene) -> None:
    sha = move_base(scene)
    scene.git(
        "remote", "set-head", "origin", "--delete"
    )  # as in a clone made by `git init` and `git remote add`
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    assert scene.status(number)["baseSha"] == sha == scene.git("rev-parse", "origin/main").strip()
    scene.wait_status(number, "complete")
    scene.sandbox.default_branch = "trunk"
    scene.git("push", "-q", str(scene.sandbox.bare), f"{sha}:refs/heads/trunk")
    scene.git("remote", "set-head", "origin", "main")
    other = scene.issue()
    scene.orch("spawn", str(other), check=True)
    assert scene.status(other)["base"] == "trunk"
    scene.wait_status(other, "complete")


def test_a_start_that_fails_leaves_no_process_and_no_lease(scene: Scene) -> None:
    number = scene.issue()
    scene.git("branch", f"issue-{number}")
    ran = scene.orch("spawn", str(number))
    assert ran.code == 1 and "exists already" in ran.err
    assert not scene.processes() and not probe(scene.state, number) and not scene.status(number)


def test_a_supervisor_whose_command_ends_before_the_word_has_done_nothing(scene: Scene) -> None:
    """The setup command kills the one that runs it: no rolling back, no word."""
    number = scene.issue()
    scene.config = 'setup = [["sh", "-c", "kill -9 $PPID"]]\n' + scene.config
    scene.write_config()
    assert scene.orch("spawn", str(number)).code == -9
    scene.wait(lambda: not scene.processes(), what="the supervisor ends")
    # The system takes the memory of what ends, by which it was seen, before its files.
    scene.wait(lambda: probe(scene.state, number) is None, what="the lease is free")
    assert scene.status(number)["attempt"] == 0
    assert not list(scene.folder.glob("prompt-*"))
    scene.config = scene.config.partition("\n")[2]
    scene.write_config()
    scene.orch("spawn", str(number), check=True)
    scene.wait_status(number, "complete")


def test_spawn_reads_without_the_packages_that_it_does_not_need(scene: Scene) -> None:
    number = scene.issue()
    out = scene.folder / "modules"
    code = LIST.format(out=str(out), words=["spawn", str(number)])
    subprocess.run(
        [scene.command[0], "-P", "-c", code],
        cwd=scene.clone,
        env=scene.env,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    names = {name.partition(".")[0] for name in out.read_text().split()}
    assert not names & (PACKAGES - {"jinja2", "requests", "urllib3"} | {"asyncio", "tomli_w"})
    scene.wait_status(number, "complete")


def test_free_places_are_taken_in_the_order_given(scene: Scene) -> None:
    scene.config = scene.config.replace("max_workers = 9", "max_workers = 2")
    scene.write_config()
    scene.agent(ENDLESS)
    one, two, _, four = (scene.issue() for _ in range(4))
    ran = scene.orch("spawn", *map(str, (two, four, one)))
    assert ran.code == 1 and f"#{one}: all 2 places are taken by #{two}, #{four}" in ran.err, ran
    assert {*scene.sessions()} == {two, four}
    scene.orch("stop", "--all", check=True)


def test_a_start_is_told_when_it_has_happened(scene: Scene) -> None:
    """Not when all of them have."""
    wait = f"case $PWD in *-2) read -r _ < {scene.folder}/gate-setup ;; esac"
    scene.write_config(f"setup = [{json.dumps(['sh', '-c', wait])}]")
    scene.gate("setup")
    scene.agent(ENDLESS)
    one, two = scene.issue(), scene.issue()
    log = scene.folder / "run.log"
    with log.open("w") as file, scene.start("run", "--once", stdout=file, stderr=file) as run:
        scene.wait(lambda: f"#{one} started" in log.read_text(), what="the first is told")
        assert f"#{two} started" not in log.read_text() and run.poll() is None
        scene.release("setup")
        assert run.wait(scene.deadline) == 0
    assert f"#{two} started" in log.read_text()
    scene.orch("stop", "--all", check=True)
