"""What GitHub's answers mean: errors told apart, how long to wait, where the next page is."""

from __future__ import annotations

import email.utils
import json
import re
import time
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from .errors import GitHubError, NotFound, RateLimited, Refused, SignInFailed

UNKNOWN_WAIT = 60.0
NEXT_LINK = re.compile(r'<([^>]+)>\s*;[^,]*\brel="?next"?')


class Reply(NamedTuple):
    """What the server said; header names are lower case."""

    status: int
    headers: dict[str, str]
    text: str


class Unreachable(GitHubError):
    """No answer, or a 5xx: a read may be asked again."""


class Invalid(GitHubError):
    """GitHub could not make sense of a write, or has it already (422)."""


def raise_for(reply: Reply, request: str, fine: tuple[int, ...], token: str | None) -> None:
    """Raise what the status means. `fine` does not cover rate limits, which come as 403 too."""
    status, said = reply.status, redact(message_of(reply.text), token)
    what = f"{request}: {status} {said}".rstrip()
    if is_rate_limit(reply, said):
        until = time.time() + seconds_to_wait(reply.headers)
        at = time.strftime("%H:%M:%S", time.localtime(until))
        raise RateLimited(f"GitHub's limit is reached, until {at} ({what})", until)
    if status in (200, 201, 204) or status in fine:
        return
    if status == 401:
        raise SignInFailed(f"GitHub refused the token ({what})", "gh auth login, or set ISSUE_ORCH_TOKEN")
    if status in (404, 410):
        raise NotFound(f"not there, or not visible to the token ({what})", "issue-orch doctor")
    if status == 403:
        raise Refused(f"not permitted ({what})", "issue-orch doctor")
    if status >= 500 and status != 501:
        raise Unreachable(what, "run the command again")
    raise (Invalid if status == 422 else GitHubError)(what, "issue-orch doctor")


def parse_json(text: str, path: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        problem = f"GET {path}: the answer is not JSON, or only half of it"
    raise GitHubError(problem, "run the command again; if it stays: check github.base_url")


def message_of(text: str) -> str:
    """GitHub's own words for an error, with the details of a 422; empty for what is no JSON object."""
    try:
        said = json.loads(text)
    except ValueError:
        return ""
    if not isinstance(said, dict):
        return ""
    errors = said.get("errors") if isinstance(said.get("errors"), list) else []
    details = [str(e.get("message") or e.get("code") or "") if isinstance(e, dict) else str(e) for e in errors or []]
    return ": ".join(part for part in (str(said.get("message") or ""), "; ".join(filter(None, details))) if part)[:500]


def next_query(headers: dict[str, str]) -> str | None:
    """The query of the next page. Host and path of the link are not used: GitHub names /repositories/ID there."""
    match = NEXT_LINK.search(headers.get("link", ""))
    return urlsplit(match[1]).query if match else None


def is_rate_limit(reply: Reply, said: str) -> bool:
    if reply.status != 403:
        return reply.status == 429
    spent = reply.headers.get("x-ratelimit-remaining") == "0" or "retry-after" in reply.headers
    return spent or "rate limit" in said.lower() or "abuse" in said.lower()


def seconds_to_wait(headers: dict[str, str]) -> float:
    """From now. The server's own clock is used for its times, as ours may be wrong."""
    server = parse_date(headers.get("date", "")) or time.time()
    after = headers.get("retry-after", "")
    if after.isdecimal():
        return float(after)
    if moment := parse_date(after):
        return max(moment - server, 0.0)
    reset = headers.get("x-ratelimit-reset", "")
    if reset.isdecimal() and headers.get("x-ratelimit-remaining", "0") == "0":
        return min(max(float(reset) - server, 0.0) + 1, 3700.0)
    return UNKNOWN_WAIT


def parse_date(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None


def redact(text: str, token: str | None) -> str:
    return text.replace(token, "[token]") if token else text
