"""What is asked of GitHub: nothing new costs nothing, what is new costs little, and only what is allowed is written."""

from __future__ import annotations

import re
import time
from collections import Counter
from contextlib import ExitStack
from urllib.parse import unquote

import pytest

from issue_orch.actions.context import connect, open_context
from issue_orch.coordinator.loop import Clock, Coordinator, Options
from issue_orch.core.record import new_status
from issue_orch.store.files import iso, make_session, make_state, save_status
from issue_orch.store.leases import take
from tests.coordinator.test_followup import facts, pass_over, scene
from tests.kit.scene import ASK, Scene

__all__ = ["scene"]

ISSUES, READY, COMPLETE, WORKING = 1000, 30, 12, 8
PER_PULL = 5  # the pull, check runs, statuses, reviews, review comments
# The open pulls and the ready issues, once for the poll and once for the plan; who labelled the ready ones, and may he.
FIXED = 2 + 2 + READY + 1


def fleet(scene: Scene) -> list[int]:
    """Sessions as many workers would have left them: twelve with pulls, eight at work. Returns the pulls."""
    sandbox = scene.sandbox
    with sandbox.lock:
        for number in range(1, ISSUES + 1):
            ready = number <= READY + COMPLETE + WORKING
            sandbox.add_issue(f"Issue {number}", "Do it.", labels=["ready"] if ready else [])
    sessions = range(READY + 1, READY + COMPLETE + WORKING + 1)
    for number in sessions:
        scene.git("switch", "--quiet", "--create", f"issue-{number}", "main")
        scene.git("commit", "--quiet", "--allow-empty", "-m", f"Solve #{number}")
    scene.git("switch", "--quiet", "main")
    scene.git("push", "--quiet", "origin", *(f"issue-{number}" for number in sessions[:COMPLETE]))
    sandbox.sync()
    state = make_state(scene.clone / ".git")
    pulls = [
        sandbox.open_pull(f"issue-{number}", "main", "T", f"Closes #{number}", "you")
        for number in sessions[:COMPLETE]
    ]
    for at, number in enumerate(sessions):
        url = f"{sandbox.base_url}/acme/widgets/pull/{pulls[at]}" if at < COMPLETE else None
        make_session(state, number)
        save_status(
            state,
            new_status(
                number,
                status="complete" if url else "working",
                branch=f"issue-{number}",
                base="main",
                repo="acme/widgets",
                startedAt=iso(time.time()),
                pullRequestUrl=url,
                agent="scripted",
                attempt=1,
                worktreePath=str(scene.clone),
            ),
        )
        if url:
            sandbox.set_check(sandbox.pulls[pulls[at]].head_sha, "test", "success")
    return pulls


def busy(scene: Scene, until: ExitStack) -> None:
    """The workers of the eight: as far as the leases say, all places are taken."""
    for number in range(READY + COMPLETE + 1, READY + COMPLETE + WORKING + 1):
        until.enter_context(take(scene.state, number, "supervisor"))


def one_pass(said: list[str]) -> None:
    options = Options({}, 60, False, False, True)
    Coordinator(open_context(), options, lambda text, _: said.append(text)).pass_once(
        Clock(time.time() + 60, time.monotonic())
    )


def paid_in_a_pass(scene: Scene, said: list[str]) -> Counter[str]:
    scene.sandbox.requests.clear()
    one_pass(said)
    return Counter(
        each.path.removeprefix("/repos/acme/widgets/")
        for each in scene.sandbox.requests
        if each.status != 304
    )


def test_an_idle_pass_is_free_and_a_busy_one_cheap(scene: Scene) -> None:
    scene.config = scene.config.replace("max_workers = 9", f"max_workers = {WORKING}")
    scene.write_config()
    pulls = fleet(scene)
    said: list[str] = []
    with ExitStack() as until:
        busy(scene, until)
        for _ in range(2):  # the second: GitHub had computed what merges
            one_pass(said)
        used, _ = scene.sandbox.rate_used["you"], scene.sandbox.requests.clear()
        one_pass(said)
        asked = list(scene.sandbox.requests)
        assert all(each.conditional and each.status == 304 for each in asked), [
            e for e in asked if e.status != 304
        ]
        assert scene.sandbox.rate_used["you"] == used, "an idle pass costs nothing"
        assert len(asked) == FIXED + COMPLETE * PER_PULL, Counter(
            re.sub(r"\d+", "N", each.path) for each in asked
        )
        assert f"{len(asked)} requests, {len(asked)} of them unchanged and free" in "".join(said)

        head = scene.sandbox.pulls[pulls[0]].head_sha
        scene.sandbox.set_check(head, "test", "cancelled")
        scene.sandbox.review(pulls[1], "maria", "APPROVED")
        assert paid_in_a_pass(scene, said) == {
            f"commits/{head}/check-runs": 1,
            f"pulls/{pulls[0]}": 1,  # whose state is now "unstable"
            "pulls": 1,
            f"pulls/{pulls[1]}": 1,
            f"pulls/{pulls[1]}/reviews": 1,
        }
        # GitHub puts the repository with its count of open issues into each pull and each combined status.
        new = scene.sandbox.add_issue("New", "Do it.", labels=["ready"])
        paid = paid_in_a_pass(scene, said)
        assert paid[f"issues/{new}/timeline"] == paid["issues"] == paid["pulls"] == 1
        assert paid.total() == 3 + 2 * COMPLETE
    assert (
        facts(scene, READY + 1)["checks"] == "failing"
        and facts(scene, READY + 2)["review"] == "approved"
    )


@pytest.mark.parametrize("what", ["pass", "status", "plan"])
def test_what_does_not_need_another_answer_is_asked_side_by_side(scene: Scene, what: str) -> None:
    """A server that answers only when four are asked at once: in turn, nothing would come back."""
    for _ in range(4):
        number = scene.issue()
        scene.git("switch", "--quiet", "--create", f"issue-{number}", "main")
        scene.git("commit", "--quiet", "--allow-empty", "-m", f"Solve #{number}")
        scene.git("push", "--quiet", "origin", f"issue-{number}")
        scene.sandbox.sync()
        pull = scene.sandbox.open_pull(f"issue-{number}", "main", "T", "No word.", "you")
        state = make_state(scene.clone / ".git")
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
                pullRequestUrl=f"{scene.sandbox.base_url}/acme/widgets/pull/{pull}",
                agent="scripted",
                attempt=1,
                worktreePath=str(scene.clone),
            ),
        )
    scene.sandbox.expect_together(r"/pulls/\d+/files" if what == "plan" else r"/reviews(\?|$)", 4)
    if what == "pass":
        one_pass([])
    else:
        words = {"status": ("status", "--fetch"), "plan": ("plan",)}[what]
        scene.orch(*words, check=True)
    assert scene.sandbox.met.parties == 1, "they met"


def test_little_left_stretches_the_interval_and_a_limit_is_waited_for(scene: Scene) -> None:
    said: list[str] = []
    options = Options({}, 1, False, False, False)
    coordinator = Coordinator(open_context(), options, lambda text, _: said.append(text))
    coordinator.pass_once(Clock(time.time(), time.monotonic()))
    scene.sandbox.rate_used["you"] = 4600
    now = time.time() + 2
    coordinator.pass_once(Clock(now, time.monotonic() + 2))
    assert now + 60 < coordinator.not_before < now + 601
    scene.sandbox.requests.clear()
    coordinator.pass_once(Clock(now + 2, time.monotonic() + 4))
    assert not scene.sandbox.requests
    scene.sandbox.rate_used["you"] = scene.sandbox.rate_limit
    coordinator.not_before = 0
    coordinator.pass_once(Clock(now + 4, time.monotonic() + 6))
    assert coordinator.not_before > time.time() + 60 and "workers go on" in said[-1]


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503, "times": 9},
        {"kind": "cut", "times": 9},
        {"kind": "half", "times": 9},
        {"kind": "malformed", "times": 9},
        {"status": 429, "retry_after": 120},
        {"status": 403, "message": "You have exceeded a secondary rate limit"},
    ],
)
def test_a_pass_that_fails_changes_nothing(scene: Scene, fault: dict[str, object]) -> None:
    """Not found is never read out of an error, and no write is repeated."""
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.wait_status(number, "complete")
    pass_over(scene)
    before = facts(scene, number)
    scene.sandbox.requests.clear()
    scene.sandbox.edit_issue(number + 1, title="What is asked for next is no longer what was seen")
    scene.sandbox.fail(route=".*/pulls", **fault)  # type: ignore[arg-type]
    said: list[str] = []
    options = Options({}, 60, False, False, False)
    passed = Coordinator(open_context(), options, lambda text, _: said.append(text)).pass_once(
        Clock(time.time() + 60, time.monotonic())
    )
    assert not passed.ok and facts(scene, number) == before and "workers go on" in "".join(said)
    assert {each.method for each in scene.sandbox.requests} == {"GET"}


def test_a_whole_journey_writes_only_what_is_allowed(scene: Scene) -> None:
    """Spawn, question, answer, follow-up, stack, write-back, prune; then what arrived, and what the remote witnessed."""
    scene.config = scene.config.replace("[github]\n", "[github]\nwrite_back = true\n")
    scene.write_config()
    scene.agent(ASK)
    first = scene.issue()
    scene.orch("spawn", str(first), check=True)
    scene.wait_status(first, "stuck")
    pass_over(scene)
    scene.sandbox.comment(first, "/answer 2", by="maria")
    pass_over(scene)
    status = scene.wait_status(first, "complete")
    pull = int(status["pullRequestUrl"].rpartition("/")[2])
    scene.agent('commit "on-top-$issue.txt"\nreport complete --title "On top"\n')
    second = scene.issue(body=f"Depends on #{first}")
    scene.orch("spawn", str(second), "--stack", check=True)
    scene.wait_status(second, "complete")
    head = scene.sandbox.pulls[pull].head_sha
    scene.sandbox.set_check(head, "test", "failure")
    pass_over(scene)
    scene.wait(lambda: scene.sandbox.pulls[pull].head_sha != head)
    scene.wait_status(first, "complete")
    scene.sandbox.person.merge(pull)
    pass_over(scene)
    assert f"#{first}: removed" in scene.orch("prune", check=True).out
    scene.check_invariants()  # the allow-list of writes, no merging route, no unknown one
    written = Counter(
        re.sub(r"/\d+", "/N", f"{each.method} {unquote(each.path)}")
        for each in scene.sandbox.requests
        if each.method != "GET"
    )
    assert set(written) == {
        "POST /repos/acme/widgets/pulls",
        "PATCH /repos/acme/widgets/pulls/N",
        "POST /repos/acme/widgets/issues/N/comments",
        "PATCH /repos/acme/widgets/issues/comments/N",
        "POST /repos/acme/widgets/issues/N/labels",
        "DELETE /repos/acme/widgets/issues/N/labels/orch:stuck",
        "DELETE /repos/acme/widgets/issues/N/labels/orch:working",
    }
    assert (
        written["POST /repos/acme/widgets/pulls"] == 2
        and written["PATCH /repos/acme/widgets/pulls/N"] == 1
    )
    assert {push.ref for push in scene.sandbox.pushes} == {
        f"refs/heads/issue-{first}",
        f"refs/heads/issue-{second}",
    }
    assert all(set(push.new) != {"0"} for push in scene.sandbox.pushes), "no branch is deleted"


def test_the_fence_lets_no_merge_through(scene: Scene) -> None:
    from issue_orch.github.fence import NotAllowed

    with connect(open_context()) as gh, pytest.raises(NotAllowed):
        gh.write(lambda repo: repo.get_pull(1).merge())
    assert not scene.sandbox.merge_attempts and not scene.sandbox.requests
