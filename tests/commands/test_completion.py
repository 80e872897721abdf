"""Completion: what each command can act on, with titles, from files alone, in the shells themselves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from issue_orch.cli import app
from issue_orch.commands.completion import ACTS_ON, NEW, SEVERAL, complete
from tests.kit import screens
from tests.repository.test_imports import HEAVY, PACKAGES, imported

SESSIONS = [
    (screens.session(1, "Runs", hold=None, retryAt=screens.iso(screens.NOW + 9e8)), None),
    (
        screens.session(
            2,
            "Asks",
            "stuck",
            question=screens.question("Which?", "left", "right"),
            stuckReason="?",
        ),
        None,
    ),
    (screens.session(3, "Gave up", "stuck", stuckReason="it crashed", failure="x"), None),
    (screens.session(4, "Paused", hold="paused"), None),
    (screens.session(5, "Stopped", hold="stopped"), None),
    (screens.completed(6, "Done", 42), screens.pull(42)),
    (screens.completed(7, "Merged", 43), screens.pull(43, state="closed", merged=True)),
    (screens.session(8, "Given up", "cancelled"), None),
]
EVERY = {*"12345678"}


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With eight sessions, and two issues that were ready when they were listed last, one of which has a session now."""
    folder = tmp_path / "clone"
    subprocess.run(["git", "init", "-q", folder], check=True)
    state = screens.write(folder / ".git", SESSIONS)
    (state / "listed.json").write_text(json.dumps({"issues": {"3": "Gave up", "12": "Ready"}}))
    monkeypatch.chdir(folder)
    return folder


def offered(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, str]:
    assert complete([*words]) == 0
    rows = capsys.readouterr().out.splitlines()
    return dict(row.split("\t") for row in rows)


@pytest.mark.usefixtures("clone")
@pytest.mark.parametrize(
    ("verb", "numbers"),
    [
        *((verb, EVERY) for verb in ("show", "logs", "path", "open", "diff")),
        *((verb, EVERY - {"8"}) for verb in ("tell", "attach", "cancel")),
        ("answer", {"2"}),
        ("pause", {*"123"}),
        ("stop", {*"1234"}),
        ("resume", {*"1345"}),
        ("prune", {*"678"}),
        ("spawn", {"12"}),
        ("plan", {"12"}),
        ("status", set()),
        ("watch", set()),
    ],
)
def test_each_command_is_offered_what_it_can_act_on(
    capsys: pytest.CaptureFixture[str], verb: str, numbers: set[str]
) -> None:
    assert {*offered(capsys, verb, "")} == numbers


def test_no_command_that_takes_an_issue_is_forgotten() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    takes = {
        name
        for name, each in commands.items()
        if any(parameter.metavar == "ISSUE" for parameter in each.params)
    }
    several = {
        name
        for name, each in commands.items()
        if any(parameter.nargs == -1 and parameter.name == "issues" for parameter in each.params)
    }
    assert takes == {*ACTS_ON} | NEW and several == SEVERAL


@pytest.mark.usefixtures("clone")
def test_words_that_are_no_issue(capsys: pytest.CaptureFixture[str]) -> None:
    assert offered(capsys, "spawn", "--agent", "co") == {"codex": "", "command": ""}
    assert {*offered(capsys, "logs", "--l")} == {"--lines"}
    assert offered(capsys, "logs", "--lines", "") == {}
    assert offered(capsys, "answer", "2", "") == {"1": "left", "2": "right"}
    assert offered(capsys, "answer", "2", "1", "") == {}
    assert {*offered(capsys, "stop", "1", "2", "")} == {"3", "4"}
    assert offered(capsys, "show", "1", "") == {}
    assert offered(capsys, "tell", "1", "--", "") == {}
    assert {*offered(capsys, "completion", "")} == {"bash", "zsh", "fish"}
    assert {"spawn", "status", "show", "stop"} == {*offered(capsys, "s")}
    assert not {"merge", "report"} & {*offered(capsys, "")}
    assert offered(capsys, "nosuch", "") == {}


def test_agents_of_the_configuration_are_offered_too(
    clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = Path(os.environ["XDG_CONFIG_HOME"], "issue-orch", "config.toml")
    own.parent.mkdir(parents=True)
    own.write_text('[agents.aider]\ncommand = ["aider"]\n')
    assert "aider" in offered(capsys, "spawn", "--agent", "")
    own.write_text("no toml")
    assert "claude" in offered(capsys, "spawn", "--agent", "")


def test_outside_of_a_clone_nothing_is_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert offered(capsys, "show", "") == offered(capsys, "spawn", "") == {}


def test_completion_is_quick_and_writes_nothing(clone: Path) -> None:
    before = sorted((clone / ".git").rglob("*"))
    ours, others = imported(clone, "show", "", _ISSUE_ORCH_COMPLETE="1")
    assert sorted((clone / ".git").rglob("*")) == before
    assert not ours & {"cli", "declare", "config.layers"} and not others & (PACKAGES | HEAVY)


TITLE = "Fix it \\$(touch pwned) `touch pwned` \"; touch pwned; '\x1b[2J *"
IN_BASH = """\
eval "$(issue-orch completion bash)"
COMP_WORDS=(issue-orch show "") COMP_CWORD=2 COMP_TYPE=9; _issue_orch issue-orch; printf '%s\\n' "${COMPREPLY[@]}"
COMP_WORDS=(iocd "4") COMP_CWORD=1 COMP_TYPE=9; _iocd iocd; printf '%s\\n' "${COMPREPLY[@]}"
iocd 41 && pwd
"""
IN_ZSH = """\
autoload -U compinit; compinit -u -D
eval "$(issue-orch completion zsh)"
_describe() { local -a given=("${(@P)@[-1]}"); print -rl -- "${given[@]}"; }
words=(issue-orch show "") CURRENT=3; _issue_orch
words=(iocd 4) CURRENT=2; _issue_orch
iocd 41 && pwd
"""
IN_FISH = """\
issue-orch completion fish | source
complete -C "issue-orch show "
complete -C "iocd 4"
iocd 41; pwd
"""


@pytest.mark.parametrize(
    ("shell", "script"), [("bash", IN_BASH), ("zsh", IN_ZSH), ("fish", IN_FISH)]
)
def test_the_script_of_a_shell(tmp_path: Path, shell: str, script: str) -> None:
    """With titles that no shell acts on, and the way into a worktree."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not here")
    folder, there = tmp_path / "clone", tmp_path / "worktree 41"
    subprocess.run(["git", "init", "-q", folder], check=True)
    there.mkdir()
    rows = [screens.session(41, TITLE, worktreePath=str(there)), screens.session(7, "Seven")]
    screens.write(folder / ".git", [(row, None) for row in rows])
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    said = subprocess.run(
        [shell, "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path},
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
    )
    lines = said.stdout.splitlines()
    assert not said.stderr and lines[-1] == str(there), said
    assert not set(said.stdout) & set("$`;\\\x1b*") and "Fix it" in lines[1], said
    assert lines[0][0] == "7" and lines[2][:2] == "41", said
    assert not list(tmp_path.rglob("pwned"))


def test_a_shell_that_is_not_known(clone: Path) -> None:
    ran = screens.issue_orch(clone, "completion", "tcsh")
    assert ran.returncode == 2 and "for bash, zsh, fish" in ran.stderr, ran
    assert screens.issue_orch(clone, "completion", SHELL="/bin/zsh").stdout.startswith("#compdef")
