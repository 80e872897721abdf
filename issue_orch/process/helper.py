"""Helper processes of lean programs: each is started for one request."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from ..errors import CommandFailed, Expected
from .run import package_parent, python_module, run

SETTLE_LIMIT = 900.0  # seconds for a helper that pushes and asks GitHub


class Helper:
    """Asks for what needs more than the standard library, such as GitHub: one short-lived process per request.

    Holds the token that the starting command had in its environment, and hands it to each helper by a pipe.
    """

    def __init__(self, token: str | None) -> None:
        self.token = token

    def call(self, operation: str, timeout: float = 60, **arguments: Any) -> dict[str, Any]:
        """Run one operation to its end. Raises Expected with the helper's words when it fails."""
        request = json.dumps({"operation": operation, "token": self.token, **arguments})
        try:
            done = run(
                *python_module("worker.helper"),
                stdin=request,
                timeout=timeout,
                env={**os.environ, "PYTHONPATH": package_parent()},
            )
        except Expected as error:
            said = (
                error.stderr.strip().splitlines()[-1:] if isinstance(error, CommandFailed) else []
            )
            words = "".join(said) or error.message
            if not os.path.exists(__file__):
                words = f"issue-orch was upgraded or removed while this worker ran ({words})"
            raise Expected(f"{operation}: {words}") from error
        answer = json.loads(done.stdout)
        if "error" in answer:
            raise Expected(answer["error"], answer.get("hint", ""))
        return dict(answer)

    def send(self, operation: str, **arguments: Any) -> None:
        """Start one operation and do not wait for it."""
        request = json.dumps({"operation": operation, "token": None, **arguments}).encode()
        child = subprocess.Popen(
            python_module("worker.helper"),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": package_parent()},
            start_new_session=True,
        )
        child.returncode = 0  # nobody waits for it: the system reaps it when we end
        assert child.stdin is not None
        with child.stdin:
            child.stdin.write(request)
