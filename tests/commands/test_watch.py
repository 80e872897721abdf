"""`watch`: driven by its keys over files, and once over a real worker that gets stuck and goes on."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from pathlib import Path

import pytest
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input, Static, TabbedContent

from issue_orch.commands.tui.watch import Watch, give
from issue_orch.store.files import load_status, save_status, session_folder
from issue_orch.store.inbox import pending
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


KEYS = {
    "first": [],
    "answer": ["a", "2"],
    "log": [*"jjjjjl"],
    "diff": [*"jjjjjd"],
    "help": ["question_mark"],
    "filter": ["slash", *"stuck"],
    "stop": ["s"],
}


PICTURES = [*((name, (80, 24)) for name in KEYS), ("first", (120, 32)), ("diff", (120, 32))]


@pytest.mark.parametrize(("name", "size"), PICTURES)
def test_picture(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    """When a picture is meant to change: delete its file, run twice, and look at the difference."""
    with ExitStack() as held:
        text = text_of(asyncio.run(watch.draw(tmp_path, held, size, KEYS[name])))
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
        assert app.selected == 125 and app.query_one("#answer", Input).value == ""

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
        await pilot.press("2")
        assert app.query_one(TabbedContent).active == "log"
        await pilot.press("q")
        assert app.return_code == 0

    played(play)


def test_sessions_that_come_and_go_keep_the_choice(played: Callable[..., None]) -> None:
    async def play(app: Watch, pilot: Pilot[None]) -> None:
        await pilot.press(*"jj")
        chosen = app.selected
        screens.write(
            app.state.parent, [(screens.session(1, "Before all", "stuck", stuckReason="?"), None)]
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


def test_a_stuck_worker_is_answered_in_the_box_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the start of the worker to its recorded pull: everything between is done in `watch`."""

    async def whole(scene: Scene, number: int) -> None:
        app = Watch(scene.state, str(scene.clone), give)
        async with app.run_test(size=(80, 24), notifications=True) as pilot:
            scene.orch("spawn", "--yes", str(number), check=True)
            await until(pilot, lambda: "Which way?" in picture(app) and "1) left" in picture(app))
            await pilot.press("a", "2", "enter")
            await until(pilot, lambda: "delivered" in picture(app), 10)
            await until(pilot, lambda: "PR OPEN" in picture(app) and "/pull/" in picture(app))

    with make_scene(tmp_path) as scene:
        scene.agent(ASK)
        number = scene.issue("A way to choose")
        monkeypatch.delenv("XDG_CONFIG_HOME")
        for name, value in scene.env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(scene.clone)
        asyncio.run(whole(scene, number))
        scene.wait_status(number, "complete")
        assert "right" in (scene.state / "sessions" / str(number) / "turn.md").read_text()


def test_the_command_needs_a_terminal_and_quits_by_key(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    argv = [sys.executable, "-m", "issue_orch", "watch"]
    piped = subprocess.run(
        argv, cwd=tmp_path, text=True, capture_output=True, check=False, timeout=30
    )
    assert (piped.returncode, piped.stderr.splitlines()[0]) == (2, "error: watch needs a terminal")
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    child = subprocess.Popen(
        argv, cwd=tmp_path, stdin=slave, stdout=slave, stderr=slave, env=environment
    )
    os.close(slave)
    seen = b""
    while b"No sessions yet" not in seen:
        seen += os.read(master, 65_536)
    os.write(master, b"q")
    try:
        while os.read(master, 65_536):
            pass
    except OSError:
        pass  # Linux says EIO at the end of a terminal
    os.close(master)
    assert child.wait(timeout=20) == 0
