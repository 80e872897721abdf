"""The sandbox's server: HTTP, tokens, rate limit, ETags and pages around the routes, and git over smart HTTP."""

from __future__ import annotations

import base64
import binascii
import secrets
import socket
import socketserver
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from ..errors import Expected
from . import bare as git
from . import routes
from .person import Person
from .pulls import Pulls
from .reads import Call
from .records import Incoming, Json, Refused, Reply, Request, User, allows
from .replies import answered, as_json, parse, refusal, tagged, unchanged
from .repo_bodies import View

_CONTROLS = (
    "add_user",
    "seed",
    "add_issue",
    "close_issue",
    "reopen_issue",
    "edit_issue",
    "transfer_issue",
    "delete_issue",
    "assign",
    "add_label",
    "remove_label",
    "add_blocked_by",
    "remove_blocked_by",
    "add_sub_issue",
    "comment",
    "review",
    "set_check",
    "set_status",
    "protect_branch",
    "merge",
    "close_pull",
)
_SHOWN = ("requests", "unknown_requests", "merge_attempts", "pushes")


class Handler(BaseHTTPRequestHandler):
    """One connection. Tests put faults around `exchange`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.exchange(Incoming(self.command, self.path, headers, self._body()))

    do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_GET

    def exchange(self, incoming: Incoming) -> None:
        self.send(self.server.sandbox.answer(incoming))

    def send(self, reply: Reply) -> None:
        self.send_response_only(reply.status)
        self.send_header("Server", "GitHub.com")
        self.send_header("Date", formatdate(self.server.sandbox.now(), usegmt=True))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 304:
            self.send_header("Content-Length", str(len(reply.payload)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.payload)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        # git sends a pack larger than http.postBuffer in chunks.
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def log_message(self, format: str, *args: object) -> None:
        """The sandbox remembers its requests itself."""


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = False

    def __init__(self, sandbox: Sandbox, port: int) -> None:
        self.sandbox = sandbox
        self.connections: set[Any] = set()
        super().__init__(("127.0.0.1", port), sandbox.handler)

    def server_bind(self) -> None:
        # HTTPServer's own asks the resolver for this machine's name.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError):
            self.sandbox.failures.append(repr(error))
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        """End connections that clients keep alive, so that their threads end."""
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class Sandbox(Pulls):
    """A GitHub of one repository on 127.0.0.1, for the demo and for tests. Use as a context manager."""

    handler: ClassVar[type[Handler]] = Handler

    def __init__(
        self,
        folder: Path,
        repo: str = "acme/widgets",
        default_branch: str = "main",
        private: bool = False,
        port: int = 0,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(
            git.create(folder, repo, default_branch), repo, default_branch, private, now
        )
        self.requests: list[Request] = []
        self.writes: set[str] = set()
        self.git_requests: list[Request] = []
        self.unknown_requests: list[Request] = []
        self.merge_attempts: list[Request] = []
        self.failures: list[str] = []
        self.rate_limit = 5000
        self.rate_used: Counter[str] = Counter()
        self.rate_reset = self.now() + 3600
        self.closing = threading.Event()
        self.person = Person(self)
        self.control_token = secrets.token_hex(16)
        self._server = Server(self, port)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}
        )
        self.base_url = f"http://127.0.0.1:{self._server.server_port}"
        self.git_url = f"{self.base_url}/{repo}.git"

    def __enter__(self) -> Sandbox:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()

    @property
    def tokens(self) -> dict[str, str]:
        return {login: user.token for login, user in self.users.items()}

    def answer(self, incoming: Incoming) -> Reply:
        """Everything that arrives passes here."""
        path = incoming.target.partition("?")[0]
        if path.startswith("/_sandbox/"):
            return self._control(incoming, path.removeprefix("/_sandbox/"))
        if path.startswith(f"/{self.repo}.git/"):
            return self._git(incoming)
        with self.lock:
            if self.received != git.received_size(self.repository):
                self.sync()
            return self._rest(incoming)

    def _rest(self, incoming: Incoming) -> Reply:
        path, _, text = incoming.target.partition("?")
        root = "/api/v3" if path.startswith("/api/v3/") else ""
        path, asked = path.removeprefix(root), parse_qsl(text, keep_blank_values=True)
        query = dict(asked)
        user, body = self._user_of(incoming), None
        headers = {"X-GitHub-Media-Type": "github.v3; format=json"}
        try:
            if not incoming.headers.get("user-agent"):
                raise Refused(
                    403,
                    "Request forbidden by administrative rules. Please make sure it has a User-Agent header",
                )
            if len(query) < len(asked):
                raise Refused(422, "Validation Failed: a query parameter is given twice")
            body = parse(incoming.raw)
            if not user:
                given = "authorization" in incoming.headers
                raise Refused(401, "Bad credentials" if given else "Requires authentication")
            reply = self._routed(incoming, path, query, body, user, self.base_url + root)
        except Refused as refused:
            reply = refusal(refused, self.base_url + root)
        status, seen = reply.status, _seen(incoming, path, query, body, user, reply.status)
        self.requests.append(seen)
        if incoming.method != "GET":
            self.writes.add(f"{incoming.method} {path}")
        if status == 501:
            self.unknown_requests.append(seen)
        if status == 405:
            self.merge_attempts.append(seen)
        return reply._replace(
            headers={**headers, **self._limits(user, status, path), **reply.headers}
        )

    def _routed(
        self, incoming: Incoming, path: str, query: dict[str, str], body: Any, user: User, api: str
    ) -> Reply:
        if routes.MERGES.fullmatch(f"{incoming.method} {path}"):
            raise Refused(405, "Merging is up to a person")
        found = routes.find(incoming.method, path)
        if not found:
            raise Refused(501, f"The sandbox has no route {incoming.method} {path}")
        route, repo, parts = found
        rates = self._rates(user)
        if not rates["remaining"] and path != "/rate_limit":
            raise Refused(403, f"API rate limit exceeded for user ID {user.id}.")
        call = Call(View(self, api, self.base_url), user, query, body, rates)
        key = ("reply", user.login, api, incoming.method, incoming.target)
        reply: Reply | None = self.cache.get(key)
        if not reply:
            before = self.revision
            reply = answered(route.status, routes.answer(route, repo, parts, call), call, path)
            if incoming.method != "GET" or path == "/rate_limit":
                return reply
            reply = tagged(reply)
            # Asking for a pull is what makes GitHub work out whether it merges: that answer holds only once.
            if self.revision == before:
                self.cache[key] = reply
        if unchanged(reply, incoming.headers.get("if-none-match", "")):
            return reply._replace(status=304, payload=b"")
        return reply

    def _user_of(self, incoming: Incoming) -> User | None:
        scheme, _, secret = incoming.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                secret = base64.b64decode(secret, validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                return None
        elif scheme.lower() not in ("bearer", "token"):
            return None
        return next((user for user in self.users.values() if user.token == secret), None)

    def _rates(self, user: User) -> Json:
        if self.now() >= self.rate_reset:
            self.rate_used.clear()
            self.rate_reset = self.now() + 3600
        used, limit = self.rate_used[user.login], self.rate_limit
        return {
            "limit": limit,
            "used": used,
            "remaining": max(0, limit - used),
            "reset": self.rate_reset,
        }

    def _limits(self, user: User | None, status: int, path: str) -> dict[str, str]:
        """A 304 costs nothing, and neither does asking for the limit."""
        if not user:
            return {}
        if status != 304 and path != "/rate_limit":
            self.rate_used[user.login] = min(self.rate_limit, self.rate_used[user.login] + 1)
        headers = {
            f"X-RateLimit-{name.capitalize()}": str(value)
            for name, value in self._rates(user).items()
        }
        scopes = {} if user.scopes is None else {"X-OAuth-Scopes": user.scopes}
        return {**headers, "X-RateLimit-Resource": "core", **scopes}

    def _git(self, incoming: Incoming) -> Reply:
        user = self._user_of(incoming)
        pushes = "git-receive-pack" in incoming.target
        if not user:
            reply = Reply(
                401, {"WWW-Authenticate": 'Basic realm="GitHub"'}, b"Invalid username or token.\n"
            )
        elif self.private and not allows(user.permission, "read"):
            reply = Reply(404, {}, b"Repository not found.\n")
        elif pushes and not allows(user.permission, "write"):
            reply = Reply(
                403, {}, f"Permission to {self.repo}.git denied to {user.login}.\n".encode()
            )
        else:
            reply = git.serve(self.repository, incoming, user.login)
            if pushes:
                self.sync()
        path, _, query = incoming.target.partition("?")
        seen = _seen(incoming, path, dict(parse_qsl(query)), None, user, reply.status)
        self.git_requests.append(seen)
        return reply

    def _control(self, incoming: Incoming, name: str) -> Reply:
        """POST /_sandbox/NAME with keyword arguments as JSON plays a person; GET /_sandbox/requests and so on look."""
        if incoming.headers.get("authorization") != f"Bearer {self.control_token}":
            return as_json(401, {"message": "the control token is needed"})
        if incoming.method == "GET" and name in _SHOWN:
            return as_json(200, {"result": [row._asdict() for row in getattr(self, name)]})
        if incoming.method != "POST" or name not in _CONTROLS:
            return as_json(
                404, {"message": f"no control {name}", "controls": [*_CONTROLS, *_SHOWN]}
            )
        action = getattr(self.person if name in ("merge", "close_pull") else self, name)
        try:
            return as_json(200, {"result": action(**(parse(incoming.raw) or {}))})
        except (Expected, Refused, KeyError, TypeError) as error:
            return as_json(400, {"message": str(error)})


def _seen(
    incoming: Incoming, path: str, query: dict[str, str], body: Any, user: User | None, status: int
) -> Request:
    login, conditional = user.login if user else None, "if-none-match" in incoming.headers
    return Request(incoming.method, path, query, body, login, status, conditional, time.time())
