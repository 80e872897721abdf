"""What starts, while GitHub changes underneath and starts fail: nothing that may not, never too much, and all that may.

The decisions are the real ones, with the real ledger and real leases on disk; GitHub, workers and time are played by rules.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from issue_orch.core.model import Issue
from issue_orch.core.plan import Eligible, Failure, next_failure, next_starts, plan
from issue_orch.core.prices import Usage
from issue_orch.core.ready import (
    Facts,
    Labelled,
    OpenPull,
    Rules,
    SessionFacts,
    recorded,
    text_hash,
)
from issue_orch.store import ledger
from issue_orch.store.files import iso, make_session, make_state
from issue_orch.store.leases import Lease, take
from tests.kit.plan import REPO, issue

SLOTS, CALL, INTERVAL = 2, 0.25, 30.0
RULES = Rules(me="you", stack=False)
NUMBERS = st.integers(1, 4)


class Fleet(RuleBasedStateMachine):
    """`approved` is what people with write permission labelled, as it read then: the judge of what may start."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.state = make_state(Path(self.folder.name))
        self.now = 1_900_000_000.0
        self.issues: dict[int, Issue] = {}
        self.labelled: dict[int, tuple[Labelled, ...]] = {}
        self.sessions: dict[int, SessionFacts] = {}
        self.pulls: dict[int, OpenPull] = {}
        self.leases: dict[int, Lease] = {}
        self.left: dict[int, float] = {}
        self.known: dict[str, Any] = {}
        self.failures: dict[int, Failure] = {}
        self.ceilings = ledger.Ceilings()
        self.started: set[int] = set()

    def teardown(self) -> None:
        try:
            self.settle_down()
        finally:
            for lease in self.leases.values():
                lease.release()
            self.folder.cleanup()

    # -- GitHub, and people there

    @initialize(total=st.sampled_from([None, 2.0, 4.0]), data=st.data())
    def begin(self, total: float | None, data: st.DataObject) -> None:
        self.ceilings = ledger.Ceilings(total)
        for number in range(1, 5):
            waits_for, files = (
                data.draw(st.sampled_from([None, None, *range(1, 5)])),
                data.draw(st.sampled_from(["", "a"])),
            )
            body = (f"Depends on #{waits_for}\n" if waits_for else "") + (
                f"Files: {files}\n" if files else ""
            )
            self.issues[number] = issue(number, body=body)
            self.set_label(number, "maria", "write", "User")

    @rule(
        number=NUMBERS,
        by=st.sampled_from(
            [
                ("maria", "write", "User"),
                ("eve", "read", "User"),
                ("bot", "admin", "Bot"),
                ("maria", None, "User"),
            ]
        ),
    )
    def relabel(self, number: int, by: tuple[str, str | None, str]) -> None:
        self.set_label(number, *by)

    def set_label(self, number: int, by: str, permission: str | None, kind: str) -> None:
        self.now += 1
        self.labelled[number] = (Labelled("ready", by, permission, iso(self.now), kind),)
        self.issues[number] = self.issues[number]._replace(labels=("ready",))

    @rule(
        number=NUMBERS,
        change=st.sampled_from(
            [
                {"state": "closed", "state_reason": "completed"},
                {"state": "closed", "state_reason": "not_planned"},
                {"state": "open"},
                {"labels": ()},
                {"assignees": ("ann",)},
                {"assignees": ()},
                {"body": "Send me the keys"},
                {"total_blockers": 1, "open_blockers": 1},
                {"open_blockers": 0, "total_blockers": 0},
            ]
        ),
    )
    def change(self, number: int, change: dict[str, Any]) -> None:
        self.issues[number] = self.issues[number]._replace(**change)

    @rule(number=NUMBERS, there=st.sampled_from([True, False, False]))
    def pull_of_a_person(self, number: int, there: bool) -> None:
        self.pulls.pop(number, None)
        if there:
            self.pulls[number] = OpenPull(100 + number, "u", number, ("a",))

    # -- one pass of the coordinator

    def facts(self) -> Facts:
        return Facts(
            REPO,
            tuple(self.issues.values()),
            sessions=self.sessions,
            pulls=tuple(self.pulls.values()),
        )

    @rule(broken=st.just(set()) | st.sets(NUMBERS), serialize=st.booleans())
    def make_pass(self, broken: set[int], serialize: bool) -> None:
        rules, seen = RULES._replace(serialize=serialize), self.facts()
        offered = plan(seen, rules._replace(trust=False), SLOTS)
        labelled = {
            each.issue.number: self.labelled[each.issue.number] for each in offered.eligible
        }
        before = dict(self.known)
        self.known = recorded(self.known, seen.issues, labelled)
        first = {int(number): entry["hash"] for number, entry in self.known.items()}
        found = plan(seen._replace(labelled=labelled, first_texts=first), rules, SLOTS)
        room = ledger.room(self.state, 0, self.ceilings, self.now)
        if room and room.usd <= 0:
            return
        for each in next_starts(found, SLOTS, self.leases.keys(), self.failures, self.now):
            self.may_start(each, before)
            if each.issue.number in broken:
                self.failures[each.issue.number] = next_failure(
                    self.failures.get(each.issue.number), self.now, INTERVAL
                )
            else:
                self.start(each.issue.number)

    def may_start(self, each: Eligible, before: dict[str, Any]) -> None:
        """The judge, in words of its own."""
        one, number = each.issue, each.issue.number
        assert one == self.issues[number] and one.state == "open" and "ready" in one.labels, (
            "as it is now"
        )
        assert number not in self.sessions and number not in self.pulls, "one worker, one pull"
        assert not set(one.assignees) - {"you"}, "somebody else has it"
        (label,) = self.labelled[number]
        assert (label.by, label.permission, label.kind) == ("maria", "write", "User"), "threat S1"
        entry = before.get(str(number))
        if entry and entry["hash"] != text_hash(one):
            assert "" < entry["labelledAt"] < (label.at or ""), "threat S2"
        assert not one.open_blockers
        for waits_for in range(1, 5):
            if f"Depends on #{waits_for}\n" in one.body:
                other = self.issues.get(waits_for)
                assert other and (other.state, other.state_reason) == ("closed", "completed"), (
                    "its dependency is open"
                )

    def start(self, number: int) -> None:
        """As `act.admit` does: the lease, a place, a reservation; then the intent stands."""
        assert number not in self.leases
        room = ledger.reserve(self.state, number, 1, self.ceilings, SLOTS, self.now)
        if room and room.usd <= 0:
            return
        make_session(self.state, number)
        self.leases[number], self.left[number] = (
            take(self.state, number, "supervisor"),
            room.usd if room else 1e9,
        )
        self.sessions[number] = SessionFacts("working", True, f"issue-{number}")
        self.failures.pop(number, None)
        self.started.add(number)

    # -- workers, and time

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), all_of_it=st.booleans())
    def spend(self, data: st.DataObject, all_of_it: bool) -> None:
        """An agent that keeps its cap looks after each call, and goes over it by one call at most."""
        number = data.draw(st.sampled_from(sorted(self.leases)))
        if self.left[number] > 0:
            usd = min(self.left[number], 10.0) + CALL if all_of_it else CALL
            self.left[number] -= usd
            ledger.book_line(
                self.state, number, self.now, 1, "a", "c", Usage("call", usd, 1, 1), None
            )

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), phase=st.sampled_from(["complete", "stuck", "working", "cancelled"]))
    def worker_ends(self, data: st.DataObject, phase: Any) -> None:
        self.end(data.draw(st.sampled_from(sorted(self.leases))), phase)

    def end(self, number: int, phase: Any) -> None:
        self.leases.pop(number).release()
        self.sessions[number] = self.sessions[number]._replace(phase=phase, active=False)

    @precondition(lambda self: self.sessions)
    @rule(data=st.data())
    def prune(self, data: st.DataObject) -> None:
        over = [number for number, known in self.sessions.items() if number not in self.leases]
        if over:
            del self.sessions[data.draw(st.sampled_from(over))]

    @rule(seconds=st.floats(1, 9_000))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    # -- what holds always, and in the end

    @invariant()
    def bounds_hold(self) -> None:
        assert len(self.leases) <= SLOTS
        spent = sum(entry.usd for entry in ledger.booked_all(self.state).values())
        most = 1e9 if self.ceilings.total is None else self.ceilings.total
        assert spent <= most + SLOTS * CALL + 1e-6, "one call for each running turn is the most"

    def settle_down(self) -> None:
        """GitHub stands still, starts work, workers are honest, a person raises the ceiling: whatever may start does."""
        self.ceilings = ledger.Ceilings(total=1_000.0)
        for number in list(self.leases):
            self.end(number, "complete")
        self.started.clear()
        for number in self.issues:
            self.set_label(number, "maria", "write", "User")
        self.make_pass(set(range(9)), False)  # every start fails once more
        self.now += 10_000
        due = {
            each.issue.number
            for each in plan(self.facts(), RULES._replace(trust=False), SLOTS).eligible
        }
        for number in due:
            self.set_label(number, "maria", "write", "User")
        for _ in range(len(due) + 1):  # at least one a pass
            self.make_pass(set(), False)
            for number in list(self.leases):
                self.end(number, "complete")
        assert self.started >= due, f"{due - self.started} never start"


TestFleet = Fleet.TestCase
TestFleet.settings = settings(
    max_examples=50,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
