"""Configuration in layers: defaults, the repository's file, the user's file, ISSUE_ORCH_*, flags. Later wins."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import Expected, Unapproved, Usage
from ..store.files import load_json, write_json, write_text
from ..text import sanitise
from .keys import AGENT_KEYS, BUILT_IN_AGENTS, KEYS, Agent, Config, Key, Words, convert, find_key

REPOSITORY_FILE = ".issue-orch.toml"
TEAM_FOLDER = ".github/issue-orch"  # templates
APPROVED = "approved.json"
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
    top: str | os.PathLike[str],
    state: str | os.PathLike[str],
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
    user = user_file(env)
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    return build(
        {**team, **parse(read(user), str(user)), **from_env(env), **checked(given, "command line")}
    )


def load_team(top: str | os.PathLike[str]) -> dict[str, Any]:
    """The values of the repository's file."""
    return parse(read(Path(top, REPOSITORY_FILE)), REPOSITORY_FILE)


def user_file(env: Mapping[str, str], platform: str = sys.platform) -> Path:
    """Where the user's own file is, whether it exists or not."""
    home = Path(env.get("HOME") or Path.home())
    if env.get("XDG_CONFIG_HOME"):
        folder = Path(env["XDG_CONFIG_HOME"])
    else:
        folder = home / ("Library/Application Support" if platform == "darwin" else ".config")
    return folder / "issue-orch" / "config.toml"


def read(file: Path) -> str:
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
        values = dict(flatten(tomllib.loads(text)))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Usage(
            f"{where}: not valid TOML: {sanitise(str(error))}", f"mend it in {where}"
        ) from error
    return checked(values, where)


def flatten(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names down to the keys."""
    for name, value in data.items():
        dotted = f"{prefix}{name}"
        if isinstance(value, dict) and find_key(dotted) is None:
            yield from flatten(value, f"{dotted}.")
        else:
            yield dotted, value


def checked(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    return {
        name: convert(find_key(name) or unknown(name, where), value, where)
        for name, value in values.items()
    }


def unknown(name: str, where: str) -> Key:
    """Raises Usage that names the nearest key."""
    last, shown = name.rpartition(".")[2], sanitise(name)
    if name.startswith("parallel.") or last in ("auto_merge", "merge_strategy", "budget_ceiling"):
        what = ELSEWHERE.get(last, "there is no table [parallel]")
        raise Usage(
            f"{where}: {shown} is not a key of issue-orch; {what}", f"take it out of {where}"
        )
    from difflib import get_close_matches

    agent = (
        ".".join(name.split(".")[:2])
        if name.startswith("agents.") and name.count(".") > 1
        else "agents.NAME"
    )
    known = [*(key.name for key in KEYS), *(f"{agent}.{key.name}" for key in AGENT_KEYS)]
    by_last = {dotted.rpartition(".")[2]: dotted for dotted in reversed(known)}
    near = get_close_matches(name, known, 1, 0.75) or [
        by_last[m] for m in get_close_matches(last, by_last, 1, 0.6)
    ]
    hint = f"did you mean {near[0]}?" if near else "docs/configuration.md lists the keys"
    raise Usage(f"{where}: unknown key {shown}; {hint}", f"mend it in {where}")


def from_env(env: Mapping[str, str]) -> dict[str, Any]:
    """Values of ISSUE_ORCH_*. A name that is nearly a key is an error; others are somebody else's."""
    by_env = {key.env: key for key in KEYS}
    values: dict[str, Any] = {}
    for variable in sorted(env):
        if (
            not variable.startswith("ISSUE_ORCH_")
            or variable in NOT_CONFIGURATION
            or not env[variable].strip()
        ):
            continue
        key = by_env.get(variable) or agent_key(variable)
        if key is not None:
            values[key.name] = convert(key, from_text(key, env[variable]), variable)
            continue
        from difflib import get_close_matches

        if near := get_close_matches(variable, by_env, 1, 0.9):
            raise Usage(
                f"{variable}: no such setting; did you mean {near[0]}?", f"unset {variable}"
            )
    return values


def agent_key(variable: str) -> Key | None:
    """ISSUE_ORCH_AGENTS_MY_AGENT_MODEL is agents.my-agent.model."""
    rest = variable.removeprefix("ISSUE_ORCH_AGENTS_")
    for key in AGENT_KEYS:
        suffix = "_" + key.name.upper()
        if rest != variable and rest.endswith(suffix):
            return find_key(
                f"agents.{rest.removesuffix(suffix).lower().replace('_', '-')}.{key.name}"
            )
    return None


def from_text(key: Key, raw: str) -> Any:
    """The value of an environment variable: as TOML where it must be, lists also separated by commas."""
    if key.kind in (str, str | None) or key.choices:
        return raw
    if key.kind is bool:
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(
            raw.lower(), raw
        )
    if key.kind == Words and not raw.lstrip().startswith("["):
        return [word.strip() for word in raw.split(",") if word.strip()]
    import tomllib

    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        return raw  # and it is said what the key takes


def build(values: Mapping[str, Any]) -> Config:
    """The configuration of values by dotted name, with the defaults of the others."""
    agents: dict[str, dict[str, Any]] = {}
    for name in values:
        if name.startswith("agents."):
            _, agent, last = name.split(".")
            agents.setdefault(agent, {})[last] = values[name]
    fields = {
        name.replace(".", "_"): value
        for name, value in values.items()
        if not name.startswith("agents.")
    }
    return Config(**fields, agents={name: Agent(**settings) for name, settings in agents.items()})


def check_agent(config: Config, name: str | None = None) -> str:
    """The agent that works, by name. Raises Usage for one that is neither built in nor given a command."""
    agent = name or config.agent
    if agent not in BUILT_IN_AGENTS and not config.agent_settings(agent).command:
        raise Usage(
            f"agent {sanitise(agent)}: not built in, and [agents.{sanitise(agent)}] has no command",
            f"choose one of {', '.join(BUILT_IN_AGENTS)}, or set agents.{sanitise(agent)}.command",
        )
    return agent


def to_approve(top: str | os.PathLike[str], team: Mapping[str, Any]) -> dict[str, Any]:
    """What counts only as approved, by name: such keys of the repository's file, and the templates by content."""
    keys = {
        name: value
        for name, value in sorted(team.items())
        if (key := find_key(name)) and key.approval and value != key.default
    }
    return {
        **keys,
        **{
            f"{TEAM_FOLDER}/{name}": fingerprint({"": text})
            for name, text in load_templates(top).items()
        },
    }


def load_templates(top: str | os.PathLike[str]) -> dict[str, str]:
    """The team's templates by name. Raises Expected for a link: it could post any file of this machine."""
    folder = Path(top).resolve() / TEAM_FOLDER
    found = {}
    for file in sorted(folder.rglob("*.j2")):
        name = file.relative_to(folder).as_posix()
        if file.resolve() != file:
            raise Expected(
                f"template {name}: lies outside of {TEAM_FOLDER}",
                f"put the file itself into {TEAM_FOLDER}",
            )
        if file.is_file():
            found[name] = file.read_text(encoding="utf-8", errors="replace")
    return found


def listing(asked: Mapping[str, Any], approved: Mapping[str, Any]) -> Iterator[str]:
    """Lines for a person who is to approve; JSON keeps every hidden character visible."""
    for name, value in asked.items():
        yield f"  {name} = {json.dumps(value)}"
    for name in sorted({name for names in approved.values() for name in names} - set(asked)):
        yield f"  {sanitise(name)} was approved before, and is not set any more"


def fingerprint(values: Mapping[str, Any]) -> str:
    from hashlib import sha256

    return sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def load_approved(state: str | os.PathLike[str]) -> dict[str, Any]:
    """The fingerprint that was approved last, with the names it was given for; empty before the first approval."""
    return load_json(Path(state, APPROVED)) or {}


def approved_folder(state: str | os.PathLike[str]) -> str:
    """Where the templates lie as approved, below TEAM_FOLDER: what is checked out meanwhile does not count."""
    return os.path.join(state, "approved")


def approve(
    state: str | os.PathLike[str], top: str | os.PathLike[str], asked: Mapping[str, Any]
) -> None:
    """Record that a person approved this on this machine. Only the last approval counts: an older one was taken back."""
    folder = Path(approved_folder(state), TEAM_FOLDER)
    texts = {
        name: text for name, text in load_templates(top).items() if f"{TEAM_FOLDER}/{name}" in asked
    }
    for old in folder.rglob("*.j2"):
        if old.relative_to(folder).as_posix() not in texts:
            old.unlink()
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_text(folder / name, text, durable=True)
    write_json(Path(state, APPROVED), {fingerprint(asked): sorted(asked)}, durable=True)
