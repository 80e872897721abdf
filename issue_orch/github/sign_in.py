"""Which host and repository a remote names, where its API is, and the token that may be sent there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import unquote, urlsplit

from ..core.model import RepoName, Token, is_loopback
from ..errors import Expected
from ..process.run import Done, run
from ..process.secret import OF_ENTERPRISE, OF_GITHUB, OWN, hide_process

SCHEMES = ("https", "http", "ssh", "git", "git+ssh", "ssh+git")
# a host that begins with a dash would be an option of ssh
SCP_LIKE = re.compile(r"\A(?:[^@/:\s]+@)?(\[[0-9A-Fa-f:]+\]|\w[^/:@\s]*):(?!//)([^?#\s]+)\Z")


def find_token(
    base_url: str, env: Mapping[str, str], run: Callable[..., Done] = run
) -> Token | None:
    """The token for the API at `base_url`; of the variables those that gh would use for that host.

    Once there is one, this process can no longer be read by its neighbours (/proc/<pid>/environ, ptrace).
    """
    host = web_host(base_url)
    for name in (OWN, *_variables(host, env)):
        if value := env.get(name, "").strip():
            hide_process()
            return Token(value, name, host)
    if is_here(host):
        return None
    # What is left of the variables is for other hosts, and gh would not mind.
    own = {name: value for name, value in env.items() if name not in (*OF_GITHUB, *OF_ENTERPRISE)}
    try:
        done = run("gh", "auth", "token", "--hostname", host, env=own, check=False, timeout=10)
    except Expected:  # gh is not installed, or waits for something
        return None
    if done.code or not done.stdout.strip():
        return None
    hide_process()
    return Token(done.stdout.strip(), "gh auth token", host)


def _variables(host: str, env: Mapping[str, str]) -> tuple[str, ...]:
    """A token of one host in the environment is never offered to another."""
    named = env.get("GH_HOST", "").lower()
    tenant = host.endswith(".ghe.com")
    if host == "github.com" or (tenant and named == host) or is_here(host):
        return OF_GITHUB
    if tenant or named not in ("", host):
        return ()
    return OF_ENTERPRISE


def is_here(host: str) -> bool:
    """Whether a host, with its port or without, is this machine: a server of one's own, for trying things out."""
    return is_loopback(urlsplit(f"//{host}").hostname or "")


def parse_remote(url: str) -> tuple[str, RepoName] | None:
    """(host, owner/name), None for what names no repository on a host (a path, a bundle).

    The host is as written: for an ssh alias it is the alias, for ssh.github.com the real name.
    """
    try:
        parts = urlsplit(SCP_LIKE.sub(r"ssh://\1/\2", url))
        name = RepoName(unquote(parts.path).strip("/").removesuffix(".git"))
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in SCHEMES or not host:
        return None
    if port and parts.scheme in ("http", "https"):
        # names another server; for ssh it is how to reach the same one
        return f"{host}:{port}", name
    return "github.com" if host in ("ssh.github.com", "www.github.com") else host, name


def resolve_host(url: str, host: str, run: Callable[..., Done] = run) -> str:
    """`host` of the remote `url`, or the one that it is an alias of in the configuration of ssh, as with two accounts."""
    if host == "github.com" or ("://" in url and "ssh" not in urlsplit(url).scheme):
        return host
    try:
        done = run("ssh", "-G", "--", host, check=False, timeout=10)
    except Expected:  # there is no ssh
        return host
    found = re.search(r"(?m)^hostname (\S+)$", done.stdout)
    meant = found[1].lower() if found and not done.code else host
    return "github.com" if meant == "ssh.github.com" else meant


_OTHERS = r"gitlab\.com|bitbucket\.org|codeberg\.org|gitea\.com|gitee\.com|git\.sr\.ht"
_AZURE = r"(.+\.)?dev\.azure\.com|.+\.visualstudio\.com"
_BY_NAME = r"(gitlab|bitbucket|gitea|forgejo)\..+"  # as people call their own


def no_github(url: str) -> str:
    """The host of a remote that is another forge's for sure; '' otherwise."""
    try:
        host = urlsplit(SCP_LIKE.sub(r"ssh://\1/\2", url)).hostname or ""
    except ValueError:
        return ""
    host = host.removeprefix("www.")
    return host if re.fullmatch(f"(altssh\\.)?({_OTHERS})|{_AZURE}|{_BY_NAME}", host) else ""


def api_url(host: str) -> str:
    """The API of a host that a remote names. A server elsewhere needs `github.base_url`."""
    if host == "github.com":
        return "https://api.github.com"
    return f"https://api.{host}" if host.endswith(".ghe.com") else f"https://{host}/api/v3"


def web_host(base_url: str) -> str:
    """The host that `gh` and remotes know, from the address of the API; with its port where one is written."""
    host = urlsplit(base_url).netloc.lower()
    return (
        host.removeprefix("api.") if host == "api.github.com" or host.endswith(".ghe.com") else host
    )
