"""The core under any interleaving of people's commands, a worker's reports, crashes and time. Nothing is started."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from issue_orch.core import lifecycle
from issue_orch.core.history import Counters, Entry, Failed, Nudged, counters, entry_of
from issue_orch.core.lifecycle import HAPPENINGS, PHASES, TABLE, after
from issue_orch.core.outcomes import Ending, Outcome
from issue_orch.store.files import make_session, make_state
from issue_orch.store.history import append_entry, load_entries
from issue_orch.store.inbox import delivered, pending, receipt, send

LIMITS = lifecycle.Limits(retries=2, nudges=1)
OUTCOMES = sorted(get_args(Ending))


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("happening", HAPPENINGS)
def test_the_table_is_total(phase: Any, happening: Any) -> None:
    following = after(phase, happening)
    assert following is None or following in PHASES
    assert (following is None) == ((phase, happening) not in TABLE)
    if phase == "cancelled":
        assert following in (None, "cancelled"), "nothing leads out of cancelled"
    if happening == "cancelled":
        assert following == "cancelled", "everything can be cancelled"
    if following == "complete":
        assert happening == "settled", "complete is only what was settled"
    if phase == "stuck" and following == "working":
        assert happening == "answered"


class Machine(RuleBasedStateMachine):
    """A session with its real inbox and history on disk; supervisor, agent and GitHub are played by rules."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.state = make_state(self.folder.name)
        make_session(self.state, 1)
        self.phase: Any = "registered"
        self.hold: Any = None
        self.supervisor = self.agent = self.session = False
        self.question: str | None = None
        self.questions = 0
        self.carrying: list[Any] = []
        self.sent: set[str] = set()
        self.now = 1000.0
        self.step: lifecycle.Step | None = None
        self.in_a_row = 0

    def teardown(self) -> None:
        self.settle_down()
        self.folder.cleanup()

    # -- what the shell around the core does

    def inbox(self) -> list[Any]:
        return pending(self.state, 1)

    def counted(self) -> Counters:
        return counters(load_entries(self.state, 1))

    def note(self, kind: str, **fields: Any) -> None:
        append_entry(self.state, 1, entry_of({"kind": kind, **fields}), self.now)

    def happen(self, happening: Any) -> None:
        following = after(self.phase, happening)
        assert following is not None, f"{happening} when {self.phase}"
        self.phase = following
        if following != "stuck":
            self.question = None

    def begin(self) -> None:
        """A supervisor takes the lease."""
        self.supervisor = True
        resumes = [message["id"] for message in self.inbox() if message["kind"] == "resume"]
        if resumes:
            for message in self.inbox():
                if message["kind"] in {"pause", "stop", "resume"} and message["id"] <= resumes[-1]:
                    receipt(self.state, 1, message, self.now)
            self.note("resumed")
            self.hold = None
            if self.phase == "stuck" and self.question is None:
                self.happen("answered")
        self.look()

    def look(self) -> None:
        self.hear()
        self.step = lifecycle.before_running(self.situation(), self.session)

    def situation(self) -> lifecycle.Situation:
        return lifecycle.Situation(
            self.phase, self.hold, self.inbox(), self.counted(), False, LIMITS
        )

    def hear(self) -> None:
        fresh = lifecycle.unheard(self.inbox(), self.counted())
        if fresh:
            self.note("heard", messages=[message["id"] for message in fresh], person=True)

    def start_unless_alive(self) -> None:
        if not self.supervisor:
            self.begin()

    def leave(self) -> None:
        self.supervisor, self.step = False, None
        waiting = lifecycle.calling(self.phase, self.inbox(), self.counted())
        if self.phase == "cancelled" or self.hold:
            waiting &= {"resume"}
        if waiting:
            self.begin()

    # -- people

    @precondition(lambda self: self.phase != "cancelled")
    @rule(text=st.sampled_from(["left", "right"]))
    def answer(self, text: str) -> None:
        sent = send(self.state, 1, "guidance", text, "you", self.now, self.question)
        self.sent.add(sent.id)
        if not self.hold:
            self.start_unless_alive()

    @precondition(lambda self: self.phase != "cancelled")
    @rule(kind=st.sampled_from(["stop", "pause", "cancel"]))
    def control(self, kind: str) -> None:
        send(self.state, 1, kind, "", "you", self.now)
        if self.supervisor:
            return
        for message in self.inbox():
            if message["kind"] == kind:
                receipt(self.state, 1, message, self.now)
        if kind == "cancel":
            self.happen("cancelled")
            self.hold = None
        elif self.phase != "complete":
            self.hold = "paused" if kind == "pause" else "stopped"

    @precondition(lambda self: self.phase != "cancelled")
    @rule()
    def resume(self) -> None:
        send(self.state, 1, "resume", "", "you", self.now)
        self.start_unless_alive()

    # -- the worker

    @precondition(lambda self: self.agent)
    @rule(kind=st.sampled_from(["planning", "working", "stuck", "complete"]))
    def report(self, kind: str) -> None:
        carried = {message["id"] for message in self.carrying}
        unseen = [m for m in self.inbox() if m["kind"] == "guidance" and m["id"] not in carried]
        if kind == "complete":
            accepted = not unseen and self.phase in {"registered", "planning", "working"}
        else:
            accepted = after(self.phase, kind) is not None  # type: ignore[arg-type]
        self.note("report", report=kind, fields={}, accepted=accepted)
        if not accepted:
            return
        self.acknowledge()
        if kind != "complete":
            self.happen(kind)
        if kind == "stuck":
            self.questions += 1
            self.question = f"q{self.questions}"

    def acknowledge(self) -> None:
        for message in self.carrying:
            receipt(self.state, 1, message, self.now)
        self.carrying = []

    @precondition(lambda self: self.agent)
    @rule(kind=st.sampled_from(OUTCOMES))
    def agent_ends(self, kind: Any) -> None:
        self.agent = False
        outcome = Outcome(kind, "said", None)
        if kind in {"ended", "denied", "capped"}:
            self.acknowledge()
        self.carrying = []
        self.note("exit", outcome=kind)
        claimed = self.phase == "stuck" or self.counted().claim is not None
        if lifecycle.is_failure(outcome) and not claimed:
            self.note("failed", reason="said")
        if kind == "session_missing":
            self.session = False
        self.hear()
        self.step = lifecycle.after_run(self.situation(), outcome, self.now)

    # -- the supervisor takes its next step

    @precondition(lambda self: self.supervisor and not self.agent and self.step is not None)
    @rule(settled=st.sampled_from(["opened", "pending", "unready", "rejected"]))
    def perform(self, settled: str) -> None:
        step, self.step = self.step, None
        match step:
            case lifecycle.Go():
                self.go(step)
            case lifecycle.Wait(until, _):
                self.now = max(self.now, until)
                self.look()
            case lifecycle.Settle():
                self.settle(settled)
            case lifecycle.Stick():
                if self.phase == "complete":
                    self.happen("followed_up")
                self.note("gave_up")
                self.happen("stuck")
                self.question = None
                self.leave()
            case lifecycle.End():
                self.end(step)

    def go(self, step: lifecycle.Go) -> None:
        assert not self.agent, "one agent at a time"
        assert self.phase != "cancelled", "nothing starts for a cancelled session"
        guidance = [message for message in self.inbox() if message["kind"] == "guidance"]
        if step.template == "nudge":
            self.note("nudged")
        if guidance and self.phase in {"stuck", "complete"}:
            self.happen("answered" if self.phase == "stuck" else "followed_up")
        assert self.phase in {"registered", "planning", "working"}, (
            f"an agent starts when {self.phase}"
        )
        self.carrying, self.agent, self.session = guidance, True, True
        self.note("started")

    def settle(self, settled: str) -> None:
        if settled == "opened":
            self.happen("settled")
            self.note("settled")
        elif settled in ("unready", "rejected") and self.phase != "complete":
            self.note(settled)
            self.step = lifecycle.after_claim(settled, settled, self.counted(), LIMITS)  # type: ignore[arg-type]
            return
        self.leave()

    def end(self, step: lifecycle.End) -> None:
        for message in self.inbox():
            if message["kind"] != "guidance":
                receipt(self.state, 1, message, self.now)
        if step.cancelled and self.phase != "cancelled":
            self.happen("cancelled")
        if step.cancelled:
            self.hold = None
        elif step.hold and self.phase != "complete":
            self.hold = step.hold
        self.leave()

    # -- crashes and time

    @rule()
    def crash(self) -> None:
        """kill -9 of the worker; the message that was in flight has no receipt."""
        self.supervisor = self.agent = False
        self.carrying, self.step = [], None

    @precondition(
        lambda self: (
            not self.supervisor and self.phase not in {"cancelled", "complete"} and not self.hold
        )
    )
    @rule()
    def next_command(self) -> None:
        """Any later command takes up what a crash left."""
        if self.phase != "stuck":
            self.begin()

    @rule(seconds=st.floats(1, 90_000))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    # -- what holds always

    @invariant()
    def state_is_legal(self) -> None:
        assert self.phase in PHASES
        assert not (self.agent and not self.supervisor)
        assert not (self.question and self.phase != "stuck")
        if self.agent:
            assert self.phase != "complete"

    @invariant()
    def no_answer_is_lost(self) -> None:
        there = {message["id"] for message in [*self.inbox(), *delivered(self.state, 1)]}
        assert self.sent <= there

    def settle_down(self) -> None:
        """An honest worker and no more trouble: every receipt ends, in a bounded number of steps."""
        if self.phase == "cancelled":
            return
        self.crash()
        self.resume()
        for _ in range(60):
            if self.agent:
                self.report("complete")
                self.agent_ends("ended")
            elif self.supervisor and self.step is not None:
                self.perform("opened")
            elif not self.supervisor and self.phase != "complete" and not self.hold:
                self.answer("as you think")
            else:
                break
        assert self.phase in {"complete", "cancelled"}, (self.phase, self.hold, self.step)
        if self.phase == "complete":
            assert not [message for message in self.inbox() if message["kind"] == "guidance"], (
                "an answer waits for ever"
            )


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)


def test_attempts_are_bounded() -> None:
    """Whatever the agent's ends, without progress the session comes to a person after a bounded number of starts."""
    for kind in OUTCOMES:
        events: list[Entry] = []
        outcome, start = Outcome(kind, "said", None), 0
        while start < 20:
            start += 1
            if lifecycle.is_failure(outcome):
                events.append(Failed())
            at = lifecycle.Situation("working", None, [], counters(events), False, LIMITS)
            step = lifecycle.after_run(at, outcome, 0.0)
            if isinstance(step, lifecycle.Go) and step.template == "nudge":
                events.append(Nudged())
            if isinstance(step, lifecycle.Stick | lifecycle.End):
                break
        waits = {"rate_limited", "quota"}
        assert (start <= LIMITS.retries + 1) or kind in waits, f"{kind}: {start} starts"


def test_the_folder_of_state_is_private(tmp_path: Path) -> None:
    assert make_state(tmp_path).stat().st_mode & 0o777 == 0o700
