"""GitHub's JSON of pulls, commits, files and reviews, made from the sandbox's rows."""

from __future__ import annotations

from urllib.parse import quote

from . import bare as git
from .bodies import issue, issue_labels
from .records import Json, Pull, Review, ReviewComment, stamp
from .repo_bodies import View, association, hrefs, node, repository, user


def pull(view: View, row: Pull) -> Json:
    """A pull as in lists: without whether it merges."""
    half = issue(view, view.store.issues[row.number])
    url, web = f"{view.here}/pulls/{row.number}", f"{view.web}/pull/{row.number}"
    links = {
        "self": url,
        "html": web,
        "issue": half["url"],
        "comments": half["comments_url"],
        "review_comments": f"{url}/comments",
        "review_comment": f"{view.here}/pulls/comments{{/number}}",
        "commits": f"{url}/commits",
        "statuses": f"{view.here}/statuses/{row.head_sha}",
    }
    same = (
        "node_id",
        "number",
        "state",
        "locked",
        "active_lock_reason",
        "title",
        "body",
        "user",
        "milestone",
        "assignee",
        "assignees",
        "author_association",
        "created_at",
        "updated_at",
        "closed_at",
    )
    base_sha = view.store.heads.get(row.base) or row.merge_base or row.head_sha
    return {
        **{key: half[key] for key in same},
        "id": 20_000_000 + row.number,
        "url": url,
        "html_url": web,
        "diff_url": f"{web}.diff",
        "patch_url": f"{web}.patch",
        "issue_url": half["url"],
        "draft": row.draft,
        **{
            f"{key}_url": links[key]
            for key in ("commits", "review_comments", "review_comment", "comments")
        },
        "statuses_url": links["statuses"],
        "labels": issue_labels(view, view.store.issues[row.number]),
        "requested_reviewers": [],
        "requested_teams": [],
        "merged_at": stamp(row.merged_at),
        "merge_commit_sha": row.merge_sha,
        "auto_merge": None,
        "head": _end(view, row.head, row.head_sha),
        "base": _end(view, row.base, base_sha),
        "_links": hrefs(**links),
    }


def _end(view: View, branch: str, sha: str) -> Json:
    whole = repository(view)
    owner = whole["owner"]
    return {
        "label": f"{owner['login']}:{branch}",
        "ref": branch,
        "sha": sha,
        "user": owner,
        "repo": whole,
    }


def full_pull(view: View, row: Pull, asked: bool = True) -> Json:
    """A pull in full. GitHub works out whether it merges only after the first GET that has asked for it."""
    store, bare = view.store, view.store.repository
    pair = (row.head_sha, store.heads.get(row.base, ""))
    if not asked:
        row = row._replace(mergeable=None)
    elif row.asked != pair:
        # The next answer differs, so this one must not be cached beyond this revision.
        row = store.pulls[row.number] = row._replace(asked=pair, mergeable=None)
        store.changed()
    elif row.mergeable is None and store.issues[row.number].state == "open":
        mergeable = git.merged_tree(bare, pair[1], pair[0]) is not None
        row = store.pulls[row.number] = row._replace(mergeable=mergeable)
    changes, commits = files_of(view, row), commits_of(view, row)
    return {
        **pull(view, row),
        "merged": row.merged_at is not None,
        "mergeable": row.mergeable,
        "rebaseable": row.mergeable,
        "mergeable_state": _mergeable_state(view, row),
        "maintainer_can_modify": False,
        "merged_by": user(view, row.merged_by) if row.merged_by else None,
        "comments": len(store.comments[row.number]),
        "review_comments": len(store.review_comments[row.number]),
        "commits": len(commits),
        "changed_files": len(changes),
        "additions": sum(change.additions for change in changes),
        "deletions": sum(change.deletions for change in changes),
    }


def _mergeable_state(view: View, row: Pull) -> str:
    store = view.store
    if row.mergeable is None:
        return "unknown"
    if not row.mergeable:
        return "dirty"
    if row.draft:
        return "draft"
    approvals = {
        review.author for review in store.reviews[row.number] if review.state == "APPROVED"
    }
    green = {
        check.name for check in store.checks[row.head_sha].values() if check.conclusion == "success"
    }
    for rule in (*store.protections_of(row.base, True), *store.protections_of(row.base, False)):
        if len(approvals) < rule.reviews or not green.issuperset(rule.checks):
            return "blocked"
    failing = {check.conclusion for check in store.checks[row.head_sha].values()} - {
        "success",
        "neutral",
        "skipped",
    }
    states = {status.state for status in store.statuses[row.head_sha].values()} - {"success"}
    return "unstable" if failing or states else "clean"


def fork_point(view: View, row: Pull) -> str:
    """Where the pull's own commits begin: fixed once merged, else the common ancestor with the base of now."""
    tip = view.store.heads.get(row.base, row.head_sha)
    return (
        row.merge_base or git.merge_base(view.store.repository, tip, row.head_sha) or row.head_sha
    )


def commits_of(view: View, row: Pull) -> list[git.Commit]:
    return git.log(view.store.repository, f"{fork_point(view, row)}..{row.head_sha}")


def files_of(view: View, row: Pull) -> list[git.FileChange]:
    return git.diff(view.store.repository, fork_point(view, row), row.head_sha)


def commit(view: View, row: git.Commit) -> Json:
    url = f"{view.here}/commits/{row.sha}"
    people = {
        kind: {"name": name, "email": email, "date": date}
        for kind, (name, email, date) in (("author", row.author), ("committer", row.committer))
    }
    inner = {
        "url": f"{view.here}/git/commits/{row.sha}",
        **people,
        "message": row.message,
        "comment_count": 0,
        "tree": {"sha": row.tree, "url": f"{view.here}/git/trees/{row.tree}"},
        "verification": _unverified(),
    }
    return {
        "url": url,
        "sha": row.sha,
        "node_id": node("Commit", row.sha),
        "html_url": f"{view.web}/commit/{row.sha}",
        "comments_url": f"{url}/comments",
        "commit": inner,
        "author": None,
        "committer": None,
        "parents": _parents(view, row),
    }


def _unverified() -> Json:
    return {
        "verified": False,
        "reason": "unsigned",
        "signature": None,
        "payload": None,
        "verified_at": None,
    }


def _parents(view: View, row: git.Commit) -> list[Json]:
    return [
        {"sha": sha, "url": f"{view.here}/commits/{sha}", "html_url": f"{view.web}/commit/{sha}"}
        for sha in row.parents
    ]


def timeline_commit(view: View, row: git.Commit) -> Json:
    whole = commit(view, row)
    kept = {
        key: whole["commit"][key]
        for key in ("author", "committer", "message", "tree", "verification")
    }
    return {
        "event": "committed",
        "sha": row.sha,
        "node_id": whole["node_id"],
        "url": whole["commit"]["url"],
        **kept,
        "parents": whole["parents"],
        "html_url": whole["html_url"],
    }


def file(view: View, row: git.FileChange, sha: str) -> Json:
    path = quote(row.path)
    body = {
        "sha": row.sha,
        "filename": row.path,
        "status": row.status,
        "additions": row.additions,
        "deletions": row.deletions,
        "changes": row.additions + row.deletions,
        "blob_url": f"{view.web}/blob/{sha}/{path}",
        "raw_url": f"{view.web}/raw/{sha}/{path}",
        "contents_url": f"{view.here}/contents/{path}?ref={sha}",
    }
    return body | ({"previous_filename": row.previous} if row.previous else {})


def review(view: View, row: Review) -> Json:
    url, web = (
        f"{view.here}/pulls/{row.pull}",
        f"{view.web}/pull/{row.pull}#pullrequestreview-{row.id}",
    )
    return {
        "id": row.id,
        "node_id": node("Review", row.id),
        "user": user(view, row.author),
        "body": row.body,
        "state": row.state,
        "html_url": web,
        "pull_request_url": url,
        "submitted_at": stamp(row.at),
        "_links": hrefs(html=web, pull_request=url),
        "commit_id": row.commit,
        "author_association": association(view, row.author),
    }


def review_comment(view: View, number: int, row: ReviewComment) -> Json:
    parent = next(each for each in view.store.reviews[number] if each.id == row.review)
    url, pull_url = f"{view.here}/pulls/comments/{row.id}", f"{view.here}/pulls/{number}"
    web = f"{view.web}/pull/{number}#discussion_r{row.id}"
    return {
        "url": url,
        "pull_request_review_id": row.review,
        "id": row.id,
        "node_id": node("ReviewComment", row.id),
        "diff_hunk": f"@@ -{row.line} +{row.line} @@",
        "path": row.path,
        "commit_id": parent.commit,
        "original_commit_id": parent.commit,
        "user": user(view, parent.author),
        "body": row.body,
        "created_at": stamp(parent.at),
        "updated_at": stamp(parent.at),
        "html_url": web,
        "pull_request_url": pull_url,
        "author_association": association(view, parent.author),
        "line": row.line,
        "original_line": row.line,
        "side": "RIGHT",
        "subject_type": "line",
        "_links": hrefs(self=url, html=web, pull_request=pull_url),
    }
