"""Sessions as text for a terminal. Pure: width and colour are arguments, everything from outside is sanitised."""

from __future__ import annotations

from collections.abc import Sequence

from .headline import next_command
from .local import Seen
from .store import seconds
from .text import one_line

CODES = {"red": "31", "yellow": "33", "green": "32", "cyan": "36", "blue": "34", "dim": "2"}


def paint(text: str, colour: str, on: bool) -> str:
    return f"\x1b[{CODES[colour]}m{text}\x1b[0m" if on else text


def link(text: str, url: str | None, on: bool) -> str:
    """An OSC 8 link; only for plain http(s) addresses."""
    if not on or not url or not url.startswith(("http://", "https://")) or not url.isprintable():
        return text
    return f"\x1b]8;;{url}\x1b\\{text}\x1b]8;;\x1b\\"


def age(seconds_: float) -> str:
    """Like 45m, 3h, 2d."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds_ >= size:
            return f"{int(seconds_ // size)}{unit}"
    return f"{max(0, int(seconds_))}s"


def status_text(sessions: Sequence[Seen], now: float, width: int, colour: bool) -> str:
    """The list: those that need you first, then by number."""
    if not sessions:
        return "No active sessions.\n  issue-orch plan shows what is ready; issue-orch spawn starts it.\n"
    ordered = sorted(sessions, key=lambda seen: (not seen.headline.needs_you, seen.status["issueNumber"]))
    blocks = [session_text(seen, now, width, colour) for seen in ordered]
    return f"Active Sessions ({len(sessions)}):\n\n" + "\n".join(blocks)


def session_text(seen: Seen, now: float, width: int, colour: bool) -> str:
    status, head = seen.status, seen.headline
    number = link(f"#{status['issueNumber']}", status["issueUrl"], colour)
    since = f" ({age(now - seconds(status['startedAt']))})" if status["status"] != "complete" else ""
    start = f"[{head.mark}] #{status['issueNumber']} - {head.label}{since} - "
    title = one_line(status["issueTitle"], max(20, width - len(start)))
    first = f"{paint(f'[{head.mark}]', head.colour, colour)} {number} - {paint(head.label, head.colour, colour)}{since} - {title}"
    return "\n".join([first, *(f"    {line}" for line in details(seen, width - 4, colour)), ""])


def details(seen: Seen, width: int, colour: bool) -> list[str]:
    status, label = seen.status, seen.headline.label
    lines = []
    question = status["question"]
    if label == "STUCK" and question:
        lines.append(one_line(f"Decision: {question['decision']}", width))
        if question["options"]:
            options = "  ".join(f"{number}) {text}" for number, text in enumerate(question["options"], 1))
            lines.append(one_line(f"Options: {options}", width))
    elif label == "STUCK" or (seen.headline.why and label not in {"PLANNING", "WORKING", "MERGED"}):
        lines.append(one_line(f"Reason: {seen.headline.why}", width))
    changes = status["changes"]
    if changes and changes["files"] and label not in {"MERGED", "CANCELLED"}:
        lines.append(f"Files changed: {changes['files']} (+{changes['insertions']}, -{changes['deletions']})")
    if label in {"PLANNING", "WORKING"} and seen.headline.why:
        lines.append(one_line(seen.headline.why, width))
    if status["cost"]["usd"]:
        lines.append(f"Cost: ${status['cost']['usd']:.2f}")
    if status["pullRequestUrl"]:
        lines.append(f"PR: {link(status['pullRequestUrl'], status['pullRequestUrl'], colour)}")
    following = next_command(status, label)
    if following and not following.startswith("review "):
        lines.append(following)
    return lines
