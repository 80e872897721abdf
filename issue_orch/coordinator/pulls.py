"""What one poll works with: GitHub's answers about people, issues and pulls; and what is recorded of each session's pull."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ..actions.context import Context
from ..core.model import CheckRun, Comment, Issue, Number, Pull, Review, find_number
from ..core.ready import WRITERS
from ..core.record import PullFacts, SessionStatus
from ..errors import Expected, LeaseHeld, RateLimited, SignInFailed
from ..store.files import (
    iso,
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

if TYPE_CHECKING:
    from ..github.client import GitHub

CHECKS_APPEAR_WITHIN = 30.0  # GitHub shows the checks of a push some seconds after it
GOOD = ("success", "neutral", "skipped")
# What an agent obeys or a runner executes, wherever it lies in the tree (threat S12).
SENSITIVE_FILES = ("claude.md", "agents.md", "gemini.md", ".mcp.json", "opencode.json")
SENSITIVE_FOLDERS = (".claude", ".codex", ".gemini", ".opencode")

Memory = dict[str, Any]


class Looked(NamedTuple):
    """What GitHub answered about one pull. Checks are None when they cannot be read; files when not asked for."""

    pull: Pull
    checks: tuple[CheckRun, ...] | None = None
    reviews: tuple[Review, ...] = ()
    comments: tuple[Comment, ...] = ()
    files: tuple[str, ...] | None = None


class Pass(NamedTuple):
    """One poll. `me` is the token's login where it matters; `issues` are the ready ones, others come when asked for."""

    context: Context
    gh: GitHub
    now: float
    me: str | None
    pulls: tuple[Pull, ...]
    issues: dict[int, Issue]
    secrets: tuple[str, ...]

    def status(self, number: int) -> SessionStatus:
        return load_session(self.context.state, number)

    def issue(self, number: int) -> Issue:
        """The issue as it is now. Those that are ready came in one list; only others cost a request."""
        if number not in self.issues:
            self.issues[number] = self.gh.fetch_issue(number)
        return self.issues[number]

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


def guarded(work: Callable[[Pass, int], list[str]], run: Pass, number: int) -> list[str]:
    """`work` for one session: its fault becomes its line. A rate limit or a refused token concerns all."""
    try:
        return work(run, number)
    except (RateLimited, SignInFailed):
        raise
    except Expected as error:
        return [f"#{number}: {error.message.removeprefix(f'#{number}: ')}"]


def load_memory(run: Pass, number: int) -> Memory:
    found = load_json(session_folder(run.context.state, number) / "followup.json") or {}
    return {"handled": [], **found}


def save_memory(run: Pass, number: int, memory: Memory) -> None:
    write_json(session_folder(run.context.state, number) / "followup.json", memory, durable=True)


# -- facts of a session's pull, derived without guessing, and kept in sessions/N/pull.json


def see(run: Pass, number: int) -> tuple[PullFacts, Looked | None]:
    """Fetch and record the facts of a session's pull. Merged is the end: it is not asked about again."""
    status, known = run.status(number), load_pull(run.context.state, number) or {}
    pull = number_of(status["pullRequestUrl"])
    if pull is None or known.get("merged"):
        return known, None
    looked = fetch(run, pull, known)
    facts = derive(run, looked, known, status)
    if "held" in known:
        facts["held"] = known["held"]
    record(run, number, facts)
    return facts, looked


def record(run: Pass, number: int, facts: PullFacts) -> None:
    write_json(session_folder(run.context.state, number) / "pull.json", facts)


def number_of(url: str | None) -> Number | None:
    """The number at the end of a pull's address."""
    return find_number((url or "").rpartition("/pull/")[2])


def fetch(run: Pass, number: int, known: PullFacts) -> Looked:
    """Ask about one pull; conditional requests, so that nothing new costs nothing. `known` spares the files."""
    gh, pull = run.gh, run.gh.fetch_pull(number)
    if pull.state == "open" and pull.mergeable is None:  # asking is what makes GitHub compute it
        pull = gh.fetch_pull(number)
    if pull.state != "open":
        return Looked(pull)
    same = known.get("headSha") == pull.head_sha and "sensitivePaths" in known
    return Looked(
        pull,
        gh.fetch_checks(pull.head_sha),
        gh.fetch_reviews(number),
        gh.fetch_review_comments(number),
        None if same else gh.fetch_pull_files(number),
    )


def derive(run: Pass, looked: Looked, known: PullFacts, status: SessionStatus) -> PullFacts:
    pull = looked.pull
    others = [
        each.url
        for each in run.pulls
        if each.head_branch == status["branch"]
        and each.number != pull.number
        and (each.head_repo or "").casefold() == run.context.name.casefold()
    ]
    facts: PullFacts = {
        "number": pull.number,
        "url": pull.url,
        "state": pull.state,
        "merged": pull.merged,
        "draft": pull.draft,
        "headSha": pull.head_sha,
        "base": pull.base_branch,
        "mergeable": pull.mergeable,
        "behind": pull.mergeable_state == "behind",
        "others": others,
        "fetchedAt": iso(run.now),
    }
    if pull.state == "open":
        fresh = run.now - seconds(status["endedAt"] or "") < CHECKS_APPEAR_WITHIN
        facts["checks"] = "pending" if fresh and looked.checks == () else checks_of(looked.checks)
        facts["failingChecks"] = [
            {"name": check.name, "conclusion": check.conclusion, "url": check.url}
            for check in failing(looked.checks)
        ]
        facts["review"] = review_of(run, looked.reviews)
        facts["sensitivePaths"] = (
            known.get("sensitivePaths", [])
            if looked.files is None
            else [path for path in looked.files if is_sensitive(path)]
        )
    return facts


def failing(checks: Iterable[CheckRun] | None) -> list[CheckRun]:
    return [
        check
        for check in checks or ()
        if check.status == "completed" and check.conclusion not in GOOD
    ]


def checks_of(
    checks: tuple[CheckRun, ...] | None,
) -> Literal["passing", "failing", "pending", "none", "unavailable"]:
    if checks is None:
        return "unavailable"
    if failing(checks):
        return "failing"
    if any(check.status != "completed" for check in checks):
        return "pending"
    return "passing" if checks else "none"


def review_of(
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


def is_sensitive(path: str) -> bool:
    parts = path.casefold().split("/")
    return (
        parts[0] == ".github"
        or parts[-1] in SENSITIVE_FILES
        or not {*SENSITIVE_FOLDERS}.isdisjoint(parts[:-1])
    )


# -- the base of a stacked pull


def retarget(run: Pass, number: int) -> list[str]:
    """Let a session follow its base: where a person pointed its pull to, or where its blocker was merged into.

    The status file is its lease holder's; while the worker runs this waits for a later poll.
    """
    status, facts = run.status(number), load_pull(run.context.state, number) or {}
    if status["status"] == "cancelled" or facts.get("state") == "closed":
        return []
    below = [
        each["issueNumber"]
        for each in load_sessions(run.context.state)[0]
        if each["branch"] == status["base"]
    ]
    blocker = load_pull(run.context.state, below[0]) or {} if below else {}
    base = facts.get("base", status["base"])
    if base == status["base"] and blocker.get("merged"):
        base = blocker.get("base", base)
    if base == status["base"]:
        return []
    try:
        lease = take(run.context.state, number, "retarget", wait=0.3)
    except LeaseHeld:
        return []
    with lease:
        pull = number_of(status["pullRequestUrl"])
        if pull is not None and facts.get("base", base) != base:
            run.gh.edit_pull(pull, base=base)
        fresh = run.status(number)
        fresh["base"] = base
        save_status(run.context.state, fresh)
    return [f"#{number}: its base is {base} now, no longer {status['base']}"]
