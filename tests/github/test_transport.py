"""The fence: what may be sent, where to, and that nothing else leaves, whoever asks for it."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import responses
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from github.PullRequest import PullRequest
from github.Repository import Repository

from issue_orch.errors import GitHubError, SignInFailed, Usage
from issue_orch.github.client import GitHub
from issue_orch.github.fence import Connection, NotAllowed, Origin, parse_origin, refusal
from issue_orch.sandbox import Sandbox

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
            self.wfile.write(answer["body"].encode("latin-1"))

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = reply

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield Wire(f"http://127.0.0.1:{server.server_address[1]}", seen, answer)
        server.shutdown()
        thread.join()


def fenced(base_url: str) -> Connection:
    return Connection(parse_origin(base_url), REPO, 5)


ALLOWED = [
    ("GET", "/user", None),
    ("GET", HERE, None),
    ("GET", "/repos/other/place/issues/7", None),
    ("GET", f"{HERE}/issues/7/dependencies/blocked_by", None),
    ("GET", f"{HERE}/commits/{'a' * 40}/check-runs", None),
    ("GET", f"{HERE}/branches/release%2F1", None),
    ("POST", f"{HERE}/issues/7/comments", {"body": "x"}),
    ("PATCH", f"{HERE}/issues/comments/9", {"body": "x"}),
    ("POST", f"{HERE}/issues/7/labels", ["a"]),
    ("DELETE", f"{HERE}/issues/7/labels/orch%3Astuck", None),
    ("DELETE", f"{HERE}/issues/7/labels/area%2Fweb", None),
    ("POST", f"{HERE}/labels", {"name": "a", "color": "ffffff", "description": ""}),
    (
        "POST",
        f"{HERE}/pulls",
        {"title": "t", "body": "b", "head": "h", "base": "main", "draft": True},
    ),
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
    (
        "POST",
        f"{HERE}/pulls",
        {"title": "t", "head": "h", "base": "main", "maintainer_can_modify": True},
    ),
    ("POST", f"{HERE}/issues/7/comments", ["body"]),
    ("POST", f"{HERE}/issues/7/labels", {"labels": ["a"], "x": 1}),
    ("POST", f"{HERE}/issues/7/labels", "a"),
    ("POST", f"{HERE}/labels", ["a"]),
    ("DELETE", f"{HERE}/issues/7/labels/a", ["a"]),
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


@pytest.mark.parametrize(
    ("method", "path", "body"), [case for case in REFUSED if "/.." not in case[1]]
)
def test_refused_before_a_byte_is_sent(wire: Wire, method: str, path: str, body: Any) -> None:
    with closing(fenced(wire.url)) as connection, pytest.raises(NotAllowed):
        connection.exchange(method, path, body, {})
    assert wire.seen == []


def test_what_is_sent_is_what_was_checked(wire: Wire) -> None:
    with closing(fenced(wire.url)) as connection:
        connection.exchange("POST", f"{HERE}/labels", {"name": "a"}, {})
        with pytest.raises(NotAllowed, match="hidden method"):
            connection.exchange("GET", HERE, None, {"X-HTTP-Method-Override": "PUT"})
        for text in ("name=a", '{"name": "a"}'):
            with pytest.raises(NotAllowed):
                connection.exchange("POST", f"{HERE}/labels", text, {})
    assert [(method, path) for method, path, _ in wire.seen] == [("POST", f"{HERE}/labels")]


PYGITHUB = {
    "merge": lambda repo: repo.get_pull(3).merge(),
    "merge of branches": lambda repo: repo.merge("main", "issue-1"),
    "auto-merge": lambda repo: repo.get_pull(3).enable_automerge(),
    "approval": lambda repo: repo.get_pull(3).create_review(event="APPROVE"),
    "close": lambda repo: repo.get_pull(3).edit(state="closed"),
    "push": lambda repo: repo.create_git_ref("refs/heads/main", "a"),
    "file": lambda repo: repo.create_file("a", "b", "c"),
    "delete": lambda repo: repo.delete(),
    "another repository": lambda repo: Repository(repo.requester, url="/repos/o/p").create_label(
        "a", "b"
    ),
    "another host": lambda repo: repo.requester.requestJsonAndCheck("POST", "http://127.0.0.1:1/x"),
    "a query": lambda repo: repo.requester.requestJsonAndCheck("POST", f"{HERE}/labels", {"a": 1}),
    "a read": lambda repo: repo.complete(),
    "a list": lambda repo: list(repo.get_issues()),
    "a conditional read": lambda repo: repo.update(),
    "a stream": lambda repo: repo.requester.getStream("/user"),
    "an upload": lambda repo: repo.requester.requestBlobAndCheck("POST", "/x"),
    "a form": lambda repo: repo.requester.requestMultipartAndCheck("POST", "/x", input={"a": "b"}),
    "another sign-in": lambda repo: repo.requester.withAuth(None).requestJson("GET", "/user"),
    "another eagerness": lambda repo: repo.requester.withLazy(False).requestJson("GET", "/user"),
    "another version": lambda repo: repo.requester.withApiVersion("x").requestJson("GET", "/user"),
}


@pytest.mark.parametrize(
    "what", PYGITHUB.values(), ids=[name.replace(" ", "-") for name in PYGITHUB]
)
def test_pygithub_sends_nothing_that_the_fence_has_not(wire: Wire, what: Any) -> None:
    """The library ships merging, and connections of its own; with ours it can use neither."""
    with GitHub(REPO, "secret", wire.url, write_gap=0) as hub, pytest.raises(NotAllowed):
        hub.write(what)
    assert wire.seen == []


def test_pygithubs_own_merge_does_not_pass(wire: Wire) -> None:
    with GitHub(REPO, "secret", wire.url, write_gap=0) as hub, pytest.raises(NotAllowed):
        hub.write(lambda repo: PullRequest(repo.requester, url=f"{HERE}/pulls/3").merge())
    assert wire.seen == []


@pytest.mark.parametrize("status", [301, 302, 307, 308, 503])
def test_a_write_is_sent_once_whatever_comes_back(wire: Wire, tmp_path: Path, status: int) -> None:
    """PyGithub would follow a 301 and read ~/.netrc; it has neither an answer nor a connection."""
    wire.answer.update(status=status, headers={"Location": f"{wire.url}/repositories/5"})
    with GitHub(REPO, "secret", wire.url, write_gap=0) as hub, pytest.raises(GitHubError):
        hub.create_comment(7, "x")
    assert [(method, path) for method, path, _ in wire.seen] == [
        ("POST", f"{HERE}/issues/7/comments")
    ]


WRITTEN = [
    (lambda hub: hub.create_comment(7, "x"), "POST", "issues/7/comments"),
    (lambda hub: hub.edit_comment(7, 9, "x"), "PATCH", "issues/comments/9"),
    (lambda hub: hub.add_labels(7, {"b", "a"}), "POST", "issues/7/labels"),
    (lambda hub: hub.remove_label(7, "area/web"), "DELETE", "issues/7/labels/area%2Fweb"),
    (lambda hub: hub.create_label("a"), "POST", "labels"),
    (lambda hub: hub.create_pull("h", "main", "t", "b"), "POST", "pulls"),
    (lambda hub: hub.edit_pull(3, base="main"), "PATCH", "pulls/3"),
]


@pytest.mark.parametrize(("write", "method", "path"), WRITTEN)
@pytest.mark.parametrize("body", ["", "[]", "7", "null", "{", '{"url": 5, "user": []}'])
def test_a_write_is_one_request_and_an_odd_answer_an_error_at_most(
    wire: Wire, write: Any, method: str, path: str, body: str
) -> None:
    wire.answer.update(
        body=body, headers={"x-ratelimit-remaining": "many", "x-ratelimit-limit": "y"}
    )
    with GitHub(REPO, "secret", wire.url, write_gap=0) as hub, suppress(GitHubError):
        write(hub)
    [(sent, where, headers)] = wire.seen
    assert (sent, where) == (method, f"{HERE}/{path}")
    assert headers["Authorization"] == "token secret"
    assert headers["User-Agent"].startswith("issue-orch/")
    assert headers["Accept"] == "application/vnd.github+json"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/user", "https://127.0.0.1/user", "http://localhost/user"]
)
def test_the_token_has_one_host(wire: Wire, url: str) -> None:
    with closing(fenced(wire.url)) as connection, pytest.raises(NotAllowed, match="not plain"):
        connection.exchange("GET", url, None, {})
    assert wire.seen == []


def test_no_path_leaves_the_api(wire: Wire) -> None:
    with closing(fenced(f"{wire.url}/api/v3")) as connection:
        assert connection.exchange("GET", "/user", None, {}).status_code == 200
        for path in ("/api/v3/user", "/../user", "evil/user", "//evil.example/user", "@evil/user"):
            with pytest.raises(NotAllowed):
                connection.exchange("GET", path, None, {})
    assert [path for _, path, _ in wire.seen] == ["/api/v3/user"]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(wire: Wire, status: int) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:
        place = f"http://127.0.0.1:{other.server_address[1]}/user"
        wire.answer.update(status=status, headers={"Location": place})
        with (
            pytest.raises(GitHubError, match="moved to http"),
            GitHub(REPO, "secret", wire.url) as hub,
        ):
            hub.fetch_user()
    assert len(wire.seen) == 1


def test_a_renamed_repository_and_a_transferred_issue_are_said(wire: Wire) -> None:
    """PyGithub would follow within the host, without the query: another repository's issue, or all issues."""
    wire.answer.update(status=301, headers={"Location": f"{wire.url}/repositories/5/issues/7"})
    with (
        pytest.raises(GitHubError, match="moved") as caught,
        GitHub(REPO, "secret", wire.url) as hub,
    ):
        hub.fetch_issue(7)
    assert "remote set-url" in caught.value.hint
    assert [path for _, path, _ in wire.seen] == [f"{HERE}/issues/7"]


def test_a_connection_that_the_server_closed_meanwhile_is_opened_again(wire: Wire) -> None:
    wire.answer["body"] = json.dumps({"login": "ann"})
    with GitHub(REPO, "secret", wire.url, write_gap=0) as hub:
        assert [hub.fetch_user() for _ in range(3)] == ["ann"] * 3
        hub.add_labels(7, ["a"])
        assert hub.rate.requests == len(wire.seen) == 4


def test_answers_may_be_compressed(wire: Wire) -> None:
    wire.answer.update(
        headers={"Content-Encoding": "gzip"},
        body=gzip.compress(b'{"login": "ann"}').decode("latin-1"),
    )
    with GitHub(REPO, "secret", wire.url) as hub:
        assert hub.fetch_user() == "ann"
    assert wire.seen[0][2]["Accept-Encoding"].startswith("gzip")
    wire.answer["body"] = wire.answer["body"][:-15]
    with (
        GitHub(REPO, "secret", wire.url, sleep=lambda _: None) as hub,
        pytest.raises(GitHubError, match="half"),
    ):
        hub.fetch_user()


def test_reads_from_several_threads_get_their_own_answers(tmp_path: Path) -> None:
    with Sandbox(tmp_path, REPO) as sandbox:
        numbers = [sandbox.add_issue(f"Issue {at}") for at in range(1, 9)] * 5
        with (
            GitHub(REPO, sandbox.add_user("you", "write"), sandbox.base_url) as hub,
            ThreadPoolExecutor(8) as pool,
        ):
            assert [issue.number for issue in pool.map(hub.fetch_issue, numbers)] == numbers
            assert hub.rate.requests == len(numbers)


def test_an_answer_still_being_computed_ends(wire: Wire) -> None:
    wire.answer.update(status=202)
    with (
        pytest.raises(GitHubError, match="still being computed"),
        GitHub(REPO, "secret", wire.url) as hub,
    ):
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


def test_the_proxy_of_the_environment_is_asked_for_a_tunnel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever goes through it is encrypted: the token is seen by nobody between."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://ann:p%40ss@127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.delenv("https_proxy", raising=False)
        asked: list[bytes] = []

        def serve() -> None:
            connection, _ = proxy.accept()
            with connection:
                asked.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 502 No\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        with (
            closing(fenced("https://api.github.com")) as connection,
            pytest.raises(OSError, match="502"),
        ):
            connection.exchange("GET", "/user", None, {"Authorization": "token secret"})
        thread.join()
    assert asked[0].startswith(b"CONNECT api.github.com:443 HTTP/1.") and b"secret" not in asked[0]
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"ann:p@ss") in asked[0]


def test_a_server_is_believed_by_its_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = tmp_path / "localhost.pem"
    pem.write_bytes(certificate("localhost"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"login": "ann"}')

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that does not believe us goes away."""

    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        url = f"https://localhost:{server.server_address[1]}"
        with (
            GitHub(REPO, "secret", url, sleep=lambda _: None) as hub,
            pytest.raises(GitHubError, match="CERTIFICATE"),
        ):
            hub.fetch_user()
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pem))
        with GitHub(REPO, "secret", url) as hub:
            assert hub.fetch_user() == "ann"
        server.shutdown()
        thread.join()


def test_an_enterprise_server_gets_its_prefix_and_its_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine git.corp.example login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    api = "https://git.corp.example:443/api/v3"
    with (
        responses.RequestsMock() as net,
        GitHub(REPO, "secret", "https://git.corp.example/api/v3", write_gap=0) as hub,
    ):
        net.get(f"{api}/user", json={"login": "ann"})
        net.post(
            f"{api}{HERE}/issues/7/labels",
            json=[],
            match=[responses.matchers.json_params_matcher(["a"])],
        )
        assert hub.fetch_user() == "ann"
        hub.add_labels(7, ["a"])
        assert [call.request.headers["Authorization"] for call in net.calls] == [
            "token secret"
        ] * 2, "not that of ~/.netrc"


def certificate(name: str) -> bytes:
    """Key and certificate for one host, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(
            who,
            who,
            key.public_key(),
            x509.random_serial_number(),
            now - timedelta(days=1),
            now + timedelta(days=1),
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + made.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    ("base_url", "origin"),
    [
        ("https://api.github.com", Origin("api.github.com", "https://api.github.com:443")),
        (
            "https://git.corp.example:8443/api/v3/",
            Origin("git.corp.example", "https://git.corp.example:8443/api/v3"),
        ),
        ("http://127.0.0.1:4001", Origin("127.0.0.1", "http://127.0.0.1:4001")),
        ("http://[::1]:4001", Origin("::1", "http://[::1]:4001")),
        ("http://localhost", Origin("localhost", "http://localhost:80")),
    ],
)
def test_origins(base_url: str, origin: Origin) -> None:
    assert parse_origin(base_url) == origin


@pytest.mark.parametrize(
    "base_url",
    [
        "http://git.corp.example/api/v3",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "ftp://x",
        "https://user:pass@host/api",
        "https://host:port",
        "github.com",
        "",
        "https://",
        "https://host/?x=1",
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
