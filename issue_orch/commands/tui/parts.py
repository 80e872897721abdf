"""Parts of `watch`: the first line, the lines of the list, and what lies over them."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from ...store.files import seconds
from ...store.look import Seen
from ...terminal.sessions import age, is_stale
from ...text import display_width, one_line

SHOWN = {"information": 5.0, "warning": 8.0, "error": 20.0}  # seconds


STYLES = {
    "red": "$text-error",
    "yellow": "$text-warning",
    "green": "$text-success",
    "cyan": "$text-primary",
    "blue": "$text-secondary",
    "dim": "$foreground-muted",
    "bold": "bold",
    "": "",
}


class Over(ModalScreen[bool]):
    """A text that lies over everything until a key closes it; y and Enter say yes to what it asks."""

    AUTO_FOCUS = "VerticalScroll"
    BINDINGS = [
        ("y,enter", "dismiss(True)", "Yes"),
        ("n,escape,q,question_mark", "dismiss(False)", "No"),
    ]

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="over"):
            yield Static(self.text, markup=False)


def searched(seen: Seen) -> str:
    return f"#{seen.status['issueNumber']} {seen.headline.label} {seen.status['issueTitle']}".casefold()


def cost_text(usd: float | None) -> str:
    """What nobody knows is said, never shown as nothing."""
    return "$?" if usd is None else f"${usd:.2f}" if usd else ""


def row_contents(sights: Sequence[Seen], room: int) -> list[Content]:
    """A line for each: mark, number, headline, and where the title keeps room enough, age and cost."""
    starts = [f"{each.headline.mark} #{each.status['issueNumber']:<4}" for each in sights]
    labels = [each.headline.label for each in sights]
    ages = [age(each.now - seconds(each.status["startedAt"])) for each in sights]
    costs = [cost_text(each.status["cost"]["usd"]) for each in sights]
    left = room - sum(_widest(texts) + 1 for texts in (starts, labels))
    columns = []
    for texts, least in ((ages, 12), (costs, 20)):
        taken = _widest(texts) + 2
        if taken > 2 and left - taken >= least:
            left -= taken
            columns.append([f"  {text:>{taken - 2}}" for text in texts])
    rows = []
    for at, each in enumerate(sights):
        start = f"{starts[at]:<{_widest(starts)}} {labels[at]:<{_widest(labels)}}"
        facts = "".join(texts[at] for texts in columns)
        title = one_line(each.status["issueTitle"], max(4, left - 2))
        dim = STYLES["dim"]
        rows.append(
            Content.assemble(
                (start, STYLES[each.headline.colour]),
                (f"{facts}  ", dim),
                (title, dim if is_stale(each) else ""),
            )
        )
    return rows


def _widest(texts: Sequence[str]) -> int:
    return max(map(len, texts), default=0)


def top_content(name: str, sights: Sequence[Seen], shown: int, word: str, width: int) -> Content:
    """The first line, as much of it as has room whole: whose sessions, how many, how many match, need you, their cost."""
    total, wanting = len(sights), sum(each.headline.needs_you for each in sights)
    counted = f"{total} session{'s' * (total != 1)}"
    matches = f", {shown} match “{one_line(word, 20)}”" if word else ""
    needs = f", {wanting} need{'s' * (wanting == 1)} you" if wanting else ", nothing needs you"
    known = [each.status["cost"]["usd"] for each in sights]
    spent = sum(usd or 0 for usd in known)
    costs = [f"${spent:.2f}"] * bool(spent) + ["$?"] * (None in known)
    cost = f", {' + '.join(costs)}" if costs else ""
    name = one_line(name, 40)
    lines = (
        (f"issue-orch  {name}", f"{counted}{matches}{needs}{cost}"),
        (name, f"{counted}{matches}{needs}{cost}"),
        (name, f"{counted}{matches}{needs}"),
        ("", f"{counted}{matches}{needs}"),
        ("", f"{matches or needs}"[2:]),
    )
    fits = ((left, right) for left, right in lines if _room(left, right, width) >= 0)
    left, right = next(fits, ("", ""))
    gap = " " * (_room(left, right, width) + 2)
    return Content.assemble(f" {left}", gap, (f"{right} ", STYLES["yellow" if wanting else "dim"]))


def _room(left: str, right: str, width: int) -> int:
    return width - display_width(left) - display_width(right) - 4
