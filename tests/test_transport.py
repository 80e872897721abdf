"""The fence: what may be sent, where to, and that nothing else leaves, whoever asks for it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest
import requests

from issue_orch.errors import GitHubError, SignInFailed, Usage
from issue_orch.github import GitHub
from issue_orch.transport import Fence, NotAllowed, Origin, parse_origin, refusal

REPO = "acme/widgets"
HERE = f"/repos/{REPO}"


class Wire(NamedTuple):
    """A server that notes every request it gets and answers all of them alike."""

    url: str
    seen: list[tuple[str, str, dict[str, str]]]
    answer: dict[str, Any]


@pytest.fixture
def wire() -> Iterator[Wire]:
    seen: list[tuple[str, str, dict[str, str]]] = []
    answer: dict[str, Any] = {"status": 200, "headers": {}, "body": "{}"}

    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            seen.append((self.command, self.path, dict(self.headers)))
            self.send_response(answer["status"])
            for name, value in answer["headers"].items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer["body"])))
            self.end_headers()
            self.wfile.write(answer["body"].encode())

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = reply

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield Wire(f"http://127.0.0.1:{server.server_address[1]}", seen, answer)
        server.shutdown()
        thread.join()


def fenced(base_url: str) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    for scheme in ("http://", "https://"):
        session.mount(scheme, Fence(parse_origin(base_url), REPO, 5))
    return session


ALLOWED = [
    ("GET", "/user", None),
    ("GET", HERE, None),
    ("GET", "/repos/other/place/issues/7", None),
    ("GET", f"{HERE}/issues/7/dependencies/blocked_by", None),
    ("GET", f"{HERE}/commits/{'a' * 40}/check-runs", None),
    ("GET", f"{HERE}/branches/release%2F1", None),
    ("POST", f"{HERE}/issues/7/comments", {"body": "x"}),
    ("PATCH", f"{HERE}/issues/comments/9", {"body": "x"}),
    ("POST", f"{HERE}/issues/7/labels", {"labels": ["a"]}),
    ("DELETE", f"{HERE}/issues/7/labels/orch%3Astuck", None),
    ("DELETE", f"{HERE}/issues/7/labels/area%2Fweb", None),
    ("POST", f"{HERE}/labels", {"name": "a", "color": "ffffff", "description": ""}),
    ("POST", f"{HERE}/pulls", {"title": "t", "body": "b", "head": "h", "base": "main", "draft": True}),
    ("PATCH", f"{HERE}/pulls/3", {"title": "t", "body": "b", "base": "main"}),
    ("POST", "/repos/Acme/Widgets/labels", {"name": "a"}),
]

REFUSED = [
    ("PUT", f"{HERE}/pulls/3/merge", {}),
    ("PUT", f"{HERE}/pulls/3/merge", None),
    ("GET", f"{HERE}/pulls/3/merge", None),
    ("PUT", f"{HERE}/pulls/3/update-branch", None),
    ("POST", f"{HERE}/merges", {"base": "main", "head": "x"}),
    ("POST", f"{HERE}/merge-upstream", {"branch": "main"}),
    ("POST", "/graphql", {"query": "mutation"}),
    ("POST", "/api/graphql", {"query": "mutation"}),
    ("POST", f"{HERE}/git/refs", {"ref": "refs/heads/x", "sha": "a"}),
    ("PATCH", f"{HERE}/git/refs/heads/main", {"sha": "a", "force": True}),
    ("DELETE", f"{HERE}/git/refs/heads/issue-1", None),
    ("PUT", f"{HERE}/contents/README.md", {"content": "x"}),
    ("POST", f"{HERE}/pulls/3/reviews", {"event": "APPROVE"}),
    ("POST", f"{HERE}/dispatches", {"event_type": "x"}),
    ("POST", f"{HERE}/actions/workflows/1/dispatches", {"ref": "main"}),
    ("PATCH", HERE, {"allow_auto_merge": True}),
    ("DELETE", HERE, None),
    ("PATCH", f"{HERE}/issues/7", {"state": "closed"}),
    ("PATCH", f"{HERE}/pulls/3", {"state": "closed"}),
    ("PATCH", f"{HERE}/pulls/3", {"title": "t", "auto_merge": True}),
    ("POST", f"{HERE}/pulls", {"title": "t", "head": "h", "base": "main", "maintainer_can_modify": True}),
    ("POST", f"{HERE}/issues/7/comments", ["body"]),
    ("POST", f"{HERE}/issues/7/labels", {"labels": ["a"], "x": 1}),
    ("POST", "/repos/other/place/issues/7/comments", {"body": "x"}),
    ("POST", "/repos/acme/widgets-other/labels", {"name": "a"}),
    ("DELETE", f"{HERE}/issues/7/labels/..", None),
    ("DELETE", f"{HERE}/issues/7/labels/%2e%2e", None),
    ("DELETE", f"{HERE}/issues/7/labels/..%2F..%2F..", None),
    ("DELETE", f"{HERE}/issues/7/labels", None),
    ("GET", "/user/repos", None),
    ("GET", f"{HERE}/issues/7/comments/", None),
    ("GET", f"{HERE}/../../user", None),
    ("HEAD", HERE, None),
    ("OPTIONS", HERE, None),
]


@pytest.mark.parametrize(("method", "path", "body"), ALLOWED)
def test_product_needs(method: str, path: str, body: Any) -> None:
    assert refusal(method, path, "", body, REPO) is None


@pytest.mark.parametrize(("method", "path", "body"), REFUSED)
def test_everything_else_is_refused(method: str, path: str, body: Any) -> None:
    assert refusal(method, path, "", body, REPO)


def test_a_write_has_no_query() -> None:
    assert refusal("POST", f"{HERE}/labels", "x=1", {"name": "a"}, REPO)
    assert refusal("GET", f"{HERE}/issues", "state=open", None, REPO) is None


@pytest.mark.parametrize(("method", "path", "body"), [case for case in REFUSED if "/.." not in case[1]])
def test_refused_before_a_byte_is_sent(wire: Wire, method: str, path: str, body: Any) -> None:
    with fenced(wire.url) as session, pytest.raises(NotAllowed):
        session.request(method, wire.url + path, json=body)
    assert wire.seen == []


def test_what_is_sent_is_what_was_checked(wire: Wire) -> None:
    with fenced(wire.url) as session:
        session.post(f"{wire.url}{HERE}/labels", json={"name": "a"})
        with pytest.raises(NotAllowed, match="hidden method"):
            session.get(f"{wire.url}{HERE}", headers={"X-HTTP-Method-Override": "PUT"})
        with pytest.raises(NotAllowed):
            session.post(f"{wire.url}{HERE}/labels", data="name=a")
    assert [(method, path) for method, path, _ in wire.seen] == [("POST", f"{HERE}/labels")]


def test_pygithubs_own_merge_does_not_pass(wire: Wire) -> None:
    """The library ships merging; on our connection it cannot be used."""
    from github.PullRequest import PullRequest

    hub = GitHub(REPO, "secret", wire.url, write_gap=0)
    requester, connection = hub._requester, hub._connection
    requester._Requester__connection = connection  # type: ignore[attr-defined]
    pull = PullRequest(requester, {}, {"url": f"{wire.url}{HERE}/pulls/3", "number": 3})
    with pytest.raises(NotAllowed):
        pull.merge()
    assert wire.seen == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/user", "https://127.0.0.1/user", "http://localhost/user"])
def test_the_token_has_one_host(wire: Wire, url: str) -> None:
    with fenced(wire.url) as session, pytest.raises(NotAllowed, match="another host"):
        session.get(url)
    assert wire.seen == []


def test_paths_outside_of_the_prefix_are_another_host(wire: Wire) -> None:
    with fenced(f"{wire.url}/api/v3") as session:
        assert session.get(f"{wire.url}/api/v3/user").ok
        with pytest.raises(NotAllowed):
            session.get(f"{wire.url}/user")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(wire: Wire, status: int) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:
        place = f"http://127.0.0.1:{other.server_address[1]}/user"
        wire.answer.update(status=status, headers={"Location": place})
        with pytest.raises(GitHubError, match="moved to http"), GitHub(REPO, "secret", wire.url) as hub:
            hub.fetch_user()
    assert len(wire.seen) == 1


def test_a_renamed_repository_and_a_transferred_issue_are_said(wire: Wire) -> None:
    """PyGithub would follow within the host, without the query: another repository's issue, or all issues."""
    wire.answer.update(status=301, headers={"Location": f"{wire.url}/repositories/5/issues/7"})
    with pytest.raises(GitHubError, match="moved") as caught, GitHub(REPO, "secret", wire.url) as hub:
        hub.fetch_issue(7)
    assert "remote set-url" in caught.value.hint
    assert [path for _, path, _ in wire.seen] == [f"{HERE}/issues/7"]


def test_an_answer_still_being_computed_ends(wire: Wire) -> None:
    wire.answer.update(status=202)
    with pytest.raises(GitHubError, match="still being computed"), GitHub(REPO, "secret", wire.url) as hub:
        hub.fetch_issue(7)
    assert len(wire.seen) == 1


def test_a_proxy_of_the_environment_gets_nothing_that_is_for_this_machine(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    wire.answer["body"] = json.dumps({"login": "ann"})
    with GitHub(REPO, "secret", wire.url) as hub:
        assert hub.fetch_user() == "ann"
    assert wire.seen[0][2]["Authorization"] == "token secret"


@pytest.mark.parametrize(
    ("base_url", "origin"),
    [
        ("https://api.github.com", Origin("https", "api.github.com", 443, "")),
        ("https://git.corp.example:8443/api/v3/", Origin("https", "git.corp.example", 8443, "/api/v3")),
        ("http://127.0.0.1:4001", Origin("http", "127.0.0.1", 4001, "")),
        ("http://[::1]:4001", Origin("http", "::1", 4001, "")),
        ("http://localhost", Origin("http", "localhost", 80, "")),
    ],
)
def test_origins(base_url: str, origin: Origin) -> None:
    assert parse_origin(base_url) == origin


@pytest.mark.parametrize(
    "base_url",
    [
        "http://git.corp.example/api/v3", "http://127.0.0.1.example.com", "http://localhost.example.com", "ftp://x",
        "https://user:pass@host/api", "https://host:port", "github.com", "", "https://", "https://host/?x=1",
    ],
)
def test_addresses_that_would_leak_or_mean_nothing(base_url: str) -> None:
    with pytest.raises(Usage) as caught:
        parse_origin(base_url)
    assert "pass" not in caught.value.message


def test_a_token_that_cannot_be_a_header_is_not_shown() -> None:
    with pytest.raises(SignInFailed) as caught:
        GitHub(REPO, "sec\nret")
    assert "sec" not in caught.value.message
