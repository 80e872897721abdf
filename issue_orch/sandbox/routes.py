"""The REST routes of the sandbox: which exist, what they need, and what they answer. None of them merges."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import unquote

from . import pull_bodies, pull_reads, reads, repo_bodies, writes
from .reads import Call
from .records import Permission, Refused, allows

# A person merges through `person`; whoever asks for it here is recorded and refused.
_REPO = "/repos/[^/]+/[^/]+"
MERGES = re.compile(
    rf"PUT {_REPO}/pulls/\d+/(merge|update-branch)|POST {_REPO}/(merges|merge-upstream)|POST /(api/)?graphql"
    rf"|(POST|PATCH|DELETE) {_REPO}/git/refs(/.*)?|(POST|PUT) {_REPO}/pulls/\d+/reviews(/.*)?"
)
Fields = dict[str, type | tuple[type, ...]]


class Route(NamedTuple):
    """`path` is below /repos/OWNER/NAME unless it begins with a slash; `fields` are those a body may have."""

    method: str
    path: str
    answer: Callable[..., Any]
    query: frozenset[str] = frozenset()
    fields: Fields = {}
    needs: Permission = "read"
    status: int = 200


def _get(
    path: str, answer: Callable[..., Any], query: str = "", needs: Permission = "read"
) -> Route:
    return Route("GET", path, answer, frozenset(query.split()), needs=needs)


_PAGES = "page per_page"
_ISSUES = f"labels state milestone assignee creator since sort direction {_PAGES}"
_PULLS = f"head base state sort direction {_PAGES}"
_LABEL: Fields = {"name": str, "color": str, "description": str}
_PULL: Fields = {
    "title": str,
    "body": (str, type(None)),
    "base": str,
    "maintainer_can_modify": bool,
}

ROUTES = (
    _get("/user", lambda call: repo_bodies.private_user(call.view, call.user)),
    _get("/rate_limit", reads.rate_limit),
    _get("", lambda call: repo_bodies.full_repository(call.view, call.user)),
    _get("branches/(.+)/protection", pull_reads.protection, needs="admin"),
    _get("branches/(.+)", pull_reads.branch),
    _get("rules/branches/(.+)", pull_reads.rules, _PAGES),
    _get(r"rulesets/(\d+)", pull_reads.ruleset),
    _get("git/ref/heads/(.+)", pull_reads.git_ref),
    _get("collaborators/([^/]+)/permission", pull_reads.permission, needs="write"),
    _get(r"compare/(.+?)\.\.\.(.+)", pull_reads.compare, _PAGES),
    _get("milestones", reads.milestones, _PAGES),
    _get("labels", reads.labels, _PAGES),
    _get("labels/([^/]+)", reads.label),
    Route("POST", "labels", writes.label, fields=_LABEL, needs="write", status=201),
    _get("issues", reads.issues, _ISSUES),
    _get(r"issues/comments", reads.all_comments, f"since sort direction {_PAGES}"),
    _get(r"issues/comments/(\d+)", reads.comment),
    Route("PATCH", r"issues/comments/(\d+)", writes.edit_comment, fields={"body": str}),
    _get(r"issues/(\d+)", reads.issue),
    _get(r"issues/(\d+)/comments", reads.comments, f"since {_PAGES}"),
    Route("POST", r"issues/(\d+)/comments", writes.comment, fields={"body": str}, status=201),
    _get(r"issues/(\d+)/timeline", reads.timeline, _PAGES),
    _get(r"issues/(\d+)/events", reads.events, _PAGES),
    _get(r"issues/(\d+)/labels", reads.issue_labels, _PAGES),
    Route(
        "POST", r"issues/(\d+)/labels", writes.add_labels, fields={"labels": list}, needs="triage"
    ),
    Route("DELETE", r"issues/(\d+)/labels/([^/]+)", writes.remove_label, needs="triage"),
    _get(r"issues/(\d+)/dependencies/blocked_by", reads.blocked_by, _PAGES),
    _get(r"issues/(\d+)/sub_issues", reads.sub_issues, _PAGES),
    _get(r"issues/(\d+)/parent", reads.parent),
    _get("pulls", pull_reads.pulls, _PULLS),
    Route(
        "POST",
        "pulls",
        writes.open_pull,
        fields={**_PULL, "head": str, "draft": bool},
        needs="write",
        status=201,
    ),
    _get(
        r"pulls/(\d+)",
        lambda call, number: pull_bodies.full_pull(call.view, pull_reads.pull_row(call, number)),
    ),
    Route("PATCH", r"pulls/(\d+)", writes.edit_pull, fields={**_PULL, "state": str}),
    _get(r"pulls/(\d+)/files", pull_reads.pull_files, _PAGES),
    _get(r"pulls/(\d+)/commits", pull_reads.pull_commits, _PAGES),
    _get(r"pulls/(\d+)/reviews", pull_reads.reviews, _PAGES),
    _get(r"pulls/(\d+)/comments", pull_reads.review_comments, _PAGES),
    _get("commits/(.+)/check-runs", pull_reads.check_runs, f"check_name filter {_PAGES}"),
    _get("commits/(.+)/status", pull_reads.combined_status, _PAGES),
    _get(r"check-runs/(\d+)/annotations", pull_reads.check_annotations, _PAGES),
)
LONGEST = {"body": 65_536, "title": 256, "name": 50, "description": 100}
_PATTERNS = tuple(
    re.compile(
        path
        if path.startswith("/")
        else "/repos/(?P<owner>[^/]+)/(?P<name>[^/]+)" + (path and f"/{path}")
    )
    for path in (route.path for route in ROUTES)
)


def find(method: str, path: str) -> tuple[Route, str | None, tuple[str, ...]] | None:
    """The route, the repository that it is asked of (None outside of one), and the decoded parts of its path."""
    for route, pattern in zip(ROUTES, _PATTERNS, strict=True):
        match = pattern.fullmatch(path) if route.method == method else None
        if match and "owner" in pattern.groupindex:
            owner, name, *parts = (unquote(part) for part in match.groups())
            return route, f"{owner}/{name}", tuple(parts)
        if match:
            return route, None, ()
    return None


def answer(route: Route, repo: str | None, parts: tuple[str, ...], call: Call) -> Any:
    """Check permission, query and body as strictly as GitHub or more, then answer."""
    store = call.view.store
    if repo and repo.casefold() != store.repo.casefold():
        if route.answer is reads.issue:
            return reads.foreign_issue(call, repo, parts)
        raise Refused(404, "Not Found")
    hidden = repo and store.private and not allows(call.user.permission, "read")
    lacking = route.needs != "read" and not allows(call.user.permission, route.needs)
    # Without admin, GitHub hides that protection exists at all.
    if hidden or (lacking and route.needs == "admin"):
        raise Refused(404, "Not Found")
    if lacking:
        raise Refused(403, "Resource not accessible by personal access token")
    _check_query(route, call)
    _check_body(route, call.body)
    return route.answer(call, *parts)


def _check_query(route: Route, call: Call) -> None:
    unknown = sorted(call.query.keys() - route.query)
    if unknown:
        raise Refused(422, f"Validation Failed: unknown query {', '.join(unknown)}")
    # GitHub takes what lies outside for the nearest number without a word: nobody can mean that.
    for name, most in (("page", 10**9), ("per_page", 100)):
        value = call.query.get(name, "1")
        if not value.isdecimal() or not 1 <= int(value) <= most:
            raise Refused(422, f"Validation Failed: {name} must be a number from 1 to {most}")


def _check_body(route: Route, body: Any) -> None:
    if isinstance(body, list) and "labels" in route.fields:
        return
    if not isinstance(body, dict):
        if body is None and not route.fields:
            return
        raise Refused(422, "Invalid request. The body is not an object")
    for name, value in body.items():
        if name not in route.fields:
            raise Refused(422, f'Invalid request. "{name}" is not a permitted key.')
        if not isinstance(value, route.fields[name]):
            raise Refused(422, f"Invalid request. For '{name}', {value!r} has the wrong type.")
        most = LONGEST.get(name)
        if most and isinstance(value, str) and len(value) > most:
            words = f"{name} is too long (maximum is {most} characters)"
            raise Refused(
                422, "Validation Failed", {"field": name, "code": "custom", "message": words}
            )
