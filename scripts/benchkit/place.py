"""Where the bench works: a folder in memory with a home, an environment as a user has it, a GitHub and clones."""

from __future__ import annotations

import json
import os
import random
import resource
import select
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from issue_orch.sandbox.records import Incoming
from issue_orch.sandbox.server import Handler, Sandbox

TOP = Path(__file__).resolve().parent.parent.parent
AGENT = "#!/bin/sh\necho started > {fifo}\nexec sleep 100000\n"
CONFIG = """\
repo = "acme/widgets"
agent = "sleeper"
max_workers = 200
path = "../work/{{repo}}-issue-{{number}}"

[github]
base_url = "{base_url}"

[agents.sleeper]
command = ["{agent}"]
"""


class SlowHandler(Handler):
    """Answers after the latency of the place, and notes when it was busy."""

    def exchange(self, incoming: Incoming) -> None:
        begun = time.time()
        time.sleep(SlowSandbox.latency / 1000)
        super().exchange(incoming)
        SlowSandbox.spans.append((begun, time.time(), incoming.target))


class SlowSandbox(Sandbox):
    handler = SlowHandler
    latency = 0
    spans: list[tuple[float, float, str]] = []


class Place:
    """A folder that goes away, and everything that was started in it ends."""

    def __init__(self, latency: int, by_cpu: bool, folder: Path | None) -> None:
        self.told = ""  # what a row has to say of itself
        SlowSandbox.latency, self.by_cpu = latency, by_cpu
        self.stack = ExitStack()
        where = folder or ("/dev/shm" if os.path.isdir("/dev/shm") else None)
        self.folder = Path(tempfile.mkdtemp(prefix="issue-orch-bench-", dir=where))
        self.home, self.fifo, self.trace = (
            self.folder / "home",
            self.folder / "started",
            self.folder / "trace",
        )
        self.home.mkdir()
        self.sandbox: SlowSandbox | None = None
        self.clone: Path | None = None
        self.python, self.command = make_environment(self.folder / "venv")
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "USER": "bench",
            "LANG": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "ISSUE_ORCH_WRITE_GAP": "0",
        }
        self.git_config = (
            "[user]\n\tname = Bench\n\temail = bench@example.org\n[init]\n\tdefaultBranch = main\n"
            "[credential]\n\thelper = store\n[gc]\n\tauto = 0\n"
        )
        (self.home / ".gitconfig").write_text(self.git_config)
        os.mkfifo(self.fifo)
        self.started = os.open(self.fifo, os.O_RDWR | os.O_NONBLOCK)
        self.agent = self.folder / "agent"
        self.agent.write_text(AGENT.format(fifo=self.fifo))
        self.agent.chmod(0o755)

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.clone is not None:
            self.run("stop", "--all", check=False)
        self.stack.close()
        os.close(self.started)
        shutil.rmtree(self.folder)

    def run(
        self, *words: str, cwd: Path | None = None, check: bool = True, **env: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.command, *words],
            cwd=cwd or self.clone or self.folder,
            env={**self.env, **env},
            text=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=check,
        )

    def git(self, *words: str, cwd: Path | None = None, stdin: str | None = None) -> str:
        return subprocess.run(
            ["git", *words],
            cwd=cwd or self.clone,
            env=self.env,
            text=True,
            input=stdin,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ).stdout.strip()

    def merges(self, one: str, other: str) -> bool:
        return (
            subprocess.run(
                ["git", "merge-tree", "--write-tree", one, other],
                cwd=self.clone,
                env=self.env,
                check=False,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ).returncode
            == 0
        )

    def stack_run(self, code: str, *argv: str) -> float:
        """Run Python code in the clone; the first of the numbers that it prints."""
        done = subprocess.run(
            [self.python, "-c", code, *argv],
            cwd=self.clone,
            env=self.env,
            text=True,
            check=True,
            stdout=subprocess.PIPE,
        )
        return float(json.loads(done.stdout)[0])

    def make_clone(self, files: int, issues: int) -> Path:
        """A sandbox with a seeded repository of so many files and ready issues, and a clone that is set up."""
        sandbox = self.stack.enter_context(SlowSandbox(self.folder / "github"))
        token = sandbox.add_user("you", "admin")
        for number in range(1, issues + 1):
            sandbox.add_issue(
                f"Issue {number}", f"Do it.\n\nFiles: src/d0/f{number}.py", labels=["ready"]
            )
        subprocess.run(
            ["git", "fast-import", "--quiet"],
            cwd=sandbox.repository.path,
            input=history(files),
            check=True,
        )
        sandbox.sync()
        host = sandbox.base_url.removeprefix("http://")
        (self.home / ".git-credentials").write_text(f"http://you:{token}@{host}\n")
        self.git(
            "clone",
            "--quiet",
            str(sandbox.repository.path),
            str(self.folder / "widgets"),
            cwd=self.folder,
        )
        self.clone, self.sandbox = self.folder / "widgets", sandbox
        (self.folder / "work").mkdir()
        self.git("remote", "set-url", "origin", sandbox.git_url)
        self.env["ISSUE_ORCH_TOKEN"] = token
        (self.clone / ".issue-orch.toml").write_text(
            CONFIG.format(base_url=sandbox.base_url, agent=self.agent)
        )
        self.run("init", "--approve")
        return self.clone

    def wait_started(self, count: int, seconds: float = 120) -> float:
        """When the last of so many agents ran, by time.perf_counter."""
        deadline, seen = time.monotonic() + seconds, 0
        while seen < count:
            if not select.select([self.started], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise RuntimeError(f"{seen} of {count} agents started")
            seen += os.read(self.started, 65_536).count(b"\n")
        return time.perf_counter()


def make_environment(folder: Path) -> tuple[str, str]:
    """A virtual environment as a user has it: without what development adds to the start of Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = next((folder / "lib").glob("python*")) / "site-packages"
    (packages / "bench.pth").write_text(f"{TOP}\n{sysconfig.get_paths()['purelib']}\n")
    python, script = folder / "bin" / "python", folder / "bin" / "issue-orch"
    lines = ("from issue_orch.__main__ import entry", "if __name__ == '__main__':", "    entry()")
    script.write_text("\n".join((f"#!{python}", *lines, "")))
    script.chmod(0o755)
    return str(python), str(script)


def history(files: int) -> bytes:
    """One commit with so many seeded files of about 2 kB, a hundred in each folder."""
    chance = random.Random(files)
    words = [f"word{number:03}" for number in range(400)]
    parts: list[bytes] = [
        b"commit refs/heads/main\ncommitter Bench <bench@example.org> 1700000000 +0000\ndata 5\nStart\n"
    ]
    for number in range(files):
        text = f"# {number}\n" + "\n".join(
            " ".join(chance.choices(words, k=10)) for _ in range(chance.randrange(5, 45))
        )
        parts.append(
            f"M 100644 inline src/d{number // 100}/f{number}.py\ndata {len(text)}\n{text}\n".encode()
        )
    return b"".join(parts)


def timed(
    argv: list[str], cwd: str | os.PathLike[str], env: dict[str, str], check: bool = True
) -> tuple[float, float]:
    """Milliseconds of one process, its output thrown away: on the clock, and of the processor."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done: Any = subprocess.run(
        argv,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    lasted = (time.perf_counter() - begun) * 1000
    if check and done.returncode:
        raise RuntimeError(f"{argv}: exit code {done.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return lasted, (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000
