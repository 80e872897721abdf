"""Issues and facts for the tests of the plan: everything ordinary, but for what a test names."""

from __future__ import annotations

from typing import Any

from issue_orch.core.model import Blocker, Issue
from issue_orch.core.ready import Facts, Labelled, SessionFacts, text_hash

REPO = "owner/repo"


def issue(number: int, title: str | None = None, body: str = "", **fields: Any) -> Issue:
    plain = Issue(
        number=number,
        title=f"Issue {number}" if title is None else title,
        body=body,
        author="ann",
        url=f"https://github.com/{REPO}/issues/{number}",
        labels=("ready",),
        state="open",
        state_reason=None,
        assignees=(),
        milestone=None,
        created_at=f"2025-01-01T00:00:{number % 60:02}Z",
        is_pull=False,
        open_blockers=0,
        total_blockers=0,
        sub_issues_total=0,
        sub_issues_completed=0,
    )
    return plain._replace(**fields)


def facts(*issues: Issue, **fields: Any) -> Facts:
    """The issues, their ready label set by somebody who may, their texts unchanged."""
    labelled = {each.number: (Labelled("ready", "maria", "write"),) for each in issues}
    texts = {each.number: text_hash(each) for each in issues}
    return Facts(REPO, issues, labelled=labelled, first_texts=texts)._replace(**fields)


def blocker(
    number: int, title: str = "", state: str = "open", reason: str | None = None, repo: str = REPO
) -> Blocker:
    return Blocker(repo, number, title, "open" if state == "open" else "closed", reason)


def session(phase: Any = "working", active: bool = True, **fields: Any) -> SessionFacts:
    return SessionFacts(phase, active, fields.pop("branch", "issue-1"), **fields)
