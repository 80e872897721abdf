"""A worktree that a person moved with `git worktree move`: it is found where it lies, and every hint leads out."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.kit.scene import COMPLETE, Ran, Scene
from tests.promises.test_recovery import at_work


def halted(scene: Scene) -> int:
    number = at_work(scene)
    scene.orch("stop", str(number), check=True)
    return number


def move(scene: Scene, number: int, to: str = "elsewhere") -> Path:
    """With work in it that nothing else has."""
    place = scene.folder / to
    (scene.worktree(number) / "note.txt").write_text("an afternoon\n")
    scene.git("worktree", "move", str(scene.worktree(number)), str(place))
    return place


def follow_hint(scene: Scene, said: str) -> None:
    [hint] = [line.partition("next: ")[2] for line in said.splitlines() if "next: " in line]
    subprocess.run(["sh", "-ec", hint], cwd=scene.clone, env=scene.env, check=True)


def one_line(ran: Ran) -> str:
    return " ".join((ran.out + ran.err).split())


def test_each_command_says_where_it_lies_and_nothing_is_done(scene: Scene) -> None:
    number = halted(scene)
    path = scene.worktree(number)
    place = move(scene, number)
    back = f"git worktree move ../elsewhere ../{path.name}"
    events, inbox = scene.events(number), scene.state / "sessions" / str(number) / "inbox"
    for words in (["resume"], ["answer", "left"], ["tell", "go on"]):
        refused = scene.orch(words[0], str(number), *words[1:])
        assert refused.code == 1 and f"moved to {place}" in one_line(refused), words
        assert f"next: {back}\n" in refused.err, words
    assert scene.events(number) == events and not list(inbox.glob("*.json"))
    for words in (["doctor"], ["doctor", "--fix"]):
        said = one_line(scene.orch(*words))
        assert f"moved to {place} -> {back}" in said and "failed" not in said
        assert "has no session" not in said, "it is not offered for removal"
    assert not path.exists()
    follow_hint(scene, scene.orch("resume", str(number)).err)
    scene.agent("git add note.txt\n" + COMPLETE)
    assert scene.orch("resume", str(number), check=True).out == f"#{number}: resumed\n"
    scene.wait_status(number, "complete")
    scene.check_invariants()


@pytest.mark.parametrize("where", ["elsewhere", "two  words, it's there"])
def test_prune_keeps_it_until_it_is_back(scene: Scene, where: str) -> None:
    number = halted(scene)
    place = move(scene, number, where)
    scene.orch("cancel", str(number), check=True)
    for words in (["--dry-run"], []):
        kept = scene.orch("prune", str(number), "--cancelled", *words)
        assert f"moved to {' '.join(str(place).split())}" in one_line(kept), words
    assert (place / "note.txt").read_text() == "an afternoon\n" and scene.status(number)
    to = shlex.quote(f"../{where}")
    subprocess.run(
        ["sh", "-ec", f"git worktree move {to} ../widgets-issue-{number}"],
        cwd=scene.clone,
        env=scene.env,
        check=True,
    )
    assert "its work is kept at" in one_line(scene.orch("prune", str(number), "--cancelled"))


def detach(scene: Scene, place: Path) -> None:
    scene.git("switch", "--detach", "--quiet", cwd=place)


def reuse_as_folder(scene: Scene, place: Path) -> None:
    (scene.folder / "widgets-issue-1").mkdir()
    (scene.folder / "widgets-issue-1" / "mine.txt").write_text("mine\n")


def reuse_as_worktree(scene: Scene, place: Path) -> None:
    scene.git("worktree", "add", "-q", "-b", "mine", str(scene.folder / "widgets-issue-1"))


def move_by_hand(scene: Scene, place: Path) -> None:
    """As it has to be with submodules, which git refuses to move."""
    (place / ".gitmodules").write_text("")
    scene.git("worktree", "repair", str(place))


def forget_mark(scene: Scene, place: Path) -> None:
    """A session of a version without marks is known by its branch."""
    history = scene.state / "sessions" / "1" / "events.jsonl"
    history.write_text("\n".join(history.read_text().replace('"mark"', '"other"').splitlines()))
    (scene.clone / ".git" / "worktrees" / "widgets-issue-1" / "issue-orch-start").unlink()


@pytest.mark.parametrize(
    "then", [detach, reuse_as_folder, reuse_as_worktree, move_by_hand, forget_mark]
)
def test_the_hint_leads_out_whatever_else_was_done(scene: Scene, then: object) -> None:
    number = halted(scene)
    place = move(scene, number, "some where")
    then(scene, place)  # type: ignore[operator]
    refused = scene.orch("resume", str(number))
    assert refused.code == 1 and f"moved to {place}" in one_line(refused)
    follow_hint(scene, refused.err)
    assert (scene.worktree(number) / "note.txt").read_text() == "an afternoon\n"
    aside = scene.folder / "widgets-issue-1.aside"
    assert aside.exists() == then.__name__.startswith("reuse")  # type: ignore[attr-defined]
    assert "#1" not in scene.orch("doctor").out
    scene.agent("exec tail -f /dev/null > /dev/null\n")
    assert scene.orch("resume", str(number), check=True).out == f"#{number}: resumed\n"
    scene.orch("stop", str(number), check=True)


def test_a_branch_that_a_person_checked_out_elsewhere_is_not_taken_for_it(scene: Scene) -> None:
    """The worktree is gone, and its branch is checked out in one of theirs: `doctor --fix` cannot mend that, and says how."""
    number = halted(scene)
    path, mine = scene.worktree(number), scene.folder / "mine"
    scene.git("worktree", "remove", "--force", str(path))
    scene.git("worktree", "add", "-q", str(mine), f"issue-{number}")
    said = one_line(scene.orch("doctor", "--fix"))
    assert f"git -C {mine} switch --detach, then issue-orch doctor --fix" in said
    assert "failed" not in said and not path.exists()
    scene.git("switch", "--detach", "-q", cwd=mine)
    assert "done:" in one_line(scene.orch("doctor", "--fix")) and path.is_dir()


def test_nothing_is_made_where_it_was_while_its_worker_runs(scene: Scene) -> None:
    """The turn ends in the folder that was moved; the next one does not begin where it was."""
    number = scene.issue()
    scene.gate("go")
    scene.agent("await go\n")
    scene.orch("spawn", str(number), check=True)
    path = scene.worktree(number)
    place = move(scene, number)
    scene.release("go")
    scene.wait(lambda: scene.status(number)["retryAt"], what="the next turn was not started")
    assert f"{path} is gone" in scene.status(number)["failure"] and not path.exists()
    scene.orch("stop", str(number), check=True)
    shutil.move(place, path)
    scene.git("worktree", "repair", str(path))
    scene.agent("git add note.txt\n" + COMPLETE)
    scene.orch("resume", str(number), check=True)
    scene.wait_status(number, "complete")
