"""A clone of the sandbox's repository with a home and an environment of its own: of the demo, the tests and the bench."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from ..config.layers import user_file
from ..errors import Expected
from ..process.run import package_parent
from .server import Sandbox

GIT_CONFIG = """\
[user]
	name = You
	email = you@example.org
[credential]
	helper = store
[init]
	defaultBranch = main
[protocol "file"]
	allow = always
"""


class Ran(NamedTuple):
    code: int
    out: str
    err: str


class Scene:
    """A person's home and clone. `env`, `config` and `command` may be changed between commands."""

    deadline = 60.0  # seconds, for one command or one thing that is waited for

    def __init__(self, folder: Path, clone: str = "widgets") -> None:
        self.folder, self.home, self.clone = folder, folder / "home", folder / clone
        self.command = [sys.executable, "-P", "-m", "issue_orch"]
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "USER": "you",
            "PYTHONPATH": package_parent(),
            "ISSUE_ORCH_WRITE_GAP": "0",
            "GIT_CONFIG_NOSYSTEM": "1",
            "TERM": "dumb",
        }
        self.home.mkdir()
        (self.home / ".gitconfig").write_text(GIT_CONFIG)

    def connect(self, sandbox: Sandbox, agent: str, max_workers: int) -> None:
        """Sign in to the GitHub, and clone its repository."""
        self.sandbox, self.token = sandbox, sandbox.add_user("you", "admin")
        self.env["ISSUE_ORCH_TOKEN"] = self.token
        self.store_credentials()
        self.config = f'repo = "{sandbox.repo}"\nmax_workers = {max_workers}\nagent = "{agent}"\n'
        self.config += f'[github]\nbase_url = "{sandbox.base_url}"\n'
        self.git("clone", "--quiet", sandbox.git_url, str(self.clone), cwd=self.home)

    def store_credentials(self) -> None:
        """For git, which forgets what was refused."""
        address = self.sandbox.base_url.replace("://", f"://you:{self.token}@")
        (self.home / ".git-credentials").write_text(f"{address}\n")

    def write_config(self, before: str = "", after: str = "") -> None:
        """The person's own file, with keys before and tables after `config`."""
        file = user_file(self.env)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{before}\n{self.config}{after}")

    @property
    def state(self) -> Path:
        return self.clone / ".git" / "issue-orch"

    def start(
        self, *words: str, env: dict[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """Begin a command without waiting for it."""
        pipes = {"stdin": subprocess.DEVNULL} | dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
        options = {"cwd": self.clone, "text": True, "errors": "replace", **pipes, **options}
        return subprocess.Popen([*self.command, *words], env={**self.env, **(env or {})}, **options)

    def orch(self, *words: str, check: bool = False, **options: Any) -> Ran:
        with self.start(*words, **options) as child:
            out, err = child.communicate(timeout=self.deadline)
        if check and child.returncode:
            said = f"{out}{err or ''}".strip()[-2000:]
            self.fail(f"issue-orch {' '.join(words)} ended with code {child.returncode}: {said}")
        return Ran(child.returncode, out, err)

    def git(
        self,
        *words: str,
        cwd: Path | None = None,
        check: bool = True,
        env: dict[str, str] | None = None,
        stdin: str | None = None,
    ) -> str:
        for _ in range(200):  # a worktree that is half registered makes it die (git/run.py)
            done = subprocess.run(
                ["git", *words],
                cwd=cwd or self.clone,
                env={**self.env, **(env or {})},
                check=False,
                capture_output=True,
                text=True,
                errors="surrogateescape",
                input=stdin,
            )
            if "/commondir" not in done.stderr:
                break
        if check and done.returncode:
            self.fail(f"git {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def sessions(self) -> dict[int, dict[str, Any]]:
        """What `status` says, by the issues' numbers."""
        rows = json.loads(self.orch("status", "--json", check=True).out)["sessions"]
        return {row["issueNumber"]: row for row in rows}

    def wait(self, until: Callable[[], Any], deadline: float | None = None, what: str = "") -> Any:
        """The first true value of `until`."""
        deadline = deadline or self.deadline
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            if found := until():
                return found
            time.sleep(0.02)  # between two looks
        self.fail(f"waited {deadline:.0f} s in vain: {what or until}")

    def fail(self, message: str) -> NoReturn:
        raise Expected(message)
