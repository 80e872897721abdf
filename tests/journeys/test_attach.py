"""`attach`: a person takes a session over in a terminal, and gives it back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.scene import ENDLESS, Scene, make_scene


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with make_scene(tmp_path) as made:
        shell = tmp_path / "shell"
        shell.write_text(
            '#!/bin/sh\npwd > "$HOME/was-here"\necho "$ISSUE_ORCH_WORKER" >> "$HOME/was-here"\nexit 7\n'
        )
        shell.chmod(0o755)
        made.env["SHELL"] = str(shell)
        yield made


def in_terminal(scene: Scene, *words: str) -> tuple[int, str]:
    """Run issue-orch with a terminal as its input; returns code and what it said on stderr."""
    master, slave = os.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "issue_orch", *words],
            cwd=scene.clone,
            env=scene.env,
            stdin=slave,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(master)
        os.close(slave)
    return done.returncode, done.stderr


def test_a_stuck_session_is_taken_over_and_left_as_it_was(scene: Scene) -> None:
    number = scene.stuck()
    code, said = in_terminal(scene, "attach", str(number))
    assert code == 7 and "nothing was running before" in said
    where, marker = (scene.home / "was-here").read_text().split()
    assert (where, marker) == (str(scene.worktree(number)), f"{number}.1")
    assert scene.headline(number) == "STUCK"


def test_a_running_worker_makes_room_and_goes_on(scene: Scene) -> None:
    scene.agent(ENDLESS)
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    code, said = in_terminal(scene, "attach", str(number), "--now")
    assert code == 7 and "the worker goes on" in said
    scene.wait(
        lambda: scene.status(number)["attempt"] == 2 and scene.workers(), what="the worker is back"
    )
    assert scene.status(number)["hold"] is None
    scene.orch("stop", str(number), check=True)


def test_without_a_terminal_it_says_so(scene: Scene) -> None:
    done = scene.orch("attach", "1")
    assert done.code == 2 and "needs a terminal" in done.err
