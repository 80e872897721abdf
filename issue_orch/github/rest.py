"""Asking GitHub: complete pages, conditional requests from what is kept on disk, bounded waits, one write at a time."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlencode

import requests
from requests.structures import CaseInsensitiveDict

from ..core.model import RateFacts, RepoName
from ..errors import Expected, GitHubError, MaybeDone, NotFound, RateLimited, SignInFailed
from ..store.files import load_json, write_text
from ..text import redact
from .fence import (
    LONGEST_WAIT,
    Address,
    Connection,
    Unavailable,
    Unreachable,
    lazy_repository,
    limit_until,
    parse_json,
    parse_origin,
    raise_for,
    reason,
)
from .pages import Page, load_page, store_page

if TYPE_CHECKING:
    from github.Repository import Repository


T = TypeVar("T")
U = TypeVar("U")
LIMIT = "limit.json"
PER_PAGE = 100
MOST_PAGES = 300
TRIES = 3
SHORT_WAIT = 3.0
MOST_AT_ONCE = 8  # GitHub does not like many requests at the same time
# an optional endpoint that is missing, refused or switched off: the answer is unknown, and nothing is broken
ABSENT = (NotFound, Unavailable)


class Rest:
    """One repository's API. Reads may come from several threads, each with a connection of its own; writes from one."""

    def __init__(
        self,
        repo: str,
        token: str,
        base_url: str = "https://api.github.com",
        cache: Path | None = None,
        write_gap: float = 1.0,
        timeout: float = 20,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not (token.isascii() and token.isprintable() and " " not in token):
            raise SignInFailed("the token has characters that no token has", "set another one")
        self.repo, self._origin = RepoName(repo), parse_origin(base_url)
        self._token, self._sleep, self._cache, self._gap = token, sleep, cache, write_gap
        self._connections = defaultdict[int, Connection](
            lambda: Connection(self._origin, self.repo, timeout, token)
        )
        # of whom the server's limits are
        self._account = hashlib.sha256(f"{self._origin.url} {token}".encode()).hexdigest()[:16]
        self._statuses: list[int] = []
        self._said = CaseInsensitiveDict[str]()
        self._people: dict[str, str | None] = {}
        self._asking = threading.Lock()

    @property
    def scopes(self) -> str | None:
        """What a classic token may do; None for other tokens, of which the server does not say it."""
        return self._said.get("x-oauth-scopes")

    @property
    def rate(self) -> RateFacts:
        """What this connection has used so far, and what the server says is left (None: it does not say)."""
        said = (self._said.get(f"x-ratelimit-{name}", "") for name in RateFacts._fields[2:])
        left = (int(value) if value.isdecimal() and len(value) < 20 else None for value in said)
        return RateFacts(len(self._statuses), self._statuses.count(304), *left)

    def __enter__(self) -> Self:
        return self

    @cached_property
    def pool(self) -> ThreadPoolExecutor:
        """For reads that do not need each other's answers; nothing in it may wait for it."""
        return ThreadPoolExecutor(MOST_AT_ONCE)

    def each(self, ask: Callable[[T], U], items: Iterable[T]) -> dict[T, U]:
        """What is answered of each, asked side by side."""
        wanted = list(items)
        return dict(zip(wanted, self.pool.map(ask, wanted), strict=True))

    def __exit__(self, *exception: object) -> None:
        self.pool.shutdown(cancel_futures=True)
        for connection in self._connections.values():
            connection.close()

    def get(self, path: Address, **params: Any) -> Any:
        """One JSON document."""
        return self._get(_with_query(path, params)).data

    def get_all(self, path: Address, key: str = "", **params: Any) -> list[Any]:
        """Every item of a list, or an error: never a part. `key` is where a page keeps its items."""
        found: list[Any] = []
        previous: list[Any] = []
        params["per_page"] = PER_PAGE
        url = _with_query(path, params)
        for number in range(1, MOST_PAGES + 1):
            try:
                page = self._get(url)
            except ABSENT as error:
                raise error if number == 1 else GitHubError(error.message, error.hint) from None
            items = page.data.get(key) if key and isinstance(page.data, dict) else page.data
            if not isinstance(items, list):
                problem = f"GET {path}: page {number} is not a list"
                raise GitHubError(problem, "run the command again")
            if (
                items and items == previous
            ):  # a server that ignores `page` sends everything each time
                return found
            found += items
            # A full page is never the last one until an empty one says so: its ETag covers the body alone, so that
            # it stays "not modified" when a next page comes into being; and some servers send no Link at all. Where
            # pages have no numbers, the last one is the one without a link.
            numbered = number == 1 or re.search(r"\bpage=", url)
            if not page.next and (len(items) != PER_PAGE or not numbered):
                return found
            previous = items
            url = (
                f"{path}?{page.next}"
                if page.next
                else _with_query(path, {**params, "page": number + 1})
            )
        raise GitHubError(f"GET {path}: more than {MOST_PAGES} pages", "narrow it down by a label")

    def write(self, what: Callable[[Repository], object]) -> Any:
        """GitHub's answer to the one request that PyGithub sends for `what`, never repeated.

        MaybeDone when nobody can say whether it was done.
        """
        if self._gap and self._cache:
            _wait_turn(self._cache, self._gap, self._sleep)
        answers: list[Any] = []

        def ask(method: str, url: str, body: Any) -> None:
            text = self._ask(method, url, body).text
            answers.append(parse_json(text, f"{method} {url}") if text else None)

        try:
            what(lazy_repository(self.repo, ask))
        except Unreachable as error:
            words = f"{error.message}; it may have been done all the same"
            raise MaybeDone(words, "look on GitHub, then run the command again") from None
        return answers.pop()

    def _get(self, url: str) -> Page:
        """Once more after a limit of a moment; three times in all where no answer comes."""
        try:
            return self._get_once(url)
        except (Unreachable, RateLimited) as error:
            wait = max(getattr(error, "until", 0) - time.time(), 0.5)
            if wait > SHORT_WAIT:
                raise
        import tenacity  # imported where something has failed, which is rare

        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(TRIES - 1),
            wait=tenacity.wait_fixed(1),
            retry=tenacity.retry_if_exception_type(Unreachable),
            sleep=self._sleep,
            reraise=True,
        )
        self._sleep(wait)
        return retrying(self._get_once, url)

    def _get_once(self, url: str) -> Page:
        absolute = f"{self._origin.url}{url}"
        known = load_page(self._cache, absolute) if self._cache else None
        reply = self._ask("GET", url, None, {"If-None-Match": known.etag} if known else {})
        if known and reply.status_code == 304:
            return known
        data = parse_json(reply.text, f"GET {url}")
        # host and path of the link to the next page are not used: GitHub names /repositories/ID there
        _, _, query = reply.links.get("next", {}).get("url", "").partition("?")
        page = Page(reply.headers.get("etag", ""), query, data)
        if self._cache and page.etag:
            store_page(self._cache, absolute, page, reply.text)
        return page

    def _ask(
        self,
        method: str,
        url: str,
        body: Any,
        headers: Mapping[str, str] = {},
    ) -> requests.Response:
        """One request; its answer, if that is no error. The thread has a connection of its own."""
        connection = self._connections[threading.get_ident()]
        self._refuse_before_limit(f"{method} {url}")
        try:
            reply = connection.exchange(method, url, body, headers)
        except (requests.RequestException, ValueError, OverflowError) as error:
            why, hint = reason(error), "check the network, then try again"
            if "WRONG_VERSION_NUMBER" in why or "HTTP_REQUEST" in why:
                why, hint = (
                    "it answers, but not in https",
                    "set github.base_url to its API's address",
                )
            problem = f"{self._origin.host} cannot be reached: {why} ({method} {url})"
        else:
            self._statuses.append(reply.status_code)
            self._said.update(reply.headers)
            try:
                raise_for(reply, f"{method} {url}", self._token)
            except RateLimited as limited:
                self._store_limit(limited.until)
                raise
            return reply
        self._statuses.append(0)
        raise Unreachable(redact(problem, (self._token,)), hint)

    def _refuse_before_limit(self, request: str) -> None:
        """What the server asked some command of this clone to wait for holds for the next one, too."""
        until = 0.0
        with suppress(Expected, TypeError, ValueError):
            known = load_json(self._cache / LIMIT) if self._cache else None
            until = float((known or {}).get(self._account, 0))
        if 0 < until - time.time() <= LONGEST_WAIT:
            raise limit_until(until, f"{request} was not sent")

    def _store_limit(self, until: float) -> None:
        with suppress(Expected, OSError):  # without room it is asked again
            if self._cache:
                self._cache.mkdir(mode=0o700, parents=True, exist_ok=True)
                known = json.dumps({self._account: until})
                write_text(self._cache / LIMIT, known, mode=0o600)


def _with_query(path: str, params: dict[str, Any]) -> str:
    wanted = {name: value for name, value in params.items() if value is not None}
    return f"{path}?{urlencode(wanted)}" if wanted else path


def _wait_turn(folder: Path, gap: float, sleep: Callable[[float], None]) -> None:
    """Writes of one clone are `gap` seconds apart, whichever process sends them: the last one is noted in `folder`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(folder / "last-write", "ab", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        seen = os.fstat(file.fileno())
        rest = seen.st_mtime + gap - time.time()
        if seen.st_size and 0 < rest <= gap:  # more than the gap: the clock was moved
            sleep(rest)
        file.truncate(0)
        with suppress(OSError):  # without room there is no gap
            file.write(b"1")
