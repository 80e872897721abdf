"""`issue-orch attach`: take a session over by hand in this terminal, and give it back when the agent's CLI ends."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
import time
from pathlib import Path

from ..actions.context import Context, open_context
from ..actions.launch import write_launch
from ..actions.steer import pause, resume, stop
from ..actions.whereabouts import refuse_misplaced
from ..agents.base import Command
from ..core.history import Attached
from ..core.lifecycle import kinds
from ..errors import Expected, Usage
from ..process.run import wait_for
from ..process.survivors import end_worker
from ..store.history import append_entry
from ..store.inbox import pending
from ..store.leases import is_alive, probe, take
from ..store.look import load_session
from ..terminal.io import say
from ..text import one_line
from ..worker.attempt import agent_environment, following
from ..worker.session import Session

TURN_WAIT = 3600.0


def attach(number: int, now: bool) -> int:
    if not sys.stdin.isatty():
        raise Usage("attach needs a terminal", f"issue-orch logs {number} -f")
    context = open_context()
    status = load_session(context.state, number)
    refuse_misplaced(context, status)
    if not os.path.isdir(status["worktreePath"]):
        words = f"#{number}: its worktree {status['worktreePath']} is gone"
        raise Expected(words, f"issue-orch show {number}")
    was_running = is_alive(context.state, number)
    if was_running:
        _make_room(context.state, number, now)
    with take(context.state, number, "attach"):
        # What a killed supervisor left would work beside the person.
        end_worker(str(context.state), number, status["supervisor"])
        write_launch(context, status)
        session = Session(context.state, number)
        append_entry(context.state, number, Attached(getpass.getuser()), time.time())
        code = _work_by_hand(session)
    say(f"#{number}: {_give_back(context, number, was_running)}")
    return code


def _give_back(context: Context, number: int, was_running: bool) -> str:
    """What was said to it meanwhile is looked for once nobody holds it: until then no worker could take it."""
    status = load_session(context.state, number)
    told = kinds(pending(context.state, number))
    if was_running or "resume" in told or ("guidance" in told and not status["hold"]):
        return f"{resume(context, number)}, the worker goes on"
    if question := status["question"]:
        held = f"; issue-orch resume {number}" if status["hold"] else ""
        asks = one_line(question["decision"], 200)
        return f'it asks: {asks}\n  next: issue-orch answer {number} "…"{held}'
    return f"nothing was running before; issue-orch resume {number} starts the worker"


def _make_room(state: Path, number: int, now: bool) -> None:
    """Let the turn end and hold, or stop at once. Ctrl-C while waiting leaves the session paused."""
    if now:
        stop(state, number)
        return
    pause(state, number)
    say(f"#{number}: waiting for the worker's turn to end (--now ends it) …")
    if not wait_for(lambda: not probe(state, number), TURN_WAIT, 0.2):
        words = f"#{number}: the turn has not ended within an hour"
        raise Expected(words, f"issue-orch attach {number} --now")


def _work_by_hand(session: Session) -> int:
    """The agent's own interactive resume, or a shell where it has none, with a worker's environment."""
    status = session.status
    where = status["worktreePath"]
    attempt = following(session, "", status["agentSessionId"])
    attempt = attempt._replace(args=())  # for a run without a terminal
    command = session.adapter.interactive(attempt) if attempt.session_id else None
    if command is None:
        command = Command((os.environ.get("SHELL") or "/bin/sh",), "", {}, None)
        say(f"{status['agent']} has no interactive resume; this is a shell in {where}")
    elif dialogue := session.adapter.CAPABILITIES.dialogue:
        say(f"#{session.number}: {dialogue}")
    env = agent_environment(session, command)
    return subprocess.run(command.argv, cwd=where, env=env, check=False).returncode
