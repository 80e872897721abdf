"""opencode (`opencode run`): JSON lines, session ids of its own, dollars and tokens for each call."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import endings
from .base import Capabilities, Command, Event, Launch, Outcome, Prices, Turn, Usage
from .jsonl import count, dollars, load, obj, status, text, tool

PROGRAM = "opencode"
CAPABILITIES = Capabilities(
    resumes=True, reports_usd=True, reports_tokens=True, caps_own_cost=False, resumes_interactively=True,
    shows_tools=False,
)
SIGN_IN = (
    "OPENCODE_CONFIG_CONTENT", "OPENCODE_CONFIG", "OPENCODE_AUTH_CONTENT", "OPENCODE_API_KEY",
    "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY",
    "OPENROUTER_API_KEY", "GROQ_API_KEY", "DEEPSEEK_API_KEY", "MISTRAL_API_KEY", "XAI_API_KEY",
)
INSTRUCTIONS: tuple[str, ...] = ()
INTERRUPT = signal.SIGINT
ESTIMATE: Prices | None = None
KNOWN_BAD: Mapping[str, str] = {}

# A question that nobody can answer ends the run without a word: allow or deny, never ask.
SAFE = {"*": "allow", "external_directory": "deny", "question": "deny"}
TRUSTED = {"*": "allow", "external_directory": "allow", "question": "deny"}


def start(launch: Launch) -> Command:
    return _command(launch, ())


def resume(launch: Launch) -> Command:
    return _command(launch, ("--session", launch.session_id or ""))


def _command(launch: Launch, which: tuple[str, ...]) -> Command:
    argv = [*(launch.command or (PROGRAM,)), "run", "--format", "json", "--print-logs", "--log-level", "ERROR",
            *which]
    if launch.model:
        argv += ["--model", launch.model]
    env = {
        "OPENCODE_PERMISSION": json.dumps(TRUSTED if launch.profile == "trusted" else SAFE),
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        **_settings(launch),
    }
    return Command((*argv, *launch.args), launch.prompt, env, launch.session_id)


def _settings(launch: Launch) -> dict[str, str]:
    """The repository's plugins and servers would run: off unless the team opted in."""
    return {} if launch.repository_settings else {"OPENCODE_DISABLE_PROJECT_CONFIG": "1"}


def interactive(launch: Launch) -> tuple[str, ...] | None:
    if not launch.session_id:
        return None
    return (*(launch.command or (PROGRAM,)), "--session", launch.session_id)


def parse(line: str) -> list[Event]:
    data = load(line)
    if data is None:
        return _log_line(line)
    part = obj(data.get("part"))
    events = []
    match data.get("type"):
        case "text":
            events = [Event("text", text(part.get("text")))]
        case "tool_use":
            events = _tool(part)
        case "step_finish":
            events = _step_finish(part)
        case "error":
            events = [_error(obj(data.get("error")))]
    session = text(data.get("sessionID"))
    return [Event("session", session_id=session), *events] if session else events


def _log_line(line: str) -> list[Event]:
    """Retries are said in the log alone, which --print-logs puts on stderr."""
    found = re.search(r'message="stream error".*error\.error="([^"]*)"', line)
    return [Event("retry", found[1])] if found else []


def _tool(part: dict[str, Any]) -> list[Event]:
    """It comes when the tool has ended."""
    state, key = obj(part.get("state")), text(part.get("callID"))
    failed = state.get("status") == "error"
    events = [Event("tool", tool(part.get("tool"), state.get("input")), id=key),
              Event("tool_end", id=key, is_error=failed)]
    denied = failed and re.search(r"rule which prevents|permission|rejected", text(state.get("error")))
    return [*events, Event("denied", text(part.get("tool")))] if denied else events


def _step_finish(part: dict[str, Any]) -> list[Event]:
    tokens = obj(part.get("tokens"))
    cache = obj(tokens.get("cache"))
    cached = count(cache.get("read"))
    usage = Usage("call", dollars(part.get("cost")), count(tokens.get("input")) + cached + count(cache.get("write")),
                  count(tokens.get("output")) + count(tokens.get("reasoning")), cached)
    final = [] if part.get("reason") == "tool-calls" else [Event("final", text(part.get("reason")))]
    return [Event("usage", usage=usage), *final]


def _error(error: dict[str, Any]) -> Event:
    data = obj(error.get("data"))
    after = text(obj(data.get("responseHeaders")).get("retry-after"))
    return Event("error", text(data.get("message")) or text(error.get("name")), status=status(data.get("statusCode")),
                 retry_after=float(after) if after.isdecimal() else None)


def classify(exit_code: int, turn: Turn, stderr: str, now: float) -> Outcome:
    if "Session not found" in stderr or "Session not found" in turn.error:
        return Outcome("session_missing", "opencode no longer has this session")
    if turn.final and not turn.error:
        exit_code = 0  # 1 when something failed on the way, also when it then went on to the end
    return endings.ending(exit_code, turn, stderr, now)


def signed_in(env: Mapping[str, str]) -> str | None:
    for name in SIGN_IN:
        if env.get(name):
            return name
    data = Path(env.get("XDG_DATA_HOME") or Path(env.get("HOME", "/")) / ".local" / "share")
    file = data / "opencode" / "auth.json"
    return str(file) if file.is_file() else None
