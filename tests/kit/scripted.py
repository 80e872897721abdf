"""A server on loopback whose answers a test scripts one by one, in place of a GitHub that goes wrong."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

CUT, HANG = b"cut", b"hang"


class Answer(NamedTuple):
    """For one method and path; `query` must be in the request's, or be all of it when it is a text."""

    method: str
    path: str
    status: int
    headers: dict[str, str]
    body: bytes
    raw: bytes
    query: dict[str, str] | str

    def fits(self, method: str, target: str) -> bool:
        parts = urlsplit(target)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        right = (
            parts.query == self.query
            if isinstance(self.query, str)
            else self.query.items() <= asked.items()
        )
        return (method, parts.path) == (self.method, self.path) and right


class Scripted:
    """Of several answers that fit, each is given once in turn and the last for ever; all have to be given."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.given: set[int] = set()
        self.seen: list[tuple[str, str]] = []
        self.over = threading.Event()
        self.url = ""

    def add(
        self,
        method: str,
        path: str,
        status: int = 200,
        body: str | bytes = "",
        headers: dict[str, str] | None = None,
        raw: bytes = b"",
        query: dict[str, str] | str | None = None,
        **data: Any,
    ) -> None:
        text = json.dumps(data["json"]) if "json" in data else body
        sent = text.encode() if isinstance(text, str) else text
        self.answers.append(
            Answer(method, path, status, headers or {}, sent, raw, {} if query is None else query)
        )

    def get(self, path: str, **answer: Any) -> None:
        self.add("GET", path, **answer)

    def post(self, path: str, **answer: Any) -> None:
        self.add("POST", path, **answer)

    def replace(self, method: str, path: str, **answer: Any) -> None:
        self.answers = [each for each in self.answers if (each.method, each.path) != (method, path)]
        self.add(method, path, **answer)

    def choose(self, method: str, target: str) -> Answer:
        self.seen.append((method, target))
        fitting = [each for each in self.answers if each.fits(method, target)]
        assert fitting, f"no answer is scripted for {method} {target}"
        if len(fitting) > 1:
            self.answers.remove(fitting[0])
        self.given.add(id(fitting[0]))
        return fitting[0]


@contextmanager
def scripted() -> Iterator[Scripted]:
    script, failures = Scripted(), []

    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                answer = script.choose(self.command, self.path)
            except AssertionError as error:
                failures.append(str(error))
                return
            if answer.body == HANG:
                script.over.wait(60)
            elif answer.raw:
                self.wfile.write(answer.raw)
            elif answer.body != CUT:
                self.send_response_only(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if answer.status != 304:
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = reply

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        script.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield script
        finally:
            script.over.set()
            server.shutdown()
            thread.join()
    assert not failures, failures
    assert all(id(each) in script.given for each in script.answers), (
        "every answer that is scripted is asked for"
    )
