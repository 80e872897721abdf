"""What is written about the program is what the program does."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest

from issue_orch.config.templates import SAMPLES
from issue_orch.terminal.sessions import status_text
from tests.kit import screens

TOP = Path(__file__).resolve().parents[2]
DOCS = TOP / "docs"
PACKAGE = TOP / "issue_orch"
USERS = sorted(DOCS.glob("*.md"))
BUILDERS = sorted([TOP / "AGENTS.md", TOP / "CONTRIBUTING.md", *(DOCS / "develop").rglob("*.md")])
PAGES = [TOP / "README.md", TOP / "SECURITY.md", *USERS, *BUILDERS]
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#]+)")
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))


def blocks(page: str) -> list[str]:
    """The fenced blocks of a page."""
    return re.findall(r"(?sm)^```[a-z]*\n(.*?)^```", (TOP / page).read_text())


def rows(page: str) -> Iterator[list[str]]:
    """The cells of every row of the tables of a page, without their heads."""
    for line in (TOP / page).read_text().splitlines():
        if line.startswith("| ") and not line.startswith("|--"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def test_the_references_are_current() -> None:
    done = subprocess.run(
        [sys.executable, TOP / "scripts" / "docs", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    heads = re.findall(r"(?m)^#+ (.+)$", page.read_text())
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@each_page
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(
        r"\]\((?!https?:|mailto:)([^)#]*)#?([^)]*)\)", page.read_text()
    ):
        there = page.parent / target if target else page
        assert there.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(there), f"{page.name} links to {target}#{anchor}"


@each_page
def test_commands_and_options_that_are_named_exist(page: Path) -> None:
    from typer.main import get_command

    from issue_orch.cli import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    text = page.read_text()
    for part in re.findall(r"(?s)```.*?```|`[^`\n]+`", text):
        for name, rest in re.findall(
            r"(?:^|[`$(]|&&) *issue-orch ([a-z]+)\b([^\n`|;#&]*)", part, re.MULTILINE
        ):
            assert name in commands, f"{page.name}: issue-orch {name}"
            known = {option for each in commands[name].params for option in each.opts} | {"--help"}
            given = (
                set(re.findall(r"(?<![\w\"-])--[a-z][a-z-]+", rest)) if name != "report" else set()
            )
            assert given <= known, f"{page.name}: issue-orch {name} {given - known}"


def linked(page: Path) -> set[Path]:
    return {(page.parent / target).resolve() for target in LINK.findall(page.read_text())}


def test_every_page_for_users_is_linked_from_the_readme_and_leads_to_no_builders_page() -> None:
    assert {TOP / "SECURITY.md", TOP / "CONTRIBUTING.md", *USERS} <= linked(TOP / "README.md")
    for page in (TOP / "README.md", *USERS):
        assert not [each for each in linked(page) if "develop" in each.parts], page.name


def test_every_builders_page_is_reached_from_contributing() -> None:
    found, new = set[Path](), {TOP / "CONTRIBUTING.md"}
    while new:
        found |= new
        new = {each for page in new for each in linked(page) if each in BUILDERS} - found
    assert found | {TOP / "AGENTS.md"} == set(BUILDERS)


@pytest.mark.parametrize("page", BUILDERS, ids=lambda page: page.name)
def test_files_that_builders_pages_name_exist(page: Path) -> None:
    named = re.findall(
        r"(?<![\w/.-])((?:issue_orch|tests|scripts|docs|\.ci|\.github)/[\w./*-]+\b)",
        page.read_text(),
    )
    for name in named:
        made_up = "NAME" in name or name == "tests/test_x.py" or "*" in name
        assert made_up or (TOP / name).exists(), f"{page.name} names {name}"


# -- the map, the journeys, the threats


def modules() -> set[str]:
    """All that hold code, by their path below issue_orch."""
    return {
        str(file.relative_to(PACKAGE))
        for file in PACKAGE.rglob("*.py")
        if file.name != "__init__.py"
    }


def test_the_map_has_a_line_for_every_module_and_no_other() -> None:
    text = (DOCS / "develop" / "architecture.md").read_text()
    named = re.findall(r"(?m)^- `([\w/]+\.py)`: \S", text)
    assert sorted(named) == sorted(modules())
    rooms = dict(re.findall(r"(?ms)^### `(\w+)`:.*?\n(.*?)(?=^##)", text))
    assert set(rooms) == {name.partition("/")[0] for name in named if "/" in name}
    for room, lines in rooms.items():
        assert all(name.startswith(f"{room}/") for name in re.findall(r"(?m)^- `(.+?)`:", lines))


def test_the_order_of_the_rooms_is_the_one_that_is_enforced() -> None:
    contracts = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = contracts["contracts"][0]["layers"]
    assert blocks("docs/develop/architecture.md")[0].splitlines() == layers


def defined(module: str) -> set[str]:
    """Functions, classes and methods of a module."""
    found = set[str]()
    for node in ast.parse((PACKAGE / module).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            functions = [each for each in node.body if isinstance(each, ast.FunctionDef)]
            found |= {f"{node.name}.{each.name}" for each in functions}
    return found


def test_the_functions_of_the_journeys_are_where_they_are_said_to_be() -> None:
    text = (DOCS / "develop" / "architecture.md").read_text()
    journeys = text.split("## Three journeys")[1].split("\n## ")[0]
    assert len(re.findall(r"(?m)^### ", journeys)) == 3
    steps = re.findall(r"`([\w/]+\.py)` ((?:`[\w.]+`(?:, )?)+)", journeys)
    assert len(steps) > 30
    for module, names in steps:
        assert set(re.findall(r"`([\w.]+)`", names)) <= defined(module), module


def calls_of(module: str) -> dict[str, set[str]]:
    """What each function and method names, calls or passes on."""
    found = dict[str, set[str]]()
    tree = ast.parse((PACKAGE / module).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            inside = [*ast.walk(node)]
            names = {each.id for each in inside if isinstance(each, ast.Name)}
            names |= {each.attr for each in inside if isinstance(each, ast.Attribute)}
            found.setdefault(node.name, set()).update(names)
    return found


@pytest.mark.parametrize("place", [1, 2])
def test_in_a_journey_each_function_is_called_by_the_one_before_it(place: int) -> None:
    """Two steps are not calls by name: the command of the words, and the program that a command starts."""
    text = (DOCS / "develop" / "architecture.md").read_text().split("## Three journeys")[1]
    steps = text.split("\n### ")[place].partition("\nAsked on the way")[0]
    stays = re.findall(r"(?m)^\d+\. `([\w/]+\.py)` ((?:`[\w.]+`(?:,\s)?)+)", steps)
    assert len(stays) <= 7 and len({module for module, _ in stays}) == len(stays)
    passed = [(module, name) for module, names in stays for name in re.findall(r"[\w.]+", names)]
    for (module, name), (following, called) in pairwise(passed):
        if (name, following) != ("run", f"commands/{called}.py") and called != "main":
            assert called.split(".")[-1] in calls_of(module)[name.split(".")[-1]], (name, called)


def threats() -> dict[str, list[str]]:
    """The rows by their number: threat, what must hold, where, tests."""
    return {
        row[0]: row[1:] for row in rows("docs/develop/threats.md") if re.fullmatch(r"S\d+", row[0])
    }


def test_every_threat_that_the_code_names_has_its_row() -> None:
    assert list(threats()) == [f"S{number}" for number in range(1, len(threats()) + 1)]
    sources = [*PACKAGE.rglob("*.py"), *(TOP / "tests").rglob("*.py"), *BUILDERS]
    named = {
        number
        for file in sources
        for words in re.findall(r"(?i)\bthreats?(?: S\d+(?:,| and)?)+", file.read_text())
        for number in re.findall(r"S\d+", words)
    }
    assert {"S3", "S8", "S9", "S15"} <= named <= set(threats())


@pytest.mark.parametrize("number", threats())
def test_a_threat_is_kept_somewhere_and_attacked(number: str) -> None:
    _, _, where, attacks = threats()[number]
    kept = re.findall(r"`([^`]+)`", where)
    assert kept and all((PACKAGE / name).exists() or (TOP / name).exists() for name in kept)
    named = set(re.findall(r"`(test_\w+)`", attacks))
    assert named and named <= all_tests()


# -- the sandbox


def test_the_controls_of_the_sandbox_are_those_of_its_page() -> None:
    from issue_orch.sandbox import Sandbox, server
    from issue_orch.sandbox.person import Person

    documented = {row[0].strip("`"): row[1] for row in rows("docs/sandbox.md")}
    for name in server._CONTROLS:
        action = getattr(Person if hasattr(Person, name) else Sandbox, name)
        wanted = {
            each.name: each.default is not each.empty
            for each in list(inspect.signature(action).parameters.values())[1:]
        }
        arguments = re.sub(r" \([^)]*\)", "", documented[name])
        found = re.findall(r"(\[?)`(\w+)`", arguments)
        assert {argument: bool(bracket) for bracket, argument in found} == wanted, name
    assert {*server._CONTROLS, *server._SHOWN} <= set(documented)


def test_the_sandbox_starts_and_says_where_it_is_as_documented(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "issue_orch.sandbox"]
    usage = subprocess.run([*argv, "--help"], capture_output=True, text=True, check=True).stdout
    documented = set(re.findall(r"--\w+", blocks("docs/sandbox.md")[0]))
    assert documented | {"--help"} == set(re.findall(r"--\w+", usage))
    with subprocess.Popen([*argv, tmp_path / "github"], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        where = json.loads(child.stdout.readline())
        child.terminate()
    keys = (DOCS / "sandbox.md").read_text().split("| key |")[1].split("\n\n")[0]
    assert set(where) == set(re.findall(r"(?m)^\| `(\w+)`", keys))
    assert set(where["tokens"]) == {"maria", "worker"}


def test_the_example_of_the_sandbox_works(tmp_path: Path) -> None:
    (example,) = [block for block in blocks("docs/sandbox.md") if "mkfifo" in block]
    with subprocess.Popen(
        ["bash", "-e", "-c", example],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as child:
        try:
            out, _ = child.communicate(timeout=120)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
    assert child.returncode == 0, out
    assert re.search(r"#1 - PR (OPEN|READY) - Say hello", out), out
    assert re.search(
        r'^\{"result":"[0-9a-f]{40}"\}\n\{"result":\[\]\}\n#1: removed: merged', out, re.M
    ), out


def test_pages_that_the_program_names_exist() -> None:
    sources = [
        *(TOP / "issue_orch").rglob("*.py"),
        *(TOP / "prompts").glob("*"),
        TOP / ".github/workflows/cleanup.yml",
    ]
    named = {
        (file.name, name)
        for file in sources
        if file.parent.name != "sandbox"
        for name in re.findall(r"\bdocs/[\w.-]+\.\w+", file.read_text())
    }
    missing = {pair for pair in named if not (TOP / pair[1]).exists()}
    assert not missing


# -- documented output


def test_the_status_of_the_readme_is_what_the_program_prints() -> None:
    scene = [({**status, "cost": screens.cost(0)}, pull) for status, pull in screens.three()]
    printed = status_text([screens.seen(*row) for row in scene], 80, False)  # type: ignore[arg-type]
    shown = blocks("README.md")[0].removeprefix("$ issue-orch status\n")
    assert shown == printed.replace("STUCK (38m)", "STUCK (12m)")


def normal(text: str) -> str:
    return re.sub(r"#\d+", "#N", re.sub(r"(https?:|…)/\S+", "URL", text))


def test_the_documented_lines_are_those_of_the_demo() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "issue_orch", "demo", "--yes"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    end = done.stdout.partition("That is all")[2]
    assert "issue-orch demo --keep" in end and "issue-orch init" in end
    assert "http://" not in end, "its addresses lead nowhere any more"
    assert "\x1b" not in done.stdout, "no terminal"
    (plan,) = [
        block
        for block in blocks("docs/getting-started.md")
        if block.startswith("$ issue-orch plan\n")
    ]
    assert plan in done.stdout
    lines = {normal(line) for line in done.stdout.splitlines()}
    pages = ("docs/getting-started.md", "docs/cleanup-workflow.md", "README.md")
    documented = [
        line for page in pages for line in re.findall(r"#\d+: [^`\n]+", (TOP / page).read_text())
    ]
    receipts = {
        line for line in map(normal, documented) if re.match(r"#N: (delivered|removed|kept)", line)
    }
    assert len(receipts) == 3
    assert receipts <= lines


def test_headlines_and_what_to_type_for_them() -> None:
    from issue_orch.core.headline import LOOKS, next_command

    documented: dict[str, str] = {}
    for row in rows("docs/concepts.md"):
        documented |= dict.fromkeys(re.findall(r"`([A-Z ]+)`", row[0]), row[-1])
    assert set(documented) == set(LOOKS)
    for label, words in documented.items():
        status, _ = screens.three()[1]
        command = next_command({**status, "issueNumber": 123}, label)  # type: ignore[typeddict-item]
        if command.startswith("issue-orch"):
            assert command in words, f"{label}: {command}"


# -- tables of names


def test_the_variables_of_templates() -> None:
    documented = {}
    for row in rows("docs/templates.md"):
        if name := re.fullmatch(r"`(\w+)`", row[0]):
            documented[name[1]] = set(re.findall(r"`(\w+)`", row[2]))
    assert documented == {name: set(values) for name, values in SAMPLES.items()}
    asked = set(re.findall(r"\{% block (\w+) %\}", (TOP / "prompts" / "session.md.j2").read_text()))
    assert asked == set(
        re.findall(
            r"`(\w+)`",
            (DOCS / "templates.md")
            .read_text()
            .split("has the blocks")[1]
            .split(":")[0]
            .split("\n\n")[0],
        )
    )


def test_the_keys_of_reports() -> None:
    from issue_orch.report import ALLOWED
    from issue_orch.worker.outbox import LIST_FIELDS, TEXT_FIELDS

    table = (DOCS / "worker-protocol.md").read_text().split("## The file")[1].split("##")[0]
    documented: dict[str, set[str]] = {}
    for keys, kinds in re.findall(r"(?m)^\| ((?:`\w+`(?:, )?)+) \| ([^|]+) \|", table):
        named = (
            set(ALLOWED)
            if kinds.startswith("all")
            else set(ALLOWED) & set(re.findall(r"\w+", kinds))
        )
        documented |= dict.fromkeys(re.findall(r"\w+", keys), named)
    assert set(documented) == {*TEXT_FIELDS, *LIST_FIELDS, "kind", "attempt"}
    for key in {*documented} - {"kind", "attempt"}:
        assert documented[key] == {kind for kind, allowed in ALLOWED.items() if key in allowed}, key


def test_when_reports_are_accepted() -> None:
    from issue_orch.core.lifecycle import PHASES, after

    section = (
        (DOCS / "worker-protocol.md")
        .read_text()
        .split("## What is accepted when")[1]
        .split("##")[0]
    )
    for phases, *cells in re.findall(
        r"(?m)^\| (`.+?) \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", section
    ):
        for phase in re.findall(r"`(\w+)`", phases):
            assert phase in PHASES
            for kind, cell in zip(("planning", "working", "stuck"), cells, strict=False):
                assert cell.startswith("yes") == (after(phase, kind) is not None), (phase, kind)  # type: ignore[arg-type]


def test_the_kinds_that_json_names() -> None:
    from issue_orch.core.overlap import Source
    from issue_orch.core.pruning import Why
    from issue_orch.core.record import PullFacts
    from issue_orch.git.removal import Reason

    text = (DOCS / "json.md").read_text()
    named = set(re.findall(r"`(\w+)`", text.split("`why` of prune")[1].split("\n\n")[0]))
    assert named == {*get_args(Why), *get_args(Reason)}
    assert set(PullFacts.__annotations__) <= set(
        re.findall(r"`(\w+)", text.split("## `pull`")[1].split("##")[0])
    )
    assert set(get_args(Source)) <= set(
        re.findall(r"`(\w+)`", text.split("`files` says how")[1].split("\n\n")[0])
    )
    kinds = set(re.findall(r"`(\w+)`", text.split("## `events`")[1].split("##")[0])) - {
        "at",
        "kind",
    }
    assert kinds == written_kinds()
    json.loads(blocks("docs/json.md")[0])


def written_kinds() -> set[str]:
    """The kinds of events that the source writes."""
    from issue_orch.core.history import FORMS

    calls = [
        call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        for file in (TOP / "issue_orch").rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call)
    ]
    return {kind for kind, form in FORMS.items() if form.__name__ in calls}


# -- messages


def texts_of_the_program() -> list[str]:
    """Every text in the source, with … for what is put in."""
    found = []
    for file in (TOP / "issue_orch").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr):
                found.append(
                    "".join(
                        str(part.value) if isinstance(part, ast.Constant) else "…"
                        for part in node.values
                    )
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def pattern_of(message: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in message.split("…")), re.DOTALL)


def documented_messages() -> list[str]:
    return [
        message
        for row in rows("docs/troubleshooting.md")
        for message in re.findall(r"`([^`]+)`", row[0])
    ]


def test_the_messages_of_troubleshooting_exist() -> None:
    program, messages = texts_of_the_program(), documented_messages()
    assert len(messages) > 50
    unknown = [
        message
        for message in messages
        if not any(pattern_of(message).search(text) for text in program)
    ]
    assert not unknown


def all_tests() -> set[str]:
    return {
        name
        for file in (TOP / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)\(", file.read_text())
    }


def test_tests_that_are_named_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", (DOCS / "guarantees.md").read_text()))
    assert named <= all_tests()
    assert len(named) > 25


def test_no_machine_is_named() -> None:
    for page in PAGES:
        assert not re.search(
            r"(?<!\w)/(root|work|tmp)/|/home/(?!you/)|127\.0\.0\.1:\d", page.read_text()
        ), page.name


def test_the_workflow_page_shows_the_keys_of_the_workflow() -> None:
    page = (DOCS / "cleanup-workflow.md").read_text()
    for name in ("ISSUE_ORCH_CLONE", "contents: read", "pull-requests: read"):
        assert name in (TOP / "issue_orch" / "cleanup.yml").read_text()
        assert name in page
