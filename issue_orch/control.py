"""What people tell a session: each writes its message first and then tries the lease, so that one side always sees it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from .errors import Expected, LeaseHeld
from .lease import Lease, is_alive, nudge, take
from .messages import delivered, pending, receipt, send
from .model import SessionStatus
from .process import end_marked
from .store import append_event, iso, load_pull, load_status, save_status
from .turn import CONTROL, End, halted, kinds

STOP_WAIT = 30.0
RECEIPT_WAIT = 5.0

Relaunch = Callable[[SessionStatus, Lease], None]


def session(state: Path, number: int) -> SessionStatus:
    status = load_status(state, number)
    if status is None:
        raise Expected(f"#{number}: there is no session", "issue-orch status")
    return status


def guide(state: Path, number: int, text: str, author: str, relaunch: Relaunch,
          question: str | None = None, at_once: bool = False) -> str:
    """Give guidance to a worker, as the answer to its question when it has one. Relaunches a worker that waits."""
    status = session(state, number)
    if not text.strip():
        raise Expected(f"#{number}: the text is empty", f'issue-orch answer {number} "what to do"')
    if status["status"] == "cancelled":
        raise Expected(f"#{number}: the session was cancelled", f"issue-orch prune --cancelled; issue-orch spawn {number}")
    open_question = status["question"]["id"] if status["question"] else None
    sent = send(state, number, "guidance", text, author, time.time(), question or open_question, at_once)
    late = "" if sent.answers or open_question is None else "somebody answered before you; yours goes along as guidance. "
    if status["hold"]:
        return f"{late}queued: the session is {held_words(status)}; issue-orch resume {number}"
    return wake(state, number, "answer", relaunch, sent.id, late)


def held_words(status: SessionStatus) -> str:
    return {"paused": "paused", "stopped": "stopped", "budget": "over its budget"}[status["hold"] or "paused"]


def wake(state: Path, number: int, role: str, relaunch: Relaunch, message: str, late: str = "") -> str:
    """Start the worker unless it lives; then the message is in the inbox, which it looks into before it ends."""
    if not start_worker(state, number, role, relaunch):
        if has_receipt(state, number, message, wait=1.5):
            return f"{late}delivered"
        return f"{late}queued: the worker is running and takes it at its next turn"
    if has_receipt(state, number, message, RECEIPT_WAIT):
        return f"{late}delivered, the worker goes on"
    return f"{late}the worker was started with it; the receipt follows in: issue-orch show {number}"


def start_worker(state: Path, number: int, role: str, relaunch: Relaunch) -> bool:
    """False when a worker lives, which looks into the inbox before it ends. Another command is waited for."""
    deadline = time.monotonic() + STOP_WAIT
    while True:
        try:
            lease = take(state, number, role, wait=0.3)
            break
        except LeaseHeld:
            if is_alive(state, number) or time.monotonic() > deadline:
                nudge(state, number)
                return False
    with lease:
        relaunch(session(state, number), lease)
    return True


def has_receipt(state: Path, number: int, message: str, wait: float) -> bool:
    """Whether the agent took the message, waiting up to `wait` seconds for it."""
    deadline = time.monotonic() + wait
    while True:
        if any(each["id"] == message for each in delivered(state, number)):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)


def resume(state: Path, number: int, author: str, relaunch: Relaunch) -> str:
    status = session(state, number)
    if status["status"] == "cancelled":
        raise Expected(f"#{number}: the session was cancelled", f"issue-orch prune --cancelled; issue-orch spawn {number}")
    waiting = "guidance" in kinds(pending(state, number))
    if status["status"] == "stuck" and status["question"] and not waiting:
        raise Expected(f"#{number}: it asks: {status['question']['decision']}", f'issue-orch answer {number} "…"')
    if status["status"] == "complete" and not status["hold"] and not waiting:
        if (load_pull(state, number) or {}).get("held"):
            append_event(state, number, "resumed", time.time())
            return "follows up again at the next poll (issue-orch run)"
        return f"is complete: {status['pullRequestUrl']}"
    held = status["hold"] or status["retryAt"] or kinds(pending(state, number)) & {"pause", "stop"}
    if not held and is_alive(state, number):
        return "is running"
    sent = send(state, number, "resume", "", author, time.time())
    wake(state, number, "resume", relaunch, sent.id)
    return "is still over its budget: issue-orch costs" if session(state, number)["hold"] == "budget" else "resumed"


def pause(state: Path, number: int, author: str) -> str:
    status = session(state, number)
    if status["status"] in {"complete", "cancelled"}:
        return f"is {status['status']}"
    if status["hold"] in {"paused", "stopped"}:
        return f"is {status['hold']}"
    send(state, number, "pause", "", author, time.time())
    if hold_offline(state, number, "pause"):
        return became(state, number, "paused (no worker was running)")
    return "will pause when the worker's turn ends"


def stop(state: Path, number: int, author: str, cancel: bool = False) -> str:
    """End the worker and everything it started; the session stays. With `cancel` it becomes cancelled."""
    kind, word = ("cancel", "cancelled") if cancel else ("stop", "stopped")
    status = session(state, number)
    if status["status"] == "cancelled":
        return "was cancelled before"
    if status["status"] == "complete" and not cancel and not is_alive(state, number):
        return "is complete, nothing runs"
    send(state, number, kind, "", author, time.time())
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
