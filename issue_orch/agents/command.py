"""Any other CLI, from an argument list in the configuration: plain output is enough."""

from __future__ import annotations

import uuid
from typing import Any

from ..core.outcomes import Event, Outcome, Turn
from ..core.prices import Scope, Usage
from ..errors import Usage as UsageError
from .base import Capabilities, Command, Launch
from .jsonl import load, text, tokens, usage

CAPABILITIES = Capabilities(shows_tools=False)
SCOPES: dict[str, Scope] = {"session": "session", "process": "process", "call": "call"}


def start(launch: Launch) -> Command:
    """Without an argument list of its own for it, a resume is one more start with the guidance as its prompt."""
    template = (
        launch.resume_command if launch.session_id and launch.resume_command else launch.command
    )
    if not template:
        raise UsageError(
            "the agent `command` has no argument list",
            "set agents.command.command in the configuration",
        )
    launch = launch._replace(session_id=launch.session_id or str(uuid.uuid4()))
    argv = tuple(_filled(argument, launch) for argument in (*template, *launch.args))
    given = any("{prompt" in argument for argument in template)
    return Command(argv, "" if given else launch.prompt, {}, launch.session_id)


def _filled(argument: str, launch: Launch) -> str:
    """Only our own names are replaced: an argument may hold other braces."""
    values = {
        "{prompt_file}": launch.prompt_file,
        "{worktree}": launch.worktree,
        "{session_id}": launch.session_id or "",
        "{issue}": str(launch.issue),
        "{branch}": launch.branch,
        "{attempt}": str(launch.attempt),
        "{model}": launch.model or "",
        "{prompt}": launch.prompt,  # last: it is foreign text
    }
    for name, value in values.items():
        argument = argument.replace(name, value)
    return argument


def interactive(launch: Launch) -> Command | None:
    return None


def parse(line: str) -> list[Event]:
    match load(line):
        case {"type": "session", **data}:
            return [Event("session", session_id=text(data.get("session_id")) or None)]
        case {"type": "text" | "tool" | "tool_end" | "error" as kind, **data}:
            return [Event(kind, text(data.get("text")), id=text(data.get("id")))]
        case {"type": "usage", **data}:
            return [Event("usage", usage=_usage(data))]
        case _:
            return [Event("text", line.strip())] if line.strip() else []


def _usage(data: dict[str, Any]) -> Usage | None:
    scope = SCOPES.get(text(data.get("scope", "process")))
    return scope and usage(
        scope,
        data.get("usd"),
        tokens(data, "input_tokens"),
        tokens(data, "output_tokens"),
        tokens(data, "cached_tokens"),
    )


def classify(exit_code: int, turn: Turn) -> Outcome | None:
    return None
