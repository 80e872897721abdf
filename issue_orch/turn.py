"""A session's life as plain values: the one table of its status, and what its supervisor does next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, assert_never, get_args

from .agents.base import Outcome
from .agents.runs import CONSEQUENCES
from .model import Hold, Message, Phase

Happening = Literal["planning", "working", "stuck", "answered", "settled", "followed_up", "cancelled"]

PHASES: tuple[Phase, ...] = get_args(Phase)
HAPPENINGS: tuple[Happening, ...] = get_args(Happening)
BUSY: tuple[Phase, ...] = ("registered", "planning", "working")

# What is not in it is refused.
TABLE: dict[tuple[Phase, Happening], Phase] = {
    **{(phase, "planning"): "planning" for phase in BUSY},
    **{(phase, "working"): "working" for phase in BUSY},
    **{(phase, "stuck"): "stuck" for phase in (*BUSY, "stuck")},
    ("stuck", "answered"): "working",
    **{(phase, "settled"): "complete" for phase in (*BUSY, "complete")},
    ("complete", "followed_up"): "working",
    **{(phase, "cancelled"): "cancelled" for phase in PHASES},
}

CONTROL = frozenset({"pause", "stop", "cancel", "resume"})  # kinds of messages that are for the supervisor itself


class Limits(NamedTuple):
    """How often something is tried. Delays are in seconds."""

    retries: int = 3
    nudges: int = 2
    backoff: float = 10.0
    longest_backoff: float = 600.0


class Counters(NamedTuple):
    """Folded from the history. A report or a commit sets failures and nudges back; claims that did not hold stay
    counted until a person says something."""

    failures: int = 0
    nudges: int = 0
    claim: dict[str, Any] | None = None
    rejected: bool = False
    unready: int = 0


class Go(NamedTuple):
    """Start the agent; `session` is a new agent session with the full prompt. Messages are taken from the inbox."""

    template: Literal["session", "guidance", "nudge", "words"]
    words: str = ""


class Wait(NamedTuple):
    """Wait until a time (seconds since the epoch), then start the agent again."""

    until: float
    reason: str


class Settle(NamedTuple):
    """The worker says that it is done: check, push, open the pull."""


class Stick(NamedTuple):
    """Give the session to a person. `failure`: it is not a question of the worker, but a fault."""

    reason: str
    failure: bool


class End(NamedTuple):
    """The supervisor leaves. `hold` is written when set."""

    hold: Hold | None = None
    cancelled: bool = False


Step = Go | Wait | Settle | Stick | End


def after(phase: Phase, happening: Happening) -> Phase | None:
    """The status after the happening; None when it is refused."""
    return TABLE.get((phase, happening))


def counters(events: Iterable[dict[str, Any]]) -> Counters:
    """Fold a history. Unknown kinds are passed over."""
    state = Counters()
    for event in events:
        state = count(state, event)
    return state


def count(state: Counters, event: dict[str, Any]) -> Counters:
    match event.get("kind"):
        case "report" if event.get("accepted", True):
            claim = event.get("fields") if event.get("report") == "complete" else None
            return Counters(0, 0, claim, state.rejected and claim is not None, state.unready)
        case "progress":
            return state._replace(failures=0)
        case "failed":
            return state._replace(failures=state.failures + 1)
        case "nudged":
            return state._replace(nudges=state.nudges + 1)
        case "delivered" if event.get("messageKind", "guidance") == "guidance":
            return Counters(rejected=state.rejected)
        case "rejected":
            return state._replace(claim=None, rejected=True)
        case "unready":
            return state._replace(claim=None, unready=state.unready + 1)
        case "settled":
            return state._replace(claim=None, unready=0)
        case "resumed":
            return state._replace(failures=0, nudges=0, unready=0)
        case _:
            return state


def kinds(inbox: Sequence[Message]) -> set[str]:
    return {message["kind"] for message in inbox}


def before_running(phase: Phase, hold: Hold | None, inbox: Sequence[Message], counted: Counters, over_budget: bool,
                   has_agent_session: bool) -> Step:
    """The step of a supervisor that just took the lease. A hold is lifted by a person, one of the budget by the next day."""
    held = halted(phase, inbox)
    if held is not None:
        return held
    if hold is not None and (hold != "budget" or over_budget):
        return End()
    guidance = "guidance" in kinds(inbox)
    if phase == "stuck" and not guidance and "resume" not in kinds(inbox):
        return End()
    if counted.claim is not None and not guidance:
        return Settle()
    if phase == "complete" and not guidance:
        return Settle()
    if over_budget:
        return End(hold="budget")
    if not has_agent_session:
        return Go("session")
    return Go("guidance") if guidance else Go("words", words=CONTINUE)


CONTINUE = (
    "You were interrupted and are started again in the same worktree. Look at `git status` and `git log`, "
    "go on with the task where it stands, and report as described at the start."
)


def halted(phase: Phase, inbox: Sequence[Message]) -> End | None:
    """stop outranks all, cancel among it; pause comes after the turn. A later resume takes stop and pause back."""
    resumed = max((at for at, message in enumerate(inbox) if message["kind"] == "resume"), default=-1)
    present = kinds(inbox[resumed + 1:])
    if "cancel" in kinds(inbox) or phase == "cancelled":
        return End(cancelled=True)
    if "stop" in present:
        return End(hold="stopped")
    if "pause" in present:
        return End(hold="paused")
    return None


def after_run(phase: Phase, inbox: Sequence[Message], counted: Counters, outcome: Outcome, over_budget: bool,
              limits: Limits, now: float) -> Step:
    """The step after one run of the agent. `counted` includes what this run reported."""
    held = halted(phase, inbox)
    if held is not None:
        return held
    guidance = "guidance" in kinds(inbox)
    if phase == "stuck" and not guidance:
        return End()
    if counted.claim is not None and not guidance:
        return Settle()
    if outcome.kind == "auth":
        return Stick(outcome.message, failure=True)
    if over_budget or outcome.kind == "over_budget":
        return End(hold="budget")
    if outcome.kind == "session_missing":
        return failed_again(counted, limits, outcome, Go("session"))
    if guidance and CONSEQUENCES[outcome.kind] in {"next_turn", "none"}:
        return Go("guidance")
    return consequent(counted, outcome, limits, now)


def consequent(counted: Counters, outcome: Outcome, limits: Limits, now: float) -> Step:
    kind = CONSEQUENCES[outcome.kind]
    match kind:
        case "next_turn" | "none":
            if counted.nudges < limits.nudges:
                return Go("nudge", words=outcome.message)
            return Stick(f"ended its turn without a report ({outcome.message})", failure=True)
        case "wait":
            return Wait(outcome.retry_at or now + limits.longest_backoff, outcome.message)
        case "retry":
            delay = min(limits.backoff * 2.0 ** (counted.failures - 1), limits.longest_backoff)
            return failed_again(counted, limits, outcome, Wait(max(now + delay, outcome.retry_at or 0), outcome.message))
        case "fresh":
            return failed_again(counted, limits, outcome, Go("session"))
        case "stuck":
            return Stick(outcome.message, failure=True)
        case "hold":
            return End(hold="budget")
        case _:
            assert_never(kind)


def failed_again(counted: Counters, limits: Limits, outcome: Outcome, otherwise: Step) -> Step:
    """`otherwise`, unless the attempts are used up."""
    if counted.failures > limits.retries:
        return Stick(f"{outcome.message} (gave up after {counted.failures} attempts)", failure=True)
    return otherwise


def is_failure(outcome: Outcome) -> bool:
    """Whether a run uses up an attempt: waits and ended turns do not."""
    return CONSEQUENCES[outcome.kind] in {"retry", "fresh"}
