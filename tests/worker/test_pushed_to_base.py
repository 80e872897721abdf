"""A worker that pushes to the base itself is noticed before a pull is opened, and named by everything that a person types."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.kit.scene import Scene

DONE = 'report complete --title "Solve #$issue"\n'
COMMIT = 'commit "work-$issue.txt"\n'
WORDS = "are on main already, pushed, not by a pull: look at "

WAYS = {
    "the branch": f"{COMMIT}git push -q origin HEAD:main\n{DONE}",
    "by its address": f'{COMMIT}git push -q "$(git remote get-url origin)" HEAD:main\n{DONE}',
    "by a merge": f"{COMMIT}git checkout -q --detach origin/main\ngit merge -q --no-ff -m m issue-1\n"
    f"git push -q origin HEAD:main\ngit checkout -q issue-1\n{DONE}",
    "picked": f"{COMMIT}git checkout -q --detach origin/main\nGIT_COMMITTER_NAME=x git cherry-pick issue-1 >&2\n"
    f"git push -q origin HEAD:main\ngit checkout -q issue-1\n{DONE}",
    "a part of it": f"{COMMIT}git push -q origin HEAD:main\ncommit more.txt\n{DONE}",
}


@pytest.fixture
def careless(scene: Scene) -> Iterator[Scene]:
    """Its workers push to the base: that alone is taken out of what the remote witnessed, before it is looked at."""
    yield scene
    witness = scene.sandbox.repository.path / "sandbox-pushes"
    lines = witness.read_text().splitlines(keepends=True)
    witness.write_text("".join(each for each in lines if not each.startswith("refs/heads/main ")))


def found_by_doctor(scene: Scene) -> list[str]:
    rows = json.loads(scene.orch("doctor", "--json").out)["checks"]
    return [row["text"] for row in rows if row["state"] == "error"]


@pytest.mark.parametrize("way", WAYS)
def test_a_push_to_the_base_is_named_and_not_tried_again(careless: Scene, way: str) -> None:
    scene = careless
    scene.agent(WAYS[way])
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    status = scene.wait_status(number, "stuck")
    sha = status["stuckReason"].rpartition("/")[2]
    reason = f"the commits of issue-1 {WORDS}{scene.sandbox.base_url}/acme/widgets/commit/{sha}"
    assert status["stuckReason"] == reason and status["publish"] is None
    assert sha in scene.git(
        "rev-list", scene.sandbox.heads["main"], cwd=scene.sandbox.repository.path
    )
    assert scene.headline(number) == "STUCK" and "".join(reason.split()) in "".join(
        scene.orch("show", str(number)).out.split()
    )
    assert [text for text in found_by_doctor(scene) if reason in text and text.startswith("#1: ")]
    assert not scene.sandbox.pulls and len(list(scene.folder.glob("prompt-*"))) == 1
    asked = len(scene.sandbox.requests)
    ran = scene.orch("resume", str(number))
    if way == "a part of it":  # what is left of it becomes a pull, when a person who knows lets it
        assert ran.code == 0 and scene.wait_status(number, "complete")["pullRequestUrl"]
        assert [text for text in found_by_doctor(scene) if reason in text], "still named"
    elif way in {"the branch", "by its address", "by a merge"}:
        assert ran.code == 1 and f"error: #1: {reason}\n" in ran.err, ran
        assert not [
            each
            for each in scene.sandbox.requests[asked:]
            if each.method == "POST" and "/pulls" in each.path
        ]
        assert scene.status(number)["status"] == "stuck" and not scene.supervisors()
    assert len(list(scene.folder.glob("prompt-*"))) == 1, "no agent was started for it"


def test_what_was_undone_on_the_base_becomes_a_pull(careless: Scene) -> None:
    scene = careless
    before = scene.sandbox.heads["main"]
    scene.agent(WAYS["the branch"])
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.wait_status(number, "stuck")
    scene.git("update-ref", "refs/heads/main", before, cwd=scene.sandbox.repository.path)
    scene.sandbox.sync()
    scene.orch("resume", str(number), check=True)
    assert scene.wait_status(number, "complete")["pullRequestUrl"] and not found_by_doctor(scene)


def test_doctor_names_it_before_the_worker_is_done(careless: Scene) -> None:
    scene = careless
    scene.agent(f"{COMMIT}git push -q origin HEAD:main\nreport stuck --decision q --option a\n")
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.wait_status(number, "stuck")
    assert [
        text for text in found_by_doctor(scene) if f"#1: the commits of issue-1 {WORDS}" in text
    ]


@pytest.mark.parametrize("method", ["merge", "squash", "rebase"])
def test_a_pull_that_a_person_merged_is_no_push(scene: Scene, method: str) -> None:
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.wait_status(number, "complete")
    scene.sandbox.person.merge(scene.pull_of(number), method)  # type: ignore[arg-type]
    scene.git("fetch", "-q")
    assert not found_by_doctor(scene)
    scene.agent(f"commit again.txt\n{DONE}")
    scene.orch("tell", str(number), "and one more", check=True)
    scene.wait(
        lambda: len(scene.sandbox.pulls) == 2, what="what came after it has a pull of its own"
    )
    scene.wait_quiet()
    scene.check_invariants()


def test_what_others_pushed_is_not_the_worker_s(scene: Scene) -> None:
    """Its branch was brought to the new base, and holds nothing of its own: the worker hears that."""
    scene.gate("go")
    scene.agent(f"await go\ngit fetch -q\ngit merge -q --ff-only origin/main\n{DONE}")
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.sandbox.seed({"other.txt": "x\n"}, "By somebody")
    for _ in range(9):
        scene.release("go")
    reason = scene.wait_status(number, "stuck")["stuckReason"]
    assert "there is no commit on issue-1 that main has not got" in reason
    assert not found_by_doctor(scene)
    scene.wait_quiet()
    scene.check_invariants()
