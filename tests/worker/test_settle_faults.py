"""Settle when the remote or GitHub fails in any of its phases: pending with a reason, and done by a later attempt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.kit.github_fake import FakeGitHub
from tests.kit.scene import COMPLETE, Scene, make_scene

REFS, PACK, PULLS = (
    r"/acme/widgets\.git/info/refs",
    r"/acme/widgets\.git/git-receive-pack",
    "/repos/acme/widgets/pulls",
)
GATED = "await go\n" + COMPLETE
ALWAYS = 1000


class Case(NamedTuple):
    """What fails from when the worker reports; where that leaves the first attempt, and what its reason says."""

    name: str
    breaks: Callable[[FakeGitHub], None]
    done: bool = False
    says: str = ""


class BreaksLater(FakeGitHub):
    """Can begin to fail when a pull is created."""

    then_cut = False

    def due(self, incoming):  # type: ignore[no-untyped-def]
        if self.then_cut and incoming.method == "POST" and incoming.target == PULLS:
            self.fail("cut", "GET", PULLS, times=ALWAYS)
        return super().due(incoming)


def lost_and_then_gone(fake: FakeGitHub) -> None:
    fake.fail("cut", "POST", PULLS, performed=True)
    fake.then_cut = True  # type: ignore[attr-defined]


def slow(fake: FakeGitHub) -> None:
    fake.latency_ms = 400


CASES = [
    Case(
        "the remote is cut off",
        lambda fake: fake.fail("cut", route=REFS, times=ALWAYS),
        says="unable to access",
    ),
    Case(
        "the remote fails", lambda fake: fake.fail(route=REFS, status=503, times=ALWAYS), says="503"
    ),
    Case(
        "the remote has no such repository",
        lambda fake: fake.fail(route=REFS, status=404, times=ALWAYS),
        says="not found",
    ),
    Case(
        "the remote refuses us",
        lambda fake: fake.fail(route=REFS, status=403, times=ALWAYS),
        says="403",
    ),
    Case("half of the remote's refs", lambda fake: fake.fail("half", route=REFS, times=ALWAYS)),
    Case("cut off before the push", lambda fake: fake.fail("cut", "POST", PACK, times=ALWAYS)),
    Case(
        "the answer to the push is lost",
        lambda fake: fake.fail("cut", "POST", PACK, times=ALWAYS, performed=True),
    ),
    Case(
        "half of the answer to the push", lambda fake: fake.fail("half", "POST", PACK, times=ALWAYS)
    ),
    Case(
        "the push fails",
        lambda fake: fake.fail("status", "POST", PACK, status=502, times=ALWAYS),
        says="502",
    ),
    Case("cut off after the push", lambda fake: fake.fail("cut", "GET", PULLS, times=ALWAYS)),
    Case(
        "GitHub fails after the push",
        lambda fake: fake.fail("status", "GET", PULLS, times=ALWAYS),
        says="502",
    ),
    Case("GitHub sends half a list", lambda fake: fake.fail("half", "GET", PULLS, times=ALWAYS)),
    Case("GitHub sends nonsense", lambda fake: fake.fail("malformed", "GET", PULLS, times=ALWAYS)),
    Case(
        "a limit before the pull",
        lambda fake: fake.fail("status", "GET", PULLS, status=429, times=ALWAYS, retry_after=9000),
    ),
    Case("cut off before the pull is made", lambda fake: fake.fail("cut", "POST", PULLS)),
    Case(
        "making the pull fails",
        lambda fake: fake.fail("status", "POST", PULLS, status=503),
        says="503",
    ),
    Case(
        "making the pull is forbidden",
        lambda fake: fake.fail("status", "POST", PULLS, status=403),
        says="403",
    ),
    Case("a limit on writes", lambda fake: fake.limit_secondary("POST", PULLS, retry_after=9000)),
    Case(
        "the answer to the pull is lost",
        lambda fake: fake.fail("cut", "POST", PULLS, performed=True),
        done=True,
    ),
    Case(
        "half of the answer to the pull", lambda fake: fake.fail("half", "POST", PULLS), done=True
    ),
    Case(
        "a failure that was none",
        lambda fake: fake.fail("status", "POST", PULLS, performed=True),
        done=True,
    ),
    Case(
        "an answer that is nonsense", lambda fake: fake.fail("malformed", "POST", PULLS), done=True
    ),
    Case("the answer is lost and then GitHub", lost_and_then_gone),
    Case("everything is slow", slow, done=True),
]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with make_scene(tmp_path, fake=BreaksLater) as made:
        made.agent(GATED)
        made.gate("go")
        yield made


@pytest.mark.wide(6)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_settle_while_something_fails(scene: Scene, case: Case) -> None:
    fake = scene.sandbox
    assert isinstance(fake, BreaksLater)
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    case.breaks(fake)
    scene.release("go")
    if not case.done:
        reason = scene.wait(lambda: scene.status(number)["publish"], what="publishing is pending")[
            "reason"
        ]
        scene.wait_quiet()
        assert (
            scene.headline(number) == "PUBLISH PENDING" and scene.status(number)["question"] is None
        )
        assert reason and case.says in reason, reason
        assert "issue-orch resume" in scene.orch("show", str(number), check=True).out
        assert scene.token not in reason
        scene.check_invariants(quiet=False)
        fake.faults.clear()
        fake.then_cut = False
        scene.orch("resume", str(number), check=True)
    url = str(scene.wait_status(number, "complete")["pullRequestUrl"])
    assert (
        url == f"{fake.base_url}/acme/widgets/pull/{next(iter(fake.pulls))}"
        and len(fake.pulls) == 1
    )
    assert scene.git("rev-parse", f"issue-{number}").strip() == fake.heads[f"issue-{number}"]
    assert len(list(scene.folder.glob("prompt-*"))) == 1, "the worker was not asked about it"
    scene.wait_quiet()
    scene.check_invariants()
