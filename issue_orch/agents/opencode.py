"""opencode (`opencode run`): JSON lines, session ids of its own, dollars and tokens for each call."""

from __future__ import annotations

import json
import re

from ..core.outcomes import Event, Outcome, Turn
from .base import Attempt, Capabilities, Command, command
from .jsonl import Json, load, obj, status, text, tokens, tool, usage

CAPABILITIES = Capabilities(
    program="opencode",
    tried="1.18.33",
    reports_usd=True,
    shows_tools=False,
    sign_in=(
        "OPENCODE_CONFIG_CONTENT",
        "OPENCODE_CONFIG",
        "OPENCODE_AUTH_CONTENT",
        "OPENCODE_API_KEY",
        "ANTHROPIC_API_KEY",
        "OPENAI_API_KEY",
        "GEMINI_API_KEY",
        "GOOGLE_GENERATIVE_AI_API_KEY",
        "OPENROUTER_API_KEY",
        "GROQ_API_KEY",
        "DEEPSEEK_API_KEY",
        "MISTRAL_API_KEY",
        "XAI_API_KEY",
    ),
    credentials=("XDG_DATA_HOME", ".local/share", "opencode/auth.json"),
    settings=tuple(
        ("XDG_CONFIG_HOME", ".config", f"opencode/{name}", r'"provider"\s*:')
        for name in ("opencode.json", "opencode.jsonc", "config.json")
    ),
    install="npm install -g opencode-ai",
    login=("auth", "login"),
    missing="Session not found",
)
# A question that nobody can answer ends the run without a word: allow or deny, never ask.
_PROFILES = {
    "safe": {"*": "allow", "external_directory": "deny", "question": "deny"},
    "trusted": {"*": "allow", "external_directory": "allow", "question": "deny"},
}


def start(attempt: Attempt) -> Command:
    flags = ["--format", "json", "--print-logs", "--log-level", "ERROR"]
    flags += ["--session", attempt.session_id] if attempt.session_id else []
    flags += ["--model", attempt.model] if attempt.model else []
    env = {"OPENCODE_PERMISSION": json.dumps(_PROFILES[attempt.profile]), **_settings(attempt)}
    return command(attempt, CAPABILITIES, "run", *flags, env=env)


def interactive(attempt: Attempt) -> Command | None:
    return command(
        attempt, CAPABILITIES, "--session", attempt.session_id or "", env=_settings(attempt)
    )


def _settings(attempt: Attempt) -> dict[str, str]:
    """The repository's plugins and servers would run: off unless the team opted in."""
    project = {} if attempt.repository_settings else {"OPENCODE_DISABLE_PROJECT_CONFIG": "1"}
    return {"OPENCODE_DISABLE_AUTOUPDATE": "1", **project}


def parse(line: str) -> list[Event]:
    data = load(line)
    if not data:
        return _log_line(line)
    session = text(data, "sessionID")
    return [
        *([Event("session", session_id=session)] if session else []),
        *_events(data, obj(data, "part")),
    ]


def _log_line(line: str) -> list[Event]:
    """Retries are said in the log alone, which --print-logs puts on stderr."""
    found = re.search(r'message="stream error".*error\.error="([^"]*)"', line)
    return [Event("retry", found[1])] if found else []


def _events(data: Json, part: Json) -> list[Event]:
    match data.get("type"):
        case "text":
            return [Event("text", text(part, "text"))]
        case "tool_use":
            return _tool(part)
        case "step_start":
            return [Event("call")]
        case "step_finish":
            return _step_finish(part)
        case "error":
            return [_error(obj(data, "error"))]
        case _:
            return []


def _tool(part: Json) -> list[Event]:
    """It comes when the tool has ended."""
    state, key = obj(part, "state"), text(part, "callID")
    name, said = text(part, "tool"), text(state, "error")
    failed = state.get("status") == "error"
    events = [
        Event("tool", tool(name, state.get("input")), id=key),
        Event("tool_end", said, key, is_error=failed),
    ]
    denied = failed and re.search(r"rule which prevents|permission|rejected", said)
    return [*events, Event("denied", f"{name} ({said})")] if denied else events


def _step_finish(part: Json) -> list[Event]:
    counts = obj(part, "tokens")
    cache = obj(counts, "cache")
    said = usage(
        "call",
        part.get("cost"),
        tokens({**cache, **counts}, "input", "read", "write"),
        tokens(counts, "output", "reasoning"),
        tokens(cache, "read"),
    )
    final = [] if part.get("reason") == "tool-calls" else [Event("final", text(part, "reason"))]
    return [Event("usage", usage=said), *final]


def _error(error: Json) -> Event:
    data = obj(error, "data")
    after = text(obj(data, "responseHeaders"), "retry-after")
    return Event(
        "error",
        text(data, "message") or text(error, "name"),
        status=status(data, "statusCode"),
        retry_after=float(after) if after.isdecimal() else None,
    )


def classify(exit_code: int, turn: Turn) -> Outcome | None:
    return None
