"""Sessions as text for a terminal. Pure: width and colour are arguments, everything from outside is sanitised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..core.headline import next_command, pull_notes
from ..store.files import seconds
from ..store.look import Seen
from ..text import display_width, one_line

CODES = {
    "red": "31",
    "yellow": "33",
    "green": "32",
    "cyan": "36",
    "blue": "34",
    "dim": "2",
    "bold": "1",
}
TABLE_FROM = 10
STALE_AFTER = 900.0  # seconds after which facts of a pull are shown with their age
OVER = {"MERGED", "CANCELLED"}
RUNNING = {"STARTING", "PLANNING", "WORKING"}

GAP = 2
SMALLEST = 16  # columns of a title or a reason below which it says nothing
HEADINGS = ("ISSUE", "HEADLINE", "TITLE", "WHY", "AGE", "FILES", "CHECKS", "COST", "NEXT")
FLEXIBLE = {"TITLE", "WHY"}
DROPPED = ("COST", "CHECKS", "FILES", "AGE", "WHY", "NEXT")  # in this order when room is short


def paint(text: str, colour: str, on: bool) -> str:
    return f"\x1b[{CODES[colour]}m{text}\x1b[0m" if on and colour and text else text


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
    """Those that need you first, then by number: a list for a few sessions, a table from ten on."""
    if not sessions:
        return "No active sessions.\n  issue-orch plan shows what is ready; issue-orch spawn starts it.\n"
    ordered = sorted(
        sessions, key=lambda seen: (not seen.headline.needs_you, seen.status["issueNumber"])
    )
    needed = sum(seen.headline.needs_you for seen in ordered)
    wanted = f", {needed} need{'s' * (needed == 1)} you" if needed and len(ordered) > 1 else ""
    title = f"Active Sessions ({len(ordered)}){wanted}:\n\n"
    if len(ordered) >= TABLE_FROM:
        return title + table_text(ordered, now, width, colour)
    return title + "\n".join(session_text(seen, now, width, colour) for seen in ordered)


def session_text(seen: Seen, now: float, width: int, colour: bool) -> str:
    status, head = seen.status, seen.headline
    since = (
        f" ({age(now - seconds(status['startedAt']))})" if status["status"] != "complete" else ""
    )
    start = f"[{head.mark}] #{status['issueNumber']} - {head.label}{since} - "
    title = paint(
        one_line(status["issueTitle"], max(20, width - len(start))), "dim" * is_stale(seen), colour
    )
    number = link(f"#{status['issueNumber']}", status["issueUrl"], colour)
    mark, label = (paint(text, head.colour, colour) for text in (f"[{head.mark}]", head.label))
    lines = [f"{mark} {number} - {label}{since} - {title}"]
    for text, style in details(seen, now, width - 4):
        shown = link(text, status["pullRequestUrl"], colour) if text.startswith("PR: ") else text
        lines.append("    " + paint(shown, style, colour))
    return "\n".join([*lines, ""])


def is_stale(seen: Seen) -> bool:
    """What is shown may be long past: a worker without heartbeat, or a session that is over."""
    return seen.headline.label == "QUIET" or seen.headline.label in OVER


def details(seen: Seen, now: float, width: int) -> Iterator[tuple[str, str]]:
    """The lines below the headline, each with its style."""
    status, label, why = seen.status, seen.headline.label, seen.headline.why
    question = status["question"]
    if label == "STUCK" and question:
        yield one_line(f"Decision: {question['decision']}", width), ""
        options = "  ".join(f"{at}) {text}" for at, text in enumerate(question["options"], 1))
        if options:
            yield one_line(f"Options: {options}", width), ""
    elif label in RUNNING and why:
        yield one_line(why, width), "dim"
    elif (why and status["status"] != "complete") or label == "PUBLISH PENDING":
        yield one_line(f"Reason: {why}", width), ""
    yield from work_lines(seen, now, width)
    following = next_command(status, label)
    if following and not following.startswith("review "):
        yield following, "bold"


def work_lines(seen: Seen, now: float, width: int) -> Iterator[tuple[str, str]]:
    """What the session has done so far, and how its pull stands."""
    status, label, over = seen.status, seen.headline.label, seen.headline.label in OVER
    changes = status["changes"]
    if changes and changes["files"] and not over:
        lines = f"(+{changes['insertions']}, -{changes['deletions']})"
        yield f"Files changed: {changes['files']} {lines}", ""
    if status["cost"]["usd"]:
        yield f"Cost: ${status['cost']['usd']:.2f}", ""
    if status["pullRequestUrl"]:
        if not over and label != "CLOSED":
            checks, old = checks_text(seen, now)
            yield one_line(f"Checks: {checks or 'not looked at'}", width), "dim" * old
            for note in filter(None, pull_notes(seen.pull or {})):
                yield one_line(f"Note: {note}", width), ""
        yield one_line(f"PR: {status['pullRequestUrl']}", 10_000), ""
    for clash in () if over else seen.clashes:
        yield one_line(f"Conflicts, as last looked at, with {clash}", width), ""


def rate_text(rate: Mapping[str, Any], now: float) -> str:
    """state/rate.json in words: what the last poll cost, and what is left."""
    if not rate:
        return "GitHub: not asked yet by run or status --fetch."
    left = (
        ""
        if rate["remaining"] is None
        else f"; {rate['remaining']} of {rate['limit']} requests left this hour"
    )
    asked = f"{rate['requests']} requests, {rate['not_modified']} of them unchanged and free"
    return f"GitHub, {age(now - seconds(rate['at']))} ago: {asked}{left}"


def checks_text(seen: Seen, now: float, names: int = 3) -> tuple[str, bool]:
    """Checks, review and conflict of the pull as far as they are known, and whether that was long ago."""
    pull = seen.pull or {}
    words = [str(pull.get("checks") or "")]
    failing = [str(check.get("name")) for check in pull.get("failingChecks", [])[:names]]
    if words[0] == "failing" and failing:
        words[0] += f" ({', '.join(failing)})"
    review = str(pull.get("review")).replace("_", " ")
    if review not in {"None", "none", "unavailable"}:
        words.append("review required" if review == "required" else review)
    if pull.get("mergeable") is False:
        words.append("conflict")
    text = ", ".join(word for word in words if word)
    past = now - seconds(pull.get("fetchedAt") or "")
    old = bool(text) and past > STALE_AFTER
    return f"{text} ({age(past)} ago)" if old else text, old


# -- from ten sessions on: a line for each, and as many columns as the terminal has room for


class Cell(NamedTuple):
    text: str
    style: str = ""
    url: str | None = None


Row = dict[str, Cell]


def table_text(sessions: Sequence[Seen], now: float, width: int, colour: bool) -> str:
    rows = [row_of(seen, now) for seen in sessions]
    filled = [name for name in HEADINGS if any(row[name].text for row in rows)]
    widths = {
        name: max(display_width(text) for text in (name, *(row[name].text for row in rows)))
        for name in filled
    }
    # The mark stands where the last gap would be.
    least = {
        name: GAP + (min(widths[name], SMALLEST) if name in FLEXIBLE else widths[name])
        for name in filled
    }
    names = list(filled)
    for name in DROPPED:
        if name in names and sum(least[each] for each in names) > width:
            names.remove(name)
    share(names, widths, width)
    heading = {name: Cell(name, "bold") for name in names}
    lines = ["  " + joined(heading, names, widths, colour)]
    for seen, row in zip(sessions, rows, strict=True):
        mark = paint(seen.headline.mark, seen.headline.colour, colour)
        lines.append(f"{mark} {joined(row, names, widths, colour)}")
    lines.append("")
    if hidden := [name for name in filled if name not in names]:
        what = f"{len(hidden)} column{'s' * (len(hidden) > 1)} hidden ({', '.join(hidden)})"
        lines.append(one_line(f"{what}: COLUMNS={sum(least.values())} or --json shows all", width))
    lines.append(
        one_line("Next: issue-orch NEXT ISSUE · all about one: issue-orch show ISSUE", width)
    )
    return "\n".join([*lines, ""])


def row_of(seen: Seen, now: float) -> Row:
    status, head = seen.status, seen.headline
    changes, usd, stale = status["changes"], status["cost"]["usd"], "dim" * is_stale(seen)
    files = (
        f"{changes['files']} (+{changes['insertions']} -{changes['deletions']})" if changes else ""
    )
    checks, old = checks_text(seen, now, names=0)
    return {
        "ISSUE": Cell(f"#{status['issueNumber']}", stale, status["issueUrl"]),
        "HEADLINE": Cell(head.label, head.colour),
        "TITLE": Cell(one_line(status["issueTitle"], 60), stale),
        "WHY": Cell(one_line(head.why, 60), stale or "dim" * (not head.needs_you)),
        "AGE": Cell(age(now - seconds(status["startedAt"])), stale),
        "FILES": Cell(files, stale),
        "CHECKS": Cell(one_line(checks, 40), "dim" * (old or bool(stale))),
        "COST": Cell(f"${usd:.2f}" if usd else "", stale),
        "NEXT": following(seen),
    }


def following(seen: Seen) -> Cell:
    """The next command without its first and last word; for a review the number of the pull, linked."""
    url, style = seen.status["pullRequestUrl"], "bold" * seen.headline.needs_you
    verb, *words = next_command(seen.status, seen.headline.label).removeprefix(
        "issue-orch "
    ).split() or [""]
    if verb == "review" and url:
        return Cell(one_line(f"review #{url.rpartition('/')[2]}", SMALLEST), style, url)
    return Cell(" ".join([verb, *(word for word in words if word.startswith("-"))]), style)


def share(names: Sequence[str], widths: dict[str, int], width: int) -> None:
    """Divide what is left between title and reason; neither gets more than it can use."""
    room = width - sum(GAP + (0 if name in FLEXIBLE else widths[name]) for name in names)
    narrow_first = sorted(FLEXIBLE.intersection(names), key=lambda name: widths[name])
    for place, name in enumerate(narrow_first):
        widths[name] = max(4, min(widths[name], room // (len(narrow_first) - place)))
        room -= widths[name]


def joined(row: Row, names: Sequence[str], widths: dict[str, int], colour: bool) -> str:
    parts = []
    for name in names:
        text, style, url = row[name]
        text = one_line(text, widths[name])
        blank = "" if name == names[-1] else " " * (widths[name] - display_width(text))
        parts.append(paint(link(text, url, colour), style, colour) + blank)
    return (" " * GAP).join(parts).rstrip()
