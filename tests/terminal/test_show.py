"""`show`: everything about one session, whole screens, and the time spent in each phase."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from issue_orch.core.history import entry_of
from issue_orch.store.files import append_line, iso, session_folder
from issue_orch.store.history import append_entry
from issue_orch.store.inbox import delivered, receipt, send
from issue_orch.store.look import Seen, load_past
from issue_orch.terminal.session import phase_times, session_lines
from issue_orch.text import display_width, wrapped
from tests.kit import screens

NOW = screens.NOW


def stage(tmp_path: Path) -> Path:
    """#124 with plan, guidance and history; hostile where a worker or a stranger writes."""
    state = screens.write(tmp_path, screens.twelve())
    (session_folder(state, 124) / "plan.md").write_text(
        "1. Read\n   - \x1b[31mthe code\x1b[0m\n2. Change it\n"
    )
    sent = send(state, 124, "guidance", "Keep the \x1b]0;API\x07 as it is", "you", NOW - 600)
    message = {
        "id": sent.id,
        "kind": "guidance",
        "text": "Keep it",
        "author": "you",
        "at": iso(NOW - 600),
    }
    receipt(state, 124, {**message, "question": None, "now": False}, NOW - 590)
    send(state, 124, "guidance", "And test it", "a colleague", NOW - 60)

    def note(kind: str, at: float, **fields: object) -> None:
        append_entry(state, 124, entry_of({"kind": kind, **fields}), at)

    note("started", NOW - 2270, attempt=1)
    note("transition", NOW - 2260, before="registered", after="planning")
    note("report", NOW - 1900, report="working", fields={"note": "begin\x1b[2J"})
    note("transition", NOW - 1900, before="planning", after="working")
    note("report", NOW - 720, report="stuck", accepted=True, fields={})
    note("transition", NOW - 720, before="working", after="stuck")
    note("exit", NOW - 719, attempt=1, message="ended its turn", seconds=1551.0)
    future = {"at": iso(NOW - 718), "kind": "a kind of the future"}
    append_line(session_folder(state, 124) / "events.jsonl", future)
    return state


def sight(number: int) -> Seen:
    return next(seen for seen in screens.sights(12) if seen.status["issueNumber"] == number)


def test_the_screen(tmp_path: Path) -> None:
    """When it is meant to change: delete tests/kit/screens/show-124.txt, run twice, and look at the difference."""
    lines = session_lines(sight(124), load_past(stage(tmp_path), 124), 80)
    text = "".join(f"{text}\n" for text, _ in lines)
    file = screens.FOLDER / "show-124.txt"
    if not file.exists():
        file.write_text(text)
        pytest.fail("written anew")
    assert text == file.read_text()


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_every_session_fits_and_moves_no_cursor(tmp_path: Path, columns: int) -> None:
    state = stage(tmp_path)
    for seen in screens.sights(12):
        for text, _ in session_lines(seen, load_past(state, seen.status["issueNumber"]), columns):
            assert display_width(text) <= columns
            assert text.isprintable()


def test_how_long_in_each_phase(tmp_path: Path) -> None:
    assert phase_times([], sight(124)) == {"registered": 2280.0}
    events = [
        {"kind": "transition", "at": iso(NOW - 2000), "after": "working"},
        {"kind": "transition", "at": iso(NOW - 1000), "after": "stuck"},
        {"kind": "transition", "at": iso(NOW - 900), "after": "working"},
        {"kind": "transition", "at": iso(NOW - 100), "after": "complete"},
    ]
    assert phase_times(events, sight(124)) == {
        "registered": 280.0,
        "working": 1800.0,
        "stuck": 100.0,
    }


def test_lines_break_at_blanks_and_keep_their_indent() -> None:
    assert list(wrapped("  one two three four", 11)) == ["  one two", "  three", "  four"]
    assert list(wrapped("  " + "x" * 20, 10)) == ["  xxxxxxxx", "  xxxxxxxx", "  xxxx"]
    assert list(wrapped("日本語の題名", 5)) == ["日本", "語の", "題名"]
    assert list(wrapped("", 10)) == [""]


def test_the_command(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    state = stage(tmp_path / ".git")

    def issue_orch(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "issue_orch", *words],
            cwd=tmp_path,
            text=True,
            capture_output=True,
            check=False,
            timeout=30,
        )

    shown = issue_orch("show", "124")
    assert shown.stdout.endswith('Next: issue-orch answer 124 "…"\n') and shown.returncode == 0
    record = json.loads(issue_orch("show", "124", "--json").stdout)["session"]
    assert record["headline"] == "STUCK" and len(record["events"]) == 9
    assert [len(record["guidance"][key]) for key in ("pending", "delivered")] == [1, 1]
    assert len(delivered(state, 124)) == 1
    missing = issue_orch("show", "9")
    assert (missing.returncode, missing.stderr) == (
        1,
        "error: #9: there is no session\n  next: issue-orch status\n",
    )
