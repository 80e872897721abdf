"""Everything that issue-orch asks of GitHub, as plain values: the one owner of PyGithub."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import quote

from . import github_json as parsed
from .errors import GitHubError
from .github_pulls import PullRequests
from .github_replies import Invalid
from .github_rest import OPTIONAL
from .model import Blocker, Comment, Issue, LabelEvent, RepoFacts

PERMISSIONS = ("admin", "maintain", "write", "triage", "read", "none")


class GitHub(PullRequests):
    """A connection to one repository. None means that the server does not say; errors are raised, never hidden."""

    def fetch_repo(self) -> RepoFacts:
        return parsed.parse(parsed.repo_facts, self.get(f"/repos/{self.repo}"))

    def fetch_user(self) -> str:
        """The login that the token belongs to."""
        return parsed.parse(parsed.login, self.get("/user"))

    def fetch_permission(self, user: str) -> str:
        """admin, maintain, write, triage, read or none. NotFound also where the server lacks the endpoint."""
        data = self.get(f"/repos/{self.repo}/collaborators/{quote(user, safe='')}/permission")
        # a role that an organisation made up is worth what it is built on
        found = next((data.get(key) for key in ("role_name", "permission") if data.get(key) in PERMISSIONS), None)
        if found is None:
            raise GitHubError(f"permission of {user}: not said")
        return str(found)

    def fetch_issue(self, number: int, repo: str | None = None) -> Issue:
        """Any issue, open or closed; NotFound when it is not there or not visible."""
        return parsed.parse(parsed.issue, self.get(f"/repos/{repo or self.repo}/issues/{number}"))

    def fetch_issues(
        self, labels: Collection[str] = (), milestone: str | None = None, assignee: str | None = None
    ) -> list[Issue]:
        """Open issues with all of `labels`, oldest first, without pulls; `milestone` is a title."""
        asked = ",".join(sorted(label for label in labels if "," not in label)) or None
        items = self.get_all(
            f"/repos/{self.repo}/issues",
            state="open", labels=asked, assignee=assignee, sort="created", direction="asc",
        )
        wanted = {label.casefold() for label in labels}
        # an issue can be listed twice when another one was closed between two pages
        issues = {issue.number: issue for issue in parsed.parse_all(parsed.issue, items or [])}
        return [
            issue for issue in issues.values()
            if not issue.is_pull and issue.state == "open" and milestone in (None, issue.milestone)
            and wanted <= {label.casefold() for label in issue.labels}
        ]

    def fetch_blockers(self, number: int) -> tuple[Blocker, ...] | None:
        """What blocks the issue, closed ones included; None: the server has no dependencies, or does not show them."""
        return self._blockers(f"/repos/{self.repo}/issues/{number}/dependencies/blocked_by")

    def fetch_sub_issues(self, number: int) -> tuple[Blocker, ...] | None:
        return self._blockers(f"/repos/{self.repo}/issues/{number}/sub_issues")

    def _blockers(self, path: str) -> tuple[Blocker, ...] | None:
        items = self.get_all(path, absent=OPTIONAL)
        return None if items is None else parsed.parse_all(parsed.blocker, items)

    def fetch_label_events(self, number: int) -> tuple[LabelEvent, ...] | None:
        """Who set and took labels, oldest first; None when the server has no timeline."""
        items = self.get_all(f"/repos/{self.repo}/issues/{number}/timeline", absent=OPTIONAL)
        if items is None:
            return None
        return parsed.parse_all(
            parsed.label_event, (item for item in items if item.get("event") in ("labeled", "unlabeled"))
        )

    def fetch_comments(self, number: int, since: str | None = None) -> tuple[Comment, ...]:
        """Comments of one issue, oldest first; `since` is ISO-8601 and goes by the last edit."""
        items = self.get_all(f"/repos/{self.repo}/issues/{number}/comments", since=since)
        return parsed.parse_all(parsed.comment, items or [])

    def fetch_repo_comments(self, since: str) -> tuple[Comment, ...] | None:
        """Comments of all issues and pulls written or edited since, in one list; None: ask each issue instead."""
        items = self.get_all(
            f"/repos/{self.repo}/issues/comments", absent=OPTIONAL, since=since, sort="updated", direction="asc"
        )
        return None if items is None else parsed.parse_all(parsed.comment, items)

    def create_comment(self, number: int, body: str) -> Comment:
        """MaybeDone when no answer came: look for the marker in `body` before writing again."""
        return parsed.parse(
            parsed.comment, self.send("POST", f"/repos/{self.repo}/issues/{number}/comments", {"body": body})
        )

    def edit_comment(self, comment_id: int, body: str) -> Comment:
        return parsed.parse(
            parsed.comment, self.send("PATCH", f"/repos/{self.repo}/issues/comments/{comment_id}", {"body": body})
        )

    def fetch_labels(self) -> tuple[str, ...]:
        items = self.get_all(f"/repos/{self.repo}/labels") or []
        return tuple(str(item["name"]) for item in items)

    def create_label(self, name: str, color: str = "ededed", description: str = "") -> None:
        """Make the label; that it exists is fine."""
        wanted = {"name": name, "color": color, "description": description}
        try:
            self.send("POST", f"/repos/{self.repo}/labels", wanted)
        except Invalid:
            if name.casefold() not in (label.casefold() for label in self.fetch_labels()):
                raise

    def add_labels(self, number: int, labels: Collection[str]) -> None:
        self.send("POST", f"/repos/{self.repo}/issues/{number}/labels", {"labels": sorted(labels)})

    def remove_label(self, number: int, label: str) -> None:
        """Take the label away; that it is not there is fine."""
        self.send("DELETE", f"/repos/{self.repo}/issues/{number}/labels/{quote(label, safe='')}", fine=(404,))
