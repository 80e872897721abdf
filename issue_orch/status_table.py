"""The table of a fleet: one line for each session, as many columns as the terminal has room for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .headline import next_command
from .local import Seen
from .status_text import age, checks_text, is_stale, link, paint
from .store import seconds
from .text import display_width, one_line

GAP = 2
SMALLEST = 16  # columns of a title or a reason below which it says nothing
HEADINGS = ("ISSUE", "HEADLINE", "TITLE", "WHY", "AGE", "FILES", "CHECKS", "COST", "NEXT")
DROPPED = ("COST", "CHECKS", "FILES", "AGE", "WHY", "NEXT")  # in this order when room is short


class Cell(NamedTuple):
    text: str
    style: str = ""
    url: str | None = None


Row = dict[str, Cell]


def table_text(sessions: Sequence[Seen], now: float, width: int, colour: bool) -> str:
    rows = [row_of(seen, now) for seen in sessions]
    filled = [name for name in HEADINGS if any(row[name].text for row in rows)]
    widths = {name: max(display_width(text) for text in (name, *(row[name].text for row in rows))) for name in filled}
    names, needed = fitting(filled, widths, width)
    share(names, widths, width)
    lines = ["  " + joined([Cell(name, "bold") for name in names], names, widths, colour)]
    for seen, row in zip(sessions, rows, strict=True):
        mark = paint(seen.headline.mark, seen.headline.colour, colour)
        lines.append(f"{mark} {joined([row[name] for name in names], names, widths, colour)}")
    return "\n".join([*lines, "", *footer(filled, names, needed, width), ""])


def row_of(seen: Seen, now: float) -> Row:
    status, head = seen.status, seen.headline
    changes, usd, stale = status["changes"], status["cost"]["usd"], "dim" * is_stale(seen)
    files = f"{changes['files']} (+{changes['insertions']} -{changes['deletions']})" if changes else ""
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
    verb, *words = next_command(seen.status, seen.headline.label).removeprefix("issue-orch ").split() or [""]
    if verb == "review" and url:
        return Cell(one_line(f"review #{url.rpartition('/')[2]}", SMALLEST), style, url)
    return Cell(" ".join([verb, *(word for word in words if word.startswith("-"))]), style)


def fitting(filled: Sequence[str], widths: dict[str, int], width: int) -> tuple[list[str], int]:
    """The columns that there is room for, and the width that all of them need."""
    least = {name: min(widths[name], SMALLEST) if name in {"TITLE", "WHY"} else widths[name] for name in filled}
    names = list(filled)

    def total() -> int:
        return sum(least[name] + GAP for name in names)  # the mark stands where the last gap would

    needed = total()
    for name in DROPPED:
        if total() > width and name in names:
            names.remove(name)
    return names, needed


def share(names: Sequence[str], widths: dict[str, int], width: int) -> None:
    """Divide what is left between title and reason; neither gets more than it can use."""
    room = width - sum(widths[name] + GAP for name in names if name not in {"TITLE", "WHY"})
    if "WHY" not in names:
        widths["TITLE"] = max(4, min(widths["TITLE"], room - GAP))
        return
    room -= 2 * GAP
    title, why = widths["TITLE"], widths["WHY"]
    if title + why > room:
        widths["TITLE"] = min(title, max(room - room // 2, room - why))
        widths["WHY"] = room - widths["TITLE"]


def joined(cells: Sequence[Cell], names: Sequence[str], widths: dict[str, int], colour: bool) -> str:
    parts = []
    for name, cell in zip(names, cells, strict=True):
        text = one_line(cell.text, widths[name])
        blank = "" if name == names[-1] else " " * (widths[name] - display_width(text))
        parts.append(paint(link(text, cell.url, colour), cell.style, colour) + blank)
    return (" " * GAP).join(parts).rstrip()


def footer(filled: Sequence[str], names: Sequence[str], needed: int, width: int) -> list[str]:
    hidden = [name for name in filled if name not in names]
    lines = []
    if hidden:
        what = f"{len(hidden)} column{'s' * (len(hidden) > 1)} hidden ({', '.join(hidden)})"
        lines.append(one_line(f"{what}: COLUMNS={needed} or --json shows all", width))
    return [*lines, one_line("Next: issue-orch NEXT ISSUE · all about one: issue-orch show ISSUE", width)]
