"""Codex (`codex exec`): JSON lines, thread ids of its own, tokens cumulative over the thread, no dollars."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import endings
from .base import Capabilities, Command, Event, Launch, Outcome, Prices, Turn, Usage
from .jsonl import count, load, obj, text, tool

PROGRAM = "codex"
CAPABILITIES = Capabilities(
    resumes=True, reports_usd=False, reports_tokens=True, caps_own_cost=False, resumes_interactively=True,
    shows_tools=True,
)
SIGN_IN = ("CODEX_API_KEY", "OPENAI_API_KEY", "CODEX_HOME")
INSTRUCTIONS = ("AGENTS.md",)
INTERRUPT = signal.SIGINT
ESTIMATE: Prices | None = None
KNOWN_BAD: Mapping[str, str] = {}

TOOLS = {
    "command_execution": "shell", "file_change": "edit", "mcp_tool_call": "tool", "web_search": "search",
    "collab_tool_call": "agent",
}


def start(launch: Launch) -> Command:
    return _command(launch, ("exec", "--json", *_flags(launch), *launch.args, "-"))


def resume(launch: Launch) -> Command:
    options = ("--json", *_flags(launch), *launch.args)
    return _command(launch, ("exec", "resume", *options, launch.session_id or "", "-"))


def _command(launch: Launch, arguments: tuple[str, ...]) -> Command:
    # For each command its sandbox makes and removes mount points in the roots below, which workers share. They agree
    # about them through a registry in the command's TMPDIR: with private ones, commands of others fail (1 in 3).
    env = {"TMPDIR": "/tmp"} if sys.platform == "linux" else {}
    return Command((*(launch.command or (PROGRAM,)), *arguments), launch.prompt, env, launch.session_id)


def _flags(launch: Launch) -> list[str]:
    """All through -c: `exec resume` has no --sandbox. Values are TOML, for which JSON strings and lists will do."""
    flags = ["--model", launch.model] if launch.model else []
    flags += ["--disable", "plugins", "-c", "check_for_update_on_startup=false", "-c", 'approval_policy="never"']
    if launch.profile == "trusted":
        return [*flags, "-c", 'sandbox_mode="danger-full-access"']
    # .git is read-only in its sandbox, even where the worktree's own part lies elsewhere: a commit needs these.
    common = Path(launch.common_dir)
    roots = [launch.git_dir, *(str(common / name) for name in ("objects", "refs", "logs"))]
    return [*flags, "-c", 'sandbox_mode="workspace-write"',
            "-c", f"sandbox_workspace_write.writable_roots={json.dumps(roots)}"]


def interactive(launch: Launch) -> tuple[str, ...] | None:
    if not launch.session_id:
        return None
    return (*(launch.command or (PROGRAM,)), "resume", launch.session_id)


def parse(line: str) -> list[Event]:
    data = load(line)
    if data is None:
        return []
    match data.get("type"):
        case "thread.started":
            return [Event("session", session_id=text(data.get("thread_id")) or None)]
        case "item.started":
            return _item(obj(data.get("item")), started=True)
        case "item.completed":
            return _item(obj(data.get("item")), started=False)
        case "error":
            return [_error(text(data.get("message")))]
        case "turn.completed":
            return [Event("usage", usage=_usage(obj(data.get("usage")))), Event("final")]
        case "turn.failed":
            message = text(obj(data.get("error")).get("message"))
            return [Event("final", message, status=_status(message), is_error=True)]
        case _:
            return []


def _item(item: dict[str, Any], started: bool) -> list[Event]:
    kind, key = text(item.get("type")), text(item.get("id"))
    if kind in TOOLS and started:
        command = re.sub(r"^\S*sh -l?c ", "", text(item.get("command")))
        return [Event("tool", tool(item.get("tool") or TOOLS[kind], {**item, "command": command or None}), id=key)]
    if kind in TOOLS:
        return [Event("tool_end", id=key, is_error=item.get("status") == "failed")]
    if kind == "agent_message" and not started:
        return [Event("text", text(item.get("text")))]
    return []  # an item of type error is a warning


def _error(message: str) -> Event:
    retrying = message.startswith("Reconnecting")
    return Event("retry" if retrying else "error", message, status=_status(message))


def _status(message: str) -> int | None:
    found = re.search(r"\bstatus:? (\d{3})\b", message)
    return int(found[1]) if found else None


def _usage(usage: dict[str, Any]) -> Usage:
    """Reasoning is part of the output."""
    return Usage("session", None, count(usage.get("input_tokens")), count(usage.get("output_tokens")),
                 count(usage.get("cached_input_tokens")))


def classify(exit_code: int, turn: Turn, stderr: str, now: float) -> Outcome:
    if not turn.session_id and re.search(r"no rollout found|thread not found|session .* not found", stderr, re.I):
        return Outcome("session_missing", "codex no longer has this session")
    if exit_code == 1 and turn.session_id and turn.final is None and not turn.error:
        return Outcome("interrupted", "codex was interrupted")
    return endings.ending(exit_code, turn, stderr, now)


def signed_in(env: Mapping[str, str]) -> str | None:
    for name in ("CODEX_API_KEY", "OPENAI_API_KEY"):
        if env.get(name):
            return name
    folder = Path(env.get("CODEX_HOME") or Path(env.get("HOME", "/")) / ".codex")
    return str(folder) if (folder / "auth.json").is_file() else None
