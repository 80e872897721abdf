"""A session's life as plain values: the one table of its status, and what its supervisor does next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, assert_never, get_args

from .outcomes import CONSEQUENCES, Outcome
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

AUTOMATIC = (
    "GitHub"  # the author of guidance that no person gave to this session: what was seen on GitHub
)
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


class Counters(NamedTuple):
    """The one counter of what runs without a person, folded from the history: launches of the agent, and what they were
    for. `renewed` alone sets it back. `heard` are the messages that were looked at, `stale` those of them that lay there
    when the session was given to a person; `head` is what was published last."""

    launches: int = 0
    failures: int = 0
    nudges: int = 0
    rejected: int = 0
    unready: int = 0
    waits: int = 0
    rounds: int = 0
    follows: bool = False
    claim: dict[str, Any] | None = None
    head: Any = None
    heard: frozenset[str] = frozenset()
    stale: frozenset[str] = frozenset()


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


def is_progress(state: Counters, event: dict[str, Any]) -> bool:
    """Something new is on the remote, in its pull. A report is no progress, nor is a commit that is only here: an agent
    can make one in each turn for ever."""
    return event.get("kind") == "settled" and event.get("headSha") != state.head


def is_person(state: Counters, event: dict[str, Any]) -> bool:
    """Somebody took part; a message counts when it is first seen, however often it has to be carried to the agent."""
    match event.get("kind"):
        case "resumed" | "attached":
            return True
        case "heard":
            return bool(event.get("person"))
        case "delivered":  # heard before, unless an older version wrote the history
            return (
                is_guidance(event)
                and event.get("author") != AUTOMATIC
                and str(event.get("message")) not in state.heard
            )
        case _:
            return False


def is_guidance(event: dict[str, Any]) -> bool:
    return bool(event.get("messageKind", "guidance") == "guidance")


def renewed(state: Counters, event: dict[str, Any]) -> Counters:
    """The counter, set back where the event is progress or a person. Rounds of follow-up end in progress: only a person
    gives more of them."""
    person = is_person(state, event)
    if not person and not is_progress(state, event):
        return state
    rounds = 0 if person else state.rounds
    return Counters(
        rounds=rounds, claim=state.claim, head=state.head, heard=state.heard, stale=state.stale
    )


def count(state: Counters, event: dict[str, Any]) -> Counters:
    state = renewed(state, event)
    match event.get("kind"):
        case "started":
            return state._replace(launches=state.launches + 1, claim=None)
        case "exit" if CONSEQUENCES.get(str(event.get("outcome"))) == "wait":  # type: ignore[call-overload]
            return state._replace(launches=max(0, state.launches - 1), waits=state.waits + 1)
        case "report" if event.get("accepted", True):
            return state._replace(
                claim=event.get("fields") if event.get("report") == "complete" else None
            )
        case "failed":
            return state._replace(failures=state.failures + 1)
        case "nudged":
            return state._replace(nudges=state.nudges + 1)
        case "rejected":
            return state._replace(claim=None, rejected=state.rejected + 1)
        case "unready":
            return state._replace(claim=None, unready=state.unready + 1)
        case "settled":
            return state._replace(claim=None, head=event.get("headSha"))
        case "heard":
            return state._replace(heard=state.heard.union(map(str, as_list(event.get("messages")))))
        case "gave_up":
            return state._replace(stale=state.heard)
        case "transition" if event.get("before") == "complete":
            return state._replace(follows=True)
        case "delivered" if state.follows and is_guidance(
            event
        ):  # once, however many messages it was sent back with
            return state._replace(
                follows=False, rounds=state.rounds + (event.get("author") == AUTOMATIC)
            )
        case _:
            return state


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


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
    return kinds(
        [message for message in inbox if phase != "stuck" or message["id"] not in counted.stale]
    )


def before_running(
    phase: Phase,
    hold: Hold | None,
    inbox: Sequence[Message],
    counted: Counters,
    over_budget: bool,
    has_agent_session: bool,
    limits: Limits = Limits(),
) -> Step:
    """The step of a supervisor that just took the lease. A hold is lifted by a person, one of the budget by the next day."""
    held = halted(phase, inbox)
    if held is not None:
        return held
    if hold is not None and (hold != "budget" or over_budget):
        return End()
    present = calling(phase, inbox, counted)
    guidance = "guidance" in present
    if phase == "stuck" and not guidance and "resume" not in present:
        return End()
    if counted.claim is not None and not guidance:
        return Settle()
    if phase == "complete" and not guidance:
        return Settle()
    if over_budget:
        return End(hold="budget")
    if counted.failures > limits.retries:
        return Stick(f"its worker was lost {counted.failures} times without progress", failure=True)
    if not has_agent_session:
        return bounded(Go("session"), counted, limits)
    return bounded(Go("guidance") if guidance else Go("words", words=CONTINUE), counted, limits)


def bounded(step: Step, counted: Counters, limits: Limits, why: str = "it never reported") -> Step:
    """`step`, unless it starts the agent once more than may be without progress or a person: every launch comes by here."""
    if isinstance(step, Go) and (
        counted.launches >= limits.launches or counted.waits >= limits.waits
    ):
        times = counted.launches + counted.waits
        return Stick(f"gave up after {times} starts without progress: {why}", failure=True)
    return step


CONTINUE = (
    "You were interrupted and are started again in the same worktree. Look at `git status` and `git log`, "
    "go on with the task where it stands, and report as described at the start."
)


def halted(phase: Phase, inbox: Sequence[Message]) -> End | None:
    """stop outranks all, cancel among it; pause comes after the turn. A later resume takes stop and pause back."""
    resumed = max(
        (at for at, message in enumerate(inbox) if message["kind"] == "resume"), default=-1
    )
    present = kinds(inbox[resumed + 1 :])
    if "cancel" in kinds(inbox) or phase == "cancelled":
        return End(cancelled=True)
    if "stop" in present:
        return End(hold="stopped")
    if "pause" in present:
        return End(hold="paused")
    return None


def after_run(
    phase: Phase,
    inbox: Sequence[Message],
    counted: Counters,
    outcome: Outcome,
    over_budget: bool,
    limits: Limits,
    now: float,
) -> Step:
    """The step after one run of the agent. `counted` includes what this run reported."""
    step = after_outcome(phase, inbox, counted, outcome, over_budget, limits, now)
    return bounded(step, counted, limits, outcome.message)


def after_outcome(
    phase: Phase,
    inbox: Sequence[Message],
    counted: Counters,
    outcome: Outcome,
    over_budget: bool,
    limits: Limits,
    now: float,
) -> Step:
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
            if counted.waits >= limits.waits:
                return Stick(
                    f"{outcome.message} (gave up after {counted.waits} waits)", failure=True
                )
            until = outcome.retry_at or now + limits.longest_backoff
            return Wait(max(until, now + delay(counted.waits, limits)), outcome.message)
        case "retry":
            until = max(now + delay(counted.failures, limits), outcome.retry_at or 0)
            return failed_again(counted, limits, outcome, Wait(until, outcome.message))
        case "fresh":
            return failed_again(counted, limits, outcome, Go("session"))
        case "stuck":
            return Stick(outcome.message, failure=True)
        case "hold":
            return End(hold="budget")
        case _:
            assert_never(kind)


def delay(times: int, limits: Limits) -> float:
    """Seconds until it is tried again, growing with the times that it failed."""
    return min(limits.backoff * 2.0 ** (min(times, 20) - 1), limits.longest_backoff)


def after_claim(
    outcome: Literal["unready", "rejected"], reason: str, counted: Counters, limits: Limits
) -> Step:
    """The step after a claim that does not hold, or whose push was refused: for the worker first, for a person when it comes
    again. `counted` includes it."""
    again = (
        counted.rejected > limits.rejections
        if outcome == "rejected"
        else counted.unready > limits.nudges
    )
    return (
        Stick(reason, failure=True)
        if again
        else bounded(Go("words", words=reason), counted, limits, reason)
    )


def failed_again(counted: Counters, limits: Limits, outcome: Outcome, otherwise: Step) -> Step:
    """`otherwise`, unless the attempts are used up."""
    if counted.failures > limits.retries:
        return Stick(f"{outcome.message} (gave up after {counted.failures} attempts)", failure=True)
    return otherwise


def is_failure(outcome: Outcome) -> bool:
    """Whether a run uses up an attempt: waits and ended turns do not."""
    return CONSEQUENCES[outcome.kind] in {"retry", "fresh"}
