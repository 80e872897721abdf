"""The words of issue-orch as types: what is on disk, and what was observed."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, NewType, TypedDict

SCHEMA_VERSION = 1

IssueNumber = NewType("IssueNumber", int)
Branch = NewType("Branch", str)
CommitSha = NewType("CommitSha", str)

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


class Publish(TypedDict):
    """A completed session whose pull could not be opened yet, and why."""

    pending: bool
    reason: str


class SessionStatus(TypedDict):
    """sessions/<id>/status.json. Spelled as published in docs/status.schema.json; unknown fields are kept."""

    schemaVersion: int
    id: str
    issueNumber: int
    issueTitle: str
    status: Phase
    branch: str
    worktreePath: str
    startedAt: str
    lastHeartbeat: str | None
    stuckReason: str | None
    forwardedMessage: str | None
    pullRequestUrl: str | None
    repo: str
    issueUrl: str
    base: str
    baseSha: str
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


class PullFacts(TypedDict, total=False):
    """sessions/<id>/pull.json: what GitHub said of the pull, written by the poll alone. Absent key = not looked at."""

    number: int
    url: str
    state: Literal["open", "closed"]
    merged: bool
    draft: bool
    headSha: str
    base: str
    mergeable: bool | None
    checks: Literal["passing", "failing", "pending", "none", "unavailable"]
    failingChecks: list[dict[str, Any]]
    review: Literal["approved", "changes_requested", "required", "none", "unavailable"]
    behind: bool
    others: list[str]
    sensitivePaths: list[str]
    fetchedAt: str


class Issue(NamedTuple):
    """An issue as GitHub gave it. None in a count means that the server does not say: unknown, never zero."""

    number: int
    title: str
    body: str
    author: str
    url: str
    labels: tuple[str, ...]
    state: Literal["open", "closed"]
    state_reason: str | None
    assignees: tuple[str, ...]
    milestone: str | None
    created_at: str
    updated_at: str
    is_pull: bool
    open_blockers: int | None
    total_blockers: int | None
    sub_issues_total: int | None
    sub_issues_completed: int | None
    parent: int | None = None


class Blocker(NamedTuple):
    """Another issue that must be closed as completed first. `repo` is owner/name."""

    repo: str
    number: int
    title: str
    state: Literal["open", "closed"]
    state_reason: str | None


class Pull(NamedTuple):
    """A pull request. `head_repo` is owner/name, None when that repository is gone. Times are ISO-8601."""

    number: int
    url: str
    title: str
    body: str
    state: Literal["open", "closed"]
    merged: bool
    draft: bool
    head_repo: str | None
    head_branch: str
    head_sha: str
    base_branch: str
    author: str
    mergeable: bool | None = None
    mergeable_state: str | None = None
