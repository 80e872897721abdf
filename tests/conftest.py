"""Every test runs sealed: a HOME of its own, no configuration of the machine, no token, no network but loopback."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

import pytest
from hypothesis import settings

KEPT = {
    "PATH",
    "TMPDIR",
    "LANG",
    "COVERAGE_PROCESS_START",
    "PYTEST_CURRENT_TEST",
    "ISSUE_ORCH_AGENT_CLIS",
    "PYTEST_XDIST_WORKER",
    "PYTEST_XDIST_WORKER_COUNT",
    "PYTEST_XDIST_TESTRUNUID",
    "HYPOTHESIS_STORAGE_DIRECTORY",
}


def sealed_environment(home: Path) -> dict[str, str]:
    """What is left of the environment, and what replaces the machine's configuration."""
    kept = {name: value for name, value in os.environ.items() if name in KEPT}
    scripts = str(Path(sys.executable).parent)
    return {
        **kept,
        "PATH": f"{scripts}{os.pathsep}{kept.get('PATH', '/usr/bin:/bin')}",
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_STATE_HOME": str(home / ".state"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_DATA_HOME": str(home / ".local"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "LC_ALL": "C.UTF-8",
        "TERM": "dumb",
        "TZ": "UTC",
        "USER": "tester",
        "LOGNAME": "tester",
    }


signal.signal(
    signal.SIGINT, signal.default_int_handler
)  # a shell that starts us in the background ignores it, for all below
settings.register_profile(
    "fuzz", max_examples=int(os.environ.get("FUZZ_EXAMPLES") or 100), deadline=None
)
settings.load_profile("fuzz")


@pytest.fixture(autouse=True)
def sealed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Seal the environment of the test and of everything that it starts."""
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Tester\n\temail = tester@example.org\n"
        '[init]\n\tdefaultBranch = main\n[protocol "file"]\n\tallow = always\n'
    )
    environment = sealed_environment(home)
    for name in list(os.environ):
        if name not in environment:
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return home


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to anywhere but this machine fails the test."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = str(address[0])  # type: ignore[index]
            if not (host.startswith("127.") or host in {"localhost", "::1"}):
                raise AssertionError(f"the test reaches outside: {address!r}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded)
