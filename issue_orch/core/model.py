"""What GitHub holds, as plain values; and the strings and numbers that must not be mixed up."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple, NewType, Self

Branch = NewType("Branch", str)
CommitSha = NewType("CommitSha", str)


class RepoName(str):
    """owner/name, as hosts have them. Of any other text it raises ValueError, so that none becomes part of an address."""

    def __new__(cls, text: str) -> Self:
        if not re.fullmatch(
            r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}/(?!\.{1,2}\Z)[A-Za-z0-9_.-]{1,100}", text
        ):
            raise ValueError(f"{text!r} is not owner/name")
        return super().__new__(cls, text)


class Number(int):
    """By which GitHub knows an issue, a pull, a comment, a check: from 1 to 2^63 - 1. Of all else it raises ValueError."""

    def __new__(cls, value: int | str) -> Self:
        plain = type(value) in (int, cls) or (
            isinstance(value, str) and re.fullmatch("0*[1-9][0-9]{0,18}", value)
        )
        if not plain or not 0 < int(value) < 2**63:
            raise ValueError(f"{str(value)[:40]!r} is not a number of GitHub")
        return super().__new__(cls, value)


def find_number(text: str) -> Number | None:
    """The number that a text is; None when it is none, or one that GitHub cannot have."""
    try:
        return Number(text)
    except ValueError:
        return None


class Token(NamedTuple):
    """A secret, where it was found, and the one host it is for. Printing it never shows the secret."""

    value: str
    source: str
    host: str

    def __repr__(self) -> str:
        return f"Token(source={self.source!r}, host={self.host!r})"


def is_loopback(name: str) -> bool:
    """Whether a host is this machine, where a token may go without encryption."""
    from ipaddress import ip_address

    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


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
    is_pull: bool
    open_blockers: int | None
    total_blockers: int | None
    sub_issues_total: int | None
    sub_issues_completed: int | None

    def has(self, labels: Iterable[str]) -> bool:
        """Whether it has all of these; to GitHub upper and lower case are the same."""
        return {*map(str.casefold, labels)} <= {*map(str.casefold, self.labels)}


class Blocker(NamedTuple):
    """Another issue that must be closed as completed first."""

    repo: RepoName
    number: int
    title: str
    state: Literal["open", "closed"]
    state_reason: str | None


class Pull(NamedTuple):
    """A pull request. `head_repo` is owner/name, None when that repository is gone. Times are ISO-8601; one that was not
    merged has an empty `merged_at`."""

    number: int
    url: str
    state: Literal["open", "closed"]
    merged: bool
    draft: bool
    head_repo: str | None
    head_branch: str
    head_sha: str
    base_branch: str
    mergeable: bool | None = None
    mergeable_state: str | None = None
    title: str = ""
    body: str = ""
    author: str = ""
    merged_at: str = ""

    def is_of(self, repo: str) -> bool:
        """Whether its branch lies in `repo`, and not in a fork."""
        return (self.head_repo or "").casefold() == repo.casefold()


class Comment(NamedTuple):
    """A comment on an issue or, with `path`, on a line of a pull. Edited when updated_at is not created_at.

    `author_kind` is User for a human account, Bot, or App for what an app wrote in a person's name.
    """

    id: int
    issue: int
    author: str
    author_kind: str
    body: str
    url: str
    created_at: str
    updated_at: str
    path: str | None = None
    line: int | None = None


class Review(NamedTuple):
    """A review of a pull. `state` is APPROVED, CHANGES_REQUESTED, COMMENTED, DISMISSED or PENDING."""

    id: int
    author: str
    author_kind: str
    state: str
    body: str
    url: str


GOOD = ("success", "neutral", "skipped")  # conclusions of a check


class CheckRun(NamedTuple):
    """A check run, or a legacy status (id None). `conclusion` is None until status is `completed`."""

    id: int | None
    name: str
    status: str
    conclusion: str | None
    url: str
    summary: str

    @property
    def failed(self) -> bool:
        return self.status == "completed" and self.conclusion not in GOOD


class Annotation(NamedTuple):
    """What a check run says of a line. `level` is notice, warning or failure."""

    path: str
    line: int | None
    level: str
    message: str


class LabelEvent(NamedTuple):
    """A label set (`added`) or taken away, by whom; without a label: the issue was reopened. `actor_kind` as in Comment."""

    actor: str
    actor_kind: str
    label: str
    at: str
    added: bool


class RepoFacts(NamedTuple):
    """The repository as the token sees it. `permissions` of the token's owner; None when the server is silent."""

    repo: str
    default_branch: str
    archived: bool
    permissions: tuple[str, ...] | None


class Protection(NamedTuple):
    """What stands between a branch and a merge, as far as the token may know. None is unknown."""

    protected: bool
    required_reviews: int | None
    signatures: bool | None
    bypass: bool | None


class RateFacts(NamedTuple):
    """What one connection used, and what is left of the limit; `reset` is seconds since the epoch."""

    requests: int
    not_modified: int
    remaining: int | None
    limit: int | None
    reset: int | None
