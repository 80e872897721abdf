"""`logs`: rendering with durations, rotation, following, and what is never printed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from issue_orch.agents.command import parse
from issue_orch.agents.registry import load
from issue_orch.store.files import session_folder
from issue_orch.store.leases import take
from issue_orch.store.log import LogReader
from issue_orch.terminal.log import Rendering
from tests.kit import screens
from tests.kit.screens import issue_orch


def event(**fields: object) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def write(log: Path, *rows: tuple[bytes, float]) -> None:
    """Append to a log as the supervisor does: the text, then up to where it came by when."""
    for chunk, at in rows:
        with open(log, "ab") as file, open(f"{log}.times", "a") as times:
            file.write(chunk)
            times.write(f"{file.tell()} {at}\n")


def rendered(log: Path) -> list[tuple[str, str]]:
    rendering = Rendering(parse)
    return [
        (line.clock, line.text)
        for raw, at in LogReader(log).read()
        for line in rendering.lines(raw, at)
    ]


def test_tools_are_shown_with_how_long_they_took(tmp_path: Path) -> None:
    log = tmp_path / "agent.log"
    write(
        log,
        (event(type="text", text="I look around"), 100),
        (event(type="tool", id="a", text="shell: pytest"), 101),
        (event(type="tool", id="b", text="read: x.py") + event(type="tool_end", id="b"), 101.5),
        (event(type="tool_end", id="a"), 174),
        (event(type="text", text="All\ngreen"), 175),
    )
    assert rendered(log) == [
        ("00:01:40", "I look around"),
        ("00:01:41", "> shell: pytest"),
        ("", "> read: x.py"),
        ("", "  done after 1m: shell: pytest"),
        ("00:02:55", "All"),
        ("", "green"),
    ]


def test_lines_in_one_chunk_and_half_lines(tmp_path: Path) -> None:
    log = tmp_path / "agent.log"
    reader = LogReader(log)
    assert reader.read() == []
    write(log, (b"one\ntwo\nth", 10))
    assert reader.read() == [("one", 10.0), ("two", 10.0)]
    write(log, (b"ree\n", 20))
    assert reader.read() == [("three", 20.0)]


def test_a_rotated_log_goes_on_in_the_new_file(tmp_path: Path) -> None:
    log = tmp_path / "agent.log"
    write(log, (b"one\n", 10))
    early = LogReader(log)
    assert early.read() == [("one", 10.0)]
    write(log, (b"two\nth", 20))
    os.replace(log, tmp_path / "agent.log.1")
    os.replace(tmp_path / "agent.log.times", tmp_path / "agent.log.1.times")
    write(log, (b"ree\n", 30))
    assert early.read() == [("two", 20.0), ("three", 30.0)]
    assert LogReader(log).read() == [("one", 10.0), ("two", 20.0), ("three", 30.0)]


def test_the_tail_starts_at_a_whole_line(tmp_path: Path) -> None:
    log = tmp_path / "agent.log"
    log.write_bytes(b"".join(b"line %d\n" % number for number in range(1000)))
    lines = LogReader(log, tail=100).read()
    assert (
        8 <= len(lines) <= 13
        and lines[-1] == ("line 999", 0.0)
        and lines[0][0].startswith("line 9")
    )


def test_nothing_dangerous_is_rendered(tmp_path: Path) -> None:
    log = tmp_path / "agent.log"
    token = "ghp_" + "a1" * 18
    write(
        log,
        (event(type="text", text=f"\x1b]0;title\x07\x1b[2Jhello {token}"), 0),
        (event(type="tool", text="a\x1b[1m\nb"), 0),
    )
    assert rendered(log) == [("", "hello [redacted]"), ("", "> a b")]


def shown(parse_of: str, *lines: str) -> list[str]:
    rendering = Rendering(load(parse_of).parse)
    return [each.text for line in lines for each in rendering.lines(line, 0)]


def test_the_last_words_are_shown_once() -> None:
    said = '{"type":"assistant","message":{"content":[{"type":"text","text":"Done."}]}}'
    result = '{"type":"result","subtype":"success","result":"%s"}'
    assert shown("claude", said, result % "Done.") == ["Done."]
    assert shown("claude", said, result % "Done, too.") == ["Done.", "= Done, too."]
    assert shown("claude", result % "Done.") == ["= Done."]


def test_errors_are_shown_whole() -> None:
    long = "\\n".join(f"line {number}" for number in range(30))
    error = f'{{"type":"error","message":"{"x" * 900}\\nand more"}}'
    assert shown("codex", error) == ["! " + "x" * 900, "  and more"]
    item = f'{{"type":"command_execution","status":"failed","aggregated_output":"{long}"}}'
    rows = shown("codex", f'{{"type":"item.completed","item":{item}}}')
    assert rows[:3] == ["  failed", "  … 10 lines before (logs --raw)", "  line 10"]
    assert rows[-1] == "  line 29"


@pytest.mark.parametrize("agent", ["claude", "codex", "opencode", "gemini"])
def test_what_an_agent_says_on_stderr_is_shown(agent: str) -> None:
    """What its adapter does not know; JSON that it does not know is not for people."""
    lines = ("error: unexpected argument '--x' found", "", '{"type":"brand.new"}', '["x"]')
    assert shown(agent, *lines) == ["error: unexpected argument '--x' found"]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", tmp_path / "clone"], check=True)
    screens.write(
        tmp_path / "clone" / ".git", [(screens.session(7, "Seven", agent="command"), None)]
    )
    return tmp_path / "clone"


def test_the_command(clone: Path) -> None:
    log = session_folder(clone / ".git" / "issue-orch", 7) / "agent.log"
    assert issue_orch(clone, "logs", "7").stderr == "#7: the agent has said nothing yet\n"
    write(log, (event(type="text", text="hello"), 0), (event(type="tool", text="shell: ls"), 3600))
    assert issue_orch(clone, "logs", "7").stdout == "          hello\n01:00:00  > shell: ls\n"
    assert issue_orch(clone, "logs", "7", "-n", "1").stdout == "01:00:00  > shell: ls\n"
    assert issue_orch(clone, "logs", "7", "--raw").stdout == log.read_text()
    missing = issue_orch(clone, "logs", "8")
    assert (missing.returncode, missing.stderr) == (
        1,
        "error: #8: there is no session\n  next: issue-orch status\n",
    )


def test_why_an_agent_that_never_said_anything_did_not_is_named(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path / "clone"], check=True)
    reason = "the agent ended with exit code 126: Exec format error (gave up after 4 attempts)"
    status = screens.session(7, "Seven", "stuck", stuckReason=reason, agent="command")
    screens.write(tmp_path / "clone" / ".git", [({**status, "question": None}, None)])
    said = issue_orch(tmp_path / "clone", "logs", "7").stderr
    assert said == f"#7: the agent has said nothing yet: {reason}\n"


def test_following_ends_with_the_worker(clone: Path) -> None:
    state = clone / ".git" / "issue-orch"
    log = session_folder(state, 7) / "agent.log"
    write(log, (event(type="text", text="first"), 0))
    with take(state, 7, "supervisor"):
        following = subprocess.Popen(
            [sys.executable, "-m", "issue_orch", "logs", "7", "-f"],
            cwd=clone,
            text=True,
            stdout=subprocess.PIPE,
        )
        assert following.stdout is not None
        assert following.stdout.readline().strip() == "first"
        write(log, (event(type="text", text="second"), 0))
        assert following.stdout.readline().strip() == "second"
        write(log, (event(type="text", text="last words"), 0))
    assert following.communicate(timeout=10)[0].strip() == "last words"
    assert following.returncode == 0
