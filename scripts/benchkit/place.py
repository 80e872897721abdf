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
from issue_orch.sandbox.scene import Ran, Scene
from issue_orch.sandbox.server import Handler, Sandbox

TOP = Path(__file__).resolve().parent.parent.parent
AGENT = "#!/bin/sh\necho started > {fifo}\nexec sleep 100000\n"


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


class Place(Scene):
    """A folder that goes away, and everything that was started in it ends."""

    deadline = 900.0
    sandbox: SlowSandbox

    def __init__(self, latency: int, by_cpu: bool, folder: Path | None) -> None:
        self.told = ""  # what a row has to say of itself
        SlowSandbox.latency, self.by_cpu = latency, by_cpu
        self.stack = ExitStack()
        where = folder or ("/dev/shm" if os.path.isdir("/dev/shm") else None)
        super().__init__(Path(tempfile.mkdtemp(prefix="issue-orch-bench-", dir=where)))
        self.fifo, self.trace = self.folder / "started", self.folder / "trace"
        self.python, self.script = make_environment(self.folder / "venv")
        self.command = [self.script]
        del self.env["PYTHONPATH"]
        self.env["LANG"] = "C.UTF-8"
        self.git("config", "--global", "gc.auto", "0", cwd=self.folder)
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
        if self.clone.exists():
            self.orch("stop", "--all")
        self.stack.close()
        os.close(self.started)
        shutil.rmtree(self.folder)

    def run(self, *words: str, **env: str) -> Ran:
        return self.orch(*words, check=True, env=env)

    def git(self, *words: str, **options: Any) -> str:
        return super().git(*words, **options).strip()

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
        self.connect(sandbox, "sleeper", max_workers=200)
        (self.folder / "work").mkdir()
        place = 'path = "../work/{repo}-issue-{number}"'
        self.write_config(place, f'[agents.sleeper]\ncommand = ["{self.agent}"]\n')
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
