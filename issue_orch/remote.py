"""Which host and repository the address of a git remote names, and where that host's API is."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

SCHEMES = ("https", "http", "ssh", "git", "git+ssh", "ssh+git")
# a host that begins with a dash would be an option of ssh
SCP_LIKE = re.compile(r"(?:[^@/:\s]+@)?(\[[0-9A-Fa-f:]+\]|\w[^/:@\s]*):(?!//)(.+)")
NAME = r"[A-Za-z0-9._-]+"


def parse_remote(url: str) -> tuple[str, str] | None:
    """(host, owner/name), None for what names no repository on a host (a path, a bundle).

    The host is as written: for an ssh alias it is the alias, for ssh.github.com the real name.
    """
    scheme, separator, _ = url.partition("://")
    if separator:
        if scheme.lower() not in SCHEMES:
            return None
        try:
            parts = urlsplit(url)
            host, path = parts.hostname or "", parts.path
            # a port names another server for http(s) only; for ssh it is how to reach the same one
            if parts.port and scheme.lower() in ("http", "https"):
                host = f"{host}:{parts.port}"
        except ValueError:
            return None
    elif match := SCP_LIKE.fullmatch(url):
        host, path = match[1].strip("[]").lower(), match[2]
    else:
        return None
    owner_and_name = unquote(path).strip("/").removesuffix(".git")
    if not host or not re.fullmatch(f"{NAME}/{NAME}", owner_and_name) or ".." in owner_and_name.split("/"):
        return None
    return ("github.com" if host in ("ssh.github.com", "www.github.com") else host), owner_and_name


def api_url(host: str) -> str:
    """The API of a host that a remote names. A server elsewhere needs `github.base_url`."""
    if host == "github.com":
        return "https://api.github.com"
    return f"https://api.{host}" if host.endswith(".ghe.com") else f"https://{host}/api/v3"


def web_host(base_url: str) -> str:
    """The host that `gh` and remotes know, from the address of the API; with its port where one is written."""
    host = urlsplit(base_url).netloc.lower()
    return host.removeprefix("api.") if host == "api.github.com" or host.endswith(".ghe.com") else host
