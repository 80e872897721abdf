"""Records what the real agents print, for the tests of the parsers: `python -m tests.agents.record`."""

from __future__ import annotations

import json
import os
import re
import signal
import tempfile
from pathlib import Path

from tests.agents import clis
from tests.agents.kit import AGENTS, Stage, commit, signal_when, stage
from tests.agents.model_server import Failure, Script, Step

RECORDED = Path(__file__).with_name("recorded")
SCRIPTS: dict[str, Script] = {
    "work": {"TASK": [commit("one")._replace(failures=(Failure(500),)), Step(say="Done.")]},
    "auth": {"TASK": [Step(failures=(Failure(401, "invalid api key"),) * 40)]},
    "interrupted": {"TASK": [Step(run="touch started; exec sleep 9")]},
    "killed": {"TASK": [Step(run="touch started; exec sleep 3")]},
    "context": {
        "TASK": [
            Step(failures=(Failure(400, "prompt is too long: 250000 tokens > 200000 maximum"),) * 9)
        ]
    },
    "missing": {"TASK": [Step(say="Done.")]},
    "budget": {"TASK": [commit(f"n{n}") for n in range(9)]},
    "denied": {
        "TASK": [
            Step(tool=("Write", {"file_path": "/outside.txt", "content": "x"})),
            Step(say="No."),
        ]
    },
    "limited": {
        "TASK": [Step(failures=(Failure(429, "slow down", {"retry-after": "3600"}),) * 40)]
    },
    "overloaded": {"TASK": [Step(failures=(Failure(529, "overloaded"),) * 60)]},
}
ONLY = {"budget": {"claude"}, "denied": {"claude"}, "limited": {"claude"}, "overloaded": {"codex"}}
DROPPED = {
    "tools",
    "mcp_servers",
    "slash_commands",
    "skills",
    "agents",
    "plugins",
    "uuid",
    "timestamp",
    "memory_paths",
}


def play(on: Stage, case: str) -> clis.Run:
    started = on.worktree / "started"
    match case:
        case "interrupted":
            return on.start("TASK", signal_when(started, signal.SIGINT))
        case "killed":
            return on.start("TASK", signal_when(started, signal.SIGKILL))
        case "budget":
            return on.start("TASK", budget_usd=0.012)
        case "missing":
            first = on.start("TASK")
            gone = (first.turn.session_id or "")[:-4] + "0000"
            return on.resume(first._replace(turn=first.turn._replace(session_id=gone)), "GO ON")
        case _:
            return on.start("TASK")


def trimmed(line: str, root: Path) -> str | None:
    """Without what is long, differs from run to run, or says where it was recorded."""
    line = re.sub(r"\x1b\[\d*m", "", line).replace(str(root), "/w").strip()
    if not line.startswith("{"):
        said = re.match(
            r"Attempt|Error|No conversation|timestamp=.*stream error|Session not found", line
        )
        return line if said else None
    data = json.loads(line)
    return json.dumps({key: value for key, value in data.items() if key not in DROPPED})


def record(agent: str, case: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        home = root / "home"
        home.mkdir()
        os.environ["HOME"] = str(home)
        (home / ".gitconfig").write_text("[user]\n\tname = Tester\n\temail = tester@example.org\n")
        with stage(agent, home, root, SCRIPTS[case]) as on:
            run = play(on, case)
        lines = [said for line in run.lines if (said := trimmed(line, root))]
        text = "\n".join([f"exit {run.code}", *lines]) + "\n"
        (RECORDED / f"{agent}-{case}.txt").write_text(text)
        print(agent, case, run.outcome.kind)


if __name__ == "__main__":
    RECORDED.mkdir(exist_ok=True)
    for one in AGENTS:
        for which in SCRIPTS:
            if one in ONLY.get(which, {one}):
                record(one, which)
