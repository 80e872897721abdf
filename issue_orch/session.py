"""A session as its supervisor holds it: status file, history, costs, and the start and end of each attempt."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, NamedTuple

from . import agents, ledger, turn
from .agents import runs
from .agents.base import Command, Event, Launch, Prices, Turn
from .errors import Expected
from .git import worker_settings
from .helper_client import SETTLE_LIMIT, Helper
from .lease import Lease, take
from .lifecycle import Happening, after
from .messages import delivered, pending, receipt
from .model import AgentProcess, Message
from .process import identity, marker
from .running import AgentRun, Ended
from .store import (
    append_event,
    iso,
    load_events,
    load_json,
    load_status,
    save_status,
    session_folder,
    write_text,
)

HEARTBEAT = 10.0
QUIET = 600.0  # seconds of silence after which people are shown it, three times as long in a tool
CONTROL = frozenset({"pause", "stop", "cancel", "resume"})


class Prepared(NamedTuple):
    """An attempt that is about to start."""

    command: Command
    env: dict[str, str]
    messages: list[Message]


class Session:
    """Lives as long as its supervisor holds the lease: the only writer of the status file and the ledger."""

    def __init__(self, state: Path, number: int, lease: Lease, helper: Helper) -> None:
        self.state, self.number, self.lease, self.helper = state, number, lease, helper
        self.folder = session_folder(state, number)
        status, launch = load_status(state, number), load_json(self.folder / "launch.json")
        if status is None or launch is None:
            raise Expected(f"#{number}: there is no session", f"issue-orch spawn {number}")
        self.status, self.launch = status, launch
        self.adapter = agents.load(launch["agent"]["adapter"])
        self.limits = turn.Limits(**launch.get("limits", {}))
        self.counted = turn.counters(load_events(state, number))
        self.readings = ledger.readings(state, number)
        self.refused: set[str] = set()
        self.carrying: list[Message] = []
        self.cap: float | None = None
        self.beaten = 0.0
        self.changed = False
        self.stall: str | None = None  # the silence that the running attempt was interrupted for
        self.run_since = self.now()

    def now(self) -> float:
        return time.time()

    # -- the files of the session

    def note(self, kind: str, **fields: Any) -> None:
        """Add to the history, and count."""
        append_event(self.state, self.number, kind, self.now(), **fields)
        self.counted = turn.count(self.counted, {"kind": kind, **fields})

    def update(self, **fields: Any) -> None:
        self.status.update(fields)  # type: ignore[typeddict-item]
        save_status(self.state, self.status)

    def happen(self, happening: Happening, **fields: Any) -> None:
        """One transition of the table; what it does not hold is refused."""
        before = self.status["status"]
        following = after(before, happening)
        if following is None:
            raise Expected(f"#{self.number}: {happening} is not possible when {before}", f"issue-orch show {self.number}")
        if following != before:
            self.note("transition", before=before, after=following)
        self.update(status=following, **fields)

    def inbox(self) -> list[Message]:
        return pending(self.state, self.number)

    def unseen(self) -> list[Message]:
        """Messages that the running agent was not given."""
        carried = {message["id"] for message in self.carrying}
        return [message for message in self.inbox() if message["id"] not in carried]

    def acknowledge(self) -> None:
        """The agent took its input: the messages in it have their receipt."""
        for message in self.carrying:
            receipt(self.state, self.number, message, self.now())
            self.counted = turn.count(self.counted, {"kind": "delivered"})
        self.carrying = []

    def heartbeat(self, turn_now: Turn | None = None) -> None:
        if time.monotonic() - self.beaten < HEARTBEAT:
            return
        self.beaten = time.monotonic()
        self.status["lastHeartbeat"] = iso(self.now())
        if turn_now is not None:
            self.show_activity(turn_now)
        if self.changed:
            self.changed = False
            self.measure()
        save_status(self.state, self.status, durable=False)

    def show_activity(self, turn_now: Turn) -> None:
        """What the agent did last, and since when it is silent if that is long: for people, nothing follows from it."""
        evidence = self.silence(turn_now, min(QUIET, self.stall_after() or QUIET))
        if turn_now.activity or evidence:
            at = iso(turn_now.active_at or self.run_since)
            self.status["lastActivity"] = {"at": at, "text": turn_now.activity[:300]}
        if evidence and self.status["lastActivity"]:
            self.status["lastActivity"]["quiet"] = evidence

    def measure(self) -> None:
        """Files and lines changed so far, for people. Asked of git only after something happened."""
        from .facts import measure_changes

        self.status["changes"] = measure_changes(self.launch, self.status)

    # -- the start of the supervisor

    def begin(self) -> None:
        """Take note of who we are, and of what people asked for while nobody was there."""
        self.update(supervisor=identity(os.getpid()), lastHeartbeat=iso(self.now()))
        kinds = [event.get("kind") for event in load_events(self.state, self.number)]
        if [kind for kind in kinds if kind in {"started", "exit", "failed"}][-1:] == ["started"]:
            self.note("failed", reason="its worker was lost")
        self.lift()

    def lift(self) -> None:
        """A person's `resume` lifts holds, and whatever was asked for before it."""
        controls = [message for message in self.inbox() if message["kind"] in CONTROL]
        resumes = [message["id"] for message in controls if message["kind"] == "resume"]
        if not resumes:
            return
        for message in controls:
            if message["id"] <= resumes[-1] and message["kind"] != "cancel":
                receipt(self.state, self.number, message, self.now())
        self.note("resumed")
        fields: dict[str, Any] = {"hold": None, "failure": None, "retryAt": None}
        if self.status["status"] == "stuck" and self.status["question"] is None:
            self.happen("answered", stuckReason=None, **fields)
        else:
            self.update(**fields)

    def can_resume(self) -> bool:
        agent = self.launch["agent"]
        return bool(self.status["agentSessionId"]) and (agent["adapter"] != "command" or bool(agent["resume"]))

    def over_budget(self) -> bool:
        room = ledger.room(self.state, self.number, self.ceilings(), self.now())
        return room is not None and room.usd <= 0

    def ceilings(self) -> ledger.Ceilings:
        return ledger.from_launch(self.launch.get("budget", {}))

    def first_step(self) -> turn.Step:
        step = turn.before_running(self.status["status"], self.status["hold"], self.inbox(), self.counted,
                                   self.over_budget(), self.can_resume())
        if isinstance(step, turn.Go) and self.counted.failures > self.limits.retries:
            return turn.Stick(f"its worker was lost {self.counted.failures} times without progress", failure=True)
        return step

    # -- the start and the end of one attempt

    def prepare(self, step: turn.Go) -> Prepared:
        """Write the attempt down, then say what to execute."""
        fresh = step.fresh or not self.can_resume()
        messages = [message for message in self.inbox() if message["kind"] == "guidance"]
        prompt = self.words(step, fresh, messages)
        write_text(self.folder / "turn.md", prompt)
        if step.template == "nudge":
            self.note("nudged")
        self.take_up(messages)
        self.status["attempt"] += 1
        value = self.launch_value(prompt)._replace(
            session_id=None if fresh else self.status["agentSessionId"], budget_usd=self.cap,
            attempt=self.status["attempt"])
        command = self.adapter.start(value)
        self.carrying = messages
        self.update(agentSessionId=command.session_id or value.session_id, failure=None, retryAt=None, hold=None,
                    endedAt=None, publish=None)
        return Prepared(command, self.agent_env(command), messages)

    def take_up(self, messages: list[Message]) -> None:
        """Guidance for a session that waits sets it to work again."""
        if not messages:
            return
        self.status["forwardedMessage"] = messages[-1]["text"][:4000]
        if self.status["status"] == "stuck":
            self.happen("answered", question=None, stuckReason=None)
        elif self.status["status"] == "complete":
            self.happen("followed_up", publish=None)

    def words(self, step: turn.Go, fresh: bool, messages: list[Message]) -> str:
        """The text that the agent gets: rendered by a helper, because teams may write these templates themselves."""
        full = (self.folder / "prompt.md").read_text(encoding="utf-8", errors="replace")
        earlier = [m for m in delivered(self.state, self.number) if m["kind"] == "guidance"] if fresh else []
        if fresh and not earlier and not messages:
            return full
        template = "guidance_fresh" if fresh else "guidance" if messages else step.template
        if template == "words":
            return step.words
        answer = self.helper.call(
            "render", template=template, top=self.launch["top"], number=self.number, report=self.launch["report"],
            messages=[*earlier, *messages], words=step.words, prompt=full)
        return str(answer["text"])

    def reserve(self) -> bool:
        """Reserve for the next attempt, before anything of it is written; False when nothing may start."""
        if not self.ceilings().limited:
            return True
        with take(self.state, "admission", "budget", wait=30):
            room = ledger.reserve(self.state, self.number, self.status["attempt"] + 1, self.ceilings(),
                                  self.launch.get("budget", {}).get("slots", 1), self.now())
        self.cap = room.usd if room else None
        return self.cap is None or self.cap > 0

    def release(self) -> None:
        """Set free what the attempt had reserved."""
        if self.ceilings().limited:
            ledger.reserve_line(self.state, self.number, self.now(), self.status["attempt"], None)

    def launch_value(self, prompt: str) -> Launch:
        agent, status = self.launch["agent"], self.status
        return Launch(
            worktree=status["worktreePath"], common_dir=self.launch["commonDir"], git_dir=self.launch["gitDir"],
            prompt=prompt, prompt_file=str(self.folder / "turn.md"), session_id=status["agentSessionId"],
            command=tuple(agent.get("command") or ()), resume_command=tuple(agent.get("resume") or ()),
            args=tuple(agent.get("args") or ()), model=agent.get("model"), profile=agent.get("profile") or "safe",
            repository_settings=bool(agent.get("repository_settings")), issue=self.number, branch=status["branch"],
            attempt=status["attempt"], identity=self.launch.get("identity"),
        )

    def agent_env(self, command: Command) -> dict[str, str]:
        allowed = agents.environment(os.environ, self.adapter, tuple(self.launch["agent"].get("env") or ()))
        return {
            **allowed, "TMPDIR": os.path.join(self.status["worktreePath"], ".issue-orch", "tmp"), **command.env,
            **worker_settings(self.launch["sign"]), **marker(str(self.state), self.number, self.status["attempt"]),
        }

    def started(self, run: AgentRun) -> None:
        process: AgentProcess = {"pid": run.child.pid, "exitCode": None}
        self.run_since, self.stall = self.now(), None
        if self.status["lastActivity"]:
            self.status["lastActivity"].pop("quiet", None)
        self.note("started", attempt=self.status["attempt"], pid=run.child.pid, agent=self.status["agent"])
        self.update(agentProcess=process, lastHeartbeat=iso(self.now()))
        self.head = self.head_now()

    def head_now(self) -> str | None:
        from .facts import head_of

        return head_of(self.launch, self.status)

    def on_event(self, event: Event, turn_now: Turn) -> None:
        self.changed = self.changed or event.kind in {"tool", "tool_end", "final"}
        if self.carrying and event.kind in {"session", "text", "tool", "tool_end", "usage", "alive"}:
            self.acknowledge()
        if turn_now.session_id and turn_now.session_id != self.status["agentSessionId"]:
            self.update(agentSessionId=turn_now.session_id)
        if event.kind == "usage":
            self.book(turn_now)

    def book(self, turn_now: Turn) -> None:
        usage = turn_now.usage
        if usage is None:
            return
        usage = runs.price(usage, self.prices())
        name = runs.counter(self.status["agent"], turn_now.session_id, self.status["attempt"], usage)
        reading, delta = runs.book(self.readings.get(name), usage)
        if delta.usd or delta.input_tokens or delta.output_tokens:
            self.readings[name] = reading
            self.write_cost(name, delta._replace(), reading)

    def write_cost(self, name: str, delta: Any, reading: Any, estimate: bool = False) -> None:
        ledger.book_line(self.state, self.number, self.now(), self.status["attempt"], self.status["agent"], name,
                         delta, reading, estimate)
        sums = ledger.booked(self.state, self.number)
        known = None if sums.unknown and not sums.usd else round(sums.usd, 6)
        self.status["cost"] = {"usd": known, "inputTokens": sums.input_tokens, "outputTokens": sums.output_tokens}

    def prices(self) -> Prices | None:
        prices = self.launch["agent"].get("prices")
        return Prices(**prices) if prices else None

    def stalled(self, turn_now: Turn) -> str | None:
        """`interrupt` when the agent was silent for longer than configured; silence alone never kills."""
        limit = self.stall_after()
        evidence = self.silence(turn_now, limit) if limit else None
        if evidence is None:
            return None
        if self.stall is None:
            self.note("stalled", evidence=evidence)
        self.stall = evidence
        return "interrupt"

    def stall_after(self) -> float:
        return float(self.launch.get("stallAfter") or 0)

    def silence(self, turn_now: Turn, limit: float) -> str | None:
        shows_tools = self.adapter.CAPABILITIES.shows_tools
        return runs.quiet(turn_now, self.run_since, self.now(), limit, limit * 3, shows_tools)

    def ended(self, ended: Ended) -> None:
        """Write down how the attempt ended: estimate of what was not said, progress, exit code."""
        rough = runs.estimate(ended.turn, self.prices() or self.adapter.CAPABILITIES.estimate)
        if rough is not None:
            name = f"{self.status['agent']}:{ended.turn.session_id}"
            reading = runs.reading_after(self.readings.get(name), rough, ended.exit_code)
            self.write_cost(name if reading else f"estimate-{self.status['attempt']}", rough, reading, estimate=True)
        self.release()
        if ended.outcome.kind in {"ended", "denied", "capped"}:
            self.acknowledge()
        self.carrying = []
        self.note("exit", attempt=self.status["attempt"], code=ended.exit_code, outcome=ended.outcome.kind,
                  message=ended.outcome.message, seconds=round(ended.lasted, 1))
        if self.head_now() != self.head:
            self.note("progress")
        reported = self.status["status"] == "stuck" or self.counted.claim is not None
        if turn.is_failure(ended.outcome) and not reported:
            self.note("failed", reason=ended.outcome.message)
        if ended.outcome.kind == "session_missing":
            self.status["agentSessionId"] = None
        self.measure()
        self.update(agentProcess={"pid": ended_pid(self.status), "exitCode": ended.exit_code})

    # -- the ends of a session's work

    def stick(self, step: turn.Stick) -> None:
        self.happen("stuck", stuckReason=step.reason, failure=step.reason if step.failure else None, question=None)
        self.notify("crashed" if step.failure else "stuck", step.reason)

    def end(self, step: turn.End) -> None:
        for message in self.inbox():
            if message["kind"] in CONTROL:
                receipt(self.state, self.number, message, self.now())
        if step.cancelled:
            if self.status["status"] != "cancelled":
                self.happen("cancelled", hold=None, endedAt=iso(self.now()), question=None, retryAt=None)
            return
        if step.hold is not None and self.status["status"] != "complete":
            self.note("held", hold=step.hold)
            self.update(hold=step.hold, retryAt=None)
            if step.hold == "budget":
                room = ledger.room(self.state, self.number, self.ceilings(), self.now())
                self.notify("budget", room.why if room else "the budget is used up")

    def settle(self) -> turn.Step | None:
        """Check the claim, push, open the pull. What comes back decides how it goes on."""
        try:
            answer = self.helper.call("settle", timeout=SETTLE_LIMIT, state=str(self.state), number=self.number,
                                      claim=self.counted.claim or {}, launch=self.launch, status=dict(self.status))
        except Expected as error:
            answer = {"outcome": "pending", "reason": error.message}
        return settled(self, answer)

    def notify(self, kind: str, text: object) -> None:
        self.helper.send("notify", kind=kind, text=str(text), launch=self.launch, status=dict(self.status))


def ended_pid(status: Any) -> int | None:
    return status["agentProcess"]["pid"] if status["agentProcess"] else None


def settled(session: Session, answer: dict[str, Any]) -> turn.Step | None:
    """Apply what settle found. Also used by commands that settle while they hold the lease."""
    match answer["outcome"]:
        case "opened":
            session.happen("settled", pullRequestUrl=answer["url"], publish=None, failure=None, stuckReason=None,
                           endedAt=iso(session.now()))
            session.note("settled", url=answer["url"], headSha=answer["headSha"])
            session.notify("pull_ready", answer["url"])
            return None
        case "pending":
            session.update(publish={"pending": True, "reason": answer["reason"]})
            session.note("publish_pending", reason=answer["reason"])
            return None
        case "unready":
            session.note("unready", reason=answer["reason"])
            if session.counted.unready > session.limits.nudges:
                return turn.Stick(answer["reason"], failure=True)
            return turn.Go("words", words=answer["reason"])
        case _:  # rejected: for the worker first, for a person the second time
            again = session.counted.rejected
            session.note("rejected", reason=answer["reason"])
            if again:
                return turn.Stick(answer["reason"], failure=True)
            return turn.Go("words", words=answer["reason"])
