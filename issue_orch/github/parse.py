"""GitHub's JSON as the values of model.py. What a server leaves out is unknown, never a crash."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
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
    Protection,
    Pull,
    RepoFacts,
    RepoName,
    Review,
)
from ..errors import GitHubError

T = TypeVar("T")
GHOST = {"login": "ghost"}
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
    return Issue(
        number=Number(data["number"]),
        title=_words(data["title"]),
        body=_text(data, "body"),
        author=_login(data),
        url=_text(data, "html_url"),
        labels=tuple(
            _words(label if isinstance(label, str) else label.get("name"))
            for label in data.get("labels") or []
        ),
        state=_state(data),
        state_reason=_state_reason(data),
        assignees=tuple(login(user or GHOST) for user in data.get("assignees") or []),
        milestone=_text(data, "milestone", "title") or None,
        created_at=_text(data, "created_at"),
        is_pull=data.get("pull_request") is not None,
        open_blockers=_count(data, "issue_dependencies_summary", "blocked_by"),
        total_blockers=_count(data, "issue_dependencies_summary", "total_blocked_by"),
        sub_issues_total=_count(data, "sub_issues_summary", "total"),
        sub_issues_completed=_count(data, "sub_issues_summary", "completed"),
    )


def blocker(data: Any) -> Blocker:
    url = _text(data, "repository_url") or _text(data, "url")
    home = re.search("/repos/([^/]+/[^/]+)", url)
    return Blocker(
        RepoName(home[1] if home else data["repository"]["full_name"]),
        Number(data["number"]),
        _words(data["title"]),
        _state(data),
        _state_reason(data),
    )


def _state_reason(data: Any) -> str | None:
    """Why an issue was closed. Of a pull GitHub says when it was merged instead: one that never was is not completed."""
    pull = data.get("pull_request") or {}
    if data["state"] == "closed" and "merged_at" in pull and not pull["merged_at"]:
        return "not_merged"
    return _text(data, "state_reason") or None


def pull(data: Any) -> Pull:
    head = data["head"]
    return Pull(
        number=Number(data["number"]),
        url=_text(data, "html_url"),
        state=_state(data),
        merged=bool(data.get("merged") or data.get("merged_at")),
        draft=bool(data.get("draft")),
        head_repo=_text(head, "repo", "full_name") or None,
        head_branch=_words(head["ref"]),
        head_sha=_sha(head["sha"]),
        base_branch=_branch(data["base"]["ref"]),
        mergeable={True: True, False: False}.get(data.get("mergeable")),
        mergeable_state=_text(data, "mergeable_state") or None,
        title=_text(data, "title"),
        body=_text(data, "body"),
        author=_login(data),
        merged_at=_text(data, "merged_at"),
    )


def comment(data: Any) -> Comment:
    about = data.get("issue_url") or data.get("pull_request_url") or data.get("html_url") or ""
    return Comment(
        id=Number(data["id"]),
        issue=Number(urlsplit(about).path.rpartition("/")[2]),
        author=_login(data),
        author_kind=_kind(data),
        body=_text(data, "body"),
        url=_text(data, "html_url"),
        created_at=_words(data["created_at"]),
        updated_at=_words(data["updated_at"]),
        path=_text(data, "path") or None,
        line=_count(data, "line") or _count(data, "original_line"),
    )


def review(data: Any) -> Review:
    return Review(
        Number(data["id"]),
        _login(data),
        _kind(data),
        _words(data["state"]).upper(),
        _text(data, "body"),
        _text(data, "html_url"),
    )


def label_event(data: Any) -> LabelEvent | None:
    """None for the other events of a timeline."""
    kind = data.get("event")
    if kind not in ("labeled", "unlabeled", "reopened"):
        return None
    return LabelEvent(
        _login(data, "actor"),
        _kind(data, "actor"),
        "" if kind == "reopened" else _words(data["label"]["name"]),
        _words(data["created_at"]),
        kind != "unlabeled",
    )


def permission(data: Any) -> str | None:
    """A role that an organisation made up is worth what it is built on."""
    said = data.get("role_name"), data.get("permission")
    return next((role for role in said if role in PERMISSIONS), None)


def label(data: Any) -> str:
    return _words(data["name"])


def file_names(data: Any) -> tuple[str, ...]:
    """Of a file that a pull changes; both names of a renamed one."""
    return tuple(_words(data[key]) for key in ("previous_filename", "filename") if data.get(key))


def check_run(data: Any) -> CheckRun:
    summary = _text(data, "output", "title"), _text(data, "output", "summary")
    return CheckRun(
        Number(data["id"]),
        _words(data["name"]),
        _words(data["status"]),
        _text(data, "conclusion") or None,
        _text(data, "html_url") or _text(data, "details_url"),
        "\n".join(filter(None, summary)),
    )


def legacy_status(data: Any) -> CheckRun:
    conclusion = {"success": "success", "failure": "failure", "error": "failure", "pending": None}[
        data["state"]
    ]
    return CheckRun(
        None,
        _words(data["context"]),
        "completed" if conclusion else "in_progress",
        conclusion,
        _text(data, "target_url"),
        _text(data, "description"),
    )


def annotation(data: Any) -> Annotation:
    return Annotation(
        _text(data, "path"),
        _count(data, "start_line"),
        _text(data, "annotation_level") or "notice",
        _text(data, "message") or _text(data, "title"),
    )


def repo_facts(data: Any) -> RepoFacts:
    granted = data.get("permissions")
    return RepoFacts(
        _words(data["full_name"]),
        _branch(data["default_branch"]),
        bool(data.get("archived")),
        None if granted is None else tuple(name for name, has in granted.items() if has),
    )


def rulesets(rules: Any) -> list[Number]:
    return sorted({Number(rule["ruleset_id"]) for rule in rules if rule.get("ruleset_id")})


def protection(known: tuple[bool, Iterable[Any] | None, Any, list[Any]]) -> Protection:
    """From whether the branch is protected, its rules, its classic protection, and the rulesets that the rules are from."""
    protected, rules, classic, sets = known
    kinds = {rule["type"]: rule.get("parameters") for rule in rules or []}
    if not kinds and (classic is None or (rules is None and not classic)):
        return Protection(protected, None, None, None)  # only an administrator may read it
    asked = _at(classic, "required_pull_request_reviews"), kinds.get("pull_request")
    signed = "required_signatures" in kinds or _at(classic, "required_signatures", "enabled")
    return Protection(
        protected or bool(kinds),
        max(_count(each, "required_approving_review_count") or 0 for each in asked),
        bool(signed),
        _bypass(classic, sets),
    )


def _bypass(classic: Any, sets: list[Any]) -> bool | None:
    """Whether the token's owner may pass all of it; classic protection names no owner, but says "admins too"."""
    said = [_at(each, "current_user_can_bypass") for each in sets]
    answers = {each and each in ("always", "exempt", "pull_requests_only") for each in said}
    if classic:
        admins = _at(classic, "enforce_admins", "enabled")
        answers.add(admins if admins is None else not admins)
    return False if False in answers else (answers == {True}) or None


def login(user: Any) -> str:
    return _words(user["login"])


def _login(data: Any, who: str = "user") -> str:
    """Deleted accounts come as null; GitHub shows them as ghost."""
    return login(data.get(who) or GHOST)


def _kind(data: Any, who: str = "user") -> str:
    """User, Bot, Organization; App for what came in somebody's name through an app; empty when not said."""
    return "App" if data.get("performed_via_github_app") else _text(data, who, "type")


def _at(data: Any, *path: str) -> Any:
    """What lies below these keys; None where the server leaves a part of the way out."""
    for key in path:
        data = (data or {}).get(key)
    return data


def _text(data: Any, *path: str) -> str:
    return _words(_at(data, *path))


def _words(value: Any) -> str:
    """A text, empty for null. Half a character, which JSON can spell, becomes a question mark: nothing could write it."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} is no text")
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def _count(data: Any, *path: str) -> int | None:
    value = _at(data, *path)
    if value is not None and type(value) is not int:
        raise TypeError(f"{type(value).__name__} is no count")
    return value


def _state(data: Any) -> Literal["open", "closed"]:
    return "open" if _words(data["state"]) == "open" else "closed"


def _branch(value: Any) -> str:
    """A name that git can have: it becomes part of refs."""
    name = _words(value)
    if re.search(NO_REF, name):
        raise ValueError(f"{name[:80]!r} is no branch")
    return name


def _sha(value: Any) -> str:
    name = _words(value)
    if not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", name):
        raise ValueError(f"{name[:80]!r} is no commit")
    return name
