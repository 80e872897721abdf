"""`attach`: a person takes a session over in a terminal, and gives it back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.kit.scene import COMPLETE, ENDLESS, Scene, make_scene


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
    assert code == 7 and f"#{number}: it asks: Which way?" in said
    assert f'next: issue-orch answer {number} "…"' in said
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


def test_a_question_that_is_held_is_named_with_both_commands(scene: Scene) -> None:
    number = scene.stuck()
    scene.orch("stop", str(number), check=True)
    _, said = in_terminal(scene, "attach", str(number))
    assert f'next: issue-orch answer {number} "…"; issue-orch resume {number}' in said


def hold_shell(scene: Scene) -> None:
    """What attach opens stays open until the gate is released."""
    scene.gate("go")
    begin = 'echo $$ > "$HOME/attached"'
    script = f'#!/bin/sh\n{begin}; read -r _ < "{scene.folder}/gate-go"\n'
    (scene.folder / "shell").write_text(script)


def test_what_is_left_by_attach_is_named_where_nothing_is_asked(scene: Scene) -> None:
    scene.agent(ENDLESS)
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.orch("stop", str(number), check=True)
    _, said = in_terminal(scene, "attach", str(number))
    assert f"nothing was running before; issue-orch resume {number}" in said


@pytest.mark.parametrize("words", [("answer", "left"), ("tell", "go left"), ("answer", "2")])
def test_guidance_while_somebody_is_attached_is_taken_when_attach_ends(
    scene: Scene, words: tuple[str, str]
) -> None:
    """What is said is true: nobody takes it now, and nobody has to start the worker afterwards."""
    number = scene.stuck()
    command, text = words
    hold_shell(scene)
    with ThreadPoolExecutor(1) as pool:
        attached = pool.submit(in_terminal, scene, "attach", str(number))
        scene.wait((scene.home / "attached").exists, what="attach")
        told = scene.orch(command, str(number), text, check=True)
        assert "queued: somebody is attached to it (pid " in told.err + told.out
        assert "it is taken when attach ends" in told.err + told.out
        scene.release("go")
        _, said = attached.result()
    assert "the worker goes on" in said
    assert scene.wait_status(number, "complete")["question"] is None
    scene.wait_quiet()


def test_resume_while_somebody_is_attached_waits_for_the_end_of_attach(scene: Scene) -> None:
    scene.agent(ENDLESS)
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.orch("stop", str(number), check=True)
    scene.agent(COMPLETE)
    hold_shell(scene)
    with ThreadPoolExecutor(1) as pool:
        attached = pool.submit(in_terminal, scene, "attach", str(number))
        scene.wait((scene.home / "attached").exists, what="attach")
        told = scene.orch("resume", str(number), check=True)
        assert "the worker starts when attach ends" in told.err + told.out
        scene.release("go")
        attached.result()
    scene.wait_status(number, "complete")
    scene.wait_quiet()


@pytest.mark.parametrize(
    ("agent", "words"),
    [("claude", "`No, exit` is chosen"), ("codex", "`Open restricted`"), ("opencode", "")],
)
def test_a_person_is_prepared_for_the_first_dialogue(scene: Scene, agent: str, words: str) -> None:
    """Said before the agent's own terminal opens."""
    number = scene.stuck()
    cli = scene.folder / "cli"
    cli.write_text('#!/bin/sh\necho "opened $*" >&2\n')
    cli.chmod(0o755)
    with (scene.home / ".config" / "issue-orch" / "config.toml").open("a") as file:
        file.write(f'[agents.{agent}]\ncommand = ["{cli}"]\n')
    path = scene.state / "sessions" / str(number) / "status.json"
    path.write_text(json.dumps({**scene.status(number), "agent": agent, "agentSessionId": "s-1"}))
    _, said = in_terminal(scene, "attach", str(number))
    before, opened, _ = said.partition("opened")
    assert opened and words in before and bool(before) == bool(words)
