"""Asking GitHub: complete pages, conditional requests from what is kept on disk, bounded waits, one write at a time."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self, cast
from urllib.parse import urlencode

import requests

from .. import __version__
from ..core.model import RateFacts, RepoName
from ..errors import GitHubError, MaybeDone, RateLimited, SignInFailed
from ..text import redact
from .fence import (
    Address,
    Connection,
    Reply,
    Unreachable,
    next_query,
    parse_json,
    parse_origin,
    raise_for,
    reason,
)

PER_PAGE = 100
MOST_PAGES = 300
TRIES = 3
SHORT_WAIT = 3.0
CACHE_BYTES = 256 * 1024 * 1024
# an optional endpoint that is missing, refused or switched off: the answer is unknown, and nothing is broken
OPTIONAL = (403, 404, 405, 410, 501)
API_VERSION = "2022-11-28"
AGENT = f"issue-orch/{__version__}"
ACCEPT = {"Accept": "application/vnd.github+json"}


class Page(NamedTuple):
    """One page: what to send as If-None-Match next time, the query of the page after it, and the content."""

    etag: str
    next: str | None
    data: Any


class Rest:
    """One repository's API. Reads may come from several threads, each with a connection of its own; writes from one."""

    def __init__(
        self,
        repo: str,
        token: str | None,
        base_url: str = "https://api.github.com",
        cache: Path | None = None,
        write_gap: float = 1.0,
        timeout: float = 20,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
            raise SignInFailed("the token has characters that no token has", "issue-orch doctor")
        self._origin = parse_origin(base_url)
        self.repo, self.base_url = RepoName(repo), base_url.rstrip("/")
        self._token, self._cache, self._gap, self._timeout, self._sleep = (
            token,
            cache,
            write_gap,
            timeout,
            sleep,
        )
        self._requests = self._not_modified = 0
        self._limits: dict[str, str] = {}
        self._lock, self._local = threading.Lock(), threading.local()
        self._connections: list[Connection] = []
        self._people: dict[str, tuple[float, str | None]] = {}

    @property
    def scopes(self) -> str | None:
        """What a classic token may do; None for other tokens, of which the server does not say it."""
        return self._limits.get("x-oauth-scopes")

    @property
    def rate(self) -> RateFacts:
        """What this connection has used so far, and what the server says is left (None: it does not say)."""
        known = {
            name: int(value)
            for name, value in self._limits.items()
            if value.isdecimal() and len(value) < 20
        }
        return RateFacts(
            self._requests,
            self._not_modified,
            known.get("x-ratelimit-remaining"),
            known.get("x-ratelimit-limit"),
            known.get("x-ratelimit-reset"),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for connection in self._connections:
            connection.close()

    def get(self, path: Address, absent: tuple[int, ...] = (), **params: Any) -> Any:
        """One JSON document; None when the status is one of `absent`."""
        page = self._get(self._address(path, params), absent)
        return None if page is None else page.data

    def get_all(
        self, path: Address, key: str = "", absent: tuple[int, ...] = (), **params: Any
    ) -> list[Any] | None:
        """Every item of a list, or an error: never a part. `key` is where a page keeps its items."""
        found: list[Any] = []
        previous: list[Any] = []
        url = self._address(path, {**params, "per_page": PER_PAGE})
        for number in range(1, MOST_PAGES + 1):
            page = self._get(url, absent if number == 1 else ())
            if page is None:
                return None
            items = page.data.get(key) if key and isinstance(page.data, dict) else page.data
            if not isinstance(items, list):
                raise GitHubError(
                    f"GET {path}: page {number} is not a list", "run the command again"
                )
            if (
                items == previous and items
            ):  # a server that ignores `page` sends everything each time
                return found
            found += items
            # A full page is never the last one until an empty one says so: its ETag covers the body alone, so that
            # it stays "not modified" when a next page comes into being; and some servers send no Link at all.
            if page.next is not None:
                url = f"{path}?{page.next}"
            elif len(items) == PER_PAGE:
                url = self._address(path, {**params, "per_page": PER_PAGE, "page": number + 1})
            else:
                return found
            previous = items
        raise GitHubError(f"GET {path}: more than {MOST_PAGES} pages", "narrow it down by a label")

    def send(self, method: str, path: Address, body: Any = None, fine: tuple[int, ...] = ()) -> Any:
        """One write, never repeated. None when the status is one of `fine`; MaybeDone when nobody can say."""
        if self._gap and self._cache:
            wait_turn(self._cache, self._gap, self._sleep)
        try:
            reply = self._ask(method, path, {}, body)
            raise_for(reply, f"{method} {path}", fine, self._token)
        except Unreachable as error:
            unsure = error.message
        else:
            return parse_json(reply.text, path) if reply.text and reply.status < 300 else None
        raise MaybeDone(
            f"{unsure}; it may have been done all the same",
            "look on GitHub, then run the command again",
        )

    def _get(self, url: str, absent: tuple[int, ...]) -> Page | None:
        try:
            return self._get_once(url, absent)
        except Unreachable:
            wait = 0.5
        except RateLimited as limited:
            wait = max(limited.until - time.time(), 0)
            if wait > SHORT_WAIT:
                raise
        import tenacity  # imported where something has failed, which is rare

        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(TRIES - 1),
            wait=tenacity.wait_exponential(multiplier=1, max=4),
            retry=tenacity.retry_if_exception_type(Unreachable),
            sleep=self._sleep,
            reraise=True,
        )
        self._sleep(wait)
        return retrying(self._get_once, url, absent)

    def _get_once(self, url: str, absent: tuple[int, ...]) -> Page | None:
        absolute = f"{self.base_url}{url}"
        known = load_page(self._cache, absolute) if self._cache else None
        reply = self._ask("GET", url, {"If-None-Match": known.etag} if known else {}, None)
        if reply.status == 304 and known:
            with self._lock:
                self._not_modified += 1
            return known
        raise_for(reply, f"GET {url}", absent, self._token)
        if reply.status in absent:
            return None
        page = Page(
            reply.headers.get("etag", ""), next_query(reply.headers), parse_json(reply.text, url)
        )
        if self._cache and page.etag:
            store_page(self._cache, absolute, page, reply.text)
        return page

    def _ask(self, method: str, url: str, headers: dict[str, str], body: Any) -> Reply:
        connection = self._connection()
        with self._lock:
            self._requests += 1
        try:
            reply = (
                self._write(connection, method, url, body)
                if method != "GET"
                else connection.exchange(
                    "GET", f"{self._origin.prefix}{url}", None, {**self._headers(), **headers}
                )
            )
        except requests.RequestException as error:
            problem = reason(error)
        except (ValueError, OverflowError) as error:
            problem = f"malformed answer: {error}"
        else:
            kept = ("x-ratelimit-", "x-oauth-scopes")
            self._limits.update(
                {name: value for name, value in reply.headers.items() if name.startswith(kept)}
            )
            return reply
        # outside of the except: what is chained to an exception is shown with it
        words = f"{self._origin.host} cannot be reached: {problem} ({method} {url})"
        raise Unreachable(
            redact(words, (self._token,) if self._token else ()),
            "check the network, then try again",
        )

    def _connection(self) -> Connection:
        """This thread's own."""
        known: Connection | None = getattr(self._local, "connection", None)
        if known is None:
            known = self._local.connection = Connection(self._origin, self.repo, self._timeout)
            self._connections.append(known)
        return known

    def _headers(self) -> dict[str, str]:
        signed = {"Authorization": f"token {self._token}"} if self._token else {}
        return {**ACCEPT, **signed, "User-Agent": AGENT, "X-GitHub-Api-Version": API_VERSION}

    def _write(self, connection: Connection, method: str, url: str, body: Any) -> Reply:
        """By PyGithub, on our connection. Importing it takes longer than many a command that only reads."""
        from github import Auth
        from github.Requester import Requester

        requester = Requester(
            auth=Auth.Token(self._token) if self._token else None,
            base_url=self.base_url,
            timeout=int(self._timeout) or 1,
            user_agent=AGENT,
            per_page=PER_PAGE,
            verify=True,
            retry=None,
            pool_size=1,
            seconds_between_requests=None,
            seconds_between_writes=None,
            api_version=API_VERSION,
        )
        return Reply(
            *requester.requestJson(method, url, None, dict(ACCEPT), body, cast("Any", connection))
        )

    def _address(self, path: str, params: dict[str, Any]) -> str:
        wanted = {name: value for name, value in params.items() if value is not None}
        return f"{path}?{urlencode(wanted)}" if wanted else path


def wait_turn(folder: Path, gap: float, sleep: Callable[[float], None]) -> None:
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


def load_page(folder: Path, url: str) -> Page | None:
    """What was stored for `url`; None for nothing, and for a file that a crash left damaged."""
    try:
        head, _, body = page_path(folder, url).read_bytes().decode("utf-8").partition("\n")
        known = json.loads(head)
        if known["url"] != url:
            return None
        return Page(known["etag"], known["next"], json.loads(body))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def store_page(folder: Path, url: str, page: Page, text: str, limit: int = CACHE_BYTES) -> None:
    """Keep `page`, if there is room for it; `text` is its data as the server sent it."""
    head = json.dumps({"url": url, "etag": page.etag, "next": page.next})
    name = folder / f".new-{os.urandom(6).hex()}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(f"{head}\n{text}".encode())
        trim(folder, limit - len(text))
        os.replace(name, page_path(folder, url))
    except OSError:  # a full disk, mostly: then it is asked for again, and `prune` can make room
        with suppress(OSError):
            name.unlink()


def page_path(folder: Path, url: str) -> Path:
    return folder / f"{hashlib.sha256(url.encode()).hexdigest()[:40]}.page"


def trim(folder: Path, limit: int) -> None:
    """Above `limit` bytes, begin anew."""
    with os.scandir(folder) as entries, suppress(FileNotFoundError):  # another process is at it
        pages = [entry for entry in entries if entry.name.endswith(".page")]
        if sum(page.stat().st_size for page in pages) > limit:
            for page in pages:
                os.unlink(page)
