"""The chosen session in `watch`: overview, the agent's log, the diff of its worktree, why it has its headline."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.widgets import RichLog, Static, TabbedContent, TabPane

from ...actions.launch import load_adapter
from ...core.record import SessionStatus
from ...errors import Expected, of_system
from ...git.run import Repo, entries, find_repo, git
from ...git.snapshot import UNTRACKED
from ...git.trust import neutral
from ...store.files import read_untrusted, session_folder
from ...store.log import LogReader
from ...store.look import Seen, load_past
from ...terminal.explain import explain_lines
from ...terminal.log import Rendering
from ...terminal.session import session_lines
from ...terminal.sessions import Line
from ...text import one_line, redact, sanitise
from ..explain import find_reasons
from .parts import STYLES

_LOG_TAIL = 262_144
_DIFF_LINES = 3000
_NEW_FILE_BYTES = 20_000
_LOG_LINES = 5_000
_DIFF_STYLES = {"+": "green", "-": "red", "@": "cyan"}
TABS = {"overview": "v Overview", "log": "l Log", "diff": "d Diff", "why": "w Why"}


class Lines(RichLog):
    """Lines that are written when their pane has its width, and anew when it has another."""

    def __init__(self, id: str, wrap: bool = False) -> None:
        super().__init__(id=id, wrap=wrap, auto_scroll=wrap, max_lines=_LOG_LINES)
        self.kept: deque[Text] = deque(maxlen=_LOG_LINES)
        self.waiting: list[Text] = []
        self.columns = 0

    def put(self, *lines: Text) -> None:
        """Also without any: a pane that was hidden is not told of every new width."""
        self.kept.extend(lines)
        self.waiting.extend(lines)
        self.flow()

    def empty(self) -> None:
        self.kept.clear()
        self.waiting.clear()
        self.clear()

    def on_resize(self, event: Resize) -> None:
        self.flow()

    def flow(self) -> None:
        columns = self.size.width - 1  # whether the scrollbar is there or not
        if columns < 1:
            return
        if columns != self.columns:
            self.columns, self.waiting = columns, [*self.kept]
            self.clear()
        for line in self.waiting:
            self.write(line, width=columns if self.wrap else None, shrink=False)
        self.waiting = []


class AgentLog(Lines):
    """What an agent says, read on as it grows. Shows one log at a time. Who scrolled up stays there."""

    path: Path | None = None

    def watch_scroll_y(self, old: float, new: float) -> None:
        super().watch_scroll_y(old, new)
        # What comes meanwhile moves the end away, and nobody scrolled.
        if self.is_vertical_scroll_end:
            self.auto_scroll = True
        elif new < old:
            self.auto_scroll = False

    def follow(self, path: Path, agent: str) -> None:
        if path != self.path:
            self.path, self.reader = path, LogReader(path, _LOG_TAIL)
            self.rendering = Rendering(load_adapter(agent).parse)
            self.empty()
        lines = [line for raw, at in self.reader.read() for line in self.rendering.lines(raw, at)]
        self.put(
            *(
                Text.assemble((f"{line.clock:8}  ", "dim"), (line.text, line.style))
                for line in lines
            )
        )


class Detail(Vertical):
    """Its tabs. What is slow runs in threads, and only for the tab that is shown."""

    def __init__(self, state: Path, cwd: str, clock: Callable[[], float]) -> None:
        super().__init__(id="detail")
        self.state, self.cwd, self.clock = state, cwd, clock
        self.selected = 0
        self.shown: dict[str, object] = {}  # by tab, what it shows
        self.tabs = TabbedContent(id="tabs")
        self.facts, self.why = Static(id="facts", markup=False), Static(id="reasons", markup=False)
        self.lines, self.changed = AgentLog("lines", wrap=True), Lines("changed")

    def compose(self) -> ComposeResult:
        with self.tabs:
            with TabPane(TABS["overview"], id="overview"), VerticalScroll():
                yield self.facts
            with TabPane(TABS["log"], id="log"):
                yield self.lines
            with TabPane(TABS["diff"], id="diff"):
                yield self.changed
            with TabPane(TABS["why"], id="why"), VerticalScroll():
                yield self.why

    def show(self, row: Seen | None, instead: str) -> None:
        if row is None:
            self.shown, self.selected = {}, 0
            self.facts.update(instead)
            return
        self.selected = row.status["issueNumber"]
        columns = max(20, self.tabs.content_region.width - 4)
        lines = session_lines(row, load_past(self.state, self.selected), columns)
        if self._differs("overview", lines):
            self.facts.update(_styled(lines))
        if self.tabs.active == "log":
            log = session_folder(self.state, self.selected) / "agent.log"
            self.lines.follow(log, row.status["agent"])
        elif self.tabs.active == "diff":
            self.changed.put()
            if self._differs("diff", row.status):
                self._show_later("diff", partial(self._find_diff, row.status))
        elif self.tabs.active == "why" and self._differs("why", (row[:3], columns, row.now // 60)):
            self._show_later("why", partial(self._find_reasons, self.selected, columns))

    def _differs(self, tab: str, what: object) -> bool:
        before, self.shown[tab] = self.shown.get(tab), what
        return before != what

    def _show_later(self, tab: str, find: Callable[[], list[Line]]) -> None:
        """What is found in a thread; the newest search of a tab counts."""
        number = self.selected

        def work() -> None:
            try:
                lines = find()
            except (Expected, OSError) as error:
                lines = [(one_line(of_system(error).message, 500), "red")]
            if self.is_running:
                self.app.call_from_thread(show, lines)

        def show(lines: list[Line]) -> None:
            if number != self.selected:
                return
            if tab == "why":
                self.why.update(_styled(lines))
            else:
                self.changed.empty()
                self.changed.put(*(Text(text, style, no_wrap=True) for text, style in lines))

        self.run_worker(work, thread=True, exclusive=True, group=tab)

    def _find_diff(self, status: SessionStatus) -> list[Line]:
        return _diff_lines(find_repo(self.cwd), status)

    def _find_reasons(self, number: int, columns: int) -> list[Line]:
        now = self.clock()
        return explain_lines(find_reasons(self.state, number, now), now, columns)

    def turn(self) -> None:
        names = [*TABS]
        self.tabs.active = names[(names.index(self.tabs.active) + 1) % len(names)]

    def scroll_pane(self, by: int) -> None:
        if pane := self.tabs.active_pane:
            pane.query_children().first().scroll_relative(y=by * 10, animate=False)


def _styled(lines: list[Line]) -> Content:
    return Content("\n").join(Content.styled(text, STYLES[style]) for text, style in lines)


def _diff_lines(repo: Repo, status: SessionStatus) -> list[tuple[str, str]]:
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
        (line, _DIFF_STYLES.get(line[:1], "bold" if line.startswith("diff ") else ""))
        for line in _shown(text)
    ]
    for name in entries(git(repo, *UNTRACKED, worktree=path, config=settings).stdout)[:50]:
        content = (read_untrusted(os.path.join(path, name), _NEW_FILE_BYTES) or b"").decode(
            "utf-8", "replace"
        )
        lines += [("", ""), (f"new file, not added yet: {sanitise(name)}", "bold")]
        lines += [
            (f"+{line}", "green") for line in _shown(content if "\0" not in content else "(binary)")
        ]
    return lines[:_DIFF_LINES] or [("Nothing is changed yet.", "dim")]


def _shown(text: str) -> list[str]:
    return [line.expandtabs(4) for line in sanitise(redact(text)).splitlines()[:_DIFF_LINES]]
