"""The half of the memory that is about pulls: branches, reviews, checks, protection, and what counts as merged."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable

from ..errors import Expected
from . import bare as git
from .issues import PERSON, Issues, locked
from .records import Check, CommitStatus, Issue, Json, Protection, Pull, Push, Review, ReviewComment


class Pulls(Issues):
    """Everything that GitHub would remember of one repository."""

    @property
    def pushes(self) -> list[Push]:
        """Every ref update that arrived at the bare repository, refused ones included."""
        return git.load_pushes(self.repository)

    @locked
    def seed(self, files: dict[str, str], message: str = "Seed") -> str:
        """Commit files onto the default branch, as a person would have before; returns the sha."""
        sha = git.commit_files(self.repository, self.default_branch, files, message, self.now())
        self.sync()
        return sha

    @locked
    def review(
        self,
        number: int,
        by: str = PERSON,
        state: str = "APPROVED",
        body: str = "",
        comments: Iterable[Json] = (),
    ) -> int:
        """Review a pull: APPROVED, CHANGES_REQUESTED or COMMENTED, with comments {path, line, body}."""
        pull, user = self.pulls[number], self.user(by)
        if state != "COMMENTED" and by == self.issues[number].author:
            raise Expected(
                f"the author of pull {number} cannot review it with {state}",
                "review as another user",
            )
        made = Review(next(self.ids), number, user.login, state, body, pull.head_sha, self.now())
        self.reviews[number].append(made)
        self.review_comments[number] += [
            ReviewComment(next(self.ids), made.id, note["path"], note.get("line", 1), note["body"])
            for note in comments
        ]
        self.put(self.issues[number])
        return made.id

    @locked
    def set_check(
        self, sha: str, name: str, conclusion: str | None, annotations: Iterable[Json] = ()
    ) -> int:
        """A check run with annotations {path, line, message, level}; conclusion None is one still running."""
        made = Check(next(self.ids), sha, name, conclusion, tuple(annotations), self.now())
        self.checks[sha][name] = made
        self.changed()
        return made.id

    @locked
    def set_status(self, sha: str, context: str, state: str, description: str = "") -> None:
        self.statuses[sha][context] = CommitStatus(
            next(self.ids), context, state, description, self.now()
        )
        self.changed()

    @locked
    def protect_branch(
        self,
        pattern: str,
        reviews: int = 1,
        checks: Iterable[str] = (),
        signatures: bool = False,
        ruleset: bool = False,
    ) -> None:
        """Refuse pushes to branches of that name or pattern; as branch protection, or as a ruleset."""
        self.protections.append(Protection(pattern, reviews, tuple(checks), signatures, ruleset))
        git.refuse_pushes_to(self.repository, (each.pattern for each in self.protections))
        self.changed()

    def protections_of(self, branch: str, ruleset: bool) -> list[Protection]:
        return [
            p
            for p in self.protections
            if p.ruleset == ruleset and fnmatch.fnmatchcase(branch, p.pattern)
        ]

    @locked
    def open_pull(
        self, head: str, base: str, title: str, body: str, author: str, draft: bool = False
    ) -> int:
        number, now, sha = next(self.numbers), self.now(), self.heads[head]
        self.pulls[number] = Pull(number, head, base, sha, draft)
        self.put(Issue(number, title, body, author, now, now, self.repo))
        git.git(self.repository, "update-ref", f"refs/pull/{number}/head", sha)
        for mentioned in {int(found) for found in re.findall(r"(?<![\w/])#(\d+)\b", body)}:
            if mentioned in self.issues and mentioned != number:
                self.record(mentioned, "cross-referenced", author, source=number)
        return number

    @locked
    def sync(self) -> None:
        """Look at the branches again: pulls follow their heads, close without one, and count as merged when pushed."""
        before, self.heads = self.heads, git.branch_heads(self.repository)
        self.received = git.received_size(self.repository)
        if before == self.heads:
            return
        self.changed()
        for pull in [
            pull for pull in self.pulls.values() if self.issues[pull.number].state == "open"
        ]:
            sha, base = self.heads.get(pull.head), self.heads.get(pull.base)
            if sha is None:
                self.close_issue(pull.number)
            elif sha != pull.head_sha:
                self.pulls[pull.number] = pull = pull._replace(head_sha=sha)
                git.git(self.repository, "update-ref", f"refs/pull/{pull.number}/head", sha)
                self.put(self.issues[pull.number])
            onto = before.get(pull.base)
            if (
                sha
                and base
                and onto
                and base != onto
                and git.is_ancestor(self.repository, sha, base)
            ):
                self.mark_merged(pull.number, self.pushes[-1].user or PERSON, base, onto)

    @locked
    def mark_merged(self, number: int, by: str, sha: str, onto: str) -> None:
        """Record that a pull's commits are in its base, which was `onto` before; the default branch closes issues."""
        pull, issue = self.pulls[number], self.issues[number]
        fork = git.merge_base(self.repository, pull.head_sha, onto)
        self.pulls[number] = pull._replace(
            merged_at=self.now(), merged_by=by, merge_sha=sha, merge_base=fork
        )
        self.record(number, "merged", by, commit_id=sha)
        self.close_issue(number, by=by)
        if pull.base == self.default_branch:
            here = rf"(?:{re.escape(self.repo)})?#|https?://[^/\s]+/{re.escape(self.repo)}/issues/"
            words = rf"\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):?\s+(?:{here})(\d+)\b"
            shown = re.sub(r"(?s)<!--.*?-->|```.*?```|`[^`\n]*`", "", issue.body)
            for closed in {int(found) for found in re.findall(words, shown, re.IGNORECASE)}:
                if closed in self.issues and self.issues[closed].state == "open":
                    self.close_issue(closed, by=by, commit=sha)
