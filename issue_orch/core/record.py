"""Whether a status file holds what its writer writes, so that nobody who reads it has to look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NONE = type(None)
TEXT: set[Any] = {str}
TEXT_OR_NULL: set[Any] = {str, NONE}
COUNT: set[Any] = {int}
LIST: set[Any] = {list}
TABLE: set[Any] = {dict, NONE}
PHASES = ("registered", "planning", "working", "stuck", "complete", "cancelled")
FIELDS: dict[str, set[Any]] = {
    **dict.fromkeys(
        (
            "status",
            "issueTitle",
            "branch",
            "worktreePath",
            "base",
            "baseSha",
            "agent",
            "repo",
            "issueUrl",
        ),
        TEXT,
    ),
    **dict.fromkeys(
        (
            "id",
            "startedAt",
            "lastHeartbeat",
            "stuckReason",
            "forwardedMessage",
            "pullRequestUrl",
            "agentSessionId",
            "retryAt",
            "failure",
            "endedAt",
            "hold",
        ),
        TEXT_OR_NULL,
    ),
    **dict.fromkeys(
        ("question", "supervisor", "agentProcess", "changes", "lastActivity", "publish"), TABLE
    ),
    "issueNumber": COUNT,
    "attempt": COUNT,
    "plannedFiles": LIST,
    "cost": {dict},
}
INNER: dict[str, dict[str, set[Any]]] = {
    "question": {
        "id": TEXT,
        "decision": TEXT,
        "options": LIST,
        "context": TEXT_OR_NULL,
        "default": TEXT_OR_NULL,
        "askedAt": TEXT,
    },
    "supervisor": {"pid": COUNT, "startTicks": COUNT, "bootId": TEXT},
    "agentProcess": {"pid": {int, NONE}, "exitCode": {int, NONE}},
    "cost": {"usd": {int, float, NONE}, "inputTokens": COUNT, "outputTokens": COUNT},
    "changes": dict.fromkeys(("files", "insertions", "deletions"), COUNT),
    "lastActivity": {"at": TEXT, "text": TEXT},
    "publish": {"pending": {bool}, "reason": TEXT_OR_NULL},
}


def damaged(status: Mapping[str, Any]) -> str | None:
    """The first field that is not as it is written."""
    for field, kinds in FIELDS.items():
        if type(status[field]) not in kinds:
            return field
    if status["status"] not in PHASES:
        return "status"
    if status["hold"] not in (None, "paused", "stopped", "budget"):
        return "hold"
    for field, inner in INNER.items():
        if (table := status[field]) is not None:
            for key, kinds in inner.items():
                if type(table.get(key, table)) not in kinds:
                    return field
    question = status["question"]
    for item in (
        status["plannedFiles"]
        if question is None
        else (*status["plannedFiles"], *question["options"])
    ):
        if type(item) is not str:
            return "plannedFiles or question"
    return None
