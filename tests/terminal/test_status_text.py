"""What `status` prints: golden screens compared whole, and the rules behind them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from issue_orch.core.headline import LOOKS, next_command
from issue_orch.store.leases import take
from issue_orch.terminal.sessions import link, status_text
from issue_orch.text import display_width
from tests.kit import screens
from tests.kit.screens import issue_orch


@pytest.mark.parametrize("name", sorted(screens.golden()))
def test_screen(name: str) -> None:
    """When a screen is meant to change: python -m tests.kit.screens, and look at the difference."""
    assert screens.golden()[name] == (screens.FOLDER / name).read_text()


@pytest.mark.parametrize("count", [1, 3, 12, 200])
@pytest.mark.parametrize("width", [80, 100, 160])
def test_nothing_is_wider_than_the_terminal_or_moves_its_cursor(count: int, width: int) -> None:
    text = status_text(screens.sights(count), width, False)
    for line in text.splitlines():
        assert display_width(line) <= width or line.strip().startswith(
            "PR: "
        )  # an address stays whole to be clicked
        assert line.isprintable() or line == ""


def test_a_narrow_terminal_keeps_number_headline_and_title() -> None:
    lines = status_text(screens.sights(12), 50, False).splitlines()
    assert lines[2].split() == ["ISSUE", "HEADLINE", "TITLE"]
    assert max(map(display_width, lines)) <= 50


def test_the_named_width_shows_every_column() -> None:
    sights = screens.sights(12)
    footer = next(line for line in status_text(sights, 80, False).splitlines() if "hidden" in line)
    width = int(footer.partition("COLUMNS=")[2].split()[0])
    assert "hidden" not in status_text(sights, width, False)
    assert "1 column hidden (COST)" in status_text(sights, width - 1, False)


def test_warm_colours_want_you_and_cool_ones_wait() -> None:
    assert all(
        (colour in {"red", "yellow"}) == needs_you for _, colour, needs_you in LOOKS.values()
    )


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "https://a.example/\x1b\\x", "https://a.example/\x07", None]
)
def test_only_plain_addresses_become_links(url: str | None) -> None:
    assert link("#1", url, True) == "#1"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", tmp_path / "clone"], check=True)
    return tmp_path / "clone"


def test_needs_me_tells_by_its_exit_code(clone: Path) -> None:
    state = screens.write(clone / ".git", screens.three())
    shown = issue_orch(clone, "status", "--needs-me")
    assert (shown.returncode, "#124" in shown.stdout, "#125" in shown.stdout) == (0, True, True)
    for number in (124, 125):
        (state / "sessions" / str(number) / "status.json").unlink()
    with take(state, 123, "supervisor"):
        shown = issue_orch(clone, "status", "--needs-me")
    assert (shown.returncode, shown.stdout) == (1, "Nothing needs you (1 active session).\n")


def test_json_has_the_status_files_with_headline_and_pull(clone: Path) -> None:
    screens.write(clone / ".git", screens.three())
    rows = json.loads(issue_orch(clone, "status", "--json").stdout)["sessions"]
    assert [(row["id"], row["headline"], row["needsYou"]) for row in rows] == [
        ("123", "CRASHED", True),
        ("124", "STUCK", True),
        ("125", "PR READY", True),
    ]
    assert rows[2]["pull"]["checks"] == "passing"


def test_a_damaged_file_is_named_and_hides_nothing(clone: Path) -> None:
    state = screens.write(clone / ".git", screens.three())
    (state / "sessions" / "123" / "status.json").write_text("{")
    shown = issue_orch(clone, "status")
    assert "123/status.json: cannot be read" in shown.stderr
    assert "#124" in shown.stdout and shown.returncode == 0


def test_columns_and_no_colour_in_a_pipe(clone: Path) -> None:
    screens.write(clone / ".git", screens.twelve())
    shown = issue_orch(clone, "status", COLUMNS="120")
    assert "\x1b" not in shown.stdout
    assert 100 < max(map(display_width, shown.stdout.splitlines())) <= 120


def test_an_empty_git_folder_is_no_repository(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    shown = issue_orch(tmp_path, "status")
    assert shown.returncode == 1 and "not inside a git repository" in shown.stderr


def test_the_table_ends_in_a_command_that_can_be_typed() -> None:
    text = status_text(screens.sights(12), 160, False)
    assert text.endswith('Next: issue-orch answer 124 "…" · all about one: issue-orch show 124\n')
    assert "NEXT ISSUE" not in text and "review #" not in text


WHY = {
    "the model's API refused the sign-in: authentication_failed": (
        "sign in with claude, then issue-orch resume 1",
        "sign in",
    ),
    "the commits of issue-1 are on main already, pushed, not by a pull: look at https://x/commit/"
    + "ab" * 20: (
        "git show abababababab; undo it on main: issue-orch resume 1, else issue-orch cancel 1",
        "git show",
    ),
    "ended its turn without a report (the agent ended its turn)": (
        'issue-orch logs 1, then issue-orch tell 1 "…"',
        "logs",
    ),
    "it was not permitted to use: Bash": ('issue-orch logs 1, then issue-orch tell 1 "…"', "logs"),
}


@pytest.mark.parametrize("reason", WHY)
def test_what_leads_on_where_a_stuck_worker_asks_nothing(reason: str) -> None:
    """Never `show`: it ends with what is to be typed next."""
    status = screens.session(1, "One", "stuck", stuckReason=reason, failure=reason)
    command, verb = WHY[reason]
    assert next_command(status, "STUCK") == command
    sights = [screens.seen(status, None), *screens.sights(12)]
    assert f"{reason[:10]}" in status_text(sights[:1], 160, False)
    assert f"  {verb}\n" in status_text(sights, 200, False)
    crashed = screens.session(
        1, "One", "stuck", stuckReason="gave up after 3 attempts", failure="x"
    )
    assert next_command(crashed, "STUCK") == "issue-orch logs 1, then issue-orch resume 1"


@pytest.mark.parametrize("label", LOOKS)
def test_no_headline_leads_back_to_show(label: str) -> None:
    for row, _ in screens.twelve():
        assert not next_command(row, label).startswith("issue-orch show")
