"""The supervisor: a small program that holds a session's lease and runs its agent, turn after turn.

Started as `python -m issue_orch.supervisor STATE NUMBER LEASE_FD READY_FD TOKEN_FD` by a command that took the
lease. Standard library only, no threads; whatever needs more (templates, GitHub) is a short-lived helper process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from . import turn
from .agents.base import Event, Outcome, Turn
from .errors import Expected, LeaseHeld
from .helper_client import Helper
from .lease import Lease, adopt, lock_path, take
from .messages import load_reports, outbox_folder, pending
from .model import Message
from .process import end_marked
from .reports import apply_reports
from .running import AgentRun, end_all, wakeup_pipe
from .session import CONTROL, Session
from .store import iso, load_status

HEARTBEAT = 10.0
SETTLED = 2.0  # seconds after which a second change of a folder must show in its time


def main(argv: list[str]) -> int:
    state, number = Path(argv[0]), int(argv[1])
    lease_fd, ready_fd, token_fd = (int(word) for word in argv[2:5])
    lease = adopt(lease_fd, lock_path(state, number), "supervisor")
    ready = Ready(ready_fd)
    try:
        helper = Helper(read_token(token_fd))
        serve(state, number, lease, ready, helper)
    except Expected as error:
        ready.say({"error": error.message, "hint": error.hint})
        return 1
    except OSError as error:
        ready.say({"error": f"{error.filename or 'its files'}: {error.strerror}"})
        raise
    return 0


class Ready:
    """The pipe to the command that started us; one line, then closed, so that nobody waits for us."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self.descriptor: int | None = descriptor

    def say(self, what: dict[str, Any]) -> None:
        if self.descriptor is None:
            return
        try:
            os.write(self.descriptor, json.dumps(what).encode() + b"\n")
        except BrokenPipeError:
            pass
        os.close(self.descriptor)
        self.descriptor = None


def read_token(descriptor: int) -> str | None:
    """The token that the command had from its environment. A process that holds one must not be readable by others."""
    with open(descriptor, encoding="utf-8") as file:
        token = file.read() or None
    if token and sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
    return token


def serve(state: Path, number: int, lease: Lease, ready: Ready, helper: Helper) -> None:
    """Work until nothing is left to do; then release, look once more, and take the lease again if something came."""
    wakeup = wakeup_pipe()
    signal.signal(signal.SIGTERM, lambda *_: None)
    while True:
        session = Session(state, number, lease, helper)
        loop = Loop(session, wakeup, ready)
        loop.run()
        ready.say({"ok": True})
        lease.release()
        if loop.terminated or not something_came(state, number):
            return
        try:
            lease = take(state, number, "supervisor", wait=0)
        except LeaseHeld:
            return


def something_came(state: Path, number: int) -> bool:
    status = load_status(state, number)
    if status is None:
        return False
    messages = turn.kinds(pending(state, number))
    if status["status"] == "cancelled" or status["hold"]:
        return bool(messages & {"resume"})
    return bool(messages & {"guidance", *CONTROL}) or bool(load_reports(status["worktreePath"])[0])


class Loop:
    """The steps of one supervisor, as decided by turn.py."""

    def __init__(self, session: Session, wakeup: int, ready: Ready) -> None:
        self.session = session
        self.wakeup = wakeup
        self.ready = ready
        self.terminated = False
        signal.signal(signal.SIGTERM, self.on_term)

    def on_term(self, *_: object) -> None:
        self.terminated = True

    def run(self) -> None:
        session = self.session
        if session.status["attempt"]:  # before the first there is nothing that could have survived
            end_marked(str(session.state), session.number)
        apply_reports(session)
        session.begin()
        step: turn.Step | None = session.first_step()
        while step is not None and not self.terminated:
            step = self.perform(step)

    def perform(self, step: turn.Step) -> turn.Step | None:
        session = self.session
        match step:
            case turn.Go():
                return self.go(step)
            case turn.Wait():
                return self.wait(step)
            case turn.Settle():
                self.ready.say({"ok": True})  # it may take long, and nobody should wait for it
                return session.settle()
            case turn.Stick():
                session.stick(step)
                return None
            case turn.End():
                session.end(step)
                return None

    def go(self, step: turn.Go) -> turn.Step | None:
        session = self.session
        if not session.reserve():
            return turn.End(hold="budget")
        try:
            prepared = session.prepare(step)
            run = AgentRun(session.adapter, prepared.command, prepared.env, session.status["worktreePath"],
                           str(session.folder / "agent.log"), str(session.folder / "stdin.txt"))
        except Expected as error:
            session.release()
            session.note("failed", reason=error.message)
            raise
        except OSError as error:
            session.release()
            problem = f"{error.filename or 'the agent'}: {error.strerror}"
            session.note("failed", reason=problem)
            raise Expected(problem, f"issue-orch doctor; then: issue-orch resume {session.number}") from error
        session.started(run)
        self.ready.say({"ok": True, "pid": run.child.pid})
        try:
            ended = run.watch(self.wakeup, Watch(self), lambda: end_all(str(session.state), session.number))
        finally:
            end_marked(str(session.state), session.number, grace=1.0)
        apply_reports(session)
        session.ended(ended)
        if self.terminated:
            return None
        over, outcome = session.over_budget(), ended.outcome
        if outcome.kind == "over_budget" and not over:
            outcome = Outcome("interrupted", "its part of the budget was used up, and there is more")
        if outcome.kind == "interrupted" and session.stall:
            outcome = Outcome("interrupted", f"the agent was interrupted: {session.stall}")
        return turn.after_run(session.status["status"], session.inbox(), session.counted, outcome, over, session.limits,
                              time.time())

    def wait(self, step: turn.Wait) -> turn.Step | None:
        """Wait for the time, or for a message. Nothing runs meanwhile."""
        import select

        session = self.session
        session.update(retryAt=iso(step.until), failure=step.reason)
        seen = len(session.inbox())
        while time.time() < step.until and not self.terminated:
            inbox = session.inbox()
            if len(inbox) > seen or turn.halted(session.status["status"], inbox):
                break
            select.select([self.wakeup], [], [], min(1.0, max(0.0, step.until - time.time())))
            session.heartbeat()
        session.update(retryAt=None, failure=None)
        return session.first_step()


class Watch:
    """What happens while the agent runs."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.session = session = loop.session
        self.folders = (str(outbox_folder(session.status["worktreePath"])), str(session.folder / "inbox"))
        self.stamps: list[float] = []
        self.looked = 0.0
        self.inbox: list[Message] = []

    def on_event(self, event: Event, turn_now: Turn) -> None:
        self.session.on_event(event, turn_now)

    def tick(self, turn_now: Turn) -> str | None:
        session = self.session
        if self.something_came(time.time()):
            apply_reports(session)
            session.lift()
            self.inbox = session.inbox()
        session.heartbeat(turn_now)
        if self.loop.terminated:
            return "stop"
        halt = turn.halted(session.status["status"], self.inbox)
        if halt is not None and halt.hold != "paused":
            return "stop"
        carried = {message["id"] for message in session.carrying}
        if any(message["now"] and message["id"] not in carried for message in self.inbox):
            return "interrupt"
        if session.status["status"] == "stuck" or session.counted.claim is not None:
            return "report"
        return session.stalled(turn_now)

    def something_came(self, now: float) -> bool:
        """Whether it is worth listing outbox and inbox: one of them changed, or is too young to tell by its time."""
        stamps = [changed_at(folder) for folder in self.folders]
        if stamps == self.stamps and now - max(stamps) > SETTLED and 0 <= now - self.looked < HEARTBEAT:
            return False
        self.stamps, self.looked = stamps, now
        return True


def changed_at(folder: str) -> float:
    try:
        return os.stat(folder).st_mtime
    except OSError:
        return 0.0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
