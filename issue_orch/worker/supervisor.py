"""The supervisor: a small program that holds a session's lease and runs its agent, turn after turn.

Started as `python -m issue_orch.worker.supervisor STATE NUMBER:LEASE_FD,READY_FD,WORD_FD …` by a command that took the leases. It
imports once and forks for each session; a supervisor begins when the command says so, and ends when that ends before.
Standard library only, no threads; whatever needs more (templates, GitHub) is a short-lived helper process.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import IO, Any

from ..agents import registry
from ..core.history import Failed
from ..core.lifecycle import (
    CONTROL,
    End,
    Go,
    Settle,
    Step,
    Stick,
    Wait,
    after_run,
    halted,
    kinds,
    unheard,
)
from ..core.outcomes import Outcome
from ..errors import Expected, LeaseHeld, of_system
from ..process.secret import hide_process
from ..process.survivors import end_worker, find_workers, name_supervisor
from ..store.files import iso, session_folder
from ..store.inbox import pending
from ..store.leases import adopt, take
from . import attempt
from .agent_run import AgentRun
from .outbox import Bell, apply_last_reports, apply_reports, load_reports
from .session import Session

BEGIN = "begin\n"


def main(argv: list[str]) -> int:
    state, descriptors = Path(argv[0]), {}
    for word in argv[1:]:
        number, _, given = word.partition(":")
        descriptors[int(number)] = [int(each) for each in given.split(",")]
    import ctypes  # noqa: F401 - for the word; like the agents it is there before anybody waits for it

    for name in registry.NAMES:
        registry.load(name)
    for session, own in descriptors.items():
        try:
            child = os.fork()
        except OSError as error:
            _say(open(own[1], "wb", buffering=0), error=of_system(error).message)
            continue
        if child == 0:
            del descriptors[session]
            for descriptor in chain(*descriptors.values()):
                with suppress(OSError):  # closed already, where a fork failed
                    os.close(descriptor)
            os.setsid()
            with open(session_folder(state, session) / "supervisor.log", "ab") as log:
                for stream in (1, 2):
                    os.dup2(log.fileno(), stream)
            return supervise(state, session, *own)
    return 0


def supervise(state: Path, number: int, lease_fd: int, ready_fd: int, word_fd: int) -> int:
    """The life of one supervisor; its exit code."""
    word = _read_word(word_fd)
    if not word.startswith(BEGIN):
        return 0
    lease, ready = adopt(lease_fd, "supervisor"), open(ready_fd, "wb", buffering=0)
    try:
        name_supervisor(number)
        supervisor = Supervisor(state, number, word.removeprefix(BEGIN) or None, ready)
        while True:
            supervisor.run()
            _say(ready, ok=True)
            lease.release()  # then look once more: every sender writes first, and then tries the lease
            if supervisor.terminated or not _something_came(supervisor.session):
                return 0
            lease = take(state, number, "supervisor", wait=0)
    except LeaseHeld:
        return 0
    except Expected as error:
        _say(ready, error=error.message, hint=error.hint)
        return 1
    except OSError as error:
        _say(ready, error=of_system(error).message)
        raise


def _say(ready: IO[bytes], **what: Any) -> None:
    """One line to the command that started us, then its pipe is closed, so that nobody waits for us."""
    if not ready.closed:
        with suppress(BrokenPipeError), ready:
            ready.write(json.dumps(what).encode() + b"\n")


def _read_word(descriptor: int) -> str:
    """BEGIN, and the token that the command had from its environment. Who holds one must not be readable by others."""
    with open(descriptor, encoding="utf-8") as file:
        word = file.read()
    if word not in ("", BEGIN):
        hide_process()
    return word


def _something_came(session: Session) -> bool:
    """What the session has not looked at: guidance, a word for us, or a report."""
    inbox, path = pending(session.state, session.number), session.status["worktreePath"]
    reports = (not isinstance(found, str) for _, found in load_reports(path, session.passed))
    return bool(unheard(inbox, session.counted) or kinds(inbox) & CONTROL or any(reports))


class Supervisor:
    """Performs the steps that core/lifecycle.py decides, and looks after the agent while it runs."""

    def __init__(self, state: Path, number: int, token: str | None, ready: IO[bytes]) -> None:
        self.state, self.number, self.token, self.ready = state, number, token, ready
        self.wakeup = wakeup_pipe()
        self.terminated = False
        signal.signal(signal.SIGTERM, self.on_term)

    def on_term(self, *_: object) -> None:
        self.terminated = True

    def run(self) -> None:
        """Work until nothing is left to do."""
        self.session = session = Session(self.state, self.number, self.token, self.patience)
        # A first attempt was looked at by who started it; here it is for what came since, and a look is enough.
        known = session.status["attempt"] or self.find_worker()
        survived = bool(known) and self.end_worker()
        apply_last_reports(session)
        session.begin(survived)
        step: Step | None = session.first_step()
        while step is not None and not self.terminated:
            step = self.perform(step)

    def perform(self, step: Step) -> Step | None:
        match step:
            case Go():
                return self.go(step)
            case Wait():
                return self.wait(step)
            case Settle():
                _say(self.ready, ok=True)  # it may take long, and nobody should wait for it
                return self.session.settle()
            case Stick():
                self.session.stick(step)
            case End():
                self.session.end(step)
        return None

    def go(self, step: Go) -> Step | None:
        session = self.session
        if not session.books.reserve():
            return End(hold="budget")
        try:
            run = attempt.start(session, step)
        except (Expected, OSError) as error:
            return self.not_started(of_system(error))
        bell = Bell(session.status["worktreePath"])
        try:
            attempt.started(session, run)
            _say(self.ready, ok=True, pid=run.child.pid)
            for _ in run.follow(self.wakeup, bell):
                run.hurry(self.look_after(run, bell), self.end_worker)
        finally:
            bell.close()
            self.end_worker(grace=1.0)
        apply_last_reports(session)
        outcome = attempt.ended(session, run)
        if self.terminated:
            return None
        over = session.books.spent() is not None
        if outcome.kind == "over_budget" and not over:
            outcome = Outcome(
                "interrupted", "its part of the budget was used up, and there is more"
            )
        if outcome.kind == "interrupted" and run.stall:
            outcome = Outcome("interrupted", f"the agent was interrupted: {run.stall}")
        return after_run(session.situation(over), outcome, time.time())

    def find_worker(self) -> list[int]:
        leaders = {self.number: self.session.status["supervisor"]}
        return find_workers(str(self.state), leaders).get(self.number, [])

    def end_worker(self, grace: float = 5.0) -> bool:
        """Whatever the agent started, and what an earlier supervisor left, whose session the status names until `begin`."""
        return end_worker(str(self.state), self.number, self.session.status["supervisor"], grace)

    def not_started(self, error: Expected) -> Step:
        """The command that waits for us says it; without one, it is tried again later."""
        session = self.session
        session.books.release()
        session.update(agentProcess=None)  # nothing ran
        session.note(Failed(error.message))
        if not self.ready.closed:
            raise error
        return after_run(session.situation(False), Outcome("crashed", error.message), time.time())

    def look_after(self, run: AgentRun, bell: Bell) -> str | None:
        """What is to be looked at while the agent runs; why it should end now, if it should."""
        session = self.session
        path = session.status["worktreePath"]
        if os.path.lexists(f"{path}/.git") and not os.path.lexists(
            f"{path}/.issue-orch"
        ):  # the agent's `git clean -x`
            session.identify()
        bell.listen()
        apply_reports(session)
        session.lift()
        attempt.heartbeat(session, run)
        unseen = session.unseen()
        halt = halted(session.status["status"], unseen)
        if self.terminated or (halt is not None and halt.hold != "paused"):
            return "stop"
        if any(message["now"] for message in unseen):
            return "interrupt"
        if session.has_reported:
            return "report"
        return "interrupt" if attempt.is_stalled(session, run) else None

    def wait(self, step: Wait) -> Step | None:
        """Wait for the time, or for a message. Nothing runs meanwhile. Whichever clock comes there first ends it."""
        session = self.session
        session.update(retryAt=iso(step.until), failure=step.reason)
        seen, steady = len(session.unseen()), time.monotonic() + step.until - time.time()
        while (
            not self.terminated
            and (rest := min(step.until - time.time(), steady - time.monotonic())) > 0
        ):
            inbox = session.unseen()
            if len(inbox) > seen or halted(session.status["status"], inbox):
                break
            self.sleep(min(attempt.HEARTBEAT, rest))
            session.heartbeat()
        session.update(retryAt=None, failure=None)
        return session.first_step()

    def sleep(self, seconds: float) -> None:
        """Until a signal, or for that long."""
        if select.select([self.wakeup], [], [], seconds)[0]:
            os.read(self.wakeup, 4096)

    def patience(self, error: OSError) -> None:
        """A full disk is waited for, unless a command waits for us or we are to end."""
        if self.terminated or not self.ready.closed:
            raise error
        self.sleep(1.0)


def wakeup_pipe() -> int:
    """The reading end of a pipe that becomes readable when a child ends, SIGTERM arrives, or a sender nudges us."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for what in (signal.SIGCHLD, signal.SIGURG):
        signal.signal(what, lambda *_: None)
    return reading


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
