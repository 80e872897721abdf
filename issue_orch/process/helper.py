"""What lean programs, such as supervisors, need beyond the standard library: one short-lived process for each request."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from ..errors import CommandFailed, Expected
from .run import package_parent, python_module, run
from .secret import without_tokens


def ask_helper(operation: str, timeout: float = 60, **arguments: Any) -> dict[str, Any]:
    """Run one operation to its end. Raises Expected with the helper's words when it fails."""
    try:
        done = run(
            *python_module("worker.helper"),
            stdin=json.dumps({"operation": operation, **arguments}),
            timeout=timeout,
            env=_environment(),
        )
    except Expected as error:
        said = error.stderr.strip().splitlines()[-1:] if isinstance(error, CommandFailed) else []
        words = "".join(said) or error.message
        if not os.path.exists(__file__):
            words = f"issue-orch was upgraded or removed while this worker ran ({words})"
        raise Expected(f"{operation}: {words}") from error
    answer: dict[str, Any] = json.loads(done.stdout)
    if "error" in answer:
        raise Expected(answer["error"], answer["hint"])
    return answer


def tell_helper(operation: str, **arguments: Any) -> None:
    """Start one operation and do not wait for it."""
    child = subprocess.Popen(
        python_module("worker.helper"),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=_environment(),
        start_new_session=True,
    )
    child.returncode = 0  # nobody waits for it: the system reaps it when we end
    assert child.stdin is not None
    with child.stdin:
        child.stdin.write(json.dumps({"operation": operation, **arguments}).encode())


def _environment() -> dict[str, str]:
    return {**without_tokens(os.environ), "PYTHONPATH": package_parent()}
