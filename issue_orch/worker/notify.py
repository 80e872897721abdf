"""Notifications to the person: a command, the desktop, apprise addresses. What fails is returned, never raised."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from shutil import which
from typing import Literal, NamedTuple

from ..errors import Expected
from ..process.run import run
from ..process.secret import TOKENS
from ..text import one_line, redact, sanitise

_OSASCRIPT = (
    "on run argv\ndisplay notification (item 2 of argv) with title (item 1 of argv)\nend run"
)


class Notice(NamedTuple):
    """What a person should know. `text` is the question, the reason or the address, as the worker or GitHub gave it."""

    kind: Literal["stuck", "pull_ready", "crashed", "budget", "waiting"]
    issue: int
    title: str
    text: str
    url: str


_WORDS = {
    "stuck": "needs a decision",
    "pull_ready": "has a pull to review",
    "crashed": "gave up",
    "budget": "is over budget",
    "waiting": "still waits for an answer",
}


def notify(
    notice: Notice,
    channels: Mapping[str, Sequence[str]],
    env: Mapping[str, str],
    limit: float = 20.0,
) -> list[str]:
    """Send to the desktop and to `channels` ("command": argument list, "urls": apprise addresses).

    Returns what failed, fit to print. Command and desktop may take `limit` seconds each.
    """
    secrets = tuple(env[name] for name in TOKENS if env.get(name))
    kind, issue, *texts = notice
    safe = Notice(kind, issue, *(redact(sanitise(text), secrets)[:4000] for text in texts))
    programs = [*desktop(safe, env)]
    if channels.get("command"):
        programs.insert(0, ("notify.command", channels["command"], _as_json(safe)))
    failures = []
    for name, argv, stdin in programs:
        try:
            run(*argv, env=env, stdin=stdin, timeout=limit)
        except Expected as error:
            failures.append(f"{name}: {one_line(error.message, 300)}")
    failures += _by_urls(safe, channels.get("urls", ()))
    return [redact(sanitise(failure), secrets) for failure in failures]


def headline(notice: Notice) -> str:
    return f"#{notice.issue} {_WORDS[notice.kind]}: {one_line(notice.title, 80)}"


def body(notice: Notice) -> str:
    text = "" if notice.text == notice.url else one_line(notice.text, 300)
    answer = f"issue-orch answer {notice.issue}" if notice.kind in ("stuck", "waiting") else ""
    return "\n".join(part for part in (text, answer, notice.url) if part)


def _as_json(notice: Notice) -> str:
    return json.dumps({**notice._asdict(), "headline": headline(notice)}) + "\n"


def desktop(
    notice: Notice, env: Mapping[str, str], platform: str = sys.platform
) -> Iterator[tuple[str, Sequence[str], str]]:
    """The program that shows it, where there is a desktop: a server without one is no failure."""
    path = env.get("PATH")
    if platform == "darwin" and which("osascript", path=path):
        yield "desktop", ["osascript", "-e", _OSASCRIPT, headline(notice), body(notice)], ""
    elif (env.get("DISPLAY") or env.get("WAYLAND_DISPLAY")) and which("notify-send", path=path):
        words = headline(notice), escape(body(notice), quote=False)
        yield "desktop", ["notify-send", "--app-name=issue-orch", "--", *words], ""


def _by_urls(notice: Notice, urls: Sequence[str]) -> Iterator[str]:
    """Failures name an address by its position and scheme alone: the rest of it is usually a secret."""
    if not urls:
        return
    try:
        import logging

        import apprise
    except ImportError:
        yield "notify.urls: the extra is not installed: pip install 'issue-orch[notify]'"
        return
    logging.getLogger("apprise").setLevel(
        logging.CRITICAL + 1
    )  # it prints addresses, which hold secrets
    for position, url in enumerate(urls, 1):
        sender = apprise.Apprise()
        name = f"notify.urls {position} ({url.partition('://')[0][:20] if '://' in url else 'no address'})"
        if not sender.add(url):
            yield f"{name}: not an address that apprise knows"
        elif not sender.notify(title=headline(notice), body=body(notice)):
            yield f"{name}: was not delivered"
