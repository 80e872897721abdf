"""Everything that issue-orch asks of GitHub, as plain values. There is no way to merge here, or anywhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
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
    Number,
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
from .rest import OPTIONAL, Rest

T = TypeVar("T")
MOST_FILES = 3000
PERMISSION_SECONDS = 60.0


def open_github(
    repo: str, token: Token, base_url: str, state: Path, env: Mapping[str, str]
) -> GitHub:
    """The connection of a clone: pages are kept in its `state`, its writes are ISSUE_ORCH_WRITE_GAP seconds apart."""
    gap = float(env.get("ISSUE_ORCH_WRITE_GAP") or 1.0)
    return GitHub(repo, token.value, base_url, state / "cache", gap)


class GitHub(Rest):
    """A connection to one repository. None means that the server does not say; errors are raised, never hidden."""

    def _at(self, *parts: str | int, repo: RepoName | None = None) -> Address:
        return address("repos", repo or self.repo, *parts)

    def fetch_repo(self) -> RepoFacts:
        return parse.parse(parse.repo_facts, self.get(self._at()))

    def fetch_user(self) -> str:
        """The login that the token belongs to."""
        return parse.parse(parse.login, self.get(address("user")))

    def fetch_permission(self, user: str) -> str:
        """admin, maintain, write, triage, read or none. NotFound also where the server lacks the endpoint."""
        found = parse.parse(
            parse.permission, self.get(self._at("collaborators", user, "permission"))
        )
        if found is None:
            raise GitHubError(f"permission of {user}: not said")
        return found

    def find_permission(self, user: str) -> str | None:
        """The same, asked at most once a minute; None when it cannot be had, which permits nothing."""
        at, found = self._people.get(user, (-PERMISSION_SECONDS, None))
        if time.monotonic() - at >= PERMISSION_SECONDS:
            try:
                found = self.fetch_permission(user)
            except (RateLimited, SignInFailed):
                raise
            except GitHubError:
                found = None
            self._people[user] = time.monotonic(), found
        return found

    def fetch_issue(self, number: int, repo: RepoName | None = None) -> Issue:
        """Any issue, open or closed; NotFound when it is not there or not visible."""
        return parse.parse(parse.issue, self.get(self._at("issues", number, repo=repo)))

    def fetch_issues(
        self,
        labels: Collection[str] = (),
        milestone: str | None = None,
        assignee: str | None = None,
    ) -> list[Issue]:
        """Open issues with all of `labels`, oldest first, without pulls; `milestone` is a title."""
        asked = ",".join(sorted(label for label in labels if "," not in label)) or None
        found = self._all(
            parse.issue,
            self._at("issues"),
            state="open",
            labels=asked,
            assignee=assignee,
            sort="created",
            direction="asc",
        )
        wanted = {label.casefold() for label in labels}
        # an issue can be listed twice when another one was closed between two pages
        issues = {issue.number: issue for issue in found}
        return [
            issue
            for issue in issues.values()
            if not issue.is_pull
            and issue.state == "open"
            and milestone in (None, issue.milestone)
            and wanted <= {label.casefold() for label in issue.labels}
        ]

    def fetch_blockers(self, number: int) -> tuple[Blocker, ...] | None:
        """What blocks the issue, closed ones included; None: the server has no dependencies, or does not show them."""
        return self._known(parse.blocker, self._at("issues", number, "dependencies", "blocked_by"))

    def fetch_sub_issues(self, number: int) -> tuple[Blocker, ...] | None:
        return self._known(parse.blocker, self._at("issues", number, "sub_issues"))

    def fetch_label_events(self, number: int) -> tuple[LabelEvent, ...] | None:
        """Who set and took labels, oldest first; None when the server has no timeline."""
        found = self._known(parse.label_event, self._at("issues", number, "timeline"))
        return None if found is None else tuple(event for event in found if event)

    def fetch_comments(self, number: int, since: str | None = None) -> tuple[Comment, ...]:
        """Comments of one issue, oldest first; `since` is ISO-8601 and goes by the last edit."""
        return self._all(parse.comment, self._at("issues", number, "comments"), since=since)

    def fetch_repo_comments(self, since: str) -> tuple[Comment, ...] | None:
        """Comments of all issues and pulls written or edited since, in one list; None: ask each issue instead."""
        return self._known(
            parse.comment,
            self._at("issues", "comments"),
            since=since,
            sort="updated",
            direction="asc",
        )

    def create_comment(self, number: int, body: str) -> Comment:
        """MaybeDone when no answer came: look for the marker in `body` before writing again."""
        answer = self.write(lambda repo: repo.get_issue(number).create_comment(body))
        return parse.parse(parse.comment, answer)

    def edit_comment(self, number: int, comment: int, body: str) -> Comment:
        answer = self.write(lambda repo: repo.get_issue(number).get_comment(comment).edit(body))
        return parse.parse(parse.comment, answer)

    def fetch_labels(self) -> tuple[str, ...]:
        return self._all(parse.label, self._at("labels"))

    def create_label(self, name: str, color: str = "ededed", description: str = "") -> None:
        """Make the label; that it exists is fine."""
        try:
            self.write(lambda repo: repo.create_label(name, color, description))
        except Invalid:
            if name.casefold() not in (label.casefold() for label in self.fetch_labels()):
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
        found = self._all(
            parse.pull, self._at("pulls"), state=state, head=head, base=base, sort="created"
        )
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
        return parse.parse_all(
            parse.pull, self.get(self._at("pulls"), state="all", sort="created", per_page=100)
        )

    def fetch_pull(self, number: int) -> Pull:
        return parse.parse(parse.pull, self.get(self._at("pulls", number)))

    def fetch_pull_files(self, number: int) -> tuple[str, ...]:
        """Paths that the pull changes; of a renamed file both names."""
        files = self._all(parse.file_names, self._at("pulls", number, "files"))
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

    def edit_pull(self, number: int, **changes: Any) -> Pull:
        answer = self.write(lambda repo: repo.get_pull(number).edit(**changes))
        return parse.parse(parse.pull, answer)

    def fetch_checks(self, sha: str) -> tuple[CheckRun, ...] | None:
        """Check runs and legacy statuses of a commit; None when either cannot be read: then nothing is known."""
        runs = self._known(
            parse.check_run, self._at("commits", sha, "check-runs"), "check_runs", filter="latest"
        )
        statuses = self._known(parse.legacy_status, self._at("commits", sha, "status"), "statuses")
        return None if runs is None or statuses is None else runs + statuses

    def fetch_annotations(self, check_run_id: int) -> tuple[Annotation, ...] | None:
        return self._known(parse.annotation, self._at("check-runs", check_run_id, "annotations"))

    def fetch_reviews(self, number: int) -> tuple[Review, ...]:
        """Oldest first, as GitHub gives them; of one person the last that is not COMMENTED counts."""
        return self._all(parse.review, self._at("pulls", number, "reviews"))

    def fetch_review_comments(self, number: int) -> tuple[Comment, ...]:
        return self._all(parse.comment, self._at("pulls", number, "comments"))

    def fetch_protection(self, branch: str) -> Protection | None:
        """Branch protection and rulesets together; None when the server tells nothing of the branch."""
        facts = self.get(self._at("branches", branch), OPTIONAL)
        if not isinstance(facts, dict) or "protected" not in facts:
            return None
        rules = self.get_all(self._at("rules", "branches", branch), absent=OPTIONAL)
        classic = (
            self.get(self._at("branches", branch, "protection"), OPTIONAL)
            if facts["protected"]
            else {}
        )
        return parse.parse(self._protection, (bool(facts["protected"]), rules, classic))

    def _protection(self, known: tuple[bool, list[Any] | None, Any]) -> Protection:
        protected, rules, classic = known
        kinds = {rule["type"]: rule.get("parameters") or {} for rule in rules or []}
        if not kinds and (
            classic is None or (rules is None and not classic)
        ):  # only an administrator may read it
            return Protection(protected, None, None, None)
        classic = classic or {}
        sources = classic.get("required_pull_request_reviews") or {}, kinds.get("pull_request", {})
        signed = "required_signatures" in kinds or classic.get("required_signatures", {}).get(
            "enabled"
        )
        return Protection(
            protected or bool(kinds),
            max(int(each.get("required_approving_review_count") or 0) for each in sources),
            bool(signed),
            self._bypass(rules or [], classic),
        )

    def _bypass(self, rules: list[Any], classic: Any) -> bool | None:
        """Whether the token's owner may pass all of it; classic protection names no owner, but says "admins too"."""
        answers: list[bool | None] = []
        if classic:
            answers.append(
                None
                if (classic.get("enforce_admins") or {}).get("enabled") is None
                else not classic["enforce_admins"]["enabled"]
            )
        for number in sorted(
            {Number(rule["ruleset_id"]) for rule in rules or [] if rule.get("ruleset_id")}
        ):
            ruleset = self.get(self._at("rulesets", number), OPTIONAL) or {}
            said = ruleset.get("current_user_can_bypass")
            answers.append(said and said in ("always", "exempt", "pull_requests_only"))
        if False in answers:
            return False
        return (bool(answers) and all(answers)) or None

    def _all(self, parser: Callable[[Any], T], path: Address, **params: Any) -> tuple[T, ...]:
        return parse.parse_all(parser, self.get_all(path, **params) or [])

    def _known(
        self, parser: Callable[[Any], T], path: Address, key: str = "", **params: Any
    ) -> tuple[T, ...] | None:
        """None where the server lacks the endpoint, or does not let us see it."""
        items = self.get_all(path, key, OPTIONAL, **params)
        return None if items is None else parse.parse_all(parser, items)
