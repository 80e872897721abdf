"""How the lean supervisor asks for what needs more than the standard library: one short-lived process per request."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from .errors import CommandFailed, Expected
from .process import run

SETTLE_LIMIT = 900.0
RENDER_LIMIT = 60.0


def package_parent() -> str:
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def python_module(module: str, *argv: str) -> tuple[str, ...]:
    """The argument list that runs a module of this package, whatever the current folder holds."""
    return (sys.executable, "-P", "-m", f"issue_orch.{module}", *argv)


class Helper:
    """Holds the token that the starting command had in its environment, and hands it to each helper by a pipe."""

    def __init__(self, token: str | None) -> None:
        self.token = token

    def __repr__(self) -> str:
        return "Helper(token hidden)"

    def call(self, operation: str, timeout: float = RENDER_LIMIT, **arguments: Any) -> dict[str, Any]:
        """Run one operation to its end. Raises Expected with the helper's words when it fails."""
        request = json.dumps({"operation": operation, "token": self.token, **arguments})
        try:
            done = run(*python_module("helper"), stdin=request, timeout=timeout, env=helper_env())
        except CommandFailed as error:
            raise Expected(f"{operation}: {last_words(error.stderr) or error.message}") from error
        answer = json.loads(done.stdout)
        if "error" in answer:
            raise Expected(answer["error"], answer.get("hint", ""))
        return dict(answer)

    def send(self, operation: str, **arguments: Any) -> None:
        """Start one operation and do not wait for it."""
        request = json.dumps({"operation": operation, "token": None, **arguments}).encode()
        child = subprocess.Popen(
            python_module("helper"), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=helper_env(), start_new_session=True,
        )
        child.returncode = 0  # nobody waits for it: the system reaps it when we end
        assert child.stdin is not None
        with child.stdin:
            child.stdin.write(request)


def helper_env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": package_parent()}


def last_words(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
