"""Why a session is given to a person: the first that the person can act on, with what followed in brackets."""

from __future__ import annotations

import pytest

from issue_orch.core.history import (
    Entry,
    Exit,
    Failed,
    Heard,
    Nudged,
    Rejected,
    Started,
    Unready,
    counters,
)
from issue_orch.core.lifecycle import Limits, Situation, Stick, after_claim, after_run
from issue_orch.core.outcomes import ENDED, Ending, Outcome

ELSEWHERE = (
    "You reported complete, but the worktree is on other, not on issue-1.\n"
    "Bring your commits onto issue-1 and report complete again."
)
LOOSE = (
    "You reported complete, but these files are not committed: a.b c, d.txt.\nCommit what belongs."
)
HOOK = "The remote rejected the push of issue-1: names. Of files: no.\nMend it on your branch."
BARE = "ended its turn without a report"
WRAP = f"{ENDED}; nothing that it ran worked: bwrap: No such file"
WRITE = f"{ENDED}; it was not permitted to use: Write (Path is outside)"


def ended(message: str = ENDED, kind: Ending = "ended") -> list[Entry]:
    return [Started(), Exit(outcome=kind, message=message), Nudged()]


def stuck(history: list[Entry], last: Outcome) -> str:
    """What a session with this history says, after one run more."""
    if last.kind in ("crashed", "session_missing"):
        history = [*history, Failed(last.message)]
    history = [*history, Exit(outcome=last.kind, message=last.message)]
    at = Situation("working", None, [], counters(history), False, Limits(retries=1))
    step = after_run(at, last, 0.0)
    assert isinstance(step, Stick), step
    return step.reason


QUIET = Outcome("ended", ENDED)


@pytest.mark.parametrize(
    ("history", "last", "expected"),
    [
        ([*ended(), *ended()], QUIET, f"{BARE} ({ENDED})"),
        (
            [Unready(ELSEWHERE), *ended(), *ended()],
            QUIET,
            f"the worktree is on other, not on issue-1 (then it {BARE})",
        ),
        (
            [Unready(ELSEWHERE), Unready(LOOSE), *ended(), *ended()],
            QUIET,
            f"these files are not committed: a.b c, d.txt (then it {BARE})",
        ),
        (
            [Rejected(HOOK), *ended(), *ended()],
            QUIET,
            f"The remote rejected the push of issue-1: names. Of files: no (then it {BARE})",
        ),
        (
            [*ended(WRITE, "denied"), *ended()],
            QUIET,
            f"it was not permitted to use: Write (Path is outside) (then it {BARE})",
        ),
        ([*ended(WRAP), *ended()], QUIET, f"nothing that it ran worked: bwrap: No such file (then it {BARE})"),
        ([*ended(), *ended()], Outcome("ended", WRAP), f"nothing that it ran worked: bwrap: No such file (then it {BARE})"),
        (
            [Unready(ELSEWHERE), Failed("exit code 2: bad flag")],
            Outcome("crashed", "exit code 2: bad flag"),
            "the worktree is on other, not on issue-1 (then exit code 2: bad flag (gave up after 2 attempts))",
        ),
        (
            [Failed("exit code 2: bad flag")],
            Outcome("session_missing", "claude no longer has this session"),
            "exit code 2: bad flag (then claude no longer has this session (gave up after 2 attempts))",
        ),
        (
            [Unready(ELSEWHERE), *ended(), *ended()],
            Outcome("interrupted", "the agent was interrupted: silent for 9 min"),
            f"the worktree is on other, not on issue-1 (then it {BARE} (the agent was interrupted: silent for 9 min))",
        ),
        (
            [Unready(ELSEWHERE), Heard(person=True), *ended(), *ended()],
            QUIET,
            f"{BARE} ({ENDED})",
        ),
        (
            [Failed("the model's API failed (500)"), *ended(), *ended()],
            QUIET,
            f"{BARE} ({ENDED})",
        ),
    ],
)  # fmt: skip
def test_the_first_reason_that_a_person_can_act_on_is_shown(
    history: list[Entry], last: Outcome, expected: str
) -> None:
    assert stuck(history, last) == expected


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (ELSEWHERE, "the worktree is on other, not on issue-1"),
        (HOOK, "The remote rejected the push of issue-1: names. Of files: no"),
        ("as an older version wrote it, on one line.", "as an older version wrote it, on one line"),
    ],
)
def test_a_person_is_not_given_the_orders_of_the_worker(reason: str, expected: str) -> None:
    many = counters([Unready(reason)] * 4 + [Rejected(reason)] * 2)
    step = after_claim("rejected", reason, many, Limits())
    assert isinstance(step, Stick) and step.reason == expected
