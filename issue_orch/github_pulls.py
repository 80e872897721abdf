"""Pulls, their checks and reviews, and what protects a branch. There is no way to merge here, or anywhere."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from . import github_json as parsed
from .errors import GitHubError, MaybeDone
from .github_replies import Invalid
from .github_rest import OPTIONAL, Rest
from .model import Annotation, CheckRun, Comment, Protection, Pull, Review

MOST_FILES = 3000


class PullRequests(Rest):
    """The part of a connection that is about pulls."""

    def fetch_pulls(
        self, head_branch: str | None = None, base: str | None = None, state: str = "all"
    ) -> tuple[Pull, ...]:
        """With `head_branch`: pulls from that branch of this repository, not from forks that use its name."""
        head = f"{self.repo.partition('/')[0]}:{head_branch}" if head_branch else None
        items = self.get_all(f"/repos/{self.repo}/pulls", state=state, head=head, base=base, sort="created") or []
        # some servers know no `head` and `base`, and answer with everything
        return tuple(
            pull for pull in parsed.parse_all(parsed.pull, items)
            if head_branch in (None, pull.head_branch) and base in (None, pull.base_branch)
            and (head is None or self._is_ours(pull))
        )

    def fetch_newest_pulls(self) -> tuple[Pull, ...]:
        """The hundred that were opened last, whatever became of them: one request."""
        items = self.get(f"/repos/{self.repo}/pulls", state="all", sort="created", per_page=100)
        return parsed.parse_all(parsed.pull, items)

    def fetch_pull(self, number: int) -> Pull:
        return parsed.parse(parsed.pull, self.get(f"/repos/{self.repo}/pulls/{number}"))

    def fetch_pull_files(self, number: int) -> tuple[str, ...]:
        """Paths that the pull changes; of a renamed file both names."""
        items = self.get_all(f"/repos/{self.repo}/pulls/{number}/files") or []
        if len(items) >= MOST_FILES:
            raise GitHubError(f"pull {number} has more files than GitHub lists ({MOST_FILES})")
        names = [name for item in items for name in (item.get("previous_filename"), item.get("filename")) if name]
        return tuple(dict.fromkeys(names))

    def create_pull(self, head: str, base: str, title: str, body: str, draft: bool = False) -> Pull:
        """MaybeDone on a 422, a 5xx or no answer: look with fetch_pulls before doing anything else."""
        wanted = {"head": head, "base": base, "title": title, "body": body, **({"draft": True} if draft else {})}
        try:
            return parsed.parse(parsed.pull, self.send("POST", f"/repos/{self.repo}/pulls", wanted))
        except Invalid as error:
            raise MaybeDone(error.message, error.hint) from None

    def edit_pull(
        self, number: int, title: str | None = None, body: str | None = None, base: str | None = None
    ) -> Pull:
        wanted = {"title": title, "body": body, "base": base}
        changes = {name: value for name, value in wanted.items() if value is not None}
        return parsed.parse(parsed.pull, self.send("PATCH", f"/repos/{self.repo}/pulls/{number}", changes))

    def fetch_checks(self, sha: str) -> tuple[CheckRun, ...] | None:
        """Check runs and legacy statuses of a commit; None when either cannot be read: then nothing is known."""
        path = f"/repos/{self.repo}/commits/{sha}"
        runs = self.get_all(f"{path}/check-runs", "check_runs", OPTIONAL, filter="latest")
        statuses = self.get_all(f"{path}/status", "statuses", OPTIONAL)
        if runs is None or statuses is None:
            return None
        return parsed.parse_all(parsed.check_run, runs) + parsed.parse_all(parsed.legacy_status, statuses)

    def fetch_annotations(self, check_run_id: int) -> tuple[Annotation, ...] | None:
        items = self.get_all(f"/repos/{self.repo}/check-runs/{check_run_id}/annotations", absent=OPTIONAL)
        return None if items is None else parsed.parse_all(parsed.annotation, items)

    def fetch_reviews(self, number: int) -> tuple[Review, ...]:
        """Oldest first, as GitHub gives them; of one person the last that is not COMMENTED counts."""
        return parsed.parse_all(parsed.review, self.get_all(f"/repos/{self.repo}/pulls/{number}/reviews") or [])

    def fetch_review_comments(self, number: int) -> tuple[Comment, ...]:
        return parsed.parse_all(parsed.comment, self.get_all(f"/repos/{self.repo}/pulls/{number}/comments") or [])

    def fetch_protection(self, branch: str) -> Protection | None:
        """Branch protection and rulesets together; None when the server tells nothing of the branch."""
        name, repo = quote(branch, safe=""), f"/repos/{self.repo}"
        facts = self.get(f"{repo}/branches/{name}", OPTIONAL)
        if not isinstance(facts, dict) or "protected" not in facts:
            return None
        rules = self.get_all(f"{repo}/rules/branches/{name}", absent=OPTIONAL)
        classic = self.get(f"{repo}/branches/{name}/protection", OPTIONAL) if facts["protected"] else {}
        return parsed.parse(self._protection, (bool(facts["protected"]), rules, classic))

    def _protection(self, known: tuple[bool, list[Any] | None, Any]) -> Protection:
        protected, rules, classic = known
        kinds = {rule["type"]: rule.get("parameters") or {} for rule in rules or []}
        if not kinds and (classic is None or (rules is None and not classic)):  # only an administrator may read it
            return Protection(protected, None, None, None)
        reviews = (classic or {}).get("required_pull_request_reviews") or {}
        return Protection(
            protected or bool(kinds),
            max(
                int(reviews.get("required_approving_review_count") or 0),
                int(kinds.get("pull_request", {}).get("required_approving_review_count") or 0),
            ),
            "required_signatures" in kinds or bool((classic or {}).get("required_signatures", {}).get("enabled")),
            self._bypass(rules, classic),
        )

    def _bypass(self, rules: list[Any] | None, classic: Any) -> bool | None:
        """Whether the token's owner may pass all of it; classic protection names no owner, but says "admins too"."""
        answers: list[bool | None] = []
        if classic:
            answers.append(None if (classic.get("enforce_admins") or {}).get("enabled") is None
                           else not classic["enforce_admins"]["enabled"])
        for number in sorted({int(rule["ruleset_id"]) for rule in rules or [] if rule.get("ruleset_id")}):
            ruleset = self.get(f"/repos/{self.repo}/rulesets/{number}", OPTIONAL) or {}
            said = ruleset.get("current_user_can_bypass")
            answers.append(None if said is None else said in ("always", "exempt", "pull_requests_only"))
        if False in answers:
            return False
        return True if answers and None not in answers else None

    def _is_ours(self, pull: Pull) -> bool:
        return pull.head_repo is None or pull.head_repo.casefold() == self.repo.casefold()
