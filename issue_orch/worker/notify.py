"""Notifications to the person: a command, the desktop, apprise addresses. What fails is returned, never raised."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from shutil import which
from typing import Literal, NamedTuple

from ..errors import Expected
from ..process.run import run
from ..text import one_line, redact, sanitise

TOKENS = ("ISSUE_ORCH_TOKEN", "GH_TOKEN", "GITHUB_TOKEN")  # a notifier has no use for them
OSASCRIPT = (
    "on run argv\ndisplay notification (item 2 of argv) with title (item 1 of argv)\nend run"
)


class Event(NamedTuple):
    """What a person should know. `text` is the question, the reason or the address, as the worker or GitHub gave it."""

    kind: Literal["stuck", "pull_ready", "crashed", "budget", "waiting"]
    issue: int
    title: str
    text: str
    url: str


WORDS = {
    "stuck": "needs a decision",
    "pull_ready": "has a pull to review",
    "crashed": "gave up",
    "budget": "is over budget",
    "waiting": "still waits for an answer",
}


def notify(
    event: Event,
    channels: Mapping[str, Sequence[str]],
    env: Mapping[str, str] | None = None,
    limit: float = 20.0,
) -> list[str]:
    """Send to the desktop and to `channels` ("command": argument list, "urls": apprise addresses).

    Returns what failed, fit to print. Command and desktop may take `limit` seconds each.
    """
    env = os.environ if env is None else env
    secrets = tuple(env[name] for name in TOKENS if env.get(name))
    safe = Event(
        event.kind, event.issue, *(redact(sanitise(part), secrets)[:4000] for part in event[2:])
    )
    child_env = {name: value for name, value in env.items() if name not in TOKENS}
    programs = [
        ("notify.command", list(channels.get("command") or ()), as_json(safe)),
        *desktop(safe, child_env),
    ]
    failures = [
        failure
        for name, argv, stdin in programs
        for failure in attempt(name, argv, child_env, stdin, limit)
    ]
    failures += by_urls(safe, channels.get("urls") or ())
    return [redact(sanitise(failure), secrets) for failure in failures]


def headline(event: Event) -> str:
    return f"#{event.issue} {WORDS[event.kind]}: {one_line(event.title, 80)}"


def body(event: Event) -> str:
    text = "" if event.text == event.url else one_line(event.text, 300)
    answer = f"issue-orch answer {event.issue}" if event.kind in ("stuck", "waiting") else ""
    return "\n".join(part for part in (text, answer, event.url) if part)


def as_json(event: Event) -> str:
    return json.dumps({**event._asdict(), "headline": headline(event)}) + "\n"


def desktop(
    event: Event, env: Mapping[str, str], platform: str = sys.platform
) -> Iterator[tuple[str, list[str], str]]:
    """The program that shows it, where there is a desktop: a server without one is no failure."""
    path = env.get("PATH")
    if platform == "darwin" and which("osascript", path=path):
        yield "desktop", ["osascript", "-e", OSASCRIPT, headline(event), body(event)], ""
    elif (env.get("DISPLAY") or env.get("WAYLAND_DISPLAY")) and which("notify-send", path=path):
        markup = body(event).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        yield "desktop", ["notify-send", "--app-name=issue-orch", "--", headline(event), markup], ""


def attempt(
    name: str, argv: list[str], env: Mapping[str, str], stdin: str, limit: float
) -> Iterator[str]:
    if not argv:
        return
    program = which(argv[0], path=env.get("PATH")) or argv[0]
    try:
        run(program, *argv[1:], env=env, stdin=stdin, timeout=limit)
    except Expected as error:
        yield f"{name}: {one_line(error.message, 300)}"
    except OSError as error:
        yield f"{name}: {argv[0]}: {error.strerror}"


def by_urls(event: Event, urls: Sequence[str]) -> Iterator[str]:
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
        elif not sender.notify(title=headline(event), body=body(event)):
            yield f"{name}: was not delivered"
