"""What an agent adapter is: a module with the functions listed in `Adapter`, over the plain values below.

Imported by the supervisor, so it stays on the standard library and off dataclasses.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol


class Capabilities(NamedTuple):
    """What the CLI can do, as tried (docs/agents.md)."""

    resumes: bool
    reports_usd: bool
    reports_tokens: bool
    caps_own_cost: bool
    resumes_interactively: bool


class Launch(NamedTuple):
    """One start of an agent. `session_id` is the agent's own id: chosen by us at start where the CLI allows it."""

    worktree: str
    common_dir: str
    prompt: str
    prompt_file: str
    session_id: str | None
    command: tuple[str, ...]
    args: tuple[str, ...]
    model: str | None
    profile: Literal["safe", "trusted"]
    budget_usd: float | None
    repository_settings: bool


class Command(NamedTuple):
    """What to execute. `stdin` is written and closed; `env` is added to the allow-listed environment."""

    argv: tuple[str, ...]
    stdin: str
    env: dict[str, str]
    session_id: str | None


class Usage(NamedTuple):
    """Cost as the agent says it. scope: `session` cumulative over the agent session, `process`, or one `call`."""

    scope: Literal["session", "process", "call"]
    usd: float | None
    input_tokens: int
    output_tokens: int


class Event(NamedTuple):
    """One thing that the agent did. `text` is untrusted and unsanitised."""

    kind: Literal["session", "text", "tool", "tool_end", "usage", "retry", "denied", "error", "final"]
    text: str = ""
    session_id: str | None = None
    usage: Usage | None = None
    status: int | None = None
    retry_at: float | None = None
    is_error: bool = False


class Outcome(NamedTuple):
    """How one run of the agent ended. `message` is for the person; `retry_at` is seconds since the epoch."""

    kind: Literal[
        "ended", "api_error", "rate_limited", "auth", "quota", "context_full", "capped", "denied",
        "interrupted", "killed", "session_missing", "crashed",
    ]
    message: str
    retry_at: float | None = None


class Adapter(Protocol):
    """The functions and constants of an adapter module."""

    CAPABILITIES: Capabilities
    SIGN_IN: tuple[str, ...]

    def start(self, launch: Launch) -> Command: ...

    def resume(self, launch: Launch) -> Command: ...

    def interactive(self, launch: Launch) -> tuple[str, ...] | None: ...

    def parse(self, line: str) -> list[Event]: ...

    def classify(self, exit_code: int, turn: tuple[Event, ...], stderr: str, now: float) -> Outcome: ...
