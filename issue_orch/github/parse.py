"""GitHub's JSON as the values of model.py. What a server leaves out is unknown, never a crash."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from ..core.model import (
    Annotation,
    Blocker,
    CheckRun,
    Comment,
    Issue,
    LabelEvent,
    Number,
    Pull,
    RepoFacts,
    RepoName,
    Review,
)
from ..errors import GitHubError

T = TypeVar("T")
GHOST = {"login": "ghost", "type": "User"}
PERMISSIONS = ("admin", "maintain", "write", "triage", "read", "none")
NO_REF = r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^[./]|/\.|\.lock(?:/|\Z)|[./]\Z|^@?\Z"  # git check-ref-format


def parse(parser: Callable[[Any], T], data: Any) -> T:
    """`parser(data)`; a body of another shape is an error of the server."""
    try:
        return parser(data)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        what = f"GitHub's answer has not the shape of {parser.__name__}: {type(error).__name__} {error}"
        raise GitHubError(what, "check github.base_url") from error


def parse_all(parser: Callable[[Any], T], items: Any) -> tuple[T, ...]:
    return tuple(parse(parser, item) for item in parse(list, items))


def issue(data: Any) -> Issue:
    blockers, children = (
        data.get("issue_dependencies_summary") or {},
        data.get("sub_issues_summary") or {},
    )
    return Issue(
        number=Number(data["number"]),
        title=words(data["title"]),
        body=words(data.get("body")),
        author=login(data.get("user")),
        url=words(data.get("html_url")),
        labels=tuple(
            words(label if isinstance(label, str) else label.get("name"))
            for label in data.get("labels") or []
        ),
        state=state(data),
        state_reason=words(data.get("state_reason")) or None,
        assignees=tuple(login(user) for user in data.get("assignees") or []),
        milestone=words((data.get("milestone") or {}).get("title")) or None,
        created_at=words(data.get("created_at")),
        updated_at=words(data.get("updated_at")),
        is_pull=data.get("pull_request") is not None,
        open_blockers=count(blockers.get("blocked_by")),
        total_blockers=count(blockers.get("total_blocked_by")),
        sub_issues_total=count(children.get("total")),
        sub_issues_completed=count(children.get("completed")),
    )


def blocker(data: Any) -> Blocker:
    home = RepoName(
        repo_of(data.get("repository_url") or data.get("url") or "")
        or (data.get("repository") or {})["full_name"]
    )
    return Blocker(
        home,
        Number(data["number"]),
        words(data["title"]),
        state(data),
        words(data.get("state_reason")) or None,
    )


def pull(data: Any) -> Pull:
    head = data["head"]
    return Pull(
        number=Number(data["number"]),
        url=words(data.get("html_url")),
        title=words(data["title"]),
        body=words(data.get("body")),
        state=state(data),
        merged=bool(data.get("merged") or data.get("merged_at")),
        draft=bool(data.get("draft")),
        head_repo=words((head.get("repo") or {}).get("full_name")) or None,
        head_branch=words(head["ref"]),
        head_sha=sha(head),
        base_branch=branch(data["base"]),
        author=login(data.get("user")),
        mergeable={True: True, False: False}.get(data.get("mergeable")),
        mergeable_state=words(data.get("mergeable_state")) or None,
    )


def comment(data: Any) -> Comment:
    about = data.get("issue_url") or data.get("pull_request_url") or data.get("html_url") or ""
    return Comment(
        id=Number(data["id"]),
        issue=Number(urlsplit(about).path.rpartition("/")[2]),
        author=login(data.get("user")),
        author_kind=kind(data, "user"),
        body=words(data.get("body")),
        url=words(data.get("html_url")),
        created_at=words(data["created_at"]),
        updated_at=words(data["updated_at"]),
        path=words(data.get("path")) or None,
        line=count(data.get("line") or data.get("original_line")),
    )


def review(data: Any) -> Review:
    return Review(
        Number(data["id"]),
        login(data.get("user")),
        kind(data, "user"),
        words(data["state"]).upper(),
        words(data.get("body")),
        words(data.get("html_url")),
    )


def label_event(data: Any) -> LabelEvent | None:
    """None for the other events of a timeline."""
    if data.get("event") not in ("labeled", "unlabeled"):
        return None
    return LabelEvent(
        login(data.get("actor")),
        kind(data, "actor"),
        words(data["label"]["name"]),
        words(data["created_at"]),
        data["event"] == "labeled",
    )


def permission(data: Any) -> str | None:
    """A role that an organisation made up is worth what it is built on."""
    return next(
        (data[key] for key in ("role_name", "permission") if data.get(key) in PERMISSIONS), None
    )


def label(data: Any) -> str:
    return words(data["name"])


def file_names(data: Any) -> tuple[str, ...]:
    """Of a file that a pull changes; both names of a renamed one."""
    return tuple(words(data[key]) for key in ("previous_filename", "filename") if data.get(key))


def check_run(data: Any) -> CheckRun:
    output = data.get("output") or {}
    summary = "\n".join(
        part for part in map(words, (output.get("title"), output.get("summary"))) if part
    )
    url, conclusion = (
        words(data.get("html_url") or data.get("details_url")),
        words(data.get("conclusion")) or None,
    )
    return CheckRun(
        Number(data["id"]), words(data["name"]), words(data["status"]), conclusion, url, summary
    )


def legacy_status(data: Any) -> CheckRun:
    conclusion = {"success": "success", "failure": "failure", "error": "failure", "pending": None}[
        data["state"]
    ]
    status = "completed" if conclusion else "in_progress"
    return CheckRun(
        None,
        words(data["context"]),
        status,
        conclusion,
        words(data.get("target_url")),
        words(data.get("description")),
    )


def annotation(data: Any) -> Annotation:
    return Annotation(
        words(data.get("path")),
        count(data.get("start_line")),
        words(data.get("annotation_level")) or "notice",
        words(data.get("message") or data.get("title")),
    )


def repo_facts(data: Any) -> RepoFacts:
    granted = data.get("permissions")
    return RepoFacts(
        words(data["full_name"]),
        branch({"ref": data["default_branch"]}),
        bool(data.get("archived")),
        None if granted is None else tuple(name for name, has in granted.items() if has),
    )


def login(user: Any) -> str:
    """Deleted accounts come as null; GitHub shows them as ghost."""
    return words((user or GHOST)["login"])


def kind(data: Any, who: str) -> str:
    """User, Bot, Organization; App for what came in somebody's name through an app; empty when not said."""
    if data.get("performed_via_github_app"):
        return "App"
    return words((data.get(who) or {}).get("type"))


def repo_of(url: str) -> str:
    """owner/name out of …/repos/owner/name/…, empty without."""
    parts = url.partition("/repos/")[2].split("/")
    return "/".join(parts[:2]) if len(parts) > 1 else ""


def words(value: Any) -> str:
    """A text, empty for null. Half a character, which JSON can spell, becomes a question mark: nothing could write it."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} is no text")
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def count(value: Any) -> int | None:
    if value is not None and type(value) is not int:
        raise TypeError(f"{type(value).__name__} is no count")
    return value


def state(data: Any) -> Literal["open", "closed"]:
    return "open" if words(data["state"]) == "open" else "closed"


def branch(data: Any) -> str:
    """A name that git can have: it becomes part of refs."""
    name = words(data["ref"])
    if re.search(NO_REF, name):
        raise ValueError(f"{name[:80]!r} is no branch")
    return name


def sha(data: Any) -> str:
    if not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", words(data["sha"])):
        raise ValueError(f"{data['sha'][:80]!r} is no commit")
    return words(data["sha"])
