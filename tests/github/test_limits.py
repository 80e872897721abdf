"""GitHub that limits, fails, lies or is silent, seen from every command that asks it: it ends, it says why and until
when, nothing is half made, no write is repeated blindly, and workers go on."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.fleet import make_fleet
from tests.kit.github_fake import SECONDARY
from tests.kit.scene import COMPLETE, ENDLESS, Scene

LIMIT = {"status": 403, "message": "API rate limit exceeded for user ID 1."}
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "403 with a reset": (
        {**LIMIT, "headers": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "RESET"}},
        "LIMIT",
    ),
    "403 without headers": ({"status": 403, "message": SECONDARY}, "LIMIT"),
    "429 with Retry-After": ({"status": 429, "message": "Slow down", "retry_after": 120}, "LIMIT"),
    "429 without headers": ({"status": 429, "message": ""}, "LIMIT"),
    "502": ({"status": 502}, "502"),
    "no answer": ({"kind": "cut"}, "[Cc]onnection"),
    "half of an answer": ({"kind": "half"}, "[Cc]onnection|half|Incomplete"),
    "no JSON": ({"kind": "malformed"}, "not JSON"),
}
UNTIL = re.compile(r"GitHub's limit is reached, until (\d\d:\d\d:\d\d)")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with make_fleet(tmp_path) as made:
        yield made


def break_down(
    scene: Scene, fault: dict[str, Any], method: str = "GET", route: str = "/.*"
) -> None:
    headers = {
        name: str(int(time.time()) + 600) if value == "RESET" else value
        for name, value in fault.get("headers", {}).items()
    }
    scene.sandbox.fail(method=method, route=route, times=99, **{**fault, "headers": headers})


def recover(scene: Scene) -> None:
    """GitHub answers again, and the time until which it wanted to be left alone has passed."""
    scene.sandbox.faults.clear()
    (scene.state / "cache" / "limit.json").unlink(missing_ok=True)


def says(text: str, words: str) -> bool:
    return bool(UNTIL.search(text) if words == "LIMIT" else re.search(words, text))


@pytest.mark.wide(3)
@pytest.mark.parametrize("name", FAULTS)
def test_a_command_that_cannot_ask_ends_and_makes_nothing(scene: Scene, name: str) -> None:
    fault, words = FAULTS[name]
    scene.agent(ENDLESS)
    at_work, number = scene.issue(), scene.issue()
    scene.orch("spawn", str(at_work), check=True)
    scene.wait(lambda: scene.status(at_work)["status"] == "working")
    break_down(scene, fault)
    for command in (
        ("plan",),
        ("plan", str(number)),
        ("spawn", str(number)),
        ("spawn", "--yes"),
        ("run", "--once"),
        ("status", "--fetch"),
    ):
        before = len(scene.sandbox.requests)
        ran = scene.orch(*command)
        assert ran.code == 1, f"{command}: {ran}"
        asked = Counter(
            (each.method, each.path, str(each.query)) for each in scene.sandbox.requests[before:]
        )
        assert max(asked.values(), default=0) <= 3, (
            f"{command} asks once, or three times when that may help: {asked}"
        )
        assert says(ran.err, words), f"{command} says {ran.err!r}"
        assert "Traceback" not in ran.err and "no such issue" not in ran.err, (
            "an error is not 'not found'"
        )
    assert (
        scene.supervisors()
        and not scene.status(number)
        and not scene.git("branch", "--list", f"issue-{number}")
    )
    recover(scene)
    assert f"#{number} started" in scene.orch("run", "--once", check=True).err


@pytest.mark.wide(4)
@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_pull_that_cannot_be_made_is_made_later_and_once(
    scene: Scene, method: str, name: str
) -> None:
    """Settle, in its questions and in its write; the write may have been done although no answer came."""
    fault, _ = FAULTS[name]
    scene.gate("turn")
    scene.agent("await turn\n" + COMPLETE)
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    break_down(scene, fault, method, "/repos/acme/widgets/pulls")
    scene.release("turn")
    scene.wait_quiet()
    written = [each for each in scene.sandbox.requests if each.method == "POST"]
    assert len(written) == (method == "POST"), written
    if scene.status(number)["status"] != "complete":  # else it was found at once
        assert scene.headline(number) == "PUBLISH PENDING"
    recover(scene)
    scene.orch("run", "--once", check=True)
    scene.wait_status(number, "complete")
    assert len(scene.sandbox.pulls) == 1
    scene.wait_quiet()
    scene.check_invariants()
