"""The pinned agent packages, and how a test runs one through its adapter without a supervisor.

`python -m tests.agents.clis` installs them into ISSUE_ORCH_AGENT_CLIS, or the cache folder of the user.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from issue_orch.agents import base, registry
from issue_orch.agents.base import Attempt, Command
from issue_orch.core import outcomes
from issue_orch.core.outcomes import Outcome, Turn

PACKAGES = {
    "claude": "@anthropic-ai/claude-code@2.1.329",
    "codex": "@openai/codex@0.169.0",
    "opencode": "opencode-ai@1.18.33",
    "gemini": "@google/gemini-cli@0.61.0",
}
# Install scripts do not run (`--ignore-scripts`); what these two need of theirs is done by name.
FINISH = {
    "claude": ("@anthropic-ai/claude-code", "install.cjs"),
    "opencode": ("opencode-ai", "postinstall.mjs"),
}


OnLine = Callable[["subprocess.Popen[str]", Turn, str], None]


class Run(NamedTuple):
    """One finished run of an agent."""

    code: int
    turn: Turn
    outcome: Outcome
    lines: list[str]
    stderr: str


def folder() -> Path:
    """Where the packages are: looked up before the tests seal HOME."""
    given = os.environ.get("ISSUE_ORCH_AGENT_CLIS")
    return Path(given) if given else Path.home() / ".cache" / "issue-orch" / "agent-clis"


FOLDER = folder()
MARK = FOLDER / "installed.json"


def program(agent: str) -> str | None:
    """The executable of an agent, None unless all was installed to the end; codex and opencode without their node wrapper."""
    if not MARK.exists():
        return None
    native = (
        sorted(FOLDER.glob("node_modules/@openai/codex-*/vendor/*/bin/codex"))
        if agent == "codex"
        else []
    )
    path = native[0] if native else FOLDER / "node_modules" / ".bin" / agent
    return str(path) if path.exists() else None


def install() -> None:
    """Put the pinned packages into the folder, unless they are there; needs npm and the registry."""
    wanted = json.dumps(PACKAGES)
    if MARK.exists() and MARK.read_text() == wanted and all(map(program, PACKAGES)):
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    MARK.unlink(missing_ok=True)
    (FOLDER / "package.json").write_text('{"private": true}\n')
    npm = [
        "npm",
        "install",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--save-exact",
        "--fetch-retries=1",
    ]
    subprocess.run([*npm, *PACKAGES.values()], cwd=FOLDER, check=True, timeout=300)
    for package, script in FINISH.values():
        subprocess.run(
            ["node", script], cwd=FOLDER / "node_modules" / package, check=True, timeout=60
        )
    MARK.write_text(wanted)


def run(
    agent: str,
    command: Command,
    cwd: Path,
    env: dict[str, str],
    on_line: OnLine | None = None,
    timeout: float = 90,
) -> Run:
    """What the supervisor does, in its simplest form. `on_line` may signal the process."""
    adapter = registry.load(agent)
    whole_env = {**registry.environment(env, adapter), **command.env}
    with subprocess.Popen(
        command.argv,
        cwd=cwd,
        env=whole_env,
        text=True,
        errors="replace",
        start_new_session=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as child:
        assert child.stdin and child.stdout
        child.stdin.write(command.stdin)
        child.stdin.close()
        turn, hopeless = Turn(), None
        lines: list[str] = []
        deadline = time.monotonic() + timeout
        try:
            for line in child.stdout:
                assert time.monotonic() < deadline, lines
                lines.append(line)
                for event in adapter.parse(line):
                    turn = outcomes.fold(turn, event, time.time())
                if hopeless is None and (hopeless := outcomes.hopeless(turn, time.time())):
                    child.terminate()
                if on_line:
                    on_line(child, turn, line)
        finally:
            if sys.exc_info()[0]:
                child.kill()
    said = "".join(line for line in lines if not line.startswith("{"))[-4000:]
    outcome = hopeless or base.ending(adapter, child.returncode, turn, said, time.time())
    return Run(child.returncode, turn, outcome, lines, said)


def launch(worktree: Path, agent: str, prompt: str, **more: object) -> Attempt:
    """A launch in a linked worktree, with the program from the cache folder."""

    def git(*args: str) -> str:
        return subprocess.run(
            ["git", *args], cwd=worktree, check=True, capture_output=True, text=True
        ).stdout.strip()

    found = program(agent)
    assert found, f"{agent} is not installed"
    base = Attempt(
        worktree=str(worktree),
        common_dir=git("rev-parse", "--path-format=absolute", "--git-common-dir"),
        git_dir=git("rev-parse", "--absolute-git-dir"),
        prompt=prompt,
        prompt_file="",
        session_id=None,
        command=(found,),
        identity="Tester <tester@example.org>",
    )
    return base._replace(**more)  # type: ignore[arg-type]


if __name__ == "__main__":
    install()
