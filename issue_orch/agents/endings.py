"""The truth about endings: what the end of a run means, in words for the person, and what follows from it."""

from __future__ import annotations

import re

from .base import Consequence, Kind, Outcome, Turn, last_line, one_line

PATIENCE = 120  # seconds: longer waits and silences of an agent that retries are waited for without a process
RETRIES = 15  # in a row; claude gives up after 10, codex after 5, opencode never
RATE_WAIT = 300
QUOTA_WAIT = 3600

CONSEQUENCES: dict[Kind, Consequence] = {
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
    "interrupted": "none",
}

SAID = {
    "auth": r"invalid.{0,20}api.key|authentication|unauthorized|please run /login|not logged in",
    "context": r"prompt is too long|context.{0,10}(length|window)|maximum context|token count.{0,30}exceeds",
    "quota": r"quota|credit balance|usage limit|billing|insufficient.{0,10}(funds|credit)",
    "rate": r"rate.?limit|too many requests|resource.?exhausted",
}


def consequence(kind: Kind) -> Consequence:
    """What follows when there is no report of the worker.

    next_turn: remind it, then stuck. wait: until retry_at, no attempt used. fresh: new agent session with the
    full prompt. hold: over budget. none: whoever interrupted it decides.
    """
    return CONSEQUENCES[kind]


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


def ending(exit_code: int, turn: Turn, stderr: str, now: float) -> Outcome:
    """How a run ended, as far as all agents agree; adapters look first at what only they say."""
    if exit_code in (-9, 137):
        return Outcome("killed", "the agent was killed (SIGKILL, perhaps by the system for want of memory)")
    if exit_code in (-2, -15, 130, 143):
        return Outcome("interrupted", "the agent was interrupted")
    final = turn.final
    if final.is_error if final else turn.error:
        text = (final.text if final else "") or turn.error
        return failure((final.status if final else None) or turn.status, text, turn.retry_at, now)
    if exit_code:
        said = last_line(stderr) or "no message"
        return Outcome("crashed", f"the agent ended with exit code {exit_code}: {said}")
    if turn.denied:
        tools = ", ".join(turn.denied)
        return Outcome("denied", f"the agent ended its turn; it was not permitted to use: {tools}")
    return Outcome("ended", "the agent ended its turn" + ("" if final else " without a final event"))


def failure(status: int | None, text: str, retry_at: float | None, now: float) -> Outcome:
    """A failed call of the model's API. `retry_at` is when the server said to come back."""
    said = one_line(text, 300) or "no message"
    retry_at = retry_at or _retry_at_in(text, now)
    if status in (401, 403) or _matches(text, "auth"):
        return Outcome("auth", f"the model's API refused the sign-in: {said}")
    if _matches(text, "context"):
        return Outcome("context_full", f"the conversation is too long for the model: {said}")
    if status == 402 or _matches(text, "quota"):
        return Outcome("quota", f"the account's quota is used up: {said}", retry_at or now + QUOTA_WAIT)
    if status == 429 or _matches(text, "rate"):
        return Outcome("rate_limited", f"the model's API asks to wait: {said}", retry_at or now + RATE_WAIT)
    what = f" ({status})" if status else ""
    return Outcome("api_error", f"the model's API failed{what}: {said}")


def _matches(text: str, which: str) -> bool:
    return re.search(SAID[which], text, re.IGNORECASE) is not None


def _retry_at_in(text: str, now: float) -> float | None:
    found = re.search(r"(?:again|retry|resets?)\s+(?:in|after)\s+(\d+(?:\.\d+)?)\s*(ms|s|m|h)", text, re.IGNORECASE)
    return now + float(found[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[found[2].lower()] if found else None
