"""Notifications reach a real command, a desktop and an HTTP server; what fails is said and never raised."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from issue_orch.worker.notify import Notice, body, desktop, headline, notify

EVENT = Notice("stuck", 7, "Export\x1b[2J", "Sliding or fixed?", "https://github.com/o/r/issues/7")
RECORD = '#!/bin/sh\nfor word in "$@"; do printf "%s\\n" "$word"; done > "$OUT"\ncat >> "$OUT"\nenv > "$OUT.env"\n'


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "bin").mkdir()
    return {
        "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
        "OUT": str(tmp_path / "out"),
        "HOME": str(tmp_path),
    }


def program(env: dict[str, str], name: str, text: str = RECORD) -> None:
    file = Path(env["PATH"].partition(":")[0], name)
    file.write_text(text)
    file.chmod(0o755)


def out(env: dict[str, str]) -> str:
    return Path(env["OUT"]).read_text()


def test_a_command_gets_json_and_no_token(env: dict[str, str]) -> None:
    program(env, "tell-me")
    token = "a-token-without-shape"
    event = EVENT._replace(text=f"{token} or ghp_{'a' * 36}?")
    assert notify(event, {"command": ["tell-me", "--json"]}, {**env, "GH_TOKEN": token}) == []
    first, words = out(env).splitlines()
    assert first == "--json" and json.loads(words) == {
        "kind": "stuck",
        "issue": 7,
        "title": "Export",
        "text": "[redacted] or [redacted]?",
        "url": EVENT.url,
        "headline": "#7 needs a decision: Export",
    }
    assert "GH_TOKEN" not in Path(env["OUT"] + ".env").read_text()


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["not-there"], "notify.command: not-there: not found"),
        (["/"], "notify.command: /: Permission denied"),
        (["fails"], "exit code 3: no [redacted] gone"),
    ],
)
def test_what_fails_is_said(env: dict[str, str], command: list[str], says: str) -> None:
    program(env, "fails", "#!/bin/sh\nprintf 'no the-token \\033[2Jgone' >&2\nexit 3\n")
    failures = notify(EVENT, {"command": command}, {**env, "ISSUE_ORCH_TOKEN": "the-token"})
    assert len(failures) == 1 and says in failures[0] and "\x1b" not in failures[0]


def test_a_command_that_hangs_is_ended(env: dict[str, str]) -> None:
    started = time.monotonic()
    assert "ran out of time" in notify(EVENT, {"command": ["sleep", "60"]}, env, limit=0.2)[0]
    assert time.monotonic() - started < 10


def test_the_desktop_where_there_is_one(env: dict[str, str]) -> None:
    program(env, "notify-send")
    assert notify(EVENT, {}, env) == [] and not Path(env["OUT"]).exists(), "no display"
    assert notify(EVENT._replace(text="<b>a & b</b>"), {}, {**env, "DISPLAY": ":0"}) == []
    assert out(env).splitlines() == [
        "--app-name=issue-orch",
        "--",
        "#7 needs a decision: Export",
        "&lt;b&gt;a &amp; b&lt;/b&gt;",
        "issue-orch answer 7",
        EVENT.url,
    ]


def test_the_desktop_of_macos_gets_text_as_arguments(env: dict[str, str]) -> None:
    program(env, "osascript")
    ((name, argv, _),) = desktop(EVENT._replace(text='" & do shell script "x'), env, "darwin")
    assert name == "desktop" and argv[:2] == ["osascript", "-e"] and "do shell" not in argv[2]
    assert argv[3] == headline(EVENT._replace(title="Export")) and argv[4].startswith(
        '" & do shell script "x\n'
    )


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("stuck", "#7 needs a decision: T"),
        ("pull_ready", "#7 has a pull to review: T"),
        ("crashed", "#7 gave up: T"),
        ("budget", "#7 is over budget: T"),
        ("waiting", "#7 still waits for an answer: T"),
    ],
)
def test_headlines(kind: str, says: str) -> None:
    event = Notice(kind, 7, "T", "https://p/9", "https://p/9")  # type: ignore[arg-type]
    assert headline(event) == says
    assert body(event).splitlines()[-1] == "https://p/9" and body(event).count("https") == 1
    assert ("issue-orch answer 7" in body(event)) == (kind in ("stuck", "waiting"))


class Receiver(BaseHTTPRequestHandler):
    received: list[dict[str, str]] = []

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append(json.loads(content))
        self.send_response(500 if self.path.startswith("/broken") else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    Receiver.received.clear()
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.filterwarnings(
    "ignore:'imghdr' is deprecated:DeprecationWarning"
)  # apprise imports it
def test_apprise_addresses(
    address: str, env: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("apprise", reason="the extra notify is not installed")
    urls = [
        f"json://{address}/good",
        f"json://user:hunter2@{address}/broken",
        "nonsense://hunter2",
        "hunter2",
    ]
    assert notify(EVENT, {"urls": urls}, env) == [
        "notify.urls 2 (json): was not delivered",
        "notify.urls 3 (nonsense): not an address that apprise knows",
        "notify.urls 4 (no address): not an address that apprise knows",
    ]
    assert [each["title"] for each in Receiver.received] == ["#7 needs a decision: Export"] * 2
    assert Receiver.received[0]["message"] == f"Sliding or fixed?\nissue-orch answer 7\n{EVENT.url}"
    assert "hunter2" not in "".join(capfd.readouterr())


def test_without_the_extra_it_says_what_to_install(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert notify(EVENT, {"urls": ["json://127.0.0.1:1"]}, env) == [
        "notify.urls: the extra is not installed: pip install 'issue-orch[notify]'"
    ]
