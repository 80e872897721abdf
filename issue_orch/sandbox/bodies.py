"""GitHub's JSON of users, the repository, issues, comments and timelines, made from the sandbox's rows."""

from __future__ import annotations

import base64
from typing import NamedTuple
from urllib.parse import quote

from .issues import PERSON
from .pulls import Pulls
from .records import Comment, Event, Issue, Json, Label, Milestone, Permission, User, allows, stamp

_USER_LINKS = {
    "followers": "",
    "following": "{/other_user}",
    "gists": "{/gist_id}",
    "starred": "{/owner}{/repo}",
    "subscriptions": "",
    "orgs": "",
    "repos": "",
    "events": "{/privacy}",
    "received_events": "",
}
_REPO_LINKS = {
    "archive": "{archive_format}{/ref}",
    "assignees": "assignees{/user}",
    "blobs": "git/blobs{/sha}",
    "branches": "branches{/branch}",
    "collaborators": "collaborators{/collaborator}",
    "comments": "comments{/number}",
    "commits": "commits{/sha}",
    "compare": "compare/{base}...{head}",
    "contents": "contents/{+path}",
    "contributors": "contributors",
    "deployments": "deployments",
    "downloads": "downloads",
    "events": "events",
    "forks": "forks",
    "git_commits": "git/commits{/sha}",
    "git_refs": "git/refs{/sha}",
    "git_tags": "git/tags{/sha}",
    "hooks": "hooks",
    "issue_comment": "issues/comments{/number}",
    "issue_events": "issues/events{/number}",
    "issues": "issues{/number}",
    "keys": "keys{/key_id}",
    "labels": "labels{/name}",
    "languages": "languages",
    "merges": "merges",
    "milestones": "milestones{/number}",
    "notifications": "notifications{?since,all,participating}",
    "pulls": "pulls{/number}",
    "releases": "releases{/id}",
    "stargazers": "stargazers",
    "statuses": "statuses/{sha}",
    "subscribers": "subscribers",
    "subscription": "subscription",
    "tags": "tags",
    "teams": "teams",
    "trees": "git/trees{/sha}",
}


class View(NamedTuple):
    """Whose links the bodies carry: `api` is the root that the client came by, `html` the web."""

    store: Pulls
    api: str
    html: str

    @property
    def here(self) -> str:
        return f"{self.api}/repos/{self.store.repo}"

    @property
    def web(self) -> str:
        return f"{self.html}/{self.store.repo}"


def node(kind: str, number: object) -> str:
    return base64.b64encode(f"{kind}:{number}".encode()).decode()


def account(view: View, login: str, number: int, kind: str) -> Json:
    url = f"{view.api}/users/{quote(login)}"
    links = {
        f"{'organizations' if name == 'orgs' else name}_url": f"{url}/{name}{tail}"
        for name, tail in _USER_LINKS.items()
    }
    return {
        "login": login,
        "id": number,
        "node_id": node("User", number),
        "gravatar_id": "",
        "url": url,
        "avatar_url": f"{view.html}/avatars/{number}",
        "html_url": f"{view.html}/{quote(login)}",
        **links,
        "type": kind,
        "site_admin": False,
    }


def user(view: View, login: str) -> Json:
    row = view.store.user(login)
    return account(view, row.login, row.id, row.kind)


def private_user(view: View, row: User) -> Json:
    counts = (
        "public_repos",
        "public_gists",
        "followers",
        "following",
        "private_gists",
        "total_private_repos",
        "owned_private_repos",
        "disk_usage",
        "collaborators",
    )
    unset = ("name", "company", "blog", "location", "email", "hireable", "bio", "twitter_username")
    times = dict.fromkeys(("created_at", "updated_at"), stamp(view.store.created_at))
    return {
        **user(view, row.login),
        **dict.fromkeys(counts, 0),
        **dict.fromkeys(unset),
        **times,
        "two_factor_authentication": True,
    }


def association(view: View, login: str) -> str:
    permission = view.store.user(login).permission
    if login == view.store.repo.split("/")[0]:
        return "OWNER"
    # A member of the organisation may only read: MEMBER is not write access.
    return {"none": "NONE", "read": "MEMBER"}.get(permission, "COLLABORATOR")


def permissions(permission: Permission) -> dict[str, bool]:
    names: dict[str, Permission] = {
        "admin": "admin",
        "maintain": "maintain",
        "push": "write",
        "triage": "triage",
        "pull": "read",
    }
    return {name: allows(permission, needed) for name, needed in names.items()}


def repository(view: View) -> Json:
    """The repository as it stands in a pull's head and base, and the larger part of the repository itself."""
    known: Json | None = view.store.cache.get(("repository", view.api))
    if known:
        return known
    store = view.store
    owner, name = store.repo.split("/")
    open_issues = sum(issue.state == "open" for issue in store.issues.values())
    zero = ("forks", "forks_count", "stargazers_count", "watchers", "watchers_count", "size")
    false = (
        "fork",
        "archived",
        "disabled",
        "is_template",
        "has_wiki",
        "has_pages",
        "has_discussions",
        "has_projects",
    )
    body: Json = {
        "id": 1,
        "node_id": node("Repository", 1),
        "name": name,
        "full_name": store.repo,
        "private": store.private,
        "owner": account(view, owner, 1, "Organization"),
        "html_url": view.web,
        "description": None,
        "url": view.here,
        **{f"{link}_url": f"{view.here}/{tail}" for link, tail in _REPO_LINKS.items()},
        "clone_url": f"{view.web}.git",
        "git_url": f"git:{view.web.split(':', 1)[1]}.git",
        "svn_url": view.web,
        "ssh_url": f"git@127.0.0.1:{store.repo}.git",
        "mirror_url": None,
        "homepage": None,
        "language": None,
        **dict.fromkeys(zero, 0),
        **dict.fromkeys(false, False),
        "has_issues": True,
        "license": None,
        "topics": [],
        "visibility": "private" if store.private else "public",
        "default_branch": store.default_branch,
        "open_issues": open_issues,
        "open_issues_count": open_issues,
        **dict.fromkeys(("created_at", "updated_at", "pushed_at"), stamp(store.created_at)),
    }
    store.cache[("repository", view.api)] = body
    return body


def full_repository(view: View, row: User) -> Json:
    return {
        **repository(view),
        "permissions": permissions(row.permission),
        "subscribers_count": 0,
        "network_count": 0,
        "allow_squash_merge": True,
        "allow_merge_commit": True,
        "allow_rebase_merge": True,
        "allow_auto_merge": False,
        "delete_branch_on_merge": False,
    }


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


def collaborator(view: View, row: User) -> Json:
    """`permission` knows only the old four: maintain reads as write and triage as read; role_name is exact."""
    role: Permission = (
        "read" if row.permission == "none" and not view.store.private else row.permission
    )
    old = {"maintain": "write", "triage": "read"}.get(role, role)
    who = {**user(view, row.login), "permissions": permissions(role), "role_name": role}
    return {"permission": old, "role_name": role, "user": who}
