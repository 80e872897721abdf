"""Asking GitHub: against the sandbox for what it means, against scripted answers for what goes wrong."""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from issue_orch.core.model import Blocker, LabelEvent, Protection
from issue_orch.errors import (
    CommandFailed,
    Expected,
    GitHubError,
    MaybeDone,
    NotFound,
    RateLimited,
    SignInFailed,
)
from issue_orch.github.client import GitHub
from issue_orch.github.pages import Page, load_page, page_path, store_page
from issue_orch.github.sign_in import api_url, find_token, parse_remote, web_host
from issue_orch.process.run import Done
from issue_orch.sandbox import Sandbox
from tests.kit.scripted import CUT, HANG, Scripted, scripted

REPO = "acme/widgets"
API = "/repos/acme/widgets"
TOKEN = "ghp_verysecret"


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox(tmp_path / "sandbox", REPO) as made:
        made.seed({"README.md": "hello\n"})
        made.add_user("robot", "write")
        yield made
        assert made.unknown_requests == []
        assert made.merge_attempts == []
        assert made.failures == []


@pytest.fixture
def hub(sandbox: Sandbox, tmp_path: Path) -> Iterator[GitHub]:
    with connect(sandbox, tmp_path) as made:
        yield made


def connect(sandbox: Sandbox, tmp_path: Path, login: str = "robot") -> GitHub:
    return GitHub(REPO, sandbox.tokens[login], sandbox.base_url, tmp_path / "cache", write_gap=0)


@pytest.fixture
def net() -> Iterator[Scripted]:
    with scripted() as server:
        yield server


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def far(net: Scripted, waits: list[float]) -> Iterator[GitHub]:
    """A connection that never sleeps; what it answers is scripted."""
    with GitHub(REPO, TOKEN, net.url, write_gap=0, sleep=waits.append) as made:
        yield made


def an_issue(number: int, **about: Any) -> dict[str, Any]:
    return {"number": number, "title": f"Issue {number}", "state": "open", "labels": [], **about}


# --- against the sandbox


def test_issues_and_what_is_known_of_them(sandbox: Sandbox, hub: GitHub) -> None:
    ready = sandbox.add_issue(
        "Add export", "Text", ["Ready", "bug"], assignees=["maria"], milestone="v1"
    )
    other = sandbox.add_issue("Other", labels=["ready"])
    child = sandbox.add_issue("Child")
    closed = sandbox.add_issue("Closed", labels=["ready"])
    sandbox.add_blocked_by(ready, other)
    sandbox.add_sub_issue(other, child)
    sandbox.close_issue(closed, "not_planned")

    assert [issue.number for issue in hub.fetch_issues()] == [ready, other, child]
    assert [issue.number for issue in hub.fetch_issues(["ready"])] == [ready, other]
    assert [issue.number for issue in hub.fetch_issues(["READY", "bug"])] == [ready]

    issue = hub.fetch_issue(ready)
    assert (issue.title, issue.body, issue.author, issue.milestone) == (
        "Add export",
        "Text",
        "maria",
        "v1",
    )
    assert (issue.labels, issue.assignees, issue.is_pull) == (("Ready", "bug"), ("maria",), False)
    assert (issue.open_blockers, issue.total_blockers) == (1, 1)
    assert hub.fetch_issue(other).sub_issues_total == 1
    assert hub.fetch_issue(closed).state_reason == "not_planned"
    assert hub.fetch_blockers(ready) == (Blocker(REPO, other, "Other", "open", None),)
    assert hub.fetch_sub_issues(other) == (Blocker(REPO, child, "Child", "open", None),)
    with pytest.raises(NotFound):
        hub.fetch_issue(999)


def test_who_set_a_label(sandbox: Sandbox, hub: GitHub) -> None:
    sandbox.add_user("machine", "write", kind="Bot")
    number = sandbox.add_issue("One", labels=["ready"], author="stranger", ready_by="maria")
    sandbox.remove_label(number, "ready", by="machine")
    events = hub.fetch_label_events(number)
    assert events is not None
    assert [event._replace(at="") for event in events] == [
        LabelEvent("maria", "User", "ready", "", True),
        LabelEvent("machine", "Bot", "ready", "", False),
    ]


def test_pulls_from_create_to_merged_by_a_person(
    sandbox: Sandbox, hub: GitHub, tmp_path: Path
) -> None:
    number = sandbox.add_issue("One")
    sha = push_branch(sandbox, tmp_path, "issue-1", {"a.py": "1\n"})
    assert hub.fetch_pulls("issue-1") == ()

    made = hub.create_pull("issue-1", "main", "One", f"Closes #{number}")
    assert (made.head_sha, made.head_repo, made.base_branch, made.merged) == (
        sha,
        REPO,
        "main",
        False,
    )
    assert [pull.number for pull in hub.fetch_pulls("issue-1", base="main")] == [made.number]
    assert hub.fetch_pulls("issue-2") == ()
    assert hub.fetch_issue(made.number).is_pull
    assert made.number not in [issue.number for issue in hub.fetch_issues()]
    assert hub.fetch_pull_files(made.number) == ("a.py",)
    with pytest.raises(MaybeDone, match="already exists"):
        hub.create_pull("issue-1", "main", "One", "")
    push_branch(sandbox, tmp_path / "again", "other", {"b.py": "2\n"})
    for base in ("other", "main"):
        hub.edit_pull(made.number, base=base)
        assert hub.fetch_pull(made.number).base_branch == base

    note = {"path": "a.py", "line": 1, "message": "no", "level": "failure"}
    check = sandbox.set_check(sha, "tests", "failure", [note])
    sandbox.set_status(sha, "lint", "pending")
    checks = hub.fetch_checks(sha)
    assert checks is not None
    assert [(c.name, c.status, c.conclusion) for c in checks] == [
        ("tests", "completed", "failure"),
        ("lint", "in_progress", None),
    ]
    notes = hub.fetch_annotations(check)
    assert notes is not None and [(n.path, n.line, n.message) for n in notes] == [("a.py", 1, "no")]

    sandbox.review(
        made.number,
        "maria",
        "CHANGES_REQUESTED",
        "please",
        [{"path": "a.py", "line": 1, "body": "here"}],
    )
    assert [(r.author, r.state, r.body) for r in hub.fetch_reviews(made.number)] == [
        ("maria", "CHANGES_REQUESTED", "please")
    ]
    assert [(c.issue, c.path, c.line, c.body) for c in hub.fetch_review_comments(made.number)] == [
        (made.number, "a.py", 1, "here")
    ]
    sandbox.person.merge(made.number, "squash")
    assert hub.fetch_pull(made.number).merged
    assert [pull.merged for pull in hub.fetch_pulls("issue-1")] == [True]


def push_branch(sandbox: Sandbox, tmp_path: Path, branch: str, files: dict[str, str]) -> str:
    clone, url = (
        tmp_path / "clone",
        sandbox.git_url.replace("://", f"://robot:{sandbox.tokens['robot']}@"),
    )
    who = ("-c", "user.name=R", "-c", "user.email=r@example.com")
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
    }
    subprocess.run(["git", "clone", "-q", url, clone], check=True, env=env)
    for name, text in files.items():
        (clone / name).write_text(text)
    for command in (
        ["checkout", "-q", "-b", branch],
        ["add", "."],
        [*who, "commit", "-q", "-m", "Work"],
    ):
        subprocess.run(["git", *command], cwd=clone, check=True, env=env)
    subprocess.run(["git", "push", "-q", "origin", branch], cwd=clone, check=True, env=env)
    return subprocess.check_output(
        ["git", "rev-parse", "HEAD"], cwd=clone, env=env, text=True
    ).strip()


def test_comments_labels_and_permissions(sandbox: Sandbox, hub: GitHub) -> None:
    number = sandbox.add_issue("One")
    sandbox.comment(number, "/answer 1", by="maria")
    mine = hub.create_comment(number, "status")
    assert hub.edit_comment(number, mine.id, "status 2").body == "status 2"
    assert [(c.author, c.author_kind, c.body, c.issue) for c in hub.fetch_comments(number)] == [
        ("maria", "User", "/answer 1", number),
        ("robot", "User", "status 2", number),
    ]
    everywhere = hub.fetch_repo_comments("2020-01-01T00:00:00Z")
    assert everywhere is not None and {c.issue for c in everywhere} == {number}

    for _ in range(2):
        hub.create_label("orch:stuck/x")
        hub.add_labels(number, ["orch:stuck/x"])
    assert hub.fetch_issue(number).labels == ("orch:stuck/x",)
    for _ in range(2):
        hub.remove_label(number, "orch:stuck/x")
    assert hub.fetch_issue(number).labels == ()

    sandbox.add_user("boss", "maintain")
    assert hub.fetch_user() == "robot"
    assert [hub.find_permission(user) for user in ("boss", "robot", "maria")] == [
        "maintain",
        "write",
        "admin",
    ]
    facts = hub.fetch_repo()
    assert (facts.repo, facts.default_branch, facts.archived) == (REPO, "main", False)
    assert facts.permissions and "push" in facts.permissions and "admin" not in facts.permissions


def test_protection_as_an_administrator_and_as_a_writer_sees_it(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.protect_branch("main", reviews=2, signatures=True)
    with connect(sandbox, tmp_path, "maria") as admin, connect(sandbox, tmp_path) as writer:
        known = admin.fetch_protection("main")
        assert known is not None and known[:3] == (True, 2, True)
        assert writer.fetch_protection("main") == Protection(True, None, None, None)
        assert writer.fetch_protection("missing") is None


def test_an_idle_poll_by_separate_processes_costs_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    for number in range(205):
        sandbox.add_issue(f"Issue {number}", labels=["ready"])
    with connect(sandbox, tmp_path) as first:
        assert len(first.fetch_issues(["ready"])) == 205
        before = first.rate
    assert (before.requests, before.not_modified) == (3, 0)
    sandbox.requests.clear()
    with connect(sandbox, tmp_path) as second:
        assert len(second.fetch_issues(["ready"])) == 205
        assert second.rate == before._replace(requests=3, not_modified=3)
    assert [request.status for request in sandbox.requests] == [304, 304, 304]


def test_an_issue_after_a_full_last_page_is_seen(sandbox: Sandbox, tmp_path: Path) -> None:
    """The body of a full page does not change when the next page comes into being: neither does its ETag."""
    for number in range(100):
        sandbox.add_issue(f"Issue {number}")
    for expected in (100, 100, 101):
        with connect(sandbox, tmp_path) as hub:
            if expected == 101:
                sandbox.add_issue("The one after")
            assert len(hub.fetch_issues()) == expected


def test_enterprise_paths(sandbox: Sandbox) -> None:
    number = sandbox.add_issue("One")
    with GitHub(REPO, sandbox.tokens["robot"], f"{sandbox.base_url}/api/v3/") as hub:
        assert hub.fetch_issue(number).title == "One"
    with GitHub(REPO, "wrong", sandbox.base_url) as hub, pytest.raises(SignInFailed):
        hub.fetch_issue(number)


# --- what goes wrong


@pytest.mark.parametrize("status", [403, 404, 405, 410, 501])
def test_what_a_server_lacks_is_unknown(net: Scripted, far: GitHub, status: int) -> None:
    for path in (
        "issues/1/dependencies/blocked_by",
        "issues/1/sub_issues",
        "issues/1/timeline",
        "issues/comments",
        f"commits/{'a' * 40}/check-runs",
        f"commits/{'a' * 40}/status",
        "check-runs/5/annotations",
        "branches/main",
    ):
        net.get(f"{API}/{path}", status=status, json={"message": "no"})
    assert far.fetch_blockers(1) is far.fetch_sub_issues(1) is far.fetch_label_events(1) is None
    assert far.fetch_repo_comments("2020-01-01T00:00:00Z") is None
    assert (
        far.fetch_checks("a" * 40)
        is far.fetch_annotations(5)
        is far.fetch_protection("main")
        is None
    )
    net.get(f"{API}/issues/1", json=an_issue(1, issue_dependencies_summary=None))
    issue = far.fetch_issue(1)
    assert issue[12:] == (None, None, None, None)


def test_checks_half_readable_are_not_known(net: Scripted, far: GitHub) -> None:
    net.get(
        f"{API}/commits/{'a' * 40}/status",
        json={"statuses": [{"context": "c", "state": "success"}]},
    )
    net.get(
        f"{API}/commits/{'a' * 40}/check-runs",
        status=403,
        json={"message": "Resource not accessible"},
    )
    assert far.fetch_checks("a" * 40) is None


@pytest.mark.parametrize("optional", [False, True])
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"status": 500}, GitHubError),
        ({"status": 502, "body": "<html>"}, GitHubError),
        ({"body": CUT}, GitHubError),
        ({"body": HANG}, GitHubError),
        ({"status": 401, "json": {"message": "Bad credentials"}}, SignInFailed),
        ({"status": 429}, RateLimited),
        ({"body": '[{"number": 1, '}, GitHubError),
        ({"body": "<html>a proxy</html>"}, GitHubError),
        ({"json": {"message": "hello"}}, GitHubError),
        ({"json": ["text"]}, GitHubError),
        ({"json": [{"number": None}]}, GitHubError),
        ({"body": ""}, GitHubError),
    ],
)
def test_an_error_is_never_not_found_nor_empty(
    net: Scripted, far: GitHub, answer: dict[str, Any], error: type[GitHubError], optional: bool
) -> None:
    net.get(f"{API}/issues/1/sub_issues" if optional else f"{API}/issues", **answer)
    far = impatient(far, net, answer)
    with pytest.raises(error) as caught:
        far.fetch_sub_issues(1) if optional else far.fetch_issues()
    assert not isinstance(caught.value, NotFound)


def test_reads_are_tried_three_times_and_then_end(
    net: Scripted, far: GitHub, waits: list[float]
) -> None:
    net.get(f"{API}/issues/1", status=502)
    net.get(f"{API}/issues/1", body=CUT)
    net.get(f"{API}/issues/1", json=an_issue(1))
    assert far.fetch_issue(1).number == 1
    net.get(f"{API}/issues/2", status=503)
    with pytest.raises(GitHubError, match="503"):
        far.fetch_issue(2)
    assert (far.rate.requests, len(waits)) == (6, 4)
    assert sum(waits) < 10


@pytest.mark.parametrize(
    "answer",
    [{"status": 502}, {"body": HANG}, {"status": 422, "json": {"message": "x"}}],
)
def test_a_pull_is_asked_for_once_and_the_doubt_is_said(
    net: Scripted, far: GitHub, answer: dict[str, Any]
) -> None:
    net.post(f"{API}/pulls", **answer)
    with pytest.raises(MaybeDone):
        impatient(far, net, answer).create_pull("h", "main", "t", "b")
    assert len(net.seen) == 1


def impatient(far: GitHub, net: Scripted, answer: dict[str, Any]) -> GitHub:
    """A server that hangs is not waited for as long as others."""
    return (
        GitHub(REPO, TOKEN, net.url, write_gap=0, sleep=lambda _: None, timeout=0.2)
        if answer.get("body") == HANG
        else far
    )


def test_a_comment_is_sent_once(net: Scripted, far: GitHub) -> None:
    net.post(f"{API}/issues/1/comments", status=500)
    with pytest.raises(MaybeDone):
        far.create_comment(1, "x")
    net.post(f"{API}/issues/2/comments", status=403, json={"message": "Resource not accessible"})
    with pytest.raises(GitHubError, match=r"not permitted.*not accessible"):
        far.create_comment(2, "x")
    net.post(
        f"{API}/labels",
        status=422,
        json={"message": "Validation Failed", "errors": [{"code": "invalid"}]},
    )
    net.get(f"{API}/labels", json=[{"name": "other"}])
    with pytest.raises(GitHubError, match="invalid"):
        far.create_label("x")
    assert len([method for method, _ in net.seen if method == "POST"]) == 3


DATE = "Sat, 21 Nov 2026 02:00:00 GMT"
SERVER = 1795226400


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"Retry-After": "90"}, 90),
        (403, {"Retry-After": "90"}, 90),
        (403, {"Retry-After": "Sat, 21 Nov 2026 02:05:00 GMT", "Date": DATE}, 300),
        # the server's clock is years away from ours: only the difference of its own times counts
        (
            403,
            {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(SERVER + 600), "Date": DATE},
            601,
        ),
        (
            403,
            {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(SERVER + 10**6), "Date": DATE},
            3700,
        ),
        (
            429,
            {"x-ratelimit-remaining": "40", "x-ratelimit-reset": str(SERVER + 600), "Date": DATE},
            60,
        ),
        (429, {}, 60),
        (429, {"Retry-After": "soon"}, 60),
        (429, {"Retry-After": "9" * 400}, 3700),
        (403, {"Retry-After": "Sat, 21 Nov 2126 02:05:00 GMT", "Date": DATE}, 3700),
        (403, {}, 60),
    ],
)
@pytest.mark.parametrize("write", [False, True])
def test_limits_say_until_when_and_wait_for_nobody(
    net: Scripted,
    far: GitHub,
    waits: list[float],
    status: int,
    headers: dict[str, str],
    seconds: int,
    write: bool,
) -> None:
    said = {"message": "Slow down" if headers else "You have exceeded a secondary rate limit."}
    net.add(
        "POST" if write else "GET",
        f"{API}/issues/1/comments",
        status=status,
        headers=headers,
        json=said,
    )
    start = time.time()
    with pytest.raises(RateLimited, match="until") as caught:
        far.create_comment(1, "x") if write else far.fetch_comments(1)
    assert start + seconds <= caught.value.until <= time.time() + seconds
    assert (waits, len(net.seen)) == ([], 1)


def test_a_limit_of_a_moment_is_waited_for_once(
    net: Scripted, far: GitHub, waits: list[float]
) -> None:
    net.get(f"{API}/issues/1", status=429, headers={"Retry-After": "2"})
    net.get(f"{API}/issues/1", json=an_issue(1))
    assert far.fetch_issue(1).number == 1
    assert len(waits) == 1 and 1 < waits[0] <= 2
    net.get(f"{API}/issues/2", status=429, headers={"Retry-After": "2"})
    with pytest.raises(RateLimited):
        far.fetch_issue(2)
    assert len(net.seen) == 4


def test_a_403_without_a_limit_is_a_refusal(net: Scripted, far: GitHub) -> None:
    net.get(
        f"{API}/issues/1",
        status=403,
        json={"message": "Must have push access"},
        headers={
            "x-ratelimit-remaining": "4999",
            "x-ratelimit-limit": "5000",
            "x-ratelimit-reset": "7",
        },
    )
    with pytest.raises(GitHubError, match="not permitted"):
        far.fetch_issue(1)
    assert far.rate == (1, 0, 4999, 5000, 7)


def test_pages_follow_the_query_of_the_link_and_nothing_else(net: Scripted, far: GitHub) -> None:
    """GitHub's links name /repositories/ID; a hostile server's may name another host."""
    link = '<https://evil.example/repositories/5/issues?after=cursor>; rel="next", <https://x/?page=9>; rel="last"'
    net.get(
        f"{API}/issues",
        json=[an_issue(1), an_issue(2)],
        headers={"Link": link},
        query={"per_page": "100"},
    )
    net.get(f"{API}/issues", json=[an_issue(2), an_issue(3, pull_request={})], query="after=cursor")
    assert [issue.number for issue in far.fetch_issues()] == [1, 2]


def test_half_of_the_pages_is_an_error(net: Scripted, far: GitHub) -> None:
    link = '<https://api.github.com/repositories/5/issues?page=2>; rel="next"'
    net.get(f"{API}/issues", json=[an_issue(1)], headers={"Link": link}, query={"per_page": "100"})
    net.get(
        f"{API}/issues/1/sub_issues",
        json=[an_issue(2)],
        headers={"Link": link},
        query="per_page=100",
    )
    for path in ("issues", "issues/1/sub_issues"):
        net.get(f"{API}/{path}", status=404, query="page=2")
    with pytest.raises(GitHubError):
        far.fetch_issues()
    with pytest.raises(GitHubError):
        far.fetch_sub_issues(1)


@pytest.mark.parametrize("pages", [[100, 100, 7], [100, 0]])
def test_a_server_without_links_is_read_to_its_end(
    net: Scripted, far: GitHub, pages: list[int]
) -> None:
    for number, size in reversed(
        list(enumerate(pages, 1))
    ):  # the first page has no number, and would fit all
        start = sum(pages[: number - 1]) + 1
        net.get(
            f"{API}/issues",
            json=[an_issue(n) for n in range(start, start + size)],
            query={"page": str(number)} if number > 1 else {"sort": "created"},
        )
    assert len(far.fetch_issues()) == sum(pages)


def test_a_server_that_ignores_pages_and_filters_ends(net: Scripted, far: GitHub) -> None:
    odd = [an_issue(n, labels=["ready"] if n % 2 else [{"name": "x"}]) for n in range(1, 101)]
    odd[2]["state"] = "closed"
    net.get(f"{API}/issues", json=odd)
    assert len(far.fetch_issues(["Ready"])) == 49
    head = {"ref": "other", "sha": "a" * 40, "repo": None}
    pull = {
        "number": 1,
        "title": "t",
        "state": "open",
        "head": head,
        "base": {"ref": "main"},
        "user": None,
    }
    fork = {
        **pull,
        "number": 2,
        "head": {"ref": "issue-1", "sha": "a" * 40, "repo": {"full_name": "eve/widgets"}},
    }
    net.get(f"{API}/pulls", json=[pull, fork])
    assert far.fetch_pulls("issue-1") == ()
    assert [pull.head_repo for pull in far.fetch_pulls()] == [None, "eve/widgets"]


def test_a_cut_off_body_is_an_error(waits: list[float]) -> None:
    """Content-Length promises more than arrives, and what arrived happens to be valid JSON."""
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\nContent-Type: application/json\r\n\r\n[]"
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(3):
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(cut)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with (
            GitHub(REPO, TOKEN, url, sleep=waits.append) as hub,
            pytest.raises(GitHubError, match="IncompleteRead"),
        ):
            hub.fetch_issues()
        thread.join()


@pytest.mark.parametrize(
    ("role", "permission", "found"),
    [("maintain", "write", "maintain"), ("reviewers", "read", "read")],
)
def test_roles_of_an_organisation(
    net: Scripted, far: GitHub, role: str, permission: str, found: str
) -> None:
    net.get(
        f"{API}/collaborators/ann/permission", json={"permission": permission, "role_name": role}
    )
    assert far.find_permission("ann") == found


@pytest.mark.parametrize(
    "answer", [{"status": 404}, {"status": 500}, {"json": {}}, {"status": 403}]
)
def test_a_failed_permission_lookup_permits_nothing(
    net: Scripted, far: GitHub, answer: dict[str, Any]
) -> None:
    net.get(f"{API}/collaborators/ann/permission", **answer)
    assert far.find_permission("ann") is None


def test_comments_written_through_an_app_are_no_persons(net: Scripted, far: GitHub) -> None:
    about = {
        "id": 1,
        "user": {"login": "ann", "type": "User"},
        "body": "x",
        "issue_url": "https://x/repos/a/b/issues/4",
        "created_at": "a",
        "updated_at": "a",
    }
    by_app, by_nobody = {**about, "performed_via_github_app": {"id": 1}}, {**about, "user": None}
    net.get(f"{API}/issues/4/comments", json=[about, by_app, by_nobody])
    assert [(c.author, c.author_kind, c.issue) for c in far.fetch_comments(4)] == [
        ("ann", "User", 4),
        ("ann", "App", 4),
        ("ghost", "", 4),
    ]


def test_bypass(net: Scripted, far: GitHub) -> None:
    net.get(f"{API}/branches/main", json={"protected": True})
    net.get(f"{API}/branches/main/protection", status=404)
    net.get(
        f"{API}/rules/branches/main",
        json=[
            {
                "type": "pull_request",
                "ruleset_id": 7,
                "parameters": {"required_approving_review_count": 1},
            },
            {"type": "required_signatures", "ruleset_id": 7},
        ],
    )
    for said, bypass in (("always", True), ("never", False), (None, None)):
        net.replace("GET", f"{API}/rulesets/7", json={"current_user_can_bypass": said})
        assert far.fetch_protection("main") == Protection(True, 1, True, bypass)


# --- writes are spaced, pages are kept, secrets are not shown


def test_writes_of_one_clone_are_apart(net: Scripted, tmp_path: Path, waits: list[float]) -> None:
    net.post(f"{API}/issues/1/labels", json=[])
    with GitHub(REPO, TOKEN, net.url, cache=tmp_path / "cache", sleep=waits.append) as one:
        one.add_labels(1, ["a"])
        assert waits == []
        one.add_labels(1, ["b"])
    assert len(waits) == 1 and 0.8 < waits[0] <= 1
    with GitHub(
        REPO, TOKEN, net.url, cache=tmp_path / "cache", sleep=waits.append
    ) as another_process:
        another_process.add_labels(1, ["c"])
    assert len(waits) == 2


def test_damaged_and_foreign_pages_count_as_none(tmp_path: Path) -> None:
    store_page(tmp_path, "u", Page('"e"', "", [1]), "[1]")
    assert load_page(tmp_path, "u") == Page('"e"', "", [1])
    path = page_path(tmp_path, "u")
    whole = path.read_bytes()
    for damage in (b"", whole[:-1], b"\0" * len(whole), whole.replace(b'"u"', b'"v"'), b"\xff"):
        path.write_bytes(damage)
        assert load_page(tmp_path, "u") is None
    assert path.stat().st_mode & 0o077 == 0


def test_the_folder_of_pages_is_bounded(tmp_path: Path) -> None:
    for number in range(30):
        store_page(tmp_path, f"u{number}", Page("e", "", []), " " * 1000, limit=10_000)
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 12_000
    assert load_page(tmp_path, "u0") is None
    assert page_path(tmp_path, "u29").exists()


def test_a_304_that_nobody_asked_for_is_an_error(net: Scripted, far: GitHub) -> None:
    net.get(f"{API}/issues", status=304)
    with pytest.raises(GitHubError):
        far.fetch_issues()


def test_the_token_is_in_no_message(
    net: Scripted, far: GitHub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    net.get(f"{API}/issues/1", status=400, json={"message": f"bad header: token {TOKEN}"})
    net.get(f"{API}/issues/2", raw=f"no status {TOKEN}\r\n\r\n".encode())
    for number in (1, 2):
        with pytest.raises(GitHubError, match=r"\[redacted\]") as caught:
            far.fetch_issue(number)
        assert caught.value.__cause__ is None
        assert not isinstance(caught.value.__context__, http.client.HTTPException | OSError)
    assert TOKEN not in caplog.text + repr(far)


# --- remotes and tokens


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://github.com/acme/widgets.git", ("github.com", REPO)),
        ("https://github.com/acme/widgets/", ("github.com", REPO)),
        ("https://x-token:secret@GitHub.com/acme/widgets", ("github.com", REPO)),
        ("https://git.corp.example:8443/acme/widgets", ("git.corp.example:8443", REPO)),
        ("http://127.0.0.1:4001/acme/widgets.git", ("127.0.0.1:4001", REPO)),
        ("git@github.com:acme/widgets.git", ("github.com", REPO)),
        ("github.com:acme/widgets", ("github.com", REPO)),
        ("git@work:acme/widgets", ("work", REPO)),
        ("ssh://git@ssh.github.com:443/acme/widgets.git", ("github.com", REPO)),
        ("git@ssh.github.com:acme/wid.gets", ("github.com", "acme/wid.gets")),
        ("ssh://git@host/acme/widgets", ("host", REPO)),
        ("git@host:/acme/widgets.git", ("host", REPO)),
        ("/srv/git/widgets.git", None),
        ("../widgets", None),
        ("file:///srv/acme/widgets", None),
        ("", None),
        ("https://github.com/acme", None),
        ("https://github.com/a/b/c", None),
        ("git@host:../widgets", None),
        ("https://github.com/acme/wid%20gets", None),
        ("ext::sh -c x", None),
        ("https://[bad/acme/widgets", None),
        ("-oProxyCommand=x:acme/widgets", None),
    ],
)
def test_remotes(url: str, found: tuple[str, str] | None) -> None:
    assert parse_remote(url) == found


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("github.com", "https://api.github.com"),
        ("acme.ghe.com", "https://api.acme.ghe.com"),
        ("git.corp.example", "https://git.corp.example/api/v3"),
        ("host:8443", "https://host:8443/api/v3"),
    ],
)
def test_api_addresses(host: str, url: str) -> None:
    assert api_url(host) == url
    assert web_host(url) == host


@pytest.fixture
def readable() -> Iterator[None]:
    """find_token hides the process that called it; the tests after this one are not to notice."""
    yield
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)


HUB, CORP, SANDBOX = (
    "https://api.github.com",
    "https://git.corp.example/api/v3",
    "http://127.0.0.1:4001",
)


@pytest.mark.usefixtures("readable")
@pytest.mark.parametrize(
    ("base_url", "env", "source"),
    [
        (HUB, {"ISSUE_ORCH_TOKEN": "a", "GH_TOKEN": "b"}, "ISSUE_ORCH_TOKEN"),
        (HUB, {"GH_TOKEN": "b", "GITHUB_TOKEN": "c"}, "GH_TOKEN"),
        (HUB, {"GH_TOKEN": " ", "GITHUB_TOKEN": "c"}, "GITHUB_TOKEN"),
        (HUB, {"GH_ENTERPRISE_TOKEN": "d"}, "gh auth token"),
        (CORP, {"GH_TOKEN": "b", "GITHUB_TOKEN": "c"}, "gh auth token"),
        (CORP, {"GH_ENTERPRISE_TOKEN": "d"}, "GH_ENTERPRISE_TOKEN"),
        (CORP, {"GH_ENTERPRISE_TOKEN": "d", "GH_HOST": "other.example"}, "gh auth token"),
        ("https://api.acme.ghe.com", {"GH_TOKEN": "b"}, "gh auth token"),
        ("https://api.acme.ghe.com", {"GH_TOKEN": "b", "GH_HOST": "acme.ghe.com"}, "GH_TOKEN"),
        (SANDBOX, {"ISSUE_ORCH_TOKEN": "a"}, "ISSUE_ORCH_TOKEN"),
        (SANDBOX, {"GH_TOKEN": "b", "GITHUB_TOKEN": "c", "GH_ENTERPRISE_TOKEN": "d"}, "GH_TOKEN"),
        (SANDBOX, {"GH_ENTERPRISE_TOKEN": "d"}, None),
        ("http://[::1]:4001", {"GH_TOKEN": "b"}, "GH_TOKEN"),
        ("https://localhost.example.com", {"GH_TOKEN": "b"}, "gh auth token"),
        ("https://127.example.com/api/v3", {"GH_TOKEN": "b"}, "gh auth token"),
        ("https://localhosts:8443", {"GITHUB_TOKEN": "c"}, "gh auth token"),
        ("https://github.com.example.com", {"GH_TOKEN": "b"}, "gh auth token"),
    ],
)
def test_a_token_goes_to_its_own_host(
    base_url: str, env: dict[str, str], source: str | None
) -> None:
    asked: list[tuple[str, ...]] = []

    def gh(*argv: str, **_: Any) -> Done:
        asked.append(argv)
        return Done(0, "gho_x\n", "")

    token = find_token(base_url, env, gh)
    assert (token and token.source) == source
    if source == "gh auth token":
        assert asked == [("gh", "auth", "token", "--hostname", web_host(base_url))]
        assert token and token.value == "gho_x"
    if token:
        assert token.host == web_host(base_url)
        assert f"{token}" == repr(token) == f"Token(source={source!r}, host={web_host(base_url)!r})"


def test_no_gh_no_token() -> None:
    def missing(*argv: str, **_: Any) -> Done:
        raise Expected("gh: not found")

    def hangs(*argv: str, **_: Any) -> Done:
        raise CommandFailed(argv, None, "", "")

    for run in (missing, hangs, lambda *_, **__: Done(1, "", "not logged in")):
        assert find_token(HUB, {}, run) is None


@pytest.mark.skipif(sys.platform != "linux", reason="Linux: /proc")
def test_a_process_with_a_token_cannot_be_read_by_its_neighbours() -> None:
    code = (
        "import ctypes, json; "
        "from issue_orch.github.sign_in import api_url, find_token, parse_remote, web_host; libc = ctypes.CDLL(None);"
        "before = libc.prctl(3, 0, 0, 0, 0); find_token('https://api.github.com', {'GH_TOKEN': 'x'});"
        "print(json.dumps([before, libc.prctl(3, 0, 0, 0, 0)]))"
    )
    said = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert json.loads(said) == [1, 0]
