"""What the POST, PATCH and DELETE routes of the sandbox do: comments, labels and pulls."""

from __future__ import annotations

import re

from . import bare as git
from . import bodies, pull_bodies, pull_reads, reads
from .reads import Call, Listing
from .records import Json, Refused, allows, invalid


def _required(call: Call, resource: str, *names: str) -> list[str]:
    missing = [name for name in names if not (call.body.get(name) or "").strip()]
    if missing:
        errors = (
            {"resource": resource, "field": name, "code": "missing_field"} for name in missing
        )
        raise Refused(422, "Validation Failed", *errors)
    return [call.body[name] for name in names]


def _owned(call: Call, author: str) -> None:
    """One's own may be edited; that of others needs write permission."""
    if author != call.user.login and not allows(call.user.permission, "write"):
        raise Refused(403, "Resource not accessible by personal access token")


def comment(call: Call, number: str) -> Json:
    (body,) = _required(call, "IssueComment", "body")
    made = call.view.store.comment(reads.issue_row(call, number).number, body, call.user.login)
    return reads.comment(call, str(made))


def edit_comment(call: Call, comment_id: str) -> Json:
    row = reads.or_404(call.view.store.find_comment(int(comment_id)))
    _owned(call, row.author)
    (body,) = _required(call, "IssueComment", "body")
    call.view.store.edit_comment(row.id, body)
    return reads.comment(call, comment_id)


def label(call: Call) -> Json:
    store, (name,) = call.view.store, _required(call, "Label", "name")
    if not re.fullmatch("[0-9a-fA-F]{6}", call.body.get("color", "ededed")):
        raise invalid("Label", field="color")
    if name.casefold() in store.labels:
        raise invalid("Label", "already_exists", field="name")
    made = store.label(name)._replace(
        color=call.body.get("color", "ededed"), description=call.body.get("description", "")
    )
    store.labels[name.casefold()] = made
    store.changed()
    return bodies.label(call.view, made)


def add_labels(call: Call, number: str) -> Listing:
    row = reads.issue_row(call, number)
    names = call.body if isinstance(call.body, list) else call.body.get("labels", [])
    if not names or not all(
        isinstance(name, str) and 0 < len(name.strip()) <= 50 for name in names
    ):
        raise invalid("Label", field="name")
    for name in names:
        call.view.store.add_label(row.number, name, call.user.login)
    return reads.issue_labels(call, number)


def remove_label(call: Call, number: str, name: str) -> Listing:
    row = reads.issue_row(call, number)
    if name.casefold() not in {each.casefold() for each in row.labels}:
        raise Refused(404, "Label does not exist")
    call.view.store.remove_label(row.number, name, call.user.login)
    return reads.issue_labels(call, number)


def open_pull(call: Call) -> Json:
    store = call.view.store
    title, head, base = _required(call, "PullRequest", "title", "head", "base")
    owner, _, branch = head.rpartition(":")
    for field, name in (("head", branch), ("base", base)):
        if name not in store.heads or owner not in ("", store.repo.split("/")[0]):
            raise invalid("PullRequest", field=field)
    _refuse_twin(call, branch, base)
    if git.is_ancestor(store.repository, store.heads[branch], store.heads[base]):
        raise invalid("PullRequest", "custom", message=f"No commits between {base} and {branch}")
    draft = call.body.get("draft", False)
    number = store.open_pull(
        branch, base, title, call.body.get("body") or "", call.user.login, draft
    )
    return pull_bodies.full_pull(call.view, store.pulls[number], asked=False)


def _refuse_twin(call: Call, head: str, base: str) -> None:
    store = call.view.store
    for pull in store.pulls.values():
        if (pull.head, pull.base, store.issues[pull.number].state) == (head, base, "open"):
            owner = store.repo.split("/")[0]
            raise invalid(
                "PullRequest",
                "custom",
                message=f"A pull request already exists for {owner}:{head}.",
            )


def edit_pull(call: Call, number: str) -> Json:
    """Title, text, base, and open or closed: nothing here merges."""
    store, row = call.view.store, pull_reads.pull_row(call, number)
    issue, state, base = (
        store.issues[row.number],
        call.body.get("state"),
        call.body.get("base", row.base),
    )
    _owned(call, issue.author)
    if state not in (None, "open", "closed"):
        raise invalid("PullRequest", field="state")
    if base not in store.heads and base != row.base:
        raise invalid("PullRequest", field="base")
    if state == "open" and issue.state == "closed":
        if row.merged_at or row.head not in store.heads:
            raise invalid("PullRequest", field="state", message="state cannot be changed.")
        _refuse_twin(call, row.head, base)
    store.pulls[row.number] = row._replace(base=base)
    body = call.body["body"] or "" if "body" in call.body else None
    store.edit_issue(row.number, call.body.get("title"), body, call.user.login)
    if state == "closed" and issue.state == "open":
        store.close_issue(row.number, by=call.user.login)
    elif state == "open" and issue.state == "closed":
        store.reopen_issue(row.number, call.user.login)
    return pull_bodies.full_pull(call.view, store.pulls[row.number], asked=False)
