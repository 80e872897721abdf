"""What the GET routes of the sandbox answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from . import bodies, pull_bodies
from .records import Comment, Issue, Json, Refused, User, invalid
from .repo_bodies import View

T = TypeVar("T")


class Call(NamedTuple):
    """One request to a route. `rates` is what /rate_limit shows."""

    view: View
    user: User
    query: dict[str, str]
    body: Any
    rates: Json


class Listing(NamedTuple):
    """A list to be shown in pages: only the rows of the page are rendered, then `wrap` puts them into an object."""

    rows: Iterable[Any]
    render: Callable[[View, Any], Any] = lambda view, row: row
    wrap: Callable[[list[Any]], Any] = lambda page: page


def rate_limit(call: Call) -> Json:
    return {"resources": {"core": call.rates, "search": call.rates}, "rate": call.rates}


def issue_row(call: Call, number: str) -> Issue:
    """Of one that was transferred GitHub says where it is, of one that was deleted that it was."""
    store, key = call.view.store, int(number)
    if key in store.gone:
        raise store.gone[key]
    return or_404(store.issues.get(key))


def or_404(row: T | None) -> T:
    if row is None:
        raise Refused(404, "Not Found")
    return row


def issue(call: Call, number: str) -> Json:
    return bodies.issue(call.view, issue_row(call, number))


def foreign_issue(call: Call, repo: str, parts: tuple[str, ...]) -> Json:
    row = call.view.store.foreign.get((repo, int(parts[0])))
    return bodies.issue(call.view, or_404(row if row and row.visible else None))


def issues(call: Call) -> Listing:
    """Filtered and sorted once per revision and query, whatever page is asked for."""
    store, query = (
        call.view.store,
        {key: value for key, value in call.query.items() if "page" not in key},
    )
    key = ("issues", *sorted(query.items()))
    if key not in store.cache:
        wanted = _issue_filter(call, query)
        rows = [row for row in store.issues.values() if wanted(row)]
        store.cache[key] = in_order(rows, query)
    return Listing(store.cache[key], bodies.issue)


def _issue_filter(call: Call, query: dict[str, str]) -> Callable[[Issue], bool]:
    state, earliest = one_of(query, "state", "open", "closed", "all"), since(query)
    labels = {
        name.strip().casefold() for name in query.get("labels", "").split(",") if name.strip()
    }
    assignee, creator, milestone = (
        query.get(name) for name in ("assignee", "creator", "milestone")
    )
    if milestone and milestone not in ("*", "none") and not milestone.isdecimal():
        raise invalid("Issue", field="milestone")

    def wanted(row: Issue) -> bool:
        return (
            (state == "all" or row.state == state)
            and row.updated_at >= earliest
            and (not labels or labels <= {name.casefold() for name in row.labels})
            and (creator is None or row.author == creator)
            and _matches(assignee, row.assignees)
            and _matches(milestone, (str(row.milestone),) if row.milestone else ())
        )

    return wanted


def _matches(asked: str | None, has: tuple[str, ...]) -> bool:
    match asked:
        case None:
            return True
        case "*":
            return bool(has)
        case "none":
            return not has
    return asked in has


def one_of(query: dict[str, str], name: str, *allowed: str) -> str:
    value = query.get(name, allowed[0])
    if value not in allowed:
        raise invalid("Search", field=name)
    return value


def since(query: dict[str, str]) -> float:
    if "since" not in query:
        return 0
    try:
        return datetime.strptime(query["since"], "%Y-%m-%dT%H:%M:%S%z").timestamp()
    except ValueError:
        raise Refused(
            422, f"Validation Failed: since {query['since']} is not YYYY-MM-DDTHH:MM:SSZ"
        ) from None


def in_order(rows: list[Any], query: dict[str, str], default: str = "desc") -> list[Any]:
    field = one_of(query, "sort", "created", "updated")
    descending = one_of(query, "direction", default, "asc", "desc") == "desc"
    return sorted(rows, key=lambda row: (getattr(row, f"{field}_at"), row[0]), reverse=descending)


def comments(call: Call, number: str) -> Listing:
    earliest, rows = (
        since(call.query),
        call.view.store.comments[issue_row(call, number).number].values(),
    )
    return Listing(
        [row for row in rows if row.updated_at >= earliest],
        bodies.comment,
    )


def all_comments(call: Call) -> Listing:
    earliest, store = since(call.query), call.view.store
    if "direction" in call.query and "sort" not in call.query:
        raise Refused(422, "Validation Failed: direction is ignored without sort")
    rows = [
        row
        for found in store.comments.values()
        for row in found.values()
        if row.updated_at >= earliest
    ]
    return Listing(in_order(rows, call.query, "asc"), bodies.comment)


def comment(call: Call, comment_id: str) -> Json:
    return bodies.comment(call.view, or_404(call.view.store.find_comment(int(comment_id))))


def events(call: Call, number: str) -> Listing:
    rows = call.view.store.events[issue_row(call, number).number]
    return Listing(
        [row for row in rows if row.kind != "cross-referenced"],
        bodies.event,
    )


def timeline(call: Call, number: str) -> Listing:
    """Events, comments, reviews and a pull's commits, by their time."""
    view, store, key = call.view, call.view.store, issue_row(call, number).number
    found: list[Json] = []
    if key in store.pulls:
        found += [
            pull_bodies.timeline_commit(view, row)
            for row in pull_bodies.commits_of(view, store.pulls[key])
        ]
    dated = [
        *((row.at, bodies.timeline_event(view, row)) for row in store.events[key]),
        *((row.created_at, _commented(view, row)) for row in store.comments[key].values()),
        *(
            (row.at, {"event": "reviewed", **pull_bodies.review(view, row)})
            for row in store.reviews[key]
        ),
    ]
    found += [body for _, body in sorted(dated, key=lambda line: line[0])]
    return Listing(found)


def _commented(view: View, row: Comment) -> Json:
    body = bodies.comment(view, row)
    return {"event": "commented", "actor": body["user"], **body}


def labels(call: Call) -> Listing:
    return Listing(call.view.store.labels.values(), bodies.label)


def label(call: Call, name: str) -> Json:
    return bodies.label(call.view, or_404(call.view.store.labels.get(name.casefold())))


def issue_labels(call: Call, number: str) -> Listing:
    rows = [call.view.store.label(name) for name in issue_row(call, number).labels]
    return Listing(rows, bodies.label)


def blocked_by(call: Call, number: str) -> Listing:
    """Closed blockers included; those in repositories that the token cannot see are left out, though counted."""
    store = call.view.store
    rows = [store.issue(key) for key in store.blocked_by[issue_row(call, number).number]]
    return Listing([row for row in rows if row.visible], bodies.issue)


def sub_issues(call: Call, number: str) -> Listing:
    store = call.view.store
    rows = [store.issues[child] for child in store.children[issue_row(call, number).number]]
    return Listing(rows, bodies.issue)


def parent(call: Call, number: str) -> Json:
    store = call.view.store
    key = or_404(store.parents.get(issue_row(call, number).number))
    return bodies.issue(call.view, store.issues[key])


def milestones(call: Call) -> Listing:
    return Listing(call.view.store.milestones.values(), bodies.milestone)
