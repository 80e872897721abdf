"""What a person tells a session: guidance, and `pause`, `resume`, `stop` and `cancel`; each says what became of it. A
message is written first and the lease tried then, so that it is read by the worker or acted on here.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.history import Resumed
from ..core.lifecycle import halted, kinds
from ..core.record import Question, SessionStatus, read_answer
from ..errors import Expected, LeaseHeld, Usage
from ..process.run import wait_for
from ..process.survivors import end_worker
from ..store.files import load_pull, load_status, session_numbers
from ..store.history import append_entry
from ..store.inbox import Sent, delivered, halt, pending, send
from ..store.launch import copied_from
from ..store.leases import is_alive, nudge, probe, take
from ..store.look import load_session

if TYPE_CHECKING:
    from .context import Context

STOP_WAIT = 30.0


def guide(
    context: Context,
    number: int,
    text: str,
    author: str = "",
    question: Question | None = None,
    at_once: bool = False,
) -> str:
    """Give guidance to a worker, as the answer to this question, or to the one that it has. Relaunches a worker that waits."""
    state, status = context.state, load_session(context.state, number)
    if not text.strip():
        raise Expected(f"#{number}: the text is empty", f'issue-orch answer {number} "what to do"')
    _refuse_cancelled(status)
    _refuse_displaced(context, status)
    asked = question or status["question"]
    about = asked and asked["id"]
    if asked:
        text = _read_answer(number, text, asked["options"])
    sent = send(state, number, "guidance", text, author, question=about, at_once=at_once)
    late = ""
    if status["question"] and not sent.answers:
        late = "somebody answered before you; yours goes along as guidance. "
    if status["hold"]:
        held = "over its budget" if status["hold"] == "budget" else status["hold"]
        return f"{late}queued: the session is {held}; issue-orch resume {number}"
    started = start_worker(context, number, "answer")
    if _receipt_comes(state, number, sent, started):
        return f"{late}delivered{', the worker goes on' * started}"
    if started and load_session(state, number)["hold"] == "budget":  # which was found only by it
        how = f"issue-orch resume {number}; what it spent: issue-orch costs"
        return f"{late}queued: the session is over its budget; {how}"
    if started:
        return f"{late}the worker was started with it; the receipt follows in: issue-orch show {number}"
    if who := _attached(state, number):
        return f"{late}queued: {who}; it is taken when attach ends"
    return f"{late}queued: the worker is running and takes it at its next turn"


def _attached(state: Path, number: int) -> str:
    """Who took the session over by hand; no worker can start meanwhile, and attach looks into the inbox at its end."""
    holder = probe(state, number)
    attached = holder is not None and holder.role == "attach"
    return f"somebody is attached to it (pid {holder.pid})" if holder and attached else ""


def _read_answer(number: int, text: str, options: list[str]) -> str:
    try:
        return read_answer(text, options)
    except ValueError as error:
        raise Usage(f"#{number}: {error}", f"issue-orch show {number}") from None


def pause(state: Path, number: int, author: str = "") -> str:
    status = load_session(state, number)
    _refuse_copied(state, number)
    if status["status"] in {"complete", "cancelled"}:
        return f"is {status['status']}"
    if status["hold"] in {"paused", "stopped"}:
        return f"is {status['hold']}"
    send(state, number, "pause", author=author)
    if _hold_offline(state, number, "pause"):
        return _became(state, number, "paused (no worker was running)")
    return "will pause when the worker's turn ends"


def resume(context: Context, number: int) -> str:
    state, status = context.state, load_session(context.state, number)
    _refuse_cancelled(status)
    _refuse_displaced(context, status)
    waiting = "guidance" in kinds(pending(state, number))
    if status["status"] == "stuck" and status["question"] and not waiting:
        raise Expected(
            f"#{number}: it asks: {status['question']['decision']}",
            f'issue-orch answer {number} "…"',
        )
    if status["status"] == "complete" and not status["hold"] and not waiting:
        if (load_pull(state, number) or {}).get("held"):
            append_entry(state, number, Resumed(), time.time())
            return "follows up again at the next poll (issue-orch run)"
        return f"is complete: {status['pullRequestUrl']}"
    if status["status"] == "stuck" and not waiting:
        _refuse_pushed(context, status)
    held = status["hold"] or status["retryAt"] or kinds(pending(state, number)) & {"pause", "stop"}
    if not held and is_alive(state, number):
        return "is running"
    sent = send(state, number, "resume")
    started = start_worker(context, number, "resume")
    if not started and (who := _attached(state, number)):
        return f"queued: {who}; the worker starts when attach ends"
    _receipt_comes(state, number, sent, started)
    status = load_session(state, number)
    if status["hold"] == "budget":
        return f"is still over its budget: issue-orch costs ({status['failure']})"
    return "resumed"


def resumable(state: Path) -> list[int]:
    """What `resume --all` means: not what waits for an answer, is complete or cancelled."""
    return [
        number
        for number in session_numbers(state)
        if (status := load_status(state, number))
        and status["status"] not in {"cancelled", "complete"}
        and not (status["status"] == "stuck" and status["question"])
    ]


def stop(state: Path, number: int) -> str:
    """End the worker and everything it started; the session stays."""
    if load_session(state, number)["status"] == "complete" and not is_alive(state, number):
        return _look_again(state, number, "is complete")
    return _end(state, number, "stop", "stopped")


def cancel(state: Path, number: int) -> str:
    """As `stop`, and the session is given up."""
    return _end(state, number, "cancel", "cancelled")


def _end(state: Path, number: int, kind: str, word: str) -> str:
    if load_session(state, number)["status"] == "cancelled":
        return _look_again(state, number, "was cancelled before")
    _refuse_copied(state, number)
    send(state, number, kind)
    if not wait_for(lambda: _hold_offline(state, number, kind), STOP_WAIT):
        return f"asked to {kind}, but the worker has not ended after {STOP_WAIT:.0f} s"
    return _became(state, number, word)


def _look_again(state: Path, number: int, word: str) -> str:
    """That nothing runs is said after a look."""
    with take(state, number, "stop"):
        left = _end_worker(state, load_session(state, number))
    return f"{word}, what its worker had left was ended" if left else f"{word}, nothing runs"


def _end_worker(state: Path, status: SessionStatus) -> bool:
    number = status["issueNumber"]
    _refuse_copied(state, number)
    return end_worker(str(state), number, status["supervisor"])


def _refuse_copied(state: Path, number: int) -> None:
    if home := copied_from(state, number):
        words = f"#{number}: its worker is that of another clone, {home}"
        raise Expected(words, f"cd {home}, and work with it there")


def _became(state: Path, number: int, word: str) -> str:
    """What is true now: the session may have become complete while it was being told."""
    status = load_session(state, number)
    return (
        word
        if status["hold"] or status["status"] != "complete"
        else f"is complete: {status['pullRequestUrl']}"
    )


def _hold_offline(state: Path, number: int, kind: str) -> bool:
    """Do what the inbox says ourselves when no worker lives. False when somebody holds the lease: then it is told."""
    try:
        lease = take(state, number, kind, wait=0.3)
    except LeaseHeld:
        nudge(state, number)
        return False
    with lease:
        status = load_session(state, number)
        _end_worker(state, status)
        step = halted(status["status"], pending(state, number))
        if step is not None:
            halt(state, status, step, time.time())
    return True


def start_worker(context: Context, number: int, role: str) -> bool:
    """False when a worker lives or somebody is attached, who look into the inbox before they end. Another command is
    waited for."""
    from .launch import relaunch

    state, deadline = context.state, time.monotonic() + STOP_WAIT
    while True:
        try:
            with take(state, number, role, wait=0.3) as lease:
                relaunch(context, load_session(state, number), lease)
            return True
        except LeaseHeld:
            held = is_alive(state, number) or _attached(state, number)
            if held or time.monotonic() > deadline:
                nudge(state, number)
                return False


def _refuse_pushed(context: Context, status: SessionStatus) -> None:
    """No pull can be made of what is on the base already, until that is undone there."""
    from ..core.headline import pushed_words
    from ..git.run import commits_since
    from .context import fetch_base, find_pushed

    if find_pushed(context, status) is None:
        return
    tip, sha = fetch_base(context, status["base"]), find_pushed(context, status)
    if sha and not commits_since(context.repo, status["worktreePath"], tip):
        hint = f"issue-orch cancel {status['issueNumber']}, then issue-orch prune --cancelled"
        raise Expected(f"#{status['issueNumber']}: {pushed_words(status, sha)}", hint)


def _refuse_displaced(context: Context, status: SessionStatus) -> None:
    """Before anything is written: nothing would be read here, and the person has to say it again elsewhere."""
    from .whereabouts import refuse_displaced

    refuse_displaced(context, status)


def _refuse_cancelled(status: SessionStatus) -> None:
    number = status["issueNumber"]
    if status["status"] == "cancelled":
        hint = f"issue-orch prune {number} --cancelled; issue-orch spawn {number} --reuse"
        raise Expected(f"#{number}: the session was cancelled", hint)


def _receipt_comes(state: Path, number: int, sent: Sent, started: bool) -> bool:
    """Whether the agent takes the message within some seconds, more of them when it was just started."""
    return wait_for(
        lambda: any(each["id"] == sent.id for each in delivered(state, number)),
        5.0 if started else 1.5,
    )
