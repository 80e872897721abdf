"""The sandbox GitHub is what it claims: GitHub's description, PyGithub and git itself are the judges."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import github
import pytest
from githubkit import GitHub, Response, TokenAuthStrategy
from githubkit_schemas.v2026_03_10 import models
from pydantic import TypeAdapter

from issue_orch.errors import CommandFailed, Expected
from issue_orch.process.run import Done, run
from issue_orch.sandbox import Sandbox, bare
from issue_orch.sandbox.routes import ROUTES
from tests.kit.github_fake import ODD_TEXTS, FakeGitHub, ask

REPO = "/repos/acme/widgets"


def git(folder: Path, *argv: str, check: bool = True) -> Done:
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder.parent),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        **{
            f"GIT_{who}_{what}": "w@example.invalid"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        },
    }
    return run("git", *argv, cwd=folder, env=env, check=check)


def clone(sandbox: Sandbox, folder: Path, token: str, name: str = "clone") -> Path:
    git(folder, "clone", "-q", sandbox.git_url.replace("://", f"://x-access-token:{token}@"), name)
    return folder / name


def push_branch(work: Path, branch: str, files: dict[str, str], start: str = "origin/main") -> str:
    git(work, "checkout", "-q", "--no-track", "-b", branch, start)
    return push_more(work, branch, files)


def push_more(work: Path, branch: str, files: dict[str, str]) -> str:
    for name, text in files.items():
        (work / name).write_text(text)
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", f"Work on {branch}")
    git(work, "push", "-q", "origin", f"refs/heads/{branch}")
    return git(work, "rev-parse", "HEAD").stdout.strip()


class Place(NamedTuple):
    """A seeded fake, a worker's token with write permission, and a clone that pushes with it."""

    fake: FakeGitHub
    token: str
    work: Path


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeGitHub]:
    with FakeGitHub(tmp_path / "github") as started:
        yield started
        assert started.failures == []


@pytest.fixture
def place(fake: FakeGitHub, tmp_path: Path) -> Place:
    token = fake.add_user("worker", "write")
    fake.seed({"app.py": "print('one')\n", "docs/read me.md": "# Widgets\n"}, "Start")
    return Place(fake, token, clone(fake, tmp_path, token))


def open_pull(place: Place, head: str, body: str = "", base: str = "main") -> int:
    given = {"title": f"Pull of {head}", "head": head, "base": base, "body": body}
    answer = ask(place.fake, "POST", f"{REPO}/pulls", given, place.token)
    assert answer.status == 201, answer.body
    number: int = answer.body["number"]
    return number


# What GitHub describes: a call per route, made by a client that is generated from GitHub's own description.

G = "acme", "widgets"
CALLS: dict[tuple[str, str], Callable[[Any, dict[str, Any]], Response[Any, Any]]] = {
    ("GET", "/user"): lambda r, ids: r.users.get_authenticated(),
    ("GET", "/rate_limit"): lambda r, ids: r.rate_limit.get(),
    ("GET", ""): lambda r, ids: r.repos.get(*G),
    ("GET", "branches/(.+)/protection"): lambda r, ids: r.repos.get_branch_protection(*G, "main"),
    ("GET", "branches/(.+)"): lambda r, ids: r.repos.get_branch(*G, "main"),
    ("GET", "rules/branches/(.+)"): lambda r, ids: r.repos.get_branch_rules(*G, "release"),
    ("GET", r"rulesets/(\d+)"): lambda r, ids: r.repos.get_repo_ruleset(*G, 2),
    ("GET", "git/ref/heads/(.+)"): lambda r, ids: r.git.get_ref(*G, "heads/main"),
    ("GET", "collaborators/([^/]+)/permission"): lambda r, ids: (
        r.repos.get_collaborator_permission_level(*G, "worker")
    ),
    ("GET", r"compare/(.+?)\.\.\.(.+)"): lambda r, ids: r.repos.compare_commits(
        *G, "main...issue-1"
    ),
    ("GET", "milestones"): lambda r, ids: r.issues.list_milestones(*G),
    ("GET", "labels"): lambda r, ids: r.issues.list_labels_for_repo(*G),
    ("GET", "labels/([^/]+)"): lambda r, ids: r.issues.get_label(*G, "needs care"),
    ("POST", "labels"): lambda r, ids: r.issues.create_label(
        *G, data={"name": "new", "color": "00ff00"}
    ),
    ("GET", "issues"): lambda r, ids: r.issues.list_for_repo(*G, state="all"),
    ("GET", "issues/comments"): lambda r, ids: r.issues.list_comments_for_repo(*G),
    ("GET", r"issues/comments/(\d+)"): lambda r, ids: r.issues.get_comment(*G, ids["comment"]),
    ("PATCH", r"issues/comments/(\d+)"): lambda r, ids: r.issues.update_comment(
        *G, ids["comment"], data={"body": "b"}
    ),
    ("GET", r"issues/(\d+)"): lambda r, ids: r.issues.get(*G, ids["child"]),
    ("GET", r"issues/(\d+)/comments"): lambda r, ids: r.issues.list_comments(*G, ids["issue"]),
    ("POST", r"issues/(\d+)/comments"): lambda r, ids: r.issues.create_comment(
        *G, ids["issue"], data={"body": "a"}
    ),
    ("GET", r"issues/(\d+)/timeline"): lambda r, ids: r.issues.list_events_for_timeline(
        *G, ids["issue"]
    ),
    ("GET", r"issues/(\d+)/events"): lambda r, ids: r.issues.list_events(*G, ids["issue"]),
    ("GET", r"issues/(\d+)/labels"): lambda r, ids: r.issues.list_labels_on_issue(*G, ids["issue"]),
    ("POST", r"issues/(\d+)/labels"): lambda r, ids: r.issues.add_labels(
        *G, ids["issue"], data={"labels": ["x"]}
    ),
    ("DELETE", r"issues/(\d+)/labels/([^/]+)"): lambda r, ids: r.issues.remove_label(
        *G, ids["issue"], "needs care"
    ),
    ("GET", r"issues/(\d+)/dependencies/blocked_by"): (
        lambda r, ids: r.issues.list_dependencies_blocked_by(*G, ids["issue"])
    ),
    ("GET", r"issues/(\d+)/sub_issues"): lambda r, ids: r.issues.list_sub_issues(*G, ids["issue"]),
    ("GET", r"issues/(\d+)/parent"): lambda r, ids: r.issues.get_parent(*G, ids["child"]),
    ("GET", "pulls"): lambda r, ids: r.pulls.list(*G, state="all"),
    ("POST", "pulls"): lambda r, ids: r.pulls.create(
        *G, data={"title": "t", "head": "issue-2", "base": "main"}
    ),
    ("GET", r"pulls/(\d+)"): lambda r, ids: r.pulls.get(*G, ids["pull"]),
    ("PATCH", r"pulls/(\d+)"): lambda r, ids: r.pulls.update(
        *G, ids["pull"], data={"title": "better"}
    ),
    ("GET", r"pulls/(\d+)/files"): lambda r, ids: r.pulls.list_files(*G, ids["pull"]),
    ("GET", r"pulls/(\d+)/commits"): lambda r, ids: r.pulls.list_commits(*G, ids["pull"]),
    ("GET", r"pulls/(\d+)/reviews"): lambda r, ids: r.pulls.list_reviews(*G, ids["pull"]),
    ("GET", r"pulls/(\d+)/comments"): lambda r, ids: r.pulls.list_review_comments(*G, ids["pull"]),
    ("GET", "commits/(.+)/check-runs"): lambda r, ids: r.checks.list_for_ref(*G, ids["sha"]),
    ("GET", "commits/(.+)/status"): lambda r, ids: r.repos.get_combined_status_for_ref(
        *G, ids["sha"]
    ),
    ("GET", r"check-runs/(\d+)/annotations"): lambda r, ids: r.checks.list_annotations(
        *G, ids["check"]
    ),
}
# Sent for API version 2022-11-28, which PyGithub speaks; gone from the description of 2026-03-10.
OLDER_KEYS = ("assignee", "merge_commit_sha", "rate")
# The description of this route knows too few events; that of all a repository's events has the general one.
MODELS = {r"issues/(\d+)/events": list[models.IssueEvent]}


class World(NamedTuple):
    fake: FakeGitHub
    client: Any
    ids: dict[str, Any]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    with FakeGitHub(folder / "github") as fake:
        fake.seed({"app.py": "print('one')\n", "old name.txt": "a\nb\nc\nd\n"}, "Start")
        place = Place(
            fake,
            fake.add_user("worker", "write"),
            clone(fake, folder, fake.add_user("worker", "write")),
        )
        git(place.work, "mv", "old name.txt", "new name.txt")
        sha = push_branch(place.work, "issue-1", {"app.py": "print('two')\n"})
        push_branch(place.work, "issue-2", {"other.py": "print('three')\n"})
        issue = fake.add_issue(
            "Text", "Body", ["ready", "Needs care"], "zoe", "maria", ["maria"], "v1"
        )
        child, blocker = fake.add_issue("Child"), fake.add_issue("Blocker")
        fake.add_sub_issue(issue, child)
        for blocked_by in (blocker, ("other/place", 7, True), ("other/secret", 8, False)):
            fake.add_blocked_by(issue, blocked_by)
        fake.close_issue(blocker, "not_planned")
        fake.edit_issue(issue, title="New text")
        pull = open_pull(place, "issue-1", f"Closes #{issue}")
        fake.review(
            pull,
            "maria",
            "CHANGES_REQUESTED",
            "Not yet",
            [{"path": "app.py", "line": 1, "body": "Why?"}],
        )
        fake.set_status(sha, "ci/old", "pending")
        check = fake.set_check(
            sha, "tests", "failure", [{"path": "app.py", "line": 3, "message": "is wrong"}]
        )
        fake.set_check(sha, "lint", None)
        fake.protect_branch("main", checks=["tests"], signatures=True)
        fake.protect_branch("rel*", checks=["tests"], signatures=True, ruleset=True)
        comment = fake.comment(issue, "A word", "zoe")
        ids = {
            "issue": issue,
            "child": child,
            "pull": pull,
            "sha": sha,
            "check": check,
            "comment": comment,
        }
        strategy = TokenAuthStrategy(fake.tokens["maria"])
        with GitHub(
            strategy, base_url=fake.base_url, http_cache=False, auto_retry=False, trust_env=False
        ) as client:
            yield World(fake, client, ids)
        assert fake.failures == fake.unknown_requests == []


def without_older(body: Any) -> Any:
    if isinstance(body, list):
        return [without_older(each) for each in body]
    if isinstance(body, dict):
        # An event's assignee is of today's description too; an issue's is not.
        gone = () if "event" in body else OLDER_KEYS
        return {key: without_older(value) for key, value in body.items() if key not in gone}
    return body


def test_there_is_a_call_for_every_route() -> None:
    assert set(CALLS) == {(route.method, route.path) for route in ROUTES}


@pytest.mark.parametrize(
    ("method", "path"), CALLS, ids=[f"{method} {path}" for method, path in CALLS]
)
def test_every_body_is_as_github_describes_it(world: World, method: str, path: str) -> None:
    response = CALLS[method, path](world.client.rest, world.ids)
    model = MODELS.get(path, response._data_model)
    body = json.dumps(without_older(response.json()))
    assert body not in ("[]", "{}")
    TypeAdapter(model).validate_json(body, strict=True, extra="forbid")


def test_under_the_enterprise_root_every_link_has_it(world: World) -> None:
    for path in (
        REPO,
        f"{REPO}/issues?state=all",
        f"{REPO}/pulls?state=all",
        "/user",
        f"{REPO}/issues?per_page=1",
    ):
        answer = ask(world.fake, "GET", f"/api/v3{path}")
        text = json.dumps(answer.body) + str(answer.headers)
        assert f"{world.fake.base_url}/api/v3/" in text
        assert (
            f"{world.fake.base_url}/repos/" not in text
            and f"{world.fake.base_url}/users/" not in text
        )


def test_pygithub_reads_and_writes_it(place: Place) -> None:
    fake = place.fake
    blocker, issue = (
        fake.add_issue("First"),
        fake.add_issue("Second", labels=["ready"], assignees=["maria"]),
    )
    fake.add_blocked_by(issue, blocker)
    fake.add_sub_issue(blocker, issue)
    sha = push_branch(place.work, "issue-2", {"app.py": "print('two')\n"})
    fake.set_check(sha, "tests", "success")
    fake.set_status(sha, "ci", "failure")
    auth = github.Auth.Token(place.token)
    client = github.Github(
        auth=auth,
        base_url=f"{fake.base_url}/api/v3",
        retry=None,
        seconds_between_requests=None,
        seconds_between_writes=None,
    )
    repo = client.get_repo("acme/widgets")
    assert (client.get_user().login, repo.permissions.push, repo.default_branch) == (
        "worker",
        True,
        "main",
    )
    (found,) = repo.get_issues(labels=["READY"])
    assert (
        found.number,
        found.assignees[0].login,
        found.issue_dependencies_summary.blocked_by,
    ) == (issue, "maria", 1)
    assert [each.number for each in found.get_blocked_by()] == [blocker]
    assert repo.get_issue(blocker).sub_issues_summary.total == 1
    found.add_to_labels("busy")
    found.remove_from_labels("ready")
    assert [event.event for event in found.get_timeline()] == [
        "labeled",
        "assigned",
        "labeled",
        "unlabeled",
    ]
    pull = repo.create_pull(
        base="main", head="issue-2", title="T", body=f"Closes #{issue}", draft=False
    )
    assert (pull.number, pull.head.sha, pull.user.login, pull.merged) == (3, sha, "worker", False)
    assert [each.number for each in repo.get_pulls(head="acme:issue-2", state="all")] == [3]
    assert [(each.filename, each.additions, each.status) for each in pull.get_files()] == [
        ("app.py", 1, "modified")
    ]
    assert [each.sha for each in pull.get_commits()] == [sha]
    assert repo.get_collaborator_permission("maria") == "admin"
    said = found.create_comment("hello")
    said.edit("hello again")
    assert [comment.body for comment in found.get_comments()] == ["hello again"]
    with pytest.raises(github.GithubException) as refused:
        pull.merge()
    assert refused.value.status == 405
    assert [(each.method, each.path) for each in fake.merge_attempts] == [
        ("PUT", f"{REPO}/pulls/3/merge")
    ]
    client.close()


# Git over smart HTTP.


def test_a_push_is_witnessed_and_the_pull_follows_it(place: Place) -> None:
    first = push_branch(place.work, "issue-1", {"app.py": "print('two')\n"})
    number = open_pull(place, "issue-1")
    second = push_more(place.work, "issue-1", {"big.bin": os.urandom(2_000_000).hex()})
    assert place.fake.heads["issue-1"] == second
    seen = ask(place.fake, "GET", f"{REPO}/pulls/{number}").body
    assert (seen["head"]["sha"], seen["commits"], seen["changed_files"]) == (second, 2, 2)
    nothing = "0" * 40
    moves = [(push.ref, push.old, push.new, push.user) for push in place.fake.pushes]
    assert moves == [
        ("refs/heads/issue-1", nothing, first, "worker"),
        ("refs/heads/issue-1", first, second, "worker"),
    ]
    assert (
        git(place.work, "ls-remote", "origin", f"refs/pull/{number}/head").stdout.split()[0]
        == second
    )


def test_a_push_over_a_path_is_noticed_too(place: Place) -> None:
    push_branch(place.work, "issue-1", {"app.py": "print('two')\n"})
    number = open_pull(place, "issue-1")
    git(place.work, "commit", "-q", "--allow-empty", "-m", "More")
    git(place.work, "push", "-q", str(place.fake.bare), "HEAD:refs/heads/issue-1")
    head = git(place.work, "rev-parse", "HEAD").stdout.strip()
    assert place.fake.heads["issue-1"] != head
    assert ask(place.fake, "GET", f"{REPO}/pulls/{number}").body["head"]["sha"] == head
    assert place.fake.pushes[-1].user == ""


@pytest.mark.parametrize(
    ("permission", "private", "words"),
    [
        ("read", False, "403"),
        ("triage", True, "403"),
        ("none", True, "not found"),
        ("wrong", False, "Authentication failed"),
    ],
)
def test_git_refuses_who_may_not_push(
    tmp_path: Path, permission: Any, private: bool, words: str
) -> None:
    with Sandbox(tmp_path / "github", private=private) as sandbox:
        sandbox.seed({"a": "b"})
        token = "wrong" if permission == "wrong" else sandbox.add_user("guest", permission)
        git(tmp_path, "init", "-q", "-b", "main", "here")
        git(tmp_path / "here", "commit", "-q", "--allow-empty", "-m", "Mine")
        url = sandbox.git_url.replace("://", f"://guest:{token}@")
        done = git(tmp_path / "here", "push", url, "HEAD:refs/heads/theirs", check=False)
        assert done.code != 0 and words in done.stderr
        assert sandbox.pushes == [] and list(sandbox.heads) == ["main"]


def test_a_protected_branch_refuses_the_push_and_says_so(place: Place) -> None:
    place.fake.protect_branch("main", reviews=2)
    git(place.work, "commit", "-q", "--allow-empty", "-m", "Straight in")
    with pytest.raises(
        CommandFailed, match="GH006: Protected branch update failed for refs/heads/main"
    ):
        git(place.work, "push", "-q", "origin", "HEAD:refs/heads/main")
    assert [push.ref for push in place.fake.pushes] == ["refs/heads/main"]
    rule = ask(place.fake, "GET", f"{REPO}/branches/main/protection").body
    assert rule["required_pull_request_reviews"]["required_approving_review_count"] == 2
    assert (
        ask(place.fake, "GET", f"{REPO}/branches/main/protection", token=place.token).status == 404
    )


def test_nothing_of_the_machines_git_leaks_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leak = tmp_path / "gitconfig"
    leak.write_text(
        "[init]\n\tdefaultBranch = leaked\n[core]\n\thooksPath = /nonexistent\n[user]\n\tname = Leaked\n"
    )
    leaks = {
        "GIT_CONFIG_GLOBAL": leak,
        "HOME": tmp_path,
        "GIT_DIR": tmp_path,
        "GIT_AUTHOR_NAME": "Leaked",
    }
    for name, value in leaks.items():
        monkeypatch.setenv(name, str(value))
    with Sandbox(tmp_path / "github") as sandbox:
        sandbox.seed({"a": "b"})
        token = sandbox.add_user("worker", "write")
        work = clone(sandbox, tmp_path, token)
        push_branch(work, "issue-1", {"a": "c"})
        assert len(sandbox.pushes) == 1
        assert git(work, "log", "-1", "--format=%an", "origin/main").stdout == "GitHub\n"


# What GitHub does with pulls and issues.


def test_pulls_that_github_refuses(place: Place) -> None:
    git(place.work, "push", "-q", "origin", "HEAD:refs/heads/empty")
    push_branch(place.work, "issue-1", {"app.py": "print('two')\n"})
    number = open_pull(place, "issue-1")

    def refused(**given: Any) -> Any:
        answer = ask(
            place.fake,
            "POST",
            f"{REPO}/pulls",
            {"title": "T", "base": "main", **given},
            place.token,
        )
        assert answer.status == 422
        return answer.body.get("errors", [{}])[0].get("message") or answer.body["message"]

    assert refused(head="empty") == "No commits between main and empty"
    assert (
        refused(head="issue-1")
        == refused(head="acme:issue-1")
        == "A pull request already exists for acme:issue-1."
    )
    for given in (
        {"head": "missing"},
        {"head": "other:issue-1"},
        {"head": "issue-1", "base": "gone"},
    ):
        assert refused(**given) == "Validation Failed"
    assert refused(head="issue-1", merge=True) == 'Invalid request. "merge" is not a permitted key.'
    assert (
        refused(head="issue-1", draft="yes")
        == "Invalid request. For 'draft', 'yes' has the wrong type."
    )
    assert list(place.fake.pulls) == [number]
    assert open_pull(place, "issue-1", base="empty") == number + 1


@pytest.mark.parametrize("merge", [bare.merged_tree, bare.merge_in_folder])
def test_merging_with_and_without_the_merge_tree_of_git_2_38(
    place: Place, merge: Callable[[bare.Bare, str, str], str | None]
) -> None:
    there, start = place.fake.repository, place.fake.heads["main"]
    side = push_branch(place.work, "issue-1", {"new file": "x\n", "app.py": "print('two')\n"})
    tree = merge(there, place.fake.seed({"docs/read me.md": "# Gadgets\n"}, "Elsewhere"), side)
    names = bare.git(there, "diff-tree", "-r", "--name-status", start, str(tree)).stdout
    assert names == "M\tapp.py\nM\tdocs/read me.md\nA\tnew file\n"
    assert merge(there, place.fake.seed({"app.py": "print('other')\n"}, "Conflict"), side) is None


def test_mergeable_is_null_until_asked_twice_and_again_after_a_push(place: Place) -> None:
    push_branch(place.work, "issue-1", {"app.py": "print('two')\n"})
    number = open_pull(place, "issue-1")

    def look() -> tuple[Any, str]:
        body = ask(place.fake, "GET", f"{REPO}/pulls/{number}").body
        return body["mergeable"], body["mergeable_state"]

    assert [look(), look(), look()] == [(None, "unknown"), (True, "clean"), (True, "clean")]
    place.fake.seed({"app.py": "print('other')\n"}, "Conflict")
    assert [look(), look()] == [(None, "unknown"), (False, "dirty")]
    with pytest.raises(Expected, match="conflicts with main"):
        place.fake.person.merge(number)
    git(place.work, "fetch", "-q")
    git(place.work, "merge", "-q", "-s", "ours", "-m", "Solve", "origin/main")
    push_more(place.work, "issue-1", {"app.py": "print('both')\n"})
    place.fake.protect_branch("main", reviews=1)
    assert [look(), look()] == [(None, "unknown"), (True, "blocked")]
    place.fake.review(number, "maria", "APPROVED")
    place.fake.set_check(place.fake.heads["issue-1"], "tests", "failure")
    assert look() == (True, "unstable")
    with pytest.raises(Expected, match="the author"):
        place.fake.review(number, "worker", "APPROVED")


@pytest.mark.parametrize("method", ["merge", "squash", "rebase"])
def test_a_persons_merge(place: Place, method: Any) -> None:
    fake = place.fake
    done, other, named = (
        fake.add_issue("Done"),
        fake.add_issue("Other"),
        fake.add_issue("Only named"),
    )
    push_branch(place.work, "issue-1", {"one.py": "1\n"})
    head = push_more(place.work, "issue-1", {"two.py": "2\n"})
    number = open_pull(
        place, "issue-1", f"Fixes #{done}, resolves acme/widgets#{other}; see #{named}"
    )
    moved = fake.seed({"base.py": "moved\n"}, "Base moved")
    sha = fake.person.merge(number, method)
    pull = ask(fake, "GET", f"{REPO}/pulls/{number}").body
    assert (pull["merged"], pull["state"], pull["head"]["sha"], pull["merge_commit_sha"]) == (
        True,
        "closed",
        head,
        sha,
    )
    assert (pull["merged_by"]["login"], pull["commits"], pull["changed_files"]) == ("maria", 2, 2)
    git(place.work, "fetch", "-q")
    assert git(place.work, "ls-tree", "--name-only", "origin/main").stdout.split() == [
        "app.py",
        "base.py",
        "docs",
        "one.py",
        "two.py",
    ]
    count = {"merge": "3", "squash": "1", "rebase": "2"}[method]
    assert git(place.work, "rev-list", "--count", f"{moved}..origin/main").stdout.strip() == count
    states = [
        (fake.issues[each].state, fake.issues[each].state_reason) for each in (done, other, named)
    ]
    assert states == [("closed", "completed"), ("closed", "completed"), ("open", None)]
    with pytest.raises(Expected, match="is not open"):
        fake.person.merge(number, method)
    assert [push.ref for push in fake.pushes] == [
        "refs/heads/issue-1"
    ] * 2 and fake.merge_attempts == []


def test_a_merge_into_another_branch_closes_no_issue_and_a_deleted_base_retargets(
    place: Place,
) -> None:
    fake, issue = place.fake, place.fake.add_issue("Stacked")
    push_branch(place.work, "issue-1", {"one.py": "1\n"})
    push_branch(place.work, "issue-2", {"two.py": "2\n"}, "issue-1")
    push_branch(place.work, "issue-3", {"three.py": "3\n"}, "issue-2")
    lower, upper = (
        open_pull(place, "issue-1"),
        open_pull(place, "issue-2", f"Closes #{issue}", "issue-1"),
    )
    top = open_pull(place, "issue-3", base="issue-2")
    fake.person.merge(upper, "squash", delete_branch=True)
    assert fake.issues[issue].state == "open"
    assert (fake.pulls[top].base, fake.issues[top].state) == ("issue-1", "open")
    assert fake.person.merge(lower) == fake.heads["main"]


def test_a_push_to_base_counts_as_merged_and_a_deleted_head_closes(place: Place) -> None:
    push_branch(place.work, "issue-1", {"one.py": "1\n"})
    first = open_pull(place, "issue-1")
    git(place.work, "push", "-q", "origin", "HEAD:refs/heads/main")
    push_branch(place.work, "issue-2", {"two.py": "2\n"}, "main")
    second = open_pull(place, "issue-2")
    git(place.work, "push", "-q", "origin", "--delete", "issue-2")
    answers = [ask(place.fake, "GET", f"{REPO}/pulls/{number}").body for number in (first, second)]
    assert [(body["state"], body["merged"]) for body in answers] == [
        ("closed", True),
        ("closed", False),
    ]
    assert answers[0]["merged_by"]["login"] == "worker"
    assert ask(place.fake, "PATCH", f"{REPO}/pulls/{second}", {"state": "open"}).status == 422


def test_a_pull_can_be_edited_closed_and_reopened_but_not_by_strangers(place: Place) -> None:
    push_branch(place.work, "issue-1", {"one.py": "1\n"})
    path = f"{REPO}/pulls/{open_pull(place, 'issue-1')}"
    edited = ask(
        place.fake, "PATCH", path, {"title": "New", "body": None, "state": "closed"}, place.token
    ).body
    assert (edited["title"], edited["body"], edited["state"]) == ("New", None, "closed")
    assert ask(place.fake, "PATCH", path, {"state": "open"}, place.token).body["state"] == "open"
    assert ask(place.fake, "PATCH", path, {"state": "merged"}, place.token).status == 422
    stranger = place.fake.add_user("stranger", "read")
    assert ask(place.fake, "PATCH", path, {"title": "Mine"}, stranger).status == 403


def test_issues_are_filtered_as_on_github(place: Place) -> None:
    fake = place.fake
    fake.add_issue("One", labels=["Ready", "api"], assignees=["maria"], milestone="v1")
    fake.add_issue("Two", labels=["ready"], author="zoe")
    fake.close_issue(fake.add_issue("Three", labels=["ready"]))
    push_branch(place.work, "issue-1", {"one.py": "1\n"})
    open_pull(place, "issue-1")

    def numbers(query: str) -> list[int]:
        return [row["number"] for row in ask(fake, "GET", f"{REPO}/issues?{query}").body]

    assert numbers("") == [4, 2, 1]
    assert numbers("direction=asc&state=all") == [1, 2, 3, 4]
    assert numbers("labels=READY,api") == [1] and numbers("labels=ready") == [2, 1]
    assert numbers("assignee=none") == [4, 2] and numbers("assignee=*") == numbers(
        "assignee=maria"
    ) == [1]
    assert numbers("milestone=1") == [1] and numbers("milestone=none") == [4, 2]
    assert numbers("creator=zoe") == [2] and numbers("since=2999-01-01T00:00:00Z") == []
    for query in (
        "state=opened",
        "sort=size",
        "since=yesterday",
        "since=2999-01-01T00:00:00",
        "page=x",
        "page=0",
        "per_page=0",
        "per_page=101",
        "state=all&state=open",
        "lables=ready",
    ):
        assert ask(fake, "GET", f"{REPO}/issues?{query}").status == 422, query


def test_dependencies_count_open_blockers_and_hide_what_the_token_cannot_see(
    fake: FakeGitHub,
) -> None:
    issue, blocker = fake.add_issue("Blocked"), fake.add_issue("Blocker")
    fake.add_blocked_by(issue, blocker)
    fake.add_blocked_by(issue, ("other/open", 5, True))
    fake.add_blocked_by(issue, ("other/secret", 6, False))
    fake.close_issue(blocker)

    def summary(number: int) -> Any:
        return ask(fake, "GET", f"{REPO}/issues/{number}").body["issue_dependencies_summary"]

    assert summary(issue) == {
        "blocked_by": 2,
        "total_blocked_by": 3,
        "blocking": 0,
        "total_blocking": 0,
    }
    assert summary(blocker) == {
        "blocked_by": 0,
        "total_blocked_by": 0,
        "blocking": 1,
        "total_blocking": 1,
    }
    listed = ask(fake, "GET", f"{REPO}/issues/{issue}/dependencies/blocked_by").body
    assert [(row["number"], row["state"]) for row in listed] == [(blocker, "closed"), (5, "open")]
    assert listed[1]["repository_url"].endswith("/repos/other/open")
    assert ask(fake, "GET", "/repos/other/open/issues/5").body["number"] == 5
    assert ask(fake, "GET", "/repos/other/secret/issues/6").status == 404
    fake.close_issue(("other/open", 5))
    assert summary(issue)["blocked_by"] == 1


# The server: tokens, limits, tags, pages, strictness.


def test_who_may_come_in(tmp_path: Path) -> None:
    with Sandbox(tmp_path, private=True) as sandbox:
        guest, reader = (
            sandbox.add_user("guest", "none"),
            sandbox.add_user("reader", "read", scopes=None),
        )
        number = sandbox.add_issue("One")
        assert ask(sandbox, "GET", "/user", token="").body["message"] == "Requires authentication"
        assert ask(sandbox, "GET", "/user", token="wrong").body["message"] == "Bad credentials"
        assert ask(sandbox, "GET", REPO, token=guest).status == 404
        answer = ask(sandbox, "GET", REPO, token=reader)
        assert answer.body["permissions"]["pull"] and "X-OAuth-Scopes" not in answer.headers
        assert (
            ask(sandbox, "POST", f"{REPO}/issues/{number}/labels", {"labels": ["x"]}, reader).status
            == 403
        )
        assert (
            ask(sandbox, "GET", f"{REPO}/collaborators/guest/permission", token=reader).status
            == 403
        )
        for login, permission in (("keeper", "maintain"), ("sorter", "triage")):
            sandbox.add_user(login, permission)
        logins = ("keeper", "sorter", "guest")
        roles = [
            ask(sandbox, "GET", f"{REPO}/collaborators/{login}/permission").body for login in logins
        ]
        assert [(role["permission"], role["role_name"]) for role in roles] == [
            ("write", "maintain"),
            ("read", "triage"),
            ("none", "none"),
        ]
        assert ask(sandbox, "GET", f"{REPO}/collaborators/nobody/permission").status == 404


def test_an_unchanged_answer_is_304_and_free(fake: FakeGitHub) -> None:
    path = f"{REPO}/issues?state=all"
    issue = fake.add_issue("One")
    first = ask(fake, "GET", path)
    tag, left = first.headers["ETag"], int(first.headers["X-RateLimit-Remaining"])
    again = ask(fake, "GET", path, If_None_Match=tag)
    assert (again.status, again.body, int(again.headers["X-RateLimit-Remaining"])) == (
        304,
        None,
        left,
    )
    fake.comment(issue, "moves the issue's comment count")
    moved = ask(fake, "GET", path, If_None_Match=tag)
    assert (moved.status, int(moved.headers["X-RateLimit-Remaining"])) == (200, left - 1)
    fake.set_check("0" * 40, "elsewhere", "success")
    assert ask(fake, "GET", path, If_None_Match=moved.headers["ETag"]).status == 304
    assert [request.conditional for request in fake.requests] == [False, True, True, True]


def test_the_rate_limit_ends_in_403_until_it_resets(tmp_path: Path) -> None:
    clock = [1_700_000_000.9]
    with Sandbox(tmp_path, now=lambda: clock[0]) as sandbox:
        sandbox.rate_limit = 2
        statuses = [ask(sandbox, "GET", "/user").status for _ in range(3)]
        assert statuses == [200, 200, 403]
        limits = ask(sandbox, "GET", "/rate_limit")
        assert limits.body["resources"]["core"] == {
            "limit": 2,
            "used": 2,
            "remaining": 0,
            "reset": 1_700_003_600,
        }
        assert limits.headers["Date"] == "Tue, 14 Nov 2023 22:13:20 GMT"
        clock[0] += 3600
        assert ask(sandbox, "GET", "/user").status == 200


def test_ten_thousand_issues_in_pages(tmp_path: Path) -> None:
    with Sandbox(tmp_path) as sandbox:
        for number in range(10_000):
            sandbox.add_issue(f"Issue {number}", labels=["ready"])
        started, path, numbers = time.monotonic(), f"{REPO}/issues?labels=ready&per_page=100", []
        while path:
            answer = ask(sandbox, "GET", path)
            numbers += [row["number"] for row in answer.body]
            links = dict(reversed(link.split("; ")) for link in answer.headers["Link"].split(", "))
            path = links.get('rel="next"', "").strip("<>").removeprefix(sandbox.base_url)
        assert numbers == list(range(10_000, 0, -1))
        # Filtering and sorting anew for each of the hundred pages would take many times as long.
        assert time.monotonic() - started < 20
        assert ask(sandbox, "GET", f"{REPO}/issues?labels=ready&per_page=100&page=101").body == []


def test_what_is_not_served_is_recorded(fake: FakeGitHub) -> None:
    for method, path in (
        ("GET", f"{REPO}/actions/runs"),
        ("PUT", f"{REPO}/issues/1/lock"),
        ("POST", f"{REPO}/issues"),
    ):
        assert ask(fake, method, path, {}).status == 501
    assert len(fake.unknown_requests) == 3
    fake.unknown_requests.clear()
    assert ask(fake, "POST", f"{REPO}/labels", b"{not json").status == 400
    assert (
        ask(fake, "POST", f"{REPO}/labels", {"name": ""}).body["errors"][0]["code"]
        == "missing_field"
    )
    assert (
        ask(fake, "GET", f"{REPO}/issues/77").status
        == ask(fake, "GET", f"{REPO}/pulls/77").status
        == 404
    )
    assert ask(fake, "GET", f"{REPO}/commits/nothing/status").status == 422
    assert ask(fake, "GET", "/user", User_Agent="").status == 403
    assert ask(fake, "GET", "/user", Authorization=f"Digest {fake.tokens['maria']}").status == 401
    assert ask(fake, "GET", f"{REPO}/issues/comments?direction=desc").status == 422


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("issues/{issue}/comments", {"body": "x" * 65_537}),
        ("issues/{issue}/comments", {"body": " "}),
        ("issues/{issue}/labels", {"labels": []}),
        ("issues/{issue}/labels", {"labels": ["x" * 51]}),
        ("labels", {"name": "x" * 51}),
        ("labels", {"name": "x", "color": "#ff0000"}),
        ("labels", {"name": "x", "description": "x" * 101}),
        ("pulls", {"title": "x" * 257, "head": "a", "base": "main"}),
    ],
)
def test_what_github_finds_too_long_or_malformed(
    fake: FakeGitHub, path: str, body: dict[str, Any]
) -> None:
    issue = fake.add_issue("One")
    answer = ask(fake, "POST", f"{REPO}/{path.format(issue=issue)}", body)
    assert answer.status == 422 and not fake.comments[issue] and "x" not in fake.labels


def test_no_route_merges(place: Place) -> None:
    before, asked = (
        dict(place.fake.heads),
        [
            ("PUT", f"{REPO}/pulls/1/merge"),
            ("POST", f"{REPO}/merges"),
            ("PATCH", f"{REPO}/git/refs/heads/main"),
            ("POST", f"{REPO}/pulls/1/reviews"),
            ("POST", "/graphql"),
            ("POST", "/api/graphql"),
            ("PUT", f"/api/v3{REPO}/pulls/1/merge"),
            ("POST", f"{REPO}/merge-upstream"),
        ],
    )
    for method, path in asked:
        assert (
            ask(
                place.fake, method, path, {"base": "main", "head": "issue-1", "event": "APPROVE"}
            ).status
            == 405
        )
    seen = [(attempt.method, attempt.path) for attempt in place.fake.merge_attempts]
    assert (
        seen == [(method, path.removeprefix("/api/v3")) for method, path in asked]
        and place.fake.heads == before
    )


def test_many_clients_at_once(fake: FakeGitHub) -> None:
    issue = fake.add_issue("Busy")
    path = f"{REPO}/issues/{issue}/comments"
    with ThreadPoolExecutor(8) as pool:
        said = list(
            pool.map(lambda at: ask(fake, "POST", path, {"body": f"Comment {at}"}).body, range(40))
        )
    assert [each["body"] for each in said] == [f"Comment {at}" for at in range(40)]
    assert len({each["id"] for each in said}) == len(fake.comments[issue]) == 40


def test_odd_texts_come_back_as_they_were(fake: FakeGitHub) -> None:
    for text in ODD_TEXTS:
        issue = fake.add_issue(text, text, author="zoe")
        shown = ask(fake, "GET", f"{REPO}/issues/{issue}").body
        assert (shown["title"], shown["body"] or "") == (text, text)


# Faults.


def test_limits_and_server_errors_before_and_after_the_write(fake: FakeGitHub) -> None:
    issue = fake.add_issue("One")
    path = f"{REPO}/issues/{issue}/comments"
    fake.fail(status=429, route=path, retry_after=7)
    fake.fail(status=429, route=path)
    fake.limit_secondary("POST", path, retry_after=3)
    fake.fail("status", "POST", path, status=502)
    fake.fail("status", "POST", path, status=503, performed=True)
    seen = [ask(fake, "POST", path, {"body": "x"}) for _ in range(5)]
    waits = [(answer.status, answer.headers.get("Retry-After")) for answer in seen]
    assert waits == [(429, "7"), (429, None), (403, "3"), (502, None), (503, None)]
    assert "secondary rate limit" in seen[2].body["message"]
    assert len(fake.comments[issue]) == 1
    assert [request.status for request in fake.requests] == [429, 429, 403, 502, 201]


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("cut", ConnectionError),
        ("hang", TimeoutError),
        ("half", http.client.IncompleteRead),
        ("malformed", json.JSONDecodeError),
    ],
)
def test_broken_answers(fake: FakeGitHub, kind: Any, error: type[Exception]) -> None:
    fake.fail(kind, route="/user")
    with pytest.raises(error):
        ask(fake, "GET", "/user", timeout=0.2)
    fake.latency_ms = 20
    started = time.monotonic()
    assert ask(fake, "GET", "/user").body["login"] == "maria"
    assert time.monotonic() - started >= 0.02


def test_git_can_fail_too(place: Place) -> None:
    place.fake.fail(route=r"/acme/widgets\.git/info/refs", status=503)
    assert git(place.work, "fetch", check=False).code != 0
    assert git(place.work, "fetch", check=False).code == 0


def test_an_old_server_lacks_the_newer_things(fake: FakeGitHub) -> None:
    issue = fake.add_issue("One")
    fake.old_server = True
    answer = ask(fake, "GET", f"{REPO}/issues?state=all")
    assert "ETag" not in answer.headers
    assert not answer.body[0].keys() & {"issue_dependencies_summary", "sub_issues_summary"}
    for tail in ("timeline", "sub_issues", "parent", "dependencies/blocked_by"):
        assert ask(fake, "GET", f"/api/v3{REPO}/issues/{issue}/{tail}").status == 404
    assert ask(fake, "POST", "/api/graphql", {"query": "{}"}).status == 404


def test_a_twist_puts_odd_data_into_an_answer(fake: FakeGitHub) -> None:
    issue = fake.add_issue("One")
    fake.twist(rf"{REPO}/issues/{issue}", lambda body: {**body, "user": None, "labels": ["bare"]})
    shown = ask(fake, "GET", f"{REPO}/issues/{issue}", If_None_Match='W/"x"').body
    assert (shown["user"], shown["labels"]) == (None, ["bare"])


# As a process.


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    argv = [
        sys.executable,
        "-m",
        "issue_orch.sandbox",
        str(tmp_path / "github"),
        "--user",
        "worker:write",
    ]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


def test_it_runs_as_a_process_and_a_person_is_played_over_its_control(
    tmp_path: Path, process: subprocess.Popen[str]
) -> None:
    assert process.stdout
    where = json.loads(process.stdout.readline())

    class Remote:
        base_url, tokens = where["base_url"], where["tokens"]

    def control(name: str, verb: str = "POST", **given: Any) -> Any:
        bearer = f"Bearer {where['control']}"
        return ask(Remote, verb, f"/_sandbox/{name}", given or None, "", Authorization=bearer)  # type: ignore[arg-type]

    control("seed", files={"a.txt": "a\n"}, message="Start")
    assert control("add_issue", title="One", labels=["ready"]).body == {"result": 1}
    token = where["tokens"]["worker"]
    git(tmp_path, "clone", "-q", where["git_url"].replace("://", f"://x:{token}@"), "clone")
    push_branch(tmp_path / "clone", "issue-1", {"b.txt": "b\n"})
    given = {"title": "T", "head": "issue-1", "base": "main", "body": "Closes #1"}
    ask(Remote, "POST", f"{REPO}/pulls", given, token)  # type: ignore[arg-type]
    assert control("merge", number=2, method="squash").status == 200
    assert control("merge", number=2).body["message"] == "pull 2 is not open"
    assert [push["ref"] for push in control("pushes", "GET").body["result"]] == [
        "refs/heads/issue-1"
    ]
    assert control("merge_attempts", "GET").body["result"] == []
    assert control("nothing").status == 404
    maria = where["tokens"]["maria"]
    assert ask(Remote, "POST", "/_sandbox/merge", {"number": 2}, maria).status == 401  # type: ignore[arg-type]
    process.terminate()
    assert process.wait(10) == 0
