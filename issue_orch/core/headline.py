"""The one label shown for a session, derived from facts; and what a person should do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from .record import PullFacts, SessionStatus

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
    """The first that applies."""
    label, why = _label_of(status, pull or {}, seen)
    return Headline(label, why, *LOOKS[label])


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


def _label_of(status: SessionStatus, pull: PullFacts, seen: Observed) -> tuple[str, str]:
    phase = status["status"]
    if phase == "cancelled":
        return "CANCELLED", ""
    if pull.get("merged"):
        return "MERGED", "by a person"
    if pull.get("state") == "closed":
        return "CLOSED", "the pull was closed without a merge"
    if seen.elsewhere:
        return "ELSEWHERE", seen.elsewhere
    if phase == "stuck":
        return "STUCK", status["stuckReason"] or ""
    if held := _held_label(status, seen):
        return held[0], held[1] or pull.get("held", "")
    if phase == "complete":
        label, why = _pull_label(pull)
        return label, "; ".join(filter(None, (why, *pull_notes(pull))))
    return _running_label(status, seen)


def _held_label(status: SessionStatus, seen: Observed) -> tuple[str, str] | None:
    publish, hold, failure = status["publish"], status["hold"], status["failure"]
    if publish and not seen.holder:
        return "PUBLISH PENDING", publish["reason"]
    if status["status"] != "complete" and not hold and not seen.holder:
        return "CRASHED", failure or "its worker is gone"
    if hold == "budget":
        return "OVER BUDGET", failure or "raise the budget, then resume"
    return (hold.upper(), "") if hold else None


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


def _running_label(status: SessionStatus, seen: Observed) -> tuple[str, str]:
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
