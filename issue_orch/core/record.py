"""What is on disk, as types; of the status file also the blank and the check, both derived from its type.

`scripts/docs` derives the published JSON schema from the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict, cast, get_args

if TYPE_CHECKING:
    from .model import Branch, CommitSha

SCHEMA_VERSION = 1
Phase = Literal["registered", "planning", "working", "stuck", "complete", "cancelled"]
Hold = Literal["paused", "stopped", "budget"]


class Question(TypedDict):
    """What a stuck worker asks. `options` are shown numbered from 1; `default` is one of them or free text."""

    id: str
    decision: str
    options: list[str]
    context: str | None
    default: str | None
    askedAt: str


def read_answer(text: str, options: Sequence[str]) -> str:
    """What an answer means: the number of an option is that option. Of a number that none has it raises ValueError."""
    number = re.fullmatch(r"(?:option )?[#(]?([0-9]{1,9})[.)]?", text.strip(), re.IGNORECASE)
    if not (number and options):
        return text
    if 1 <= int(number[1]) <= len(options):
        return options[int(number[1]) - 1]
    if text.strip() in options:
        return text
    raise ValueError(f"there is no option {number[1]}: 1 to {len(options)}, or say it in words")


class ProcessId(TypedDict):
    """Identity of a process that survives pid reuse and clock changes."""

    pid: int
    startTicks: int
    bootId: str


class AgentProcess(TypedDict):
    pid: int | None
    exitCode: int | None


class Cost(TypedDict):
    """Booked so far for the session. `usd` is null when the agent does not say and no prices are configured."""

    usd: float | None
    inputTokens: int
    outputTokens: int


class Changes(TypedDict):
    files: int
    insertions: int
    deletions: int


class Activity(TypedDict):
    at: str
    text: str
    quiet: NotRequired[str]  # the evidence, when the agent is silent for long


class Publish(TypedDict):
    """A completed session whose pull could not be opened yet, and why."""

    pending: bool
    reason: str


class SessionStatus(TypedDict):
    """sessions/<id>/status.json. Spelled as published in issue_orch/status.schema.json; unknown fields are kept."""

    schemaVersion: int
    id: str
    issueNumber: int
    issueTitle: str
    status: Phase
    branch: Branch
    worktreePath: str
    startedAt: str
    lastHeartbeat: str | None
    stuckReason: str | None
    forwardedMessage: str | None
    pullRequestUrl: str | None
    repo: str
    issueUrl: str
    base: Branch
    baseSha: CommitSha
    agent: str
    agentSessionId: str | None
    attempt: int
    hold: Hold | None
    question: Question | None
    supervisor: ProcessId | None
    agentProcess: AgentProcess | None
    cost: Cost
    plannedFiles: list[str]
    changes: Changes | None
    lastActivity: Activity | None
    publish: Publish | None
    retryAt: str | None
    failure: str | None
    endedAt: str | None


class Message(TypedDict):
    """A message to a worker. `question` is the id of the question that it answers."""

    id: str
    kind: str
    text: str
    author: str
    at: str
    question: str | None
    now: bool
    file: NotRequired[str]  # where it lies


class PullFacts(TypedDict, total=False):
    """sessions/<id>/pull.json: what GitHub said of the pull, written by the poll alone. Absent key = not looked at.

    `held` says why nothing goes back to the worker although something could.
    """

    number: int
    url: str
    state: Literal["open", "closed"]
    merged: bool
    draft: bool
    headSha: str
    mergedAt: str
    base: Branch
    mergeable: bool | None
    checks: Literal["passing", "failing", "pending", "none", "unavailable"]
    failingChecks: list[dict[str, Any]]
    review: Literal["approved", "changes_requested", "required", "none", "unavailable"]
    behind: bool
    others: list[str]
    sensitivePaths: list[str]
    held: str
    fetchedAt: str


# What an annotation permits: types of the value, its choices, or the table that it is; and lists of texts.
TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "Branch": (str,),
    "CommitSha": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "None": (type(None),),
}
CHOICES = {"Phase": get_args(Phase), "Hold": get_args(Hold)}
TABLES: dict[str, Any] = {
    each.__name__: each
    for each in (Question, ProcessId, AgentProcess, Cost, Changes, Activity, Publish)
}


def alternatives(table: Any) -> dict[str, list[str]]:
    """The alternatives that the annotation of each field names; without the fields that may be absent."""
    words = {name: each.__forward_arg__ for name, each in table.__annotations__.items()}
    return {name: each.split(" | ") for name, each in words.items() if "NotRequired" not in each}


def _blank(words: list[str]) -> Any:
    if "None" in words:
        return None
    if words[0] in TABLES:
        fields = alternatives(TABLES[words[0]])
        return {name: _blank(inner) for name, inner in fields.items()}
    return None if words[0] in CHOICES else TYPES.get(words[0], (list,))[0]()


FIELDS = alternatives(SessionStatus)
# Nothing is set. What an older version did not write reads like this; without its number a session is damaged.
BLANK = {name: _blank(words) for name, words in FIELDS.items()} | {"issueNumber": None}


def new_status(number: int, **fields: Any) -> SessionStatus:
    nothing = {"usd": 0.0, "inputTokens": 0, "outputTokens": 0}
    own = {"schemaVersion": SCHEMA_VERSION, "id": str(number), "issueNumber": number}
    blank = {**BLANK, **own, "status": "registered", "plannedFiles": [], "cost": nothing, **fields}
    return cast("SessionStatus", blank)


def _checks(fields: dict[str, list[str]]) -> list[tuple[str, frozenset[type], list[str]]]:
    """For each field the types of values that need no look inside, and what else it may hold."""
    return [
        (
            name,
            frozenset(kind for word in words for kind in TYPES.get(word, ())),
            [word for word in words if word not in TYPES],
        )
        for name, words in fields.items()
    ]


_CHECKS = _checks(FIELDS)
_INNER = {name: _checks(alternatives(table)) for name, table in TABLES.items()}


def damaged(status: Mapping[str, Any]) -> str | None:
    """The first field that is not as it is written."""
    return _misfit(status, _CHECKS)


def _misfit(
    record: Mapping[str, Any], checks: list[tuple[str, frozenset[type], list[str]]]
) -> str | None:
    for name, plain, words in checks:  # thousands of times in `status`
        value = record.get(name, ...)
        if type(value) in plain:
            continue
        for word in words:
            if _fits(value, word):
                break
        else:
            return name
    return None


def _fits(value: Any, word: str) -> bool:
    if word in TABLES:
        return type(value) is dict and _misfit(value, _INNER[word]) is None
    if word == "list[str]":
        return type(value) is list and all(type(each) is str for each in value)
    return value in CHOICES[word]
