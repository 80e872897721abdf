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
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from ..agents import registry
from ..core import lifecycle
from ..core.history import Failed
from ..core.outcomes import Outcome
from ..errors import Expected, LeaseHeld, of_system
from ..process.run import hide_process
from ..process.survivors import end_marked
from ..store.files import iso, load_status, session_folder
from ..store.inbox import pending
from ..store.leases import adopt, take
from .agent_run import AgentRun, wakeup_pipe
from .outbox import ROUNDS, apply_reports, load_reports
from .session import HEARTBEAT, Session

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
            Ready(own[1]).say({"error": of_system(error).message})
            continue
        if child == 0:
            for descriptor in chain.from_iterable(
                descriptors[other] for other in descriptors.keys() - {session}
            ):
                with suppress(OSError):  # closed already, where a fork failed
                    os.close(descriptor)
            os.setsid()
            log = os.open(
                session_folder(state, session) / "supervisor.log",
                os.O_WRONLY | os.O_APPEND | os.O_CREAT,
                0o600,
            )
            for stream in (1, 2):
                os.dup2(log, stream)
            os.close(log)
            return supervise(state, session, *own)
    return 0


def supervise(state: Path, number: int, lease_fd: int, ready_fd: int, word_fd: int) -> int:
    """The life of one supervisor; its exit code."""
    word = read_word(word_fd)
    if not word.startswith(BEGIN):
        return 0
    lease = adopt(lease_fd, "supervisor")
    ready = Ready(ready_fd)
    try:
        supervisor = Supervisor(state, number, word.removeprefix(BEGIN) or None, ready)
        while True:
            supervisor.run()
            ready.say({"ok": True})
            lease.release()  # then look once more: every sender writes first, and then tries the lease
            if supervisor.terminated or not something_came(state, supervisor.session):
                return 0
            lease = take(state, number, "supervisor", wait=0)
    except LeaseHeld:
        return 0
    except Expected as error:
        ready.say({"error": error.message, "hint": error.hint})
        return 1
    except OSError as error:
        ready.say({"error": of_system(error).message})
        raise


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


def read_word(descriptor: int) -> str:
    """BEGIN, and the token that the command had from its environment. Who holds one must not be readable by others."""
    with open(descriptor, encoding="utf-8") as file:
        word = file.read()
    if word not in ("", BEGIN):
        hide_process()
    return word


def something_came(state: Path, session: Session) -> bool:
    status = load_status(state, session.number)
    if status is None:
        return False
    kinds = lifecycle.calling(status["status"], pending(state, session.number), session.counted)
    if status["status"] == "cancelled" or status["hold"]:
        return "resume" in kinds
    return bool(kinds & {"guidance", *lifecycle.CONTROL}) or bool(
        load_reports(status["worktreePath"])[0]
    )


class Supervisor:
    """Performs the steps that turn.py decides, and looks after the agent while it runs."""

    def __init__(self, state: Path, number: int, token: str | None, ready: Ready) -> None:
        self.state, self.number, self.token, self.ready = state, number, token, ready
        self.wakeup = wakeup_pipe()
        self.terminated = False
        signal.signal(signal.SIGTERM, self.on_term)

    def on_term(self, *_: object) -> None:
        self.terminated = True

    def run(self) -> None:
        """Work until nothing is left to do."""
        self.session = session = Session(self.state, self.number, self.token, self.patience)
        # Before the first attempt there is nothing that could have survived.
        survived = bool(session.status["attempt"]) and end_marked(str(self.state), self.number)
        apply_reports(session, ROUNDS)
        session.begin(survived)
        step: lifecycle.Step | None = session.first_step()
        while step is not None and not self.terminated:
            step = self.perform(step)

    def perform(self, step: lifecycle.Step) -> lifecycle.Step | None:
        match step:
            case lifecycle.Go():
                return self.go(step)
            case lifecycle.Wait():
                return self.wait(step)
            case lifecycle.Settle():
                self.ready.say({"ok": True})  # it may take long, and nobody should wait for it
                return self.session.settle()
            case lifecycle.Stick():
                self.session.stick(step)
            case lifecycle.End():
                self.session.end(step)
        return None

    def go(self, step: lifecycle.Go) -> lifecycle.Step | None:
        session = self.session
        if not session.reserve():
            return lifecycle.End(hold="budget")
        try:
            command = session.prepare(step)
            run = AgentRun(
                session.adapter,
                command,
                session.status["worktreePath"],
                str(session.folder),
                session.on_event,
                session.launching,
                session.prices,
            )
        except (Expected, OSError) as error:
            return self.not_started(of_system(error))
        end = partial(end_marked, str(self.state), self.number)
        try:
            session.started(run)
            self.ready.say({"ok": True, "pid": run.child.pid})
            ended = run.watch(self.wakeup, partial(self.tick, run), end)
        finally:
            end(grace=1.0)
        apply_reports(session, ROUNDS)
        session.ended(run, ended)
        if self.terminated:
            return None
        over, outcome = session.room() is not None, ended.outcome
        if outcome.kind == "over_budget" and not over:
            outcome = Outcome(
                "interrupted", "its part of the budget was used up, and there is more"
            )
        if outcome.kind == "interrupted" and session.stall:
            outcome = Outcome("interrupted", f"the agent was interrupted: {session.stall}")
        return self.after_run(outcome, over)

    def not_started(self, error: Expected) -> lifecycle.Step:
        """The command that waits for us says it; without one, it is tried again later."""
        self.session.release()
        self.session.update(agentProcess=None)  # nothing ran
        self.session.note(Failed(error.message))
        if self.ready.descriptor is not None:
            raise error
        return self.after_run(Outcome("crashed", error.message), False)

    def after_run(self, outcome: Outcome, over_budget: bool) -> lifecycle.Step:
        return lifecycle.after_run(self.session.situation(over_budget), outcome, time.time())

    def tick(self, run: AgentRun) -> str | None:
        """What is to be looked at while the agent runs; why it should end now, if it should."""
        session = self.session
        path = session.status["worktreePath"]
        if os.path.lexists(f"{path}/.git") and not os.path.lexists(
            f"{path}/.issue-orch"
        ):  # the agent's `git clean -x`
            session.identify(session.carrying)
        apply_reports(session)
        session.lift()
        session.heartbeat(run.turn)
        halt = lifecycle.halted(session.status["status"], session.inbox())
        if self.terminated or (halt is not None and halt.hold != "paused"):
            return "stop"
        if any(message["now"] for message in session.unseen()):
            return "interrupt"
        if session.status["status"] == "stuck" or session.counted.claim is not None:
            return "report"
        return session.stalled(run.turn)

    def wait(self, step: lifecycle.Wait) -> lifecycle.Step | None:
        """Wait for the time, or for a message. Nothing runs meanwhile. Whichever clock comes there first ends it."""
        session = self.session
        session.update(retryAt=iso(step.until), failure=step.reason)
        seen, steady = len(session.inbox()), time.monotonic() + step.until - time.time()
        while (
            not self.terminated
            and (rest := min(step.until - time.time(), steady - time.monotonic())) > 0
        ):
            inbox = session.inbox()
            if len(inbox) > seen or lifecycle.halted(session.status["status"], inbox):
                break
            self.sleep(min(HEARTBEAT, rest))
            session.heartbeat()
        session.update(retryAt=None, failure=None)
        return session.first_step()

    def sleep(self, seconds: float) -> None:
        """Until a signal, or for that long."""
        if select.select([self.wakeup], [], [], seconds)[0]:
            os.read(self.wakeup, 4096)

    def patience(self, error: OSError) -> None:
        """A full disk is waited for, unless a command waits for us or we are to end."""
        if self.terminated or self.ready.descriptor is not None:
            raise error
        self.sleep(1.0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
