"""Everything that issue-orch asks of GitHub, as plain values. There is no way to merge here, or anywhere."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from ..core.model import (
    Annotation,
    Blocker,
    CheckRun,
    Comment,
    Issue,
    LabelEvent,
    Protection,
    Pull,
    RepoFacts,
    RepoName,
    Review,
    Token,
)
from ..errors import GitHubError, MaybeDone, NotFound, RateLimited, SignInFailed
from . import parse
from .fence import Address, Invalid, address
from .rest import ABSENT, Rest

T = TypeVar("T")
MOST_FILES = 3000


def open_github(
    repo: str, token: Token, base_url: str, state: Path, env: Mapping[str, str]
) -> GitHub:
    """The connection of a clone: pages are kept in its `state`, its writes are ISSUE_ORCH_WRITE_GAP seconds apart."""
    gap = float(env.get("ISSUE_ORCH_WRITE_GAP") or 1.0)
    return GitHub(repo, token.value, base_url, state / "cache", gap)


class GitHub(Rest):
    """A connection to one repository. None means that the server does not say; errors are raised, never hidden."""

    def fetch_repo(self) -> RepoFacts:
        return self._one(parse.repo_facts)

    def fetch_user(self) -> str:
        """The login that the token belongs to."""
        return parse.parse(parse.login, self.get(address("user")))

    def find_permission(self, user: str) -> str | None:
        """admin, maintain, write, triage, read or none, asked once. None when it cannot be had, which permits nothing."""
        with self._asking:
            if user not in self._people:
                try:
                    found = self._one(parse.permission, "collaborators", user, "permission")
                except (RateLimited, SignInFailed):
                    raise
                except GitHubError:
                    found = None
                self._people[user] = found
            return self._people[user]

    def fetch_issue(self, number: int, repo: RepoName | None = None) -> Issue:
        """Any issue, open or closed; NotFound when it is not there or not visible."""
        path = address("repos", repo or self.repo, "issues", number)
        return parse.parse(parse.issue, self.get(path))

    def fetch_issues(self, labels: Collection[str] = ()) -> list[Issue]:
        """Open issues with all of `labels`, oldest first, without pulls."""
        asked = ",".join(sorted(label for label in labels if "," not in label)) or None
        order = {"sort": "created", "direction": "asc"}
        found = self._all(parse.issue, "issues", state="open", labels=asked, **order)
        # an issue can be listed twice when another one was closed between two pages
        issues = {issue.number: issue for issue in found}
        return [
            issue
            for issue in issues.values()
            if not issue.is_pull and issue.state == "open" and issue.has(labels)
        ]

    def fetch_blockers(self, number: int) -> tuple[Blocker, ...] | None:
        """What blocks the issue, closed ones included; None: the server has no dependencies, or does not show them."""
        return self._known(parse.blocker, "issues", number, "dependencies", "blocked_by")

    def fetch_sub_issues(self, number: int) -> tuple[Blocker, ...] | None:
        return self._known(parse.blocker, "issues", number, "sub_issues")

    def fetch_label_events(self, number: int) -> tuple[LabelEvent, ...] | None:
        """Who set and took labels or reopened it, oldest first; None when the server has no timeline."""
        found = self._known(parse.label_event, "issues", number, "timeline")
        return None if found is None else tuple(filter(None, found))

    def fetch_comments(self, number: int, since: str | None = None) -> tuple[Comment, ...]:
        """Comments of one issue, oldest first; `since` is ISO-8601 and goes by the last edit."""
        return self._all(parse.comment, "issues", number, "comments", since=since)

    def fetch_repo_comments(self, since: str) -> tuple[Comment, ...] | None:
        """Comments of all issues and pulls written or edited since, in one list; None: ask each issue instead."""
        order = {"sort": "updated", "direction": "asc"}
        return self._known(parse.comment, "issues", "comments", since=since, **order)

    def create_comment(self, number: int, body: str) -> Comment:
        """MaybeDone when no answer came: look for the marker in `body` before writing again."""
        answer = self.write(lambda repo: repo.get_issue(number).create_comment(body))
        return parse.parse(parse.comment, answer)

    def edit_comment(self, number: int, comment: int, body: str) -> Comment:
        answer = self.write(lambda repo: repo.get_issue(number).get_comment(comment).edit(body))
        return parse.parse(parse.comment, answer)

    def fetch_labels(self) -> tuple[str, ...]:
        return self._all(parse.label, "labels")

    def create_label(self, name: str, color: str = "ededed", description: str = "") -> None:
        """Make the label; that it exists is fine."""
        try:
            self.write(lambda repo: repo.create_label(name, color, description))
        except Invalid:
            if name.casefold() not in map(str.casefold, self.fetch_labels()):
                raise

    def add_labels(self, number: int, labels: Collection[str]) -> None:
        self.write(lambda repo: repo.get_issue(number).add_to_labels(*sorted(labels)))

    def remove_label(self, number: int, label: str) -> None:
        """Take the label away; that it is not there is fine."""
        # Issue.remove_from_labels leaves a slash in the name as it is
        path = self._at("issues", number, "labels", label)
        with suppress(NotFound):
            self.write(lambda repo: repo.requester.requestJsonAndCheck("DELETE", path))

    def fetch_pulls(
        self, head_branch: str | None = None, base: str | None = None, state: str = "all"
    ) -> tuple[Pull, ...]:
        """With `head_branch`: pulls from that branch of this repository, not from forks that use its name."""
        head = f"{self.repo.partition('/')[0]}:{head_branch}" if head_branch else None
        found = self._all(parse.pull, "pulls", state=state, head=head, base=base, sort="created")
        # some servers know no `head` and `base`, and answer with everything
        return tuple(
            pull
            for pull in found
            if head_branch in (None, pull.head_branch)
            and base in (None, pull.base_branch)
            and (head is None or (pull.head_repo or self.repo).casefold() == self.repo.casefold())
        )

    def fetch_newest_pulls(self) -> tuple[Pull, ...]:
        """The hundred that were opened last, whatever became of them: one request."""
        found = self.get(self._at("pulls"), state="all", sort="created", per_page=100)
        return parse.parse_all(parse.pull, found)

    def fetch_merged_pulls(self) -> tuple[Pull, ...]:
        """Of the hundred that were closed, or changed after that, last: one request."""
        order = {"sort": "updated", "direction": "desc", "per_page": 100}
        found = self.get(self._at("pulls"), state="closed", **order)
        return tuple(pull for pull in parse.parse_all(parse.pull, found) if pull.merged)

    def fetch_pull(self, number: int) -> Pull:
        return self._one(parse.pull, "pulls", number)

    def fetch_pull_files(self, number: int) -> tuple[str, ...]:
        """Paths that the pull changes; of a renamed file both names."""
        files = self._all(parse.file_names, "pulls", number, "files")
        if len(files) >= MOST_FILES:
            raise GitHubError(f"pull {number} has more files than GitHub lists ({MOST_FILES})")
        return tuple(dict.fromkeys(name for names in files for name in names))

    def create_pull(self, head: str, base: str, title: str, body: str, draft: bool = False) -> Pull:
        """MaybeDone on a 422, a 5xx or no answer: look with fetch_pulls before doing anything else."""
        try:
            answer = self.write(
                lambda repo: repo.create_pull(base, head, title=title, body=body, draft=draft)
            )
        except Invalid as error:
            raise MaybeDone(error.message, error.hint) from None
        return parse.parse(parse.pull, answer)

    def edit_pull(self, number: int, base: str) -> None:
        self.write(lambda repo: repo.get_pull(number).edit(base=base))

    def fetch_checks(self, sha: str) -> tuple[CheckRun, ...] | None:
        """Check runs and legacy statuses of a commit. Where either cannot be read, what has failed of the other: that is
        known, whatever else there is; None when nothing of it has."""
        runs = self._known(
            parse.check_run, "commits", sha, "check-runs", key="check_runs", filter="latest"
        )
        statuses = self._known(parse.legacy_status, "commits", sha, "status", key="statuses")
        if runs is not None and statuses is not None:
            return runs + statuses
        return tuple(each for each in runs or statuses or () if each.failed) or None

    def fetch_annotations(self, check_run_id: int) -> tuple[Annotation, ...] | None:
        return self._known(parse.annotation, "check-runs", check_run_id, "annotations")

    def fetch_reviews(self, number: int) -> tuple[Review, ...]:
        """Oldest first, as GitHub gives them; of one person the last that is not COMMENTED counts."""
        return self._all(parse.review, "pulls", number, "reviews")

    def fetch_review_comments(self, number: int) -> tuple[Comment, ...]:
        return self._all(parse.comment, "pulls", number, "comments")

    def fetch_protection(self, branch: str) -> Protection | None:
        """Branch protection and rulesets together; None when the server tells nothing of the branch."""
        facts = self._find("branches", branch)
        if not isinstance(facts, dict) or "protected" not in facts:
            return None
        protected = bool(facts["protected"])
        rules = self._known(dict, "rules", "branches", branch)
        classic = self._find("branches", branch, "protection") if protected else {}
        numbers = parse.parse(parse.rulesets, rules or ())
        sets = [self._find("rulesets", number) for number in numbers]
        return parse.parse(parse.protection, (protected, rules, classic, sets))

    def find_unreadable(self, branch: str) -> Iterator[tuple[str, GitHubError]]:
        """What a plan and a follow-up need and this token cannot read, with what GitHub says; asked, as a fine-grained
        token's permissions are told nowhere."""
        head = self.get(self._at("branches", branch))["commit"]["sha"]
        asked: dict[str, tuple[str, ...]] = {
            "issues": ("issues",),
            "pulls": ("pulls",),
            "check runs": ("commits", head, "check-runs"),
            "statuses": ("commits", head, "status"),
        }
        for name, path in asked.items():
            try:
                self.get(self._at(*path), per_page=1)
            except ABSENT as error:
                yield name, error

    def _at(self, *path: str | int) -> Address:
        return address("repos", self.repo, *path)

    def _find(self, *path: str | int) -> Any:
        """None where the server lacks the endpoint, or does not let us see it."""
        with suppress(*ABSENT):
            return self.get(self._at(*path))
        return None

    def _one(self, parser: Callable[[Any], T], *path: str | int) -> T:
        return parse.parse(parser, self.get(self._at(*path)))

    def _all(self, parser: Callable[[Any], T], *path: str | int, **params: Any) -> tuple[T, ...]:
        return parse.parse_all(parser, self.get_all(self._at(*path), **params))

    def _known(
        self, parser: Callable[[Any], T], *path: str | int, **params: Any
    ) -> tuple[T, ...] | None:
        """As `_all`; None where the server lacks the endpoint, or does not let us see it."""
        with suppress(*ABSENT):
            return self._all(parser, *path, **params)
        return None
