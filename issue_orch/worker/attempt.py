"""One attempt of a session: what the agent is given, what it shows while it runs, how it ended."""

from __future__ import annotations

import os
import time
from functools import partial

from ..agents.base import Attempt, Command
from ..agents.registry import environment
from ..core.history import Exit, Failed, Nudged, Stalled, Started
from ..core.lifecycle import Go, is_failure
from ..core.outcomes import Event, Outcome, Turn
from ..core.record import Activity, Message
from ..errors import Expected
from ..git.run import worker_settings
from ..process.helper import ask_helper
from ..process.survivors import marker
from ..store.files import iso, write_text
from ..store.inbox import delivered, pending
from .agent_run import AgentRun
from .changes import measure_changes
from .session import Session

HEARTBEAT = 10.0
_QUIET = 600.0  # seconds of silence after which people are shown it, three times as long in a tool
_TOOK_INPUT = frozenset({"session", "text", "tool", "tool_end", "usage", "alive"})


def start(session: Session, step: Go) -> AgentRun:
    """Write the attempt down, then start the agent."""
    inbox, status = pending(session.state, session.number), session.status
    if not os.path.lexists(f"{status['worktreePath']}/.git"):  # moved away while it ran
        raise Expected(f"its worktree {status['worktreePath']} is gone", "issue-orch doctor")
    session.carrying = [message for message in inbox if message["kind"] == "guidance"]
    session.identify()
    fresh = step.template == "session" or not session.can_resume
    prompt = _words(session, step, fresh)
    session.keep(write_text, session.folder / "turn.md", prompt)
    if step.template == "nudge":
        session.note(Nudged())
    _go_on(session, session.carrying)
    status["attempt"] += 1
    attempt = following(session, prompt, None if fresh else status["agentSessionId"])
    command = session.adapter.start(attempt)
    session.update(
        agentSessionId=command.session_id,
        failure=None,
        retryAt=None,
        hold=None,
        endedAt=None,
        publish=None,
        # Until the agent's pid is known: whoever finds this cannot tell whether it ran.
        agentProcess={"pid": None, "exitCode": None},
    )
    return AgentRun(
        session.adapter,
        command._replace(env=agent_environment(session, command)),
        status["worktreePath"],
        str(session.folder),
        partial(_on_event, session),
        session.books.prices,
    )


def _words(session: Session, step: Go, fresh: bool) -> str:
    """The text that the agent gets: rendered by a helper, because teams may write these templates themselves."""
    prompt = (session.folder / "prompt.md").read_text(encoding="utf-8", errors="replace")
    messages = session.carrying
    template: str = "guidance" if messages else step.template
    if fresh:
        earlier = delivered(session.state, session.number)
        messages = [*(each for each in earlier if each["kind"] == "guidance"), *messages]
        template = "guidance_fresh" if messages else "session"
    if template == "session":
        return prompt
    if template == "words":
        return step.words
    answer = ask_helper(
        "render",
        template=template,
        top=session.launch["top"],
        number=session.number,
        report=session.launch["report"],
        messages=messages,
        words=step.words,
        prompt=prompt,
    )
    return str(answer["text"])


def _go_on(session: Session, messages: list[Message]) -> None:
    """Guidance for a session that waits sets it to work again."""
    if session.status["status"] == "complete":
        session.happen("followed_up")
    if messages:
        session.status["forwardedMessage"] = messages[-1]["text"][:4000]
        if session.status["status"] == "stuck":
            session.happen("answered", question=None, stuckReason=None)


def following(session: Session, prompt: str, session_id: str | None) -> Attempt:
    launch, agent, status = session.launch, session.launch["agent"], session.status
    return Attempt(
        worktree=status["worktreePath"],
        common_dir=launch["commonDir"],
        git_dir=launch["gitDir"],
        prompt=prompt,
        prompt_file=str(session.folder / "turn.md"),
        session_id=session_id,
        command=agent["command"],
        resume_command=agent["resume"],
        args=agent["args"],
        model=agent["model"],
        profile=agent["profile"] or "safe",
        budget_usd=session.books.share,
        repository_settings=agent["repository_settings"],
        issue=session.number,
        branch=status["branch"],
        number=status["attempt"],
        identity=launch["identity"],
    )


def agent_environment(session: Session, command: Command) -> dict[str, str]:
    status, launch = session.status, session.launch
    return {
        **environment(os.environ, session.adapter, launch["agent"]["env"]),
        "TMPDIR": os.path.join(status["worktreePath"], ".issue-orch", "tmp"),
        **command.env,
        **worker_settings(launch["sign"]),
        **marker(str(session.state), session.number, status["attempt"]),
    }


def started(session: Session, run: AgentRun) -> None:
    status, pid = session.status, run.child.pid
    if status["lastActivity"]:
        status["lastActivity"].pop("quiet", None)
    session.note(Started(status["attempt"], pid, status["agent"], run.place()))
    session.update(agentProcess={"pid": pid, "exitCode": None}, lastHeartbeat=iso(time.time()))


def _on_event(session: Session, event: Event, seen: Turn) -> None:
    if session.carrying and event.kind in _TOOK_INPUT:
        session.acknowledge()
    if seen.session_id and seen.session_id != session.status["agentSessionId"]:
        session.update(agentSessionId=seen.session_id)
    if event.kind == "usage":
        session.books.book(seen)


def heartbeat(session: Session, run: AgentRun) -> None:
    """What the agent did last, and since when it is silent if that is long: for people, nothing follows from it."""
    if time.monotonic() - session.beaten < HEARTBEAT - 0.5:  # a tick may come a little early
        return
    seen, evidence = run.turn, run.silence(min(_QUIET, session.launch["stallAfter"] or _QUIET))
    if seen.activity or evidence:
        last: Activity = {"at": iso(seen.active_at or run.wall), "text": seen.activity[:300]}
        if noted := session.noted > run.acted and session.status["lastActivity"]:
            last = {"at": noted["at"], "text": noted["text"]}  # the worker's own words came later
        session.status["lastActivity"] = {**last, "quiet": evidence} if evidence else last
    if run.changed:  # git is asked only after something happened
        run.changed = False
        session.status["changes"] = measure_changes(session.launch, session.status)
    session.heartbeat()


def is_stalled(session: Session, run: AgentRun) -> bool:
    """Whether the agent was silent for longer than configured; silence alone never kills."""
    limit = session.launch["stallAfter"]
    evidence = run.silence(limit) if limit else None
    if evidence and not run.stall:
        session.note(Stalled(evidence))
    run.stall = evidence or run.stall
    return evidence is not None


def ended(session: Session, run: AgentRun) -> Outcome:
    """Write down how the attempt ended: what was not said of its cost, its exit code."""
    outcome, code, status = run.outcome(), run.child.returncode, session.status
    session.books.book_rest(run.turn, code)
    session.books.release()
    if outcome.kind in {"ended", "denied", "capped"}:
        session.acknowledge()
    session.carrying = []
    lasted = round(time.monotonic() - run.started, 1)
    session.note(Exit(status["attempt"], code, outcome.kind, outcome.message, lasted))
    if is_failure(outcome) and not session.has_reported:
        session.note(Failed(outcome.message))
    if outcome.kind == "session_missing":
        status["agentSessionId"] = None
    session.update(
        changes=measure_changes(session.launch, status),
        agentProcess={"pid": run.child.pid, "exitCode": code},
    )
    return outcome
