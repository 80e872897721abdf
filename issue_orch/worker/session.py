"""A session as its supervisor holds it: its files and history, what is said to it and of it, the ends of its work."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..agents import registry
from ..core import history
from ..core.headline import PUSHED
from ..core.lifecycle import (
    CONTROL,
    End,
    Happening,
    Limits,
    Situation,
    Step,
    Stick,
    after,
    after_claim,
    before_running,
    kinds,
    reported,
    unheard,
)
from ..core.outcomes import Turn
from ..core.record import Message, Phase, Question
from ..errors import Expected
from ..process.helper import ask_helper, tell_helper
from ..process.identity import identity
from ..store.files import iso, load_status, save_status, session_folder, write_text
from ..store.history import append_entry, load_entries
from ..store.inbox import halt, pending, receipt, write_context
from ..store.launch import load_launch
from .books import Books

_SETTLE_LIMIT = 900.0  # seconds for a helper that pushes and asks GitHub
# In the history: characters of a text, texts of a list. A claim is kept whole, its pull is made of it.
_TEXT_LIMIT, _LIST_LIMIT = 2_000, 100


class Session:
    """Lives as long as its supervisor holds the lease: the only writer of the status file.

    `carrying` are the messages that the running attempt was given and did not take yet; `passed` the files in its outbox
    that are read no more, with their times, and `refused` those of them that are still to be told of, with the reasons.
    """

    def __init__(
        self,
        state: Path,
        number: int,
        token: str | None = None,
        patience: Callable[[OSError], None] | None = None,
    ) -> None:
        """`patience` is called when the disk is full: it waits before the next try, or raises."""
        self.state, self.number, self.token, self.patience = state, number, token, patience
        self.folder = session_folder(state, number)
        status, launch = load_status(state, number), load_launch(state, number)
        if status is None or launch is None:
            raise Expected(f"#{number}: there is no session", f"issue-orch spawn {number}")
        self.status, self.launch = status, launch
        self.adapter = registry.load(launch["agent"]["adapter"])
        self.books = Books(state, status, launch, self.adapter, self.keep)
        self.entries = [*load_entries(state, number)]
        self.counted = history.counters(self.entries)
        self.passed: dict[str, int] = {}
        self.refused: dict[str, str] = {}
        self.carrying: list[Message] = []
        self.beaten = self.noted = 0.0

    # -- its files

    def keep(self, write: Callable[..., Any], *values: Any) -> Any:
        """Write what must not be lost: while the disk is full, again and again."""
        while True:
            try:
                return write(*values)
            except OSError as error:
                if not self.patience or error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                self.patience(error)

    def note(self, entry: history.Entry) -> None:
        """Add to the history, and count."""
        self.keep(append_entry, self.state, self.number, entry, time.time())
        self.counted = history.count(self.counted, entry)

    def update(self, durable: bool = True, **fields: Any) -> None:
        self.status.update(fields)  # type: ignore[typeddict-item]
        self.keep(save_status, self.state, self.status, durable)

    def _enter(self, phase: Phase, **fields: Any) -> None:
        before = self.status["status"]
        if phase != before:
            self.note(history.Transition(before, phase))
        self.update(status=phase, **fields)

    def happen(self, happening: Happening, **fields: Any) -> None:
        """One transition of the table; what it does not hold is refused."""
        following = after(self.status["status"], happening)
        if following is None:
            raise Expected(
                f"#{self.number}: {happening} is not possible when {self.status['status']}",
                f"issue-orch show {self.number}",
            )
        self._enter(following, **fields)

    def heartbeat(self) -> None:
        self.beaten = time.monotonic()
        self.update(durable=False, lastHeartbeat=iso(time.time()))

    def identify(self) -> None:
        """Say in the worktree whose it is, and what the attempt was given; `report` needs that."""
        self.keep(write_context, self.status, self.launch["repoName"], self.state, self.carrying)

    # -- its inbox

    def unseen(self) -> list[Message]:
        """Messages that the running agent was not given."""
        carried = {message["id"] for message in self.carrying}
        inbox = pending(self.state, self.number)
        return [message for message in inbox if message["id"] not in carried]

    def _receive(self, messages: list[Message]) -> None:
        for message in messages:
            entry = self.keep(receipt, self.state, self.number, message, time.time())
            self.counted = history.count(self.counted, entry)

    def acknowledge(self) -> None:
        """The agent took its input: the messages in it have their receipt."""
        self._receive(self.carrying)
        self.carrying = []

    def lift(self) -> None:
        """A person's `resume` lifts holds, and whatever was asked for before it."""
        inbox = pending(self.state, self.number)
        controls = [message for message in inbox if message["kind"] in CONTROL]
        resumes = [message["id"] for message in controls if message["kind"] == "resume"]
        if not resumes:
            return
        self._receive(
            [each for each in controls if each["id"] <= resumes[-1] and each["kind"] != "cancel"]
        )
        self.note(history.Resumed())
        if self.status["status"] == "stuck" and self.status["question"] is None:
            self.happen("answered", stuckReason=None)
        self.update(hold=None, failure=None, retryAt=None)

    # -- the start of its supervisor

    def begin(self, survived: bool) -> None:
        """Take note of who we are, and of what was lost or asked for while nobody was there."""
        self.update(supervisor=identity(os.getpid()), lastHeartbeat=iso(time.time()))
        runs = history.Started | history.Exit | history.Failed
        last = next((each for each in reversed(self.entries) if isinstance(each, runs)), None)
        if isinstance(last, history.Started):
            self.books.book_lost(last, survived)
            self.note(history.Failed("its worker was lost"))
        elif self.status["agentProcess"] and self.status["agentProcess"]["pid"] is None:
            self.books.book_rest(Turn(), -9)  # it was launched, or about to be
        self.lift()

    def first_step(self) -> Step:
        return before_running(self.situation(self.books.spent() is not None), self.can_resume)

    def situation(self, over_budget: bool) -> Situation:
        """What was not seen in the inbox before is noted: after a person's word everything may be tried again."""
        inbox = pending(self.state, self.number)
        if fresh := unheard(inbox, self.counted):
            person = any(message["author"] != history.AUTOMATIC for message in fresh)
            self.note(history.Heard([message["id"] for message in fresh], person))
        status, limits = self.status, Limits(**self.launch["limits"])
        return Situation(status["status"], status["hold"], inbox, self.counted, over_budget, limits)

    @property
    def can_resume(self) -> bool:
        agent = self.launch["agent"]
        known = agent["adapter"] != "command" or agent["resume"]
        return bool(self.status["agentSessionId"] and known)

    @property
    def has_reported(self) -> bool:
        """That the worker ends its turn here: it asks, or claims to be done."""
        return self.status["status"] == "stuck" or self.counted.claim is not None

    # -- what its worker reports

    def take(self, report: history.Report) -> None:
        """A report is noted; what follows from it, where it is possible now, is in the status file."""
        waiting = "guidance" in kinds(self.unseen())
        status = self.status
        phase, problem = reported(report, status["status"], status["attempt"], waiting)
        fields = report.fields if report.report == "complete" else _cut(report.fields)
        self.note(report._replace(fields=fields, accepted=not problem, reason=problem))
        if problem:
            return
        self.acknowledge()
        if plan := report.fields.get("plan"):
            self.keep(write_text, self.folder / "plan.md", plan)
        self._enter(phase, **_said(report, status["plannedFiles"]))
        if report.fields.get("note"):
            self.noted = time.monotonic()
        if report.report == "stuck":
            self.notify("stuck", status["stuckReason"] or "")

    # -- the ends of its work

    def stick(self, step: Stick) -> None:
        if self.status["status"] == "complete":  # its follow-up could not be started
            self.happen("followed_up")
        self.note(history.GaveUp(step.reason))
        failure = step.reason if step.failure else None
        self.happen("stuck", stuckReason=step.reason, failure=failure, question=None, publish=None)
        self.notify("crashed" if step.failure else "stuck", step.reason)

    def end(self, step: End) -> None:
        self.keep(halt, self.state, self.status, step, time.time())
        if step.hold == "budget":
            why = self.books.spent() or "its part of the budget is used up"
            self.update(failure=why if self.status["hold"] else None)
            self.notify("budget", why)

    def settle(self) -> Step | None:
        """Check the claim, push, open the pull. What comes back decides how it goes on."""
        given_up = [each.reason for each in self.entries if isinstance(each, history.GaveUp)]
        try:
            answer = ask_helper(
                "settle",
                _SETTLE_LIMIT,
                token=self.token,
                state=str(self.state),
                number=self.number,
                claim=self.counted.claim or {},
                launch=self.launch,
                status=self.status,
                told=any(PUSHED in reason for reason in given_up),
            )
        except Expected as error:
            self.update(publish={"pending": True, "reason": error.message})
            self.note(history.PublishPending(error.message))
            return None
        outcome, reason = answer["outcome"], answer["reason"]
        if outcome != "opened":
            # A claim whose commits were pushed stands: a person undoes that, and it is settled.
            if outcome != "pushed":
                rejected = outcome == "rejected"
                self.note(history.Rejected(reason) if rejected else history.Unready(reason))
            return after_claim(outcome, reason, self.counted, Limits(**self.launch["limits"]))
        self.happen(
            "settled",
            pullRequestUrl=answer["url"],
            publish=None,
            failure=None,
            stuckReason=None,
            endedAt=iso(time.time()),
        )
        self.note(history.Settled(answer["url"], answer["head_sha"]))
        self.notify("pull_ready", answer["url"])
        return None

    def notify(self, kind: str, text: str) -> None:
        try:
            tell_helper("notify", kind=kind, text=text, launch=self.launch, status=self.status)
        except OSError as error:  # no processes left, say
            self.note(history.NotNotified(f"{kind}: {error.strerror}"))


def _cut(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value[:_TEXT_LIMIT]
        if isinstance(value, str)
        else [each[:_TEXT_LIMIT] for each in value[:_LIST_LIMIT]]
        for name, value in fields.items()
    }


def _said(report: history.Report, planned: list[str]) -> dict[str, Any]:
    """A report as fields of the status file. The id of a question is the report's: applied twice it changes nothing."""
    said, now = report.fields, time.time()
    changes: dict[str, Any] = {}
    if said.get("touches"):
        changes["plannedFiles"] = sorted({*planned, *said["touches"]})[:500]
    if said.get("note"):
        changes["lastActivity"] = {"at": iso(now), "text": said["note"][:300]}
    if report.report == "stuck":
        question: Question = {
            "id": report.id,
            "decision": said.get("decision") or said["reason"],
            "options": [option for option in said.get("options", []) if option.strip()][:20],
            "context": said.get("context"),
            "default": said.get("default"),
            "askedAt": iso(_asked_at(report.id, now)),
        }
        reason = said.get("reason") or question["decision"]
        changes |= {"question": question, "stuckReason": reason, "failure": None}
    return changes


def _asked_at(name: str, now: float) -> float:
    """When the report was written, by its name, where that is plausible; else now."""
    head = name.partition("-")[0]
    written = int(head) / 1e9 if head.isdecimal() else now
    return written if abs(now - written) < 7 * 86_400 else now
