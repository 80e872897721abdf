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

    `problem` is set when it does not run, `odd` says how its version differs from that which issue-orch was tried with.
    """

    name: str
    path: str | None
    version: str | None = None
    signed_in: str | None = None
    problem: str | None = None
    odd: str = ""


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


def installed(env: Mapping[str, str]) -> list[str]:
    """The built-in agents whose program is there."""
    from shutil import which

    programs = ((name, load(name).CAPABILITIES.program) for name in NAMES)
    return [name for name, program in programs if program and which(program, path=env.get("PATH"))]


def look(
    env: Mapping[str, str],
    programs: Mapping[str, str],
    names: Iterable[str] = NAMES,
    extra: Iterable[str] = (),
) -> list[Installed]:
    """Every agent that has a program of its own, as far as can be told without a call of a model.

    `programs` are those that the configuration gives by name, `extra` variables that it lets agents inherit.
    """
    found = {name: programs.get(name, load(name).CAPABILITIES.program) for name in names}
    keys = [name for name in extra if name.endswith(("KEY", "TOKEN"))]
    return [_look(name, program, env, keys) for name, program in found.items() if program]


def _look(name: str, program: str, env: Mapping[str, str], keys: list[str]) -> Installed:
    from shutil import which

    adapter, path = load(name), which(program, path=env.get("PATH"))
    own = adapter.CAPABILITIES
    if path is None:
        return Installed(name, path, signed_in=_sign_in(own, env, keys, ""))
    try:
        version = re.search(r"\d+\.\d+\.\d+\S*", _said(adapter, env, path, "--version", check=True))
    except Expected as error:
        return Installed(name, path, None, _sign_in(own, env, keys, ""), error.message)
    said, here, tried = "", _parts(version[0] if version else "0.0.0"), _parts(own.tried)
    if own.asks and here >= _parts(own.asks[0]):
        said = _said(adapter, env, path, *own.asks[1])
    found = Installed(name, path, version and version[0], _sign_in(own, env, keys, said))
    if version is None or here == tried:
        return found
    return found._replace(odd=f"{'older' if here < tried else 'newer'} than {own.tried}")


def _said(
    adapter: Adapter, env: Mapping[str, str], path: str, *words: str, check: bool = False
) -> str:
    """What the agent's program says to that; nothing where it has no answer, unless that is checked."""
    from ..process.run import run

    try:
        done = run(path, *words, env=environment(env, adapter), timeout=30, check=check)
    except Expected:
        if check:
            raise
        return ""
    return done.stdout + done.stderr


def _parts(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)[:3]]


def _sign_in(own: Capabilities, env: Mapping[str, str], keys: list[str], said: str) -> str | None:
    """The variable, the agent's own word or the file that signs it in."""
    if set_there := next((name for name in (*own.sign_in, *keys) if env.get(name)), None):
        return set_there
    if own.asks and re.search(own.asks[2], said):
        return f"{own.program} {' '.join(own.asks[1])}"
    if not (own.asks and re.search(own.asks[3], said)):
        variable, folder, *names = own.credentials or ("", "")
        for file in (_file(env, variable, folder, name) for name in names):
            if file.is_file() and file.stat().st_size:
                return str(file)
    for variable, folder, name, pattern in own.settings:
        file = _file(env, variable, folder, name)
        if file.is_file() and re.search(pattern, file.read_text("utf-8", "replace")):
            return str(file)
    return None


def _file(env: Mapping[str, str], variable: str, folder: str, name: str) -> Path:
    return Path(env.get(variable) or Path(env.get("HOME", "/"), folder), name)
