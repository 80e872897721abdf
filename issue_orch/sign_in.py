"""Where the token comes from, and which host it may be sent to."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple

from .errors import Expected
from .process import Done, run
from .remote import web_host

PR_SET_DUMPABLE = 4
LOOPBACK = ("127.", "localhost", "[::1]")


class Token(NamedTuple):
    """A secret, where it was found, and the one host it is for. Printing it never shows the secret."""

    value: str
    source: str
    host: str

    def __repr__(self) -> str:
        return f"Token(source={self.source!r}, host={self.host!r})"


def find_token(base_url: str, env: Mapping[str, str], run: Callable[..., Done] = run) -> Token | None:
    """The token for the API at `base_url`; of the variables those that gh would use for that host.

    Once there is one, this process can no longer be read by its neighbours (/proc/<pid>/environ, ptrace).
    """
    host = web_host(base_url)
    for name in ("ISSUE_ORCH_TOKEN", *variables(host, env)):
        if value := env.get(name, "").strip():
            hide_process()
            return Token(value, name, host)
    if host.startswith(LOOPBACK):
        return None
    try:
        done = run("gh", "auth", "token", "--hostname", host, env=dict(env), check=False, timeout=10)
    except Expected:  # gh is not installed, or waits for something
        return None
    if done.code or not done.stdout.strip():
        return None
    hide_process()
    return Token(done.stdout.strip(), "gh auth token", host)


def variables(host: str, env: Mapping[str, str]) -> tuple[str, ...]:
    """A token of one host in the environment is never offered to another."""
    named = env.get("GH_HOST", "").lower()
    if host == "github.com" or (host.endswith(".ghe.com") and named == host):
        return ("GH_TOKEN", "GITHUB_TOKEN")
    if host.startswith(LOOPBACK):  # a server of one's own, for trying things out
        return ("GH_TOKEN", "GITHUB_TOKEN")
    if host.endswith(".ghe.com") or named not in ("", host):
        return ()
    return ("GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN")


def hide_process() -> None:
    """A worker runs as the same user; without this it could read the environment of whoever holds the token."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
