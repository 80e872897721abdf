"""What is done for an issue, or being done by somebody, holds it: in `plan`, `spawn` and `run`, in the same words."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from issue_orch.actions.context import connect, open_context
from issue_orch.actions.facts import fetch_plan
from issue_orch.actions.taken import Branches
from issue_orch.coordinator.loop import Clock, Coordinator, Options
from issue_orch.core.plan import reason_words
from issue_orch.core.ready import Reason
from tests.coordinator.test_followup import scene
from tests.journeys.test_prune import finished
from tests.kit.scene import Scene

__all__ = ["scene"]


@pytest.fixture(autouse=True)
def _invariants(scene: Scene) -> Iterator[None]:
    yield
    scene.check_invariants()


def reasons(scene: Scene, number: int, named: bool = False) -> list[Reason]:
    """What `plan` says of the issue; nothing when it is eligible."""
    context = open_context()
    with connect(context) as gh:
        found = fetch_plan(context, gh, [number] * named, False, Branches(context))
    rows = {each.issue.number: each.reasons for each in found.ineligible}
    eligible = {each.issue.number for each in found.eligible}
    assert (number in rows) != (number in eligible)
    return [*rows.get(number, ())]


def why_not(scene: Scene, number: int) -> list[str]:
    return [reason.text for reason in reasons(scene, number)]


def passes(scene: Scene, times: int = 3) -> list[str]:
    """What `run` says in some passes, the coordinator being the same."""
    said: list[str] = []
    options = Options({}, 1, False, False, False)
    coordinator = Coordinator(open_context(), options, lambda text, _: said.append(text))
    for at in range(times):
        coordinator.pass_once(Clock(time.time() + at, time.monotonic() + at))
    return said


def held(scene: Scene, number: int, *words: str) -> None:
    """By all three, with the same sentence; and nothing is made."""
    before = (
        scene.git("for-each-ref", "refs/heads"),
        len(scene.sandbox.pulls),
        len(scene.sandbox.pushes),
    )
    [why] = reasons(scene, number)
    assert reasons(scene, number, named=True) == [why]
    for word in words:
        assert word in reason_words(why), why
    ran = scene.orch("spawn", str(number))
    assert ran.code == 1 and f"{why.text}\n  next: {why.hint}" in ran.err, ran
    assert passes(scene) == [f"#{number} could not be started: {reason_words(why)}"], (
        "once, not each pass"
    )
    assert before == (
        scene.git("for-each-ref", "refs/heads"),
        len(scene.sandbox.pulls),
        len(scene.sandbox.pushes),
    )
    assert not (scene.state / "sessions" / str(number)).exists()


def merged(scene: Scene, base: str = "main", delete: bool = True, method: Any = "squash") -> int:
    """An issue whose session was merged and archived, as a person and `prune` leave it."""
    number = scene.issue()
    finished(scene, number)
    pull = scene.pull_of(number)
    if base != "main":
        scene.git("push", "-q", str(scene.sandbox.bare), f"main:refs/heads/{base}")
        scene.sandbox.sync()
        scene.write_config(f'base = "{base}"')
        scene.sandbox.pulls[pull] = scene.sandbox.pulls[pull]._replace(base=base)
        scene.sandbox.changed()
    scene.sandbox.person.merge(pull, method, delete_branch=delete)
    assert "removed: merged" in scene.orch("prune", check=True).out
    return number


def relabel(scene: Scene, number: int) -> None:
    scene.sandbox.remove_label(number, "ready")
    scene.sandbox.add_label(number, "ready")


def begins_anew(scene: Scene, number: int, *more: str, base: str = "main") -> None:
    """It starts from the base, with a pull of its own."""
    pulls = len(scene.sandbox.pulls)
    assert why_not(scene, number) == []
    scene.agent('commit again.txt\nreport complete --title "Again"\n')
    scene.orch("spawn", str(number), *more, check=True)
    scene.wait_status(number, "complete")
    assert scene.git("log", "--format=%s", f"origin/{base}..issue-{number}").splitlines() == [
        f"Change again.txt for #{number}"
    ]
    assert len(scene.sandbox.pulls) == pulls + 1


def test_what_was_merged_into_another_branch_holds_its_open_issue(scene: Scene) -> None:
    number = merged(scene, "develop")
    assert scene.sandbox.issues[number].state == "open"
    scene.git("fetch", "-q", "--prune")
    held(scene, number, "its pull was merged (http://", "close it, or take the ready label off")
    # Of GitHub's lists nothing is left of it, or the text was changed: the archive remembers.
    scene.sandbox.twist(".*/pulls", lambda rows: [])
    held(scene, number, "its pull was merged (http://")
    scene.sandbox.twists.clear()
    relabel(scene, number)
    begins_anew(scene, number, base="develop")


def test_a_session_of_another_clone_that_was_merged_holds_too(scene: Scene) -> None:
    number = merged(scene, "develop")
    for each in (scene.state / "archive").iterdir():
        each.rename(scene.folder / each.name)
    held(scene, number, "its pull was merged (http://")


def test_an_archive_of_a_version_that_did_not_note_the_merge(scene: Scene) -> None:
    """It had only what the poll had seen, if that."""
    number = merged(scene, "develop")
    [file] = (scene.state / "archive").glob("*/pull.json")
    known = json.loads(file.read_text())
    del known["mergedAt"]
    file.write_text(json.dumps({**known, "fetchedAt": "2999-01-01T00:00:00Z"}))
    scene.sandbox.twist(".*/pulls", lambda rows: [])
    held(scene, number, "its pull was merged (http://")
    file.write_text("{")
    assert why_not(scene, number) == []


@pytest.mark.parametrize("reuse", [(), ("--reuse",)])
def test_a_reopened_issue_begins_anew_from_the_base(scene: Scene, reuse: tuple[str, ...]) -> None:
    """Also where only a ref of what was fetched once is left of the branch, and with --reuse."""
    number = merged(scene)
    scene.sandbox.reopen_issue(number)
    scene.sandbox.seed({f"work-{number}.txt": "by a person\n"}, "The same lines")
    assert scene.git("rev-parse", "--verify", f"refs/remotes/origin/issue-{number}")
    begins_anew(scene, number, *reuse)


def test_a_branch_that_is_left_on_the_remote_after_a_squash(scene: Scene) -> None:
    number = merged(scene, delete=False)
    scene.sandbox.reopen_issue(number)
    held(
        scene,
        number,
        f"the branch issue-{number} on origin is what was merged already (http://",
        f"git push origin --delete issue-{number}",
    )
    reused = scene.orch("spawn", str(number), "--reuse")
    assert reused.code == 1 and "is what was merged already" in reused.err
    scene.git("push", "-q", str(scene.sandbox.bare), "--delete", f"issue-{number}")
    scene.sandbox.sync()
    begins_anew(scene, number)


def test_a_branch_that_is_left_on_the_remote_after_a_merge(scene: Scene) -> None:
    """The base holds it, so what begins there can be pushed to it."""
    number = merged(scene, delete=False, method="merge")
    scene.sandbox.reopen_issue(number)
    begins_anew(scene, number, "--reuse")


def test_a_branch_that_is_left_here_is_not_continued(scene: Scene) -> None:
    number = merged(scene)
    scene.sandbox.reopen_issue(number)
    scene.git("branch", f"issue-{number}", f"refs/remotes/origin/issue-{number}")
    held(scene, number, "here is what was merged already", f"git branch -D issue-{number}")
    reused = scene.orch("spawn", str(number), "--reuse")
    assert reused.code == 1 and "is what was merged already" in reused.err
    scene.git("branch", "-qD", f"issue-{number}")
    begins_anew(scene, number)


def person_pushes(scene: Scene, branch: str) -> None:
    """From another clone."""
    other = scene.folder / f"person-{branch}"
    scene.git("clone", "-q", str(scene.sandbox.bare), str(other))
    scene.git("switch", "-q", "-c", branch, cwd=other)
    scene.git("commit", "-q", "--allow-empty", "-m", f"Of a person on {branch}", cwd=other)
    scene.git("push", "-q", "origin", branch, cwd=other)
    scene.sandbox.sync()


def opened(scene: Scene, body: str, base: str = "main", branch: str = "add-x") -> int:
    person_pushes(scene, branch)
    if base not in scene.sandbox.heads:
        scene.git("push", "-q", str(scene.sandbox.bare), f"main:refs/heads/{base}")
        scene.sandbox.sync()
    return scene.sandbox.open_pull(branch, base, "Add x", body, "maria")


@pytest.mark.parametrize(
    ("body", "base"),
    [
        ("Closes #{number}", "main"),
        ("Some words.\n\nfixes: acme/widgets#{number}, resolves #99", "main"),
        ("Resolves {url}/acme/widgets/issues/{number}", "release"),
    ],
)
def test_an_open_pull_that_says_that_it_closes_the_issue(
    scene: Scene, body: str, base: str
) -> None:
    number = scene.issue()
    said = body.format(number=number, url=scene.sandbox.base_url)
    pull = opened(scene, said, base)
    held(scene, number, f"{scene.sandbox.base_url}/acme/widgets/pull/{pull} says that it closes it")
    scene.sandbox.person.close_pull(pull)
    assert why_not(scene, number) == []


def test_a_pull_that_only_speaks_of_the_issue(scene: Scene) -> None:
    number = scene.issue()
    opened(scene, f"See #{number}. <!-- Closes #{number} --> `fixes #{number}`")
    assert why_not(scene, number) == []


def test_somebodys_pull_that_was_merged_into_another_branch(scene: Scene) -> None:
    number = scene.issue()
    pull = opened(scene, f"Fixes #{number}", "release")
    scene.sandbox.person.merge(pull, "squash", delete_branch=True)
    held(scene, number, "a pull that says that it closes it was merged (http://", f"/pull/{pull})")
    relabel(scene, number)
    assert why_not(scene, number) == []


def test_a_branch_that_another_clone_pushed(scene: Scene) -> None:
    number = scene.issue()
    person_pushes(scene, f"issue-{number}")
    held(scene, number, f"the branch issue-{number} exists on origin", "ask who works on it")
    scene.orch("spawn", str(number), "--reuse", check=True)
    scene.wait_status(number, "complete")
    assert f"Of a person on issue-{number}" in scene.git("log", "--format=%s", f"issue-{number}")


def test_what_a_person_made_here_is_in_the_plan(scene: Scene) -> None:
    """A branch, one that is checked out, the folder: whatever the start would refuse."""
    branch, checked_out, folder = scene.issue(), scene.issue(), scene.issue()
    scene.git("branch", f"issue-{branch}")
    scene.git("worktree", "add", "-q", str(scene.folder / "mine"), "-b", f"issue-{checked_out}")
    (scene.folder / f"widgets-issue-{folder}").mkdir()
    (scene.folder / f"widgets-issue-{folder}" / "notes").write_text("mine\n")
    for number, words in (
        (branch, f"the branch issue-{branch} exists already"),
        (checked_out, f"the branch issue-{checked_out} is checked out in {scene.folder}/mine"),
        (folder, f"{scene.folder}/widgets-issue-{folder}: exists already"),
    ):
        [why] = why_not(scene, number)
        assert why.startswith(words)
        ran = scene.orch("spawn", str(number))
        assert ran.code == 1 and words in ran.err
    assert len(passes(scene)) == 3


def test_a_start_that_was_cut_off_is_not_in_its_own_way(scene: Scene) -> None:
    """With --reuse, and killed after the branch was made: the plan offers it, and spawn takes it up."""
    number = scene.issue()
    person_pushes(scene, f"issue-{number}")
    scene.write_config('setup = [["false"]]')
    assert scene.orch("spawn", str(number), "--reuse").code == 1
    scene.write_config()
    assert why_not(scene, number) == []
    scene.orch("spawn", str(number), check=True)
    scene.wait_status(number, "complete")


def asked_of_git(scene: Scene, act: Callable[[], object]) -> int:
    """How often the remote was asked what it has."""
    scene.sandbox.git_requests.clear()
    act()
    return sum(
        each.path.endswith("/info/refs") and each.status == 200
        for each in scene.sandbox.git_requests
    )


def test_the_remote_is_asked_once_for_all_candidates(scene: Scene) -> None:
    numbers = [scene.issue() for _ in range(5)]
    assert asked_of_git(scene, lambda: why_not(scene, numbers[0])) == 1
    scene.sandbox.requests.clear()
    why_not(scene, numbers[0])
    assert [each.path.rpartition("/")[2] for each in scene.sandbox.requests].count("pulls") == 2
    assert not [each for each in scene.sandbox.requests if each.path.endswith("timeline")]
    for number in numbers:
        scene.sandbox.remove_label(number, "ready")
    assert asked_of_git(scene, lambda: why_not(scene, numbers[0])) == 0, "nothing could start"


def test_a_remote_that_cannot_be_asked_starts_nothing(scene: Scene) -> None:
    number = scene.issue()
    scene.git("remote", "set-url", "origin", f"{scene.sandbox.base_url}/acme/elsewhere.git")
    scene.orch("init", "--approve")
    ran = scene.orch("plan")
    assert ran.code == 0 and "what others have pushed is not known: origin" in ran.err, ran
    started = scene.orch("spawn", str(number))
    assert started.code == 1 and "origin" in started.err
    assert not list((scene.state / "sessions").iterdir())


def test_a_dependency_on_a_pull_that_was_closed_without_a_merge(scene: Scene) -> None:
    pull = opened(scene, "")
    number = scene.issue(body=f"Depends on #{pull}")
    [why] = why_not(scene, number)
    assert "blocked by" in why
    scene.sandbox.person.close_pull(pull)
    [why] = why_not(scene, number)
    assert f'depends on what was closed, but not completed: #{pull} "Add x"' in why
    again = opened(scene, "", branch="add-y")
    scene.sandbox.edit_issue(number, body=f"Depends on #{again}")
    scene.sandbox.person.merge(again)
    assert why_not(scene, number) == []
