"""What GitHub says of limits, permissions and ways out is kept, shown and obeyed; what is known of checks counts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from issue_orch.errors import Expected, GitHubError, RateLimited
from issue_orch.github.client import GitHub
from issue_orch.github.sign_in import find_token, resolve_host
from issue_orch.process.run import Done
from tests.github.test_github import API, REPO, TOKEN
from tests.kit.scripted import Scripted, scripted

HEAD = "a" * 40
SSO = "https://github.com/orgs/acme/sso?authorization_request=AAA"


@pytest.fixture
def net() -> Iterator[Scripted]:
    with scripted() as server:
        yield server


def connect(net: Scripted, cache: Path | None = None, token: str = TOKEN) -> GitHub:
    return GitHub(REPO, token, net.url, cache, write_gap=0, sleep=lambda _: None)


@pytest.mark.parametrize(
    ("status", "headers", "way_out"),
    [
        (403, {"X-GitHub-SSO": f"required; url={SSO}"}, SSO),
        (404, {"X-GitHub-SSO": f"required; url={SSO}"}, SSO),
        (403, {"X-Accepted-GitHub-Permissions": "issues=read"}, "issues: read"),
        (404, {"X-Accepted-GitHub-Permissions": "contents=write"}, "contents: write"),
        (
            403,
            {"X-Accepted-GitHub-Permissions": "issues=write,contents=read; pull_requests=write"},
            "issues: write and contents: read, or pull_requests: write",
        ),
        (403, {"X-GitHub-SSO": "partial-results; organizations=1"}, "issue-orch doctor"),
        (403, {}, "issue-orch doctor"),
        (451, {}, "ask the repository's owner"),
    ],
)
def test_the_way_out_is_what_github_says(
    net: Scripted, status: int, headers: dict[str, str], way_out: str
) -> None:
    net.get(f"{API}/issues", status=status, json={"message": "no"}, headers=headers)
    with connect(net) as gh, pytest.raises(GitHubError) as caught:
        gh.fetch_issues()
    assert way_out in caught.value.hint


@pytest.mark.parametrize(
    ("detail", "words"),
    [
        ({"resource": "PullRequest", "field": "base", "code": "invalid"}, "base: invalid"),
        ({"resource": "Label", "code": "missing"}, "Validation Failed: missing"),
        ({"field": "head", "code": "custom", "message": "No commits"}, "Failed: No commits"),
        ("a bare sentence", "a bare sentence"),
        ({"field": None, "code": None}, "Validation Failed"),
    ],
)
def test_what_is_invalid_is_named(net: Scripted, detail: Any, words: str) -> None:
    said = {"message": "Validation Failed", "errors": [detail]}
    net.post(f"{API}/pulls", status=422, json=said)
    with connect(net) as gh, pytest.raises(GitHubError) as caught:
        gh.create_pull("h", "main", "t", "b")
    assert caught.value.message.endswith(words)


# -- limits


@pytest.mark.parametrize("wait", ["60", "3000"])
def test_a_limit_holds_for_the_next_command_too(net: Scripted, tmp_path: Path, wait: str) -> None:
    said = {"message": "You have exceeded a secondary rate limit."}
    net.post(f"{API}/pulls", status=403, json=said, headers={"Retry-After": wait})
    net.get(f"{API}/issues", json=[])
    with connect(net, tmp_path) as gh, pytest.raises(RateLimited) as first:
        gh.create_pull("h", "main", "t", "b")
    asked = len(net.seen)
    with connect(net, tmp_path) as gh:
        for ask in (
            lambda: gh.create_pull("h", "main", "t", "b"),
            gh.fetch_issues,
            lambda: gh.create_comment(1, "x"),
        ):
            with pytest.raises(RateLimited, match="was not sent") as again:
                ask()
            assert again.value.until == pytest.approx(first.value.until)
    assert len(net.seen) == asked
    for other in (connect(net, tmp_path, "ghp_another"), connect(net, tmp_path / "elsewhere")):
        with other:  # a limit belongs to a token, and to what this clone was told
            other.fetch_issues()


@pytest.mark.parametrize("content", ["", "[1]", '{"a": 1', "ended", "far", "not a number"])
def test_a_limit_that_is_over_or_cannot_be_read_holds_nothing(
    net: Scripted, tmp_path: Path, content: str
) -> None:
    net.get(f"{API}/pulls", status=429, headers={"Retry-After": "60"})
    net.get(f"{API}/issues", json=[])
    with connect(net, tmp_path) as gh, pytest.raises(RateLimited):
        gh.fetch_pulls()
    file = tmp_path / "limit.json"
    account = file.read_text().split('"')[1]
    moments = {"ended": time.time() - 1, "far": time.time() + 9e9, "not a number": '"soon"'}
    said = f'{{"{account}": {moments[content]}}}' if content in moments else content
    file.write_text(said)
    with connect(net, tmp_path) as gh:
        assert gh.fetch_issues() == []


# -- checks


def check(name: str, conclusion: str | None) -> dict[str, Any]:
    status = "completed" if conclusion else "in_progress"
    return {"id": 1, "name": name, "status": status, "conclusion": conclusion}


@pytest.mark.parametrize("denied", ["check-runs", "status"])
@pytest.mark.parametrize("state", ["failure", "success", "pending"])
def test_a_failure_that_is_known_counts_whatever_else_cannot_be_read(
    net: Scripted, denied: str, state: str
) -> None:
    statuses = [{"context": "one", "state": state}, {"context": "two", "state": "success"}]
    runs = [check("one", None if state == "pending" else state), check("two", "skipped")]
    for name, answer in (
        ("check-runs", {"check_runs": runs}),
        ("status", {"statuses": statuses}),
    ):
        path, no = f"{API}/commits/{HEAD}/{name}", {"message": "Resource not accessible"}
        net.get(path, **({"status": 403, "json": no} if name == denied else {"json": answer}))
    with connect(net) as gh:
        found = gh.fetch_checks(HEAD)
    assert [each.name for each in found or ()] == (["one"] if state == "failure" else [])
    assert found != (), "nothing that is known to be fine says that all is"


# -- pages


def test_where_pages_have_no_numbers_the_one_without_a_link_is_the_last(net: Scripted) -> None:
    def issues(first: int) -> list[dict[str, Any]]:
        return [
            {"id": n, "number": n, "title": "t", "state": "open"} for n in range(first, first + 100)
        ]

    link = {"Link": '<https://x/?per_page=100&after=c>; rel="next"'}
    net.get(f"{API}/labels", json=[{"name": f"a{n}"} for n in range(100)], headers=link, query={})
    net.get(
        f"{API}/labels", json=[{"name": f"b{n}"} for n in range(100)], query="per_page=100&after=c"
    )
    with connect(net) as gh:
        net.answers.reverse()
        assert len(gh.fetch_labels()) == 200
    assert len(net.seen) == 2


# -- tokens and hosts


@pytest.mark.parametrize("host", ["api.acme.ghe.com", "git.corp.example/api/v3", "api.github.com"])
@pytest.mark.parametrize(
    "name", ["GH_TOKEN", "GITHUB_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"]
)
def test_gh_is_asked_without_the_tokens_of_other_hosts(host: str, name: str) -> None:
    given: list[dict[str, str]] = []

    def gh(*_: str, env: dict[str, str], **__: Any) -> Done:
        given.append(env)
        return Done(1, "", "")

    env = {"PATH": "/bin", "GH_CONFIG_DIR": "/x", "GH_HOST": "other.example", name: "t"}
    found = find_token(f"https://{host}", env, gh)
    assert found is None or found.source == name
    assert all(each.keys() == {"PATH", "GH_CONFIG_DIR", "GH_HOST"} for each in given)
    assert bool(given) == (found is None)


@pytest.mark.parametrize(
    ("url", "host", "said", "meant"),
    [
        ("git@github-work:acme/w.git", "github-work", "hostname github.com\n", "github.com"),
        ("git@github.com-work:a/w", "github.com-work", "user git\nhostname GitHub.com\n", "github.com"),
        ("ssh://git@gh/acme/w", "gh", "hostname ssh.github.com\nport 443\n", "github.com"),
        ("git@corp:acme/w", "corp", "hostname git.corp.example\n", "git.corp.example"),
        ("git@git.corp.example:a/w", "git.corp.example", "hostname git.corp.example\n", "git.corp.example"),
        ("git@odd:acme/w", "odd", "", "odd"),
    ],
)  # fmt: skip
def test_an_alias_of_ssh_is_resolved(url: str, host: str, said: str, meant: str) -> None:
    assert resolve_host(url, host, lambda *_, **__: Done(0, said, "")) == meant


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://github-work/acme/w", "github-work"),
        ("http://127.0.0.1:99/a/w", "127.0.0.1:99"),
        ("git@github.com:acme/w", "github.com"),
    ],
)
def test_what_is_no_alias_is_not_asked_about(url: str, host: str) -> None:
    def fail(*_: str, **__: Any) -> Done:
        raise AssertionError("ssh was asked")

    assert resolve_host(url, host, fail) == host


def test_without_ssh_the_name_stays() -> None:
    def missing(*_: str, **__: Any) -> Done:
        raise Expected("ssh: not found")

    assert resolve_host("git@work:acme/w", "work", missing) == "work"
