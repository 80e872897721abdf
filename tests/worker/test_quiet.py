"""A silent agent: shown as QUIET with the evidence, interrupted only when asked for, told why."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from issue_orch.agents.base import Command
from issue_orch.core.headline import Observed, headline
from issue_orch.core.outcomes import Tool, Turn
from issue_orch.store.files import load_status
from issue_orch.store.leases import take
from issue_orch.worker.agent_run import AgentRun
from issue_orch.worker.attempt import heartbeat, is_stalled
from issue_orch.worker.outbox import Bell
from issue_orch.worker.session import Session
from issue_orch.worker.supervisor import wakeup_pipe
from tests.kit.scene import Scene


@contextmanager
def held(scene: Scene, stall_after: float = 0) -> Iterator[tuple[Session, AgentRun]]:
    """A session as its supervisor holds it, and a run of its agent that began an hour ago."""
    number = scene.stuck()
    launch = scene.state / "sessions" / str(number) / "launch.json"
    launch.write_text(json.dumps({**json.loads(launch.read_text()), "stallAfter": stall_after}))
    with take(scene.state, number, "test"):
        session = Session(scene.state, number)
        session.status["status"] = "working"
        folder, nothing = str(session.folder), Command(("true",), "", {}, None)
        run = AgentRun(session.adapter, nothing, folder, folder, lambda *_: None, None)
        run.wall, run.started = run.wall - 3600, run.started - 3600
        yield session, run
        for _ in run.follow(wakeup_pipe(), Bell(folder)):
            pass


def shown(scene: Scene, session: Session, run: AgentRun, turn: Turn) -> tuple[str, str]:
    session.beaten, run.turn = 0.0, turn
    heartbeat(session, run)
    status = load_status(scene.state, session.number)
    assert status
    seen = headline(status, None, Observed("supervisor", 1.0))
    return seen.label, seen.why


def test_a_silent_agent_is_quiet_with_the_evidence_until_it_goes_on(scene: Scene) -> None:
    with held(scene) as (session, run):
        now = time.time()
        busy = Turn(
            activity="Bash: make",
            active_at=now - 1200,
            running=(Tool("1", "Bash: make", now - 1200),),
        )
        assert shown(scene, session, run, busy) == ("WORKING", "Bash: make"), "tools may run long"
        silent = Turn(activity="Reading", active_at=now - 2000)
        assert shown(scene, session, run, silent) == ("QUIET", "silent for 33 min, last: Reading")
        assert shown(scene, session, run, Turn()) == (
            "QUIET",
            "silent for 60 min, nothing seen yet",
        )
        run.turn = silent
        assert not is_stalled(session, run), "nothing is interrupted unless it is configured"
        assert shown(scene, session, run, silent._replace(active_at=now)) == ("WORKING", "Reading")


def test_after_the_configured_time_it_is_interrupted_and_the_evidence_is_noted_once(
    scene: Scene,
) -> None:
    with held(scene, stall_after=60) as (session, run):
        run.turn = Turn(activity="Reading", active_at=time.time() - 2000)
        assert is_stalled(session, run) and is_stalled(session, run)
        noted = [event for event in scene.events(session.number) if event["kind"] == "stalled"]
        assert [event["evidence"] for event in noted] == ["silent for 33 min, last: Reading"]


def test_a_worker_that_is_reminded_reads_how_its_turn_ended(scene: Scene) -> None:
    scene.agent(
        'if grep -q "What was seen: the agent ended its turn" "$prompt"; then report stuck --reason seen; fi\n'
    )
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    assert scene.wait_status(number, "stuck")["stuckReason"] == "seen"
