"""A model server on loopback that plays a script: it finds its step in the conversation of each request.

A script maps a key (a text that occurs in a message of the user) to the steps that follow it. The last key in the
conversation is the current one, and the replies after it are counted: a repeated request, a resumed session and
workers side by side land on the right step, and the server remembers nothing but which failures it has played.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any, NamedTuple

from tests.agents import wires


class Failure(NamedTuple):
    """An answer that is none: a status, or a stream that is cut (`cut`) or goes silent (`stall`)."""

    status: int = 200
    message: str = "scripted failure"
    headers: Mapping[str, str] = {}
    cut: bool = False
    stall: bool = False


class Step(NamedTuple):
    """One reply of the model: a text, a shell command, a call of any tool; before it, failures in order."""

    say: str = ""
    run: str = ""
    tool: tuple[str, Mapping[str, Any]] | None = None
    failures: tuple[Failure, ...] = ()


Script = Mapping[str, list[Step]]


class Found(NamedTuple):
    """Where in the script a conversation is."""

    key: str
    position: int
    step: Step


def find(script: Script, request: wires.Request) -> Found | None:
    """The step that a conversation is at. None for the small requests around it (titles, routing)."""
    if not any(name in wires.SHELLS for name in request.tools):
        return None
    for position in range(len(request.messages) - 1, -1, -1):
        message = request.messages[position]
        key = next((key for key in script if message.role == "user" and key in message.text), None)
        if key is not None:
            roles = [message.role, *(later.role for later in request.messages[position + 1 :])]
            index = sum(role == "assistant" != before for before, role in pairwise(roles))
            steps = script[key]
            return Found(
                key, index, steps[index] if index < len(steps) else Step(say="Nothing left to do.")
            )
    return None


class ModelServer(ThreadingHTTPServer):
    """Serves every wire at once. `seen` is what was asked: (path, key, step) in order, `bodies` all of it."""

    daemon_threads = True

    def __init__(self, script: Script) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = script
        self.seen: list[tuple[str, str, int]] = []
        self.bodies: list[str] = []
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._played: Counter[tuple[str, int]] = Counter()
        self._number = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def number(self) -> int:
        with self._lock:
            self._number += 1
            return self._number

    def failure(self, path: str, found: Found) -> Failure | None:
        """The next failure of this step that was not played yet."""
        with self._lock:
            self.seen.append((path, found.key, found.position))
            played = self._played[found.key, found.position]
            if played >= len(found.step.failures):
                return None
            self._played[found.key, found.position] += 1
            return found.step.failures[played]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that are killed leave broken connections: nothing to say about them."""


@contextmanager
def serving(script: Script) -> Iterator[ModelServer]:
    server = ModelServer(script)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


class Handler(BaseHTTPRequestHandler):
    server: ModelServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Silence: the tests look at `seen`."""

    def do_GET(self) -> None:
        self._json(404, {"error": {"message": "not found"}})

    def do_HEAD(self) -> None:
        self._json(200, {})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}"
        self.server.bodies.append(raw.decode())
        body = json.loads(raw)
        path = self.path.partition("?")[0]
        if path.endswith("/v1/messages"):
            self._answer(path, wires.anthropic_request(body), wires.anthropic_error)
        elif path.endswith("/responses"):
            self._answer(path, wires.responses_request(body), wires.openai_error)
        elif path.endswith("/chat/completions"):
            self._answer(path, wires.chat_request(body), wires.openai_error)
        elif path.endswith(("streamGenerateContent", ":generateContent")):
            self._answer(path, wires.gemini_request(body), wires.gemini_error)
        elif path.endswith(("count_tokens", "countTokens")):
            self._json(200, {"input_tokens": 10, "totalTokens": 10})
        else:
            self._json(404, {"error": {"message": f"no route {path}"}})

    def _answer(self, path: str, request: wires.Request, error: Any) -> None:
        found = find(self.server.script, request)
        failure = self.server.failure(path, found) if found else None
        if failure and failure.status != 200:
            self._json(failure.status, error(failure.status, failure.message), failure.headers)
            return
        if failure and failure.stall:
            self._stream([], finish=False)
            self.server.closing.wait()
            return
        step = found.step if found else Step(say="ok")
        call = wires.shell(request.tools, step.run) if step.run else step.tool
        if path.endswith(":generateContent"):
            self._json(200, wires.gemini_whole(step.say, call))
        elif path.endswith("/v1/messages") and not request.stream:
            self._json(200, wires.anthropic_whole(self.server.number(), step.say))
        else:
            chunks = reply(path, self.server.number(), step.say, call)
            cut = bool(failure and failure.cut)
            self._stream(chunks[: len(chunks) // 2] if cut else chunks, finish=not cut)

    def _json(self, status: int, body: Any, headers: Mapping[str, str] = {}) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {
            "content-type": "application/json",
            "content-length": str(len(raw)),
            **headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def _stream(self, chunks: list[bytes], finish: bool) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for chunk in chunks:
            self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
        if finish:
            self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()
        self.close_connection = not finish


def reply(path: str, number: int, text: str, call: wires.Call) -> list[bytes]:
    if path.endswith("/v1/messages"):
        return wires.anthropic_reply(number, text, call)
    if path.endswith("/responses"):
        return wires.responses_reply(number, text, call)
    if path.endswith("/chat/completions"):
        return wires.chat_reply(number, text, call)
    return wires.sse([(None, wires.gemini_whole(text, call))])
