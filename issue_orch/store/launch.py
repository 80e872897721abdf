"""What a session is launched with: written by the command that starts it, read by its supervisor and its helpers.

No secret is in it. Spelled as in launch.json.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

from .files import load_json, session_folder, write_json


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


def _path(state: Path, number: int) -> Path:
    return session_folder(state, number) / "launch.json"
