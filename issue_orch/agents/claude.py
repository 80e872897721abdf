"""Claude Code (`claude -p`): JSON lines, its own session ids, dollars cumulative over the session."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import endings
from .base import Capabilities, Command, Event, Launch, Outcome, Prices, Turn, Usage
from .jsonl import count, dollars, items, load, obj, status, text, tool

PROGRAM = "claude"
CAPABILITIES = Capabilities(
    resumes=True, reports_usd=True, reports_tokens=True, caps_own_cost=True, resumes_interactively=True,
    shows_tools=True,
)
SIGN_IN = (
    "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "ANTHROPIC_CUSTOM_HEADERS",
    "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CONFIG_DIR", "IS_SANDBOX",
    "CLAUDE_CODE_USE_BEDROCK", "AWS_REGION", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX", "CLOUD_ML_REGION", "ANTHROPIC_VERTEX_PROJECT_ID", "GOOGLE_APPLICATION_CREDENTIALS",
)
INSTRUCTIONS: tuple[str, ...] = ()
INTERRUPT = signal.SIGINT
ESTIMATE = Prices(5, 25, 0.5)
KNOWN_BAD: Mapping[str, str] = {}

# Edits are allowed inside the worktree alone (acceptEdits); the shell is not confined.
SAFE = ("--permission-mode", "acceptEdits", "--allowedTools", "Bash")
TRUSTED = ("--permission-mode", "bypassPermissions")
# A worker has its worktree already, and does not schedule itself for later.
NEVER = ("--disallowedTools", "EnterWorktree,ExitWorktree,CronCreate,ScheduleWakeup")
OWN_SETTINGS = ("--setting-sources", "user", "--strict-mcp-config")


def start(launch: Launch) -> Command:
    session = launch.session_id or str(uuid.uuid4())
    return _command(launch, ("--session-id", session), session)


def resume(launch: Launch) -> Command:
    return _command(launch, ("--resume", launch.session_id or ""), launch.session_id)


def _command(launch: Launch, which: tuple[str, ...], session: str | None) -> Command:
    argv = [*(launch.command or (PROGRAM,)), "-p", "--output-format", "stream-json", "--verbose", *which]
    argv += TRUSTED if launch.profile == "trusted" else SAFE
    argv += [*NEVER, *_settings(launch)]
    if launch.budget_usd is not None:
        argv += ["--max-budget-usd", f"{launch.budget_usd:.4f}"]
    return Command((*argv, *launch.args), launch.prompt, {"DISABLE_AUTOUPDATER": "1"}, session)


def _settings(launch: Launch) -> list[str]:
    """The repository's hooks and servers run without asking in -p: off unless the team opted in."""
    model = ["--model", launch.model] if launch.model else []
    return model if launch.repository_settings else [*OWN_SETTINGS, *model]


def interactive(launch: Launch) -> tuple[str, ...] | None:
    if not launch.session_id:
        return None
    return (*(launch.command or (PROGRAM,)), "--resume", launch.session_id, *_settings(launch))


def parse(line: str) -> list[Event]:
    data = load(line)
    if data is None:
        return []
    match data.get("type"):
        case "system":
            return _system(data)
        case "assistant":
            return _assistant(obj(data.get("message")))
        case "user":
            blocks = items(obj(data.get("message")).get("content"))
            return [Event("tool_end", id=text(block.get("tool_use_id")), is_error=block.get("is_error") is True)
                    for block in blocks if block.get("type") == "tool_result"]
        case "tool_progress":
            return [Event("alive", tool(data.get("tool_name"), None))]
        case "rate_limit_event":
            return _rate_limit(obj(data.get("rate_limit_info")))
        case "result":
            return _result(data)
        case _:
            return []


def _system(data: dict[str, Any]) -> list[Event]:
    match data.get("subtype"):
        case "init":
            return [Event("session", session_id=text(data.get("session_id")) or None)]
        case "api_retry":
            delay = dollars(data.get("retry_delay_ms"))
            return [Event("retry", text(data.get("error")), status=status(data.get("error_status")),
                          retry_after=None if delay is None else delay / 1000)]
        case "permission_denied":
            return [Event("denied", text(data.get("tool_name")) or "a tool")]
        case _:
            return []


def _rate_limit(info: dict[str, Any]) -> list[Event]:
    """The limits of a subscription; `allowed` and warnings are not worth an event."""
    if info.get("status") != "rejected":
        return []
    return [Event("error", "usage limit reached", status=429, retry_at=dollars(info.get("resetsAt")))]


def _assistant(message: dict[str, Any]) -> list[Event]:
    """One event comes for each content block, with the usage of the start of its message each time."""
    if message.get("model") == "<synthetic>":  # its own words about a failure, no call of the model
        return []
    events = []
    output = 0
    for block in items(message.get("content")):
        if block.get("type") == "text":
            events.append(Event("text", text(block.get("text"))))
            output += len(text(block.get("text"))) // 4
        elif block.get("type") == "tool_use":
            events.append(Event("tool", tool(block.get("name"), block.get("input")), id=text(block.get("id"))))
            output += len(str(block.get("input"))) // 4
    rough = _tokens("rough", None, obj(message.get("usage")))._replace(output_tokens=output)
    return [*events, Event("usage", id=text(message.get("id")), usage=rough)]


def _result(data: dict[str, Any]) -> list[Event]:
    """subtype says `success` also when the API failed: `is_error` is what counts."""
    subtype = text(data.get("subtype"))
    errors = [text(error) for error in data.get("errors") or [] if isinstance(data.get("errors"), list)]
    said = text(data.get("result")) or "; ".join(errors) or subtype
    final = Event("final", said, id=subtype, status=status(data.get("api_error_status")),
                  is_error=data.get("is_error") is True or subtype != "success")
    denied = [Event("denied", text(one.get("tool_name"))) for one in items(data.get("permission_denials"))]
    usd = dollars(data.get("total_cost_usd"))
    models = obj(data.get("modelUsage")).values()
    usage = [Event("usage", usage=_model_tokens(usd, [obj(model) for model in models]))] if models else []
    return [*denied, *usage, final]


def _tokens(scope: Any, usd: float | None, usage: dict[str, Any]) -> Usage:
    cached = count(usage.get("cache_read_input_tokens"))
    fresh = count(usage.get("input_tokens")) + count(usage.get("cache_creation_input_tokens"))
    return Usage(scope, usd, fresh + cached, count(usage.get("output_tokens")), cached)


def _model_tokens(usd: float | None, models: list[dict[str, Any]]) -> Usage:
    def total(key: str) -> int:
        return sum(count(model.get(key)) for model in models)

    cached = total("cacheReadInputTokens")
    fresh = total("inputTokens") + total("cacheCreationInputTokens")
    return Usage("session", usd, fresh + cached, total("outputTokens"), cached)


def classify(exit_code: int, turn: Turn, stderr: str, now: float) -> Outcome:
    final = turn.final
    if final and final.id == "error_max_budget_usd":
        return Outcome("over_budget", "claude reached the cost that it was given")
    if final and final.id == "error_max_turns":
        return Outcome("capped", "claude reached its own limit of turns (--max-turns)")
    if final and "No conversation found" in final.text:
        return Outcome("session_missing", "claude no longer has this session")
    if final and final.id == "error_during_execution" and final.status is None:
        return Outcome("interrupted", "claude was interrupted")
    return endings.ending(exit_code, turn, stderr, now)


def signed_in(env: Mapping[str, str]) -> str | None:
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN",
                 "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX"):
        if env.get(name):
            return name
    folder = Path(env.get("CLAUDE_CONFIG_DIR") or Path(env.get("HOME", "/")) / ".claude")
    return str(folder) if (folder / ".credentials.json").is_file() else None
