"""A session's life as plain values: the one table of its status, and what its supervisor does next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, assert_never, get_args

from .history import Counters, Report
from .outcomes import CONSEQUENCES, ENDED, Outcome
from .record import Hold, Message, Phase

Happening = Literal[
    "planning", "working", "stuck", "answered", "settled", "followed_up", "cancelled"
]

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

CONTROL = frozenset(
    {"pause", "stop", "cancel", "resume"}
)  # kinds of messages that are for the supervisor itself


class Limits(NamedTuple):
    """How often the agent is started again, for each reason, until there is progress or a person says something.
    `nudges` is for turns without a report, and once more for claims that do not hold. Delays are in seconds."""

    retries: int = 3
    nudges: int = 2
    rejections: int = 1
    waits: int = 48
    backoff: float = 10.0
    longest_backoff: float = 600.0

    @property
    def launches(self) -> int:
        """The first one, and one for all that may be tried again. Those that ended in a wait are not among them."""
        return 1 + self.retries + 2 * self.nudges + self.rejections


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


def reported(report: Report, phase: Phase, attempt: int, waiting: bool) -> tuple[Phase, str]:
    """The status after a report, and why it is not accepted if it is not. `waiting`: guidance that its worker did not see."""
    kind = report.report
    if report.attempt not in (None, attempt):
        return phase, f"of attempt {report.attempt}, the current one is {attempt}"
    if kind == "complete" and waiting:
        return phase, "there is guidance that the worker has not seen"
    if kind == "complete":  # the status is that when its pull is there
        return phase, "" if phase in BUSY else f"is {phase}"
    following = TABLE.get((phase, kind))  # type: ignore[arg-type]
    return following or phase, "" if following else f"{kind} is not possible when {phase}"


def kinds(inbox: Sequence[Message]) -> set[str]:
    return {message["kind"] for message in inbox}


def unheard(inbox: Sequence[Message], counted: Counters) -> list[Message]:
    return [
        message
        for message in inbox
        if message["kind"] == "guidance" and message["id"] not in counted.heard
    ]


def calling(phase: Phase, inbox: Sequence[Message], counted: Counters) -> set[str]:
    """The kinds of messages that want a worker. What lay there when the session was given to a person goes along with what
    the person says next."""
    waiting = counted.stale if phase == "stuck" else ()
    return kinds([message for message in inbox if message["id"] not in waiting])


class Situation(NamedTuple):
    """Where a session stands when its supervisor asks what to do. `counted` includes what was reported until now."""

    phase: Phase
    hold: Hold | None
    inbox: Sequence[Message]
    counted: Counters
    over_budget: bool
    limits: Limits = Limits()


def before_running(at: Situation, has_agent_session: bool) -> Step:
    """The step of a supervisor that just took the lease. A hold is lifted by a person, one of the budget by the next day."""
    if held := halted(at.phase, at.inbox):
        return held
    if at.hold is not None and (at.hold != "budget" or at.over_budget):
        return End()
    present = calling(at.phase, at.inbox, at.counted)
    guidance = "guidance" in present
    if at.phase == "stuck" and not guidance and "resume" not in present:
        return End()
    if (at.counted.claim is not None or at.phase == "complete") and not guidance:
        return Settle()
    if at.over_budget:
        return End(hold="budget")
    if at.counted.failures > at.limits.retries:
        times = at.counted.failures
        words = f"its worker was lost {times} times without progress"
        return Stick(_first_reason(words, at.counted.cause), failure=True)
    go = Go("guidance") if guidance else Go("words", words=CONTINUE)
    return _bounded(go if has_agent_session else Go("session"), at.counted, at.limits)


def _bounded(step: Step, counted: Counters, limits: Limits, why: str = "it never reported") -> Step:
    """`step`, unless it starts the agent once more than may be without progress or a person: every launch comes by here."""
    if isinstance(step, Go) and (
        counted.launches >= limits.launches or counted.waits >= limits.waits
    ):
        times = counted.launches + counted.waits
        words = f"gave up after {times} starts without progress: {why}"
        return Stick(_first_reason(words, counted.cause), failure=True)
    return step


CONTINUE = (
    "You were interrupted and are started again in the same worktree. Look at `git status` and `git log`, "
    "go on with the task where it stands, and report as described at the start."
)


def halted(phase: Phase, inbox: Sequence[Message]) -> End | None:
    """stop outranks all, cancel among it; pause comes after the turn. A later resume takes stop and pause back."""
    present = set[str]()
    for message in inbox:
        present.add(message["kind"])
        if message["kind"] == "resume":
            present -= {"stop", "pause"}
    if "cancel" in present or phase == "cancelled":
        return End(cancelled=True)
    if "stop" in present:
        return End(hold="stopped")
    if "pause" in present:
        return End(hold="paused")
    return None


def after_run(at: Situation, outcome: Outcome, now: float) -> Step:
    """The step after one run of the agent."""
    return _bounded(_after_outcome(at, outcome, now), at.counted, at.limits, outcome.message)


def _after_outcome(at: Situation, outcome: Outcome, now: float) -> Step:
    if held := halted(at.phase, at.inbox):
        return held
    guidance = "guidance" in kinds(at.inbox)
    if at.phase == "stuck" and not guidance:
        return End()
    if at.counted.claim is not None and not guidance:
        return Settle()
    if outcome.kind == "auth":
        return Stick(outcome.message, failure=True)
    if at.over_budget:
        return End(hold="budget")
    if guidance and CONSEQUENCES[outcome.kind] == "next_turn":
        return Go("guidance")
    return _consequent(at.counted, at.limits, outcome, now)


def _consequent(counted: Counters, limits: Limits, outcome: Outcome, now: float) -> Step:
    consequence, message = CONSEQUENCES[outcome.kind], outcome.message
    match consequence:
        case "next_turn":
            if counted.nudges < limits.nudges:
                return Go("nudge", words=message)
            return Stick(_unreported(message, counted.cause), failure=True)
        case "wait" if counted.waits >= limits.waits:
            words = f"{message} (gave up after {counted.waits} waits)"
            return Stick(_first_reason(words, counted.cause), failure=True)
        case "wait":
            until = outcome.retry_at or now + limits.longest_backoff
            return Wait(max(until, now + _delay(counted.waits, limits)), message)
        case "retry" | "fresh" if counted.failures > limits.retries:
            words = f"{message} (gave up after {counted.failures} attempts)"
            first = counted.cause or (counted.fault if consequence == "fresh" else "")
            return Stick(_first_reason(words, first), failure=True)
        case "retry":
            until = max(now + _delay(counted.failures, limits), outcome.retry_at or 0)
            return Wait(until, message)
        case "fresh":
            return Go("session")
        case "stuck":
            return Stick(message, failure=True)
        case "hold":
            return End(hold="budget")
        case _:
            assert_never(consequence)


def _unreported(message: str, cause: str) -> str:
    words = "ended its turn without a report"
    if not cause:
        return f"{words} ({message})"
    said = message.removeprefix(ENDED).removeprefix("; ")
    more = f" ({said})" if said and said not in cause else ""
    return _first_reason(f"it {words}{more}", cause)


def _first_reason(words: str, first: str) -> str:
    """What a person can act on comes first, with what followed from it in brackets."""
    first = _for_person(first)
    return words if not first or first in words else f"{first} (then {words})"


def _for_person(reason: str) -> str:
    """Why a claim does not hold, without what its last line orders the worker to do."""
    fact = reason.rpartition("\n")[0] or reason
    return fact.removeprefix("You reported complete, but ").removesuffix(".")


def _delay(times: int, limits: Limits) -> float:
    """Seconds until it is tried again, growing with the times that it failed."""
    return min(limits.backoff * 2.0 ** (min(times, 20) - 1), limits.longest_backoff)


def after_claim(
    outcome: Literal["unready", "rejected", "pushed"],
    reason: str,
    counted: Counters,
    limits: Limits,
) -> Step:
    """The step after a claim that does not hold, or whose push was refused: for the worker first, for a person when it comes
    again. `counted` includes it. What is on the base no worker can mend."""
    if outcome == "pushed":
        return Stick(reason, failure=False)
    again = (
        counted.rejected > limits.rejections
        if outcome == "rejected"
        else counted.unready > limits.nudges
    )
    return (
        Stick(_for_person(reason), failure=True)
        if again
        else _bounded(Go("words", words=reason), counted, limits, reason)
    )


def is_failure(outcome: Outcome) -> bool:
    """Whether a run uses up an attempt: waits and ended turns do not."""
    return CONSEQUENCES[outcome.kind] in {"retry", "fresh"}
