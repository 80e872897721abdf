"""What one poll works with: GitHub's answers about people, issues and pulls; and what is recorded of each session's pull."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ..actions.context import Context
from ..core.model import Branch, CheckRun, Comment, Issue, Number, Pull, Review, find_number
from ..core.ready import WRITERS
from ..core.record import PullFacts, SessionStatus
from ..errors import (
    Expected,
    GitHubError,
    LeaseHeld,
    Moved,
    NotFound,
    RateLimited,
    SignInFailed,
)
from ..github.client import GitHub
from ..store.files import (
    iso,
    load_each,
    load_json,
    load_pull,
    load_sessions,
    save_status,
    seconds,
    session_folder,
    write_json,
)
from ..store.leases import take
from ..store.look import load_session

CHECKS_APPEAR_WITHIN = 30.0  # GitHub shows the checks of a push some seconds after it
# What an agent obeys or a runner executes, wherever it lies in the tree (threat S12).
SENSITIVE_FILES = ("claude.md", "agents.md", "gemini.md", ".mcp.json", "opencode.json")
SENSITIVE_FOLDERS = (".claude", ".codex", ".gemini", ".opencode")


class Looked(NamedTuple):
    """What GitHub answered about one pull. Checks are None when they cannot be read; `sensitive` are paths that it changes."""

    pull: Pull
    checks: tuple[CheckRun, ...] | None = None
    reviews: tuple[Review, ...] = ()
    comments: tuple[Comment, ...] = ()
    sensitive: tuple[str, ...] = ()


class Pass(NamedTuple):
    """One poll. `me` is the token's login where it matters; `issues` are the ready ones, others come when asked for.

    `lines` is what a person is told of it in the end.
    """

    context: Context
    gh: GitHub
    now: float
    me: str | None
    pulls: tuple[Pull, ...]
    issues: dict[int, Issue | GitHubError]
    secrets: tuple[str, ...]
    lines: list[str]
    looks: dict[int, Future[Looked]]

    def look(self) -> None:
        """Begin to ask about each session's pull, side by side; `see` takes the answers in turn."""
        for visit in self.visits():
            if (pull := visit.unmerged) is not None:
                self.looks[visit.number] = self.gh.pool.submit(_fetch, self.gh, pull, visit.facts)

    def visits(self) -> Iterator[Visit]:
        """Each session as it is on disk when it comes to it. One that cannot be read is left out."""
        state = self.context.state
        return (
            Visit(self, state, status["issueNumber"], status) for status, _ in load_each(state, [])
        )

    def each(self, work: Callable[[Visit], object]) -> None:
        """`work` for each session: its fault becomes its line. A rate limit or a refused token concerns all."""
        for visit in self.visits():
            try:
                work(visit)
            except (RateLimited, SignInFailed):
                raise
            except Expected as error:
                visit.say(error.message.removeprefix(f"#{visit.number}: "))

    def counts(self, author: str, kind: str) -> bool:
        """Does what they say of a pull reach the worker? Not what the worker itself wrote with our token."""
        config = self.context.config
        if config.pulls_open == "worker" and author == self.me:
            return False
        return (
            self.gh.find_permission(author) in WRITERS
            if kind == "User"
            else author in config.pulls_bots
        )


@dataclass(frozen=True)
class Visit:
    """One session in a poll."""

    run: Pass
    state: Path
    number: int
    status: SessionStatus

    @property
    def issue(self) -> Issue:
        """As it is now. Those that are ready came in one list; only others cost a request. Raises Moved or NotFound."""
        known = self.run.issues
        if self.number not in known:
            try:
                known[self.number] = self.run.gh.fetch_issue(self.number)
            except (Moved, NotFound) as error:
                known[self.number] = error
        found = known[self.number]
        if isinstance(found, GitHubError):
            raise found
        return found

    @property
    def facts(self) -> PullFacts:
        """What was recorded of its pull."""
        return load_pull(self.state, self.number) or {}

    @property
    def unmerged(self) -> Number | None:
        """The pull to ask about. Merged is the end: it is not asked about again."""
        return None if self.facts.get("merged") else _number_of(self.status["pullRequestUrl"])

    def record(self, facts: PullFacts) -> None:
        write_json(session_folder(self.state, self.number) / "pull.json", facts)

    @cached_property
    def memory(self) -> dict[str, Any]:
        """What polls did about the session; to be changed, and then kept by `remember`."""
        file = session_folder(self.state, self.number) / "followup.json"
        return {"handled": [], **(load_json(file) or {})}

    def remember(self) -> None:
        file = session_folder(self.state, self.number) / "followup.json"
        write_json(file, self.memory, durable=True)

    def say(self, text: str) -> None:
        self.run.lines.append(f"#{self.number}: {text}")


# -- facts of a session's pull, derived without guessing, and kept in sessions/N/pull.json


def see(visit: Visit) -> tuple[PullFacts, Looked | None]:
    """Fetch and record the facts of a session's pull."""
    known, pull = visit.facts, visit.unmerged
    if pull is None:
        return known, None
    asked = visit.run.looks.pop(visit.number, None)
    looked = asked.result() if asked else _fetch(visit.run.gh, pull, known)
    facts = _derive(visit, looked, known)
    visit.record(facts)
    return facts, looked


def _number_of(url: str | None) -> Number | None:
    """The number at the end of a pull's address."""
    return find_number((url or "").rpartition("/pull/")[2])


def _fetch(gh: GitHub, number: int, known: PullFacts) -> Looked:
    """Ask about one pull; conditional requests, so that nothing new costs nothing. `known` spares the files."""
    pull = gh.fetch_pull(number)
    if pull.state == "open" and pull.mergeable is None:  # asking is what makes GitHub compute it
        pull = gh.fetch_pull(number)
    if pull.state != "open":
        return Looked(pull)
    if known.get("headSha") == pull.head_sha and "sensitivePaths" in known:
        sensitive = known["sensitivePaths"]
    else:
        sensitive = [*filter(_is_sensitive, gh.fetch_pull_files(number))]
    return Looked(
        pull,
        gh.fetch_checks(pull.head_sha),
        gh.fetch_reviews(number),
        gh.fetch_review_comments(number),
        tuple(sensitive),
    )


def _derive(visit: Visit, looked: Looked, known: PullFacts) -> PullFacts:
    run, status, pull = visit.run, visit.status, looked.pull
    others = [
        each.url
        for each in run.pulls
        if each.head_branch == status["branch"]
        and each.number != pull.number
        and each.is_of(run.context.name)
    ]
    facts: PullFacts = {
        "number": pull.number,
        "url": pull.url,
        "state": pull.state,
        "merged": pull.merged,
        "draft": pull.draft,
        "headSha": pull.head_sha,
        "mergedAt": pull.merged_at,
        "base": Branch(pull.base_branch),
        "mergeable": pull.mergeable,
        "behind": pull.mergeable_state == "behind",
        "others": others,
        "fetchedAt": iso(run.now),
    }
    if pull.state == "open":
        fresh = run.now - seconds(status["endedAt"] or "") < CHECKS_APPEAR_WITHIN
        facts["checks"] = "pending" if fresh and looked.checks == () else _checks_of(looked.checks)
        facts["failingChecks"] = [
            {"name": check.name, "conclusion": check.conclusion, "url": check.url}
            for check in failing(looked.checks)
        ]
        facts["review"] = _review_of(run, looked.reviews)
        facts["sensitivePaths"] = [*looked.sensitive]
    if "held" in known:
        facts["held"] = known["held"]
    return facts


def failing(checks: Iterable[CheckRun] | None) -> list[CheckRun]:
    return [check for check in checks or () if check.failed]


def _checks_of(
    checks: tuple[CheckRun, ...] | None,
) -> Literal["passing", "failing", "pending", "none", "unavailable"]:
    if checks is None:
        return "unavailable"
    if failing(checks):
        return "failing"
    if any(check.status != "completed" for check in checks):
        return "pending"
    return "passing" if checks else "none"


def _review_of(
    run: Pass, reviews: Iterable[Review]
) -> Literal["approved", "changes_requested", "none"]:
    """The last word of each person who counts; a comment takes nothing back, a dismissal does."""
    last = {
        review.author: review for review in reviews if review.state not in ("COMMENTED", "PENDING")
    }
    states = {
        review.state for review in last.values() if run.counts(review.author, review.author_kind)
    }
    if "CHANGES_REQUESTED" in states:
        return "changes_requested"
    return "approved" if "APPROVED" in states else "none"


def _is_sensitive(path: str) -> bool:
    parts = path.casefold().split("/")
    return (
        parts[0] == ".github"
        or parts[-1] in SENSITIVE_FILES
        or not {*SENSITIVE_FOLDERS}.isdisjoint(parts[:-1])
    )


# -- the base of a stacked pull


def retarget(visit: Visit) -> None:
    """Let a session follow its base: where a person pointed its pull to, or where its blocker was merged into.

    The status file is its lease holder's; while the worker runs this waits for a later poll.
    """
    status, facts, state = visit.status, visit.facts, visit.state
    if status["status"] == "cancelled" or facts.get("state") == "closed":
        return
    below = (each for each in load_sessions(state)[0] if each["branch"] == status["base"])
    blocker = next((load_pull(state, each["issueNumber"]) for each in below), None) or {}
    base = facts.get("base", status["base"])
    if base == status["base"] and blocker.get("merged"):
        base = blocker.get("base", base)
    if base == status["base"]:
        return
    with suppress(LeaseHeld), take(state, visit.number, "retarget", wait=0.3):
        pull = _number_of(status["pullRequestUrl"])
        if pull is not None and facts.get("base", base) != base:
            visit.run.gh.edit_pull(pull, base=base)
        fresh = load_session(state, visit.number)
        fresh["base"] = base
        save_status(state, fresh)
        visit.say(f"its base is {base} now, no longer {status['base']}")
