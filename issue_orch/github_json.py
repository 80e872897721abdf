"""GitHub's JSON as the values of model.py. What a server leaves out is unknown, never a crash."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from .errors import GitHubError
from .model import Annotation, Blocker, CheckRun, Comment, Issue, LabelEvent, Pull, RepoFacts, Review

T = TypeVar("T")
GHOST = {"login": "ghost", "type": "User"}


def parse(parser: Callable[[Any], T], data: Any) -> T:
    """`parser(data)`; a body of another shape is an error of the server."""
    try:
        return parser(data)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        what = f"GitHub's answer has not the shape of {parser.__name__}: {type(error).__name__} {error}"
        raise GitHubError(what, "check github.base_url") from error


def parse_all(parser: Callable[[Any], T], items: Iterable[Any]) -> tuple[T, ...]:
    return tuple(parse(parser, item) for item in items)


def issue(data: Any) -> Issue:
    blockers, children = data.get("issue_dependencies_summary") or {}, data.get("sub_issues_summary") or {}
    return Issue(
        number=int(data["number"]), title=data["title"] or "", body=data.get("body") or "",
        author=login(data.get("user")), url=data.get("html_url") or "",
        labels=tuple(label if isinstance(label, str) else label.get("name") or "" for label in data.get("labels") or []),
        state=data["state"], state_reason=data.get("state_reason"),
        assignees=tuple(login(user) for user in data.get("assignees") or []),
        milestone=(data.get("milestone") or {}).get("title"),
        created_at=data.get("created_at") or "", updated_at=data.get("updated_at") or "",
        is_pull=data.get("pull_request") is not None,
        open_blockers=blockers.get("blocked_by"), total_blockers=blockers.get("total_blocked_by"),
        sub_issues_total=children.get("total"), sub_issues_completed=children.get("completed"),
    )


def blocker(data: Any) -> Blocker:
    home = repo_of(data.get("repository_url") or data.get("url") or "") or (data.get("repository") or {})["full_name"]
    return Blocker(home, int(data["number"]), data["title"] or "", data["state"], data.get("state_reason"))


def pull(data: Any) -> Pull:
    head = data["head"]
    return Pull(
        number=int(data["number"]), url=data.get("html_url") or "", title=data["title"] or "",
        body=data.get("body") or "", state=data["state"],
        merged=bool(data.get("merged") or data.get("merged_at")), draft=bool(data.get("draft")),
        head_repo=(head.get("repo") or {}).get("full_name"), head_branch=head["ref"], head_sha=head["sha"],
        base_branch=data["base"]["ref"], author=login(data.get("user")),
        mergeable=data.get("mergeable"), mergeable_state=data.get("mergeable_state"),
    )


def comment(data: Any) -> Comment:
    about = data.get("issue_url") or data.get("pull_request_url") or data.get("html_url") or ""
    return Comment(
        id=int(data["id"]), issue=int(urlsplit(about).path.rpartition("/")[2]), author=login(data.get("user")),
        author_kind=kind(data, "user"), body=data.get("body") or "", url=data.get("html_url") or "",
        created_at=data["created_at"], updated_at=data["updated_at"], path=data.get("path"),
        line=data.get("line") or data.get("original_line"),
    )


def review(data: Any) -> Review:
    return Review(
        int(data["id"]), login(data.get("user")), kind(data, "user"), data["state"].upper(), data.get("body") or "",
        data.get("html_url") or "",
    )


def label_event(data: Any) -> LabelEvent:
    return LabelEvent(
        login(data.get("actor")), kind(data, "actor"), data["label"]["name"], data["created_at"],
        data["event"] == "labeled",
    )


def label(data: Any) -> str:
    return str(data["name"])


def file_names(data: Any) -> tuple[str, ...]:
    """Of a file that a pull changes; both names of a renamed one."""
    return tuple(str(data[key]) for key in ("previous_filename", "filename") if data.get(key))


def check_run(data: Any) -> CheckRun:
    output = data.get("output") or {}
    summary = "\n".join(part for part in (output.get("title"), output.get("summary")) if part)
    url = data.get("html_url") or data.get("details_url") or ""
    return CheckRun(int(data["id"]), data["name"], data["status"], data.get("conclusion"), url, summary)


def legacy_status(data: Any) -> CheckRun:
    conclusion = {"success": "success", "failure": "failure", "error": "failure", "pending": None}[data["state"]]
    status = "completed" if conclusion else "in_progress"
    about = data.get("target_url") or "", data.get("description") or ""
    return CheckRun(None, data["context"], status, conclusion, *about)


def annotation(data: Any) -> Annotation:
    return Annotation(
        data.get("path") or "", data.get("start_line"), data.get("annotation_level") or "notice",
        data.get("message") or data.get("title") or "",
    )


def repo_facts(data: Any) -> RepoFacts:
    granted = data.get("permissions")
    return RepoFacts(
        data["full_name"], data["default_branch"], bool(data.get("archived")),
        None if granted is None else tuple(name for name, has in granted.items() if has),
    )


def login(user: Any) -> str:
    """Deleted accounts come as null; GitHub shows them as ghost."""
    return str((user or GHOST)["login"])


def kind(data: Any, who: str) -> str:
    """User, Bot, Organization; App for what came in somebody's name through an app; empty when not said."""
    if data.get("performed_via_github_app"):
        return "App"
    return str((data.get(who) or {}).get("type") or "")


def repo_of(url: str) -> str:
    """owner/name out of …/repos/owner/name/…, empty without."""
    parts = url.partition("/repos/")[2].split("/")
    return "/".join(parts[:2]) if len(parts) > 1 else ""
