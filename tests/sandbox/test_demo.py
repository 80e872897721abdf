"""`demo`: in colour on a terminal, and with --keep a sandbox that goes on until it is told to end."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from issue_orch.terminal.io import colours
from tests.kit.git import wait_for

DEMO = (sys.executable, "-P", "-m", "issue_orch", "demo", "--yes", "--keep")


@pytest.fixture
def env(sealed: Path, tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "HOME": str(sealed), "TMPDIR": str(tmp_path), "TERM": "xterm-256color"}


def in_terminal(env: dict[str, str]) -> Iterator[str]:
    """What the demo prints on a terminal, as it comes."""
    master, slave = pty.openpty()
    with subprocess.Popen(DEMO, stdin=slave, stdout=slave, stderr=slave, env=env) as child:
        os.close(slave)
        while True:
            try:
                chunk = os.read(master, 65536)
            except OSError:  # nobody has the terminal any more
                break
            yield chunk.decode()
        os.close(master)
        assert child.wait(60) == 0


def test_a_sandbox_that_was_kept_goes_on_until_it_is_told_to_end(
    env: dict[str, str], tmp_path: Path
) -> None:
    """Its terminal ends; every command and address that was printed leads somewhere."""
    said = "".join(in_terminal(env)).replace("\r\n", "\n")
    (folder,) = tmp_path.glob("issue-orch-demo-*")
    pid = int((folder / "pid").read_text())
    try:
        assert "\x1b[1m$ issue-orch plan\x1b[0m" in said and "\x1b[33mSTUCK\x1b[0m" in said
        plain = re.sub(r"\x1b\[[\d;]*m", "", said).partition("That is all")[2]
        addresses = re.findall(r"http://\S+", plain)
        assert len(addresses) == 3
        for address in addresses:
            with urllib.request.urlopen(address) as page:
                assert b"Decided by" in page.read() or page.status == 200
        commands = re.findall(r"(?m)^  (sh .* issue-orch (?:show|logs) 2)$", plain)
        assert len(commands) == 2 and f"  sh {folder}/enter issue-orch watch\n" in plain
        for command in commands:
            shown = subprocess.run(
                ("sh", "-c", command), env=env, capture_output=True, text=True, check=True
            )
            assert "Token refresh" in shown.stdout or "#2" in shown.stdout
        (end,) = re.findall(r"(?m)^  (kill .*)$", plain)
        subprocess.run(("sh", "-c", end), env={"PATH": env["PATH"]}, check=True)
        wait_for(lambda: not folder.exists(), 60)
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(addresses[0])
    finally:
        if folder.exists():
            os.kill(pid, signal.SIGKILL)


def test_a_demo_that_is_interrupted_keeps_nothing(env: dict[str, str], tmp_path: Path) -> None:
    with subprocess.Popen(
        DEMO, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as child:
        assert child.stdout and b"A repository" in child.stdout.readline()
        os.killpg(child.pid, signal.SIGINT)
        child.stdout.read()
        assert child.wait(60) == 130
    assert not [*tmp_path.glob("issue-orch-demo-*")]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("variables", "terminal", "pipe"),
    [
        ({}, True, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "0"}, True, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, False, False),
    ],
)
def test_colour(
    variables: dict[str, str], terminal: bool, pipe: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (colours(Terminal()), colours(io.StringIO())) == (terminal, pipe)
