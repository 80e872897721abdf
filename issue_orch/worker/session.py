"""A session as its supervisor holds it: status file, history, costs, and the start and end of each attempt."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..agents import registry
from ..agents.base import Attempt, Command
from ..core import history, lifecycle, outcomes, prices
from ..core.outcomes import Event, Turn
from ..core.prices import Prices, Usage
from ..core.record import Activity, Message
from ..errors import Expected
from ..git.run import worker_settings
from ..process.helper import ask_helper, tell_helper
from ..process.identity import identity
from ..process.survivors import marker
from ..store import ledger
from ..store.files import (
    iso,
    load_status,
    save_status,
    session_folder,
    write_text,
)
from ..store.history import append_entry, load_entries
from ..store.inbox import delivered, halt, pending, receipt, write_context
from ..store.launch import load_launch
from ..store.leases import take
from . import changes
from .agent_run import AgentRun, Ended, logged_since

HEARTBEAT = 10.0
SETTLE_LIMIT = 900.0  # seconds for a helper that pushes and asks GitHub
QUIET = 600.0  # seconds of silence after which people are shown it, three times as long in a tool
TOOK_INPUT = frozenset({"session", "text", "tool", "tool_end", "usage", "alive"})


def give_up(error: OSError) -> None:
    raise error


class Session:
    """Lives as long as its supervisor holds the lease: the only writer of the status file and the ledger."""

    def __init__(
        self,
        state: Path,
        number: int,
        token: str | None,
        patience: Callable[[OSError], None] = give_up,
    ) -> None:
        """`patience` is called when the disk is full: it waits before the next try, or raises."""
        self.state, self.number, self.token, self.patience = state, number, token, patience
        self.folder = session_folder(state, number)
        status, launch = load_status(state, number), load_launch(state, number)
        if status is None or launch is None:
            raise Expected(f"#{number}: there is no session", f"issue-orch spawn {number}")
        self.status, self.launch = status, launch
        self.adapter = registry.load(launch["agent"]["adapter"])
        self.limits = lifecycle.Limits(**launch["limits"])
        self.slots, self.ceilings = launch["slots"], ledger.Ceilings(**launch["budget"])
        self.prices = Prices(**launch["agent"]["prices"]) if launch["agent"]["prices"] else None
        self.entries = [*load_entries(state, number)]
        self.counted = history.counters(self.entries)
        # The ledger outlives sessions: the attempts of an earlier one have the same numbers.
        attempt, since = status["attempt"], status["startedAt"] or ""
        self.readings = ledger.readings(state, number, since) if attempt else {}
        self.booked = ledger.of_attempt(state, number, attempt, since) if attempt else []
        self.carrying: list[Message] = []
        self.cap: float | None = None
        self.beaten = 0.0
        self.changed = False
        self.stall: str | None = None  # the silence that the running attempt was interrupted for
        self.run_since, self.run_steady = self.now(), time.monotonic()

    def now(self) -> float:
        return time.time()

    # -- the files of the session

    def keep(self, write: Callable[..., object], *values: Any, **options: Any) -> None:
        """Write what must not be lost: while the disk is full, again and again."""
        while True:
            try:
                write(*values, **options)
                return
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                self.patience(error)

    def note(self, entry: history.Entry) -> None:
        """Add to the history, and count."""
        self.keep(append_entry, self.state, self.number, entry, self.now())
        self.counted = history.count(self.counted, entry)

    def update(self, durable: bool = True, **fields: Any) -> None:
        self.status.update(fields)  # type: ignore[typeddict-item]
        self.keep(save_status, self.state, self.status, durable)

    def happen(self, happening: lifecycle.Happening, **fields: Any) -> None:
        """One transition of the table; what it does not hold is refused."""
        before = self.status["status"]
        following = lifecycle.after(before, happening)
        if following is None:
            raise Expected(
                f"#{self.number}: {happening} is not possible when {before}",
                f"issue-orch show {self.number}",
            )
        if following != before:
            self.note(history.Transition(before, following))
        self.update(status=following, **fields)

    def inbox(self) -> list[Message]:
        return pending(self.state, self.number)

    def receive(self, messages: list[Message]) -> None:
        for message in messages:
            self.keep(receipt, self.state, self.number, message, self.now())
            entry = history.Delivered(message["id"], message["kind"], author=message["author"])
            self.counted = history.count(self.counted, entry)

    def hear(self) -> list[Message]:
        """The inbox. What was not seen in it before is noted: after a person's word everything may be tried again."""
        inbox = self.inbox()
        fresh = lifecycle.unheard(inbox, self.counted)
        if fresh:
            person = any(message["author"] != history.AUTOMATIC for message in fresh)
            self.note(history.Heard([message["id"] for message in fresh], person))
        return inbox

    def unseen(self) -> list[Message]:
        """Messages that the running agent was not given."""
        carried = {message["id"] for message in self.carrying}
        return [message for message in self.inbox() if message["id"] not in carried]

    def acknowledge(self) -> None:
        """The agent took its input: the messages in it have their receipt."""
        self.receive(self.carrying)
        self.carrying = []

    def heartbeat(self, seen: Turn | None = None) -> None:
        if time.monotonic() - self.beaten < HEARTBEAT - 0.5:  # a tick may come a little early
            return
        self.beaten = time.monotonic()
        if seen is not None:
            self.show_activity(seen)
        if self.changed:  # git is asked only after something happened
            self.changed = False
            self.status["changes"] = changes.measure_changes(self.launch, self.status)
        self.update(durable=False, lastHeartbeat=iso(self.now()))

    def show_activity(self, seen: Turn) -> None:
        """What the agent did last, and since when it is silent if that is long: for people, nothing follows from it."""
        evidence = self.silence(seen, min(QUIET, self.launch["stallAfter"] or QUIET))
        if seen.activity or evidence:
            last: Activity = {
                "at": iso(seen.active_at or self.run_since),
                "text": seen.activity[:300],
            }
            self.status["lastActivity"] = {**last, "quiet": evidence} if evidence else last

    # -- the start of the supervisor

    def begin(self, survived: bool) -> None:
        """Take note of who we are, and of what was lost or asked for while nobody was there."""
        self.update(supervisor=identity(os.getpid()), lastHeartbeat=iso(self.now()))
        runs = history.Started | history.Exit | history.Failed
        last = next((each for each in reversed(self.entries) if isinstance(each, runs)), None)
        if isinstance(last, history.Started):
            self.book_lost(last, survived)
            self.note(history.Failed("its worker was lost"))
        elif self.status["agentProcess"] and self.status["agentProcess"]["pid"] is None:
            self.book_rest(Turn(), -9)  # it was launched, or about to be
        self.lift()

    def lift(self) -> None:
        """A person's `resume` lifts holds, and whatever was asked for before it."""
        controls = [message for message in self.inbox() if message["kind"] in lifecycle.CONTROL]
        resumes = [message["id"] for message in controls if message["kind"] == "resume"]
        if not resumes:
            return
        self.receive(
            [each for each in controls if each["id"] <= resumes[-1] and each["kind"] != "cancel"]
        )
        self.note(history.Resumed())
        if self.status["status"] == "stuck" and self.status["question"] is None:
            self.happen("answered", stuckReason=None)
        self.update(hold=None, failure=None, retryAt=None)

    def can_resume(self) -> bool:
        agent = self.launch["agent"]
        return bool(self.status["agentSessionId"]) and (
            agent["adapter"] != "command" or bool(agent["resume"])
        )

    def first_step(self) -> lifecycle.Step:
        situation = self.situation(over_budget=self.room() is not None)
        return lifecycle.before_running(situation, self.can_resume())

    def situation(self, over_budget: bool) -> lifecycle.Situation:
        inbox = self.hear()
        phase, hold = self.status["status"], self.status["hold"]
        return lifecycle.Situation(phase, hold, inbox, self.counted, over_budget, self.limits)

    # -- what it costs

    def room(self) -> str | None:
        """Why nothing may be spent any more; None when something may."""
        room = ledger.room(self.state, self.number, self.ceilings, self.now())
        return room.why if room is not None and room.usd <= 0 else None

    def reserve(self) -> bool:
        """Reserve for the next attempt, before anything of it is written; False when nothing may start."""
        if not self.ceilings.limited:
            return True
        with take(self.state, "admission", "budget", wait=30):
            room = ledger.reserve(
                self.state,
                self.number,
                self.status["attempt"] + 1,
                self.ceilings,
                self.slots,
                self.now(),
            )
        self.cap = room.usd if room else None
        return self.cap is None or self.cap > 0

    def release(self) -> None:
        """Set free what the attempt had reserved."""
        if self.ceilings.limited:
            self.keep(
                ledger.reserve_line,
                self.state,
                self.number,
                self.now(),
                self.status["attempt"],
                None,
            )

    def book(self, seen: Turn, lost: bool = False) -> Turn:
        """Book what the counter moved by. When the run was `lost`, less than before means that the start is missing."""
        if seen.usage is None:
            return seen
        usage = prices.price(seen.usage, self.prices)
        name = prices.counter(self.status["agent"], seen.session_id, self.status["attempt"], usage)
        if lost and prices.went_down(self.readings.get(name), usage):
            return seen._replace(unknown=True)
        self.write_cost(name, usage, unknown=seen.unknown)
        return seen

    def book_rest(self, seen: Turn, exit_code: int) -> None:
        """What was not said of a launch is booked as an estimate, or as unknown: never as nothing."""
        rough = outcomes.estimate(seen, self.prices or self.adapter.CAPABILITIES.estimate)
        if rough is not None:
            name = f"{self.status['agent']}:{seen.session_id}"
            moved = prices.reading_after(self.readings.get(name), rough, exit_code)
            self.write_cost(
                name if moved else f"estimate-{self.status['attempt']}",
                moved or rough,
                estimate=True,
            )
        told = outcomes.told(seen, exit_code, bool(self.booked))
        if not self.booked or (not told and None not in self.booked):
            self.write_line("unsaid", Usage("process", 0.0 if told else None, 0, 0), None)

    def book_lost(self, started: history.Started, survived: bool) -> None:
        """Book what a run said whose supervisor was killed: its part of the log again. What was booked counts once."""
        seen = Turn(session_id=self.status["agentSessionId"])
        for line in logged_since(str(self.folder / "agent.log"), started.log):
            for event in self.adapter.parse(line.decode("utf-8", "replace")):
                seen = outcomes.fold(seen, event, self.now(), self.prices)
        self.book_rest(self.book(seen, lost=True), -15 if survived else -9)

    def write_cost(
        self, name: str, usage: Usage, estimate: bool = False, unknown: bool = False
    ) -> None:
        """`unknown`: a call whose dollars nobody knows moved the tokens alone."""
        reading, delta = prices.book(self.readings.get(name), usage)
        if not (delta.usd or delta.input_tokens or delta.output_tokens):
            return
        self.readings[name] = reading._replace(scope="rough") if estimate else reading
        self.write_line(
            name, delta._replace(usd=delta.usd or None) if unknown else delta, reading, estimate
        )

    def write_line(
        self, name: str, delta: Usage, reading: Usage | None, estimate: bool = False
    ) -> None:
        self.booked.append(delta.usd)
        self.keep(
            ledger.book_line,
            self.state,
            self.number,
            self.now(),
            self.status["attempt"],
            self.status["agent"],
            name,
            delta,
            reading,
            estimate,
        )
        sums = ledger.booked(self.state, self.number)
        self.status["cost"] = {
            "usd": sums.known,
            "inputTokens": sum(each.input_tokens for each in sums.bookings),
            "outputTokens": sum(each.output_tokens for each in sums.bookings),
        }

    # -- the start and the end of one attempt

    def prepare(self, step: lifecycle.Go) -> Command:
        """Write the attempt down, then say what to execute."""
        messages = [message for message in self.inbox() if message["kind"] == "guidance"]
        self.identify(messages)
        fresh = step.template == "session" or not self.can_resume()
        prompt = self.words(step, fresh, messages)
        self.keep(write_text, self.folder / "turn.md", prompt)
        if step.template == "nudge":
            self.note(history.Nudged())
        self.take_up(messages)
        self.status["attempt"] += 1
        attempt = self.next_attempt(prompt, None if fresh else self.status["agentSessionId"])
        command = self.adapter.start(attempt)
        self.carrying, self.booked = messages, []
        self.update(
            agentSessionId=command.session_id or attempt.session_id,
            failure=None,
            retryAt=None,
            hold=None,
            endedAt=None,
            publish=None,
            agentProcess=None,
        )
        return command._replace(env=self.agent_env(command))

    def launching(self) -> None:
        """Until the agent's pid is known: whoever finds this cannot tell whether it ran."""
        self.update(durable=False, agentProcess={"pid": None, "exitCode": None})

    def identify(self, given: list[Message]) -> None:
        """Say in the worktree whose it is, and what the attempt was given; `report` needs that."""
        self.keep(write_context, self.status, self.launch["repoName"], self.state, given)

    def take_up(self, messages: list[Message]) -> None:
        """Guidance for a session that waits sets it to work again."""
        if self.status["status"] == "complete":
            self.happen("followed_up")
        if not messages:
            return
        self.status["forwardedMessage"] = messages[-1]["text"][:4000]
        if self.status["status"] == "stuck":
            self.happen("answered", question=None, stuckReason=None)

    def words(self, step: lifecycle.Go, fresh: bool, messages: list[Message]) -> str:
        """The text that the agent gets: rendered by a helper, because teams may write these templates themselves."""
        full = (self.folder / "prompt.md").read_text(encoding="utf-8", errors="replace")
        earlier = (
            [each for each in delivered(self.state, self.number) if each["kind"] == "guidance"]
            if fresh
            else []
        )
        if fresh and not earlier and not messages:
            return full
        template = "guidance_fresh" if fresh else "guidance" if messages else step.template
        if template == "words":
            return step.words
        answer = ask_helper(
            "render",
            template=template,
            top=self.launch["top"],
            number=self.number,
            report=self.launch["report"],
            messages=[*earlier, *messages],
            words=step.words,
            prompt=full,
        )
        return str(answer["text"])

    def next_attempt(self, prompt: str, session_id: str | None) -> Attempt:
        agent, status = self.launch["agent"], self.status
        return Attempt(
            worktree=status["worktreePath"],
            common_dir=self.launch["commonDir"],
            git_dir=self.launch["gitDir"],
            prompt=prompt,
            prompt_file=str(self.folder / "turn.md"),
            session_id=session_id,
            command=agent["command"],
            resume_command=agent["resume"],
            args=agent["args"],
            model=agent["model"],
            profile=agent["profile"],
            budget_usd=self.cap,
            repository_settings=agent["repository_settings"],
            issue=self.number,
            branch=status["branch"],
            number=status["attempt"],
            identity=self.launch["identity"],
        )

    def agent_env(self, command: Command) -> dict[str, str]:
        allowed = registry.environment(os.environ, self.adapter, tuple(self.launch["agent"]["env"]))
        return {
            **allowed,
            "TMPDIR": os.path.join(self.status["worktreePath"], ".issue-orch", "tmp"),
            **command.env,
            **worker_settings(self.launch["sign"]),
            **marker(str(self.state), self.number, self.status["attempt"]),
        }

    def started(self, run: AgentRun) -> None:
        self.run_since, self.run_steady, self.stall = run.wall, run.started, None
        if self.status["lastActivity"]:
            self.status["lastActivity"].pop("quiet", None)
        attempt, agent = self.status["attempt"], self.status["agent"]
        self.note(history.Started(attempt, run.child.pid, agent, run.place()))
        self.update(
            agentProcess={"pid": run.child.pid, "exitCode": None}, lastHeartbeat=iso(self.now())
        )

    def on_event(self, event: Event, seen: Turn) -> None:
        self.changed = self.changed or event.kind in {"tool", "tool_end", "final"}
        if self.carrying and event.kind in TOOK_INPUT:
            self.acknowledge()
        if seen.session_id and seen.session_id != self.status["agentSessionId"]:
            self.update(agentSessionId=seen.session_id)
        if event.kind == "usage":
            self.book(seen)

    def stalled(self, seen: Turn) -> str | None:
        """`interrupt` when the agent was silent for longer than configured; silence alone never kills."""
        limit = self.launch["stallAfter"]
        evidence = self.silence(seen, limit) if limit else None
        if evidence is None:
            return None
        if self.stall is None:
            self.note(history.Stalled(evidence))
        self.stall = evidence
        return "interrupt"

    def silence(self, seen: Turn, limit: float) -> str | None:
        """The evidence, by the clock of the run: setting the machine's must not look like silence."""
        now = self.run_since + time.monotonic() - self.run_steady
        return outcomes.quiet(
            seen, self.run_since, now, limit, limit * 3, self.adapter.CAPABILITIES.shows_tools
        )

    def ended(self, run: AgentRun, ended: Ended) -> None:
        """Write down how the attempt ended: estimate of what was not said, exit code."""
        outcome = ended.outcome
        self.book_rest(ended.turn, ended.exit_code)
        self.release()
        if outcome.kind in {"ended", "denied", "capped"}:
            self.acknowledge()
        self.carrying = []
        self.note(
            history.Exit(
                self.status["attempt"],
                ended.exit_code,
                outcome.kind,
                outcome.message,
                round(ended.lasted, 1),
            )
        )
        reported = self.status["status"] == "stuck" or self.counted.claim is not None
        if lifecycle.is_failure(outcome) and not reported:
            self.note(history.Failed(outcome.message))
        if outcome.kind == "session_missing":
            self.status["agentSessionId"] = None
        self.update(
            changes=changes.measure_changes(self.launch, self.status),
            agentProcess={"pid": run.child.pid, "exitCode": ended.exit_code},
        )

    # -- the ends of a session's work

    def stick(self, step: lifecycle.Stick) -> None:
        if self.status["status"] == "complete":  # its follow-up could not be started
            self.happen("followed_up")
        self.note(history.GaveUp(step.reason))
        self.happen(
            "stuck",
            stuckReason=step.reason,
            failure=step.reason if step.failure else None,
            question=None,
            publish=None,
        )
        self.notify("crashed" if step.failure else "stuck", step.reason)

    def end(self, step: lifecycle.End) -> None:
        self.keep(halt, self.state, self.status, step, self.now())
        if step.hold == "budget":
            why = self.room() or "its part of the budget is used up"
            self.update(failure=why if self.status["hold"] else None)
            self.notify("budget", why)

    def settle(self) -> lifecycle.Step | None:
        """Check the claim, push, open the pull. What comes back decides how it goes on."""
        try:
            answer = ask_helper(
                "settle",
                timeout=SETTLE_LIMIT,
                token=self.token,
                state=str(self.state),
                number=self.number,
                claim=self.counted.claim or {},
                launch=self.launch,
                status=dict(self.status),
            )
        except Expected as error:
            answer = {"outcome": "pending", "reason": error.message}
        if answer["outcome"] == "opened":
            self.happen(
                "settled",
                pullRequestUrl=answer["url"],
                publish=None,
                failure=None,
                stuckReason=None,
                endedAt=iso(self.now()),
            )
            self.note(history.Settled(answer["url"], answer["head_sha"]))
            self.notify("pull_ready", answer["url"])
            return None
        if answer["outcome"] == "pending":
            self.update(publish={"pending": True, "reason": answer["reason"]})
            self.note(history.PublishPending(answer["reason"]))
            return None
        if answer["outcome"] == "rejected":
            self.note(history.Rejected(answer["reason"]))
        else:
            self.note(history.Unready(answer["reason"]))
        return lifecycle.after_claim(answer["outcome"], answer["reason"], self.counted, self.limits)

    def notify(self, kind: str, text: str) -> None:
        try:
            tell_helper(
                "notify", kind=kind, text=text, launch=self.launch, status=dict(self.status)
            )
        except OSError as error:  # no processes left, say
            self.note(history.NotNotified(f"{kind}: {error.strerror}"))
