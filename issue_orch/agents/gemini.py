"""Gemini CLI: JSON lines, session ids chosen by us, tokens for each process, no dollars."""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path

from ..core.outcomes import Event, Outcome, Turn
from ..errors import Expected
from .base import Attempt, Capabilities, Command, command
from .jsonl import Json, load, obj, status_in, text, tokens, tool, usage

CAPABILITIES = Capabilities(
    program="gemini",
    tried="0.61.0",
    instructions=("GEMINI.md",),
    sign_in=("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI"),
    inherits=(
        "GOOGLE_GEMINI_BASE_URL",
        "GOOGLE_CLOUD_PROJECT",
        "GOOGLE_CLOUD_LOCATION",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ),
    credentials=("", ".gemini", "oauth_creds.json", "gemini-credentials.json"),
    settings=(
        ("", ".gemini", "settings.json", r'"selectedType"\s*:\s*"(vertex|compute|cloud)'),
        ("", ".gemini", ".env", r"(?m)^\s*(export\s+)?(GEMINI|GOOGLE)_API_KEY\s*="),
    ),
    install="npm install -g @google/gemini-cli",
    missing="Error resuming session",
)
_MODEL = "gemini-2.5-pro"  # without -m each prompt costs one more call that chooses the model
# An untrusted folder may not run git, so the repository is trusted, and its settings are overruled one by one.
OVERRULING = Path(__file__).with_name("gemini_settings.json")
_PROFILES = {
    "safe": ("--approval-mode", "auto_edit", "--allowed-tools", "run_shell_command"),
    "trusted": ("--approval-mode", "yolo"),
}


def start(attempt: Attempt) -> Command:
    session = attempt.session_id or str(uuid.uuid4())
    flags = (
        "--output-format",
        "stream-json",
        "--resume" if attempt.session_id else "--session-id",
        session,
        "--model",
        attempt.model or _MODEL,
        *_PROFILES[attempt.profile],
        *_servers(attempt),
    )
    return command(attempt, CAPABILITIES, *flags, env=_env(attempt), session=session)


def interactive(attempt: Attempt) -> Command | None:
    flags = ("--resume", attempt.session_id or "", *_servers(attempt))
    return command(attempt, CAPABILITIES, *flags, env=_env(attempt))


def _servers(attempt: Attempt) -> tuple[str, ...]:
    return () if attempt.repository_settings else ("--allowed-mcp-server-names", "none")


def _env(attempt: Attempt) -> dict[str, str]:
    # Without the first it starts itself again, and the inner process does not hear SIGINT.
    env = {"GEMINI_CLI_NO_RELAUNCH": "true", "GEMINI_CLI_TRUST_WORKSPACE": "true"}
    if not attempt.repository_settings:
        _refuse_settings(attempt.worktree)
        env["GEMINI_CLI_SYSTEM_SETTINGS_PATH"] = str(OVERRULING)
    if (
        attempt.identity
    ):  # git in its shell sees no configuration but the repository's: no hooks, no signing either
        name, _, address = attempt.identity.removesuffix(">").rpartition(" <")
        for role in ("AUTHOR", "COMMITTER"):
            env |= {f"GIT_{role}_NAME": name, f"GIT_{role}_EMAIL": address}
    return env


def _refuse_settings(worktree: str) -> None:
    """Where gemini passes over our settings, with a warning alone, the repository's would run hooks."""
    if Path(worktree, ".gemini", "settings.json").exists() and not heeded(OVERRULING):
        raise Expected(
            "the branch has .gemini/settings.json, which can run code, and gemini would obey it: it takes settings that overrule "
            f"it only from files that root alone can write, and {OVERRULING} is none",
            "choose another agent, install issue-orch as root, or trust them: agents.gemini.repository_settings = true",
        )


def heeded(file: Path) -> bool:
    """Whether gemini takes system settings from it: the file and all folders above belong to root and to nobody else."""
    paths = {each for path in (file, file.resolve()) for each in (path, *path.parents)}
    return all(about.st_uid == 0 and not about.st_mode & 0o022 for about in map(os.stat, paths))


def parse(line: str) -> list[Event]:
    match load(line):
        case {"type": "init", "session_id": str(session)}:
            return [Event("session", session_id=session)]
        case {"type": "message", "role": "assistant", "content": str(said)} if said:
            return [Event("text", said)]
        case {"type": "tool_use", **data}:
            return [
                Event(
                    "tool",
                    tool(text(data, "tool_name"), data.get("parameters")),
                    id=text(data, "tool_id"),
                )
            ]
        case {"type": "tool_result", **data}:
            failed = data.get("status") == "error"
            said = text(data, "output") or text(obj(data, "error"), "message")
            return [
                Event("tool_end", said if failed else "", text(data, "tool_id"), is_error=failed)
            ]
        case {"type": "error", **data}:
            return [Event("error", text(data, "message"))]
        case {"type": "result", **data}:
            return _result(data)
        case _:
            return _log_line(line)


def _log_line(line: str) -> list[Event]:
    """Retries are said on stderr alone."""
    found = re.match(r"Attempt \d+ failed with status (\d{3})\.? ?(.*)", line)
    return [Event("retry", found[0], status=int(found[1]))] if found else []


def _result(data: Json) -> list[Event]:
    stats, message = data.get("stats"), text(obj(data, "error"), "message")
    said = usage(
        "process",
        None,
        tokens(stats, "input_tokens"),
        tokens(stats, "output_tokens"),
        tokens(stats, "cached"),
    )
    final = Event(
        "final", message, status=status_in(message), is_error=data.get("status") != "success"
    )
    return [Event("usage", usage=said), final]


def classify(exit_code: int, turn: Turn) -> Outcome | None:
    if exit_code == 0 and turn.final is None:
        return Outcome("interrupted", "gemini was interrupted")
    if exit_code == 53:
        return Outcome("capped", "gemini reached its own limit of turns (model.maxSessionTurns)")
    return None
