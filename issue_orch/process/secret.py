"""Tokens in the environment: what is started does not inherit them, and who has one cannot be read by neighbours."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing itself costs three milliseconds
if TYPE_CHECKING:
    from collections.abc import Mapping

OWN = "ISSUE_ORCH_TOKEN"
OF_GITHUB = ("GH_TOKEN", "GITHUB_TOKEN")
OF_ENTERPRISE = ("GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN")
TOKENS = (OWN, *OF_GITHUB, *OF_ENTERPRISE)


def without_tokens(env: Mapping[str, str]) -> dict[str, str]:
    """For what we start: whatever runs as the same user can read the environment of a program that was executed."""
    return {name: value for name, value in env.items() if name not in TOKENS}


def hide_process() -> None:
    """A worker runs as the same user; without this it could read the environment of whoever holds the token.

    It lasts until this process executes another program.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
