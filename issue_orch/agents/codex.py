"""Codex (`codex exec`): JSON lines, thread ids of its own, tokens cumulative over the thread, no dollars."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..core.outcomes import Event, Outcome, Turn
from ..core.prices import Usage
from .base import Attempt, Capabilities, Command, command
from .jsonl import Json, load, obj, status_in, text, tokens, tool, usage

CAPABILITIES = Capabilities(
    program="codex",
    tried="0.169.0",
    sign_in=("CODEX_API_KEY", "OPENAI_API_KEY"),
    inherits=("CODEX_HOME",),
    credentials=("CODEX_HOME", ".codex", "auth.json"),
    settings=(
        ("CODEX_HOME", ".codex", "config.toml", r'(?m)^\s*model_provider\s*=\s*"(?!openai")'),
    ),
    install="npm install -g @openai/codex",
    login=("login",),
    asks=("0.0.0", ("login", "status"), r"(?m)^(Logged in|API key)", r"(?m)^Not logged in"),
    missing="no rollout found|thread not found|session .* not found",
    dialogue="codex may ask about access to this folder: `Open restricted` is right, and keeps off what "
    "the branch brings in .codex; to trust it would hold for the whole clone",
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
    settings = _settings(attempt)
    return command(attempt, CAPABILITIES, "resume", attempt.session_id or "", *settings, env=_ENV)


def _settings(attempt: Attempt) -> list[str]:
    """What a branch brings in .codex would run where the person trusts the clone: off unless the team opted in.

    A worktree's own entry wins over its clone's. Real paths: codex looks for no others.
    """
    if attempt.repository_settings:
        return []
    places = map(os.path.realpath, (attempt.worktree, os.path.dirname(attempt.common_dir)))
    table = ",".join(f'{_toml(each)}={{trust_level="untrusted"}}' for each in dict.fromkeys(places))
    return ["-c", f"projects={{{table}}}"]


def find_trust(env: Mapping[str, str], places: Iterable[str]) -> tuple[str, str] | None:
    """Which of these folders codex was told to trust, and the file that says so."""
    import tomllib

    file = Path(env.get("CODEX_HOME") or Path(env.get("HOME", "/"), ".codex"), "config.toml")
    try:
        projects = tomllib.loads(file.read_text(encoding="utf-8")).get("projects")
    except (OSError, ValueError):
        return None
    for place in map(os.path.realpath, places):
        told = projects.get(place) if isinstance(projects, dict) else None
        if isinstance(told, dict) and told.get("trust_level") == "trusted":
            return place, str(file)
    return None


def _toml(value: object) -> str:
    """JSON's strings and lists will do, but for its pairs of escapes."""
    return json.dumps(value, ensure_ascii=False)


def _flags(attempt: Attempt) -> list[str]:
    """All through -c: `exec resume` has no --sandbox. Values are TOML."""
    flags = ["--model", attempt.model] if attempt.model else []
    flags += [
        "--disable",
        "plugins",
        "-c",
        "check_for_update_on_startup=false",
        "-c",
        'approval_policy="never"',
        *_settings(attempt),
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
        f"sandbox_workspace_write.writable_roots={_toml(roots)}",
    ]


def parse(line: str) -> list[Event]:
    match load(line):
        case {"type": "thread.started", "thread_id": str(session)}:
            return [Event("session", session_id=session)]
        case {"type": "item.started", "item": dict(item)} if text(item, "type") in _TOOLS:
            return [Event("tool", _tool(item), id=text(item, "id"))]
        case {"type": "item.completed", "item": dict(item)} if text(item, "type") in _TOOLS:
            failed = item.get("status") == "failed"
            said = text(item, "aggregated_output") or text(obj(item, "error"), "message")
            return [Event("tool_end", said if failed else "", text(item, "id"), is_error=failed)]
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
