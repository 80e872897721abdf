"""Claude Code (`claude -p`): JSON lines, session ids chosen by us, dollars cumulative over the session."""

from __future__ import annotations

import uuid
from typing import Any

from ..core.outcomes import Event, Outcome, Turn
from ..core.prices import Prices, dollars
from .base import Attempt, Capabilities, Command, command
from .jsonl import Json, items, load, obj, status, text, tokens, tool, usage

CAPABILITIES = Capabilities(
    program="claude",
    tried="2.1.329",
    reports_usd=True,
    caps_own_cost=True,
    estimate=Prices(5, 25, 0.5),
    sign_in=(
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "CLAUDE_CODE_USE_BEDROCK",
        "CLAUDE_CODE_USE_VERTEX",
    ),
    inherits=(
        "ANTHROPIC_BASE_URL",
        "ANTHROPIC_CUSTOM_HEADERS",
        "CLAUDE_CONFIG_DIR",
        "IS_SANDBOX",
        "AWS_REGION",
        "AWS_PROFILE",
        "AWS_BEARER_TOKEN_BEDROCK",
        "CLOUD_ML_REGION",
        "ANTHROPIC_VERTEX_PROJECT_ID",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ),
    credentials=("CLAUDE_CONFIG_DIR", ".claude", ".credentials.json"),
    settings=(("CLAUDE_CONFIG_DIR", ".claude", "settings.json", '"apiKeyHelper"'),),
    install="npm install -g @anthropic-ai/claude-code",
    login=("auth", "login"),
    asks=("2.1.79", ("auth", "status"), r'"loggedIn":\s*true', r'"loggedIn":\s*false'),
    missing="No conversation found",
    dialogue="claude asks once whether you trust this folder, and `No, exit` is chosen there: "
    "take `Yes, I trust this folder` to come to the session",
)
# Edits are allowed inside the worktree alone (acceptEdits); the shell is not confined.
_PROFILES = {
    "safe": ("--permission-mode", "acceptEdits", "--allowedTools", "Bash"),
    "trusted": ("--permission-mode", "bypassPermissions"),
}
# A worker has its worktree already, and does not schedule itself for later.
_NEVER = ("--disallowedTools", "EnterWorktree,ExitWorktree,CronCreate,ScheduleWakeup")
_OWN_SETTINGS = ("--setting-sources", "user", "--strict-mcp-config")
_ENV = {"DISABLE_AUTOUPDATER": "1"}
_INPUT = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_MODEL_INPUT = ("inputTokens", "cacheCreationInputTokens", "cacheReadInputTokens")


def start(attempt: Attempt) -> Command:
    session = attempt.session_id or str(uuid.uuid4())
    flags = [
        "--output-format",
        "stream-json",
        "--verbose",
        "--resume" if attempt.session_id else "--session-id",
        session,
    ]
    flags += [*_PROFILES[attempt.profile], *_NEVER, *_settings(attempt)]
    if attempt.budget_usd is not None:
        flags += ["--max-budget-usd", f"{attempt.budget_usd:.4f}"]
    return command(attempt, CAPABILITIES, "-p", *flags, env=_ENV, session=session)


def interactive(attempt: Attempt) -> Command | None:
    return command(
        attempt,
        CAPABILITIES,
        "--resume",
        attempt.session_id or "",
        *_settings(attempt),
        env=_ENV,
    )


def _settings(attempt: Attempt) -> list[str]:
    """The repository's hooks and servers run without asking in -p: off unless the team opted in."""
    model = ["--model", attempt.model] if attempt.model else []
    return model if attempt.repository_settings else [*_OWN_SETTINGS, *model]


def parse(line: str) -> list[Event]:
    match load(line):
        case {"type": "system", "subtype": "init", "session_id": str(session)}:
            return [Event("session", session_id=session)]
        case {"type": "system", "subtype": "api_retry", **data}:
            delay = dollars(data.get("retry_delay_ms"))
            return [
                Event(
                    "retry",
                    text(data, "error"),
                    status=status(data, "error_status"),
                    retry_after=None if delay is None else delay / 1000,
                )
            ]
        case {"type": "system", "subtype": "permission_denied", **data}:
            why = text(data, "message") or text(data, "decision_reason")
            name = text(data, "tool_name") or "a tool"
            return [Event("denied", f"{name} ({why})" if why else name)]
        case {"type": "assistant", "message": dict(message)}:
            return _assistant(message)
        case {"type": "user", "message": dict(message)}:
            return [
                _tool_end(block)
                for block in items(message, "content")
                if block.get("type") == "tool_result"
            ]
        case {"type": "tool_progress"}:
            return [Event("alive")]
        # The limits of a subscription; `allowed` and warnings are not worth an event.
        case {"type": "rate_limit_event", "rate_limit_info": {"status": "rejected", **info}}:
            return [
                Event(
                    "error",
                    "usage limit reached",
                    status=429,
                    retry_at=dollars(info.get("resetsAt")),
                )
            ]
        case {"type": "result", **data}:
            return _result(data)
        case _:
            return []


def _assistant(message: Json) -> list[Event]:
    """One event comes for each content block, with the usage of the start of its message each time."""
    if message.get("model") == "<synthetic>":  # its own words about a failure, no call of the model
        return []
    events = []
    output = 0
    for block in items(message, "content"):
        match block:
            case {"type": "text", "text": str(said)}:
                events.append(Event("text", said))
                output += len(said) // 4
            case {"type": "tool_use", "input": given}:
                events.append(Event("tool", tool(text(block, "name"), given), id=text(block, "id")))
                output += len(str(given)) // 4
    counts = message.get("usage")
    rough = usage(
        "rough", None, tokens(counts, *_INPUT), output, tokens(counts, "cache_read_input_tokens")
    )
    return [*events, Event("usage", id=text(message, "id"), usage=rough)]


def _tool_end(block: Json) -> Event:
    failed = block.get("is_error") is True
    parts = (text(block, "content"), *(text(part, "text") for part in items(block, "content")))
    said = "\n".join(filter(None, parts)) if failed else ""
    return Event("tool_end", said, text(block, "tool_use_id"), is_error=failed)


def _result(data: Json) -> list[Event]:
    """subtype says `success` also when the API failed: `is_error` is what counts."""
    subtype, errors = text(data, "subtype"), data.get("errors")
    listed = "; ".join(map(str, errors)) if isinstance(errors, list) else ""
    final = Event(
        "final",
        text(data, "result") or listed or subtype,
        id=subtype,
        status=status(data, "api_error_status"),
        is_error=data.get("is_error") is True or subtype != "success",
    )
    denied = [Event("denied", text(one, "tool_name")) for one in items(data, "permission_denials")]
    models = [*obj(data, "modelUsage").values()]
    said = usage(
        "session",
        data.get("total_cost_usd"),
        _sum(models, *_MODEL_INPUT),
        _sum(models, "outputTokens"),
        _sum(models, "cacheReadInputTokens"),
    )
    return [*denied, Event("usage", usage=said), final]


def _sum(models: list[Any], *names: str) -> int | None:
    counts = [tokens(model, *names) for model in models]
    return None if None in counts else sum(each or 0 for each in counts)


def classify(exit_code: int, turn: Turn) -> Outcome | None:
    match turn.final:
        case Event(id="error_max_budget_usd"):
            return Outcome("over_budget", "claude reached the cost that it was given")
        case Event(id="error_max_turns"):
            return Outcome("capped", "claude reached its own limit of turns (--max-turns)")
        case Event(id="error_during_execution", status=None):
            return Outcome("interrupted", "claude was interrupted")
        case _:
            return None
