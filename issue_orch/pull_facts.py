"""What GitHub says of a session's pull, derived without guessing, and kept in sessions/N/pull.json by the poll."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from .errors import GitHubError, RateLimited, SignInFailed
from .model import CheckRun, Comment, Pull, PullFacts, Review, SessionStatus
from .store import iso, seconds

if TYPE_CHECKING:
    from .github import GitHub

WRITERS = ("admin", "maintain", "write")
PERMISSION_SECONDS = 60.0
CHECKS_APPEAR_WITHIN = 30.0  # GitHub shows the checks of a push some seconds after it
GOOD = ("success", "neutral", "skipped")
# What an agent obeys or a runner executes, wherever it lies in the tree (threat S12).
SENSITIVE_FILES = ("claude.md", "agents.md", "gemini.md", ".mcp.json", "opencode.json")
SENSITIVE_FOLDERS = (".claude", ".codex", ".gemini", ".opencode")

Checks = Literal["passing", "failing", "pending", "none", "unavailable"]
Permission = Callable[[str], str | None]
Counts = Callable[[str, str], bool]  # (author, author_kind): does what they say of a pull reach the worker?


class Looked(NamedTuple):
    """What GitHub answered about one pull. Checks are None when they cannot be read; files when not asked for."""

    pull: Pull
    checks: tuple[CheckRun, ...] | None = None
    reviews: tuple[Review, ...] = ()
    comments: tuple[Comment, ...] = ()
    files: tuple[str, ...] | None = None


def permission_of(gh: GitHub) -> Permission:
    """Looks people up, each at most once a minute. None when that fails, which permits nothing."""
    known: dict[str, tuple[float, str | None]] = {}

    def look(login: str) -> str | None:
        at, found = known.get(login, (-PERMISSION_SECONDS, None))
        if time.monotonic() - at >= PERMISSION_SECONDS:
            try:
                found = gh.fetch_permission(login)
            except (RateLimited, SignInFailed):
                raise
            except GitHubError:
                found = None
            known[login] = time.monotonic(), found
        return found

    return look


def counting(permission: Permission, bots: Sequence[str], not_me: str | None) -> Counts:
    """People with write permission, and bots that are listed. `not_me` is a login whose words are a worker's."""

    def counts(author: str, kind: str) -> bool:
        if author == not_me:
            return False
        return permission(author) in WRITERS if kind == "User" else author in bots

    return counts


def number_of(url: str | None) -> int | None:
    """The number at the end of a pull's address."""
    tail = (url or "").rpartition("/pull/")[2]
    return int(tail) if tail.isdecimal() else None


def fetch(gh: GitHub, number: int, known: PullFacts) -> Looked:
    """Ask about one pull; conditional requests, so that nothing new costs nothing. `known` spares the files."""
    pull = gh.fetch_pull(number)
    if pull.state == "open" and pull.mergeable is None:  # asking is what makes GitHub compute it
        pull = gh.fetch_pull(number)
    if pull.state != "open":
        return Looked(pull)
    same = known.get("headSha") == pull.head_sha and "sensitivePaths" in known
    return Looked(pull, gh.fetch_checks(pull.head_sha), gh.fetch_reviews(number), gh.fetch_review_comments(number),
                  None if same else gh.fetch_pull_files(number))


def derive(
    looked: Looked, known: PullFacts, counts: Counts, status: SessionStatus, others: list[str], now: float
) -> PullFacts:
    pull = looked.pull
    facts: PullFacts = {
        "number": pull.number, "url": pull.url, "state": pull.state, "merged": pull.merged, "draft": pull.draft,
        "headSha": pull.head_sha, "base": pull.base_branch, "mergeable": pull.mergeable,
        "behind": pull.mergeable_state == "behind", "others": others, "fetchedAt": iso(now),
    }
    if pull.state == "open":
        fresh = now - seconds(status["endedAt"] or "") < CHECKS_APPEAR_WITHIN
        facts["checks"] = "pending" if fresh and looked.checks == () else checks_of(looked.checks)
        facts["failingChecks"] = [
            {"name": check.name, "conclusion": check.conclusion, "url": check.url} for check in failing(looked.checks)]
        facts["review"] = review_of(looked.reviews, counts)
        facts["sensitivePaths"] = known.get("sensitivePaths", []) if looked.files is None else sensitive(looked.files)
    return facts


def failing(checks: Iterable[CheckRun] | None) -> list[CheckRun]:
    return [check for check in checks or () if check.status == "completed" and check.conclusion not in GOOD]


def checks_of(checks: tuple[CheckRun, ...] | None) -> Checks:
    if checks is None:
        return "unavailable"
    if failing(checks):
        return "failing"
    if any(check.status != "completed" for check in checks):
        return "pending"
    return "passing" if checks else "none"


def review_of(reviews: Iterable[Review], counts: Counts) -> Literal["approved", "changes_requested", "none"]:
    """The last word of each person who counts; a comment takes nothing back, a dismissal does."""
    last = {review.author: review for review in reviews if review.state not in ("COMMENTED", "PENDING")}
    states = {review.state for review in last.values() if counts(review.author, review.author_kind)}
    if "CHANGES_REQUESTED" in states:
        return "changes_requested"
    return "approved" if "APPROVED" in states else "none"


def sensitive(files: Iterable[str]) -> list[str]:
    """Changed paths that steer agents or runners."""
    return [path for path in files if is_sensitive(path.casefold().split("/"))]


def is_sensitive(parts: list[str]) -> bool:
    return parts[0] == ".github" or parts[-1] in SENSITIVE_FILES or not {*SENSITIVE_FOLDERS}.isdisjoint(parts[:-1])
