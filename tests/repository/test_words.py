"""The command lines that are read without typer mean the same as with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from issue_orch.__main__ import quick, read
from issue_orch.cli import app


@pytest.mark.parametrize(
    ("name", "words", "values"),
    [
        ("plan", "", [[], False, False, False]),
        ("plan", "12 --json 7", [[12, 7], True, False, False]),
        ("answer", "", [None, "", None]),
        ("answer", "5 use the first", [5, "use the first", None]),
        ("answer", "-o 2 5", [5, "", 2]),
        ("spawn", "1 -y --agent codex", [[1], True, False, "codex", False, False, None, None]),
        ("prune", "--pr 9 --dry-run", [[], True, 9, False, False, False]),
    ],
)
def test_ordinary_words(name: str, words: str, values: list[Any]) -> None:
    assert read(quick()[name], words.split()) == values


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("plan", "--help"),
        ("plan", "x"),
        ("plan", "-1"),
        ("plan", "--jsn"),
        ("plan", "--json=1"),
        ("plan", "-- 1"),
        ("answer", "x"),
        ("answer", "5 --option"),
        ("answer", "5 -o x"),
        ("answer", "5 -o2"),
        ("spawn", "1 --agent --yes"),
        ("plan", "١"),
        ("conflicts", "1"),
    ],
)
def test_everything_else_is_typers(name: str, words: str) -> None:
    assert read(quick()[name], words.split()) is None


def typed(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "issue_orch", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_is_a_word_too(tmp_path: Path) -> None:
    assert typed(tmp_path, "help").stdout == typed(tmp_path, "--help").stdout
    assert typed(tmp_path, "help", "show").stdout.startswith("Usage: issue-orch show")
    assert typed(tmp_path).stdout.startswith("Usage: issue-orch")


@pytest.mark.parametrize(
    ("words", "said", "following"),
    [
        (
            ["tell"],
            "issue-orch tell: Missing argument 'ISSUE'",
            'issue-orch tell 123 "Keep the public API as it is"   (more: issue-orch tell --help)',
        ),
        (
            ["answer", "1", "--option", "x"],
            "issue-orch answer: Invalid value for '--option' / '-o': it must be a whole number",
            "issue-orch answer",
        ),
        (
            ["statsu"],
            "issue-orch: No such command 'statsu'. Did you mean 'status'?",
            "issue-orch --help",
        ),
        (
            ["plan", "--jsn"],
            "issue-orch plan: No such option: --jsn (Possible options: --json)",
            "issue-orch plan",
        ),
        (
            ["costs", "x"],
            "issue-orch costs: Got unexpected extra argument(s) (x)",
            "issue-orch costs",
        ),
    ],
)
def test_wrong_words_are_said_with_what_to_type(
    tmp_path: Path, words: list[str], said: str, following: str
) -> None:
    done = typed(tmp_path, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {said}\n  next: {following}")


def test_every_command_has_an_example() -> None:
    command: Any = typer.main.get_command(app)
    assert all("Examples:" in each.help for each in command.commands.values())
