"""The agents by name: their adapters, what a worker of theirs inherits of the environment, which are installed."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, cast

from ..errors import Expected, Usage
from .base import Adapter, Capabilities

NAMES = ("claude", "codex", "opencode", "gemini", "command")

# Besides LC_* and XDG_*. Proxies and certificates: behind a company's proxy nothing else works.
_INHERITED = frozenset(
    (
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "LANGUAGE",
        "TERM",
        "COLORTERM",
        "TZ",
        "TMPDIR",
        "NO_COLOR",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "NODE_EXTRA_CA_CERTS",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "JAVA_HOME",
        "GOPATH",
        "GOROOT",
        "CARGO_HOME",
        "RUSTUP_HOME",
        "NVM_DIR",
        "PYENV_ROOT",
        "VOLTA_HOME",
    )
)
# Not even when asked for: an agent session around issue-orch, git's own state, our settings.
_NEVER = ("CLAUDECODE", "CLAUDE_CODE_", "CODEX_", "GIT_", "ISSUE_ORCH_")


class Installed(NamedTuple):
    """An agent on this machine. `signed_in` names where a sign-in was found, None when none was.

    `problem` is set when it does not run, `old` names the version that issue-orch was tried with when this is an older.
    """

    name: str
    path: str | None
    version: str | None = None
    signed_in: str | None = None
    problem: str | None = None
    old: str | None = None


def load(name: str) -> Adapter:
    """The adapter module of an agent."""
    if name not in NAMES:
        raise Usage(f"there is no agent called {name!r}", f"agents: {', '.join(NAMES)}")
    return cast(Adapter, importlib.import_module(f".{name}", __package__))


def environment(
    base_env: Mapping[str, str], adapter: Adapter, extra: Iterable[str] = ()
) -> dict[str, str]:
    """What a worker inherits: an allow-list, the adapter's own names, the names that the configuration adds."""
    asked = {name for name in extra if not name.startswith(_NEVER)}
    wanted = _INHERITED.union(asked, adapter.CAPABILITIES.sign_in, adapter.CAPABILITIES.inherits)
    return {
        name: value
        for name, value in base_env.items()
        if name in wanted or name.startswith(("LC_", "XDG_"))
    }


def look(
    env: Mapping[str, str], programs: Mapping[str, str], names: Iterable[str] = NAMES
) -> list[Installed]:
    """Every agent that has a program of its own, as far as can be told without a call of a model.

    `programs` are those that the configuration gives by name.
    """
    found = {name: programs.get(name, load(name).CAPABILITIES.program) for name in names}
    return [_look(name, program, env) for name, program in found.items() if program]


def _look(name: str, program: str, env: Mapping[str, str]) -> Installed:
    from shutil import which

    from ..process.run import run

    adapter, path = load(name), which(program, path=env.get("PATH"))
    tried = adapter.CAPABILITIES.tried
    found = Installed(name, path, signed_in=_sign_in(adapter.CAPABILITIES, env))
    if path is None:
        return found
    try:
        said = run(path, "--version", env=environment(env, adapter), timeout=30).stdout
    except Expected as error:
        return found._replace(problem=error.message)
    version = re.search(r"\d+\.\d+\.\d+\S*", said)
    if version is None:
        return found
    old = _parts(version[0]) < _parts(tried)
    return found._replace(version=version[0], old=tried if old else None)


def _parts(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)[:3]]


def _sign_in(capabilities: Capabilities, env: Mapping[str, str]) -> str | None:
    """The variable or the file that signs it in."""
    set_there = next((name for name in capabilities.sign_in if env.get(name)), None)
    if set_there or capabilities.credentials is None:
        return set_there
    variable, folder, name = capabilities.credentials
    file = Path(env.get(variable) or Path(env.get("HOME", "/"), folder), name)
    return str(file) if file.is_file() else None
