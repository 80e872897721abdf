"""GitHub's JSON of users and the repository, made from the sandbox's rows; and whose links all bodies carry."""

from __future__ import annotations

import base64
from typing import NamedTuple
from urllib.parse import quote

from .pulls import Pulls
from .records import Json, Permission, User, allows, stamp

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


def hrefs(**links: str) -> Json:
    return {name: {"href": href} for name, href in links.items()}


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


def collaborator(view: View, row: User) -> Json:
    """`permission` knows only the old four: maintain reads as write and triage as read; role_name is exact."""
    role: Permission = (
        "read" if row.permission == "none" and not view.store.private else row.permission
    )
    old = {"maintain": "write", "triage": "read"}.get(role, role)
    who = {**user(view, row.login), "permissions": permissions(role), "role_name": role}
    return {"permission": old, "role_name": role, "user": who}
