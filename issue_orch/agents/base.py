"""What an agent adapter is: a module with the names of `Adapter`, over the plain values below.

Imported by the supervisor, so it stays on the standard library and off dataclasses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol

Scope = Literal["session", "process", "call", "rough"]
Kind = Literal[
    "ended", "denied", "api_error", "rate_limited", "quota", "auth", "context_full", "capped", "over_budget",
    "interrupted", "killed", "session_missing", "crashed",
]
Consequence = Literal["next_turn", "retry", "wait", "fresh", "stuck", "hold", "none"]

TEXT_CAP = 2000
RUNNING_CAP = 32
PATIENCE = 120  # seconds: a Retry-After above it is waited for without a process
class Capabilities(NamedTuple):
    """What the CLI can do, as tried (docs/agents.md). `shows_tools`: it says when a tool starts."""

    resumes: bool
    reports_usd: bool
    reports_tokens: bool
    caps_own_cost: bool
    resumes_interactively: bool
    shows_tools: bool


class Launch(NamedTuple):
    """One start of an agent. `session_id` is the agent's own id: chosen by us where the CLI allows it.

    `command` is the program to execute instead of the adapter's own (the whole template for `command`),
    `prompt` what goes to the agent now: at `resume` the guidance alone. `identity` is who commits, as
    `Name <address>`, for agents whose git does not read the person's own configuration.
    """

    worktree: str
    common_dir: str
    git_dir: str
    prompt: str
    prompt_file: str
    session_id: str | None
    command: tuple[str, ...] = ()
    resume_command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    model: str | None = None
    profile: Literal["safe", "trusted"] = "safe"
    budget_usd: float | None = None
    repository_settings: bool = False
    issue: int = 0
    branch: str = ""
    attempt: int = 1
    identity: str | None = None


class Command(NamedTuple):
    """What to execute. `stdin` is written and closed; `env` is added to the allow-listed environment."""

    argv: tuple[str, ...]
    stdin: str
    env: dict[str, str]
    session_id: str | None


class Usage(NamedTuple):
    """Cost as the agent says it. `input_tokens` includes `cached_tokens`.

    scope: `session` cumulative over the agent session, `process` over this run, one `call`,
    or `rough`: seen on the way, superseded by the next exact one.
    """

    scope: Scope
    usd: float | None
    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0


class Prices(NamedTuple):
    """US dollars for a million tokens. `cached` is the part of the input that came from a cache."""

    input: float
    output: float
    cached: float | None = None


class Event(NamedTuple):
    """One thing that the agent did. `text` is untrusted and unsanitised.

    `retry_after` is in seconds from now, `retry_at` in seconds since the epoch: agents say the one or the other.

    `id` pairs `tool` with `tool_end`, and tells model calls apart in rough usage. `alive` is a heartbeat.
    """

    kind: Literal[
        "session", "text", "tool", "tool_end", "alive", "usage", "retry", "denied", "error", "final"
    ]
    text: str = ""
    id: str = ""
    session_id: str | None = None
    usage: Usage | None = None
    status: int | None = None
    retry_after: float | None = None
    retry_at: float | None = None
    is_error: bool = False


class Tool(NamedTuple):
    """A tool that is running now, since when (seconds since the epoch)."""

    id: str
    name: str
    since: float


class Turn(NamedTuple):
    """What one run of the agent has shown so far, in bounded memory. Times are seconds since the epoch.

    `usage` is exact (scope session or process), `rough` what was seen after it, `retry_at` and `error` of the
    retry that goes on.
    """

    session_id: str | None = None
    usage: Usage | None = None
    rough: Usage = Usage("rough", None, 0, 0)
    rough_id: str = ""
    final: Event | None = None
    error: str = ""
    status: int | None = None
    retry_at: float | None = None
    retries: int = 0
    denied: tuple[str, ...] = ()
    running: tuple[Tool, ...] = ()
    activity: str = ""
    active_at: float | None = None


class Outcome(NamedTuple):
    """How one run of the agent ended. `message` is for the person; `retry_at` is seconds since the epoch."""

    kind: Kind
    message: str
    retry_at: float | None = None


class Adapter(Protocol):
    """The functions and constants of an adapter module."""

    PROGRAM: str
    CAPABILITIES: Capabilities
    SIGN_IN: tuple[str, ...]
    INSTRUCTIONS: tuple[str, ...]  # files of the repository that it reads as text by itself, as we start it
    INTERRUPT: int
    KNOWN_BAD: Mapping[str, str]  # version: what is wrong with it
    ESTIMATE: Prices | None

    def start(self, launch: Launch) -> Command: ...

    def resume(self, launch: Launch) -> Command: ...

    def interactive(self, launch: Launch) -> tuple[str, ...] | None: ...

    def parse(self, line: str) -> list[Event]:
        """What a line says, of stdout or of stderr. Never raises; a line that says nothing gives nothing."""
        ...

    def classify(self, exit_code: int, turn: Turn, stderr: str, now: float) -> Outcome: ...

    def signed_in(self, env: Mapping[str, str]) -> str | None: ...


def fold(turn: Turn, event: Event, now: float) -> Turn:
    """What is known after one more event."""
    text = event.text[:TEXT_CAP]
    turn = turn._replace(active_at=now)
    match event.kind:
        case "session":
            return turn._replace(session_id=event.session_id or turn.session_id)
        case "text":
            return _went_on(turn)._replace(activity=one_line(text) or turn.activity)
        case "tool":
            running = (*turn.running, Tool(event.id, one_line(text, 60), now))[-RUNNING_CAP:]
            return _went_on(turn)._replace(activity=one_line(text), running=running)
        case "tool_end":
            return turn._replace(running=tuple(tool for tool in turn.running if tool.id != event.id))
        case "usage" if event.usage:
            return _with_usage(turn, event.usage, event.id)
        case "retry":
            return _failed(turn, event, now)._replace(
                retries=turn.retries + 1, activity=one_line(f"retrying: {text}"))
        case "denied":
            denied = dict.fromkeys((*turn.denied, one_line(text, 60)))
            return turn._replace(denied=tuple(denied)[-RUNNING_CAP:])
        case "error":
            return _failed(turn, event, now)
        case "final":
            return turn._replace(final=event._replace(text=text), running=())
        case _:
            return turn


def _went_on(turn: Turn) -> Turn:
    """A retry that worked is forgotten, and so is an end that was none."""
    return turn._replace(error="", status=None, retry_at=None, retries=0, final=None)


def _failed(turn: Turn, event: Event, now: float) -> Turn:
    retry_at = event.retry_at or (None if event.retry_after is None else now + event.retry_after)
    return turn._replace(error=event.text[:TEXT_CAP], status=event.status or turn.status,
                         retry_at=retry_at or turn.retry_at, final=None)


def _with_usage(turn: Turn, usage: Usage, call: str) -> Turn:
    if usage.scope == "rough":
        same = bool(call) and call == turn.rough_id  # one event per content block, the same input each time
        rough = add(turn.rough, usage._replace(input_tokens=0, cached_tokens=0) if same else usage)
        return turn._replace(rough=rough, rough_id=call)
    if usage.scope == "call":
        usage = add(turn.usage or Usage("process", None, 0, 0), usage)
    return turn._replace(usage=usage, rough=Turn().rough, rough_id="")


def one_line(text: str, cap: int = 160) -> str:
    line = " ".join(text.split())
    return line if len(line) <= cap else line[: cap - 1] + "…"


def last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return one_line(lines[-1], 300) if lines else ""


def quiet(
    turn: Turn, started: float, now: float, limit: float, tool_limit: float, shows_tools: bool
) -> str | None:
    """The evidence that the agent is quiet for longer than it should be, or None.

    While a tool runs, or for an agent that does not say when one starts, `tool_limit` counts.
    """
    silent = now - (turn.active_at or started)
    in_tool = bool(turn.running) or not shows_tools
    if silent <= (tool_limit if in_tool else limit):
        return None
    tools = ", ".join(f"{tool.name} since {(now - tool.since) / 60:.0f} min" for tool in turn.running[-3:])
    last = f"in {tools}" if tools else f"last: {turn.activity}" if turn.activity else "nothing seen yet"
    return f"silent for {silent / 60:.0f} min, {last}"


def add(one: Usage, other: Usage) -> Usage:
    """The sum, in the scope of the first. Dollars are unknown only when neither says."""
    usd = None if one.usd is None and other.usd is None else (one.usd or 0) + (other.usd or 0)
    return one._replace(
        usd=usd,
        input_tokens=one.input_tokens + other.input_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        cached_tokens=one.cached_tokens + other.cached_tokens,
    )
