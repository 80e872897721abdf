"""What is ready and why not, the order, stacking, what starts next."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
import time
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issue_orch.core.model import Issue, LabelEvent
from issue_orch.core.plan import Failure, Plan, next_starts, plan
from issue_orch.core.ready import (
    Facts,
    Kind,
    Labelled,
    OpenPull,
    Reason,
    Rules,
    index_of,
    recorded,
    text_hash,
)
from issue_orch.core.ready import why_not as why_not_of
from issue_orch.core.record import Phase
from issue_orch.core.taken import Merged, Refusal
from issue_orch.core.wording import Ref
from issue_orch.terminal.plan import plan_json, plan_text
from tests.kit.plan import REPO, blocker, facts, issue, session

RULES = Rules()


def why_not(each: Issue, seen: Facts, rules: Rules) -> tuple[Reason, ...]:
    """As of an issue that was read anew, and takes the place of an older copy."""
    return why_not_of(each, seen, rules, index_of(seen._replace(issues=(*seen.issues, each))))


OTHER = (blocker(7, "Core types"),)
PULL = OpenPull(40, "https://github.com/owner/repo/pull/40", 1)


OTHERS = OpenPull(41, "https://github.com/owner/repo/pull/41", None, closes=frozenset({2}))
MERGED = Merged("u/40", "2025-02-01T00:00:00Z", True)
LABELLED = (LabelEvent("m", "User", "Ready", "2025-01-01T00:00:00Z", True),)
AGAIN = LABELLED[0]._replace(at="2025-02-02T00:00:00Z")
REOPENED = AGAIN._replace(label="")
NO_PLACE = Refusal("the branch issue-1 exists already", "issue-orch spawn NUMBER --reuse")


def closed(number: int, reason: str) -> dict[Ref, Any]:
    return {Ref(REPO, number): blocker(number, "Core types", "closed", reason)}


# What a rule asks for, an issue that meets it, one that does not, and what is said of that one.
CASES: list[tuple[Kind, dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any], str]] = [
    ("not_open", {}, {}, {}, {"state": "closed", "state_reason": "not_planned"}, {}, "closed as not planned"),
    ("not_open", {}, {}, {}, {"state": "closed"}, {}, "closed"),
    ("is_pull", {}, {}, {}, {"is_pull": True}, {}, "is a pull request"),
    ("missing_label", {}, {"labels": ("READY", "x")}, {}, {"labels": ("x",)}, {}, 'needs the label "ready"'),
    ("missing_label", {"ready": ("Ready", "UI")}, {"labels": ("ready", "ui")},
     {"labelled": {1: (Labelled("ready", "m", "admin"), Labelled("ui", "m", "maintain"))}},
     {"labels": ()}, {}, 'needs the label "Ready", "UI"'),
    ("excluded_label", {"excluded": ("wait",)}, {}, {}, {"labels": ("ready", "Wait")}, {}, 'has the label "wait"'),
    ("assigned_elsewhere", {"me": "Me"}, {"assignees": ("me",)}, {}, {"assignees": ("me", "bob")}, {},
     "assigned to @bob"),
    ("assigned_elsewhere", {}, {"assignees": ()}, {}, {"assignees": ("bob",)}, {}, "assigned to @bob"),
    ("assigned_elsewhere", {"assigned": "me", "me": "me"}, {"assignees": ("b", "Me")}, {}, {"assignees": ("bob",)}, {},
     "assigned to @bob"),
    ("assigned_elsewhere", {"assigned": "me", "me": "me"}, {"assignees": ("me",)}, {}, {}, {}, "assigned to nobody"),
    ("milestone", {"milestone": "v1"}, {"milestone": "v1"}, {}, {"milestone": "v2"}, {}, 'in "v2", not in "v1"'),
    ("milestone", {"milestone": "v1"}, {"milestone": "v1"}, {}, {}, {}, 'in no milestone, not in "v1"'),
    ("blocked", {}, {"open_blockers": 0}, {}, {"open_blockers": 1}, {"blockers": {1: OTHER}},
     'blocked by #7 "Core types"'),
    ("blocked", {}, {}, {}, {"open_blockers": 2}, {}, "blocked by 2 open blockers"),
    ("blocked", {}, {"body": "Depends on #7"}, {"others": closed(7, "completed")}, {"body": "Blocked by #7, a/b#3"},
     {"others": {Ref(REPO, 7): OTHER[0], Ref("a/b", 3): blocker(3, "Lib", repo="a/b")}},
     'blocked by #7 "Core types", a/b#3 "Lib"'),
    ("blocked_not_planned", {}, {}, {}, {"body": "Depends on #7"}, {"others": closed(7, "not_planned")},
     'depends on what was closed, but not completed: #7 "Core types"; remove the dependency or reopen it'),
    ("blocked_unknown", {}, {}, {}, {"body": "Depends on #7"}, {}, "depends on what cannot be read: #7"),
    ("blocked_unknown", {}, {}, {"blockers": {1: ()}}, {}, {"blockers": {1: None}},
     "depends on what cannot be read: its blockers"),
    ("waits_for_sub_issues", {}, {"sub_issues_total": 2, "sub_issues_completed": 2}, {},
     {"sub_issues_total": 2, "sub_issues_completed": 1}, {"sub_issues": {1: OTHER}},
     'waits for its sub-issues: #7 "Core types"'),
    ("active_session", {}, {}, {}, {}, {"sessions": {1: session()}},
     "its session is working: `issue-orch show 1`"),
    ("active_session", {}, {}, {}, {}, {"sessions": {1: session("stuck", active=False)}},
     'its session is stuck: `issue-orch answer 1 "…"`'),
    ("active_session", {}, {}, {}, {}, {"sessions": {1: session("planning", active=False)}},
     "its session is planning, without a worker: `issue-orch resume 1`"),
    ("session_complete", {}, {}, {}, {},
     {"sessions": {1: session("complete", active=False)}}, "already complete: `issue-orch show 1`"),
    ("session_cancelled", {}, {}, {}, {},
     {"sessions": {1: session("cancelled", active=False)}},
     "was cancelled: `issue-orch prune --cancelled` makes room for a new start"),
    ("open_pull", {}, {}, {"pulls": (PULL._replace(issue=None),)}, {}, {"pulls": (PULL,)},
     "its branch has an open pull: https://github.com/owner/repo/pull/40"),
    ("claimed", {}, {}, {"pulls": (OTHERS,)}, {}, {"pulls": (OTHERS._replace(closes=frozenset({1, 2})),)},
     "the pull https://github.com/owner/repo/pull/41 says that it closes it"),
    ("merged", {}, {}, {"merged": {1: MERGED}, "wishes": {1: (*LABELLED, AGAIN)}}, {},
     {"merged": {1: MERGED}, "wishes": {1: LABELLED}},
     "its pull was merged (u/40), the issue is still open: "
     "close it, or take the ready label off and set it again"),
    ("merged", {"ready": ()}, {"state": "open"},
     {"merged": {1: MERGED}, "wishes": {1: (REOPENED,)}, "labelled": {}}, {},
     {"merged": {1: MERGED._replace(own=False)}, "wishes": {1: None}},
     "a pull that says that it closes it was merged (u/40), the issue is still open: close it, or close and reopen it"),
    ("no_place", {}, {}, {"refused": {2: NO_PLACE}}, {}, {"refused": {1: NO_PLACE}}, NO_PLACE.text),
    ("untrusted_label", {}, {}, {"labelled": {1: (Labelled("Ready", "m", "maintain"),)}}, {},
     {"labelled": {1: (Labelled("ready", "m", "write"), Labelled("ready", "eve", "triage"))}},
     'the label "ready" was set by @eve, whose permission is triage: '
     "someone with write permission removes it and sets it again"),
    ("untrusted_label", {}, {}, {}, {}, {"labelled": {1: (Labelled("ready", "bob", None),)}},
     'the label "ready" was set by @bob, whose permission is unknown: '
     "someone with write permission removes it and sets it again"),
    ("untrusted_label", {}, {}, {}, {}, {"labelled": {}},
     'the label "ready" was set by somebody unknown, whose permission is unknown: '
     "someone with write permission removes it and sets it again"),
    ("text_changed", {}, {}, {}, {}, {"first_texts": {1: "other"}},
     "its title or text changed since it became ready: "
     "someone with write permission reads it, removes the ready label and sets it again"),
    ("text_changed", {}, {}, {}, {}, {"first_texts": {}},
     "its text was not recorded when it became ready: the next pass of `run` does it"),
    ("too_large", {"max_text": 10}, {"title": "Tit", "body": "1234567"}, {}, {"title": "Tit", "body": "12345678"}, {},
     "its text has 11 characters, at most 10 are given out"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "rules", "met", "met_facts", "unmet", "unmet_facts", "text"), CASES
)
def test_each_reason_alone(
    kind: Kind, rules: Any, met: Any, met_facts: Any, unmet: Any, unmet_facts: Any, text: str
) -> None:
    good, bad = issue(1, **met), issue(1, **unmet)
    trusting = RULES._replace(trust=bool(rules.get("ready", True)), **rules)
    assert why_not(good, facts(good, **met_facts), trusting) == ()
    severity = "asks" if kind in ("blocked_unknown", "session_cancelled") else "holds"
    hint = NO_PLACE.hint if kind == "no_place" else ""
    assert why_not(bad, facts(bad, **unmet_facts), trusting) == (
        Reason(kind, text, severity, hint),
    )  # type: ignore[arg-type]


def test_every_kind_of_reason_has_a_case() -> None:
    assert {case[0] for case in CASES} | {"cycle"} == set(get_args(Kind))


def test_all_reasons_are_given_and_sanitised() -> None:
    bad = issue(
        1, body="Depends on #1, #9", is_pull=True, labels=("n\x1b[31mo",), assignees=("e\u202eve",)
    )
    rules = RULES._replace(excluded=("n\x1b[31mo",), milestone="v1", max_text=1)
    found = why_not(bad, facts(bad, first_texts={}, pulls=(PULL,), sessions={1: session()}), rules)
    assert [reason.kind for reason in found] == [
        "is_pull", "missing_label", "excluded_label", "milestone", "assigned_elsewhere", "blocked", "blocked_unknown",
        "cycle", "active_session", "open_pull", "too_large",
    ]  # fmt: skip
    assert '"no"' in found[2].text and "@eve" in found[4].text


def test_trust_is_asked_of_run_alone() -> None:
    one = issue(1)
    asked = Facts(REPO, (one,))
    assert why_not(one, asked, RULES._replace(trust=False)) == ()
    assert {reason.kind for reason in why_not(one, asked, RULES)} == {
        "untrusted_label",
        "text_changed",
    }


def test_run_without_a_ready_label_trusts_nothing() -> None:
    one = issue(1, labels=())
    (reason,) = why_not(one, facts(one), RULES._replace(ready=()))
    assert reason.kind == "untrusted_label"


@pytest.mark.parametrize(
    ("permissions", "trusted"),
    [
        (("write", "write"), True),
        (("admin", "maintain"), True),
        (("write", "read"), False),
        (("triage", "write"), False),
        (("write", None), False),
        (("none", "none"), False),
    ],
)
def test_every_ready_label_is_set_by_somebody_who_may(
    permissions: tuple[str | None, str | None], trusted: bool
) -> None:
    one = issue(1, labels=("ready", "ui"))
    events = (Labelled("ready", "a", permissions[0]), Labelled("ui", "b", permissions[1]))
    found = why_not(one, facts(one, labelled={1: events}), RULES._replace(ready=("ready", "ui")))
    assert (found == ()) is trusted


PERMISSIONS = (
    "admin",
    "maintain",
    "write",
    "triage",
    "read",
    "none",
    None,
)  # None: could not be looked up


@pytest.mark.parametrize("permission", PERMISSIONS)
@pytest.mark.parametrize("kind", ["User", "Bot", "App", "Organization", ""])
def test_whose_label_starts_an_issue(kind: str, permission: str | None) -> None:
    """Threat S1, the whole table: who set the label, what kind of account, what it may, whether the label is still there,
    whether a second one was set by somebody who may, and whether the text is as it was. One row of it starts."""
    for by, there, second, same in itertools.product(
        ("maria", None), (True, False), ("write", "read"), (True, False)
    ):
        one = issue(1, labels=("Ready", "ui") if there else ("ui",))
        events = (
            Labelled("ready", by, permission if by else None, "2030-01-01T00:00:00Z", kind),
            Labelled("ui", "ann", second, "2030-01-01T00:00:00Z"),
        )
        seen = facts(one, labelled={1: events}, **({} if same else {"first_texts": {1: "another"}}))
        starts = why_not(one, seen, RULES._replace(ready=("ready", "ui"))) == ()
        assert starts == (
            by == "maria"
            and kind == "User"
            and permission in ("admin", "maintain", "write")
            and there
            and second == "write"
            and same
        )


EARLY, LATE, LATER = "2030-01-01T00:00:00Z", "2030-01-01T00:00:01Z", "2030-01-01T00:00:02Z"


@pytest.mark.parametrize(
    "seen_at", ["", EARLY, LATE, LATER]
)  # "": nobody asked yet who set it, as it was blocked
@pytest.mark.parametrize("now_at", ["", EARLY, LATE, LATER])  # "": the timeline cannot be read
@pytest.mark.parametrize("changed", ["", "title", "body"])
def test_a_changed_text_counts_only_after_the_label_was_set_anew(
    seen_at: str, now_at: str, changed: str
) -> None:
    """Threat S2, the whole table: when the label was set at first sight and now, by GitHub's clock, and what was edited."""

    def labelled(at: str) -> dict[int, tuple[Labelled, ...]]:
        return {1: (Labelled("ready", "maria", "write", at or None),)} if at else {}

    old = issue(1, "Title", "Body")
    new = old._replace(**{changed: "Something else"}) if changed else old
    first = recorded({}, [old], labelled(seen_at))
    known = recorded(first, [new], labelled(now_at))
    approved = known["1"]["hash"] == text_hash(new)
    assert approved == (not changed or "" < seen_at < now_at)
    assert recorded(known, [new], labelled(now_at)) == known, "looking again changes nothing"
    if not approved:  # there is a way out: a person sets it once more
        assert (
            recorded(known, [new], labelled("2030-01-01T00:00:09Z"))["1"]["hash"] == text_hash(new)
            or not now_at
        )
    before = why_not(new, facts(new, first_texts={1: known["1"]["hash"]}), RULES)
    assert [reason.kind for reason in before] == ([] if approved else ["text_changed"])


def test_a_label_set_again_approves_what_is_there_then_and_nothing_later() -> None:
    one, two = issue(1, body="a"), issue(1, body="b")
    at = {when: {1: (Labelled("ready", "maria", "write", when),)} for when in (EARLY, LATE)}
    known = recorded(recorded({}, [one], at[EARLY]), [one], at[LATE])
    assert recorded(known, [two], at[LATE])["1"]["hash"] == text_hash(one)


@pytest.mark.parametrize("phase", get_args(Phase))
def test_no_session_is_started_twice(phase: Phase) -> None:
    one = issue(1)
    for active in (True, False):
        assert why_not(one, facts(one, sessions={1: session(phase, active)}), RULES) != ()


def test_cycles_are_named_and_freshly_read_issues_count() -> None:
    one, two = issue(1, body="Depends on #2"), issue(2, "Two", open_blockers=1)
    seen = facts(one, two, blockers={2: (blocker(1),)})
    assert [reason.text for reason in why_not(one, seen, RULES)] == [
        'blocked by #2 "Two"',
        "dependencies go in a circle: #1 -> #2 -> #1",
    ]
    fresh = one._replace(body="")
    assert [reason.kind for reason in why_not(fresh, seen, RULES)] == ["text_changed"]


def test_a_closed_issue_among_the_facts_satisfies() -> None:
    one, two = issue(1, body="Depends on #2"), issue(2, state="closed", state_reason="completed")
    assert why_not(one, facts(one, two), RULES) == ()


STACKED = issue(2, body="Depends on #1")
BELOW = {1: session("complete", active=False, branch="issue-1")}


def test_stacking() -> None:
    seen = facts(issue(1, "One"), STACKED, sessions=BELOW)
    found = plan(seen, RULES._replace(stack=True), 2)
    assert [(each.issue.number, each.base, each.stacked_on) for each in found.eligible] == [
        (2, "issue-1", 1)
    ]
    assert found.stackable == ()
    without = plan(seen, RULES, 2)
    assert without.eligible == ()
    assert [(each.issue.number, each.base) for each in without.stackable] == [(2, "issue-1")]


@pytest.mark.parametrize(
    ("one", "two", "sessions"),
    [
        ({}, {}, {}),
        ({}, {}, {1: session("working")}),
        ({}, {}, {1: session("cancelled", active=False)}),
        ({}, {"body": "Depends on #1, #9"}, BELOW),
        ({}, {"body": "", "sub_issues_total": 1}, BELOW),
        ({"body": "Depends on #2"}, {}, BELOW),
    ],
)
def test_no_stacking(one: Any, two: Any, sessions: Any) -> None:
    top = STACKED._replace(**two)
    seen = facts(
        issue(1, **one),
        top,
        sessions=sessions,
        sub_issues={2: (blocker(1),)} if "sub_issues_total" in two else {},
    )
    rules = RULES._replace(stack=True)
    assert why_not(top, seen, rules) != ()
    found = plan(seen, rules, 2)
    assert found.stackable == () and 2 not in numbers(found)


def numbers(found: Plan) -> list[int]:
    return [each.issue.number for each in found.eligible]


def test_order_is_priority_then_milestone_then_oldest() -> None:
    same = "2025-01-01T00:00:00Z"
    listed = [
        issue(1),
        issue(2, milestone="v1.10"),
        issue(3, milestone="v1.9", created_at="2025-01-02T00:00:00Z"),
        issue(4, milestone="v1.9"),
        issue(5, labels=("ready", "low")),
        issue(6, labels=("ready", "High")),
        issue(7, labels=("ready", "low", "high"), created_at="2024-01-01T00:00:00Z"),
        issue(9, created_at=same, milestone="v1.9"),
        issue(8, created_at=same, milestone="v1.9"),
        issue(10, is_pull=True),
    ]
    found = plan(facts(*listed), RULES._replace(priorities=("high", "low")), 2)
    assert numbers(found) == [7, 6, 5, 8, 9, 4, 3, 2, 1]
    assert found.ineligible == ()


@given(st.lists(st.text("v0123.٣², ", max_size=12) | st.none(), max_size=6))
def test_any_milestone_can_be_ordered(milestones: list[str | None]) -> None:
    listed = [issue(number, milestone=each) for number, each in enumerate(milestones, 1)]
    assert sorted(numbers(plan(facts(*listed), RULES, 1))) == [each.number for each in listed]


def test_overlaps_name_their_sources() -> None:
    seen = facts(
        issue(1, body="Files: a, d"),
        issue(2, body="see src/b.py and c.py"),
        issue(3),
        issue(4, "of a session", "Files: d"),
        sessions={
            4: session(planned_files=("a", "c.py"), changed_files=("c.py",)),
            5: session(),
        },
        pulls=(
            OpenPull(40, "u", 4, ("e", "a")),
            OpenPull(41, "u", None, ("src/b.py",)),
            OpenPull(42, "u", None),
        ),
        tree=frozenset(["src/b.py", "c.py"]),
    )
    found = plan(seen, RULES, 2)
    assert [
        ([(touch.number, touch.source) for touch in each.touches], each.files)
        for each in found.overlaps
    ] == [
        ([(1, "declared"), (4, "pull")], ("a",)),
        ([(2, "inferred"), (4, "actual")], ("c.py",)),
        ([(2, "inferred"), (41, "pull")], ("src/b.py",)),
    ]
    assert found.overlap_unknown == (3, 5, 42)


def test_a_pull_of_an_issue_without_a_session_counts() -> None:
    seen = facts(
        issue(1, body="Files: a"),
        issue(2),
        pulls=(OpenPull(40, "u", 2, ("a",)), OpenPull(41, "u", 3)),
    )
    found = plan(seen, RULES._replace(serialize=True), 2)
    assert [[touch.number for touch in each.touches] for each in found.overlaps] == [[1, 2]]
    assert found.held == {1: (2, "a")}
    assert found.overlap_unknown == (3,)


def test_a_live_session_without_files_is_known_by_its_text() -> None:
    seen = facts(issue(1, body="Files: a"), issue(2, body="Files: a"), sessions={2: session()})
    (found,) = plan(seen, RULES, 2).overlaps
    assert [touch.number for touch in found.touches] == [1, 2]


def test_stacked_issues_are_no_overlap_with_what_they_start_on() -> None:
    seen = facts(
        issue(1, body="Files: a"),
        STACKED._replace(body="Depends on #1\n\nFiles: a"),
        sessions=BELOW,
    )
    found = plan(seen, RULES._replace(stack=True, serialize=True), 2)
    assert numbers(found) == [2] and found.overlaps == () and found.held == {}
    assert [each.issue.number for each in next_starts(found, 2, [])] == [2]


SERIAL = facts(
    issue(1, body="Files: a"),
    issue(2, body="Files: a, b"),
    issue(3, body="Files: b"),
    issue(4, body="Files: x"),
    issue(5),
    sessions={5: session(changed_files=("x",))},
    pulls=(OpenPull(40, "u", None, ("a",)),),
)


def starts(
    found: Plan, slots: int, running: Any = (), failures: Any = None, now: float = 0
) -> list[int]:
    return [each.issue.number for each in next_starts(found, slots, running, failures or {}, now)]


def test_serialize_holds_what_touches_the_same_files() -> None:
    found = plan(SERIAL, RULES._replace(serialize=True), 9)
    assert found.held == {2: (1, "a"), 4: (5, "x")}
    assert starts(found, 9) == [1, 3]
    assert starts(found, 9, [1]) == [3]
    assert starts(found, 9, [2]) == []
    later = {1: Failure(1, 100.0)}
    assert starts(found, 9, failures=later) == [2]
    assert starts(plan(SERIAL, RULES, 9), 9) == [1, 2, 3, 4]


def test_next_starts_fills_free_slots_in_order() -> None:
    found = plan(facts(*(issue(number) for number in range(1, 6))), RULES, 2)
    assert starts(found, 3) == [1, 2, 3]
    assert starts(found, 3, [1, 99]) == [2]
    assert starts(found, 2, [98, 99]) == starts(found, 1, [98, 99]) == starts(found, 0) == []


def test_a_failing_issue_never_starves_others() -> None:
    found = plan(facts(*(issue(number) for number in range(1, 6))), RULES, 2)
    failed = {1: Failure(3, 100.0), 2: Failure(1, 50.0), 9: Failure(1, 0.0)}
    assert starts(found, 2, failures=failed, now=0) == [3, 4]
    assert starts(found, 9, failures=failed, now=60) == [3, 4, 5, 2]
    assert starts(found, 9, failures=failed, now=100) == [3, 4, 5, 2, 1]


@given(st.integers(1, 3), st.sets(st.integers(1, 8)))
def test_all_that_can_start_starts_however_others_fail(slots: int, broken: set[int]) -> None:
    found = plan(facts(*(issue(number) for number in range(1, 9))), RULES, slots)
    started: set[int] = set()
    failures: dict[int, Failure] = {}
    for now in range(40):
        # One that started ends within the pass, so that its slot is free for the next.
        waiting = found._replace(
            eligible=tuple(each for each in found.eligible if each.issue.number not in started)
        )
        for number in starts(waiting, slots, (), failures, now):
            if number in broken:
                failures[number] = Failure(
                    failures.get(number, Failure(0, 0)).in_a_row + 1, now + 1
                )
            else:
                started.add(number)
    assert started == set(range(1, 9)) - broken
    assert set(failures) == broken


def test_the_plan_decides_as_dispatch_does() -> None:
    seen = facts(
        issue(1),
        issue(2, body="Depends on #1"),
        issue(3, labels=()),
        issue(4, body="Depends on #4"),
        issue(5, body="Depends on a/b#9"),
    )
    found = plan(seen, RULES, 2)
    assert {each.issue.number: each.reasons for each in found.ineligible} == {
        each.number: reasons for each in seen.issues if (reasons := why_not(each, seen, RULES))
    }
    assert numbers(found) == [1]


def rows(size: int, dependencies: int) -> str:
    """Issues as JSON: three of ten wait for an older one, all declare two files."""
    choice = random.Random(1)
    blocked = set(choice.sample(range(2, size + 1), dependencies))
    listed = []
    for number in range(1, size + 1):
        body = f"As one of {size} users I want it to work better.\n\nFiles: src/m{number % 500}/a.py, src/m{number % 300}/b.py\n"
        body += f"Depends on #{choice.randrange(1, number)}\n" if number in blocked else ""
        listed.append(issue(number, body=body, milestone=f"v1.{number % 20}")._asdict())
    return json.dumps(listed)


def parsed(text: str) -> Facts:
    listed = tuple(
        Issue(**{**row, "labels": tuple(row["labels"]), "assignees": tuple(row["assignees"])})
        for row in json.loads(text)
    )
    return facts(
        *listed, tree=frozenset(f"src/m{at}/{name}.py" for at in range(500) for name in "ab")
    )


def calls_of(size: int) -> int:
    """Python and C calls that planning makes: a measure that no other load of the machine moves."""
    seen, count = parsed(rows(size, size * 3 // 10)), 0

    def called(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(called)
    plan(seen, RULES, 2)
    sys.setprofile(None)
    return count


def test_planning_is_linear() -> None:
    calls_of(50)
    assert calls_of(2_000) <= 4.4 * calls_of(500)


def measure(size: int = 10_000, dependencies: int = 3_000, rounds: int = 9) -> tuple[float, float]:
    """Median seconds to parse the issues as JSON, and to plan them: `python -m tests.core.test_plan` prints the ratio."""
    text = rows(size, dependencies)
    seen = parsed(text)
    spent: list[tuple[float, float]] = []
    for _ in range(rounds):
        start = time.process_time()
        json.loads(text)
        middle = time.process_time()
        plan(seen, RULES._replace(trust=False), 2)
        spent.append((middle - start, time.process_time() - middle))
    parse, think = (sorted(column)[rounds // 2] for column in zip(*spent, strict=True))
    return parse, think


TEXTS = [
    "",
    "Depends on #1",
    "Blocked by #2, #3 and a/b#4",
    "Files: a, b/*",
    "```\n<!-- > \x1b]8;;",
    "Depends on #99",
]


@given(st.data())
def test_no_facts_crash_and_each_issue_is_listed_once(data: st.DataObject) -> None:
    count = st.none() | st.integers(0, 3)
    listed = [
        issue(
            number,
            title=data.draw(st.text(max_size=5)),
            body=data.draw(st.sampled_from(TEXTS)),
            open_blockers=data.draw(count),
            sub_issues_total=data.draw(count),
            sub_issues_completed=data.draw(count),
            labels=data.draw(st.sampled_from([(), ("ready",), ("ready", "ready"), ("\u202e",)])),
        )
        for number in range(1, data.draw(st.integers(1, 5)))
    ]
    phases = st.sampled_from(get_args(Phase))
    sessions = data.draw(
        st.dictionaries(st.integers(1, 6), st.builds(session, phases, st.booleans()))
    )
    seen = facts(
        *listed,
        sessions=sessions,
        tree=data.draw(st.sampled_from([frozenset(), frozenset({"a", "b/c"})])),
    )
    found = plan(
        seen,
        data.draw(
            st.builds(Rules, trust=st.booleans(), stack=st.booleans(), serialize=st.booleans())
        ),
        2,
    )
    named = [each.issue.number for each in (*found.eligible, *found.ineligible)]
    assert sorted(named) == [each.number for each in listed]
    text = plan_text(found, data.draw(st.integers(1, 120)))
    assert "\x1b" not in text and "\u202e" not in text
    assert json.loads(json.dumps(plan_json(found)))["schemaVersion"] == 1
    assert index_of(seen).issues.keys() == {each.number for each in listed}


def test_the_core_imports_no_edges() -> None:
    code = "import sys, issue_orch.core.plan; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert {name for name in loaded if name.startswith("issue_orch.")} == {
        f"issue_orch.{name}"
        for name in (
            "commonmark",
            "core",
            "core.dependencies",
            "core.fields",
            "core.model",
            "core.overlap",
            "core.plan",
            "core.ready",
            "core.record",
            "core.taken",
            "core.wording",
            "markdown",
            "raw_html",
            "text",
        )
    }
    assert not {"subprocess", "pathlib", "hashlib", "json"} & set(loaded)


if __name__ == "__main__":
    parse, think = measure()
    print(f"json.loads {parse * 1000:.1f} ms, plan {think * 1000:.1f} ms: {think / parse:.1f}x")
