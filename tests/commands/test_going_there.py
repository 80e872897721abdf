"""Into a session's worktree, to its pull and issue, to what it changed: `path`, `open`, `diff`, and words of other programs."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest
import typer.main

from issue_orch.cli import app
from issue_orch.terminal.io import MEANT
from tests.kit.git import script
from tests.kit.scene import COMPLETE, Scene


@pytest.fixture
def number(scene: Scene) -> int:
    """Of a complete session."""
    scene.agent(COMPLETE)
    made = scene.issue()
    scene.orch("spawn", str(made), check=True)
    scene.wait_status(made, "complete")
    return made


def on_terminal(scene: Scene, *words: str, **env: str) -> str:
    """What a terminal is given."""
    ours, theirs = pty.openpty()
    child = scene.start(*words, stdout=theirs, stderr=theirs, env={"TERM": "xterm", **env})
    os.close(theirs)
    said = b""
    try:
        while chunk := os.read(ours, 65_536):
            said += chunk
    except OSError:  # Linux's way to say that the other side is closed
        pass
    os.close(ours)
    child.wait(scene.deadline)
    return said.decode(errors="replace")


def test_the_path_and_nothing_else(scene: Scene, number: int) -> None:
    there = scene.worktree(number)
    for words in (["path", str(number)], ["path", f"#{number}"], ["path", f"issue-{number}"]):
        assert scene.orch(*words) == (0, f"{there}\n", ""), words
    assert scene.orch("path", cwd=there / ".issue-orch").out == f"{there}\n"
    there.rename(there.with_name("away"))
    for words in (["path", str(number)], ["open", str(number), "--editor"]):
        ran = scene.orch(*words)
        assert (ran.code, ran.out) == (1, "") and "is gone" in ran.err, ran
        assert "next: issue-orch doctor" in ran.err
    assert "is not there" in scene.orch("doctor").out, "where the hint leads, it is said"
    there.with_name("away").rename(there)


def test_a_pull_or_an_issue_in_the_browser(scene: Scene, number: int) -> None:
    seen = scene.folder / "seen"
    browser = script(scene.folder / "browser", f'env > "{seen}"; echo "$1" >> "{seen}"')
    env = {"BROWSER": f"{browser} %s"}
    status, waiting = scene.status(number), scene.stuck()
    for words, url in (
        ([str(number)], status["pullRequestUrl"]),
        ([str(number), "--issue"], status["issueUrl"]),
        ([str(number), "-p"], status["pullRequestUrl"]),
        ([str(waiting)], scene.status(waiting)["issueUrl"]),
    ):
        assert scene.orch("open", *words, env=env).out == f"{url}\n", words
        scene.wait(lambda end=f"{url}\n": seen.exists() and seen.read_text().endswith(end))
        assert scene.token not in seen.read_text(), "what is started inherits no token"
        seen.unlink()
    ran = scene.orch("open", str(waiting), "--pull")
    assert ran.code == 1 and f"next: issue-orch open {waiting} --issue" in ran.err
    assert scene.orch("open", str(number), "-i", "-p").code == 2


def test_the_worktree_in_the_editor(scene: Scene, number: int) -> None:
    """The person's: neither the clone's configuration nor the worktree has a say in it."""
    there, ran = scene.worktree(number), scene.folder / "ran"
    say = f'echo "$0 $PWD $*" > "{ran}"; env >> "{ran}"'
    evil, mine = script(scene.folder / "evil", f'touch "{ran}.evil"'), scene.folder / "mine"
    script(mine, say)
    script(there / "vi", f'touch "{ran}.evil"')
    scene.git("config", "core.editor", str(evil))
    without = scene.orch("open", str(number), "--editor")
    assert without.code == 1 and "no editor is set" in without.err
    scene.git("config", "--global", "core.editor", f"{mine} --wait")
    scene.orch("open", str(number), "--editor", check=True)
    assert ran.read_text().splitlines()[0] == f"{mine} {there} --wait {there}"
    assert scene.token not in ran.read_text()
    for env in ({"VISUAL": str(mine), "EDITOR": "no"}, {"EDITOR": str(mine)}):
        ran.unlink()
        scene.orch("open", str(number), "-e", env=env, check=True)
        assert ran.exists(), env
    relative = scene.orch("open", str(number), "-e", env={"EDITOR": "./vi"})
    assert relative.code == 1 and "not installed" in relative.err
    unclosed = scene.orch("open", str(number), "-e", env={"EDITOR": "vi '"})
    assert unclosed.code == 1 and "No closing quotation" in unclosed.err
    assert not Path(f"{ran}.evil").exists()


def test_what_a_session_has_changed(scene: Scene, number: int) -> None:
    """Commits, what is staged, what is not, and what git does not know yet; the index stays as it is."""
    there = scene.worktree(number)
    (there / "README.md").write_text("# Widgets\n")
    (there / "src/menu.py").write_text("MENU = [1]\n")
    scene.git("add", "src/menu.py", cwd=there)
    (there / ":(top) new.txt").write_text("new\n")
    scene.git("init", "-q", str(there / "inner"))
    before = scene.git("status", "--porcelain", cwd=there)
    ran = scene.orch("diff", str(number), check=True)
    for line in ("-# widgets\n+# Widgets\n", "+MENU = [1]\n", "+new\n", f"+{number} 1 "):
        assert line in ran.out, ran
    assert "\x1b" not in ran.out and scene.git("status", "--porcelain", cwd=there) == before
    stat = scene.orch("diff", "--stat", cwd=there, check=True).out
    assert "4 files changed" in stat and stat.count("|") == 4
    patch = scene.folder / "patch"
    patch.write_text(ran.out)
    scene.git("apply", "--check", str(patch))


def test_against_the_commit_at_which_its_branch_left_the_base(scene: Scene, number: int) -> None:
    there = scene.worktree(number)
    scene.sandbox.seed({"other.txt": "theirs\n"}, "Somebody else's")
    scene.git("fetch", "-q", "origin")
    assert "other.txt" not in scene.orch("diff", str(number), "--stat").out
    scene.git("merge", "-q", "--no-edit", "origin/main", cwd=there)
    stat = scene.orch("diff", str(number), "--stat").out
    assert "other.txt" not in stat and f"work-{number}.txt" in stat
    scene.sandbox.person.merge(scene.pull_of(number))
    scene.git("fetch", "-q", "origin")
    assert f"work-{number}.txt" in scene.orch("diff", str(number), "--stat").out, "merged by now"
    scene.git("worktree", "remove", "--force", str(there))
    assert f"work-{number}.txt" in scene.orch("diff", str(number), "--stat").out
    scene.git("branch", "-q", "-D", f"issue-{number}")
    gone = scene.orch("diff", str(number))
    assert gone.code == 1 and f"next: issue-orch show {number}" in gone.err


def test_nothing_changed_yet(scene: Scene) -> None:
    number = scene.stuck()
    assert scene.orch("diff", str(number)) == (0, "", f"#{number}: nothing is changed yet\n")


def test_the_pager_and_the_colours_are_those_of_the_person(scene: Scene, number: int) -> None:
    """What stands in the clone's own configuration does not run; what a terminal would obey is not shown."""
    there, ran = scene.worktree(number), scene.folder / "ran"
    evil = script(scene.folder / "evil", f'echo "$*" >> "{ran}"; cat')
    (there / ".gitattributes").write_text("* diff=evil filter=evil\n")
    (there / "README.md").write_text("\x1b]0;title\x07\x1b[2Jgone\n")
    for key in (
        *("core.pager", "pager.diff", "diff.external", "diff.evil.textconv"),
        *("diff.evil.command", "filter.evil.clean", "filter.evil.process", "core.fsmonitor"),
        "interactive.diffFilter",
    ):
        scene.git("config", key, str(evil))
    scene.git("status", cwd=there)
    assert ran.read_text(), "the trap must work, or this test cannot fail"
    ran.unlink()
    shown = on_terminal(scene, "diff", str(number))
    assert (
        "\x1b[32m+\x1b[m\x1b[32mgone\x1b[m" in shown
        and "\x1b]0" not in shown
        and "\x1b[2J" not in shown
    )
    assert "\x1b" not in on_terminal(scene, "diff", str(number), NO_COLOR="1", GIT_PAGER="cat")
    scene.git("config", "--global", "core.pager", "sed s/^/MINE/")
    assert "MINE" in on_terminal(scene, "diff", str(number))
    assert "GIT_PAGER" in on_terminal(scene, "diff", str(number), GIT_PAGER="sed s/^/GIT_PAGER/")
    scene.git("config", "--global", "pager.diff", "false")
    scene.git("config", "--global", "color.ui", "false")
    plain = on_terminal(scene, "diff", str(number))
    assert "MINE" not in plain and "\x1b" not in plain and "gone" in plain
    raw = subprocess.run(
        [*scene.command, "diff", str(number)],
        cwd=scene.clone,
        env=scene.env,
        capture_output=True,
        check=True,
    )
    assert b"+\x1b]0;title\x07\x1b[2Jgone\n" in raw.stdout, "a pipe gets the patch as it is"
    assert not ran.exists(), ran.read_text()


def test_words_of_other_programs_lead_to_ours(scene: Scene) -> None:
    commands = {*typer.main.get_command(app).commands}  # type: ignore[attr-defined]
    others = [word for words in MEANT.values() for word in words.split()]
    assert {*MEANT} <= commands and not commands & {*others}
    assert len(others) == len({*others}), "each word has one meaning"
    for word, ours in (
        ("ls", "issue-orch status"),
        ("new 7 #8", "issue-orch spawn 7 8"),
        ("start", "issue-orch spawn --help"),
        ("log 7", "issue-orch logs 7"),
        ("cd 7", 'cd "$(issue-orch path 7)"'),
        ("view 7 --web", "issue-orch show 7"),
        ("kill 7", "issue-orch stop 7"),
        ("rm", "issue-orch prune --help"),
    ):
        ran = scene.orch(*word.split())
        assert ran.code == 2 and f"No such command '{word.split()[0]}'. Did you mean" in ran.err
        assert ran.err.endswith(f"  next: {ours}\n"), ran
    assert scene.orch("list", "--json").out == scene.orch("status", "--json").out
