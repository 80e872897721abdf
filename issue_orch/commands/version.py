"""`issue-orch --version`: with the versions of git and of the agents that are installed."""

from __future__ import annotations

from ..errors import Expected
from ..process import run

AGENTS = ("claude", "codex", "opencode", "gemini")


def version_text(own: str) -> str:
    return "\n".join([f"issue-orch {own}", *(line for name in ("git", *AGENTS) if (line := version_line(name)))])


def version_line(program: str) -> str:
    try:
        done = run(program, "--version", timeout=10, check=False)
    except Expected:
        return ""
    words = (done.stdout or done.stderr).strip().splitlines()
    return f"{program}: {words[0]}" if words else ""
