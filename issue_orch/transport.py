"""What may be sent to GitHub at all: an allow-list of methods and routes, and one host for the token."""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Any, NamedTuple, cast
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter

from .errors import GitHubError, Usage

DEFAULT_PORTS = {"https": 443, "http": 80}

READS = tuple(
    re.compile(route)
    for route in (
        r"/user",
        r"/repos/[^/]+/[^/]+",
        r"/repos/[^/]+/[^/]+/issues(/comments|/\d+(/(comments|timeline|sub_issues|dependencies/blocked_by))?)?",
        r"/repos/[^/]+/[^/]+/pulls(/\d+(/(files|reviews|comments))?)?",
        r"/repos/[^/]+/[^/]+/commits/[0-9a-f]{40,64}/(check-runs|status)",
        r"/repos/[^/]+/[^/]+/check-runs/\d+/annotations",
        r"/repos/[^/]+/[^/]+/(labels|collaborators/[^/]+/permission)",
        r"/repos/[^/]+/[^/]+/(branches/[^/]+(/protection)?|rules/branches/[^/]+|rulesets/\d+)",
    )
)
# (method, route below /repos/OWNER/NAME, keys that the body may have); merging has no route, and never gets one
WRITES = (
    ("POST", re.compile(r"/issues/\d+/comments"), {"body"}),
    ("PATCH", re.compile(r"/issues/comments/\d+"), {"body"}),
    ("POST", re.compile(r"/issues/\d+/labels"), {"labels"}),
    ("DELETE", re.compile(r"/issues/\d+/labels/[^/]+"), set[str]()),
    ("POST", re.compile(r"/labels"), {"name", "color", "description"}),
    ("POST", re.compile(r"/pulls"), {"title", "body", "head", "base", "draft"}),
    ("PATCH", re.compile(r"/pulls/\d+"), {"title", "body", "base"}),
)


class NotAllowed(RuntimeError):
    """A request that issue-orch must never send. Nothing was sent; reaching this is a bug."""


class Origin(NamedTuple):
    """Where a token belongs. `prefix` is the path of the API below the host, without a slash at its end."""

    scheme: str
    host: str
    port: int
    prefix: str


def parse_origin(base_url: str) -> Origin:
    """The origin of an API address; plain http is for this machine alone, as the token would be readable."""
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError:
        raise Usage(f"not an address: {base_url}", "mend github.base_url") from None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise Usage("github.base_url must look like https://HOST/api/v3", "mend github.base_url")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise Usage(f"plain http to {parts.hostname} would show the token", "use https in github.base_url")
    return Origin(parts.scheme, parts.hostname, port or DEFAULT_PORTS[parts.scheme], parts.path.rstrip("/"))


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def refusal(method: str, path: str, query: str, body: Any, repo: str) -> str | None:
    """Why this request is not allowed, or None. `path` is below the origin's prefix, as it will be sent."""
    if any(segment in (".", "..", "") for segment in unquote(path).split("/")[1:]):
        return "path is not plain"
    if method == "GET" and body is None:
        return None if any(route.fullmatch(path) for route in READS) else "no such read"
    head, inside = path[: len(repo) + 7], path[len(repo) + 7 :]
    if head.casefold() != f"/repos/{repo}".casefold() or query:
        return "writes stay in the repository"
    for verb, route, keys in WRITES:
        if method == verb and route.fullmatch(inside):
            sent = set(body) if isinstance(body, dict) else set() if body is None else {"?"}
            return None if sent <= keys else f"not to be sent there: {', '.join(sorted(map(str, sent - keys)))}"
    return "no such write"


class Fence(HTTPAdapter):
    """Sends what the allow-list has, to one origin. Mounted for every scheme, below any redirect or retry."""

    def __init__(self, origin: Origin, repo: str, timeout: float) -> None:
        super().__init__(max_retries=0)
        self.origin, self.repo, self.seconds = origin, repo, timeout

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        self.check(request)
        response = super().send(request, *args, **{**kwargs, "timeout": self.seconds})
        response.encoding = "utf-8"
        if problem := dead_end(response, f"{request.method} {request.path_url}"):
            response.close()
            raise problem
        return response

    def check(self, request: requests.PreparedRequest) -> None:
        parts = urlsplit(request.url or "")
        port = parts.port or DEFAULT_PORTS.get(parts.scheme)
        path = parts.path.removeprefix(self.origin.prefix)
        try:
            body = json.loads(cast(bytes, request.body)) if request.body else None
        except ValueError:
            body = "not JSON"
        why = refusal(request.method or "", path, parts.query, body, self.repo)
        if (parts.scheme, parts.hostname, port) != self.origin[:3] or not parts.path.startswith(self.origin.prefix):
            why = "another host"
        if any(name.lower().startswith("x-http-method") for name in request.headers):
            why = "hidden method"
        if why:
            raise NotAllowed(f"{request.method} {parts.path}: {why}")


def dead_end(response: requests.Response, what: str) -> GitHubError | None:
    """PyGithub would follow a 301 without its query, and repeat a GET for as long as 202 is answered."""
    if 300 <= response.status_code < 400 and response.status_code != 304:
        return GitHubError(
            f"{what}: moved to {response.headers.get('Location', 'another place')}",
            "if the repository was renamed or the issue transferred: git remote set-url, or the key repo",
        )
    if response.status_code == 202 and response.request.method == "GET":
        return GitHubError(f"{what}: still being computed", "run the command again")
    return None
