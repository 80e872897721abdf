"""GitHub's JSON of checks, statuses, branches and what protects them, made from the sandbox's rows."""

from __future__ import annotations

from urllib.parse import quote

from . import bare as git
from .pull_bodies import commit
from .records import Check, CommitStatus, Json, Protection, stamp
from .repo_bodies import View, node, repository


def check_run(view: View, row: Check) -> Json:
    url, web = f"{view.here}/check-runs/{row.id}", f"{view.web}/runs/{row.id}"
    count, done = len(row.annotations), row.conclusion is not None
    return {
        "id": row.id,
        "head_sha": row.sha,
        "node_id": node("CheckRun", row.id),
        "external_id": "",
        "url": url,
        "html_url": web,
        "details_url": web,
        "status": "completed" if done else "in_progress",
        "name": row.name,
        "conclusion": row.conclusion,
        "started_at": stamp(row.at),
        "completed_at": stamp(row.at) if done else None,
        "output": {
            "title": None,
            "summary": None,
            "text": None,
            "annotations_count": count,
            "annotations_url": f"{url}/annotations",
        },
        "check_suite": {"id": row.id},
        "app": None,
        "pull_requests": [],
    }


def annotation(view: View, row: Check, note: Json) -> Json:
    line = note.get("line", 1)
    return {
        "path": note["path"],
        "start_line": line,
        "end_line": line,
        "start_column": None,
        "end_column": None,
        "annotation_level": note.get("level", "failure"),
        "title": note.get("title"),
        "message": note["message"],
        "raw_details": None,
        "blob_href": f"{view.web}/blob/{row.sha}/{quote(note['path'])}",
    }


def combined_status(
    view: View, sha: str, rows: list[CommitStatus], shown: list[CommitStatus]
) -> Json:
    states, url = {row.state for row in rows}, f"{view.here}/commits/{sha}"
    state = (
        "failure"
        if states & {"failure", "error"}
        else "success"
        if states == {"success"}
        else "pending"
    )
    return {
        "state": state,
        "sha": sha,
        "total_count": len(rows),
        "repository": repository(view),
        "commit_url": url,
        "url": f"{url}/status",
        "statuses": [_status(view, sha, row) for row in shown],
    }


def _status(view: View, sha: str, row: CommitStatus) -> Json:
    return {
        "id": row.id,
        "node_id": node("Status", row.id),
        "url": f"{view.here}/statuses/{sha}",
        "context": row.context,
        "state": row.state,
        "description": row.description or None,
        "target_url": None,
        "avatar_url": None,
        "created_at": stamp(row.at),
        "updated_at": stamp(row.at),
    }


def branch(view: View, name: str, sha: str) -> Json:
    url = f"{view.here}/branches/{quote(name, safe='')}"
    rules = view.store.protections_of(name, ruleset=False)
    contexts = sorted({check for rule in rules for check in rule.checks})
    required = {
        "enforcement_level": "everyone" if contexts else "off",
        "contexts": contexts,
        "checks": [],
    }
    return {
        "name": name,
        "commit": commit(view, git.log(view.store.repository, "-1", sha)[0]),
        "protected": bool(rules or view.store.protections_of(name, ruleset=True)),
        "protection": {"enabled": bool(rules), "required_status_checks": required},
        "_links": {"self": url, "html": f"{view.web}/tree/{quote(name)}"},
        "protection_url": f"{url}/protection",
    }


def protection(view: View, name: str, rule: Protection) -> Json:
    url = f"{view.here}/branches/{quote(name, safe='')}/protection"
    body: Json = {
        "url": url,
        "enforce_admins": {"url": f"{url}/enforce_admins", "enabled": True},
        "required_signatures": {"url": f"{url}/required_signatures", "enabled": rule.signatures},
        "allow_force_pushes": {"enabled": False},
        "allow_deletions": {"enabled": False},
    }
    if rule.reviews:
        body["required_pull_request_reviews"] = {
            "url": f"{url}/required_pull_request_reviews",
            "dismiss_stale_reviews": False,
            "require_code_owner_reviews": False,
            "required_approving_review_count": rule.reviews,
        }
    if rule.checks:
        checks = [{"context": name, "app_id": None} for name in rule.checks]
        body["required_status_checks"] = {
            "url": f"{url}/required_status_checks",
            "strict": False,
            "contexts": list(rule.checks),
            "checks": checks,
            "contexts_url": f"{url}/required_status_checks/contexts",
        }
    return body


def rules(view: View, number: int, rule: Protection) -> list[Json]:
    source = {
        "ruleset_source_type": "Repository",
        "ruleset_source": view.store.repo,
        "ruleset_id": number,
    }
    found: list[Json] = [{"type": "non_fast_forward"}, {"type": "update"}]
    if rule.reviews:
        flags = (
            "dismiss_stale_reviews_on_push",
            "require_code_owner_review",
            "require_last_push_approval",
            "required_review_thread_resolution",
        )
        parameters: Json = {
            "required_approving_review_count": rule.reviews,
            **dict.fromkeys(flags, False),
        }
        found.append({"type": "pull_request", "parameters": parameters})
    if rule.checks:
        contexts = [{"context": name} for name in rule.checks]
        parameters = {
            "required_status_checks": contexts,
            "strict_required_status_checks_policy": False,
        }
        found.append({"type": "required_status_checks", "parameters": parameters})
    if rule.signatures:
        found.append({"type": "required_signatures"})
    return [{**each, **source} for each in found]


def ruleset(view: View, number: int, rule: Protection) -> Json:
    own = [
        {key: value for key, value in each.items() if not key.startswith("ruleset")}
        for each in rules(view, number, rule)
    ]
    return {
        "id": number,
        "name": f"Protect {rule.pattern}",
        "target": "branch",
        "source_type": "Repository",
        "source": view.store.repo,
        "enforcement": "active",
        "current_user_can_bypass": "never",
        "conditions": {"ref_name": {"include": [f"refs/heads/{rule.pattern}"], "exclude": []}},
        "rules": own,
    }
