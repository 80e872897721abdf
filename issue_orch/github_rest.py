"""Asking GitHub over PyGithub's requester: complete pages, conditional requests, bounded waits, errors told apart."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import requests
import tenacity
from github import Auth
from github.Requester import HTTPRequestsConnectionClass, HTTPSRequestsConnectionClass, Requester

from . import __version__
from .errors import GitHubError, MaybeDone, RateLimited, SignInFailed
from .github_replies import Reply, Unreachable, next_query, parse_json, raise_for, redact
from .model import RateFacts
from .page_cache import Page, load_page, store_page, touch_page
from .transport import Fence, is_loopback, parse_origin

PER_PAGE = 100
MOST_PAGES = 300
TRIES = 3
SHORT_WAIT = 3.0
# an optional endpoint that is missing, refused or switched off: the answer is unknown, and nothing is broken
OPTIONAL = (403, 404, 405, 410, 501)
HEADERS = {"Accept": "application/vnd.github+json"}


class Rest:
    """A connection to one repository's API. Not shared between threads: PyGithub would mix up replies."""

    def __init__(
        self, repo: str, token: str | None, base_url: str = "https://api.github.com", cache: Path | None = None,
        write_gap: float = 1.0, timeout: float = 20, sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
            raise SignInFailed("the token has characters that no token has", "issue-orch doctor")
        origin = parse_origin(base_url)
        self.repo, self.base_url = repo, base_url.rstrip("/")
        self._token, self._cache, self._gap, self._sleep = token, cache, write_gap, sleep
        self._wrote = 0.0
        self._requests = self._not_modified = 0
        self._limits: dict[str, str] = {}
        self._requester = Requester(
            auth=Auth.Token(token) if token else None, base_url=self.base_url, timeout=int(timeout) or 1,
            user_agent=f"issue-orch/{__version__}", per_page=PER_PAGE, verify=True, retry=None, pool_size=1,
            seconds_between_requests=None, seconds_between_writes=None, api_version="2022-11-28",
        )
        kind = HTTPSRequestsConnectionClass if origin.scheme == "https" else HTTPRequestsConnectionClass
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        self._connection = kind(host, origin.port, timeout=int(timeout) or 1)
        # a proxy of the environment would get requests that are meant for this machine, token included
        self._connection.session.trust_env = not is_loopback(origin.host)
        for scheme in ("https://", "http://"):
            self._connection.session.mount(scheme, Fence(origin, repo, timeout))

    @property
    def scopes(self) -> str | None:
        """What a classic token may do; None for other tokens, of which the server does not say it."""
        return self._limits.get("x-oauth-scopes")

    @property
    def rate(self) -> RateFacts:
        """What this connection has used so far, and what the server says is left (None: it does not say)."""
        known = {name: int(value) for name, value in self._limits.items() if value.isdecimal()}
        return RateFacts(
            self._requests, self._not_modified, known.get("x-ratelimit-remaining"),
            known.get("x-ratelimit-limit"), known.get("x-ratelimit-reset"),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._connection.close()

    def get(self, path: str, absent: tuple[int, ...] = (), **params: Any) -> Any:
        """One JSON document; None when the status is one of `absent`."""
        page = self._get(self._address(path, params), absent)
        return None if page is None else page.data

    def get_all(self, path: str, key: str = "", absent: tuple[int, ...] = (), **params: Any) -> list[Any] | None:
        """Every item of a list, or an error: never a part. `key` is where a page keeps its items."""
        found: list[Any] = []
        for items in self._pages(path, key, absent, params):
            if items is None:
                return None
            found += items
        return found

    def send(self, method: str, path: str, body: Any = None, fine: tuple[int, ...] = ()) -> Any:
        """One write, never repeated. None when the status is one of `fine`; MaybeDone when nobody can say."""
        self._wait_turn()
        try:
            reply = self._ask(method, self._address(path, {}), {}, body)
            raise_for(reply, f"{method} {path}", fine, self._token)
        except Unreachable as error:
            unsure = error.message
        else:
            return parse_json(reply.text, path) if reply.text and reply.status < 300 else None
        raise MaybeDone(f"{unsure}; it may have been done all the same", "look on GitHub, then run the command again")

    def _pages(
        self, path: str, key: str, absent: tuple[int, ...], params: dict[str, Any]
    ) -> Iterator[list[Any] | None]:
        url: str | None = self._address(path, {**params, "per_page": PER_PAGE})
        previous: list[Any] = []
        for number in range(1, MOST_PAGES + 1):
            assert url is not None
            page = self._get(url, absent if number == 1 else ())
            if page is None:
                yield None
                return
            items = page.data.get(key) if key and isinstance(page.data, dict) else page.data
            if not isinstance(items, list):
                raise GitHubError(f"GET {path}: page {number} is not a list", "run the command again")
            if items == previous and items:  # a server that ignores `page` sends everything each time
                return
            yield items
            # A full page is never the last one until an empty one says so: its ETag covers the body alone, so that
            # it stays "not modified" when a next page comes into being; and some servers send no Link at all.
            url = None if page.next is None else f"{path}?{page.next}"
            if url is None and len(items) == PER_PAGE:
                url = self._address(path, {**params, "per_page": PER_PAGE, "page": number + 1})
            if url is None:
                return
            previous = items
        raise GitHubError(f"GET {path}: more than {MOST_PAGES} pages", "narrow it down by a label")

    def _get(self, url: str, absent: tuple[int, ...]) -> Page | None:
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(TRIES), wait=tenacity.wait_exponential(multiplier=0.5, max=4),
            retry=tenacity.retry_if_exception_type(Unreachable), sleep=self._sleep, reraise=True,
        )
        return retrying(self._get_once, url, absent)

    def _get_once(self, url: str, absent: tuple[int, ...], patient: bool = True) -> Page | None:
        absolute = f"{self.base_url}{url}"
        known = load_page(self._cache, absolute) if self._cache else None
        reply = self._ask("GET", url, {"If-None-Match": known.etag} if known else {}, None)
        if reply.status == 304 and known and self._cache:
            self._not_modified += 1
            touch_page(self._cache, absolute)
            return known
        try:
            raise_for(reply, f"GET {url}", absent, self._token)
        except RateLimited as limited:
            wait = limited.until - time.time()
            if not patient or wait > SHORT_WAIT:
                raise
            self._sleep(max(wait, 0))
            return self._get_once(url, absent, patient=False)
        if reply.status in absent:
            return None
        page = Page(reply.headers.get("etag", ""), next_query(reply.headers), parse_json(reply.text, url))
        if self._cache and page.etag:
            store_page(self._cache, absolute, page, reply.text)
        return page

    def _ask(self, method: str, url: str, headers: dict[str, str], body: Any) -> Reply:
        self._requests += 1
        try:
            status, found, text = self._requester.requestJson(
                method, url, None, {**HEADERS, **headers}, body, self._connection
            )
        except requests.RequestException as error:
            problem = f"{type(error).__name__}: {error}"
        except ValueError as error:
            problem = f"malformed answer: {error}"
        else:
            lower = {str(name).lower(): str(value) for name, value in found.items()}
            kept = ("x-ratelimit-", "x-oauth-scopes")
            self._limits.update({name: lower[name] for name in lower if name.startswith(kept)})
            return Reply(status, lower, text)
        # outside of the except: an exception of requests holds the request, and the request the token
        raise Unreachable(redact(f"{method} {url}: {problem}", self._token), "check the network, then try again")

    def _wait_turn(self) -> None:
        """Writes of one clone are `write_gap` seconds apart, whichever process sends them."""
        if self._gap and self._cache:
            wait_turn(self._cache, self._gap, self._sleep)
        elif self._gap:
            rest = self._wrote + self._gap - time.monotonic()
            if self._wrote and rest > 0:
                self._sleep(rest)
            self._wrote = time.monotonic()

    def _address(self, path: str, params: dict[str, Any]) -> str:
        wanted = {name: value for name, value in params.items() if value is not None}
        return Requester.add_parameters_to_url(path, wanted)


def wait_turn(folder: Path, gap: float, sleep: Callable[[float], None]) -> None:
    """Return when the last write noted in `folder` is `gap` seconds ago, and note this one."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(folder / "last-write", "ab", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        seen = os.fstat(file.fileno())
        rest = seen.st_mtime + gap - time.time()
        if seen.st_size and 0 < rest <= gap:  # more than the gap: the clock was moved
            sleep(rest)
        file.truncate(0)
        file.write(b"1")
