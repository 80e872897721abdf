"""The headline: its rules, what each of them looks at, and where sessions stand in lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issue_orch.core.headline import LOOKS, RULES, Observed, decide, headline, place_in_list
from issue_orch.core.record import SessionStatus, new_status
from tests.kit import screens

# What the facts are called that `explain` shows, by what the rules read.
NAMES = {
    **dict.fromkeys(("holder", "heartbeat_age", "full"), "worker"),
    **dict.fromkeys(("merged", "state", "draft", "behind", "sensitivePaths"), "pull"),
    **dict.fromkeys(("others", "held"), "pull"),
    **dict.fromkeys(("mergeable", "base"), "conflict"),
    "failingChecks": "checks",
    "stuckReason": "question",
    "retryAt": "retry",
    "lastActivity": "activity",
    "elsewhere": "worktree",
}


class Read(dict[str, Any]):
    """Remembers which of its fields were asked for."""

    def __init__(self, fields: Any) -> None:
        super().__init__(fields)
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.names.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)


class Looked:
    def __init__(self, observed: Observed) -> None:
        self.observed, self.names = observed, set[str]()

    def __getattr__(self, name: str) -> Any:
        self.names.add(name)
        return getattr(self.observed, name)


PHASES = ("registered", "planning", "working", "stuck", "complete", "cancelled")
ACTIVITY = {"at": "", "text": "Read: a.py"}
STATUSES = st.builds(
    new_status,
    st.just(5),
    status=st.sampled_from(PHASES),
    hold=st.sampled_from((None, "paused", "stopped", "budget")),
    failure=st.sampled_from((None, "a crash")),
    publish=st.sampled_from((None, {"pending": True, "reason": "no network"})),
    stuckReason=st.sampled_from((None, "Which?")),
    retryAt=st.sampled_from((None, "2026-01-01T10:00:00Z")),
    lastActivity=st.sampled_from((None, ACTIVITY, {**ACTIVITY, "quiet": "for 20 minutes"})),
)
PULLS = st.fixed_dictionaries(
    {},
    optional={
        "merged": st.booleans(),
        "state": st.sampled_from(("open", "closed")),
        "mergeable": st.sampled_from((True, False, None)),
        "review": st.sampled_from(("approved", "changes_requested")),
        "checks": st.sampled_from(("passing", "failing", "pending", "none", "unavailable")),
        "held": st.just("three rounds were not enough"),
        "draft": st.booleans(),
    },
)
SEEN = st.builds(
    Observed,
    st.sampled_from(("", "supervisor", "spawn")),
    st.sampled_from((None, 4.0, 400.0)),
    st.booleans(),
    st.sampled_from(("", "its worktree belongs to another clone")),
)


@given(STATUSES, PULLS, SEEN)
def test_a_rule_looks_at_the_facts_that_it_names_and_no_others(
    status: SessionStatus, pull: Any, seen: Observed
) -> None:
    for rule in RULES:
        reads = Read(status), Read(pull), Looked(seen)
        rule.answer(*reads)  # type: ignore[arg-type]
        names = {NAMES.get(name, name) for each in reads for name in each.names}
        assert names <= set(rule.of), rule.asks


@given(STATUSES, PULLS, SEEN)
def test_one_rule_decides_and_those_before_it_do_not_apply(
    status: SessionStatus, pull: Any, seen: Observed
) -> None:
    place, (label, why) = decide(status, pull, seen)
    assert headline(status, pull, seen) == (label, why, *LOOKS[label])
    assert not any(rule.answer(status, pull, seen) for rule in RULES[:place])


def asking(number: int) -> Any:
    return screens.session(number, "Asks", "stuck", question=screens.question("Which?"))


def ready(number: int, **facts: Any) -> tuple[SessionStatus, Any]:
    return screens.completed(number, "Done", number), screens.pull(number, **facts)


def order_of(rows: list[Any]) -> list[int]:
    sights = [screens.seen(*row) for row in rows]
    return [
        seen.status["issueNumber"]
        for seen in sorted(sights, key=lambda seen: place_in_list(seen.status, seen.headline))
    ]


def lower_numbers() -> Iterator[tuple[str, Any]]:
    """What has a lower number than the question, and stands below it all the same."""
    yield "pulls", ready(1, checks="passing")
    yield "a conflict", ready(1, mergeable=False)
    yield "a closed pull", ready(1, state="closed")
    yield "a crash", (screens.session(1, "Crashed", "stuck", failure="lost"), None)
    yield "the budget", (screens.session(1, "Dear", hold="budget"), None)
    yield "one at work", (screens.session(1, "Busy"), None)
    yield "a merged one", ready(1, merged=True)


@pytest.mark.parametrize(("what", "row"), lower_numbers())
def test_a_question_stands_above(what: str, row: Any) -> None:
    assert order_of([row, (asking(90), None)]) == [90, 1]


def test_what_stands_still_is_above_pulls_and_pulls_above_the_rest() -> None:
    due = {"pending": True, "reason": "no network"}
    rows = [
        (screens.session(1, "Busy"), None),
        ready(2, checks="passing"),
        ready(3, checks="failing"),
        (screens.session(4, "Lost", "stuck", stuckReason="lost 4 times"), None),
        (screens.completed(5, "Due", 5, publish=due), None),
        (screens.session(6, "Dear", hold="budget"), None),
        (asking(8), None),
        (asking(7), None),
    ]
    assert order_of(rows) == [7, 8, 4, 5, 6, 2, 3, 1]
