"""The agents by name, and what a worker of theirs inherits of the environment."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import cast

from ..errors import Usage
from .base import Adapter

NAMES = ("claude", "codex", "opencode", "gemini", "command")

# Besides LC_* and XDG_*. Proxies and certificates: behind a company's proxy nothing else works.
INHERITED = frozenset((
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TERM", "COLORTERM", "TZ", "TMPDIR", "NO_COLOR",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
    "JAVA_HOME", "GOPATH", "GOROOT", "CARGO_HOME", "RUSTUP_HOME", "NVM_DIR", "PYENV_ROOT", "VOLTA_HOME",
))
# Not even when asked for: an agent session around issue-orch, git's own state, our settings.
NEVER = ("CLAUDECODE", "CLAUDE_CODE_", "CODEX_", "GIT_", "ISSUE_ORCH_")


def load(name: str) -> Adapter:
    """The adapter module of an agent."""
    if name not in NAMES:
        raise Usage(f"there is no agent called {name!r}", f"agents: {', '.join(NAMES)}")
    return cast(Adapter, importlib.import_module(f".{name}", __name__))


def environment(base_env: Mapping[str, str], adapter: Adapter, extra: Iterable[str] = ()) -> dict[str, str]:
    """What a worker inherits: an allow-list, the adapter's sign-in, the names that the configuration adds."""
    asked = {name for name in extra if not name.startswith(NEVER)}
    wanted = INHERITED | asked | set(adapter.SIGN_IN)
    return {
        name: value for name, value in base_env.items()
        if name in wanted or name.startswith(("LC_", "XDG_"))
    }
