"""The sandbox GitHub with faults and odd data around it, and a small client to ask it things. Only for tests."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qsl

from issue_orch.sandbox import Sandbox
from issue_orch.sandbox.records import Incoming, Reply, Request
from issue_orch.sandbox.server import Handler

Kind = Literal["status", "hang", "cut", "half", "malformed"]

# What other people write into titles, bodies and comments.
ODD_TEXTS = (
    "",
    " ",
    "\x1b[2J\x1b]0;owned\x07",
    "\u202egnirts desrever",
    "a\u0000b",
    "line\r\nline\u2028line",
    "\U0001f600",
    "`$(touch owned)` ; rm -rf *",
    "<!-- issue-orch -->",
    "#" * 70_000,
    "Depends on #999999 and #0 and #-1",
    "{{ issue.body }} {% raw %}",
    "../../etc/passwd",
    "—" * 300,
    "@everyone fixes #1",
)

SECONDARY = (
    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
)
_NEWER_KEYS = ("issue_dependencies_summary", "sub_issues_summary", "parent_issue_url")
_NEWER_ROUTES = re.compile(
    r".*/(timeline|sub_issues|parent|dependencies/blocked_by|rules/branches/.+)|/(api/)?graphql"
)


class Fault(NamedTuple):
    """What happens to the next `times` requests that match; `performed` says whether the request takes effect."""

    kind: Kind
    method: str
    route: re.Pattern[str]
    times: int
    status: int
    message: str
    headers: Mapping[str, str]
    performed: bool


class FaultyHandler(Handler):
    def exchange(self, incoming: Incoming) -> None:
        fake = self.server.sandbox
        assert isinstance(fake, FakeGitHub)
        if fake.latency_ms:
            fake.closing.wait(fake.latency_ms / 1000)
        fake.meet(incoming)
        fault = fake.due(incoming)
        if not fault:
            return self.send(fake.answer(incoming))
        performed = fault.performed or fault.kind in ("half", "malformed")
        status = fault.status if fault.kind == "status" else 0
        reply = fake.answer(incoming) if performed else fake.note_lost(incoming, status)
        match fault.kind:
            case "status":
                payload = json.dumps({"message": fault.message, "documentation_url": ""}).encode()
                self.send(
                    Reply(
                        fault.status, {"Content-Type": "application/json", **fault.headers}, payload
                    )
                )
            case "hang":
                fake.closing.wait()
                self._cut()
            case "cut":
                self._cut()
            case "half":
                self._send_half(reply)
            case "malformed":
                self.send(reply._replace(payload=reply.payload[: len(reply.payload) // 2]))

    def _send_half(self, reply: Reply) -> None:
        half = reply.payload[: len(reply.payload) // 2]
        head = f"HTTP/1.1 {reply.status} OK\r\nContent-Length: {len(reply.payload)}\r\n\r\n"
        self.wfile.write(head.encode() + half)
        self.wfile.flush()
        self._cut()

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


class FakeGitHub(Sandbox):
    """A sandbox that can misbehave. `old_server` plays an Enterprise server from before dependencies and ETags."""

    handler = FaultyHandler
    latency_ms = 0
    old_server = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.faults: list[Fault] = []
        self.meeting = re.compile("")
        self.met = threading.Barrier(1)
        self.twists: list[tuple[re.Pattern[str], Callable[[Any], Any]]] = []

    def expect_together(self, route: str, count: int) -> None:
        """From now on requests for `route` are answered only once so many were asked at the same time."""
        self.meeting, self.met = re.compile(route), threading.Barrier(count)

    def meet(self, incoming: Incoming) -> None:
        if self.met.parties > 1 and self.meeting.search(incoming.target):
            self.met.wait(10)
            self.met = threading.Barrier(1)

    def fail(
        self,
        kind: Kind = "status",
        method: str = ".*",
        route: str = ".*",
        times: int = 1,
        status: int = 502,
        message: str = "Server Error",
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
        performed: bool = False,
    ) -> None:
        """Break the next `times` requests whose method and path (without /api/v3) match, in whole."""
        wait = {} if retry_after is None else {"Retry-After": str(retry_after)}
        given = {**wait, **(headers or {})}
        self.faults.append(
            Fault(kind, method, re.compile(route), times, status, message, given, performed)
        )

    def limit_secondary(
        self, method: str = ".*", route: str = ".*", retry_after: int | None = 1
    ) -> None:
        self.fail("status", method, route, status=403, message=SECONDARY, retry_after=retry_after)

    def twist(self, route: str, change: Callable[[Any], Any]) -> None:
        """Put odd data into what the GET routes whose path matches answer, for as long as the fake lives."""
        self.twists.append((re.compile(route), change))

    def due(self, incoming: Incoming) -> Fault | None:
        path = incoming.target.partition("?")[0].removeprefix("/api/v3")
        with self.lock:
            for at, fault in enumerate(self.faults):
                if re.fullmatch(fault.method, incoming.method) and fault.route.fullmatch(path):
                    left = [fault._replace(times=fault.times - 1)] if fault.times > 1 else []
                    self.faults[at : at + 1] = left
                    return fault
        return None

    def note_lost(self, incoming: Incoming, status: int) -> Reply:
        """A request that took no effect is remembered all the same, with the status sent or 0 for none."""
        path, _, query = incoming.target.partition("?")
        user, conditional = self._user_of(incoming), "if-none-match" in incoming.headers
        login, body = user.login if user else None, incoming.raw.decode(errors="replace")
        where = incoming.method, path.removeprefix("/api/v3"), dict(parse_qsl(query))
        of_git = path.startswith(f"/{self.repo}.git/")
        (self.git_requests if of_git else self.requests).append(
            Request(*where, body, login, status, conditional, time.time())
        )
        if incoming.method != "GET" and not of_git:
            self.writes.add(f"{incoming.method} {where[1]}")
        return Reply(status, {}, b"")

    def answer(self, incoming: Incoming) -> Reply:
        path = incoming.target.partition("?")[0].removeprefix("/api/v3")
        changes = [
            change
            for route, change in self.twists
            if route.fullmatch(path) and incoming.method == "GET"
        ]
        if self.old_server and _NEWER_ROUTES.fullmatch(path):
            self.note_lost(incoming, 404)
            return Reply(404, {"Content-Type": "application/json"}, b'{"message":"Not Found"}')
        if not (self.old_server or changes):
            return super().answer(incoming)
        plain = {name: value for name, value in incoming.headers.items() if name != "if-none-match"}
        reply = super().answer(incoming._replace(headers=plain))
        if reply.status >= 300 or not reply.headers.get("Content-Type", "").startswith(
            "application/json"
        ):
            return reply
        body = json.loads(reply.payload)
        for change in changes:
            body = change(body)
        headers = {name: value for name, value in reply.headers.items() if name != "ETag"}
        return Reply(
            reply.status,
            headers,
            json.dumps(_without_newer(body) if self.old_server else body).encode(),
        )


def _without_newer(body: Any) -> Any:
    if isinstance(body, list):
        return [_without_newer(each) for each in body]
    if isinstance(body, dict):
        return {key: _without_newer(value) for key, value in body.items() if key not in _NEWER_KEYS}
    return body


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: Any


def ask(
    sandbox: Sandbox,
    method: str,
    path: str,
    body: Any = None,
    token: str | None = None,
    timeout: float = 10,
    **headers: str,
) -> Answer:
    """One request on a connection of its own; `token` is that of maria unless given, "" sends none.

    Header names are written with underscores for dashes.
    """
    token = sandbox.tokens["maria"] if token is None else token
    sent = {
        "User-Agent": "tests",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    raw = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    connection = http.client.HTTPConnection(
        sandbox.base_url.removeprefix("http://"), timeout=timeout
    )
    try:
        connection.request(
            method, path, raw, {**({"Authorization": f"token {token}"} if token else {}), **sent}
        )
        reply = connection.getresponse()
        payload = reply.read()
        return Answer(reply.status, dict(reply.headers), json.loads(payload) if payload else None)
    finally:
        connection.close()
