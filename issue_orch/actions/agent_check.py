"""Whether the agent is there, runs and is signed in, as far as can be told without a call of a model."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from os.path import dirname
from typing import Literal

from ..agents import registry
from ..agents.codex import find_trust
from ..config.keys import BUILT_IN_AGENTS
from ..store.files import load_sessions
from .context import Context
from .launch import adapter_name, load_adapter, require_agent

# What is found, how it is mended, and the name of what was looked at where it is another.
Found = tuple[Literal["ok", "warning", "error"], str, str, str]


def examine_agent(context: Context) -> Iterator[Found]:
    """All that is found of the agent that is configured. Raises Expected where it cannot be started at all."""
    require_agent(context)
    name, config = context.config.agent, context.config
    settings = config.agent_settings(name)
    command = settings.command
    programs = {name: command[0]} if command and name in BUILT_IN_AGENTS else {}
    found = registry.look(context.env, programs, (adapter_name(name),), settings.env)
    if not found:
        yield "ok", f"{name}: {' '.join(command)[:100]}", "", ""
    for each in found:
        yield from _examine(each, programs.get(name))
    yield from _find_trust(context)
    if context.ceilings.limited and not load_adapter(name).CAPABILITIES.caps_own_cost:
        text = (
            f"{name} has no cap of its own: the ceiling can be passed by the turns "
            "that run when it is reached"
        )
        yield "warning", text, "keep max_workers low", "budget"


def _examine(found: registry.Installed, program: str | None) -> Iterator[Found]:
    """A version that was not tried is said beside the sign-in, never instead of it."""
    own = load_adapter(found.name).CAPABILITIES
    said = f"{found.name} {found.version or ''}".rstrip()
    tried = f"{own.install}@{own.tried}"
    if found.problem:
        yield "error", f"{found.path} cannot be executed here: {found.problem}", tried, ""
        return
    if found.signed_in is None:
        login = shlex.join([program or own.program, *own.login])
        yield "error", f"{said} is not signed in", login, ""
    else:
        yield "ok", f"{said} at {found.path}, signed in by {found.signed_in}", "", ""
    if found.odd:
        text = f"{said} is {found.odd}, with which it was tried"
        yield "warning", text, f"if it fails: {tried}", ""


def _find_trust(context: Context) -> Iterator[Found]:
    """What it means that a person told codex to trust the clone: codex looks there for its worktrees too."""
    sessions = [each for each in load_sessions(context.state)[0] if each["agent"] == "codex"]
    if context.config.agent != "codex" and not sessions:
        return
    places = [dirname(context.repo.common_dir), context.repo.main]
    places += [each["worktreePath"] for each in sessions]
    if (told := find_trust(context.env, places)) is None:
        return
    place, file = told
    if context.config.agent_settings("codex").repository_settings:
        text = "what a branch brings in .codex runs, in workers and in attach (repository_settings)"
        yield "ok", f"codex trusts {place}: {text}", "", "trust"
        return
    text = (
        "workers and attach run nothing that a branch brings in .codex, your own codex there does"
    )
    mend = f'trust_level = "untrusted" for it in {file}'
    yield "warning", f"codex trusts {place}: {text}", mend, "trust"
