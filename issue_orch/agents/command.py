"""Any other CLI, from an argument list in the configuration: plain output is enough."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Mapping
from typing import Any

from ..errors import Usage as UsageError
from . import endings
from .base import Capabilities, Command, Event, Launch, Outcome, Prices, Scope, Turn, Usage
from .jsonl import count, dollars, load, text

PROGRAM = ""
CAPABILITIES = Capabilities(
    resumes=True, reports_usd=False, reports_tokens=False, caps_own_cost=False, resumes_interactively=False,
    shows_tools=False,
)
SIGN_IN: tuple[str, ...] = ()
INSTRUCTIONS: tuple[str, ...] = ()
INTERRUPT = signal.SIGINT
ESTIMATE: Prices | None = None
KNOWN_BAD: Mapping[str, str] = {}

SCOPES: dict[str, Scope] = {"session": "session", "process": "process", "call": "call"}


def start(launch: Launch) -> Command:
    launch = launch._replace(session_id=launch.session_id or str(uuid.uuid4()))
    return _command(launch, launch.command)


def resume(launch: Launch) -> Command:
    """Without an argument list of its own for it, a resume is one more start with the guidance as its prompt."""
    return _command(launch, launch.resume_command or launch.command)


def _command(launch: Launch, template: tuple[str, ...]) -> Command:
    if not template:
        raise UsageError("the agent `command` has no argument list", "set agents.command.argv in the configuration")
    argv = tuple(_filled(argument, launch) for argument in (*template, *launch.args))
    given = any("{prompt" in argument for argument in template)
    return Command(argv, "" if given else launch.prompt, {}, launch.session_id)


def _filled(argument: str, launch: Launch) -> str:
    """Only our own names are replaced: an argument may hold other braces."""
    values = {
        "{prompt_file}": launch.prompt_file, "{worktree}": launch.worktree, "{session_id}": launch.session_id or "",
        "{issue}": str(launch.issue), "{branch}": launch.branch, "{attempt}": str(launch.attempt),
        "{model}": launch.model or "", "{prompt}": launch.prompt,  # last: it is foreign text
    }
    for name, value in values.items():
        argument = argument.replace(name, value)
    return argument


def interactive(launch: Launch) -> tuple[str, ...] | None:
    return None


def parse(line: str) -> list[Event]:
    data = load(line)
    if data is None:
        return [Event("text", line.strip())] if line.strip() else []
    said = text(data.get("text"))
    match data.get("type"):
        case "session":
            return [Event("session", session_id=text(data.get("session_id")) or None)]
        case "text":
            return [Event("text", said)]
        case "tool":
            return [Event("tool", said, id=text(data.get("id")))]
        case "tool_end":
            return [Event("tool_end", id=text(data.get("id")))]
        case "error":
            return [Event("error", said)]
        case "usage":
            return [Event("usage", usage=_usage(data))]
        case _:
            return [Event("text", line.strip())]


def _usage(data: dict[str, Any]) -> Usage:
    scope = SCOPES.get(text(data.get("scope")), "process")
    return Usage(scope, dollars(data.get("usd")), count(data.get("input_tokens")), count(data.get("output_tokens")),
                 count(data.get("cached_tokens")))


def classify(exit_code: int, turn: Turn, stderr: str, now: float) -> Outcome:
    """The exit code decides: an error that the program went on after is none."""
    outcome = endings.ending(exit_code, turn if exit_code else turn._replace(error=""), stderr, now)
    return outcome._replace(message="the agent ended its turn") if outcome.kind == "ended" else outcome


def signed_in(env: Mapping[str, str]) -> str | None:
    return None
