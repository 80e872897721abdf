"""What a session is launched with: written by the command that starts it, read by its supervisor and its helpers.

No secret is in it. Spelled as in launch.json.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

from ..core.record import ProcessId
from ..errors import StateUnreadable
from .files import load_json, load_sessions, session_folder, write_json


class AgentSettings(TypedDict):
    """[agents.NAME] of the configuration, and the adapter that runs it."""

    adapter: str
    command: Sequence[str]
    resume: Sequence[str]
    args: Sequence[str]
    model: str | None
    profile: Literal["safe", "trusted"]
    env: Sequence[str]
    prices: dict[str, float] | None
    repository_settings: bool


class Notifying(TypedDict):
    """What it takes to tell people: `notify` has the command and the addresses."""

    commonDir: str
    notify: dict[str, list[str]]


class Launch(Notifying):
    """`repo` are the fields of git's Repo, `budget` those of Ceilings, `limits` of Limits; `stallAfter` is in seconds."""

    agent: AgentSettings
    gitDir: str
    top: str
    repo: dict[str, Any]
    repoName: str
    baseUrl: str
    remote: str
    report: str
    limits: dict[str, int]
    budget: dict[str, Any]
    slots: int
    pullsOpen: str
    draft: bool
    sign: str
    identity: str
    stallAfter: float


def save_launch(state: Path, number: int, launch: Launch) -> None:
    write_json(_path(state, number), launch, durable=True)


def load_launch(state: Path, number: int) -> Launch | None:
    return cast("Launch | None", load_json(_path(state, number)))


def copied_from(state: Path, number: int) -> str:
    """The clone whose worker a session has, when this state is a copy of that one's; empty for one that was moved."""
    try:
        launch = load_launch(state, number)
    except StateUnreadable:
        launch = None
    home = launch["commonDir"] if launch else ""
    there = f"{home}/issue-orch"
    if (
        not home
        or not os.path.isdir(f"{there}/sessions/{number}")
        or os.path.samefile(there, state)
    ):
        return ""
    return os.path.dirname(home)


def leaders(state: Path) -> dict[int, ProcessId | None]:
    """By issue, the supervisor that its session had last in this clone."""
    return {
        number: None if copied_from(state, number) else status["supervisor"]
        for status in load_sessions(state)[0]
        for number in [status["issueNumber"]]
    }


def _path(state: Path, number: int) -> Path:
    return session_folder(state, number) / "launch.json"
