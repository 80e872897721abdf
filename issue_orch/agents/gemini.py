"""Gemini CLI: JSON lines, session ids chosen by us, tokens for each process, no dollars."""

from __future__ import annotations

import re
import signal
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import endings
from .base import Capabilities, Command, Event, Launch, Outcome, Prices, Turn, Usage
from .jsonl import count, load, obj, text, tool

PROGRAM = "gemini"
CAPABILITIES = Capabilities(
    resumes=True, reports_usd=False, reports_tokens=True, caps_own_cost=False, resumes_interactively=True,
    shows_tools=True,
)
SIGN_IN = (
    "GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL", "GOOGLE_GENAI_USE_VERTEXAI",
    "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION", "GOOGLE_APPLICATION_CREDENTIALS",
)
INSTRUCTIONS = ("GEMINI.md",)
INTERRUPT = signal.SIGINT
ESTIMATE: Prices | None = None
KNOWN_BAD: Mapping[str, str] = {}
MODEL = "gemini-2.5-pro"  # without -m each prompt costs one more call that chooses the model
# An untrusted folder may not run git, so the repository is trusted, and its settings are overruled one by one.
OVERRULING = Path(__file__).with_name("gemini_settings.json")


def start(launch: Launch) -> Command:
    session = launch.session_id or str(uuid.uuid4())
    return _command(launch, ("--session-id", session), session)


def resume(launch: Launch) -> Command:
    return _command(launch, ("--resume", launch.session_id or ""), launch.session_id)


def _command(launch: Launch, which: tuple[str, ...], session: str | None) -> Command:
    argv = [*(launch.command or (PROGRAM,)), "--output-format", "stream-json", *which]
    argv += ["--model", launch.model or MODEL, *_permissions(launch)]
    # Without the first it starts itself again, and the inner process does not hear SIGINT.
    env = {"GEMINI_CLI_NO_RELAUNCH": "true", "GEMINI_CLI_TRUST_WORKSPACE": "true"}
    if launch.identity:  # git in its shell sees no configuration but the repository's: no hooks, no signing either
        name, _, address = launch.identity.removesuffix(">").rpartition(" <")
        env |= {"GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": address,
                "GIT_COMMITTER_NAME": name, "GIT_COMMITTER_EMAIL": address}
    if not launch.repository_settings:
        argv += ["--allowed-mcp-server-names", "none"]
        env["GEMINI_CLI_SYSTEM_SETTINGS_PATH"] = str(OVERRULING)
    return Command((*argv, *launch.args), launch.prompt, env, session)


def _permissions(launch: Launch) -> list[str]:
    if launch.profile == "trusted":
        return ["--approval-mode", "yolo"]
    return ["--approval-mode", "auto_edit", "--allowed-tools", "run_shell_command"]


def interactive(launch: Launch) -> tuple[str, ...] | None:
    if not launch.session_id:
        return None
    return (*(launch.command or (PROGRAM,)), "--resume", launch.session_id)


def parse(line: str) -> list[Event]:
    data = load(line)
    if data is None:
        return _log_line(line)
    match data.get("type"):
        case "init":
            return [Event("session", session_id=text(data.get("session_id")) or None)]
        case "message":
            said = text(data.get("content")) if data.get("role") == "assistant" else ""
            return [Event("text", said)] if said else []
        case "tool_use":
            name = tool(data.get("tool_name"), data.get("parameters"))
            return [Event("tool", name, id=text(data.get("tool_id")))]
        case "tool_result":
            failed = data.get("status") == "error"
            return [Event("tool_end", id=text(data.get("tool_id")), is_error=failed)]
        case "error":
            return [Event("error", text(data.get("message")))]
        case "result":
            return _result(data)
        case _:
            return []


def _log_line(line: str) -> list[Event]:
    """Retries are said on stderr alone."""
    found = re.match(r"Attempt \d+ failed with status (\d{3})\.? ?(.*)", line)
    return [Event("retry", found[0], status=int(found[1]))] if found else []


def _result(data: dict[str, Any]) -> list[Event]:
    stats = obj(data.get("stats"))
    usage = Usage("process", None, count(stats.get("input_tokens")), count(stats.get("output_tokens")),
                  count(stats.get("cached")))
    message = text(obj(data.get("error")).get("message"))
    failed = data.get("status") != "success"
    return [Event("usage", usage=usage), Event("final", message, status=_status(message), is_error=failed)]


def _status(message: str) -> int | None:
    found = re.search(r'"code": ?(\d{3})\b|\bstatus:? (\d{3})\b', message)
    return int(found[1] or found[2]) if found else None


def classify(exit_code: int, turn: Turn, stderr: str, now: float) -> Outcome:
    if exit_code == 42 and "session" in stderr.lower():
        return Outcome("session_missing", "gemini no longer has this session")
    if exit_code == 0 and turn.final is None:
        return Outcome("interrupted", "gemini was interrupted")
    if exit_code == 53:
        return Outcome("capped", "gemini reached its own limit of turns (model.maxSessionTurns)")
    return endings.ending(exit_code, turn, stderr, now)


def signed_in(env: Mapping[str, str]) -> str | None:
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI"):
        if env.get(name):
            return name
    file = Path(env.get("HOME", "/")) / ".gemini" / "oauth_creds.json"
    return str(file) if file.is_file() else None
