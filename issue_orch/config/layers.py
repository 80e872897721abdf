"""Configuration in layers: defaults, the repository's file, the user's file, ISSUE_ORCH_*, flags. Later wins."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import Unapproved, Usage
from ..text import redact, sanitise
from .approval import TEAM_FOLDER, StrPath, fingerprint, listing, load_approved, to_approve
from .keys import AGENT_KEYS, BUILT_IN_AGENTS, KEYS, Agent, Config, Key, find_key
from .values import TEXT, Words

REPOSITORY_FILE = ".issue-orch.toml"
BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
NOT_CONFIGURATION = {"ISSUE_ORCH_TOKEN", "ISSUE_ORCH_WORKER", "ISSUE_ORCH_STATE"}
NEVER_MERGES = "issue-orch never merges: a person does, on GitHub"
ELSEWHERE = {
    "auto_merge": NEVER_MERGES,
    "merge_strategy": NEVER_MERGES,
    "enabled": "there is no switch: nothing runs until you type spawn or run",
    "max_workers": "it is called max_workers, at the top level",
    "budget_ceiling": "it is called budget.total",
}


def load_config(
    top: StrPath,
    state: StrPath,
    env: Mapping[str, str],
    flags: Mapping[str, Any] | None = None,
    executing: bool = True,
) -> Config:
    """Read all layers. `flags` are values by dotted name, None for one that was not given.

    Raises Usage for what is wrong, and Unapproved when what needs approval is not as it was approved here last: set,
    changed or gone. With `executing=False`, for commands that run nothing, these keys are left out instead.
    """
    team = load_team(top)
    asked, approved = to_approve(top, team), load_approved(state)
    if (asked or approved) and fingerprint(asked) not in approved:
        if executing:
            raise Unapproved(
                f"what {REPOSITORY_FILE} and {TEAM_FOLDER} say here was not approved on this machine:\n"
                + "\n".join(listing(asked, approved)),
                "read it; then: issue-orch init --approve",
            )
        team = {name: value for name, value in team.items() if name not in asked}
    file = user_file(env)
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    user, flagged = parse(_read(file), str(file)), _checked(given, "command line")
    return _build({**team, **user, **_from_env(env), **flagged})


def load_team(top: StrPath) -> dict[str, Any]:
    """The values of the repository's file."""
    return parse(_read(Path(top, REPOSITORY_FILE)), REPOSITORY_FILE)


def user_file(env: Mapping[str, str], platform: str = sys.platform) -> Path:
    """Where the user's own file is, whether it exists or not."""
    home = Path(env.get("HOME") or Path.home())
    if env.get("XDG_CONFIG_HOME"):
        folder = Path(env["XDG_CONFIG_HOME"])
    else:
        folder = home / ("Library/Application Support" if platform == "darwin" else ".config")
    return folder / "issue-orch" / "config.toml"


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(f"{file}: cannot be read ({error})", f"mend {file}, or move it away") from error


def parse(text: str, where: str) -> dict[str, Any]:
    """The values of a TOML text by dotted name. Raises Usage for broken TOML, an unknown key or a bad value."""
    if not text:
        return {}
    import tomllib

    try:
        values = dict(_flatten(tomllib.loads(text)))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Usage(
            f"{where}: not valid TOML: {sanitise(str(error))}", f"mend it in {where}"
        ) from error
    return _checked(values, where)


def _flatten(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names down to the keys."""
    for name, value in data.items():
        dotted = f"{prefix}{name}"
        if isinstance(value, dict) and find_key(dotted) is None:
            yield from _flatten(value, f"{dotted}.")
        else:
            yield dotted, value


def _checked(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    return {
        name: _convert(find_key(name) or _unknown(name, where), value, where)
        for name, value in values.items()
    }


def _convert(key: Key, raw: Any, where: str) -> Any:
    """A value of TOML as the configuration holds it. Raises Usage with the key, the place and what is expected."""
    problem = f"must be {key.kind.words}"
    if key.kind.fits(raw):
        value = key.kind.held(raw)
        problem = key.check(value)
        if not problem:
            return value
    shown = redact(repr(raw))[:200]
    raise Usage(f"{where}: {key.name} {problem}; it is {shown}", f"mend it in {where}")


def _unknown(name: str, where: str) -> Key:
    """Raises Usage that names the nearest key."""
    last, shown = name.rpartition(".")[2], sanitise(name)
    if name.startswith("parallel.") or last in ("auto_merge", "merge_strategy", "budget_ceiling"):
        what = ELSEWHERE.get(last, "there is no table [parallel]")
        raise Usage(
            f"{where}: {shown} is not a key of issue-orch; {what}", f"take it out of {where}"
        )
    words = name.split(".")
    agent = f"agents.{words[1]}" if words[0] == "agents" and len(words) > 2 else "agents.NAME"
    known = [*(key.name for key in KEYS), *(f"{agent}.{key.name}" for key in AGENT_KEYS)]
    by_last = {dotted.rpartition(".")[2]: dotted for dotted in reversed(known)}
    near = _nearest(name, known, 0.75) or [by_last[each] for each in _nearest(last, by_last, 0.6)]
    hint = f"did you mean {near[0]}?" if near else "docs/configuration.md lists the keys"
    raise Usage(f"{where}: unknown key {shown}; {hint}", f"mend it in {where}")


def _from_env(env: Mapping[str, str]) -> dict[str, Any]:
    """Values of ISSUE_ORCH_*. A name that is nearly a key is an error; others are somebody else's."""
    by_env = {key.env: key for key in KEYS}
    values: dict[str, Any] = {}
    for variable, raw in sorted(env.items()):
        if not variable.startswith("ISSUE_ORCH_") or variable in NOT_CONFIGURATION:
            continue
        if not raw.strip():
            continue
        if key := by_env.get(variable) or _agent_key(variable):
            values[key.name] = _convert(key, _from_text(key, raw), variable)
        elif near := _nearest(variable, by_env, 0.9):
            raise Usage(
                f"{variable}: no such setting; did you mean {near[0]}?", f"unset {variable}"
            )
    return values


def _nearest(name: str, known: Iterable[str], least: float) -> list[str]:
    from difflib import get_close_matches

    return get_close_matches(name, list(known), 1, least)


def _agent_key(variable: str) -> Key | None:
    """ISSUE_ORCH_AGENTS_MY_AGENT_MODEL is agents.my-agent.model."""
    for key in AGENT_KEYS:
        if found := re.fullmatch(f"ISSUE_ORCH_AGENTS_(.+)_{key.name.upper()}", variable):
            return find_key(f"agents.{found[1].lower().replace('_', '-')}.{key.name}")
    return None


def _from_text(key: Key, raw: str) -> Any:
    """The value of an environment variable: as TOML where it must be, lists also separated by commas."""
    if key.kind is TEXT or key.choices:
        return raw
    if key.type is bool:
        return BOOLEANS.get(raw.lower(), raw)
    if key.type == Words and not raw.lstrip().startswith("["):
        return [word.strip() for word in raw.split(",") if word.strip()]
    import tomllib

    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        return raw  # and it is said what the key takes


def _build(values: Mapping[str, Any]) -> Config:
    """The configuration of values by dotted name, with the defaults of the others."""
    fields: dict[str, Any] = {}
    agents: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        match name.split("."):
            case ["agents", agent, last]:
                agents.setdefault(agent, {})[last] = value
            case words:
                fields["_".join(words)] = value
    return Config(**fields, agents={name: Agent(**settings) for name, settings in agents.items()})


def known_agent(config: Config, name: str | None = None) -> str:
    """The agent that works, by name. Raises Usage for one that is neither built in nor given a command."""
    agent = name or config.agent
    if agent not in BUILT_IN_AGENTS and not config.agent_settings(agent).command:
        raise Usage(
            f"agent {sanitise(agent)}: not built in, and [agents.{sanitise(agent)}] has no command",
            f"choose one of {', '.join(BUILT_IN_AGENTS)}, or set agents.{sanitise(agent)}.command",
        )
    return agent
