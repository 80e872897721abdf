"""Running short commands: their time limit, and what they leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from issue_orch.errors import CommandFailed
from issue_orch.process.run import Done, run
from tests.kit.git import script, wait_for


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Path]:
    """A program that leaves the session, keeps the streams open, and lives until the test is over."""
    program, note = tmp_path / "daemon", tmp_path / "daemon.pid"
    script(program, f"exec setsid sh -c 'echo $$ > \"{note}\"; exec tail -f /dev/null'")
    yield program
    os.kill(int(note.read_text()), signal.SIGKILL)


def test_what_a_command_leaves_behind_does_not_hold_it_up(tmp_path: Path, daemon: Path) -> None:
    """As ssh does with ControlPersist: the command is done, a connection that it keeps has its stderr."""
    argv = (str(script(tmp_path / "ssh", f'"{daemon}" & echo pushed; echo said >&2; exit 3')),)
    assert run(*argv, timeout=3600, check=False) == Done(3, "pushed\n", "said\n")
    assert run("true") == Done(0, "", "")


def test_the_time_limit_holds_for_streams_that_outlive_the_session(
    tmp_path: Path, daemon: Path
) -> None:
    argv = (str(script(tmp_path / "hanging", f'"{daemon}" & echo begun; exec tail -f /dev/null')),)
    with pytest.raises(CommandFailed) as failed:
        run(*argv, timeout=0.5)
    assert (failed.value.code, failed.value.stdout) == (None, "begun\n")


def test_input_and_output_that_no_pipe_holds_at_once() -> None:
    text = "x" * 5_000_000
    assert run("sh", "-c", "sleep 1.5; cat", stdin=text).stdout == text, (
        "also when it is slow to read"
    )


def test_the_command_ends_with_its_group_when_time_is_up(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    with pytest.raises(CommandFailed, match="ran out of time"):
        run("sh", "-c", f'tail -f /dev/null & echo $! > "{note}"; wait', timeout=0.5)
    pid = note.read_text().strip()
    wait_for(
        lambda: subprocess.run(["kill", "-0", pid], capture_output=True, check=False).returncode
    )
