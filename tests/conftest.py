"""Every test runs sealed: a HOME of its own, no configuration of the machine, no token, no network but loopback."""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from issue_orch.store.files import make_state
from tests.kit.scene import Scene, make_scene

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
    "CASES",
    "HINT",
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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of a test marked `wide(N)`, N of its cases are played, the same ones each time. CASES=all plays all of them,
    CASES=2/5 nothing but such tests, and of all their cases the second of five pieces."""
    wanted = os.environ.get("CASES", "")
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("wide"):
            groups.setdefault(item.nodeid.partition("[")[0], []).append(item)
    if wanted == "all":
        return
    wide = [item for group in groups.values() for item in group]
    if wanted:
        piece, _, pieces = wanted.partition("/")
        kept = set(wide[int(piece) - 1 :: int(pieces)])
    else:
        kept = set(items) - set(wide)
        for name, group in groups.items():
            [most] = next(group[0].iter_markers("wide")).args
            kept.update(random.Random(name).sample(group, min(most, len(group))))
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


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


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """An ordinary one; a file that needs another has its own under this name."""
    with make_scene(tmp_path) as made:
        yield made


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return make_state(tmp_path)
