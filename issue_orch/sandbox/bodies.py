"""GitHub's JSON of issues, comments and timelines, made from the sandbox's rows."""

from __future__ import annotations

from urllib.parse import quote

from .issues import PERSON
from .records import Comment, Event, Issue, Json, Label, Milestone, stamp
from .repo_bodies import View, association, node, repository, user


def label(view: View, row: Label) -> Json:
    return {
        "id": row.id,
        "node_id": node("Label", row.id),
        "url": f"{view.here}/labels/{quote(row.name, safe='')}",
        "name": row.name,
        "description": row.description or None,
        "color": row.color,
        "default": False,
        "archived_at": None,
        "archived_by": None,
    }


def milestone(view: View, row: Milestone) -> Json:
    url, states = (
        f"{view.here}/milestones/{row.number}",
        [issue.state for issue in view.store.issues.values() if issue.milestone == row.number],
    )
    return {
        "url": url,
        "html_url": f"{view.web}/milestone/{row.number}",
        "labels_url": f"{url}/labels",
        "id": row.number,
        "node_id": node("Milestone", row.number),
        "number": row.number,
        "title": row.title,
        "description": None,
        "creator": user(view, PERSON),
        "open_issues": states.count("open"),
        "closed_issues": states.count("closed"),
        "state": "open",
        "created_at": stamp(row.created_at),
        "updated_at": stamp(row.created_at),
        "closed_at": None,
        "due_on": None,
    }


def issue(view: View, row: Issue) -> Json:
    """An issue, or the half of a pull that /issues shows; foreign issues name their own repository."""
    store, number, foreign = view.store, row.number, row.repo != view.store.repo
    here, web = f"{view.api}/repos/{row.repo}", f"{view.html}/{row.repo}"
    url, pull = f"{here}/issues/{number}", None if foreign else store.pulls.get(number)
    body: Json = {
        "id": 10_000_000 + number,
        "node_id": node("Issue", f"{row.repo}#{number}"),
        "url": url,
        "repository_url": here,
        "labels_url": f"{url}/labels{{/name}}",
        "comments_url": f"{url}/comments",
        "events_url": f"{url}/events",
        "timeline_url": f"{url}/timeline",
        "html_url": f"{web}/{'pull' if pull else 'issues'}/{number}",
        "number": number,
        "title": row.title,
        "body": row.body or None,
        "user": user(view, row.author),
        "author_association": association(view, row.author),
        "state": row.state,
        "state_reason": row.state_reason,
        "labels": issue_labels(view, row),
        "assignees": [user(view, login) for login in row.assignees],
        "assignee": user(view, row.assignees[0]) if row.assignees else None,
        "milestone": milestone(view, store.milestones[row.milestone]) if row.milestone else None,
        "locked": False,
        "active_lock_reason": None,
        "comments": 0 if foreign else len(store.comments[number]),
        "created_at": stamp(row.created_at),
        "updated_at": stamp(row.updated_at),
        "closed_at": stamp(row.closed_at),
        "closed_by": user(view, row.closed_by) if row.closed_by else None,
        "issue_dependencies_summary": dependencies(view, row),
        "sub_issues_summary": sub_issues(view, row),
    }
    if pull:
        links = {"url": f"{here}/pulls/{number}", "html_url": body["html_url"]}
        ends = {f"{kind}_url": f"{body['html_url']}.{kind}" for kind in ("diff", "patch")}
        body |= {
            "draft": pull.draft,
            "pull_request": {**links, **ends, "merged_at": stamp(pull.merged_at)},
        }
    if not foreign and number in store.parents:
        body["parent_issue_url"] = f"{here}/issues/{store.parents[number]}"
    return body


def issue_labels(view: View, row: Issue) -> list[Json]:
    """Inside an issue a label does not say when it was archived."""
    rows = (label(view, view.store.label(name)) for name in row.labels)
    return [{key: value for key, value in each.items() if key != "archived_at"} for each in rows]


def dependencies(view: View, row: Issue) -> dict[str, int]:
    store, here = view.store, row.repo == view.store.repo
    blockers = [store.issue(key).state for key in store.blocked_by.get(row.number, ()) if here]
    blocked = [store.issue(key).state for key in store.blocking.get(row.number, ()) if here]
    return {
        "blocked_by": blockers.count("open"),
        "total_blocked_by": len(blockers),
        "blocking": blocked.count("open"),
        "total_blocking": len(blocked),
    }


def sub_issues(view: View, row: Issue) -> dict[str, int]:
    here = row.repo == view.store.repo
    states = [
        view.store.issues[child].state for child in view.store.children.get(row.number, ()) if here
    ]
    done = states.count("closed")
    return {
        "total": len(states),
        "completed": done,
        "percent_completed": done * 100 // len(states) if states else 0,
    }


def comment(view: View, row: Comment) -> Json:
    kind = "pull" if row.issue in view.store.pulls else "issues"
    return {
        "id": row.id,
        "node_id": node("IssueComment", row.id),
        "url": f"{view.here}/issues/comments/{row.id}",
        "html_url": f"{view.web}/{kind}/{row.issue}#issuecomment-{row.id}",
        "body": row.body,
        "issue_url": f"{view.here}/issues/{row.issue}",
        "user": user(view, row.author),
        "created_at": stamp(row.created_at),
        "updated_at": stamp(row.updated_at),
        "author_association": association(view, row.author),
        "performed_via_github_app": None,
    }


def event(view: View, row: Event) -> Json:
    commit: str | None = row.about.get("commit_id")
    base: Json = {
        "id": row.id,
        "node_id": node("Event", row.id),
        "url": f"{view.here}/issues/events/{row.id}",
        "actor": user(view, row.actor),
        "event": row.kind,
        "commit_id": commit,
        "commit_url": f"{view.here}/commits/{commit}" if commit else None,
        "created_at": stamp(row.at),
        "performed_via_github_app": None,
    }
    return base | _about(view, row)


def _about(view: View, row: Event) -> Json:
    match row.about:
        case {"label": str(name)}:
            return {"label": {"name": name, "color": view.store.label(name).color}}
        case {"assignee": str(login)}:
            return {"assignee": user(view, login), "assigner": user(view, row.actor)}
        case {"rename": rename}:
            return {"rename": rename}
        case {"state_reason": reason}:
            return {"state_reason": reason}
    return {}


def timeline_event(view: View, row: Event) -> Json:
    if row.kind != "cross-referenced":
        return {key: value for key, value in event(view, row).items() if key != "assigner"}
    source = {**issue(view, view.store.issues[row.about["source"]]), "repository": repository(view)}
    return {
        "event": row.kind,
        "actor": user(view, row.actor),
        "created_at": stamp(row.at),
        "updated_at": stamp(row.at),
        "source": {"type": "issue", "issue": source},
    }
