"""What the GET routes of pulls, branches, commits and checks answer."""

from __future__ import annotations

from . import bare as git
from . import branch_bodies, pull_bodies, repo_bodies
from .reads import Call, Listing, in_order, one_of, or_404
from .records import Json, Pull, Refused


def pull_row(call: Call, number: str) -> Pull:
    return or_404(call.view.store.pulls.get(int(number)))


def pulls(call: Call) -> Listing:
    """`head` without its owner is ignored by GitHub; here it is refused, since nobody can mean that."""
    store, query = call.view.store, call.query
    state, owner = one_of(query, "state", "open", "closed", "all"), store.repo.split("/")[0]
    head = query.get("head")
    if head is not None and ":" not in head:
        raise Refused(422, "Validation Failed: head must be OWNER:BRANCH")
    rows = [
        store.issues[pull.number]
        for pull in store.pulls.values()
        if (state == "all" or store.issues[pull.number].state == state)
        and query.get("base", pull.base) == pull.base
        and (head is None or head == f"{owner}:{pull.head}")
    ]
    first = "desc" if query.get("sort", "created") == "created" else "asc"
    return Listing(
        in_order(rows, query, first),
        lambda view, row: pull_bodies.pull(view, store.pulls[row.number]),
    )


def pull_files(call: Call, number: str) -> Listing:
    row = pull_row(call, number)
    return Listing(
        pull_bodies.files_of(call.view, row),
        lambda view, change: pull_bodies.file(view, change, row.head_sha),
    )


def pull_commits(call: Call, number: str) -> Listing:
    rows = pull_bodies.commits_of(call.view, pull_row(call, number))
    return Listing(rows, pull_bodies.commit)


def reviews(call: Call, number: str) -> Listing:
    rows = call.view.store.reviews[pull_row(call, number).number]
    return Listing(rows, pull_bodies.review)


def review_comments(call: Call, number: str) -> Listing:
    key = pull_row(call, number).number
    return Listing(
        call.view.store.review_comments[key],
        lambda view, row: pull_bodies.review_comment(view, key, row),
    )


def commit_sha(call: Call, ref: str) -> str:
    sha = git.find_commit(call.view.store.repository, ref)
    if not sha:
        raise Refused(422, f"No commit found for SHA: {ref}")
    return sha


def check_runs(call: Call, ref: str) -> Listing:
    rows = list(call.view.store.checks[commit_sha(call, ref)].values())
    one_of(call.query, "filter", "latest", "all")
    if "check_name" in call.query:
        rows = [row for row in rows if row.name == call.query["check_name"]]
    return Listing(
        rows,
        branch_bodies.check_run,
        lambda page: {"total_count": len(rows), "check_runs": page},
    )


def check_annotations(call: Call, check_id: str) -> Listing:
    rows = (row for checks in call.view.store.checks.values() for row in checks.values())
    check = or_404(next((row for row in rows if row.id == int(check_id)), None))
    return Listing(
        check.annotations, lambda view, note: branch_bodies.annotation(view, check, note)
    )


def combined_status(call: Call, ref: str) -> Listing:
    sha = commit_sha(call, ref)
    rows = list(call.view.store.statuses[sha].values())
    return Listing(
        rows, wrap=lambda page: branch_bodies.combined_status(call.view, sha, rows, page)
    )


def branch_sha(call: Call, name: str) -> str:
    if name not in call.view.store.heads:
        raise Refused(404, "Branch not found")
    return call.view.store.heads[name]


def branch(call: Call, name: str) -> Json:
    return branch_bodies.branch(call.view, name, branch_sha(call, name))


def protection(call: Call, name: str) -> Json:
    branch_sha(call, name)
    own = call.view.store.protections_of(name, ruleset=False)
    if not own:
        raise Refused(404, "Branch not protected")
    return branch_bodies.protection(call.view, name, own[0])


def rules(call: Call, name: str) -> Listing:
    store = call.view.store
    there = store.protections_of(name, ruleset=True)
    rows = [
        row
        for number, each in enumerate(store.protections, 1)
        if each in there
        for row in branch_bodies.rules(call.view, number, each)
    ]
    return Listing(rows)


def ruleset(call: Call, number: str) -> Json:
    """Rulesets are numbered as they were made."""
    rule = dict(enumerate(call.view.store.protections, 1)).get(int(number))
    rule = or_404(rule if rule and rule.ruleset else None)
    return branch_bodies.ruleset(call.view, int(number), rule)


def git_ref(call: Call, name: str) -> Json:
    sha, here = or_404(call.view.store.heads.get(name)), call.view.here
    target = {"type": "commit", "sha": sha, "url": f"{here}/git/commits/{sha}"}
    ref = f"refs/heads/{name}"
    return {
        "ref": ref,
        "node_id": repo_bodies.node("Ref", ref),
        "url": f"{here}/git/{ref}",
        "object": target,
    }


def permission(call: Call, login: str) -> Json:
    row = call.view.store.users.get(login)
    if not row:
        raise Refused(404, f"{login} is not a user")
    return repo_bodies.collaborator(call.view, row)


def compare(call: Call, base: str, head: str) -> Json:
    view, bare = call.view, call.view.store.repository
    first, last = git.find_commit(bare, base), git.find_commit(bare, head)
    fork = git.merge_base(bare, first, last) if first and last else None
    if not first or not last or not fork:
        raise Refused(404, "Not Found")
    ahead, behind = git.log(bare, f"{first}..{last}"), git.log(bare, f"{last}..{first}")
    status = {(0, 0): "identical", (1, 0): "ahead", (0, 1): "behind", (1, 1): "diverged"}[
        bool(ahead), bool(behind)
    ]
    url, web = f"{view.here}/compare/{base}...{head}", f"{view.web}/compare/{base}...{head}"
    return {
        "url": url,
        "html_url": web,
        "permalink_url": web,
        "diff_url": f"{web}.diff",
        "patch_url": f"{web}.patch",
        "base_commit": pull_bodies.commit(view, git.log(bare, "-1", first)[0]),
        "merge_base_commit": pull_bodies.commit(view, git.log(bare, "-1", fork)[0]),
        "status": status,
        "ahead_by": len(ahead),
        "behind_by": len(behind),
        "total_commits": len(ahead),
        "commits": [pull_bodies.commit(view, row) for row in ahead],
        "files": [pull_bodies.file(view, change, last) for change in git.diff(bare, fork, last)],
    }
