"""`issue-orch watch`: the sessions of a clone on one screen, kept current from local files. Alone it loads textual."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Vertical
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from ...core.headline import place_in_list
from ...core.record import Question, read_answer
from ...errors import Expected, Usage, of_system
from ...store.look import Seen, find_state, look_all
from ...terminal.sessions import is_link
from ...text import one_line, sanitise
from . import doing
from .detail import TABS, Detail
from .keys import AT_ONCE, bindings, foot_content, help_text
from .parts import SHOWN, Over, row_contents, searched, top_content

POLL = 0.5
EMPTY = "No sessions yet.\n\nissue-orch spawn starts workers; they show up here as they come."
YES_OR_NO = "y  yes      n  no"


def watch() -> int:
    state = find_state()
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise Usage("watch needs a terminal", "issue-orch status, or issue-orch status --watch")
    app = Watch(state, os.getcwd(), doing.give)
    app.run()
    return 3 if app.return_code else 0


class Watch(App[None]):
    """Lives until `q`. Everything slow runs in threads; what is shown comes from files alone."""

    CSS_PATH = "watch.tcss"
    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = "#list"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]
    BINDINGS: ClassVar[list[BindingType]] = bindings()

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
        self.wanting: set[int] | None = None
        self.answering: tuple[int, Question | None] = (0, None)  # for which the box is
        self.top, self.foot = Static(id="top", markup=False), Static(id="foot")
        hint = "filter: a number, a headline, a word of the title"
        self.filter_box = Input(id="filter", placeholder=hint, compact=True)
        self.spawn_box = Input(id="spawn", placeholder="start a worker for issue …", compact=True)
        self.sessions = OptionList(id="list", markup=False)
        self.detail = Detail(state, cwd, clock)
        self.tabs = self.detail.tabs
        self.answer_box = Input(id="answer")
        self.answer_box.display = False

    def compose(self) -> ComposeResult:
        yield self.top
        with Container(id="body"):
            with Vertical(id="left"):
                yield self.filter_box
                yield self.spawn_box
                yield self.sessions
            with Vertical(id="right"):
                yield self.detail
                yield self.answer_box
        yield self.foot

    def on_mount(self) -> None:
        self.poll()  # keys that were typed before this have something to move in
        self.set_interval(POLL, self.poll)

    def on_resize(self) -> None:
        self.call_after_refresh(self.poll)

    def poll(self) -> None:
        """Bring the screen up to date: the files of every session are read again."""
        found, problems = look_all(self.state, self.clock())
        found.sort(key=lambda seen: place_in_list(seen.status, seen.headline))
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
        self.show_foot()
        self.show_list()
        self.show_detail()

    def show_list(self) -> None:
        word, widget = self.filter_box.value.casefold(), self.sessions
        found = [each for each in self.rows.values() if word in searched(each)]
        order = [each.status["issueNumber"] for each in found]
        prompts = row_contents(found, max(20, widget.scrollable_content_region.width - 1))
        if order != self.order:
            selected, self.order = self.selected, order
            with self.prevent(OptionList.OptionHighlighted):
                widget.set_options(map(Option, prompts))
                place = order.index(selected) if selected in order else 0
                widget.highlighted = place if order else None
        for place, prompt in enumerate(prompts):
            if widget.get_option_at_index(place).prompt != prompt:
                widget.replace_option_prompt_at_index(place, prompt)
        every = [*self.rows.values()]
        name = every[0].status["repo"] if every else self.state.parent.parent.name
        self.top.update(top_content(name, every, len(found), word, self.size.width))

    def show_foot(self) -> None:
        self.foot.update(foot_content(self.size.width, isinstance(self.focused, Input)))

    on_descendant_focus = show_foot

    @property
    def selected(self) -> int:
        """The issue of the highlighted line; 0 when there is none."""
        place = self.sessions.highlighted
        return self.order[place] if place is not None and place < len(self.order) else 0

    def on_option_list_option_highlighted(self) -> None:
        self.show_detail()

    def on_option_list_option_selected(self) -> None:
        self.action_answer()

    def on_tabbed_content_tab_activated(self) -> None:
        self.show_detail()

    def chosen(self) -> Seen | None:
        return self.rows.get(self.selected)

    def show_detail(self) -> None:
        row, box = self.chosen(), self.answer_box
        box.display = box.has_focus or bool(row and row.status["question"])
        if row and not box.has_focus:
            self.aim(row)
        self.detail.show(row, "Nothing matches the filter." if self.rows else EMPTY)

    def aim(self, row: Seen) -> None:
        """What is typed is for this session, and for the question that was there when the typing began."""
        number, question = row.status["issueNumber"], row.status["question"]
        if number != self.answering[0]:
            self.answer_box.value = ""
        self.answering = number, question
        count = len(question["options"]) if question else 0
        numbers = f"1-{count} or a text" if count > 1 else "a text"
        asked = f"answer #{number}: {numbers}, then Enter"
        self.answer_box.placeholder = asked if question else f"tell the worker of #{number}"

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What opens a box is not for a box that is open, and nothing is for what lies under another screen."""
        typing, under = isinstance(self.focused, Input), len(self.screen_stack) > 1
        return not (action in AT_ONCE and (typing or under))

    def say(self, text: str, severity: str = "information") -> None:
        text = sanitise(text)[:400]
        self.notify(text, severity=severity, markup=False, timeout=SHOWN[severity])  # type: ignore[arg-type]

    def act(self, do: Callable[[], str]) -> None:
        """Do something in a thread, and say what became of it."""

        def work() -> None:
            try:
                said, severity = do(), "information"
            except (Expected, OSError) as error:
                said, severity = doing.in_words(of_system(error)), "error"
            if self.is_running:
                self.call_from_thread(self.say, said, severity)
                self.call_from_thread(self.poll)

        self.run_worker(work, thread=True)

    def tell(self, number: int, do: Callable[[int], str]) -> None:
        self.act(lambda: f"#{number}: {do(number)}")

    def leave_for(self, do: Callable[[App[None]], str]) -> None:
        """Another program gets the terminal until it ends."""
        try:
            self.say(do(self))
        except (Expected, OSError) as error:
            self.say(doing.in_words(of_system(error)), "error")
        self.refresh(layout=True)
        self.poll()

    def ask(self, question: str, default: bool) -> bool:
        """In a thread, which waits for the answer."""
        answer = Future[bool]()
        over = Over(f"{sanitise(question)}\n\n{YES_OR_NO}")
        self.call_from_thread(self.push_screen, over, lambda sure: answer.set_result(bool(sure)))
        return answer.result()

    def if_sure(self, words: str, do: Callable[[], None]) -> None:
        def done(sure: bool | None) -> None:
            if sure:
                do()

        self.push_screen(Over(f"{words}\n\n{YES_OR_NO}"), done)

    def enter(self, box: Input) -> None:
        """The binding has priority, and the focus moves at once: what is typed next, however fast, is for the box."""
        box.display = True
        self.screen.set_focus(box)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        text, self.spawn_box.display = event.value.strip(), False
        self.screen.set_focus(self.sessions)
        if event.input is self.filter_box or not text:
            return
        event.input.value = ""
        if event.input is self.spawn_box:
            self.say(f"Starting {text} …")
            self.act(lambda: doing.start_worker(text, self.ask))
        elif self.answering[0]:
            number, question = self.answering
            self.tell(number, lambda number: self.give(number, text, question))

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input is self.filter_box:
            self.poll()

    def action_answer(self) -> None:
        if row := self.chosen():
            self.aim(row)
            self.enter(self.answer_box)

    def action_number(self, digit: int) -> None:
        """An option of the question where that is shown, else a tab."""
        row = self.chosen()
        question = row and row.status["question"]
        if not (row and question and question["options"] and self.tabs.active == "overview"):
            if digit <= len(TABS):
                self.tabs.active = [*TABS][digit - 1]
            return
        number = row.status["issueNumber"]
        try:
            option = one_line(read_answer(str(digit), question["options"]), 300)
        except ValueError as error:
            self.say(f"#{number}: {error}", "error")
            return
        give = partial(self.tell, number, lambda at: self.give(at, str(digit), question))
        self.if_sure(
            f"Answer #{number}: {one_line(question['decision'], 300)}\n\n{digit}) {option}", give
        )

    def action_question(self) -> None:
        """The next session with an open question, also one that the filter hides."""
        asking = [
            number
            for number, seen in self.rows.items()
            if seen.headline.label == "STUCK" and seen.status["question"]
        ]
        if not asking:
            self.say("No open questions.")
            return
        place = asking.index(self.selected) + 1 if self.selected in asking else 0
        number = asking[place % len(asking)]
        if number not in self.order:
            self.action_leave()
        self.tabs.active = "overview"
        self.sessions.highlighted = self.order.index(number)

    def action_box(self, name: str) -> None:
        self.enter(self.filter_box if name == "filter" else self.spawn_box)

    def action_steer(self, name: str) -> None:
        if number := self.selected:
            do, question = doing.STEERING[name]
            go = partial(self.tell, number, partial(do, self.state))
            if question:
                self.if_sure(question.format(number), go)
            else:
                go()

    def action_prune(self) -> None:
        if row := self.chosen():
            number, label = row.status["issueNumber"], row.headline.label
            words = f"Prune #{number} ({label})? Its worktree goes, if it is safe on the remote."
            self.if_sure(words, partial(self.act, partial(doing.prune_session, number, label)))

    def action_attach(self) -> None:
        if number := self.selected:
            self.leave_for(partial(doing.attach_by_hand, number=number))

    def action_edit(self) -> None:
        if number := self.selected:
            self.leave_for(partial(doing.edit, number=number))

    def action_browse(self) -> None:
        row = self.chosen()
        url = (row.status["pullRequestUrl"] or row.status["issueUrl"]) if row else ""
        if is_link(url):
            self.say(url)
            self.run_worker(partial(doing.browse, url), thread=True, exit_on_error=False)

    def action_tab(self, name: str) -> None:
        self.tabs.active = name

    def action_turn(self) -> None:
        self.detail.turn()

    def action_scroll(self, by: int) -> None:
        self.detail.scroll_pane(by)

    def action_move(self, by: int) -> None:
        if not self.order:
            self.poll()  # typed before anything was shown
        if self.order:
            place = (self.sessions.highlighted or 0) + by
            self.sessions.highlighted = min(max(place, 0), len(self.order) - 1)

    def action_leave(self) -> None:
        """Out of a box; where none is open, the filter is emptied and messages go."""
        if self.focused is not self.answer_box:
            for box in (self.filter_box, self.spawn_box):
                box.value, box.display = "", False
        if not isinstance(self.focused, Input):
            self.clear_notifications()
            self.screen.query("ToastHolder").remove()  # which would keep their place
        self.sessions.focus()
        self.poll()

    def action_help(self) -> None:
        self.push_screen(Over(help_text()))
