"""`watch`: driven by its keys over files, and once over a real worker that gets stuck and goes on."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input, RichLog, Static, TabbedContent

from issue_orch.commands.tui.doing import give
from issue_orch.commands.tui.keys import KEYS, foot_content
from issue_orch.commands.tui.parts import row_contents, top_content
from issue_orch.commands.tui.watch import Watch
from issue_orch.store.files import archive, load_status, make_session, save_status, session_folder
from issue_orch.store.inbox import pending
from issue_orch.store.look import look_all
from issue_orch.terminal.sessions import status_text
from issue_orch.text import display_width
from tests.kit import screens, watch
from tests.kit.scene import ASK, Scene, make_scene
from tests.kit.watch import text_of

Play = Callable[[Watch, Pilot[None]], Coroutine[None, None, None]]


def picture(app: Watch) -> str:
    return text_of(app.export_screenshot())


async def until(pilot: Pilot[None], holds: Callable[[], bool], limit: float = 30.0) -> float:
    """Let the application run until something holds. Returns how long that took, in seconds."""
    start = time.monotonic()
    while not holds():
        assert time.monotonic() - start < limit, picture(pilot.app)  # type: ignore[arg-type]
        await pilot.pause(0.02)
    return time.monotonic() - start


@pytest.fixture
def played(tmp_path: Path) -> Callable[..., None]:
    """Plays over the scene that stands still."""

    def run(play: Play, size: tuple[int, int] = (80, 24)) -> None:
        async def whole() -> None:
            with ExitStack() as held:
                app = watch.watch(*watch.build(tmp_path, held))
                async with app.run_test(size=size, notifications=True) as pilot:
                    await pilot.pause()
                    await play(app, pilot)

        asyncio.run(whole())

    return run


PRESSED = {
    "first": [],
    "answer": ["a", "2"],
    "log": [*"jjjjjl"],
    "diff": [*"jjjjjd"],
    "help": ["question_mark"],
    "filter": ["slash", *"stuck"],
    "stop": ["s"],
}


PICTURES = [*((name, (80, 24)) for name in PRESSED), ("first", (120, 32)), ("diff", (120, 32))]


@pytest.mark.parametrize(("name", "size"), PICTURES)
def test_picture(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    """When a picture is meant to change: delete its file, run twice, and look at the difference."""
    with ExitStack() as held:
        text = text_of(asyncio.run(watch.draw(tmp_path, held, size, PRESSED[name])))
    file = screens.FOLDER / f"watch-{name}-{size[0]}.txt"
    if not file.exists():
        file.write_text(text)
        pytest.fail("written anew")
    assert text == file.read_text()


def test_the_picture_of_the_readme_is_what_the_program_draws(tmp_path: Path) -> None:
    """Else: scripts/picture."""
    root = Path(__file__).parents[2]
    argv = [sys.executable, root / "scripts" / "picture", tmp_path / "now.svg"]
    subprocess.run(argv, check=True, capture_output=True)
    assert text_of((tmp_path / "now.svg").read_text()) == text_of(
        (root / "docs" / "images" / "watch.svg").read_text()
    )


def test_without_colour_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    with ExitStack() as held:
        svg = asyncio.run(watch.draw(tmp_path, held, (80, 24), []))
    assert text_of(svg) == (screens.FOLDER / "watch-first-80.txt").read_text()
    colours = set(re.findall(r"-r\d+ { fill: #([0-9a-f]{6})", svg)) - {
        "c5c8c6"
    }  # the frame around the picture
    assert colours and all(colour[:2] == colour[2:4] == colour[4:] for colour in colours)


def test_a_change_of_a_file_is_seen_within_a_second(played: Callable[..., None]) -> None:
    async def play(app: Watch, pilot: Pilot[None]) -> None:
        status = load_status(app.state, 123)
        assert status is not None
        status["lastActivity"] = {"at": "", "text": "Edit: a/new/file.py"}
        await pilot.press(*"jjjjj")
        save_status(app.state, status)
        assert await until(pilot, lambda: "a/new/file.py" in picture(app)) < 1.0

    played(play, (120, 32))


def test_a_worker_that_dies_is_seen_though_no_file_changes(tmp_path: Path) -> None:
    async def whole() -> None:
        with ExitStack() as held:
            app = watch.watch(*watch.build(tmp_path, held))
            async with app.run_test(size=(80, 24)) as pilot:
                await until(pilot, lambda: "123  WORKING" in picture(app))
                held.close()
                await until(pilot, lambda: "123  CRASHED" in picture(app))

    asyncio.run(whole())


def test_a_session_that_cannot_be_read_is_said(played: Callable[..., None]) -> None:
    async def play(app: Watch, pilot: Pilot[None]) -> None:
        assert "cannot" not in picture(app)
        (session_folder(app.state, 125) / "status.json").write_text("{")
        await until(
            pilot, lambda: "cannot" in picture(app)
        )  # one word: where lines end hangs on the folder's name
        assert 125 not in app.order

    played(play, (120, 32))


def test_a_log_goes_on_while_it_is_shown(played: Callable[..., None]) -> None:
    async def play(app: Watch, pilot: Pilot[None]) -> None:
        await pilot.press(*"jjjjjl")
        await until(pilot, lambda: "pytest -q" in picture(app))
        with open(session_folder(app.state, 123) / "agent.log", "a") as log:
            log.write(
                '{"type":"assistant","message":{"content":[{"type":"text","text":"\\u001b[2J[b]more[/b]"}]}}\n'
            )
        await until(pilot, lambda: "[b]more[/b]" in picture(app), 2)
        await pilot.press("k")
        await until(pilot, lambda: "[b]more[/b]" not in picture(app), 2)

    played(play)


def test_a_number_in_the_box_is_given_on_as_it_is(played: Callable[..., None]) -> None:
    async def play(app: Watch, pilot: Pilot[None]) -> None:
        for key in ("a", "2", "enter"):  # typed faster than anything is handled
            app.post_message(Key(key, key if len(key) == 1 else None))
        await until(pilot, lambda: "got: 2" in picture(app))
        assert app.query_one("#answer", Input).value == ""
        assert app.focused is app.query_one("#list")

    played(play, (120, 32))


def test_keys_that_come_at_once_move_as_often(played: Callable[..., None]) -> None:
    async def play(app: Watch, pilot: Pilot[None]) -> None:
        for _ in range(3):
            app.post_message(Key("j", "j"))
        await until(pilot, lambda: app.selected == app.order[3])

    played(play)


def test_what_is_typed_for_one_session_never_reaches_another(played: Callable[..., None]) -> None:
    async def play(app: Watch, pilot: Pilot[None]) -> None:
        await pilot.press("a", *"for 124", "escape", "j")
        assert app.selected == app.order[1] and app.query_one("#answer", Input).value == ""

    played(play)


def test_pause_goes_into_the_inbox_and_stop_asks_first(played: Callable[..., None]) -> None:
    async def play(app: Watch, pilot: Pilot[None]) -> None:
        await pilot.press(*"jjjjj")
        await pilot.press("s", "n", "p")
        await until(pilot, lambda: "will pause" in picture(app))
        assert [message["kind"] for message in pending(app.state, 123)] == ["pause"]

    played(play)


def test_filter_and_back(played: Callable[..., None]) -> None:
    async def play(app: Watch, pilot: Pilot[None]) -> None:
        await pilot.press("slash", *"export", "enter")
        assert app.order == [123] and app.selected == 123
        await pilot.press("slash", *"zzz")
        await until(pilot, lambda: "Nothing matches" in picture(app))
        await pilot.press("escape")
        assert len(app.order) == 9
        await pilot.press("l")
        assert app.query_one(TabbedContent).active == "log"
        await pilot.press("q")
        assert app.return_code == 0

    played(play)


def test_sessions_that_come_and_go_keep_the_choice(played: Callable[..., None]) -> None:
    async def play(app: Watch, pilot: Pilot[None]) -> None:
        await pilot.press(*"jj")
        chosen = app.selected
        screens.write(
            app.state.parent,
            [(screens.session(1, "Before all", "stuck", question=screens.question("?")), None)],
        )
        await until(pilot, lambda: app.order[:1] == [1])
        assert app.selected == chosen
        assert app.query_one("#list").highlighted == app.order.index(chosen)  # type: ignore[attr-defined, arg-type]

    played(play)


def test_an_empty_clone_says_what_to_do(tmp_path: Path) -> None:
    async def whole() -> None:
        app = watch.watch(screens.write(tmp_path, []), tmp_path)
        async with app.run_test(size=(80, 24), notifications=True) as pilot:
            await pilot.pause()
            await pilot.press(*"aprsoj")
            assert "issue-orch spawn" in str(app.query_one("#facts", Static).render())

    asyncio.run(whole())


def test_sessions_stand_as_in_status(played: Callable[..., None]) -> None:
    async def play(app: Watch, pilot: Pilot[None]) -> None:
        printed = status_text(look_all(app.state, screens.NOW)[0], 80, False)
        assert app.order == [int(each) for each in re.findall(r"^\[.\] #(\d+)", printed, re.M)]

    played(play)


def test_an_option_is_given_by_its_number_once_it_is_confirmed(played: Callable[..., None]) -> None:
    async def play(app: Watch, pilot: Pilot[None]) -> None:
        await pilot.press("2")
        await until(pilot, lambda: "2) fixed expiration" in text_of_screen(app))
        await pilot.press("n")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        await pilot.press("9")
        await until(pilot, lambda: "there is no option 9" in picture(app))
        await pilot.press("2", "y")
        await until(pilot, lambda: "got: 2 for Token refresh approach" in picture(app))
        assert picture(app).count("got:") == 1

    played(play, (120, 32))


def test_a_number_is_a_tab_where_no_options_are_shown(played: Callable[..., None]) -> None:
    async def play(app: Watch, pilot: Pilot[None]) -> None:
        tabs = app.query_one(TabbedContent)
        await pilot.press("l", "3")  # on another tab the options are not to be seen
        assert tabs.active == "diff" and len(app.screen_stack) == 1
        await pilot.press(*"jjjjj", "1")
        assert tabs.active == "overview"
        await pilot.press("2")  # of #123, which asks nothing
        assert tabs.active == "log" and len(app.screen_stack) == 1

    played(play)


def test_an_answer_is_for_the_question_that_was_shown(played: Callable[..., None]) -> None:
    """Another one, asked while it is typed, stays open."""

    async def play(app: Watch, pilot: Pilot[None]) -> None:
        status = load_status(app.state, 124)
        assert status is not None
        await pilot.press("a", *"slid")
        status["question"] = screens.question("Delete the old tokens?", "yes", "no")  # type: ignore[typeddict-item]
        save_status(app.state, status)
        await until(pilot, lambda: "Delete the old tokens?" in picture(app))
        await pilot.press(*"ing", "enter")
        await until(pilot, lambda: "got: sliding for Token refresh approach" in picture(app))

    played(play, (120, 32))


def test_what_is_typed_stays_for_a_session_that_goes_away(played: Callable[..., None]) -> None:
    async def play(app: Watch, pilot: Pilot[None]) -> None:
        given: list[int] = []
        app.give = lambda number, text, question: str(given.append(number))
        await pilot.press("a", *"sliding")
        archive(app.state, 124, screens.NOW)
        await until(pilot, lambda: 124 not in app.order)
        await pilot.press("enter")
        await until(pilot, lambda: given == [124])

    played(play)


def test_the_next_question_is_a_key_away_also_behind_a_filter(played: Callable[..., None]) -> None:
    async def play(app: Watch, pilot: Pilot[None]) -> None:
        asks = screens.session(140, "Also asks", "stuck", question=screens.question("How?"))
        save_status(app.state, asks) if make_session(app.state, 140) else None
        await until(pilot, lambda: app.order[:2] == [124, 140])
        await pilot.press(*"jjjj", "space")
        assert app.selected == 124
        await pilot.press("space")
        assert app.selected == 140
        await pilot.press("slash", *"export", "enter", "space")
        assert app.selected == 124 and len(app.order) == 10

    played(play)


def test_keys_that_come_at_once_act_on_what_they_moved_to(played: Callable[..., None]) -> None:
    async def play(app: Watch, pilot: Pilot[None]) -> None:
        for key in "jjjjjp":  # faster than anything is handled
            app.post_message(Key(key, key))
        await until(pilot, lambda: bool(pending(app.state, 123)))
        assert not pending(app.state, 124)

    played(play)


def test_cancel_asks_first(played: Callable[..., None]) -> None:
    def phase(app: Watch) -> str:
        status = load_status(app.state, 124)
        assert status is not None
        return status["status"]

    async def play(app: Watch, pilot: Pilot[None]) -> None:
        await pilot.press("D", "n", "D", "escape")
        assert phase(app) == "stuck"
        await pilot.press("D", "y")
        await until(pilot, lambda: phase(app) == "cancelled")
        await until(pilot, lambda: "#124: cancelled" in picture(app))

    played(play)


@pytest.mark.parametrize("key", ["r", "P", "A", "e"])
def test_what_fails_says_what_to_type(
    played: Callable[..., None], monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """No remote, no editor, no terminal to give away: each is said with its hint, and the screen stays."""
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.delenv("EDITOR", raising=False)

    async def play(app: Watch, pilot: Pilot[None]) -> None:
        monkeypatch.chdir(app.cwd)
        await pilot.press("j", key)
        if key == "P":
            await pilot.press("y")
        await until(pilot, lambda: "next: " in picture(app))
        await pilot.press("escape")
        await until(pilot, lambda: "next: " not in picture(app))

    played(play)


def test_an_editor_of_the_worktree_is_not_run(
    played: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`./vi` would be the worker's file there."""
    monkeypatch.setenv("VISUAL", "./vi")

    async def play(app: Watch, pilot: Pilot[None]) -> None:
        monkeypatch.chdir(app.cwd)
        program = tmp_path / "widgets-issue-123" / "vi"
        program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        program.chmod(0o755)
        await pilot.press(*"jjjjje")
        await until(pilot, lambda: "./vi is not installed" in picture(app))
        assert not (tmp_path / "ran").exists()

    played(play)


def test_why_a_session_has_its_headline_is_a_tab(played: Callable[..., None]) -> None:
    async def play(app: Watch, pilot: Pilot[None]) -> None:
        await pilot.press("w")
        await until(pilot, lambda: "did it stop to ask a person?" in picture(app))
        await pilot.press("j", "j")
        await until(pilot, lambda: "is it complete?" in picture(app))

    played(play, (120, 50))


def test_messages_are_never_over_the_answer_box(played: Callable[..., None]) -> None:
    async def play(app: Watch, pilot: Pilot[None]) -> None:
        await pilot.press("a")
        for number in range(4):
            app.say(f"{number} " + "a long message " * 40, "error")
        await until(pilot, lambda: "1 a long message" in picture(app))
        box = app.answer_box
        for x, y in ((x, y) for y in box.region.line_range for x in box.region.column_range):
            widget, _ = app.screen.get_widget_at(x, y)
            assert widget is box, (x, y, widget)
        await pilot.press("escape", "escape")
        await until(pilot, lambda: "long message" not in picture(app))
        app.say("and another")
        await until(pilot, lambda: "and another" in picture(app).splitlines()[2])

    played(play, (60, 24))


@pytest.mark.parametrize("width", [40, 60, 80, 120, 160])
def test_the_lines_above_and_below_are_whole(width: int) -> None:
    foot = foot_content(width, typing=False).plain
    assert display_width(foot) <= width and foot.endswith("? Help  q Quit")
    shown = [each.partition(" ")[2] for each in foot.strip().split("  ")]
    assert shown and set(shown) <= {key.label for key in KEYS}
    for word in ("", "stuck"):
        top = top_content("acme/widgets", screens.sights(12), 3, word, width).plain
        assert (display_width(top) <= width and "need you" in top) or width == 40


def test_the_screen_holds_at_sixty_columns(played: Callable[..., None]) -> None:
    async def play(app: Watch, pilot: Pilot[None]) -> None:
        lines = picture(app).splitlines()
        assert lines[-1].endswith("? Helpq Quit") and "9 sessions, 5 need you" in lines[0]

    played(play, (60, 24))


@pytest.mark.parametrize(("width", "shown"), [(60, (True, False)), (80, (True, True))])
def test_age_and_cost_have_columns_where_there_is_room(
    width: int, shown: tuple[bool, bool]
) -> None:
    sights = screens.sights(12)
    rows = [row.plain for row in row_contents(sights, width - 1)]
    assert all(display_width(row) <= width for row in rows)
    busy = next(row for row in rows if "#129" in row)
    assert "CHANGES REQUESTED " in busy
    assert ("  3h  " in busy, "  $123.40  " in busy) == shown


def test_a_narrow_list_leaves_the_age_out_before_the_title() -> None:
    assert not re.search(r"\b3h\b", row_contents(screens.sights(12), 40)[6].plain)


def test_a_log_is_never_narrower_than_its_pane(played: Callable[..., None]) -> None:
    """Lines come while the tabs change and while the terminal changes its size, also when the log is hidden."""

    async def play(app: Watch, pilot: Pilot[None]) -> None:
        log = session_folder(app.state, 123) / "agent.log"
        said = 0

        def say() -> None:
            nonlocal said
            text = {"type": "text", "text": f"line {said} " + "of many words " * 12}
            line = {"type": "assistant", "message": {"content": [text]}}
            with open(log, "a") as file:
                file.write(json.dumps(line) + "\n")
            said += 1

        def fits() -> bool:
            rows = [strip.text.rstrip() for strip in app.query_one("#lines", RichLog).lines]
            lines = [row for row in rows if "of many words" in row]
            width = app.query_one("#lines").scrollable_content_region.width
            whole = sum(row.count("line ") for row in rows) == said
            return whole and max(map(len, lines)) in range(width - 14, width + 1)

        await pilot.press(*"jjjjj")
        for at in range(12):
            say()
            for key in "12" if at % 2 else "2121":
                app.post_message(Key(key, key))
            await pilot.pause(0.01)
        await pilot.press("2")
        await until(pilot, fits)
        for size in ((60, 24), (120, 32), (160, 40)):
            await pilot.press("1")
            await pilot.resize_terminal(*size)
            say()
            await pilot.press("2")
            await until(pilot, fits)
        await pilot.resize_terminal(80, 24)
        await until(pilot, fits)

    played(play)


def test_who_reads_further_up_stays_there(played: Callable[..., None]) -> None:
    async def play(app: Watch, pilot: Pilot[None]) -> None:
        log = session_folder(app.state, 123) / "agent.log"
        text = {"type": "text", "text": "\n".join(f"line {number}" for number in range(90))}
        line = json.dumps({"type": "assistant", "message": {"content": [text]}}) + "\n"
        log.write_text(line)
        await pilot.press(*"jjjjjl")
        await until(pilot, lambda: "line 89" in picture(app))
        await pilot.press("K")
        await until(pilot, lambda: "line 89" not in picture(app))
        with open(log, "a") as file:
            file.write(line.replace("line", "more"))
        lines = app.query_one("#lines", RichLog)
        await until(pilot, lambda: any("more 89" in strip.text for strip in lines.lines))
        assert "more" not in picture(app)
        await pilot.press(*"JJJJJJJJJJJJ")
        await until(pilot, lambda: "more 89" in picture(app))

    played(play)


def text_of_screen(app: Watch) -> str:
    return " ".join(picture(app).split())


def test_a_stuck_worker_is_answered_in_the_box_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started, answered and pruned by keys alone, with the same questions as on the command line."""

    async def whole(scene: Scene, number: int) -> None:
        app = Watch(scene.state, str(scene.clone), give)
        async with app.run_test(size=(80, 24), notifications=True) as pilot:
            await pilot.press("n", *f"#{number}", "enter")
            await until(pilot, lambda: "depends on what cannot be read" in picture(app))
            await pilot.press("y")
            await until(pilot, lambda: f"#{number}: worker started on" in picture(app))
            await until(pilot, lambda: "Which way?" in picture(app) and "1) left" in picture(app))
            await pilot.press("a", "2", "enter")
            await until(pilot, lambda: "delivered" in picture(app), 10)
            await until(pilot, lambda: "PR OPEN" in picture(app) and "/pull/" in picture(app))
            scene.wait_status(number, "complete")
            scene.sandbox.person.merge(scene.pull_of(number))
            await pilot.press("P", "y")
            await until(pilot, lambda: f"#{number}: removed: merged" in text_of_screen(app))
            await until(pilot, lambda: "No sessions yet" in picture(app))

    with make_scene(tmp_path) as scene:
        scene.agent(ASK)
        number = scene.sandbox.add_issue("A way to choose", "Depends on acme/secret#5")
        monkeypatch.delenv("XDG_CONFIG_HOME")
        for name, value in scene.env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(scene.clone)
        asyncio.run(whole(scene, number))
        assert not (tmp_path / f"widgets-issue-{number}").exists()


class Terminal:
    """`watch` in a terminal of its own."""

    def __init__(self, cwd: Path, **env: str) -> None:
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (50, 120))
        self.child = subprocess.Popen(
            [sys.executable, "-m", "issue_orch", "watch"],
            cwd=cwd,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm", **env},
            preexec_fn=partial(_own_terminal, slave),
        )
        os.close(slave)
        self.seen = b""

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def wait(self, words: bytes, deadline: float = 60.0) -> None:
        """Until it was written, after what was waited for the last time; without what a terminal obeys."""
        end = time.monotonic() + deadline
        while words not in (seen := re.sub(rb"\x1b\[[\d;?<>=]*[a-zA-Z$]", b"", self.seen)):
            ready, _, _ = select.select([self.master], [], [], max(0.0, end - time.monotonic()))
            assert ready, self.seen[-3000:]
            self.seen += os.read(self.master, 65_536)
        self.seen = seen.partition(words)[2]

    def end(self) -> int:
        self.type(b"q")
        try:
            while os.read(self.master, 65_536):
                pass
        except OSError:
            pass  # Linux says EIO at the end of a terminal
        os.close(self.master)
        return self.child.wait(timeout=20)


def _own_terminal(slave: int) -> None:
    """Ctrl-C is for the group that has the terminal."""
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


def test_the_first_keys_move_and_the_editor_gets_the_terminal(tmp_path: Path) -> None:
    """In a terminal: keys that are typed before anything is shown; a program that has the screen, and Ctrl-C with it."""
    with ExitStack() as held:
        _, clone = watch.build(tmp_path, held)
        editor = tmp_path / "editor"
        editor.write_text('#!/bin/sh\necho "edits $2 in $(pwd)"\nread -r line\necho "read $line"\n')
        editor.chmod(0o755)
        terminal = Terminal(clone, VISUAL=f"{editor} -n", GH_TOKEN="not-for-editors")
        terminal.type(b"jjjjj")
        worktree = f"{tmp_path}/widgets-issue-123".encode()
        terminal.wait(b"#123 Add export button")
        terminal.type(b"e")
        terminal.wait(b"edits " + worktree + b" in " + worktree)
        terminal.type(b"words\n")
        terminal.wait(b"read words")
        terminal.wait(b"#123: edited")
        terminal.type(b"e")
        terminal.wait(b"edits ")
        terminal.type(b"\x03")  # ends the editor, not the screen
        terminal.wait(b"interrupted")
        assert terminal.end() == 0


def test_the_command_needs_a_terminal_and_quits_by_key(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    argv = [sys.executable, "-m", "issue_orch", "watch"]
    piped = subprocess.run(
        argv, cwd=tmp_path, text=True, capture_output=True, check=False, timeout=30
    )
    assert (piped.returncode, piped.stderr.splitlines()[0]) == (2, "error: watch needs a terminal")
    terminal = Terminal(tmp_path, ISSUE_ORCH_WORKER="1.1")
    terminal.wait(b"a worker does not start workers, nor answer")
    assert terminal.end() == 1
    terminal = Terminal(tmp_path)
    terminal.wait(b"No sessions yet")
    assert terminal.end() == 0
