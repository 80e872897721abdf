"""One run of an agent as values: what it shows, how it ended, and what follows from that."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from ..text import one_line
from .headline import REFUSED
from .prices import Prices, Usage, add, price

Ending = Literal[
    "ended",
    "denied",
    "api_error",
    "rate_limited",
    "quota",
    "auth",
    "context_full",
    "capped",
    "over_budget",
    "interrupted",
    "killed",
    "session_missing",
    "crashed",
]
Consequence = Literal["next_turn", "retry", "wait", "fresh", "stuck", "hold"]
ENDED = "the agent ended its turn"
TEXT_CAP = 2000
LINE = 160
RUNNING_CAP = 32
PATIENCE = 120  # seconds: longer waits and silences of an agent that retries are waited for without a process
RETRIES = 15  # in a row; claude gives up after 10, codex after 5, opencode never
RATE_WAIT = 300
QUOTA_WAIT = 3600
# What follows when there is no report of the worker. next_turn: remind it, then stuck. wait: until retry_at, no attempt
# used. fresh: new agent session with the full prompt. hold: over budget.
CONSEQUENCES: Mapping[str, Consequence] = {
    "ended": "next_turn",
    "denied": "next_turn",
    "api_error": "retry",
    "killed": "retry",
    "crashed": "retry",
    "rate_limited": "wait",
    "quota": "wait",
    "session_missing": "fresh",
    "context_full": "fresh",
    "auth": "stuck",
    "capped": "stuck",
    "over_budget": "hold",
    "interrupted": "next_turn",
}
# A failed call of the model's API by its status or by what it says: the kind, in words, and seconds to wait.
_FAILURES: tuple[tuple[tuple[int, ...], str, Ending, str, float], ...] = (
    (
        (401, 403),
        r"invalid.{0,20}api.key|authentication|unauthorized|please run /login|not logged in",
        "auth",
        REFUSED,
        0,
    ),
    (
        (),
        r"prompt is too long|context.{0,10}(length|window)|maximum context|token count.{0,30}exceeds",
        "context_full",
        "the conversation is too long for the model",
        0,
    ),
    (
        (402,),
        r"quota|credit balance|usage limit|billing|insufficient.{0,10}(funds|credit)",
        "quota",
        "the account's quota is used up",
        QUOTA_WAIT,
    ),
    (
        (429,),
        r"rate.?limit|too many requests|resource.?exhausted",
        "rate_limited",
        "the model's API asks to wait",
        RATE_WAIT,
    ),
)


class Event(NamedTuple):
    """One thing that the agent did. `text` is untrusted and unsanitised.

    `retry_after` is in seconds from now, `retry_at` in seconds since the epoch: agents say the one or the other.

    `id` pairs `tool` with `tool_end`, and tells model calls apart in rough usage. `alive` is a heartbeat. `call` is a
    model call whose usage is still to come. A `usage` without one was not understood.
    """

    kind: Literal[
        "session",
        "text",
        "tool",
        "tool_end",
        "alive",
        "call",
        "usage",
        "retry",
        "denied",
        "error",
        "final",
    ]
    text: str = ""
    id: str = ""
    session_id: str | None = None
    usage: Usage | None = None
    status: int | None = None
    retry_after: float | None = None
    retry_at: float | None = None
    is_error: bool = False


class Tool(NamedTuple):
    """A tool that is running now, since when (seconds since the epoch)."""

    id: str
    name: str
    since: float


class Turn(NamedTuple):
    """What one run of the agent has shown so far, in bounded memory. Times are seconds since the epoch.

    `usage` is exact (scope session or process), `rough` what was seen after it, `retry_at` and `error` of the
    retry that goes on. `unknown`: a cost that was not understood is in no later reading. `calling`: as Event's `call`.
    `fault`: what the last tool that failed said, while none has `worked`.
    """

    session_id: str | None = None
    usage: Usage | None = None
    rough: Usage = Usage("rough", None, 0, 0)
    rough_id: str = ""
    final: Event | None = None
    error: str = ""
    status: int | None = None
    retry_at: float | None = None
    retries: int = 0
    denied: tuple[str, ...] = ()
    running: tuple[Tool, ...] = ()
    fault: str = ""
    worked: bool = False
    activity: str = ""
    active_at: float | None = None
    unknown: bool = False
    calling: bool = False


class Outcome(NamedTuple):
    """How one run of the agent ended. `message` is for the person; `retry_at` is seconds since the epoch."""

    kind: Ending
    message: str
    retry_at: float | None = None


def fold(turn: Turn, event: Event, now: float, prices: Prices | None = None) -> Turn:
    """What is known after one more event."""
    text = event.text[:TEXT_CAP]
    turn = turn._replace(active_at=now)
    match event.kind:
        case "session":
            return turn._replace(session_id=event.session_id or turn.session_id)
        case "text":
            return _went_on(turn)._replace(activity=one_line(text, LINE) or turn.activity)
        case "tool":
            running = (*turn.running, Tool(event.id, one_line(text, 60), now))[-RUNNING_CAP:]
            return _went_on(turn)._replace(activity=one_line(text, LINE), running=running)
        case "tool_end":
            return _tool_ended(turn, event)
        case "call":
            return turn._replace(calling=True)
        case "usage":
            return _with_usage(turn, event.usage, event.id, prices)
        case "retry" | "error":
            return _failed(turn, event, now)
        case "denied":
            return _denied(turn, one_line(text, LINE))
        case "final":
            return turn._replace(final=event._replace(text=text), running=())
    return turn


def _tool_ended(turn: Turn, event: Event) -> Turn:
    running = tuple(tool for tool in turn.running if tool.id != event.id)
    worked = turn.worked or not event.is_error
    last = next(filter(None, (line.strip() for line in reversed(event.text.splitlines()))), "")
    fault = "" if worked else one_line(last, LINE) or turn.fault
    return turn._replace(running=running, worked=worked, fault=fault)


def _denied(turn: Turn, denial: str) -> Turn:
    """A tool that is named again, without the reason, is known."""
    if any(each.startswith(f"{denial} (") for each in turn.denied):
        return turn
    return turn._replace(denied=tuple(dict.fromkeys((*turn.denied, denial)))[-RUNNING_CAP:])


def _went_on(turn: Turn) -> Turn:
    """A retry that worked is forgotten, and so is an end that was none."""
    return turn._replace(error="", status=None, retry_at=None, retries=0, final=None)


def _failed(turn: Turn, event: Event, now: float) -> Turn:
    text, retries = event.text[:TEXT_CAP], event.kind == "retry"
    retry_at = event.retry_at or (None if event.retry_after is None else now + event.retry_after)
    return turn._replace(
        error=text,
        status=event.status or turn.status,
        retry_at=retry_at or turn.retry_at,
        retries=turn.retries + retries,
        activity=one_line(f"retrying: {text}", LINE) if retries else turn.activity,
        final=None,
    )


def _with_usage(turn: Turn, usage: Usage | None, call: str, prices: Prices | None) -> Turn:
    if usage is None:
        return turn._replace(unknown=True)
    if usage.scope == "rough":
        # one event per content block, the same input each time
        same = bool(call) and call == turn.rough_id
        rough = add(turn.rough, usage._replace(input_tokens=0, cached_tokens=0) if same else usage)
        return turn._replace(rough=rough, rough_id=call)
    if not any(usage[1:4]):  # an error's: what was seen before is not in it
        return turn._replace(usage=turn.usage or usage, calling=False)
    unknown = False
    if usage.scope == "call":
        usage = price(usage, prices)
        unknown = turn.unknown or usage.usd is None
        usage = add(turn.usage or Usage("process", None, 0, 0), usage)
    return turn._replace(
        usage=usage, rough=Turn().rough, rough_id="", unknown=unknown, calling=False
    )


def quiet(
    turn: Turn, started: float, now: float, limit: float, tool_limit: float, shows_tools: bool
) -> str | None:
    """The evidence that the agent is quiet for longer than it should be, or None.

    While a tool runs, or for an agent that does not say when one starts, `tool_limit` counts.
    """
    silent = now - (turn.active_at or started)
    in_tool = bool(turn.running) or not shows_tools
    if silent <= (tool_limit if in_tool else limit):
        return None
    tools = ", ".join(
        f"{tool.name} since {(now - tool.since) / 60:.0f} min" for tool in turn.running[-3:]
    )
    last = f"last: {turn.activity}" if turn.activity else "nothing seen yet"
    return f"silent for {silent / 60:.0f} min, {f'in {tools}' if tools else last}"


def hopeless(turn: Turn, now: float) -> Outcome | None:
    """What makes it pointless to let the agent retry: end the process, this is the outcome.

    Agents repeat a refused sign-in for minutes, and sleep through a far Retry-After, with or without saying so.
    """
    if not turn.retries:
        return None
    quiet_until = max(turn.retry_at or 0, turn.active_at or now) + PATIENCE
    far = (turn.retry_at or now) - now > PATIENCE
    if turn.status == 401 or far or now > quiet_until or turn.retries > RETRIES:
        return failure(turn.status, turn.error, turn.retry_at, now)
    return None


def failure(status: int | None, text: str, retry_at: float | None, now: float) -> Outcome:
    """A failed call of the model's API. `retry_at` is when the server said to come back."""
    said = one_line(text, 300) or "no message"
    for statuses, pattern, kind, words, wait in _FAILURES:
        if status in statuses or re.search(pattern, text, re.IGNORECASE):
            until = (retry_at or _retry_at_in(text, now) or now + wait) if wait else None
            return Outcome(kind, f"{words}: {said}", until)
    what = f" ({status})" if status else ""
    return Outcome("api_error", f"the model's API failed{what}: {said}")


def _retry_at_in(text: str, now: float) -> float | None:
    pattern = r"(?:again|retry|resets?)\s+(?:in|after)\s+(\d+(?:\.\d+)?)\s*(ms|s|m|h)"
    if found := re.search(pattern, text, re.IGNORECASE):
        return now + float(found[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[found[2].lower()]
    return None


def told(turn: Turn, exit_code: int, booked: bool) -> bool:
    """Whether what a run said is all that it has cost. `booked`: something of it was.

    A run that was cut off may leave it at an estimate; one that came to its end has to say it.
    """
    if turn.unknown or turn.calling:
        return False
    if turn.usage is None:
        return booked and (exit_code < 0 or exit_code in (130, 137, 143))
    return booked or turn.usage.usd is not None


def estimate(turn: Turn, prices: Prices | None) -> Usage | None:
    """What a run that was cut off has probably cost beyond its last exact reading; None when nothing was seen.

    Booked and marked as an estimate; `reading_after` says whether it moves the counter.
    """
    rough = turn.rough
    if not rough.input_tokens and not rough.output_tokens:
        return None
    return price(rough, prices)
