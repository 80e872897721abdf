"""Sessions as text for a terminal. Pure: width and colour are arguments, everything from outside is sanitised."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..core.headline import next_command, place_in_list, pull_notes
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


Line = tuple[str, str]  # text, and a style: a colour, bold, dim, or nothing
Lines = Iterator[Line]


def paint(text: str, colour: str, on: bool) -> str:
    return f"\x1b[{CODES[colour]}m{text}\x1b[0m" if on and colour and text else text


def is_link(url: str) -> bool:
    """Only what is a plain http(s) address becomes one."""
    return url.startswith(("http://", "https://")) and url.isprintable()


def link(text: str, url: str | None, on: bool) -> str:
    """An OSC 8 link."""
    return f"\x1b]8;;{url}\x1b\\{text}\x1b]8;;\x1b\\" if on and url and is_link(url) else text


def age(seconds_: float) -> str:
    """Like 45m, 3h, 2d."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds_ >= size:
            return f"{int(seconds_ // size)}{unit}"
    return f"{max(0, int(seconds_))}s"


def status_text(sessions: Sequence[Seen], width: int, colour: bool) -> str:
    """What needs you first: a list for a few sessions, a table from ten on."""
    if not sessions:
        return "No active sessions.\n  issue-orch plan shows what is ready; issue-orch spawn starts it.\n"
    ordered = sorted(sessions, key=lambda seen: place_in_list(seen.status, seen.headline))
    needed = sum(seen.headline.needs_you for seen in ordered)
    wanted = f", {needed} need{'s' * (needed == 1)} you" if needed and len(ordered) > 1 else ""
    lines = [f"Active Sessions ({len(ordered)}){wanted}:", ""]
    if len(ordered) < TABLE_FROM:
        lines += [line for seen in ordered for line in _session_lines(seen, width, colour)]
    else:
        lines += [*_table_lines(ordered, width, colour), ""]
    return "\n".join(lines)


def _session_lines(seen: Seen, width: int, colour: bool) -> Iterator[str]:
    status, head = seen.status, seen.headline
    mark, number, url = f"[{head.mark}]", f"#{status['issueNumber']}", status["pullRequestUrl"]
    lasted = age(seen.now - seconds(status["startedAt"]))
    since = f" ({lasted})" if status["status"] != "complete" else ""
    room = width - len(f"{mark} {number} - {head.label}{since} - ")
    title = paint(one_line(status["issueTitle"], max(20, room)), "dim" * is_stale(seen), colour)
    number = link(number, status["issueUrl"], colour)
    mark, label = (paint(text, head.colour, colour) for text in (mark, head.label))
    yield f"{mark} {number} - {label}{since} - {title}"
    for text, style in _details(seen, width - 4):
        shown = link(text, url, colour) if text.startswith("PR: ") else text
        yield f"    {paint(shown, style, colour)}"
    yield ""


def is_stale(seen: Seen) -> bool:
    """What is shown may be long past: a worker without heartbeat, or a session that is over."""
    return seen.headline.label == "QUIET" or seen.headline.label in OVER


def _details(seen: Seen, width: int) -> Lines:
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
        whole = label == "ELSEWHERE"  # a path that is cut off leads nowhere
        yield one_line(f"Reason: {why}", 500 if whole else width), ""
    yield from work_lines(seen, width)
    following = next_command(status, label)
    if following and " open " not in following:  # its address stands above
        yield following, "bold"


def work_lines(seen: Seen, width: int) -> Lines:
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
            checks, old = _checks_text(seen)
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


def _checks_text(seen: Seen, names: int = 3) -> tuple[str, bool]:
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
    text = ", ".join(filter(None, words))
    past = seen.now - seconds(pull.get("fetchedAt"))
    old = bool(text) and past > STALE_AFTER
    return f"{text} ({age(past)} ago)" if old else text, old


# -- from ten sessions on: a line for each, and as many columns as the terminal has room for


class _Cell(NamedTuple):
    text: str
    style: str = ""
    url: str | None = None


_Row = dict[str, _Cell]


def _table_lines(sessions: Sequence[Seen], width: int, colour: bool) -> Iterator[str]:
    rows = [_row(seen) for seen in sessions]
    heading = {name: _Cell(name, "bold") for name in HEADINGS}
    widths = {
        name: max(display_width(row[name].text) for row in (heading, *rows))
        for name in HEADINGS
        if any(row[name].text for row in rows)
    }
    # The mark stands where the last gap would be.
    least = {
        name: GAP + (min(needed, SMALLEST) if name in FLEXIBLE else needed)
        for name, needed in widths.items()
    }
    names = list(widths)
    for name in DROPPED:
        if name in names and sum(least[each] for each in names) > width:
            names.remove(name)
    _share(names, widths, width)
    yield f"  {_joined(heading, names, widths, colour)}"
    for seen, row in zip(sessions, rows, strict=True):
        mark = paint(seen.headline.mark, seen.headline.colour, colour)
        yield f"{mark} {_joined(row, names, widths, colour)}"
    yield ""
    if hidden := [name for name in widths if name not in names]:
        what = f"{len(hidden)} column{'s' * (len(hidden) > 1)} hidden ({', '.join(hidden)})"
        yield one_line(f"{what}: COLUMNS={sum(least.values())} or --json shows all", width)
    yield one_line(_hint(sessions), width)


def _row(seen: Seen) -> _Row:
    status, head, stale = seen.status, seen.headline, "dim" * is_stale(seen)
    changes, usd = status["changes"], status["cost"]["usd"]
    files = changes and f"{changes['files']} (+{changes['insertions']} -{changes['deletions']})"
    checks, old = _checks_text(seen, names=0)
    return {
        "ISSUE": _Cell(f"#{status['issueNumber']}", stale, status["issueUrl"]),
        "HEADLINE": _Cell(head.label, head.colour),
        "TITLE": _Cell(one_line(status["issueTitle"], 60), stale),
        "WHY": _Cell(one_line(head.why, 60), stale or "dim" * (not head.needs_you)),
        "AGE": _Cell(age(seen.now - seconds(status["startedAt"])), stale),
        "FILES": _Cell(files or "", stale),
        "CHECKS": _Cell(one_line(checks, 40), stale or "dim" * old),
        "COST": _Cell(f"${usd:.2f}" if usd else "", stale),
        "NEXT": _following(seen),
    }


def _following(seen: Seen) -> _Cell:
    """The verb of what is to be typed next, with its options; `open` is a link to the pull."""
    url, style = seen.status["pullRequestUrl"], "bold" * seen.headline.needs_you
    first, *_ = re.split("[,;] ", next_command(seen.status, seen.headline.label))
    verb, *words = first.removeprefix("issue-orch ").split() or [""]
    if not first.startswith("issue-orch "):  # git show, sign in
        return _Cell(" ".join([verb, *words[:1]]), style)
    options = [word for word in words if word.startswith("-")]
    return _Cell(" ".join([verb, *options]), style, url if verb == "open" else None)


def _hint(sessions: Sequence[Seen]) -> str:
    """What to type for the first that needs something; the column NEXT has the verbs of all."""
    for seen in sessions:
        command, number = (
            next_command(seen.status, seen.headline.label),
            seen.status["issueNumber"],
        )
        if command.startswith("issue-orch "):
            return f"Next: {command} · all about one: issue-orch show {number}"
    return f"All about one: issue-orch show {sessions[0].status['issueNumber']}"


def _share(names: Sequence[str], widths: dict[str, int], width: int) -> None:
    """Divide what is left between title and reason; neither gets more than it can use."""
    room = width - sum(GAP + (0 if name in FLEXIBLE else widths[name]) for name in names)
    narrow_first = sorted(FLEXIBLE.intersection(names), key=lambda name: widths[name])
    for place, name in enumerate(narrow_first):
        widths[name] = max(4, min(widths[name], room // (len(narrow_first) - place)))
        room -= widths[name]


def _joined(row: _Row, names: Sequence[str], widths: dict[str, int], colour: bool) -> str:
    """What follows the last column is cut off again."""
    parts = []
    for name in names:
        text, style, url = row[name]
        text = one_line(text, widths[name])
        blank = " " * (widths[name] - display_width(text))
        parts.append(paint(link(text, url, colour), style, colour) + blank)
    return (" " * GAP).join(parts).rstrip()
