"""Holding a session: each writes its message first and then tries the lease, so that one side always sees it."""

from __future__ import annotations

import getpass
import time
from pathlib import Path

from .errors import Expected, LeaseHeld
from .lease import is_alive, nudge, take
from .messages import pending, receipt, send
from .model import SessionStatus
from .process import end_marked
from .store import append_event, iso, load_status, save_status
from .turn import CONTROL, End, halted, kinds

STOP_WAIT = 30.0


def session(state: Path, number: int) -> SessionStatus:
    status = load_status(state, number)
    if status is None:
        raise Expected(f"#{number}: there is no session", "issue-orch status")
    return status


def pause(state: Path, number: int, author: str = "") -> str:
    status = session(state, number)
    if status["status"] in {"complete", "cancelled"}:
        return f"is {status['status']}"
    if status["hold"] in {"paused", "stopped"}:
        return f"is {status['hold']}"
    send(state, number, "pause", "", author or getpass.getuser(), time.time())
    if hold_offline(state, number, "pause"):
        return became(state, number, "paused (no worker was running)")
    return "will pause when the worker's turn ends"


def stop(state: Path, number: int, cancel: bool = False) -> str:
    """End the worker and everything it started; the session stays. With `cancel` it becomes cancelled."""
    kind, word = ("cancel", "cancelled") if cancel else ("stop", "stopped")
    status = session(state, number)
    if status["status"] == "cancelled":
        return "was cancelled before"
    if status["status"] == "complete" and not cancel and not is_alive(state, number):
        return "is complete, nothing runs"
    send(state, number, kind, "", getpass.getuser(), time.time())
    deadline = time.monotonic() + STOP_WAIT
    while not hold_offline(state, number, kind):
        if time.monotonic() > deadline:
            return f"asked to {kind}, but the worker has not ended after {STOP_WAIT:.0f} s"
    return became(state, number, word)


def became(state: Path, number: int, word: str) -> str:
    """What is true now: the session may have become complete while it was being told."""
    status = session(state, number)
    return word if status["hold"] or status["status"] != "complete" else f"is complete: {status['pullRequestUrl']}"


def hold_offline(state: Path, number: int, kind: str) -> bool:
    """Do what the inbox says ourselves when no worker lives. False when somebody holds the lease: then it is told."""
    try:
        lease = take(state, number, kind, wait=0.3)
    except LeaseHeld:
        nudge(state, number)
        return False
    with lease:
        end_marked(str(state), number)
        status = session(state, number)
        step = halted(status["status"], pending(state, number))
        if step is not None:
            halt(state, status, step, time.time())
    return True


def halt(state: Path, status: SessionStatus, step: End, now: float) -> None:
    """Hold or cancel the session, as its inbox said. Only the holder of the lease may call this."""
    number, inbox = status["issueNumber"], pending(state, status["issueNumber"])
    if step.cancelled and status["status"] != "cancelled":
        append_event(state, number, "transition", now, before=status["status"], after="cancelled")
        status["status"], status["hold"], status["endedAt"] = "cancelled", None, iso(now)
        status["question"] = status["retryAt"] = None
    elif step.hold is not None and (status["status"] != "complete" or "guidance" in kinds(inbox)):
        append_event(state, number, "held", now, hold=step.hold)
        status["hold"], status["retryAt"] = step.hold, None
    save_status(state, status)
    for message in inbox:
        if message["kind"] in CONTROL:
            receipt(state, number, message, now)
