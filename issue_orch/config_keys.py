"""The table of configuration keys, and what is derived from it: checks, names, reference, commented file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from .errors import Usage
from .text import redact

Kind = Literal["text", "choice", "flag", "count", "number", "words", "argv", "commands", "prices"]

SAFE_REF = r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*"
AGENT_NAME = r"[a-z][a-z0-9-]{0,30}"
BUILT_IN_AGENTS = ("claude", "codex", "opencode", "gemini")
KIND_NAMES: dict[Kind, str] = {
    "text": "a text", "choice": "one of", "flag": "true or false", "count": "a whole number", "number": "a number",
    "words": "a list of texts", "argv": "an argument list", "commands": "a list of argument lists", "prices": "a table",
}


class Key(NamedTuple):
    """One setting. `check` returns a complaint or nothing. `approval`: it runs something, sends the token or content
    somewhere, loosens what a worker may do, what may be spent, or which issues, people and commits are trusted; from the
    repository's file it counts only after approval."""

    name: str
    kind: Kind
    default: Any
    description: str
    approval: bool = False
    choices: tuple[str, ...] = ()
    check: Callable[[Any], str] = lambda value: ""
    example: Any = None

    @property
    def env(self) -> str:
        return "ISSUE_ORCH_" + re.sub("[.-]", "_", self.name).upper()

    @property
    def sample(self) -> Any:
        return self.default if self.example is None else self.example


def check_repo(value: str) -> str:
    good = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+", value) and not value.endswith(("/.", "/.."))
    return "" if good else "must be owner/name"


def check_ref(value: str) -> str:
    bad = any(part.endswith((".lock", ".")) for part in value.split("/")) or ".." in value
    return "" if re.fullmatch(SAFE_REF, value) and not bad else "is not a safe name for git"


def check_branch(value: str) -> str:
    return check_placeholders(value, ("number",)) or check_ref(value.replace("{number}", "1"))


def check_path(value: str) -> str:
    return check_placeholders(value, ("repo", "number"))


def check_placeholders(value: str, allowed: tuple[str, ...]) -> str:
    found = re.findall(r"\{([^{}]*)\}", value)
    if unknown := [name for name in found if name not in allowed]:
        return f"has an unknown placeholder {{{unknown[0]}}}; known: " + ", ".join(f"{{{name}}}" for name in allowed)
    if "number" not in found:
        return "must contain {number}, so that each issue has its own"
    return "has a brace without its pair" if re.search("[{}]", re.sub(r"\{[^{}]*\}", "", value)) else ""


def check_base_url(value: str) -> str:
    server = r"(?:https://[^\s/?#@]+|http://(?:127\.0\.0\.1|localhost|\[::1\])(?::\d+)?)"
    good = re.fullmatch(server + r"(?:/[^\s?#@]*)?", value)
    return "" if good else "must be an https:// address (http:// to this machine alone)"


def check_env_names(value: tuple[str, ...]) -> str:
    bad = [name for name in value if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) or name.startswith("ISSUE_ORCH_")]
    return f"{bad[0]!r} cannot be passed on; list names of variables, not values" if bad else ""


KEYS: tuple[Key, ...] = (
    Key("repo", "text", None, "GitHub repository of the issues and pulls. Unset: the one that the remote names.", True,
        check=check_repo, example="owner/name"),
    Key("remote", "text", "origin", "Git remote that branches are pushed to.", True, check=check_ref),
    Key("base", "text", None, "Branch that work starts from and pulls go to. Unset: GitHub's default branch, asked at "
        "each spawn.", True, check=check_ref, example="main"),
    Key("max_workers", "count", 2, "Workers at once in this clone. Above 5 warns.",
        check=lambda value: "" if value >= 1 else "must be at least 1"),
    Key("agent", "text", "claude", "Agent that works: claude, codex, opencode, gemini, or a name under [agents].",
        check=lambda value: "" if re.fullmatch(AGENT_NAME, value) else "is not the name of an agent"),
    Key("path", "text", "../{repo}-issue-{number}", "Folder of a worktree, relative to the repository.", True,
        check=check_path),
    Key("branch", "text", "issue-{number}", "Name of a worker's branch.", check=check_branch),
    Key("setup", "commands", (), "Commands that prepare a fresh worktree, each an argument list, run without a shell.",
        True, example=(("npm", "ci"),)),
    Key("setup_timeout", "count", 900, "Seconds that all of `setup` may take.",
        check=lambda value: "" if value else "must be at least 1"),
    Key("stack", "flag", False, "Start an issue whose only open blocker is a complete session on that "
        "session's branch."),
    Key("retries", "count", 3, "Retries after crashes without progress between them."),
    Key("follow_up_rounds", "count", 3, "How often failing checks, reviews and conflicts go back to the worker of a "
        "pull. 0: never."),
    Key("ready.labels", "words", ("ready",), "Labels that an issue must all have to be started.", True,
        check=lambda value: "" if value else "must name at least one label"),
    Key("ready.exclude", "words", (), "Labels that keep an issue from being started.", True, example=("blocked",)),
    Key("ready.milestone", "text", None, "Only issues of this milestone.", True, example="v1.0"),
    Key("ready.assigned", "choice", "me-or-nobody", "Whose issues are started, by assignee.", True,
        choices=("me-or-nobody", "me", "nobody", "anyone")),
    Key("ready.priority", "words", (), "Labels that go first, the most urgent first.", example=("urgent", "soon")),
    Key("budget.total", "number", None, "US dollars that all sessions of this clone may cost together.", True,
        example=50.0),
    Key("budget.per_issue", "number", None, "US dollars that one issue may cost.", True, example=5.0),
    Key("budget.per_day", "number", None, "US dollars that one day (UTC) may cost.", True, example=20.0),
    Key("budget.allow_unknown", "flag", False, "Allow agents that report no cost although a budget is set.",
        True),
    Key("pulls.open", "choice", "orchestrator", "Who pushes and opens the pull. A worker needs credentials of its own.",
        choices=("orchestrator", "worker")),
    Key("pulls.draft", "flag", False, "Open pulls as drafts."),
    Key("pulls.bots", "words", (), "Bots whose reviews count like a person's, such as a review service.", True,
        example=("reviewer[bot]",)),
    Key("github.base_url", "text", None, "API of a GitHub Enterprise server. The token is sent there.", True,
        check=check_base_url, example="https://github.example.com/api/v3"),
    Key("github.write_back", "flag", False, "Keep one status comment and orch: labels on each issue."),
    Key("git.sign", "choice", "inherit", "Sign the workers' commits as git is configured, or not at all.",
        choices=("inherit", "off")),
    Key("notify.command", "argv", (), "Command that gets each notification as JSON on stdin.", True,
        example=("notify-me", "--json")),
    Key("notify.urls", "words", (), "Apprise addresses (extra `notify`), such as ntfy://topic.", True,
        example=("ntfy://my-topic",)),
    Key("notify.after_minutes", "count", 60, "Remind of a question that is open for so long. 0: never."),
)
AGENT_KEYS: tuple[Key, ...] = (
    Key("command", "argv", (), "Program and leading arguments. A name that is not built in needs it; placeholders: "
        "docs/agents.md.", True, example=("my-agent", "--prompt-file", "{prompt_file}")),
    Key("resume", "argv", (), "How a session of an agent that is not built in goes on. Unset: it starts afresh.", True,
        example=("my-agent", "--resume", "{session_id}", "--prompt-file", "{prompt_file}")),
    Key("args", "argv", (), "Arguments added to what issue-orch passes.", True, example=("--verbose",)),
    Key("model", "text", None, "Model, in the agent's own words.", example="sonnet",
        check=lambda value: "must not start with -" if value.startswith("-") else ""),
    Key("profile", "choice", "safe", "What the agent may do without being asked; docs/agents.md says what that is.",
        True, choices=("safe", "trusted")),
    Key("env", "words", (), "Names of variables that the agent inherits, besides those it signs in with.", True,
        check=check_env_names, example=("NPM_CONFIG_CACHE",)),
    Key("prices", "prices", None, "US dollars for a million tokens: input, output, cached. For agents that report "
        "tokens alone.", True, example={"input": 1.25, "output": 10.0}),
    Key("repository_settings", "flag", False, "Let the agent load hooks, servers and plugins of the branch it works "
        "on.", True),
    Key("quiet_minutes", "count", 0, "Minutes of silence after which the agent is interrupted and asked. 0: never."),
)
BY_NAME = {key.name: key for key in KEYS}
AGENT_BY_NAME = {key.name: key for key in AGENT_KEYS}
SECTIONS = tuple(dict.fromkeys(key.name.partition(".")[0] for key in KEYS if "." in key.name))


def find_key(name: str) -> Key | None:
    """The key of a dotted name; agents.NAME.KEY carries its full name."""
    head, _, rest = name.partition(".")
    agent, _, last = rest.partition(".")
    if head == "agents" and re.fullmatch(AGENT_NAME, agent) and last in AGENT_BY_NAME:
        return AGENT_BY_NAME[last]._replace(name=name)
    return BY_NAME.get(name)


def convert(key: Key, raw: Any, where: str) -> Any:
    """A value of TOML as the configuration holds it. Raises Usage with the key, the place and what is expected."""
    value = shaped(key, raw)
    what = KIND_NAMES[key.kind] + (" " + ", ".join(key.choices) if key.choices else "")
    problem = f"must be {what}" if value is None else key.check(value)
    if problem:
        raise Usage(f"{where}: {key.name} {problem}; it is {redact(repr(raw))[:200]}", f"mend it in {where}")
    return value


def shaped(key: Key, raw: Any) -> Any:
    """`raw` in the shape of its kind, None when it does not fit. true is no number, NaN is no limit."""
    match key.kind:
        case "text":
            return raw if isinstance(raw, str) and raw.strip() and raw.isprintable() else None
        case "choice":
            return raw if raw in key.choices else None
        case "flag":
            return raw if isinstance(raw, bool) else None
        case "count":
            return raw if type(raw) is int and 0 <= raw <= 10**9 else None
        case "number":
            return float(raw) if type(raw) in (int, float) and 0 <= raw < float("inf") else None
        case "words" | "argv":
            return tuple(raw) if is_list(raw) and all(isinstance(word, str) and word for word in raw) else None
        case "commands":
            return tuple(map(tuple, raw)) if is_list(raw) and all(
                is_list(argv) and argv and all(isinstance(word, str) for word in argv) for argv in raw) else None
        case "prices":
            return shaped_prices(raw)


def is_list(raw: Any) -> bool:
    return isinstance(raw, list | tuple)


def shaped_prices(raw: Any) -> dict[str, float] | None:
    known = isinstance(raw, Mapping) and {"input", "output"} <= set(raw) <= {"input", "output", "cached"}
    if not known or any(type(price) not in (int, float) or not 0 <= price < float("inf") for price in raw.values()):
        return None
    return {name: float(price) for name, price in raw.items()}


def toml_value(value: Any) -> str:
    import tomli_w

    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {toml_value(item)}" for name, item in value.items()) + " }"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return tomli_w.dumps({"v": value}).removeprefix("v = ").rstrip("\n")


def commented_file(values: Mapping[str, Any]) -> str:
    """A configuration file with `values` set, and every other key as a comment that says what it is."""
    known = {name: key for name in values if (key := find_key(name))}
    lines = ["# Configuration of issue-orch. Keys marked (approval) count after: issue-orch init --approve", ""]
    for key in (key for key in KEYS if "." not in key.name):
        lines += described(key, key.name, values)
    for section in SECTIONS:
        lines += [f"[{section}]"]
        for key in (key for key in KEYS if key.name.startswith(f"{section}.")):
            lines += described(key, key.name.partition(".")[2], values)
    for agent in dict.fromkeys([*(name.split(".")[1] for name in known if name.startswith("agents.")), "claude"]):
        lines += [f"[agents.{agent}]"]
        for key in AGENT_KEYS:
            lines += described(key._replace(name=f"agents.{agent}.{key.name}"), key.name, values)
    return "\n".join(lines)


def described(key: Key, name: str, values: Mapping[str, Any]) -> Iterator[str]:
    choices = f" One of: {', '.join(key.choices)}." if key.choices else ""
    yield f"# {key.description}{choices}{' (approval)' if key.approval else ''}"
    mark = "" if key.name in values else "# "
    yield f"{mark}{name} = {toml_value(values.get(key.name, key.sample))}"
    yield ""
