"""What the sandbox remembers, as plain values: users, issues, pulls, comments, reviews, checks, requests."""

from __future__ import annotations

import time
from typing import Any, Literal, NamedTuple

Json = dict[str, Any]
Permission = Literal["admin", "maintain", "write", "triage", "read", "none"]
RANKS: tuple[Permission, ...] = ("none", "read", "triage", "write", "maintain", "admin")


class User(NamedTuple):
    """`scopes` is what X-OAuth-Scopes says; None is a fine-grained token, for which GitHub says nothing."""

    login: str
    id: int
    kind: str
    permission: Permission
    token: str
    scopes: str | None


class Label(NamedTuple):
    id: int
    name: str
    color: str = "ededed"
    description: str = ""


class Milestone(NamedTuple):
    number: int
    title: str
    created_at: int


class Issue(NamedTuple):
    """Also carries the half of a pull that GitHub shows under /issues. `repo` and `visible` serve foreign blockers."""

    number: int
    title: str
    body: str
    author: str
    created_at: int
    updated_at: int
    repo: str
    labels: tuple[str, ...] = ()
    assignees: tuple[str, ...] = ()
    milestone: int | None = None
    state: Literal["open", "closed"] = "open"
    state_reason: str | None = None
    closed_at: int | None = None
    closed_by: str | None = None
    visible: bool = True


class Pull(NamedTuple):
    """`asked` is the (head, base) pair for which somebody has asked whether it merges; `mergeable` is the answer."""

    number: int
    head: str
    base: str
    head_sha: str
    draft: bool = False
    merged_at: int | None = None
    merged_by: str | None = None
    merge_sha: str | None = None
    merge_base: str | None = None
    asked: tuple[str, str] | None = None
    mergeable: bool | None = None


class Comment(NamedTuple):
    id: int
    issue: int
    author: str
    body: str
    created_at: int
    updated_at: int


class Event(NamedTuple):
    """One line of a timeline; `about` holds what is particular to the kind (label, rename, source, …)."""

    id: int
    kind: str
    actor: str
    at: int
    about: Json


class Review(NamedTuple):
    id: int
    pull: int
    author: str
    state: str
    body: str
    commit: str
    at: int


class ReviewComment(NamedTuple):
    id: int
    review: int
    path: str
    line: int
    body: str


class Check(NamedTuple):
    """A check run; `conclusion` None is one still running."""

    id: int
    sha: str
    name: str
    conclusion: str | None
    annotations: tuple[Json, ...]
    at: int


class CommitStatus(NamedTuple):
    id: int
    context: str
    state: str
    description: str
    at: int


class Protection(NamedTuple):
    """A protected branch, or with `ruleset` a rule on every branch that matches `pattern`."""

    pattern: str
    reviews: int
    checks: tuple[str, ...]
    signatures: bool
    ruleset: bool


class Push(NamedTuple):
    """A ref update as it arrived at the bare repository, refused ones included; `user` is empty over a path."""

    ref: str
    old: str
    new: str
    user: str


class Request(NamedTuple):
    """A request as it was answered; `path` is without /api/v3, `at` in seconds since the epoch."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    user: str | None
    status: int
    conditional: bool
    at: float


class Incoming(NamedTuple):
    """A request as it came in; `target` is the path with its query."""

    method: str
    target: str
    headers: dict[str, str]
    raw: bytes


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    payload: bytes


class Refused(Exception):
    """An answer other than success, with GitHub's words for it; `moved_to` is the path where it is now."""

    def __init__(self, status: int, message: str, *errors: Json, moved_to: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.errors = status, message, errors
        self.moved_to = moved_to


def invalid(resource: str, code: str = "invalid", **more: str) -> Refused:
    return Refused(422, "Validation Failed", {"resource": resource, "code": code, **more})


def allows(permission: Permission, needed: Permission) -> bool:
    return RANKS.index(permission) >= RANKS.index(needed)


def stamp(seconds: int | None) -> str | None:
    """GitHub's timestamps have whole seconds and a Z."""
    return None if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
