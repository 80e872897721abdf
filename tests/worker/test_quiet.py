"""A silent agent: shown as QUIET with the evidence, interrupted only when asked for, told why."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from issue_orch.core.headline import Observed, headline
from issue_orch.core.outcomes import Tool, Turn
from issue_orch.store.files import load_status
from issue_orch.store.leases import take
from issue_orch.worker.session import Session
from tests.kit.scene import Scene, make_scene


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with make_scene(tmp_path) as made:
        yield made


@contextmanager
def held(scene: Scene, stall_after: float = 0) -> Iterator[Session]:
    """A session as its supervisor holds it, of an agent that ran an hour ago."""
    number = scene.stuck()
    launch = scene.state / "sessions" / str(number) / "launch.json"
    launch.write_text(json.dumps({**json.loads(launch.read_text()), "stallAfter": stall_after}))
    with take(scene.state, number, "test"):
        session = Session(scene.state, number, None)
        session.status["status"] = "working"
        session.run_since, session.run_steady = time.time() - 3600, time.monotonic() - 3600
        yield session


def shown(scene: Scene, session: Session, turn: Turn) -> tuple[str, str]:
    session.beaten = 0.0
    session.heartbeat(turn)
    status = load_status(scene.state, session.number)
    assert status
    seen = headline(status, None, Observed("supervisor", 1.0))
    return seen.label, seen.why


def test_a_silent_agent_is_quiet_with_the_evidence_until_it_goes_on(scene: Scene) -> None:
    with held(scene) as session:
        now = time.time()
        busy = Turn(
            activity="Bash: make",
            active_at=now - 1200,
            running=(Tool("1", "Bash: make", now - 1200),),
        )
        assert shown(scene, session, busy) == ("WORKING", "Bash: make"), "tools may run long"
        silent = Turn(activity="Reading", active_at=now - 2000)
        assert shown(scene, session, silent) == ("QUIET", "silent for 33 min, last: Reading")
        assert shown(scene, session, Turn()) == ("QUIET", "silent for 60 min, nothing seen yet")
        assert session.stalled(silent) is None, "nothing is interrupted unless it is configured"
        assert shown(scene, session, silent._replace(active_at=now)) == ("WORKING", "Reading")


def test_after_the_configured_time_it_is_interrupted_and_the_evidence_is_noted_once(
    scene: Scene,
) -> None:
    with held(scene, stall_after=60) as session:
        silent = Turn(activity="Reading", active_at=time.time() - 2000)
        assert [session.stalled(silent), session.stalled(silent)] == ["interrupt", "interrupt"]
        noted = [event for event in scene.events(session.number) if event["kind"] == "stalled"]
        assert [event["evidence"] for event in noted] == ["silent for 33 min, last: Reading"]


def test_a_worker_that_is_reminded_reads_how_its_turn_ended(scene: Scene) -> None:
    scene.agent(
        'if grep -q "What was seen: the agent ended its turn" "$prompt"; then report stuck --reason seen; fi\n'
    )
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    assert scene.wait_status(number, "stuck")["stuckReason"] == "seen"
