"""The settings: type, default, check and description of each in one table, and what is derived from it."""

# Without `annotations` of __future__: the types of the fields are read.

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

from .values import (
    AGENT_NAME,
    KINDS,
    Commands,
    Kind,
    Prices,
    Words,
    at_least_one,
    check_base_url,
    check_branch,
    check_env_names,
    check_path,
    check_ref,
    check_repo,
    one_of,
)

BUILT_IN_AGENTS = ("claude", "codex", "opencode", "gemini")
SECTIONS = ("ready", "budget", "pulls", "github", "git", "notify")


class Key(NamedTuple):
    """What the type of a setting does not say. `check` returns a complaint or nothing. `approval`: it runs something, sends
    the token or content somewhere, loosens what a worker may do, what may be spent, or which issues, people and commits are
    trusted; from the repository's file it counts only after approval. The last three are filled in from the field."""

    description: str
    approval: bool = False
    check: Callable[[Any], str] = lambda value: ""
    example: Any = None
    name: str = ""
    type: Any = None
    default: Any = None

    @property
    def env(self) -> str:
        return "ISSUE_ORCH_" + re.sub("[.-]", "_", self.name).upper()

    @property
    def choices(self) -> tuple[str, ...]:
        return get_args(self.type) if get_origin(self.type) is Literal else ()

    @property
    def kind(self) -> Kind:
        return one_of(self.choices) if self.choices else KINDS[self.type]


def _keys_of(settings: Any) -> tuple[Key, ...]:
    """The keys of a table of settings: the field ready_labels is the key ready.labels."""
    found = []
    for field, hint in settings.__annotations__.items():
        section, _, rest = field.partition("_")
        name = f"{section}.{rest}" if section in SECTIONS else field
        found += [
            key._replace(name=name, type=hint.__origin__, default=settings._field_defaults[field])
            for key in getattr(hint, "__metadata__", ())
        ]
    return tuple(found)


class Agent(NamedTuple):
    """[agents.NAME]."""

    command: Annotated[
        Words,
        Key(
            "Program and leading arguments. A name that is not built in needs it; placeholders: docs/agents.md.",
            True,
            example=("my-agent", "--prompt-file", "{prompt_file}"),
        ),
    ] = ()
    resume: Annotated[
        Words,
        Key(
            "How a session of an agent that is not built in goes on. Unset: it starts afresh.",
            True,
            example=("my-agent", "--resume", "{session_id}", "--prompt-file", "{prompt_file}"),
        ),
    ] = ()
    args: Annotated[
        Words, Key("Arguments added to what issue-orch passes.", True, example=("--verbose",))
    ] = ()
    model: Annotated[
        str | None,
        Key(
            "Model, in the agent's own words.",
            check=lambda value: "must not start with -" if value.startswith("-") else "",
            example="sonnet",
        ),
    ] = None
    profile: Annotated[
        Literal["safe", "trusted"],
        Key("What the agent may do without being asked; docs/agents.md says what that is.", True),
    ] = "safe"
    env: Annotated[
        Words,
        Key(
            "Names of variables that the agent inherits, besides those it signs in with.",
            True,
            check=check_env_names,
            example=("NPM_CONFIG_CACHE",),
        ),
    ] = ()
    prices: Annotated[
        Prices | None,
        Key(
            "US dollars for a million tokens: input, output, cached. For agents that report tokens alone.",
            True,
            example={"input": 1.25, "output": 10.0},
        ),
    ] = None
    repository_settings: Annotated[
        bool, Key("Let the agent load hooks, servers and plugins of the branch it works on.", True)
    ] = False
    quiet_minutes: Annotated[
        int, Key("Minutes of silence after which the agent is interrupted and asked. 0: never.")
    ] = 0


class Config(NamedTuple):
    """All settings; docs/configuration.md is made from this."""

    repo: Annotated[
        str | None,
        Key(
            "GitHub repository of the issues and pulls. Unset: the one that the remote names.",
            True,
            check=check_repo,
            example="owner/name",
        ),
    ] = None
    remote: Annotated[
        str, Key("Git remote that branches are pushed to.", True, check=check_ref)
    ] = "origin"
    base: Annotated[
        str | None,
        Key(
            "Branch that work starts from and pulls go to. Unset: GitHub's default branch, asked at each spawn.",
            True,
            check=check_ref,
            example="main",
        ),
    ] = None
    max_workers: Annotated[
        int, Key("Workers at once in this clone. Above 5 warns.", check=at_least_one)
    ] = 2
    agent: Annotated[
        str,
        Key(
            "Agent that works: claude, codex, opencode, gemini, or a name under [agents].",
            check=lambda value: (
                "" if re.fullmatch(AGENT_NAME, value) else "is not the name of an agent"
            ),
        ),
    ] = "claude"
    path: Annotated[
        str, Key("Folder of a worktree, relative to the repository.", True, check=check_path)
    ] = "../{repo}-issue-{number}"
    branch: Annotated[str, Key("Name of a worker's branch.", check=check_branch)] = "issue-{number}"
    setup: Annotated[
        Commands,
        Key(
            "Commands that prepare a fresh worktree, each an argument list, run without a shell.",
            True,
            example=(("npm", "ci"),),
        ),
    ] = ()
    setup_timeout: Annotated[
        int, Key("Seconds that all of `setup` may take.", check=at_least_one)
    ] = 900
    stack: Annotated[
        bool,
        Key(
            "Start an issue whose only open blocker is a complete session on that session's branch."
        ),
    ] = False
    retries: Annotated[
        int,
        Key(
            "Retries after crashes, until a new commit is on the remote or a person says something."
        ),
    ] = 3
    follow_up_rounds: Annotated[
        int,
        Key(
            "How often failing checks, reviews and conflicts go back to the worker of a pull. 0: never."
        ),
    ] = 3
    ready_labels: Annotated[
        Words,
        Key(
            "Labels that an issue must all have to be started.",
            True,
            check=lambda value: "" if value else "must name at least one label",
        ),
    ] = ("ready",)
    ready_exclude: Annotated[
        Words, Key("Labels that keep an issue from being started.", True, example=("blocked",))
    ] = ()
    ready_milestone: Annotated[
        str | None, Key("Only issues of this milestone.", True, example="v1.0")
    ] = None
    ready_assigned: Annotated[
        Literal["me-or-nobody", "me", "nobody", "anyone"],
        Key("Whose issues are started, by assignee.", True),
    ] = "me-or-nobody"
    ready_priority: Annotated[
        Words, Key("Labels that go first, the most urgent first.", example=("urgent", "soon"))
    ] = ()
    budget_total: Annotated[
        float | None,
        Key("US dollars that all sessions of this clone may cost together.", True, example=50.0),
    ] = None
    budget_per_issue: Annotated[
        float | None, Key("US dollars that one issue may cost.", True, example=5.0)
    ] = None
    budget_per_day: Annotated[
        float | None, Key("US dollars that one day (UTC) may cost.", True, example=20.0)
    ] = None
    budget_allow_unknown: Annotated[
        bool,
        Key(
            "Allow agents that report no cost, and launches whose cost is not known, although a budget is set.",
            True,
        ),
    ] = False
    pulls_open: Annotated[
        Literal["orchestrator", "worker"],
        Key("Who pushes and opens the pull. A worker needs credentials of its own."),
    ] = "orchestrator"
    pulls_draft: Annotated[bool, Key("Open pulls as drafts.")] = False
    pulls_bots: Annotated[
        Words,
        Key(
            "Bots whose reviews count like a person's, such as a review service.",
            True,
            example=("reviewer[bot]",),
        ),
    ] = ()
    github_base_url: Annotated[
        str | None,
        Key(
            "API of a GitHub Enterprise server. The token is sent there.",
            True,
            check=check_base_url,
            example="https://github.example.com/api/v3",
        ),
    ] = None
    github_write_back: Annotated[
        bool, Key("Keep one status comment and orch: labels on each issue.")
    ] = False
    git_sign: Annotated[
        Literal["inherit", "off"],
        Key("Sign the workers' commits as git is configured, or not at all."),
    ] = "inherit"
    notify_command: Annotated[
        Words,
        Key(
            "Command that gets each notification as JSON on stdin.",
            True,
            example=("notify-me", "--json"),
        ),
    ] = ()
    notify_urls: Annotated[
        Words,
        Key(
            "Apprise addresses (extra `notify`), such as ntfy://topic.",
            True,
            example=("ntfy://my-topic",),
        ),
    ] = ()
    notify_after_minutes: Annotated[
        int, Key("Remind of a question that is open for so long. 0: never.")
    ] = 60
    agents: dict[str, Agent] = {}

    def agent_settings(self, name: str | None = None) -> Agent:
        """The settings of an agent, of the configured one without a name."""
        return self.agents.get(name or self.agent, Agent())

    @property
    def warnings(self) -> tuple[str, ...]:
        many = f"max_workers = {self.max_workers}: above 5, reviews and the machine usually become the bottleneck"
        return (many,) if self.max_workers > 5 else ()


KEYS = _keys_of(Config)
AGENT_KEYS = _keys_of(Agent)
BY_NAME = {key.name: key for key in KEYS}
AGENT_BY_NAME = {key.name: key for key in AGENT_KEYS}


def find_key(name: str) -> Key | None:
    """The key of a dotted name; agents.NAME.KEY carries its full name."""
    head, _, rest = name.partition(".")
    agent, _, last = rest.partition(".")
    if head == "agents" and re.fullmatch(AGENT_NAME, agent) and last in AGENT_BY_NAME:
        return AGENT_BY_NAME[last]._replace(name=name)
    return BY_NAME.get(name)


def toml_value(value: Any) -> str:
    """On one line."""
    import tomli_w

    if isinstance(value, dict):
        pairs = (f"{name} = {toml_value(item)}" for name, item in value.items())
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    return tomli_w.dumps({"v": value}).removeprefix("v = ").rstrip("\n")


def commented_file(values: Mapping[str, Any]) -> str:
    """A configuration file with `values` set, and every other key as a comment that says what it is."""
    named = [name.split(".")[1] for name in values if name.startswith("agents.")]
    agents = dict.fromkeys([*named, values.get("agent", "claude")])
    of_agents = [
        key._replace(name=f"agents.{agent}.{key.name}") for agent in agents for key in AGENT_KEYS
    ]
    lines = [
        "# Configuration of issue-orch. Keys marked (approval) count after: issue-orch init --approve",
        "",
    ]
    table = ""
    for key in (*KEYS, *of_agents):
        before, (table, _, name) = table, key.name.rpartition(".")
        lines += [f"[{table}]"] if table != before else []
        sample = key.default if key.example is None else key.example
        choices = f" One of: {', '.join(key.choices)}." if key.choices else ""
        lines += [
            f"# {key.description}{choices}{' (approval)' if key.approval else ''}",
            f"{'' if key.name in values else '# '}{name} = {toml_value(values.get(key.name, sample))}",
            "",
        ]
    return "\n".join(lines)
