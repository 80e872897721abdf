"""`issue-orch demo`: the whole idea in under a minute, with real commands on the sandbox in a temporary folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import Expected
from ..process.run import package_parent, python_module
from .server import Sandbox

WAIT = 60.0

CONFIG = """\
repo = "acme/widgets"
agent = "demo-agent"
max_workers = 3

[github]
base_url = "{base_url}"

[agents.demo-agent]
command = ["{python}", "-P", "{agent}"]
resume = ["{python}", "-P", "{agent}", "--resume", "{{session_id}}"]
"""


def demo(yes: bool, keep: bool) -> int:
    """Returns 0 when everything that it promises happened; raises Expected otherwise."""
    folder = Path(tempfile.mkdtemp(prefix="issue-orch-demo-"))
    try:
        with Sandbox(folder / "github") as sandbox:
            stage = Stage(folder, sandbox, interactive=not yes and sys.stdin.isatty())
            try:
                play(stage)
            finally:
                stage.run("stop", "--all", quiet=True, check=False)
    finally:
        if keep:
            say(f"\nKept: {folder}")
        else:
            shutil.rmtree(folder)
    return 0


class Stage:
    """A clone of the sandbox's repository, and a terminal in it."""

    def __init__(self, folder: Path, sandbox: Sandbox, interactive: bool) -> None:
        self.sandbox, self.interactive = sandbox, interactive
        self.home, self.clone = folder / "home", folder / "widgets"
        self.home.mkdir()
        self.token = sandbox.add_user("you", "admin")
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "PYTHONPATH": package_parent(),
            "ISSUE_ORCH_TOKEN": self.token,
            "ISSUE_ORCH_WRITE_GAP": "0",
            "GIT_CONFIG_NOSYSTEM": "1",
            "TERM": os.environ.get("TERM", "dumb"),
            "USER": "you",
            **{
                name: os.environ[name]
                for name in ("NO_COLOR", "COLUMNS", "LANG", "LC_ALL")
                if name in os.environ
            },
        }
        (self.home / ".gitconfig").write_text("[user]\n\tname = You\n\temail = you@example.org\n")

    def run(self, *words: str, quiet: bool = False, check: bool = True) -> str:
        """Run issue-orch in the clone, and show what a person would type and see."""
        if not quiet:
            say(
                f"\n$ issue-orch {' '.join(word if ' ' not in word else repr(word) for word in words)}"
            )
        done = subprocess.run(
            python_module("__main__", *words),
            cwd=self.clone,
            env=self.env,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if not quiet:
            sys.stdout.write(done.stdout)
            sys.stdout.flush()
        if check and done.returncode:
            raise Expected(
                f"issue-orch {words[0]} ended with code {done.returncode}: {done.stdout.strip()[-500:]}"
            )
        return done.stdout

    def ask(self) -> None:
        """Let the person at the terminal answer."""
        say("\n$ issue-orch answer")
        subprocess.run(
            python_module("__main__", "answer"), cwd=self.clone, env=self.env, check=True
        )

    def git(self, *words: str, cwd: Path | None = None) -> None:
        subprocess.run(
            ["git", *words],
            cwd=cwd or self.clone,
            env=self.env,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def sessions(self) -> dict[str, dict[str, Any]]:
        rows = json.loads(self.run("status", "--json", quiet=True))["sessions"]
        return {row["id"]: row for row in rows}

    def wait(
        self, what: str, holds: Callable[[dict[str, dict[str, Any]]], bool]
    ) -> dict[str, dict[str, Any]]:
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline:
            rows = self.sessions()
            if holds(rows):
                return rows
            time.sleep(0.1)
        raise Expected(f"the demo waited {WAIT:.0f} s for this in vain: {what}")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def promise(kept: bool, what: str) -> None:
    if not kept:
        raise Expected(f"the demo promised this, and it did not happen: {what}")


def play(stage: Stage) -> None:
    set_scene(stage)
    plan = stage.run("plan")
    promise(
        "src/menu.py" in plan and "blocked by #1" in plan,
        "the overlap and the blocked issue are shown",
    )
    say("\nWorkers start for what is ready, each in a worktree and on a branch of its own.")
    stage.run("spawn", "--yes", quiet=True)
    stage.wait("#2 asks", lambda rows: rows["2"]["status"] == "stuck" and len(rows) == 3)
    stage.run("status")
    say("\nOne worker needs a decision. Nothing runs for it meanwhile.")
    answer(stage)
    done = stage.wait(
        "three pulls are recorded", lambda rows: all(row["pullRequestUrl"] for row in rows.values())
    )
    shown = stage.run("show", "2")
    promise("[delivered]" in shown, "the answer has its receipt")
    stage.run("status")
    review(stage, done)


def set_scene(stage: Stage) -> None:
    sandbox = stage.sandbox
    sandbox.seed(
        {"README.md": "# widgets\n", "src/menu.py": "MENU = []\n", "src/auth.py": "TOKEN = None\n"},
        "Start",
    )
    sandbox.add_issue(
        "Add export button",
        "A button to export.\n\nFiles: src/export.py, src/menu.py",
        labels=["ready"],
    )
    sandbox.add_issue(
        "Implement auth flow",
        "Tokens must be refreshed.\n\nFiles: src/auth.py\n"
        "Ask: Token refresh approach | sliding expiration | fixed expiration",
        labels=["ready"],
    )
    sandbox.add_issue(
        "Document the export", "Depends on #1\n\nFiles: docs/export.md", labels=["ready"]
    )
    sandbox.add_issue(
        "Add dark mode",
        "A switch in the menu.\n\nFiles: src/theme.py, src/menu.py",
        labels=["ready"],
    )
    stage.git("clone", str(sandbox.bare), str(stage.clone), cwd=stage.home)
    stage.git("remote", "set-url", "origin", sandbox.git_url)
    agent = Path(__file__).with_name("agent.py")
    (stage.clone / ".issue-orch.toml").write_text(
        CONFIG.format(base_url=sandbox.base_url, python=sys.executable, agent=agent)
    )
    stage.run("init", "--approve", quiet=True)
    say("A repository with four ready issues, on a GitHub that lives inside this demo.")


def answer(stage: Stage) -> None:
    if stage.interactive:
        stage.ask()
        if stage.sessions()["2"]["status"] == "stuck":
            say("Left open; the demo takes the first option.")
            stage.run("answer", "2", "--option", "1")
    else:
        stage.run("answer", "2", "--option", "1")


def review(stage: Stage, done: dict[str, dict[str, Any]]) -> None:
    say(
        "\nThree pull requests are open. issue-orch never merges.\nNow a person merges the first on GitHub."
    )
    number = int(done["1"]["pullRequestUrl"].rpartition("/")[2])
    stage.sandbox.person.merge(number)
    pruned = stage.run("prune")
    promise(
        "#1" in pruned and not Path(done["1"]["worktreePath"]).exists(),
        "the merged worktree is removed",
    )
    promise(Path(done["2"]["worktreePath"]).exists(), "worktrees of open pulls stay")
    promise("Eligible (1)" in stage.run("plan", "3"), "the merge makes #3 ready")
    promise(
        not stage.sandbox.merge_attempts and not stage.sandbox.unknown_requests,
        "issue-orch asked for nothing else",
    )
    urls = "".join(f"  {row['pullRequestUrl']}\n" for row in done.values())
    say(
        f"\nThat is all. Workers opened\n{urls}One question was answered, and nothing was merged but by a person.\n"
        "In a clone of yours: issue-orch init"
    )
