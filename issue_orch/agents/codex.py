"""Codex (`codex exec`): JSON lines, thread ids of its own, tokens cumulative over the thread, no dollars."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from ..core.outcomes import Event, Outcome, Turn
from ..core.prices import Usage
from .base import Attempt, Capabilities, Command, command
from .jsonl import Json, load, obj, status_in, text, tokens, tool, usage

CAPABILITIES = Capabilities(
    program="codex",
    tried="0.169.0",
    instructions=("AGENTS.md",),
    sign_in=("CODEX_API_KEY", "OPENAI_API_KEY"),
    inherits=("CODEX_HOME",),
    credentials=("CODEX_HOME", ".codex", "auth.json"),
    missing="no rollout found|thread not found|session .* not found",
)
_TOOLS = {
    "command_execution": "shell",
    "file_change": "edit",
    "mcp_tool_call": "tool",
    "web_search": "search",
    "collab_tool_call": "agent",
}
# For each command its sandbox makes and removes mount points in the roots below, which workers share. They agree
# about them through a registry in the command's TMPDIR: with private ones, commands of others fail (1 in 3).
_ENV = {"TMPDIR": "/tmp"} if sys.platform == "linux" else {}


def start(attempt: Attempt) -> Command:
    which = ("resume", attempt.session_id) if attempt.session_id else ()
    return command(attempt, CAPABILITIES, "exec", *which, "-", "--json", *_flags(attempt), env=_ENV)


def interactive(attempt: Attempt) -> Command | None:
    return command(attempt, CAPABILITIES, "resume", attempt.session_id or "", env=_ENV)


def _flags(attempt: Attempt) -> list[str]:
    """All through -c: `exec resume` has no --sandbox. Values are TOML, for which JSON strings and lists will do."""
    flags = ["--model", attempt.model] if attempt.model else []
    flags += [
        "--disable",
        "plugins",
        "-c",
        "check_for_update_on_startup=false",
        "-c",
        'approval_policy="never"',
    ]
    if attempt.profile == "trusted":
        return [*flags, "-c", 'sandbox_mode="danger-full-access"']
    # .git is read-only in its sandbox, even where the worktree's own part lies elsewhere: a commit needs these.
    common = Path(attempt.common_dir)
    names = ("objects", "refs", "logs", *(["reftable"] if (common / "reftable").is_dir() else []))
    roots = [attempt.git_dir, *(str(common / name) for name in names)]
    return [
        *flags,
        "-c",
        'sandbox_mode="workspace-write"',
        "-c",
        f"sandbox_workspace_write.writable_roots={json.dumps(roots)}",
    ]


def parse(line: str) -> list[Event]:
    match load(line):
        case {"type": "thread.started", "thread_id": str(session)}:
            return [Event("session", session_id=session)]
        case {"type": "item.started", "item": dict(item)} if text(item, "type") in _TOOLS:
            return [Event("tool", _tool(item), id=text(item, "id"))]
        case {"type": "item.completed", "item": dict(item)} if text(item, "type") in _TOOLS:
            return [Event("tool_end", id=text(item, "id"), is_error=item.get("status") == "failed")]
        case {"type": "item.completed", "item": {"type": "agent_message", "text": str(said)}}:
            return [Event("text", said)]  # an item of type error is a warning
        case {"type": "error", "message": str(message)}:
            retrying = message.startswith("Reconnecting")
            return [Event("retry" if retrying else "error", message, status=status_in(message))]
        case {"type": "turn.completed", **data}:
            return [Event("usage", usage=_usage(data.get("usage"))), Event("final")]
        case {"type": "turn.failed", **data}:
            message = text(obj(data, "error"), "message")
            return [Event("final", message, status=status_in(message), is_error=True)]
        case _:
            return []


def _tool(item: Json) -> str:
    bare = re.sub(r"^\S*sh -l?c ", "", text(item, "command"))
    return tool(text(item, "tool") or _TOOLS[item["type"]], {**item, "command": bare or None})


def _usage(counts: Any) -> Usage | None:
    """Reasoning is part of the output."""
    return usage(
        "session",
        None,
        tokens(counts, "input_tokens"),
        tokens(counts, "output_tokens"),
        tokens(counts, "cached_input_tokens"),
    )


def classify(exit_code: int, turn: Turn) -> Outcome | None:
    if exit_code == 1 and turn.active_at and turn.final is None and not turn.error:
        return Outcome("interrupted", "codex was interrupted")
    return None
