"""The row of a day of changes: what watching costs of GitHub's limit when issues, pulls, reviews and checks move."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from issue_orch.core.record import new_status
from issue_orch.store.files import iso, make_session, save_status

from .place import Place

HOURS, READY, PULLS, OTHERS = 12, 30, 12, 957
PASSES = 24 * 3600 // 30  # of a day, at the usual interval


def day(place: Place, rounds: int) -> Iterator[tuple[float, float]]:
    """Sixty changes, each seen by a pass of its own; the passes between are free, which the row `poll` shows."""
    place.make_clone(10, 1 + READY)
    place.run("run", "--once", "--max-workers", "1")  # one worker, so that all places are taken
    place.wait_started(1)
    sandbox, passes, idle = place.sandbox, list[int](), 0
    pulls = complete(place)
    for change in [*[None] * 3, *changes(place, pulls), None]:
        if change is not None:
            change()
        before, asked = sandbox.rate_used["you"], len(sandbox.requests)
        place.run("run", "--once", "--max-workers", "1")
        passes.append(sandbox.rate_used["you"] - before)
        idle = len(sandbox.requests) - asked
    assert passes[-1] == 0, "a pass without a change is free"
    place.told = f"{len(passes) - 4} changes, {max(passes[3:])} at most for one; {idle} requests a pass, free when nothing changed"
    yield float(sum(passes[3:])), float(idle * PASSES)


def day_phases(place: Place) -> str:
    return place.told


def complete(place: Place) -> list[int]:
    """Sessions as workers would have left them, with open pulls; and many issues that nobody made ready."""
    sandbox = place.sandbox
    numbers = [
        sandbox.add_issue(f"Complete {at}", "Do it.", labels=["ready"]) for at in range(PULLS)
    ]
    for at in range(OTHERS):
        sandbox.add_issue(f"Other {at}", "Some day.")
    for number in numbers:
        place.git("switch", "--quiet", "--create", f"issue-{number}", "origin/main", "--no-track")
        place.git("commit", "--quiet", "--allow-empty", "-m", f"Solve #{number}")
    place.git("push", "--quiet", "origin", *(f"issue-{number}" for number in numbers))
    sandbox.sync()
    pulls = [
        sandbox.open_pull(f"issue-{number}", "main", "T", f"Closes #{number}", "you")
        for number in numbers
    ]
    state = place.state
    for number, pull in zip(numbers, pulls, strict=True):
        make_session(state, number)
        save_status(
            state,
            new_status(
                number,
                status="complete",
                branch=f"issue-{number}",
                base="main",
                repo="acme/widgets",
                startedAt=iso(time.time()),
                pullRequestUrl=f"{sandbox.base_url}/acme/widgets/pull/{pull}",
                agent="sleeper",
                attempt=1,
                worktreePath=str(place.clone),
            ),
        )
        sandbox.set_check(sandbox.pulls[pull].head_sha, "test", None)
    return pulls


def changes(place: Place, pulls: list[int]) -> Iterator[Callable[[], object]]:
    """Five an hour: a check ends, a review, a word on an issue, a new ready issue, an issue that is edited."""
    sandbox = place.sandbox
    for hour in range(HOURS):
        pull = pulls[hour % len(pulls)]
        yield lambda pull=pull: sandbox.set_check(sandbox.pulls[pull].head_sha, "test", "success")
        yield lambda pull=pull: sandbox.review(pull, "maria", "APPROVED")
        yield lambda hour=hour: sandbox.comment(2 + hour, "A word", "maria")
        yield lambda hour=hour: sandbox.add_issue(f"New {hour}", "Do it.", labels=["ready"])
        yield lambda hour=hour: sandbox.edit_issue(2 + hour, title=f"Edited in hour {hour}")
