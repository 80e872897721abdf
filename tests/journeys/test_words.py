"""What people type: issues as they name them, answers as they mean them."""

from __future__ import annotations

import shlex

import pytest

from tests.kit.scene import COMPLETE, Scene


def told(scene: Scene, number: int) -> str:
    """What the worker was given at its second attempt."""
    scene.wait_status(number, "complete")
    return (scene.folder / f"prompt-{number}.2").read_text()


def named(scene: Scene, number: int) -> list[str]:
    return [
        str(number),
        f"#{number}",
        f"0{number}",
        f"acme/widgets#{number}",
        f"ACME/Widgets/issues/{number}",
        scene.status(number)["issueUrl"],
        f"{scene.status(number)['issueUrl']}#issuecomment-7",
        f"issue-{number}",
        f"refs/heads/issue-{number}",
    ]


def test_an_issue_is_named_as_people_name_it(scene: Scene) -> None:
    number = scene.stuck()
    for word in named(scene, number):
        ran = scene.orch("show", word, check=True)
        assert ran.out.startswith(f"#{number}"), (word, ran)
    scene.orch("answer", f"#{number}", "left", check=True)
    scene.wait_status(number, "complete")
    pull = scene.status(number)["pullRequestUrl"]
    for word in (pull, f"{pull}/files", f"{pull}?diff=split"):
        assert scene.orch("show", word, check=True).out.startswith(f"#{number}"), word


NOT_OURS = {
    "acme/gadgets#1": "not of",
    "https://github.com/acme/widgets/issues/1": "not of github.com/acme/widgets",
    "issue-77": "no issue",
    "0": "no issue",
    "acme/widgets/pull/77": "no issue",
    "first": "no issue",
}


@pytest.mark.parametrize("verb", ["spawn", "show", "answer", "prune"])
def test_what_names_no_issue_of_this_clone_is_refused(scene: Scene, verb: str) -> None:
    scene.issue()
    for word, words in NOT_OURS.items():
        ran = scene.orch(verb, word, *(["hello"] if verb == "answer" else []))
        assert ran.code == 2 and words in ran.err and "next: " in ran.err, ran
    assert not scene.sessions()


def test_an_issue_that_is_named_twice_is_meant_once(scene: Scene) -> None:
    scene.agent(COMPLETE)
    number = scene.issue()
    ran = scene.orch("spawn", str(number), f"#{number}", f"0{number}", check=True)
    assert ran.out.count("worker started") == 1 and ran.err.count("worker started") == 0
    assert scene.orch("stop", str(number), f"0{number}").out.count(f"#{number}:") == 1


def test_inside_its_worktree_the_issue_need_not_be_named(scene: Scene) -> None:
    number = scene.stuck()
    inside = scene.worktree(number) / "deeper"
    inside.mkdir()
    for verb in ("show", "logs"):
        ran = scene.orch(verb, cwd=inside)
        assert ran.code == 0 and str(number) in ran.out + ran.err, ran
    assert scene.orch("stop", cwd=inside, check=True).out == f"#{number}: stopped\n"
    outside = scene.orch("stop")
    assert outside.code == 2 and "which issue?" in outside.err


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (["2"], "right"),
        (["2."], "right"),
        (["--option", "1", "and document it"], "left\nand document it"),
        (["--", "- use sliding; - keep tests"], "- use sliding; - keep tests"),
        (["-"], "line one\nline two"),
        (["-o", "2", "-"], "right\nline one\nline two"),
    ],
)
def test_an_answer_arrives_as_it_was_meant(scene: Scene, words: list[str], given: str) -> None:
    number = scene.stuck()
    typed = scene.folder / "typed"
    typed.write_text("line one\nline two\n")
    with typed.open() as stdin:
        scene.orch("answer", str(number), *words, stdin=stdin.fileno(), check=True)
    assert f"\n\n{given}\n" in told(scene, number)


@pytest.mark.parametrize("verb", ["answer", "tell"])
def test_a_number_that_no_option_has_leaves_the_question_open(scene: Scene, verb: str) -> None:
    number = scene.stuck()
    for words in (["7"], ["0"]):
        ran = scene.orch(verb, str(number), *words)
        assert ran.code == 2 and "1 to 2, or say it in words" in ran.err, ran
    assert scene.status(number)["question"]
    assert scene.orch("answer", "--option", "1").code == 2


@pytest.mark.parametrize("verb", ["answer", "tell"])
def test_the_hint_of_a_text_that_looks_like_an_option_can_be_typed(scene: Scene, verb: str) -> None:
    number = scene.stuck()
    for text in ("use --force on it's index", "-force it, and -x", "--no-cache always"):
        ran = scene.orch(verb, str(number), *text.split())
        hint = ran.err.partition("next: issue-orch ")[2].strip()
        assert ran.code == 2 and " -- " in hint, ran
    scene.orch(*shlex.split(hint), check=True)
    assert "\n\n--no-cache always\n" in told(scene, number)


def test_a_finished_worker_is_not_woken_by_an_answer(scene: Scene) -> None:
    scene.agent(COMPLETE)
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.wait_status(number, "complete")
    ran = scene.orch("answer", str(number), "it's fine")
    hint = ran.err.partition("next: issue-orch ")[2].strip()
    assert ran.code == 1 and "asks nothing" in ran.err and hint.startswith(f"tell {number} ")
    assert scene.status(number)["attempt"] == 1
    scene.orch(*shlex.split(hint), check=True)
    assert "it's fine" in told(scene, number)
