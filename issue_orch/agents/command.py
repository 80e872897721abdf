"""Any other CLI, from an argument list in the configuration: plain output is enough."""

from __future__ import annotations

import uuid

from ..core.outcomes import Event, Outcome, Turn
from ..core.prices import Scope, Usage
from ..errors import Usage as UsageError
from .base import Attempt, Capabilities, Command
from .jsonl import Json, load, text, tokens, usage

CAPABILITIES = Capabilities(shows_tools=False)
# What the argument list may name in braces. The prompt is last: it is foreign text.
_NAMES = ("prompt_file", "worktree", "session_id", "issue", "branch", "attempt", "model", "prompt")
_TEXTS = ("text", "message", "content", "msg", "output", "error", "part", "item", "result", "delta")
_SCOPES: dict[str, Scope] = {"session": "session", "process": "process", "call": "call"}


def start(attempt: Attempt) -> Command:
    """Without an argument list of its own for it, a resume is one more start with the guidance as its prompt."""
    template = (
        attempt.resume_command if attempt.session_id and attempt.resume_command else attempt.command
    )
    if not template:
        raise UsageError(
            "the agent `command` has no argument list",
            "set agents.command.command in the configuration",
        )
    attempt = attempt._replace(session_id=attempt.session_id or str(uuid.uuid4()))
    argv = tuple(_filled(argument, attempt) for argument in (*template, *attempt.args))
    given = any("{prompt" in argument for argument in template)
    return Command(argv, "" if given else attempt.prompt, {}, attempt.session_id)


def _filled(argument: str, attempt: Attempt) -> str:
    """Only our own names are replaced: an argument may hold other braces."""
    values = {**attempt._asdict(), "attempt": attempt.number}
    for name in _NAMES:
        argument = argument.replace(f"{{{name}}}", str(values[name] or ""))
    return argument


def interactive(attempt: Attempt) -> Command | None:
    return None


def parse(line: str) -> list[Event]:
    match load(line):
        case {"type": "session", "session_id": str(session)}:
            return [Event("session", session_id=session)]
        case {"type": "text" | "tool" | "tool_end" | "error" as kind, **data}:
            said, failed = text(data, "text"), data.get("is_error") is True
            return [Event(kind, said, text(data, "id"), is_error=failed)]
        case {"type": "usage", **data}:
            return [Event("usage", usage=_usage(data))]
        case {**data} if data:
            return [Event("text", _said(data) or "(JSON)")]
        case _:
            return [Event("text", line.strip())] if line.strip() else []


def _said(value: object, depth: int = 4) -> str:
    """The text in an object of another shape than ours."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list) and depth:
        return next(filter(None, (_said(each, depth - 1) for each in value[:20])), "")
    if not isinstance(value, dict) or not depth:
        return ""
    return next(filter(None, (_said(value.get(key), depth - 1) for key in _TEXTS)), "")


def _usage(data: Json) -> Usage | None:
    scope = _SCOPES.get(text({"scope": "process", **data}, "scope"))
    return scope and usage(
        scope,
        data.get("usd"),
        tokens(data, "input_tokens"),
        tokens(data, "output_tokens"),
        tokens(data, "cached_tokens"),
    )


def classify(exit_code: int, turn: Turn) -> Outcome | None:
    return None
