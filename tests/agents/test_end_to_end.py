"""The unmodified agents as workers: from a ready issue through spawn, stuck and answer to a recorded pull."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.agents import clis
from tests.agents.kit import AGENTS, commit, sign_in
from tests.agents.model_server import Failure, ModelServer, Script, Step, serving
from tests.kit.scene import REPORT, Scene, make_scene

pytestmark = pytest.mark.agents
each = pytest.mark.parametrize("agent", AGENTS)

ASK = f"{REPORT} report stuck --decision 'Which way?' --option left --option right --default left"


def complete(title: str) -> Step:
    return Step(run=f"{REPORT} report complete --title '{title}' --body 'As asked.'")


def plan(name: str) -> Step:
    return Step(say="A plan.", run=f"{REPORT} report planning --touches {name}")


@contextmanager
def at_work(agent: str, script: Script, folder: Path) -> Iterator[tuple[Scene, ModelServer]]:
    """A scene whose agent is this CLI, signed in to a server that plays the script."""
    program = clis.program(agent)
    if program is None:
        pytest.skip(
            f"{agent} is not in {clis.FOLDER.name}: scripts/test --agents installs it (needs npm)"
        )
    with serving(script) as server, make_scene(folder) as scene:
        new = sign_in(agent, scene.home, server.url)
        scene.env |= {name: value for name, value in new.items() if name not in os.environ}
        scene.config = scene.config.replace('agent = "scripted"', f'agent = "{agent}"')
        scene.write_config()
        with (scene.home / ".config" / "issue-orch" / "config.toml").open("a") as file:
            file.write(f'[agents.{agent}]\ncommand = ["{program}"]\n')
        yield scene, server


@each
def test_from_an_issue_to_its_pull_with_a_question_on_the_way(agent: str, tmp_path: Path) -> None:
    script = {
        "TASK-ONE": [
            plan("one"),
            commit("one")._replace(failures=(Failure(500),)),
            Step(run=ASK),
            Step(say="Waiting."),
        ],
        "go LEFT": [commit("two"), complete("Go left"), Step(say="Done.")],
    }
    with at_work(agent, script, tmp_path) as (scene, server):
        number = scene.issue("A task", "Please do TASK-ONE.")
        scene.orch("spawn", str(number), "--yes", check=True)
        status = scene.wait_status(number, "stuck")
        assert status["question"]["decision"] == "Which way?", scene.describe()
        session = status["agentSessionId"]
        assert session and not scene.workers()
        assert scene.headline(number) == "STUCK"
        scene.orch("answer", str(number), "Please go LEFT.", check=True)
        status = scene.wait_status(number, "complete")
        assert status["agentSessionId"] == session
        assert status["pullRequestUrl"]
        assert [key for _, key, _ in server.seen].count("go LEFT") == 3
        assert scene.git("log", "--format=%s", f"issue-{number}").splitlines()[:2] == [
            "Add two",
            "Add one",
        ]
        assert status["cost"]["inputTokens"] >= 1200 * 7
        scene.check_invariants()


# Where each keeps its sessions, below HOME.
SESSIONS = {
    "claude": ".claude/projects",
    "codex": ".codex/sessions",
    "opencode": ".local/share/opencode",
    "gemini": ".gemini/tmp",
}


@each
def test_a_session_that_is_lost_while_stuck_is_replaced_by_a_fresh_one(
    agent: str, tmp_path: Path
) -> None:
    """Its prompt holds the task and all guidance so far."""
    script = {
        "go LEFT": [commit("two"), complete("Go left"), Step(say="Done.")],
        "TASK-ONE": [commit("one"), Step(run=ASK), Step(say="Waiting.")],
    }
    with at_work(agent, script, tmp_path) as (scene, server):
        number = scene.issue("A task", "Please do TASK-ONE.")
        scene.orch("spawn", str(number), "--yes", check=True)
        lost = scene.wait_status(number, "stuck")["agentSessionId"]
        scene.wait_quiet()
        shutil.rmtree(scene.home / SESSIONS[agent])
        scene.orch("answer", str(number), "Please go LEFT.", check=True)
        status = scene.wait_status(number, "complete", "stuck")
        assert status["status"] == "complete" and status["agentSessionId"] != lost, scene.describe()
        assert all("TASK-ONE" in body for body in server.bodies if "go LEFT" in body)
        scene.check_invariants()


@each
def test_tell_now_interrupts_a_tool_and_resumes_the_same_session(
    agent: str, tmp_path: Path
) -> None:
    script = {
        "TASK-ONE": [commit("one"), Step(run="touch .issue-orch/started; exec sleep 600")],
        "go LEFT": [commit("two"), complete("Go left"), Step(say="Done.")],
    }
    with at_work(agent, script, tmp_path) as (scene, _):
        number = scene.issue("A task", "Please do TASK-ONE.")
        scene.orch("spawn", str(number), "--yes", check=True)
        scene.wait(
            lambda: (scene.worktree(number) / ".issue-orch" / "started").exists(),
            what="the tool runs",
        )
        scene.wait(lambda: scene.status(number)["agentSessionId"], what="the session is known")
        session = scene.status(number)["agentSessionId"]
        scene.orch("tell", str(number), "--now", "Please go LEFT.", check=True)
        status = scene.wait_status(number, "complete", "stuck")
        assert status["status"] == "complete" and status["agentSessionId"] == session, (
            scene.describe()
        )
        assert scene.git("log", "--format=%s", f"issue-{number}").splitlines()[:2] == [
            "Add two",
            "Add one",
        ]
        scene.check_invariants()


@each
def test_the_supervisor_is_killed_in_the_middle_of_a_tool(agent: str, tmp_path: Path) -> None:
    script = {
        "TASK-ONE": [commit("one"), Step(run="touch .issue-orch/started; exec sleep 60")],
        "You were interrupted": [commit("two"), complete("Two steps"), Step(say="Done.")],
    }
    with at_work(agent, script, tmp_path) as (scene, _):
        number = scene.issue("A task", "Please do TASK-ONE.")
        scene.orch("spawn", str(number), "--yes", check=True)
        scene.wait(
            lambda: (scene.worktree(number) / ".issue-orch" / "started").exists(),
            what="the tool runs",
        )
        for pid in scene.supervisors():
            os.kill(pid, signal.SIGKILL)
        scene.wait(lambda: scene.headline(number) == "CRASHED", what="the crash is seen")
        scene.orch("resume", str(number), check=True)
        status = scene.wait_status(number, "complete", "stuck")
        assert status["status"] == "complete", scene.describe()
        assert scene.git("log", "--format=%s", f"issue-{number}").splitlines()[:2] == [
            "Add two",
            "Add one",
        ]
        scene.check_invariants()


@each
def test_two_workers_at_once(agent: str, tmp_path: Path) -> None:
    script = {
        key: [commit(name), complete(f"Add {name}"), Step(say="Done.")]
        for key, name in (("TASK-ONE", "one"), ("TASK-TWO", "two"))
    }
    with at_work(agent, script, tmp_path) as (scene, _):
        numbers = [
            scene.issue("A task", "Please do TASK-ONE."),
            scene.issue("Another", "Please do TASK-TWO."),
        ]
        scene.orch("spawn", *map(str, numbers), "--yes", check=True)
        for number, name in zip(numbers, ("one", "two"), strict=True):
            scene.wait_status(number, "complete")
            assert scene.git("log", "-1", "--format=%s", f"issue-{number}").strip() == f"Add {name}"
        scene.check_invariants()


@each
def test_stop_leaves_no_process_and_resume_goes_on(agent: str, tmp_path: Path) -> None:
    script = {
        "TASK-ONE": [
            commit("one"),
            Step(run="touch .issue-orch/started; sleep 60 & exec sleep 61"),
        ],
        "You were interrupted": [complete("One step"), Step(say="Done.")],
    }
    with at_work(agent, script, tmp_path) as (scene, _):
        number = scene.issue("A task", "Please do TASK-ONE.")
        scene.orch("spawn", str(number), "--yes", check=True)
        scene.wait(
            lambda: (scene.worktree(number) / ".issue-orch" / "started").exists(),
            what="the tool runs",
        )
        assert any("sleep" in line for _, line, _ in scene.processes())
        scene.orch("stop", str(number), check=True)
        scene.wait_quiet(deadline=20)
        assert scene.headline(number) == "STOPPED"
        scene.orch("resume", str(number), check=True)
        assert scene.wait_status(number, "complete", "stuck")["status"] == "complete", (
            scene.describe()
        )
        scene.check_invariants()
