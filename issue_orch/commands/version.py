"""`issue-orch --version`: with the versions of git and of the agents that are installed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from ..errors import Expected
from ..process import run
from ..text import one_line

AGENTS = ("claude", "codex", "opencode", "gemini")


def version_text(own: str) -> str:
    """Asked side by side: some agents take a second to say it."""
    with ThreadPoolExecutor() as pool:
        lines = pool.map(version_line, ("git", *AGENTS))
    return "\n".join([f"issue-orch {own}", *(line for line in lines if line)])


def version_line(program: str) -> str:
    try:
        done = run(program, "--version", timeout=10, check=False)
    except Expected:
        return ""
    words = (done.stdout or done.stderr).strip().splitlines()
    return f"{program}: {one_line(words[0], 100)}" if words else ""
