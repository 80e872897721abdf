"""What an agent adapter is: a module with the names of `Adapter`, over the plain values below.

Imported by the supervisor, so it stays on the standard library and off dataclasses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from ..core.outcomes import ENDED, Event, Outcome, Turn, failure
from ..core.prices import Prices
from ..text import one_line


class Capabilities(NamedTuple):
    """What is particular about a CLI, as tried (docs/agents.md).

    `sign_in` are the variables any of which signs it in, `inherits` its further ones. `credentials` is where it keeps
    its sign-in: the variable for the folder, the folder below HOME without it, the files. `settings` are files of that
    form, each with a pattern: what it matches there signs it in otherwise. `login` are the arguments that sign in, `asks`
    those that say whether it is (since that version, others would call the model), and how yes and no look. `install`
    is the command that installs it, without its version. `instructions` are the files
    of the repository that it reads as text by itself, as we start it. `missing` matches what it says when a session
    is gone. `shows_tools`: it says when a tool starts. `estimate` prices a run that was cut off. `dialogue` prepares a
    person for what its own terminal asks first.
    """

    program: str = ""
    tried: str = ""
    sign_in: tuple[str, ...] = ()
    inherits: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()
    settings: tuple[tuple[str, str, str, str], ...] = ()
    install: str = ""
    login: tuple[str, ...] = ()
    asks: tuple[str, tuple[str, ...], str, str] | None = None
    instructions: tuple[str, ...] = ()
    missing: str = ""
    reports_usd: bool = False
    caps_own_cost: bool = False
    shows_tools: bool = True
    estimate: Prices | None = None
    dialogue: str = ""


class Attempt(NamedTuple):
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
    command: Sequence[str] = ()
    resume_command: Sequence[str] = ()
    args: Sequence[str] = ()
    model: str | None = None
    profile: Literal["safe", "trusted"] = "safe"
    budget_usd: float | None = None
    repository_settings: bool = False
    issue: int = 0
    branch: str = ""
    number: int = 1
    identity: str | None = None


class Command(NamedTuple):
    """What to execute. `stdin` is written and closed; `env` is added to the allow-listed environment.

    `session_id` is the agent's own id where it is known before it starts.
    """

    argv: tuple[str, ...]
    stdin: str
    env: Mapping[str, str]
    session_id: str | None


class Adapter(Protocol):
    """The names of an adapter module."""

    CAPABILITIES: Capabilities

    def start(self, attempt: Attempt) -> Command: ...

    def interactive(self, attempt: Attempt) -> Command | None:
        """The session of `attempt` in the agent's own terminal interface; None where it has none."""
        ...

    def parse(self, line: str) -> list[Event]:
        """What a line says, of stdout or of stderr. Never raises; a line that says nothing gives nothing."""
        ...

    def classify(self, exit_code: int, turn: Turn) -> Outcome | None:
        """An ending that this agent alone has; None leaves it to `runs`."""
        ...


def ending(adapter: Adapter, exit_code: int, turn: Turn, stderr: str, now: float) -> Outcome:
    """How a run ended; what only this agent says is asked of its adapter."""
    final, program, missing = turn.final, adapter.CAPABILITIES.program, adapter.CAPABILITIES.missing
    failed = final.is_error if final else bool(turn.error and exit_code)
    said = (final.text if final and failed else "") or turn.error
    if (
        exit_code
        and missing
        and not turn.activity
        and re.search(missing, f"{said}\n{stderr}", re.IGNORECASE)
    ):
        return Outcome("session_missing", f"{program} no longer has this session")
    if own := adapter.classify(exit_code, turn):
        return own
    if exit_code in (-9, 137):
        return Outcome(
            "killed", "the agent was killed (SIGKILL, perhaps by the system for want of memory)"
        )
    if exit_code in (-2, -15, 130, 143):
        return Outcome("interrupted", "the agent was interrupted")
    if failed:
        return failure((final.status if final else None) or turn.status, said, turn.retry_at, now)
    if exit_code and not final:
        why = one_line(_telling(stderr) or "no message", 300)
        return Outcome("crashed", f"the agent ended with exit code {exit_code}: {why}")
    if turn.denied:
        return Outcome(
            "denied",
            f"{ENDED}; it was not permitted to use: {', '.join(turn.denied)}",
        )
    if turn.fault:
        return Outcome("ended", f"{ENDED}; nothing that it ran worked: {turn.fault}")
    return Outcome("ended", ENDED)


def _telling(stderr: str) -> str:
    """The line that says why: the first that calls itself an error, else the last; what follows it is advice."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    errors = (
        line for line in lines if re.match(r"\W*(error|fatal|\w+Error)\b", line, re.IGNORECASE)
    )
    return next(errors, lines[-1] if lines else "")


def command(
    attempt: Attempt,
    own: Capabilities,
    *arguments: str,
    env: Mapping[str, str],
    session: str | None = None,
) -> Command:
    """The person's program and arguments around the adapter's. The prompt goes to stdin, never among the arguments."""
    argv = (*(attempt.command or (own.program,)), *arguments, *attempt.args)
    return Command(argv, attempt.prompt, env, session or attempt.session_id)
