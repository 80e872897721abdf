"""Work that others began is taken over as a session, by name: what is refused, and what becomes of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.coordinator.test_followup import pass_over, scene
from tests.journeys.test_taken import opened, person_pushes, why_not
from tests.kit.scene import Scene

__all__ = ["scene"]


@pytest.fixture(autouse=True)
def _invariants(scene: Scene) -> Iterator[None]:
    scene.adopted.add("add-x")
    yield
    scene.check_invariants()


def adopt(scene: Scene, number: int, *words: str) -> Any:
    return scene.orch("spawn", str(number), *words, "--yes")


def test_a_pull_becomes_a_session_and_stays_its_authors(scene: Scene) -> None:
    number = scene.issue()
    pull = opened(scene, f"My words. Closes #{number}")
    asked = scene.orch("spawn", str(number), "--pull", str(pull))
    assert asked.code == 2 and f"next: issue-orch spawn {number} --pull {pull} --yes" in asked.err
    assert '1 commit by You, the last: "Of a person on add-x"; pull "Add x" of @maria' in asked.err
    assert not list((scene.state / "sessions").iterdir())
    scene.gate("go")
    scene.agent('await go\ncommit more.txt\nreport complete --title "Mine" --body "All mine."\n')
    ran = adopt(scene, number, "--pull", str(pull))
    assert ran.code == 0 and "takes over add-x: 1 commit by You" in ran.err, ran
    url = f"{scene.sandbox.base_url}/acme/widgets/pull/{pull}"
    assert (scene.status(number)["branch"], scene.status(number)["pullRequestUrl"]) == (
        "add-x",
        url,
    )
    told = (scene.folder / f"prompt-{number}.1").read_text()
    assert "The branch has 1 earlier commit, which others made" in told and url in told
    assert why_not(scene, number)[0].startswith("its session is")
    scene.release("go")
    scene.wait_status(number, "complete")
    issue = scene.sandbox.issues[pull]
    assert (issue.title, issue.body) == ("Add x", f"My words. Closes #{number}")
    assert len(scene.sandbox.pulls) == 1
    assert scene.git("log", "--format=%s", "origin/main..add-x").splitlines() == [
        f"Change more.txt for #{number}",
        "Of a person on add-x",
    ]
    scene.sandbox.person.merge(pull, "squash", delete_branch=True)
    assert "removed: merged" in scene.orch("prune", check=True).out


def test_a_branch_without_a_pull_gets_one(scene: Scene) -> None:
    number = scene.issue()
    person_pushes(scene, "add-x")
    assert adopt(scene, number, "--branch", "add-x").code == 0
    scene.wait_status(number, "complete")
    [pull] = scene.sandbox.pulls.values()
    assert (pull.head, scene.sandbox.issues[pull.number].title) == ("add-x", f"Solve #{number}")


def test_a_branch_finds_its_pull(scene: Scene) -> None:
    number = scene.issue()
    pull = opened(scene, "")
    scene.git("branch", "add-x", "main")  # here it is behind
    ran = adopt(scene, number, "--branch", "add-x")
    assert ran.code == 1 and "the branch add-x here is behind origin" in ran.err
    scene.git(*ran.err.partition("next: git ")[2].split())
    assert adopt(scene, number, "--branch", "refs/heads/add-x").code == 0
    assert scene.pull_of(number) == pull
    scene.wait_status(number, "complete")
    assert len(scene.sandbox.pulls) == 1


def test_what_is_not_taken_over(scene: Scene) -> None:
    """Each in words of its own, and nothing is made."""
    number, other = scene.issue(), scene.issue()
    fork, gone, closed, merged = (opened(scene, "", branch=f"of-{name}") for name in "abcd")
    elsewhere = opened(scene, "", "release", "of-e")
    scene.sandbox.person.close_pull(closed)
    scene.sandbox.person.merge(merged, "squash")
    person_pushes(scene, f"issue-{other}")
    person_pushes(scene, "add+x")
    scene.git("push", "-q", str(scene.sandbox.bare), "main:refs/heads/held")
    scene.git("worktree", "add", "-q", str(scene.folder / "mine"), "-b", "held")
    scene.sandbox.sync()

    def of_fork(body: dict[str, Any]) -> dict[str, Any]:
        whole = {**body["head"]["repo"], "full_name": "bob/widgets"}
        repo = whole if body["number"] == fork else None
        return {**body, "head": {**body["head"], "repo": repo}}

    scene.sandbox.twist(f".*/pulls/({fork}|{gone})", of_fork)
    before = scene.git("for-each-ref", "refs/heads"), len(scene.sandbox.pulls)
    for words, said in (
        (("--pull", fork), "comes from the fork bob/widgets: issue-orch pushes to acme/widgets"),
        (("--pull", gone), "comes from the fork (which is gone)"),
        (("--pull", closed), f"pull/{closed} is closed"),
        (("--pull", merged), f"pull/{merged} was merged already"),
        (("--branch", "of-d"), "what of-d holds was merged already (http://"),
        (("--pull", elsewhere), "goes into release, and sessions start from main"),
        (("--branch", "of-e"), "goes into release, and sessions start from main"),
        (("--pull", other), f"#{other} is no pull of acme/widgets"),
        (("--pull", 4711), "#4711 is no pull of acme/widgets"),
        (("--branch", "main"), "main is a base: it is never pushed to"),
        (("--branch", "nothing"), "origin has no branch nothing, nor has this clone"),
        (("--branch", f"issue-{other}"), f"issue-{other} is the branch of #{other}"),
        (("--branch", "held"), f"the branch held is checked out in {scene.folder}/mine"),
        (("--branch", "add+x"), "'add+x': issue-orch works on branches of letters"),
        (("--branch", "--force"), ""),
        (("--pull", fork, "--branch", "x"), "one issue takes over one pull or one branch"),
        (("--pull", fork, "--reuse"), "one issue takes over one pull or one branch"),
        (("--pull", fork, str(other)), "one issue takes over one pull or one branch"),
    ):
        ran = adopt(scene, number, *map(str, words))
        assert ran.code and said in ran.err, (words, ran)
        assert "next: " in ran.err or not said, ran
    scene.write_config('base = "release"')
    ran = adopt(scene, number, "--branch", "main")
    assert ran.code == 2 and "main is a base" in ran.err, "the default branch is one too"
    assert before == (scene.git("for-each-ref", "refs/heads"), len(scene.sandbox.pulls))
    assert not list((scene.state / "sessions").iterdir())


def test_an_issue_with_a_session_takes_nothing_over(scene: Scene) -> None:
    number = scene.stuck()
    pull = opened(scene, "")
    ran = adopt(scene, number, "--pull", str(pull))
    assert ran.code == 1 and "its session is stuck" in ran.err


def test_a_start_that_was_cut_off_is_taken_up_on_that_branch(scene: Scene) -> None:
    number = scene.issue()
    pull = opened(scene, f"Closes #{number}")
    scene.write_config('setup = [["false"]]')
    assert adopt(scene, number, "--pull", str(pull)).code == 1
    scene.write_config()
    assert why_not(scene, number) == []
    scene.orch("spawn", str(number), check=True)
    scene.wait_status(number, "complete")
    assert (scene.status(number)["branch"], scene.pull_of(number)) == ("add-x", pull)
    assert "The branch has 1 earlier commit" in (scene.folder / f"prompt-{number}.1").read_text()


@pytest.mark.parametrize("answer", ["y\n", "n\n"])
def test_a_person_is_asked(scene: Scene, answer: str) -> None:
    number = scene.issue()
    pull = opened(scene, "")
    ours, theirs = os.openpty()
    os.write(ours, answer.encode())
    with scene.start("spawn", str(number), "--pull", str(pull), stdin=theirs) as child:
        _, err = child.communicate(timeout=scene.deadline)
    for each in (ours, theirs):
        os.close(each)
    assert "Take it over?" in err
    assert (child.returncode, bool(scene.status(number))) == (
        (0, True) if answer == "y\n" else (1, False)
    )
    if answer == "y\n":
        scene.wait_status(number, "complete")


def test_no_second_pull_after_one_that_a_person_closed_or_pointed_elsewhere(scene: Scene) -> None:
    scene.gate("go")
    scene.agent("await go\ncommit more.txt\nreport complete\n")
    closed, moved = scene.issue(), scene.issue()
    scene.adopted.add("add-y")
    pulls = opened(scene, ""), opened(scene, "", branch="add-y")
    for number, pull in zip((closed, moved), pulls, strict=True):
        assert adopt(scene, number, "--pull", str(pull)).code == 0
    scene.sandbox.person.close_pull(pulls[0])
    scene.git("push", "-q", str(scene.sandbox.bare), "main:refs/heads/release")
    scene.sandbox.sync()
    scene.sandbox.pulls[pulls[1]] = scene.sandbox.pulls[pulls[1]]._replace(base="release")
    scene.sandbox.changed()
    for _ in range(2):
        scene.release("go")
    scene.wait_status(moved, "complete")
    status = scene.wait(lambda: (each := scene.status(closed)) and each["publish"] and each)
    assert "was closed without a merge: reopen it" in status["publish"]["reason"]
    scene.wait_quiet()
    assert len(scene.sandbox.pulls) == 2
    scene.sandbox.reopen_issue(pulls[0])
    scene.orch("resume", str(closed), check=True)
    scene.wait(lambda: scene.status(closed)["publish"] is None)
    scene.wait_quiet()
    assert len(scene.sandbox.pulls) == 2


def test_what_a_person_pushed_meanwhile_is_not_overwritten(scene: Scene) -> None:
    scene.gate("go")
    scene.agent("await go\ncommit more.txt\nreport complete\n")
    number = scene.issue()
    pull = opened(scene, "")
    assert adopt(scene, number, "--pull", str(pull)).code == 0
    other = scene.folder / "person-add-x"
    scene.git("commit", "-q", "--allow-empty", "-m", "More of a person", cwd=other)
    scene.git("push", "-q", "origin", "add-x", cwd=other)
    scene.sandbox.sync()
    scene.agent("git merge -q refs/remotes/origin/add-x\nreport complete\n")
    scene.release("go")
    scene.wait_status(number, "complete")
    subjects = scene.git("log", "--format=%s", "add-x").splitlines()
    assert {"More of a person", "Of a person on add-x", f"Change more.txt for #{number}"} <= {
        *subjects
    }
    assert pass_over(scene) == []
