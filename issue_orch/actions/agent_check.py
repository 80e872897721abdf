"""Whether the agent is there, runs and is signed in, as far as can be told without a call of a model."""

from __future__ import annotations

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
    command = config.agent_settings(name).command
    programs = {name: command[0]} if command and name in BUILT_IN_AGENTS else {}
    found = registry.look(context.env, programs, (adapter_name(name),))
    if not found:
        yield "ok", f"{name}: {' '.join(command)[:100]}", "", ""
    for _, path, version, signed_in, problem, old in found:
        said = f"{name} {version or ''}"
        if problem:
            yield "error", f"{said}: {problem}", "install another version", ""
        elif old:
            text = f"{said} is older than {old}, with which it was tried"
            yield "warning", text, "update it", ""
        elif signed_in is None:
            yield "warning", f"{said}: no sign-in was found", f"start {name}, sign in", ""
        else:
            yield "ok", f"{said} at {path}, signed in by {signed_in}", "", ""
    yield from _find_trust(context)
    if context.ceilings.limited and not load_adapter(name).CAPABILITIES.caps_own_cost:
        text = (
            f"{name} has no cap of its own: the ceiling can be passed by the turns "
            "that run when it is reached"
        )
        yield "warning", text, "keep max_workers low", "budget"


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
