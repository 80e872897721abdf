"""Which modules the quick commands may import: each one more costs every call of an agent or a shell prompt."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from issue_orch.core.record import new_status
from issue_orch.process.secret import TOKENS
from issue_orch.store.files import make_session, make_state, save_status
from issue_orch.store.inbox import write_context

LIST = """\
import atexit, sys
atexit.register(lambda: print(*sorted(set(sys.modules) - before), file=open({out!r}, "w")))
before = set(sys.modules)
sys.argv[1:] = {words!r}
from issue_orch.__main__ import main
sys.exit(main())
"""
PACKAGES = {
    "typer",
    "click",
    "rich",
    "jinja2",
    "markdown_it",
    "mdit_py_plugins",
    "github",
    "requests",
    "urllib3",
    "tenacity",
    "textual",
    "psutil",
    "pydantic",
}
HEAVY = {
    "argparse",
    "asyncio",
    "calendar",
    "concurrent",
    "dataclasses",
    "datetime",
    "hashlib",
    "inspect",
    "logging",
    "pathlib",
    "random",
    "shutil",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "tomllib",
    "urllib",
}
STATUS = {
    "__main__",
    "commands",
    "commands.status",
    "errors",
    "core",
    "core.headline",
    "core.record",
    "store",
    "store.files",
    "store.leases",
    "store.look",
    "terminal",
    "terminal.io",
}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    state = make_state(tmp_path / ".git")
    make_session(state, 1)
    status = new_status(
        1,
        status="working",
        startedAt="2025-01-01T00:00:00Z",
        issueTitle="Grüße",
        worktreePath=str(tmp_path),
    )
    save_status(state, status)
    write_context(status, "acme/widgets", state)
    return tmp_path


def imported(clone: Path, *words: str, **env: str) -> tuple[set[str], set[str]]:
    """Modules of issue-orch, and the top names of all others, that the command imported."""
    out = clone / "modules"
    code = LIST.format(out=str(out), words=list(words))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=clone,
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert out.exists() and "Traceback" not in done.stderr, done.stderr
    names = set(out.read_text().split())
    own = {name.partition(".")[2] for name in names if name.startswith("issue_orch.")}
    return own, {name.partition(".")[0] for name in names} - {"issue_orch"}


@pytest.mark.parametrize(
    ("words", "own"),
    [
        (("report", "working", "--note", "x"), {"__main__", "report"}),
        (("--help",), {"__main__", "terminal", "terminal.io", "errors"}),
        (("status", "--json"), STATUS),
        (("status",), STATUS | {"terminal.sessions", "text"}),
        (("path", "1"), {"commands", "commands.path"} | STATUS - {"commands.status"}),
    ],
)
def test_quick_commands_import_little(clone: Path, words: tuple[str, ...], own: set[str]) -> None:
    ours, others = imported(clone, *words)
    assert ours <= own
    assert not others & (PACKAGES | HEAVY)


@pytest.mark.parametrize("words", [("report", "working", "--note", "x"), ("--help",), ("status",)])
def test_hiding_a_token_costs_only_who_has_one(clone: Path, words: tuple[str, ...]) -> None:
    """A worker's own keys are none of ours; its `report` must stay quick."""
    without, others = imported(clone, *words)
    assert not {"process", "process.secret"} & without and "ctypes" not in others
    foreign = imported(clone, *words, CLAUDE_CODE_OAUTH_TOKEN="x", NPM_TOKEN="x")
    assert foreign == (without, others)
    for name in TOKENS:
        ours, others = imported(clone, *words, **{name: "x"})
        assert ours == without | {"process", "process.secret"}
        assert "ctypes" in others or sys.platform != "linux"


@pytest.mark.parametrize("words", [("answer", "999", "text"), ("plan",)])
def test_before_their_work_commands_import_no_package(clone: Path, words: tuple[str, ...]) -> None:
    ours, others = imported(clone, *words)
    assert "commands" in ours and not ours & {
        "cli",
        "github.client",
        "github.fence",
        "config.templates",
        "commands.tui.watch",
        "sandbox",
    }
    assert not others & (PACKAGES | {"asyncio", "ssl", "socket"})
    assert "inspect" not in others or sys.version_info >= (3, 14), (
        "3.14's concurrent.futures imports it, by way of traceback"
    )


def test_a_supervisor_imports_no_package(clone: Path) -> None:
    code = "import sys; old = set(sys.modules); import issue_orch.worker.supervisor; print(*set(sys.modules) - old)"
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=clone, capture_output=True, text=True, check=True
    ).stdout
    names = {name.partition(".")[0] for name in said.split()}
    assert not names & (
        PACKAGES
        | {"asyncio", "dataclasses", "datetime", "hashlib", "shutil", "socket", "ssl", "tempfile"}
    )


def test_a_supervisor_is_forked_without_threads(clone: Path) -> None:
    code = (
        "import sys, threading\n"
        "sys.addaudithook(lambda event, _: event != 'os.fork' or print(threading.active_count(), flush=True))\n"
        "from issue_orch.worker.supervisor import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    with open(os.devnull) as nothing:  # no word comes: what was forked ends at once
        descriptor = nothing.fileno()
        argv = [
            sys.executable,
            "-W",
            "error",
            "-c",
            code,
            clone / ".git/issue-orch",
            f"1:{descriptor},{descriptor},{descriptor}",
        ]
        done = subprocess.run(
            argv, pass_fds=[descriptor], capture_output=True, text=True, check=False
        )
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
