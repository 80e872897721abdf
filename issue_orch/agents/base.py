"""What an agent adapter is: a module with the names of `Adapter`, over the plain values below.

Imported by the supervisor, so it stays on the standard library and off dataclasses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol

Scope = Literal["session", "process", "call", "rough"]
Kind = Literal[
    "ended",
    "denied",
    "api_error",
    "rate_limited",
    "quota",
    "auth",
    "context_full",
    "capped",
    "over_budget",
    "interrupted",
    "killed",
    "session_missing",
    "crashed",
]
Consequence = Literal["next_turn", "retry", "wait", "fresh", "stuck", "hold", "none"]


class Prices(NamedTuple):
    """US dollars for a million tokens. `cached` is the part of the input that came from a cache."""

    input: float
    output: float
    cached: float | None = None


class Capabilities(NamedTuple):
    """What is particular about a CLI, as tried (docs/agents.md).

    `sign_in` are the variables any of which signs it in, `inherits` its further ones. `credentials` is where it keeps
    its sign-in: the variable for the folder, the folder below HOME without it, the file. `instructions` are the files
    of the repository that it reads as text by itself, as we start it. `missing` matches what it says when a session
    is gone. `shows_tools`: it says when a tool starts. `estimate` prices a run that was cut off.
    """

    program: str = ""
    tried: str = ""
    sign_in: tuple[str, ...] = ()
    inherits: tuple[str, ...] = ()
    credentials: tuple[str, str, str] | None = None
    instructions: tuple[str, ...] = ()
    missing: str | None = None
    reports_usd: bool = False
    caps_own_cost: bool = False
    shows_tools: bool = True
    estimate: Prices | None = None


class Launch(NamedTuple):
    """One start of an agent: in a new session, or where `session_id` is set one more turn of that.

    `command` is the program to execute instead of the adapter's own (the whole template for `command`), `prompt` what
    goes to the agent now: the guidance alone in a session that goes on. `identity` is who commits, as
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
    """What to execute. `stdin` is written and closed; `env` is added to the allow-listed environment.

    `session_id` is the agent's own id where it is known before it starts.
    """

    argv: tuple[str, ...]
    stdin: str
    env: Mapping[str, str]
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


class Event(NamedTuple):
    """One thing that the agent did. `text` is untrusted and unsanitised.

    `retry_after` is in seconds from now, `retry_at` in seconds since the epoch: agents say the one or the other.

    `id` pairs `tool` with `tool_end`, and tells model calls apart in rough usage. `alive` is a heartbeat. `call` is a
    model call whose usage is still to come. A `usage` without one was not understood.
    """

    kind: Literal[
        "session",
        "text",
        "tool",
        "tool_end",
        "alive",
        "call",
        "usage",
        "retry",
        "denied",
        "error",
        "final",
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
    retry that goes on. `unknown`: a cost that was not understood is in no later reading. `calling`: as Event's `call`.
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
    unknown: bool = False
    calling: bool = False


class Outcome(NamedTuple):
    """How one run of the agent ended. `message` is for the person; `retry_at` is seconds since the epoch."""

    kind: Kind
    message: str
    retry_at: float | None = None


class Adapter(Protocol):
    """The names of an adapter module."""

    CAPABILITIES: Capabilities

    def start(self, launch: Launch) -> Command: ...

    def interactive(self, launch: Launch) -> Command | None:
        """The session of `launch` in the agent's own terminal interface; None where it has none."""
        ...

    def parse(self, line: str) -> list[Event]:
        """What a line says, of stdout or of stderr. Never raises; a line that says nothing gives nothing."""
        ...

    def classify(self, exit_code: int, turn: Turn) -> Outcome | None:
        """An ending that this agent alone has; None leaves it to `runs`."""
        ...


def command(
    launch: Launch,
    own: str,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    session: str | None = None,
) -> Command:
    """The person's program and arguments around the adapter's. The prompt goes to stdin, never among the arguments."""
    argv = (*(launch.command or (own,)), *arguments, *launch.args)
    return Command(argv, launch.prompt, env or {}, session or launch.session_id)
