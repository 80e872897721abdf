"""`issue-orch watch`: the sessions of a clone on one screen, kept current from local files. Alone it loads textual."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Footer, Input, OptionList, RichLog, Static, TabbedContent, TabPane
from textual.widgets.option_list import Option

from ...actions import steer
from ...actions.context import open_context
from ...core.headline import place_in_list
from ...core.record import Question
from ...errors import Expected, Usage
from ...git.run import find_repo
from ...store.files import session_folder
from ...store.look import Seen, find_state, load_past, look_all
from ...terminal.session import session_lines
from ...terminal.sessions import is_link
from ...text import one_line
from .parts import (
    EMPTY,
    HELP,
    LOG_LINES,
    SHOWN,
    STYLES,
    AgentLog,
    Over,
    diff_lines,
    row_content,
    searched,
    top_content,
)

POLL = 0.5


# Keys, action, name in the footer (none: it is not there), what it is for.
KEYS = (
    ("a", "answer", "Answer", "answer its question, or tell the worker something"),
    ("p", "pause", "Pause", "let the current turn end, then hold"),
    ("r", "resume", "Resume", "go on after a pause, a stop, a crash"),
    ("s", "stop", "Stop", "end the worker; session and work stay"),
    ("o", "browse", "Open", "open the pull or the issue in the browser"),
    ("slash", "filter", "Filter", "show sessions by number, headline or title"),
    ("1", "tab('overview')", "", "question, plan, guidance, pull, timeline"),
    ("2,l", "tab('log')", "", "what the agent says and does, live"),
    ("3,d", "tab('diff')", "", "what the worktree has more than its base"),
    ("j,down", "move(1)", "", "the next session"),
    ("k,up", "move(-1)", "", "the previous session"),
    ("J,pagedown", "scroll(1)", "", "scroll down"),
    ("K,pageup", "scroll(-1)", "", "scroll up"),
    ("escape", "leave", "Back", "leave the answer or the filter"),
    ("question_mark", "help", "Help", "this list"),
    ("q,ctrl+c", "quit", "Quit", "leave; workers go on"),
)
NAMES = {"slash": "/", "question_mark": "?", "q,ctrl+c": "q"}
BOXES = ("answer", "filter")


def watch() -> int:
    state = find_state()
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise Usage("watch needs a terminal", "issue-orch status, or issue-orch status --watch")
    app = Watch(state, os.getcwd(), give)
    app.run()
    return 3 if app.return_code else 0


def give(number: int, text: str, question: Question | None) -> str:
    return steer.guide(open_context(), number, text, question=question)


class Watch(App[None]):
    """Lives until `q`. Everything slow runs in threads; what is shown comes from files alone."""

    CSS_PATH = "watch.tcss"
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]
    BINDINGS: ClassVar[
        list[BindingType]
    ] = [  # what opens a box has priority: what is typed next is for the box
        Binding(keys, action, label, bool(label), NAMES.get(keys), action in BOXES, tooltip=purpose)
        for keys, action, label, purpose in KEYS
    ]

    def __init__(
        self,
        state: Path,
        cwd: str,
        give: Callable[[int, str, Question | None], str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`give` delivers guidance and wakes the worker; it is called in a thread."""
        super().__init__()
        self.animation_level = "none"
        self.state, self.cwd, self.give, self.clock = state, cwd, give, clock
        self.rows: dict[int, Seen] = {}
        self.problems: list[str] = []
        self.order: list[int] = []
        self.selected = 0
        self.wanting: set[int] | None = None
        self.shown: object = None
        self.diffed: object = None
        self.top, self.facts = Static(id="top", markup=False), Static(id="facts", markup=False)
        hint = "filter: a number, a headline, a word of the title"
        self.filter_box = Input(id="filter", placeholder=hint, compact=True)
        self.sessions = OptionList(id="list", markup=False)
        self.tabs = TabbedContent(id="tabs")
        self.lines = AgentLog(id="lines", wrap=True, min_width=1, max_lines=LOG_LINES)
        self.changed = RichLog(id="changed", min_width=1, auto_scroll=False)
        self.answer_box = Input(id="answer")

    def compose(self) -> ComposeResult:
        yield self.top
        with Container(id="body"):
            with Vertical(id="left"):
                yield self.filter_box
                yield self.sessions
            with Vertical(id="right"):
                with self.tabs:
                    with TabPane("1 Overview", id="overview"), VerticalScroll():
                        yield self.facts
                    with TabPane("2 Log", id="log"):
                        yield self.lines
                    with TabPane("3 Diff", id="diff"):
                        yield self.changed
                yield self.answer_box
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        self.sessions.focus()
        self.set_interval(POLL, self.poll)

    def on_resize(self) -> None:
        self.call_after_refresh(self.poll)

    def poll(self) -> None:
        """Bring the screen up to date: the files of every session are read again."""
        found, problems = look_all(self.state, self.clock())
        self.rows = {seen.status["issueNumber"]: seen for seen in found}
        for problem in set(problems).difference(self.problems):
            self.say(problem, "error")
        self.problems = problems
        wanting = {number for number, seen in self.rows.items() if seen.headline.needs_you}
        for number in sorted(wanting - self.wanting) if self.wanting is not None else ():
            self.bell()
            head = self.rows[number].headline
            self.say(f"#{number} {head.label}: {one_line(head.why, 200)}".rstrip(": "), "warning")
        self.wanting = wanting
        self.show_list()
        self.show_detail()

    def show_list(self) -> None:
        word, widget = self.filter_box.value.casefold(), self.sessions
        seen = {number: each for number, each in self.rows.items() if word in searched(each)}
        order = sorted(seen, key=lambda at: place_in_list(seen[at].status, seen[at].headline))
        labels = max((len(each.headline.label) for each in seen.values()), default=0)
        room = max(20, widget.scrollable_content_region.width - 1)
        prompts = [row_content(seen[number], labels, room) for number in order]
        if order != self.order:
            self.order = order
            if self.selected not in seen:
                self.selected = order[0] if order else 0
            with self.prevent(OptionList.OptionHighlighted):
                widget.set_options(map(Option, prompts, map(str, order)))
                widget.highlighted = order.index(self.selected) if order else None
        for place, prompt in enumerate(prompts):
            if widget.get_option_at_index(place).prompt != prompt:
                widget.replace_option_prompt_at_index(place, prompt)
        repos = [each.status["repo"] for each in self.rows.values()]
        name = repos[0] if repos else self.state.parent.parent.name
        counts = (len(self.rows), len(seen), len(self.wanting or ()))
        self.top.update(top_content(name, *counts, word, self.size.width))

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        if event.option_id is not None and int(event.option_id) != self.selected:
            self.selected = int(event.option_id)
            self.answer_box.value = ""
            self.show_detail()

    def on_option_list_option_selected(self) -> None:
        self.action_answer()

    def on_tabbed_content_tab_activated(self) -> None:
        self.show_detail()

    def chosen(self) -> Seen | None:
        return self.rows.get(self.selected)

    def show_detail(self) -> None:
        row, box = self.chosen(), self.answer_box
        box.display = row is not None and (box.has_focus or bool(row.status["question"]))
        if row is None:
            self.shown = None
            self.facts.update("Nothing matches the filter." if self.rows else EMPTY)
            return
        number, question = row.status["issueNumber"], row.status["question"]
        count = len(question["options"]) if question else 0
        numbers = f"1-{count} or a text" if count > 1 else "a text"
        asked = f"answer #{number}: {numbers}, then Enter"
        box.placeholder = asked if question else f"tell the worker of #{number}"
        columns = max(30, self.tabs.content_region.width - 4)
        lines = session_lines(row, load_past(self.state, number), columns)
        if lines != self.shown:
            self.shown = lines
            styled = (Content.styled(text, STYLES[style]) for text, style in lines)
            self.facts.update(Content("\n").join(styled))
        if self.tabs.active == "log":
            log = session_folder(self.state, number) / "agent.log"
            self.lines.follow(log, row.status["agent"])
        elif self.tabs.active == "diff" and self.diffed != row.status:
            self.diffed = row.status
            self.run_worker(lambda: self.find_diff(row), thread=True, exclusive=True, group="diff")

    def find_diff(self, row: Seen) -> None:
        """In a thread: git may take a while."""
        try:
            lines = diff_lines(find_repo(self.cwd), row.status)
        except Expected as error:
            lines = [(one_line(error.message, 500), "red")]
        if self.is_running:
            self.call_from_thread(self.show_diff, row, lines)

    def show_diff(self, row: Seen, lines: list[tuple[str, str]]) -> None:
        if row.status["issueNumber"] == self.selected:
            self.changed.clear()
            for text, style in lines:
                self.changed.write(Text(text, style, no_wrap=True))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Back is for the boxes; what would be typed into one is not shown. None: shown, but something lies over it."""
        typing = isinstance(self.focused, Input)
        if action == "leave":
            return typing or self.filter_box.display
        return action not in BOXES or (not typing and (len(self.screen_stack) == 1 or None))

    def say(self, text: str, severity: str = "information") -> None:
        self.notify(text, severity=severity, markup=False, timeout=SHOWN[severity])  # type: ignore[arg-type]

    def act(self, do: Callable[[int], str]) -> None:
        """Run something for the chosen session in a thread, and say what became of it."""
        number = self.selected

        def work() -> None:
            try:
                said, severity = f"#{number}: {do(number)}", "information"
            except Expected as error:
                said, severity = one_line(f"{error.message}. Next: {error.hint}", 400), "error"
            if self.is_running:
                self.call_from_thread(self.say, said, severity)
                self.call_from_thread(self.poll)

        if number:
            self.run_worker(work, thread=True)

    def enter(self, box: Input) -> None:
        """The binding has priority, and the focus moves at once: what is typed next, however fast, is for the box."""
        box.display = True
        self.screen.set_focus(box)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        row, text = self.chosen(), event.value.strip()
        self.screen.set_focus(self.sessions)
        if event.input is self.filter_box or row is None or not text:
            return
        event.input.value = ""
        question = row.status["question"]
        self.act(lambda number: self.give(number, text, question))

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input is self.filter_box:
            self.poll()

    def action_answer(self) -> None:
        if self.chosen():
            self.enter(self.answer_box)

    def action_filter(self) -> None:
        self.enter(self.filter_box)

    def action_pause(self) -> None:
        self.act(partial(steer.pause, self.state))

    def action_resume(self) -> None:
        self.act(lambda number: steer.resume(open_context(), number))

    def action_stop(self) -> None:
        def stop(sure: bool | None) -> None:
            if sure:
                self.act(partial(steer.stop, self.state))

        if self.selected:
            words = f"Stop the worker of #{self.selected}?\n\ny  yes      n  no"
            self.push_screen(Over(words), stop)

    def action_browse(self) -> None:
        row = self.chosen()
        url = (row.status["pullRequestUrl"] or row.status["issueUrl"]) if row else ""
        if is_link(url):
            self.say(url)
            self.open_url(url)

    def action_tab(self, name: str) -> None:
        self.tabs.active = name

    def action_move(self, by: int) -> None:
        if self.order:
            place = (self.sessions.highlighted or 0) + by  # `selected` follows a moment later
            self.sessions.highlighted = min(max(place, 0), len(self.order) - 1)

    def action_scroll(self, by: int) -> None:
        if pane := self.tabs.active_pane:
            pane.query_children().first().scroll_relative(y=by * 10, animate=False)

    def action_leave(self) -> None:
        if not self.answer_box.has_focus:
            self.filter_box.value = ""
            self.filter_box.display = False
        self.sessions.focus()
        self.poll()

    def action_help(self) -> None:
        keys = (
            f"{NAMES.get(each) or each.replace(',', ', '):<14} {why}" for each, _, _, why in KEYS
        )
        self.push_screen(Over("\n".join([*keys, HELP])))
