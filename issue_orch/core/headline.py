"""The one label shown for a session, derived from facts; and what a person should do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from .record import PullFacts, SessionStatus

    Found = tuple[str, str] | None  # a label, and why

Colour = Literal["red", "yellow", "green", "cyan", "blue", "dim"]

QUIET_AFTER = 30.0


class Headline(NamedTuple):
    """`label` as in the list of design; `why` is one untrusted line; `mark` one character for the list."""

    label: str
    why: str
    mark: str
    colour: Colour
    needs_you: bool


class Observed(NamedTuple):
    """What was seen beside the files: who holds the lease ('' when nobody), seconds since the last heartbeat,
    whether the disk that the state lies on is full, and to which other clone its worktree leads, in words."""

    holder: str
    heartbeat_age: float | None
    full: bool = False
    elsewhere: str = ""


# Warm colours want you, cool ones wait; green is left for what went well.
LOOKS: dict[str, tuple[str, Colour, bool]] = {
    "CANCELLED": ("-", "dim", False),
    "MERGED": ("=", "dim", False),
    "CLOSED": ("x", "yellow", True),
    "ELSEWHERE": ("!", "red", True),
    "STUCK": ("!", "yellow", True),
    "CRASHED": ("!", "red", True),
    "PUBLISH PENDING": ("!", "yellow", True),
    "OVER BUDGET": ("$", "yellow", True),
    "STOPPED": ("#", "dim", False),
    "PAUSED": ("#", "dim", False),
    "CONFLICT": ("!", "red", True),
    "CHANGES REQUESTED": ("!", "yellow", True),
    "CHECKS FAILING": ("!", "red", True),
    "PR READY": ("+", "yellow", True),
    "PR OPEN": ("+", "yellow", True),
    "RETRYING": ("~", "blue", False),
    "QUIET": ("?", "dim", False),
    "PLANNING": ("*", "cyan", False),
    "WORKING": ("*", "cyan", False),
    "STARTING": ("*", "blue", False),
}
# On GitHub, with write-back: colour and description.
LABELS = {
    "orch:working": ("1d76db", "A worker of issue-orch is on it"),
    "orch:stuck": ("d93f0b", "A worker of issue-orch asks a person"),
    "orch:pr-ready": ("0e8a16", "issue-orch opened a pull request"),
}
WORKING, STUCK, READY = LABELS


def headline(status: SessionStatus, pull: PullFacts | None, seen: Observed) -> Headline:
    _, (label, why) = decide(status, pull, seen)
    return Headline(label, why, *LOOKS[label])


def decide(
    status: SessionStatus, pull: PullFacts | None, seen: Observed
) -> tuple[int, tuple[str, str]]:
    """The place of the first rule that applies, with the label and the reason that it gives."""
    for place, rule in enumerate(RULES):
        if found := rule.answer(status, pull or {}, seen):
            return place, found
    raise AssertionError("the last rule always applies")


def place_in_list(status: SessionStatus, head: Headline) -> tuple[int, int]:
    """Where a session stands wherever several are listed: questions, what stands still until you act, pulls, the rest."""
    if not head.needs_you:
        group = 3
    elif head.label == "STUCK" and status["question"]:
        group = 0
    else:
        group = 2 if status["status"] == "complete" and not status["publish"] else 1
    return group, status["issueNumber"]


def wanted_label(head: Headline, checks: str | None) -> str | None:
    """Which of LABELS the issue has; none where the session is over."""
    if head.label in {"MERGED", "CLOSED", "CANCELLED"}:
        return None
    if head.label == "STUCK":
        return STUCK
    return (
        READY
        if head.label == "PR READY" or (head.label, checks) == ("PR OPEN", "unavailable")
        else WORKING
    )


def asks_for_holder(status: SessionStatus) -> bool:
    """Whether the label depends on who holds the lease."""
    return status["status"] in {"registered", "planning", "working"} or bool(status["publish"])


def _cancelled_label(status: SessionStatus, pull: PullFacts, seen: Observed) -> Found:
    return ("CANCELLED", "") if status["status"] == "cancelled" else None


def _ended_label(status: SessionStatus, pull: PullFacts, seen: Observed) -> Found:
    if pull.get("merged"):
        return "MERGED", "by a person"
    closed = pull.get("state") == "closed"
    return ("CLOSED", "the pull was closed without a merge") if closed else None


def _elsewhere_label(status: SessionStatus, pull: PullFacts, seen: Observed) -> Found:
    return ("ELSEWHERE", seen.elsewhere) if seen.elsewhere else None


def _stuck_label(status: SessionStatus, pull: PullFacts, seen: Observed) -> Found:
    return ("STUCK", status["stuckReason"] or "") if status["status"] == "stuck" else None


def _lost_label(status: SessionStatus, pull: PullFacts, seen: Observed) -> Found:
    if seen.holder:
        return None
    if status["publish"]:
        return "PUBLISH PENDING", status["publish"]["reason"] or pull.get("held", "")
    if status["status"] == "complete" or status["hold"]:
        return None
    return "CRASHED", status["failure"] or "its worker is gone"


def _held_label(status: SessionStatus, pull: PullFacts, seen: Observed) -> Found:
    hold = status["hold"]
    if hold == "budget":
        return "OVER BUDGET", status["failure"] or "raise the budget, then resume"
    return (hold.upper(), pull.get("held", "")) if hold else None


def pull_notes(pull: PullFacts) -> list[str]:
    """What a person should know before the review."""
    paths, others = pull.get("sensitivePaths", []), pull.get("others", [])
    return [
        "draft" if pull.get("draft") else "",
        "behind its base" if pull.get("behind") else "",
        f"touches {', '.join(paths[:3])}: look closely" if paths else "",
        f"its branch has another pull: {others[0]}" if others else "",
        pull.get("held", ""),
    ]


def _complete_label(status: SessionStatus, pull: PullFacts, seen: Observed) -> Found:
    if status["status"] != "complete":
        return None
    label, why = _pull_label(pull)
    return label, "; ".join(filter(None, (why, *pull_notes(pull))))


def _pull_label(pull: PullFacts) -> tuple[str, str]:
    if pull.get("mergeable") is False:
        return "CONFLICT", f"with {pull.get('base', 'its base')}"
    if pull.get("review") == "changes_requested":
        return "CHANGES REQUESTED", ""
    match pull.get("checks"):
        case "failing":
            names = [str(check.get("name")) for check in pull.get("failingChecks", [])[:3]]
            return "CHECKS FAILING", ", ".join(names)
        case "passing":
            return "PR READY", "checks passed"
        case "none":
            return "PR READY", "no checks are set up"
        case "pending":
            return "PR OPEN", "checks are running"
        case None:
            return "PR OPEN", "checks not looked at"
        case _:
            return "PR OPEN", "checks unavailable"


def _running_label(status: SessionStatus, pull: PullFacts, seen: Observed) -> Found:
    phase, last, age = status["status"], status["lastActivity"], seen.heartbeat_age
    if status["retryAt"]:
        why = f"at {status['retryAt'][11:16]} UTC: {status['failure'] or ''}"
        return "RETRYING", why.rstrip(": ")
    alive = seen.holder == "supervisor"
    if alive and age is not None and age > QUIET_AFTER:
        full = "; the disk is full: make room" * seen.full
        return "QUIET", f"no heartbeat for {int(age)} s{full}"
    if phase == "registered" and not alive:
        return "STARTING", ""
    if last and last.get("quiet"):
        return "QUIET", last["quiet"]
    label = "STARTING" if phase == "registered" else phase.upper()
    return label, last["text"] if last else ""


class Rule(NamedTuple):
    """What is asked, of which facts (as `explain` names them), and what answers: label and reason, or None."""

    asks: str
    of: tuple[str, ...]
    answer: Callable[[SessionStatus, PullFacts, Observed], Found]


RULES = (
    Rule("was it cancelled?", ("status",), _cancelled_label),
    Rule("is its pull merged or closed?", ("pull",), _ended_label),
    Rule("does its worktree lead elsewhere?", ("worktree",), _elsewhere_label),
    Rule("did it stop to ask a person?", ("status", "question"), _stuck_label),
    Rule(
        "is work left, and its worker gone?",
        ("status", "worker", "publish", "hold", "failure", "pull"),
        _lost_label,
    ),
    Rule("is it held?", ("hold", "failure", "pull"), _held_label),
    Rule("is it complete?", ("status", "pull", "checks", "review", "conflict"), _complete_label),
    Rule(
        "then: what does its worker do?",
        ("status", "worker", "retry", "failure", "activity"),
        _running_label,
    ),
)


PUSHED = "already, pushed, not by a pull"
REFUSED = "the model's API refused the sign-in"


def pushed_words(status: SessionStatus, sha: str) -> str:
    """What is said of a worker that pushed to the base itself, `sha` last."""
    at = f"{status['issueUrl'].partition('/issues/')[0]}/commit/{sha}"
    return f"the commits of {status['branch']} are on {status['base']} {PUSHED}: look at {at}"


def next_command(status: SessionStatus, label: str) -> str:
    """What a person types next for this session; '' when nothing is needed."""
    number = status["issueNumber"]
    match label:
        case "ELSEWHERE":
            return "issue-orch doctor"
        case "STUCK" if not status["question"]:
            return _unstick(status)
        case "STUCK":  # an answer does not lift what a person held
            held = f"; issue-orch resume {number}" if status["hold"] else ""
            return f'issue-orch answer {number} "…"{held}'
        case "CRASHED" if not status["attempt"]:
            return f"issue-orch spawn {number}"
        case "CRASHED" | "PUBLISH PENDING" | "OVER BUDGET" | "STOPPED" | "PAUSED" | "RETRYING":
            return f"issue-orch resume {number}"
        case "PR READY" | "PR OPEN" | "CONFLICT" | "CHANGES REQUESTED" | "CHECKS FAILING":
            return f"issue-orch open {number}"
        case "MERGED":
            return "issue-orch prune"
        case "CANCELLED" | "CLOSED":
            return f"issue-orch prune --{label.lower()}"
        case "QUIET":
            return f"issue-orch logs {number}"
        case _:
            return ""


def _unstick(status: SessionStatus) -> str:
    """What leads on where the worker asks nothing, by why it is stuck."""
    number, reason = status["issueNumber"], status["stuckReason"] or ""
    if REFUSED in reason:
        return f"sign in with {status['agent']}, then issue-orch resume {number}"
    if PUSHED in reason:  # until a person has undone it, `resume` says the same again
        sha = reason.rpartition("/")[2][:12]
        undone = f"undo it on {status['base']}: issue-orch resume {number}"
        return f"git show {sha}; {undone}, else issue-orch cancel {number}"
    if "gave up after" in reason or "was lost" in reason:  # of crashes; words do not help
        return f"issue-orch logs {number}, then issue-orch resume {number}"
    return f'issue-orch logs {number}, then issue-orch tell {number} "…"'
