"""The command line: what help.txt says is what is read, and what is wrong is said with what to type."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from issue_orch.cli import ELSEWHERE, TOP, load_help, parse, read_command
from issue_orch.errors import Usage

SECTIONS = load_help()
CALLED = sorted({*SECTIONS} - {TOP, "merge", "completion"})


def issue_orch(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "issue_orch", *words], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", CALLED)
def test_functions_take_what_the_help_names(name: str) -> None:
    command = read_command(name, SECTIONS[name])
    named = {parameter for parameter, _ in command.options.values()}
    for operand in command.operands:
        named.add("text" if "TEXT" in operand else "numbers" if operand == "[ISSUE]..." else "number")
    module = import_module(f"issue_orch.{ELSEWHERE.get(name, f'commands.{name}')}")
    assert named == set(inspect.signature(getattr(module, name)).parameters)


def test_every_command_is_listed_with_its_first_sentence() -> None:
    listed = dict(re.findall(r"(?m)^  (\w+) {2,}(.+)", SECTIONS[TOP].split("\nOptions:")[0]))
    assert set(listed) == {*SECTIONS, "report"} - {TOP}
    for name, words in listed.items():
        assert name == "report" or SECTIONS[name].splitlines()[2].strip() == words


@pytest.mark.parametrize("name", sorted({*SECTIONS} - {TOP}))
def test_the_help_of_a_command_fits_the_screen_and_has_examples_that_are_read(name: str) -> None:
    lines = SECTIONS[name].splitlines()
    assert max(map(len, lines)) < 80
    examples = [line.strip() for line in lines[lines.index("Examples:") + 1 :]]
    assert examples
    for example in examples if name in CALLED else ():
        words = shlex.split(re.split(r" [|>&]| >", example.removeprefix("NO_COLOR=1 "))[0])
        assert words[:2] == ["issue-orch", name]
        parse(read_command(name, SECTIONS[name]), words[2:])


@pytest.mark.parametrize(("line", "values"), [
    ("plan", {}),
    ("plan 12 --json 7", {"numbers": [12, 7], "as_json": True}),
    ("plan '#12'", {"numbers": [12]}),
    ("answer", {"text": ""}),
    ("answer 5 use the first", {"number": 5, "text": "use the first"}),
    ("answer -o 2 5", {"number": 5, "text": "", "option": 2}),
    ("answer 5 -o2", {"number": 5, "text": "", "option": 2}),
    ("answer 5 --option=2", {"number": 5, "text": "", "option": 2}),
    ("tell 5 '- first this' --now", {"number": 5, "text": "- first this", "now": True}),
    ("tell 5 -- --now", {"number": 5, "text": "--now"}),
    ("spawn 1 -y --agent codex", {"numbers": [1], "yes": True, "agent": "codex"}),
    ("prune --pr 9 --dry-run", {"pr": 9, "dry_run": True}),
    ("status -fv", {"fetch": True, "verbose": True}),
    ("pause --all", {"everything": True}),
    ("init --approve", {"approve_only": True}),
    ("run --interval 0.5", {"interval": 0.5}),
])
def test_words_that_are_read(line: str, values: dict[str, Any]) -> None:
    name, *words = shlex.split(line)
    assert parse(read_command(name, SECTIONS[name]), words) == values


@pytest.mark.parametrize(("line", "said"), [
    ("plan x", "plan: x is not the number of an issue"),
    ("plan 0", "plan: 0 is not the number of an issue"),
    ("plan ١", "plan: ١ is not the number of an issue"),
    ("plan 99999999999999999999999", "plan: 99999999999999999999999 is not the number of an issue"),
    ("plan -1", "plan: there is no option -1"),
    ("plan --jsn", "plan: there is no option --jsn; did you mean --json?"),
    ("plan --json=1", "plan: --json takes no value"),
    ("show", "show: ISSUE is missing"),
    ("show 1 2", "show: 2 is one word too many"),
    ("tell 5", "tell: TEXT is missing"),
    ("answer 5 --option", "answer: --option needs a value (NUMBER)"),
    ("answer 5 -o x", "answer: -o x is not a whole number"),
    ("spawn 1 --agent --yes", "spawn: --agent needs a value (TEXT)"),
    ("run --interval 0", "run: --interval 0 is not a number of seconds from 0.1 up"),
    ("run --interval nan", "run: --interval nan is not a number of seconds from 0.1 up"),
    ("status -vx", "status: there is no option -x"),
])
def test_words_that_are_wrong(line: str, said: str) -> None:
    name, *words = shlex.split(line)
    with pytest.raises(Usage) as caught:
        parse(read_command(name, SECTIONS[name]), words)
    assert caught.value.message == said
    assert caught.value.hint.startswith(f"issue-orch {name}")


def test_help_is_said_in_every_way_that_it_is_asked_for(tmp_path: Path) -> None:
    for words in ((), ("help",), ("--help",), ("-h",)):
        done = issue_orch(tmp_path, *words)
        assert (done.returncode, done.stdout) == (0, SECTIONS[TOP].rstrip() + "\n")
    for words in (("help", "show"), ("show", "--help"), ("show", "12", "-h")):
        assert issue_orch(tmp_path, *words).stdout == SECTIONS["show"].rstrip() + "\n"
    assert issue_orch(tmp_path, "help", "report").stdout.startswith("Usage: issue-orch report")


def test_an_unknown_command_names_the_nearest(tmp_path: Path) -> None:
    done = issue_orch(tmp_path, "statsu")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: there is no command statsu\n  next: issue-orch status   (issue-orch --help lists all)\n"


@pytest.mark.parametrize("words", [(), ("12",), ("--squash", "12")])
def test_merge_is_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = issue_orch(tmp_path, "merge", *words)
    assert done.returncode == 1 and "never merges" in done.stderr and "issue-orch conflicts" in done.stderr
