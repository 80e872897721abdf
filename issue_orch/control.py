"""What people tell a session: each writes its message first and then tries the lease, so that one side always sees it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from .errors import Expected, LeaseHeld
from .lease import Lease, is_alive, probe, take
from .lifecycle import after
from .messages import delivered, pending, receipt, send
from .model import SessionStatus
from .process import end_marked
from .store import append_event, iso, load_pull, load_status, save_status

STOP_WAIT = 30.0
RECEIPT_WAIT = 5.0

Relaunch = Callable[[SessionStatus, Lease], None]


class Became(NamedTuple):
    """What became of a command on one session. `done` False: queued, or nothing to do; the text says why."""

    number: int
    done: bool
    text: str


def session(state: Path, number: int) -> SessionStatus:
    status = load_status(state, number)
    if status is None:
        raise Expected(f"#{number}: there is no session", "issue-orch status")
    return status


def guide(state: Path, number: int, text: str, author: str, relaunch: Relaunch,
          question: str | None = None, at_once: bool = False) -> Became:
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
        return Became(number, False, f"{late}queued: the session is {held_words(status)}; issue-orch resume {number}")
    return wake(state, number, "answer", relaunch, sent.id, late)


def held_words(status: SessionStatus) -> str:
    return {"paused": "paused", "stopped": "stopped", "budget": "over its budget"}[status["hold"] or "paused"]


def wake(state: Path, number: int, role: str, relaunch: Relaunch, message: str, late: str = "") -> Became:
    """Start the worker unless it lives; then the message is in the inbox, which it looks into before it ends."""
    if not start_worker(state, number, role, relaunch):
        if has_receipt(state, number, message, wait=1.5):
            return Became(number, True, f"{late}delivered")
        return Became(number, True, f"{late}queued: the worker is running and takes it at its next turn")
    if has_receipt(state, number, message, RECEIPT_WAIT):
        return Became(number, True, f"{late}delivered, the worker goes on")
    return Became(number, True, f"{late}the worker was started with it; the receipt follows in: issue-orch show {number}")


def start_worker(state: Path, number: int, role: str, relaunch: Relaunch) -> bool:
    """False when a worker lives, which looks into the inbox before it ends. Another command is waited for."""
    deadline = time.monotonic() + STOP_WAIT
    while True:
        try:
            lease = take(state, number, role, wait=0.3)
            break
        except LeaseHeld:
            if is_alive(state, number) or time.monotonic() > deadline:
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


def resume(state: Path, number: int, author: str, relaunch: Relaunch) -> Became:
    status = session(state, number)
    if status["status"] == "cancelled":
        raise Expected(f"#{number}: the session was cancelled", f"issue-orch prune --cancelled; issue-orch spawn {number}")
    waiting = any(message["kind"] == "guidance" for message in pending(state, number))
    if status["status"] == "stuck" and status["question"] and not waiting:
        raise Expected(f"#{number}: it asks: {status['question']['decision']}", f'issue-orch answer {number} "…"')
    if status["status"] == "complete" and not status["hold"] and not waiting:
        if (load_pull(state, number) or {}).get("held"):
            append_event(state, number, "resumed", time.time())
            return Became(number, True, "follows up again at the next poll (issue-orch run)")
        return Became(number, False, f"is complete: {status['pullRequestUrl']}")
    if is_alive(state, number) and not status["hold"] and not status["retryAt"]:
        held_back = {m["kind"] for m in pending(state, number)} & {"pause", "stop"}
        if not held_back:
            return Became(number, False, "is running")
    sent = send(state, number, "resume", "", author, time.time())
    wake(state, number, "resume", relaunch, sent.id)
    status = session(state, number)
    if status["hold"] == "budget":
        return Became(number, False, "is still over its budget: issue-orch costs")
    return Became(number, True, "resumed")


def pause(state: Path, number: int, author: str) -> Became:
    status = session(state, number)
    if status["status"] in {"complete", "cancelled"}:
        return Became(number, False, f"is {status['status']}")
    if status["hold"] in {"paused", "stopped"}:
        return Became(number, False, f"is {status['hold']}")
    send(state, number, "pause", "", author, time.time())
    if hold_offline(state, number, "pause"):
        return done(state, number, "paused (no worker was running)")
    return Became(number, True, "will pause when the worker's turn ends")


def stop(state: Path, number: int, author: str, cancel: bool = False) -> Became:
    """End the worker and everything it started; the session stays. With `cancel` it becomes cancelled."""
    kind, word = ("cancel", "cancelled") if cancel else ("stop", "stopped")
    status = session(state, number)
    if status["status"] == "cancelled":
        return Became(number, False, "was cancelled before")
    if status["status"] == "complete" and not cancel and not is_alive(state, number):
        return Became(number, False, "is complete, nothing runs")
    send(state, number, kind, "", author, time.time())
    deadline = time.monotonic() + STOP_WAIT
    while not hold_offline(state, number, kind):
        current = load_status(state, number)
        if current and (current["hold"] == "stopped" or current["status"] == "cancelled") and not probe(state, number):
            break
        if time.monotonic() > deadline:
            return Became(number, False, f"asked to {kind}, but the worker has not ended after {STOP_WAIT:.0f} s")
    return done(state, number, word)


def done(state: Path, number: int, word: str) -> Became:
    """What is true now: the session may have become complete while it was being told."""
    status = session(state, number)
    if status["status"] == "complete" and not status["hold"]:
        return Became(number, False, f"is complete: {status['pullRequestUrl']}")
    return Became(number, True, word)


def hold_offline(state: Path, number: int, kind: str) -> bool:
    """Apply a control message ourselves when no worker lives. False when somebody holds the lease."""
    try:
        lease = take(state, number, kind, wait=0.3)
    except LeaseHeld:
        return False
    with lease:
        end_marked(str(state), number)
        status = session(state, number)
        now = time.time()
        for message in pending(state, number):
            if message["kind"] == kind:
                receipt(state, number, message, now)
        if kind == "cancel":
            following = after(status["status"], "cancelled")
            if following != status["status"]:
                append_event(state, number, "transition", now, before=status["status"], after=following)
            status["status"], status["hold"], status["endedAt"] = "cancelled", None, iso(now)
            status["question"] = status["retryAt"] = None
        elif status["status"] not in {"complete", "cancelled"} and (kind == "stop" or status["hold"] != "stopped"):
            status["hold"] = "paused" if kind == "pause" else "stopped"
            append_event(state, number, "held", now, hold=status["hold"])
        save_status(state, status)
    return True
