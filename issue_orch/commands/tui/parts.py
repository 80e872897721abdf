"""Parts of `watch`: its lines, the agent's log, the diff, and the two screens that lie over it."""

from __future__ import annotations

import os
from pathlib import Path

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import RichLog, Static

from ...actions.launch import load_adapter
from ...core.record import SessionStatus
from ...git.run import Repo, entries, git
from ...git.snapshot import UNTRACKED
from ...git.trust import neutral
from ...store.files import read_untrusted, seconds
from ...store.log import LogReader
from ...store.look import Seen
from ...terminal.log import Rendering
from ...terminal.sessions import age, is_stale
from ...text import display_width, one_line, redact, sanitise

LOG_TAIL = 262_144
DIFF_LINES = 3000
NEW_FILE_BYTES = 20_000
LOG_LINES = 5_000
SHOWN = {"information": 5.0, "warning": 8.0, "error": 20.0}  # seconds
EMPTY = "No sessions yet.\n\nissue-orch spawn starts workers; they show up here as they come."
HELP = "\nWarm colours want you, cool ones wait.\nEverything here is a command too: issue-orch --help\nEscape closes this."
DIFF_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def diff_lines(repo: Repo, status: SessionStatus) -> list[tuple[str, str]]:
    """What the worktree has more than its base, with styles; files that git does not track yet at the end."""
    path, base = status["worktreePath"], status["baseSha"]
    settings = neutral(repo, path)
    quiet = (
        "--no-color",
        "--no-ext-diff",
        "--no-textconv",
        "--submodule=short",
        "--ignore-submodules=dirty",
    )
    text = git(
        repo, "diff", *quiet, "--stat", "--patch", base, "--", worktree=path, config=settings
    ).stdout
    lines = [
        (line, DIFF_STYLES.get(line[:1], "bold" if line.startswith("diff ") else ""))
        for line in shown(text)
    ]
    for name in entries(git(repo, *UNTRACKED, worktree=path, config=settings).stdout)[:50]:
        content = (read_untrusted(os.path.join(path, name), NEW_FILE_BYTES) or b"").decode(
            "utf-8", "replace"
        )
        lines += [("", ""), (f"new file, not added yet: {sanitise(name)}", "bold")]
        lines += [
            (f"+{line}", "green") for line in shown(content if "\0" not in content else "(binary)")
        ]
    return lines[:DIFF_LINES] or [("Nothing is changed yet.", "dim")]


def shown(text: str) -> list[str]:
    return [line.expandtabs(4) for line in sanitise(redact(text)).splitlines()[:DIFF_LINES]]


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


class AgentLog(RichLog):
    """What an agent says, read on as it grows. Shows one log at a time."""

    path: Path | None = None

    def follow(self, path: Path, agent: str) -> None:
        if path != self.path:
            self.path, self.reader = path, LogReader(path, LOG_TAIL)
            self.rendering = Rendering(load_adapter(agent).parse)
            self.clear()
        for raw, at in self.reader.read():
            for line in self.rendering.lines(raw, at):
                self.write(Text.assemble((f"{line.clock:8}  ", "dim"), (line.text, line.style)))


class Over(ModalScreen[bool]):
    """A text that lies over everything until a key closes it; y and Enter say yes to what it asks."""

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


def row_content(seen: Seen, labels: int, room: int) -> Content:
    """One line of the list: mark, number, headline, age, title."""
    status, head = seen.status, seen.headline
    start = f"{head.mark} #{status['issueNumber']:<4} {head.label:<{labels}}"
    since = f" {age(seen.now - seconds(status['startedAt'])):>4}  "
    title = one_line(status["issueTitle"], max(4, room - len(start) - len(since)))
    dim = STYLES["dim"]
    return Content.assemble(
        (start, STYLES[head.colour]), (since, dim), (title, dim if is_stale(seen) else "")
    )


def top_content(name: str, total: int, shown: int, wanting: int, word: str, width: int) -> Content:
    """The first line: whose sessions, how many, how many of them match the filter, and how many need you."""
    counted = f"{total} session{'s' * (total != 1)}" + (
        f", {shown} match “{one_line(word, 20)}”" if word else ""
    )
    needs = f"{wanting} need{'s' * (wanting == 1)} you" if wanting else "nothing needs you"
    title, right = f" issue-orch  {one_line(name, 40)}", f"{counted}, {needs} "
    gap = " " * max(2, width - display_width(title) - display_width(right))
    return Content.assemble(title, gap, (right, STYLES["yellow" if wanting else "dim"]))
