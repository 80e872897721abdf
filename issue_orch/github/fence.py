"""One fenced connection to GitHub: what may be sent to it at all, how that is sent, and what the answers mean."""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, NewType
from urllib.parse import quote, unquote, urlsplit

import requests

from .. import __version__
from ..core.model import Number, RepoName, is_loopback
from ..errors import GitHubError, Moved, NotFound, RateLimited, SignInFailed, Usage
from ..text import redact

if TYPE_CHECKING:
    from github.Repository import Repository

AGENT = f"issue-orch/{__version__}"
HEADERS = {
    "Accept": "application/vnd.github+json",
    "User-Agent": AGENT,
    "X-GitHub-Api-Version": "2022-11-28",
}
UNKNOWN_WAIT = 60.0
LONGEST_WAIT = 3700.0  # GitHub's limits are renewed every hour
DEFAULT_PORTS = {"https": 443, "http": 80}

READS = re.compile(
    "|".join(
        (
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
)
# (method, route below /repos/OWNER/NAME, keys that the body may have, or the one type that it may be of);
# merging has no route, and never gets one
WRITES: tuple[tuple[str, str, set[Any]], ...] = (
    ("POST", r"/issues/\d+/comments", {"body"}),
    ("PATCH", r"/issues/comments/\d+", {"body"}),
    ("POST", r"/issues/\d+/labels", {list}),
    ("DELETE", r"/issues/\d+/labels/[^/]+", set()),
    ("POST", r"/labels", {"name", "color", "description"}),
    ("POST", r"/pulls", {"title", "body", "head", "base", "draft"}),
    ("PATCH", r"/pulls/\d+", {"title", "body", "base"}),
)

Address = NewType("Address", str)  # a path of the API; `address` is what makes them


class NotAllowed(RuntimeError):
    """A request that issue-orch must never send. Nothing was sent; reaching this is a bug, whatever was read anywhere."""


class Unreachable(GitHubError):
    """No answer, or a 5xx: a read may be asked again."""


class Unavailable(GitHubError):
    """GitHub does not do it for this token, or not at all (403, 405, 501)."""


class Invalid(GitHubError):
    """GitHub could not make sense of a write, or has it already (422)."""


class Origin(NamedTuple):
    """Where a token belongs: the host, and the address of the API, made anew from its parts, without a slash at its end."""

    host: str
    url: str


def address(*parts: str | int) -> Address:
    """The path of these parts. What is read somewhere and is no part of one (`..`, no number) cannot be asked for, and ends
    here as a GitHubError."""
    try:
        return Address("".join(f"/{_segment(part)}" for part in parts))
    except ValueError as error:
        raise GitHubError(f"GitHub cannot be asked for that: {error}", "mend that name") from None


def _segment(part: str | int) -> str:
    if isinstance(part, int):
        return str(Number(part))
    if not _is_plain(part):
        raise ValueError(f"{part!r} is no name")
    return part if isinstance(part, RepoName) else quote(part, safe="")


def _is_plain(path: str) -> bool:
    return {"", ".", ".."}.isdisjoint(path.split("/"))


def parse_origin(base_url: str) -> Origin:
    """The origin of an API address; plain http is for this machine alone, as the token would be readable."""
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError:
        raise Usage(f"not an address: {base_url}", "mend github.base_url") from None
    if (
        parts.scheme not in DEFAULT_PORTS
        or not parts.hostname
        or parts.username
        or parts.query
        or parts.fragment
    ):
        raise Usage("github.base_url must look like https://HOST/api/v3", "mend github.base_url")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise Usage(
            f"plain http to {parts.hostname} would show the token", "use https in github.base_url"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = port or DEFAULT_PORTS[parts.scheme]
    return Origin(parts.hostname, f"{parts.scheme}://{host}:{port}{parts.path.rstrip('/')}")


def refusal(method: str, path: str, query: str, body: Any, repo: str) -> str | None:
    """Why this request is not allowed, or None. `path` is what will be sent below the address of the API."""
    if not _is_plain(unquote(path).removeprefix("/")):
        return "path is not plain"
    if method == "GET" and body is None:
        return None if READS.fullmatch(path) else "no such read"
    head, inside = path[: len(repo) + 7], path[len(repo) + 7 :]
    if head.casefold() != f"/repos/{repo}".casefold() or query:
        return "writes stay in the repository"
    for verb, route, keys in WRITES:
        if method == verb and re.fullmatch(route, inside):
            sent = set(body) if isinstance(body, dict) else {type(body)} - {type(None)}
            more = ", ".join(sorted(map(str, sent - keys)))
            return f"not to be sent there: {more}" if more else None
    return "no such write"


class Connection:
    """Sends what the allow-list has, to one origin; follows nothing. Not shared between threads."""

    def __init__(self, origin: Origin, repo: str, timeout: float, token: str = "") -> None:
        self.origin, self.repo, self.seconds = origin, repo, timeout
        self._session = requests.Session()
        self._session.headers.update(HEADERS)
        if token:
            self._session.headers["Authorization"] = f"token {token}"
        # without any `auth`, requests would sign by ~/.netrc, over the token
        self._session.auth = lambda request: request
        # a proxy of the environment would get requests that are meant for this machine, token included
        self._proxies = {"http": "", "https": ""} if is_loopback(origin.host) else None

    def exchange(
        self, method: str, path: str, body: Any, headers: Mapping[str, str]
    ) -> requests.Response:
        """One request and its whole answer. Raises NotAllowed before a byte is sent, and requests' errors."""
        plain, _, query = path.partition("?")
        why = refusal(method, plain, query, body, self.repo)
        if any(name.lower().startswith("x-http-method") for name in headers):
            why = "hidden method"
        if why:
            raise NotAllowed(f"{method} {plain}: {why}")
        response = self._session.request(
            method,
            f"{self.origin.url}{path}",
            json=body,
            headers=headers,
            timeout=self.seconds,
            allow_redirects=False,
            proxies=self._proxies,
        )
        response.encoding = "utf-8"
        return response

    def close(self) -> None:
        self._session.close()


def lazy_repository(name: str, ask: Callable[[str, str, Any], object]) -> Repository:
    """PyGithub's, of which nothing is fetched. What it or its objects would send goes to `ask`, and nowhere else.

    PyGithub has neither a token nor a host nor a connection, and sees no answer: it would repeat requests and follow
    redirects, and trip over what it does not expect. Importing it takes longer than many a command that only reads.
    """
    from github.Repository import Repository
    from github.Requester import Requester

    class Fenced(Requester):
        kwargs = property(_refuse)  # of which it would make another requester

        def requestJsonAndCheck(
            self,
            verb: str,
            url: str,
            parameters: object = None,
            headers: object = None,
            input: Any = None,
            follow_302_redirect: bool = False,
        ) -> tuple[dict[str, Any], Any]:
            if verb == "GET" or parameters:
                raise NotAllowed(f"{verb} {url}: PyGithub only writes here")
            ask(verb, url, input)
            return {}, {}

    connection: Any = _refuse
    Fenced.injectConnectionClasses(connection, connection)
    requester = Fenced(None, "https://github.invalid", 1, AGENT, 1, True, None, None, lazy=True)
    return Repository(requester, url=f"/repos/{name}")


def _refuse(*_: object, **__: object) -> Any:
    raise NotAllowed("PyGithub would make a connection of its own")


def reason(error: BaseException) -> str:
    """What went wrong at the bottom: the words of the system, where it is the system that says so."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"


def raise_for(reply: requests.Response, request: str, token: str) -> None:
    """Raise what the status means. A 304 is fine where it was asked for; rate limits come as 403 too."""
    unchanged = reply.status_code == 304 and "If-None-Match" in reply.request.headers
    if unchanged or reply.status_code in (200, 201, 204):
        return
    said = redact(_message_of(reply.text), (token,))
    what = f"{request}: {reply.status_code} {said}".rstrip()
    if _is_rate_limit(reply, said):
        raise limit_until(time.time() + _seconds_to_wait(reply.headers), what)
    raise _error_of(reply, what)


def limit_until(until: float, what: str) -> RateLimited:
    at = time.strftime("%H:%M:%S", time.localtime(until))
    return RateLimited(f"GitHub's limit is reached, until {at} ({what})", until)


def _error_of(reply: requests.Response, what: str) -> GitHubError:
    doctor, again = "issue-orch doctor", "run the command again"
    way_out = _way_out(reply.headers)
    match reply.status_code:
        case 202:
            return GitHubError(f"still being computed ({what})", again)
        case 401:
            hint = "gh auth login, or set ISSUE_ORCH_TOKEN"
            return SignInFailed(f"GitHub refused the token ({what})", hint)
        case 403:
            return Unavailable(f"not permitted ({what})", way_out or doctor)
        case 404 | 410:
            words = f"not there, or not visible to the token ({what})"
            return NotFound(words, way_out or doctor)
        case 451:
            words = f"GitHub itself blocks it ({what})"
            return GitHubError(words, "ask the repository's owner, or GitHub's support")
        case 422:
            return Invalid(what, again)
        case 405 | 501:
            return Unavailable(what, again)
        case status if 300 <= status < 400:
            return Moved(
                f"moved to {reply.headers.get('location', 'another place')} ({what})",
                "if the repository was renamed or the issue transferred: git remote set-url origin URL, or the key repo",
            )
        case status if status >= 500:
            return Unreachable(what, again)
    return GitHubError(what, again)


def _way_out(headers: Mapping[str, str]) -> str:
    """What GitHub says would help: the page on which a token is authorized for an organization, or permissions.

    https://docs.github.com/en/rest/authentication: `X-GitHub-SSO: required; url=…`; of `X-Accepted-GitHub-Permissions`
    sets are parted by `;`, and all of one set are needed.
    """
    address = re.search(r"\burl=(https://\S+)", headers.get("x-github-sso", ""))
    if address:
        return f"authorize the token for the organization: {address[1]}"
    accepted = headers.get("x-accepted-github-permissions", "").strip()
    if accepted:
        named = accepted.replace(",", " and ").replace("; ", ", or ").replace("=", ": ")
        return f"give the token {named} (docs/permissions.md)"
    return ""


def parse_json(text: str, request: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        problem = f"{request}: the answer is not JSON, or only half of it"
    raise GitHubError(problem, "run the command again; if it stays: check github.base_url")


def _message_of(text: str) -> str:
    """GitHub's own words for an error, with the details of a 422; empty for what is no JSON object."""
    try:
        said = json.loads(text)
        errors = said.get("errors")
    except (ValueError, RecursionError, AttributeError):
        return ""
    details = [
        _detail(each) if isinstance(each, dict) else str(each)
        for each in (errors if isinstance(errors, list) else [])
    ]
    words = (str(said.get("message") or ""), "; ".join(filter(None, details)))
    return ": ".join(filter(None, words))[:500]


def _detail(error: Mapping[str, Any]) -> str:
    """GitHub's sentence, or else the field and what is wrong with it."""
    named = [str(error[key]) for key in ("field", "code") if error.get(key)]
    return str(error.get("message") or ": ".join(named))


def _is_rate_limit(reply: requests.Response, said: str) -> bool:
    if reply.status_code != 403:
        return reply.status_code == 429
    spent = reply.headers.get("x-ratelimit-remaining") == "0" or "retry-after" in reply.headers
    return spent or "rate limit" in said.lower() or "abuse" in said.lower()


def _seconds_to_wait(headers: Mapping[str, str]) -> float:
    """From now. The server's own clock is used for its times, as ours may be wrong."""
    server = _parse_date(headers.get("date", "")) or time.time()
    after = headers.get("retry-after", "")
    reset = headers.get("x-ratelimit-reset", "")
    wait = UNKNOWN_WAIT
    if after.isdecimal():
        wait = float(after)
    elif moment := _parse_date(after):
        wait = moment - server
    elif reset.isdecimal() and headers.get("x-ratelimit-remaining", "0") == "0":
        wait = max(float(reset) - server, 0.0) + 1
    return min(max(wait, 0.0), LONGEST_WAIT)


def _parse_date(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
