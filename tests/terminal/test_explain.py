"""`explain`: the rules and facts behind a headline, by the code that gives it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from issue_orch.commands.explain import find_reasons
from issue_orch.core.headline import LOOKS
from issue_orch.store.files import session_folder, write_json
from issue_orch.store.leases import take
from issue_orch.store.ledger import reserve_line
from issue_orch.store.look import load_session, look
from issue_orch.terminal.explain import UNTIL, explain_lines
from issue_orch.text import display_width
from tests.kit import screens
from tests.terminal.test_show import stage

NOW = screens.NOW


def text(state: Path, number: int, columns: int = 80) -> str:
    lines = explain_lines(find_reasons(state, number, NOW), NOW, columns)
    return "".join(f"{line}\n" for line, _ in lines)


@pytest.mark.parametrize("number", [124, 129])
def test_the_screen(tmp_path: Path, number: int) -> None:
    """When it is meant to change: delete tests/kit/screens/explain-*.txt, run twice, and look at the difference."""
    shown = text(stage(tmp_path), number)
    file = screens.FOLDER / f"explain-{number}.txt"
    if not file.exists():
        file.write_text(shown)
        pytest.fail("written anew")
    assert shown == file.read_text()


def test_every_headline_has_what_ends_it() -> None:
    assert set(UNTIL) == set(LOOKS)


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_every_session_is_explained_as_it_is_shown(tmp_path: Path, columns: int) -> None:
    state = screens.write(tmp_path, screens.twelve())
    for status, _ in screens.twelve():
        number = status["issueNumber"]
        found = find_reasons(state, number, NOW)
        head = look(state, load_session(state, number), NOW).headline
        assert (found["headline"], found["why"]) == (head.label, head.why)
        assert [rule["applies"] for rule in found["rules"]].index(True) == len(found["rules"]) - 1
        assert any(fact["decides"] for fact in found["facts"])
        for line in text(state, number, columns).splitlines():
            assert display_width(line) <= columns and line.isprintable()


def fact(state: Path, number: int, name: str) -> str:
    facts = find_reasons(state, number, NOW)["facts"]
    return str(next(each["text"] for each in facts if each["name"] == name))


def test_who_holds_the_lease_is_said(tmp_path: Path) -> None:
    state = screens.write(tmp_path, screens.twelve())
    assert fact(state, 123, "worker").startswith("nobody has the lease")
    with take(state, 123, "spawn"):
        assert fact(state, 123, "worker").startswith("spawn holds the lease, pid ")


def test_what_is_spent_and_what_is_left_is_said(tmp_path: Path) -> None:
    state = screens.write(tmp_path, screens.twelve())
    assert fact(state, 123, "budget") == "$0.00 spent; no ceiling"
    limits = {"total": 9.0, "per_issue": 2.0, "per_day": None, "allow_unknown": False}
    write_json(session_folder(state, 123) / "launch.json", {"budget": limits, "commonDir": ""})
    (state / "ledger").mkdir(exist_ok=True)
    reserve_line(state, 123, NOW, 1, 1.5)
    assert fact(state, 123, "budget") == (
        "$0.00 spent, $1.50 reserved; at most $2.00 for the issue, $9.00 in total; $2.00 left"
    )


def test_the_command_changes_nothing_and_needs_no_network(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    state = stage(tmp_path / ".git")

    def files() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in sorted(state.rglob("*")) if path.is_file()}

    before = files()
    shown = screens.issue_orch(tmp_path, "explain", "124", NO_COLOR="1")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "yes  did it stop to ask a person?" in shown.stdout
    found = json.loads(screens.issue_orch(tmp_path, "explain", "124", "--json").stdout)
    assert found["schemaVersion"] == 1 and found["explanation"]["headline"] == "STUCK"
    assert files() == before
    missing = screens.issue_orch(tmp_path, "explain", "9")
    assert (missing.returncode, missing.stderr) == (
        1,
        "error: #9: there is no session\n  next: issue-orch status\n",
    )
