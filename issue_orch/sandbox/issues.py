"""The memory of the sandbox: users, issues, labels, comments and dependencies, and how a person changes them."""

from __future__ import annotations

import itertools
import secrets
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, Literal, TypeVar, cast

from . import bare as git
from .records import (
    Check,
    Comment,
    CommitStatus,
    Event,
    Issue,
    Label,
    Milestone,
    Permission,
    Protection,
    Pull,
    Refused,
    Review,
    ReviewComment,
    User,
)

Method = TypeVar("Method", bound=Callable[..., Any])
IssueKey = int | tuple[str, int]
PERSON = "maria"


def locked(method: Method) -> Method:
    """One change or one answer at a time."""

    @wraps(method)
    def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self.lock:
            return method(self, *args, **kwargs)

    return cast(Method, guarded)


class Issues:
    """Everything that GitHub would remember of one repository. Every change moves `revision`."""

    def __init__(
        self,
        bare: git.Bare,
        repo: str,
        default_branch: str,
        private: bool,
        now: Callable[[], float],
    ) -> None:
        self.repo, self.default_branch, self.private, self.repository = (
            repo,
            default_branch,
            private,
            bare,
        )
        self.bare = bare.path
        self.lock = threading.RLock()
        self._clock = now
        self.created_at = self.now()
        self.revision = 0
        self.cache: dict[Any, Any] = {}
        self.ids = itertools.count(1000)
        self.numbers = itertools.count(1)
        self.users: dict[str, User] = {}
        self.labels: dict[str, Label] = {}
        self.milestones: dict[int, Milestone] = {}
        self.issues: dict[int, Issue] = {}
        self.foreign: dict[tuple[str, int], Issue] = {}
        self.gone: dict[int, Refused] = {}
        self.pulls: dict[int, Pull] = {}
        self.comments: dict[int, dict[int, Comment]] = defaultdict(dict)
        self.events: dict[int, list[Event]] = defaultdict(list)
        self.reviews: dict[int, list[Review]] = defaultdict(list)
        self.review_comments: dict[int, list[ReviewComment]] = defaultdict(list)
        self.checks: dict[str, dict[str, Check]] = defaultdict(dict)
        self.statuses: dict[str, dict[str, CommitStatus]] = defaultdict(dict)
        self.blocked_by: dict[int, list[IssueKey]] = defaultdict(list)
        self.blocking: dict[int, list[int]] = defaultdict(list)
        self.children: dict[int, list[int]] = defaultdict(list)
        self.parents: dict[int, int] = {}
        self.protections: list[Protection] = []
        self.heads = git.branch_heads(bare)
        self.received = git.received_size(bare)
        self.add_user(PERSON, "admin")

    def now(self) -> int:
        return int(self._clock())

    def changed(self) -> None:
        self.revision += 1
        self.cache.clear()

    @locked
    def add_user(
        self,
        login: str,
        permission: Permission,
        kind: Literal["User", "Bot"] = "User",
        scopes: str | None = "repo",
    ) -> str:
        """A user with a token; for a login that exists, permission, kind and scopes are set anew."""
        known = self.users.get(login)
        number, token = (
            (known.id, known.token)
            if known
            else (next(self.ids), f"sandbox_{secrets.token_hex(16)}")
        )
        self.users[login] = User(login, number, kind, permission, token, scopes)
        self.changed()
        return token

    def user(self, login: str) -> User:
        """Whoever writes without being a collaborator exists on GitHub all the same."""
        if login not in self.users:
            self.add_user(login, "none")
        return self.users[login]

    @locked
    def add_label(self, number: int, label: str, by: str = PERSON) -> None:
        issue = self.issues[number]
        name = self.label(label).name
        if name not in issue.labels:
            self.put(issue._replace(labels=(*issue.labels, name)))
            self.record(number, "labeled", by, label=name)

    def label(self, name: str) -> Label:
        """Names compare without case; an unknown one comes to be, as on GitHub."""
        key = name.casefold()
        if key not in self.labels:
            self.labels[key] = Label(next(self.ids), name)
        return self.labels[key]

    @locked
    def remove_label(self, number: int, label: str, by: str = PERSON) -> None:
        issue, gone = self.issues[number], self.label(label).name
        if gone in issue.labels:
            self.put(issue._replace(labels=tuple(name for name in issue.labels if name != gone)))
            self.record(number, "unlabeled", by, label=gone)

    @locked
    def add_issue(
        self,
        title: str,
        body: str = "",
        labels: Iterable[str] = (),
        author: str = PERSON,
        ready_by: str | None = None,
        assignees: Iterable[str] = (),
        milestone: str | None = None,
    ) -> int:
        """Open an issue; `ready_by` is who put the labels on, if not the author."""
        number, now = next(self.numbers), self.now()
        where = self._milestone(milestone) if milestone else None
        self.user(author)
        self.put(Issue(number, title, body, author, now, now, self.repo, milestone=where))
        for name in labels:
            self.add_label(number, name, ready_by or author)
        self.assign(number, assignees, author)
        return number

    def _milestone(self, title: str) -> int:
        for known in self.milestones.values():
            if known.title == title:
                return known.number
        number = len(self.milestones) + 1
        self.milestones[number] = Milestone(number, title, self.now())
        return number

    @locked
    def assign(self, number: int, logins: Iterable[str], by: str = PERSON) -> None:
        """Set the assignees."""
        issue, wanted = self.issues[number], tuple(logins)
        for login in wanted:
            self.user(login)
        if issue.assignees != wanted:
            self.put(issue._replace(assignees=wanted))
        for login in (*issue.assignees, *wanted):
            if (login in issue.assignees) != (login in wanted):
                self.record(
                    number, "assigned" if login in wanted else "unassigned", by, assignee=login
                )

    @locked
    def edit_issue(
        self, number: int, title: str | None = None, body: str | None = None, by: str = PERSON
    ) -> None:
        """Only a new title leaves an event behind: GitHub's timeline does not show edits of the text."""
        issue = self.issues[number]
        new = issue._replace(
            title=issue.title if title is None else title, body=issue.body if body is None else body
        )
        self.put(new)
        if new.title != issue.title:
            self.record(number, "renamed", by, rename={"from": issue.title, "to": new.title})

    @locked
    def close_issue(
        self,
        key: IssueKey,
        reason: Literal["completed", "not_planned"] = "completed",
        by: str = PERSON,
        commit: str | None = None,
    ) -> None:
        issue = self.issue(key)
        self.put(
            issue._replace(
                state="closed",
                closed_at=self.now(),
                closed_by=by,
                state_reason=None if key in self.pulls else reason,
            )
        )
        if isinstance(key, int):
            self.record(key, "closed", by, commit_id=commit, state_reason=reason)

    @locked
    def reopen_issue(self, key: IssueKey, by: str = PERSON) -> None:
        self.put(
            self.issue(key)._replace(
                state="open", state_reason="reopened", closed_at=None, closed_by=None
            )
        )
        if isinstance(key, int):
            self.record(key, "reopened", by, state_reason=None)

    @locked
    def transfer_issue(self, number: int) -> None:
        """To another repository of its owner, whose id GitHub names there."""
        self._take_away(
            number, Refused(301, "Moved Permanently", moved_to="/repositories/77/issues/5")
        )

    @locked
    def delete_issue(self, number: int, discussion: bool = False) -> None:
        """Delete it, or make a discussion of it, of which this interface knows nothing."""
        words = (404, "Not Found") if discussion else (410, "This issue was deleted")
        self._take_away(number, Refused(*words))

    def _take_away(self, number: int, answer: Refused) -> None:
        del self.issues[number]
        self.gone[number] = answer
        for blocked in self.blocked_by.values():
            blocked[:] = [each for each in blocked if each != number]
        for linked in (*self.blocking.values(), *self.children.values()):
            linked[:] = [each for each in linked if each != number]
        self.changed()

    def issue(self, key: IssueKey) -> Issue:
        return self.issues[key] if isinstance(key, int) else self.foreign[key]

    @locked
    def add_blocked_by(self, number: int, blocker: int | tuple[str, int, bool]) -> None:
        """`blocker` is a number, or (repository, number, whether tokens of this sandbox may see it)."""
        if isinstance(blocker, int):
            self.blocking[blocker].append(number)
            self.blocked_by[number].append(blocker)
        else:
            repo, foreign, visible = blocker
            title, now = f"Issue {foreign} of {repo}", self.now()
            self.foreign.setdefault(
                (repo, foreign), Issue(foreign, title, "", PERSON, now, now, repo, visible=visible)
            )
            self.blocked_by[number].append((repo, foreign))
        self.changed()

    @locked
    def remove_blocked_by(self, number: int, blocker: IssueKey) -> None:
        self.blocked_by[number].remove(blocker)
        if isinstance(blocker, int):
            self.blocking[blocker].remove(number)
        self.changed()

    @locked
    def add_sub_issue(self, parent: int, child: int) -> None:
        self.children[parent].append(child)
        self.parents[child] = parent
        self.changed()

    @locked
    def comment(self, number: int, body: str, by: str = PERSON) -> int:
        """Comment on an issue or a pull; returns the comment's id."""
        now, user = self.now(), self.user(by)
        made = Comment(next(self.ids), number, user.login, body, now, now)
        self.comments[number][made.id] = made
        self.put(self.issues[number])
        return made.id

    @locked
    def edit_comment(self, comment_id: int, body: str) -> None:
        old = next(found[comment_id] for found in self.comments.values() if comment_id in found)
        self.comments[old.issue][comment_id] = old._replace(body=body, updated_at=self.now())
        self.changed()

    def find_comment(self, comment_id: int) -> Comment | None:
        return next(
            (found[comment_id] for found in self.comments.values() if comment_id in found), None
        )

    def put(self, issue: Issue) -> None:
        """Every change of an issue passes here: it moves updated_at and the revision."""
        issue = issue._replace(updated_at=self.now())
        if issue.repo == self.repo:
            self.issues[issue.number] = issue
        else:
            self.foreign[(issue.repo, issue.number)] = issue
        self.changed()

    def record(self, number: int, kind: str, actor: str, **about: Any) -> None:
        self.events[number].append(
            Event(next(self.ids), kind, self.user(actor).login, self.now(), about)
        )
        self.changed()
