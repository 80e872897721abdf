"""The headline: where sessions stand in lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from issue_orch.core.headline import place_in_list
from issue_orch.core.record import SessionStatus
from tests.kit import screens


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
