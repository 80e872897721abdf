"""What is posted on issues, and which comments count as answers (threats S3 and S8)."""

from __future__ import annotations

import itertools
import re

import pytest

from issue_orch.coordinator.write_back import UNKNOWN, refusal, words_of
from issue_orch.core.model import Comment
from tests.coordinator.test_followup import pass_over, scene
from tests.kit.scene import ASK, Scene

__all__ = ["scene"]

ASKED_AT, ASKED = "2030-01-02T03:04:05Z", 100
ANSWERED = Comment(
    101,
    7,
    "maria",
    "User",
    "/answer 1",
    "https://github.com/o/r/issues/7#issuecomment-101",
    "2030-01-02T03:05:00Z",
    "2030-01-02T03:05:00Z",
)
PERMISSIONS = ("admin", "maintain", "write", "triage", "read", "none", None)


@pytest.mark.parametrize("permission", PERMISSIONS)
@pytest.mark.parametrize("kind", ["User", "Bot", "App", "Organization", ""])
@pytest.mark.parametrize("author", ["maria", "issue-orch-account"])
def test_who_may_answer_when(author: str, kind: str, permission: str | None) -> None:
    """The whole table: actor, kind, permission or a failed look-up, edited, time. One cell of it is an answer."""
    times = (
        ("2030-01-02T03:04:04Z", 99),
        ("2030-01-02T03:04:05Z", 101),
        ("2030-01-02T03:05:00Z", 101),
    )
    for edited, (at, number) in itertools.product((False, True), times):
        comment = ANSWERED._replace(
            id=number,
            author=author,
            author_kind=kind,
            created_at=at,
            updated_at="2030-01-02T04:00:00Z" if edited else at,
        )
        taken = refusal(comment, ASKED_AT, ASKED, "issue-orch-account", permission) is None
        assert taken == (
            author == "maria"
            and kind == "User"
            and permission in ("admin", "maintain", "write")
            and not edited
            and number > ASKED
        )


def test_a_failed_look_up_may_be_tried_again() -> None:
    assert refusal(ANSWERED, ASKED_AT, ASKED, "me", None) == UNKNOWN
    assert (
        refusal(ANSWERED._replace(id=99), ASKED_AT, ASKED, "me", "write")
        == "it is older than the question"
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("/answer 1", "1"),
        ("/answer ²", "²"),
        ("/Answer  right\nand up", "right\nand up"),
        ("\n/answer\nboth", "both"),
        ("/answer", ""),
        ("/answers 1", ""),
        ("I would /answer 1", ""),
        ("1", ""),
    ],
)
def test_words_of_an_answer(body: str, words: str) -> None:
    assert words_of(ANSWERED._replace(body=body)) == words


@pytest.fixture
def writing(scene: Scene) -> Scene:
    scene.config = scene.config.replace("[github]\n", "[github]\nwrite_back = true\n")
    scene.write_config()
    return scene


def stuck(scene: Scene, ask: str = ASK) -> int:
    scene.agent(ask)
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.wait_status(number, "stuck")
    return number


def bodies(scene: Scene, number: int, by: str = "you") -> list[str]:
    written = [each.body for each in scene.sandbox.comments[number].values() if each.author == by]
    return [body for body in written if body.startswith("<!--")]


def labels(scene: Scene, number: int) -> set[str]:
    return {label for label in scene.sandbox.issues[number].labels if label.startswith("orch:")}


def writes(scene: Scene) -> list[str]:
    return [f"{each.method} {each.path}" for each in scene.sandbox.requests if each.method != "GET"]


def test_nothing_is_posted_unless_asked_for(scene: Scene) -> None:
    number = stuck(scene)
    scene.sandbox.comment(number, "/answer 1", by="maria")
    assert pass_over(scene) == [] and len(scene.sandbox.comments[number]) == 1
    assert not labels(scene, number) and scene.status(number)["status"] == "stuck"


def test_an_answer_by_comment_waits_until_the_worktree_is_back(writing: Scene) -> None:
    scene = writing
    number = stuck(scene)
    pass_over(scene)
    path, place = scene.worktree(number), scene.folder / "elsewhere"
    scene.git("worktree", "move", str(path), str(place))
    scene.sandbox.comment(number, "/answer 1", by="maria")
    for _ in range(2):
        assert any(f"moved to {place}" in line for line in pass_over(scene))
    assert scene.status(number)["status"] == "stuck"
    scene.git("worktree", "move", str(place), str(path))
    pass_over(scene)
    scene.wait_status(number, "complete")


def test_a_question_is_posted_answered_by_comment_and_receipted(writing: Scene) -> None:
    scene = writing
    number = stuck(scene)
    pass_over(scene)
    state, question = bodies(scene, number)
    assert state == f"<!-- issue-orch:status:{number} -->\n**Stuck**: Which way?"
    assert question.startswith("<!-- issue-orch:question:") and "1. left\n\n2. right" in question
    assert labels(scene, number) == {"orch:stuck"}
    for login, permission in (("reader", "read"), ("outsider", "none"), ("triager", "triage")):
        scene.sandbox.add_user(login, permission)  # type: ignore[arg-type]
        scene.sandbox.comment(number, f"/answer right, says {login}", by=login)
    scene.sandbox.add_user("robot", "admin", kind="Bot")
    scene.sandbox.comment(number, "/answer right, says a robot", by="robot")
    scene.sandbox.comment(number, "/answer 2", by="you")
    scene.sandbox.comment(number, "I would go right", by="maria")
    lines = pass_over(scene)
    assert len(lines) == 5 and all("not taken" in line for line in lines), lines
    assert pass_over(scene) == [] and scene.status(number)["status"] == "stuck"
    scene.sandbox.comment(number, "/answer 7", by="maria")
    (line,) = pass_over(scene)
    assert line.endswith("not taken: #1: there is no option 7: 1 to 2, or say it in words")
    said = f"<!-- issue-orch:answer:{number} -->\n#1: there is no option 7"
    assert bodies(scene, number)[2].startswith(said), bodies(scene, number)
    answer = scene.sandbox.comment(number, "/answer 1", by="maria")
    (line,) = pass_over(scene)
    assert line.startswith(f"#{number}: answer of @maria on GitHub: ")
    scene.wait_status(number, "complete")
    told = (scene.folder / f"prompt-{number}.2").read_text()
    assert re.search(rf"# From @maria, \S+#issuecomment-{answer}, .*\n\nleft\n", told)
    pass_over(scene)
    state, question, _ = bodies(scene, number)
    assert "**Answered** by maria ([comment](" in question and f"issuecomment-{answer}" in question
    assert state.startswith(f"<!-- issue-orch:status:{number} -->\n**Pull ready**")
    assert labels(scene, number) == {"orch:pr-ready"}
    scene.sandbox.requests.clear()
    assert pass_over(scene) == [] and writes(scene) == []
    pull = scene.pull_of(number)
    scene.sandbox.person.merge(pull)
    pass_over(scene)
    assert (
        not labels(scene, number)
        and "**Merged**" in bodies(scene, number)[0]
        and len(bodies(scene, number)) == 3
    )
    scene.check_invariants()


def test_answers_from_both_sides(writing: Scene) -> None:
    """The first wins wherever it came from; the receipt says whose it was."""
    scene = writing
    number = stuck(scene)
    pass_over(scene)
    scene.orch("answer", str(number), "right", check=True)
    scene.sandbox.comment(number, "/answer 1", by="maria")
    scene.wait_status(number, "complete")
    pass_over(scene)
    assert "**Answered** by you; the worker goes on." in bodies(scene, number)[1]
    assert [
        m["text"] for m in scene.events(number, "delivered") if m["messageKind"] == "guidance"
    ] == ["right"]


def test_an_answer_is_not_lost_to_a_look_up_that_fails(writing: Scene) -> None:
    scene = writing
    number = stuck(scene)
    pass_over(scene)
    scene.sandbox.comment(number, "/answer 1", by="maria")
    scene.sandbox.fail(route=".*/permission", status=404, message="Not Found")
    (line,) = pass_over(scene)
    assert UNKNOWN in line and scene.status(number)["status"] == "stuck"
    pass_over(scene)
    scene.wait_status(number, "complete")


@pytest.mark.parametrize("performed", [True, False])
def test_a_write_without_an_answer_is_looked_for_before_it_is_repeated(
    writing: Scene, performed: bool
) -> None:
    scene = writing
    number = stuck(scene)
    route = f"/repos/acme/widgets/issues/{number}/comments"
    scene.sandbox.fail("cut", "POST", route, performed=performed)
    (line,) = pass_over(scene)
    assert "may have been done" in line
    assert pass_over(scene) == [] and len(bodies(scene, number)) == 2
    scene.check_invariants()


def test_a_mark_that_others_copy_is_not_ours(writing: Scene) -> None:
    scene = writing
    number = stuck(scene)
    forged = f"<!-- issue-orch:status:{number} -->\n**Stuck**: Which way?"
    scene.sandbox.comment(number, forged, by="stranger")
    pass_over(scene)
    assert bodies(scene, number, "stranger") == [forged] and len(bodies(scene, number)) == 2


def test_what_a_worker_says_is_posted_without_teeth(writing: Scene) -> None:
    scene = writing
    number = stuck(
        scene,
        """
report stuck --decision "@maria, closes #1 <!-- issue-orch:status:1 --> ghp_abcdefghijklmnopqrst0123456789 @TOKEN@" \\
  --option "/merge" --option "bors r+" --context "/approve"
""".replace("@TOKEN@", scene.token),
    )
    pass_over(scene)
    posted = "\n".join(bodies(scene, number))
    assert "maria" in posted and "merge" in posted
    for tooth in ("@maria", "closes #1", "ghp_", scene.token, "\n/approve", "\n/merge"):
        assert tooth not in posted
    assert posted.count("<!--") == 2


def test_a_deleted_comment_is_not_written_again(writing: Scene) -> None:
    scene = writing
    number = stuck(scene)
    pass_over(scene)
    scene.sandbox.comments[number].clear()
    scene.sandbox.changed()
    scene.orch("answer", str(number), "left", check=True)
    scene.wait_status(number, "complete")
    pass_over(scene)
    assert pass_over(scene) == [] and bodies(scene, number) == []


def test_labels_are_taken_off_with_the_session(writing: Scene) -> None:
    scene = writing
    number = stuck(scene)
    pass_over(scene)
    scene.sandbox.add_label(number, "orch:working")  # left by an older run
    scene.orch("cancel", str(number), check=True)
    assert f"#{number}: removed" in scene.orch("prune", "--cancelled", check=True).out
    assert not labels(scene, number)
