"""What keys of `watch` do beyond the screen: the functions of the commands, and programs that get the terminal."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from threading import Lock

from textual.app import App, SuspendNotSupported

from ...actions import steer
from ...actions.context import open_context
from ...core.record import Question
from ...errors import Expected
from ...process.secret import without_tokens
from ..open import editor_of

_PRINTING = Lock()  # the streams are those of the whole process


def in_words(error: Expected) -> str:
    return error.message[:250] + (f"\nnext: {error.hint}" if error.hint else "")


def give(number: int, text: str, question: Question | None) -> str:
    return steer.guide(open_context(), number, text, question=question)


def _resume(_: Path, number: int) -> str:
    return steer.resume(open_context(), number)


# Of a session, by name: what is done, and what is asked before.
STEERING: dict[str, tuple[Callable[[Path, int], str], str]] = {
    "pause": (steer.pause, ""),
    "resume": (_resume, ""),
    "stop": (steer.stop, "Stop the worker of #{}?"),
    "cancel": (
        steer.cancel,
        "Cancel #{}? Its worker ends, the session is given up; worktree and branch stay.",
    ),
}


def start_worker(word: str, ask: Callable[[str, bool], bool]) -> str:
    """As `issue-orch spawn WORD`; what that would ask on a terminal, `ask` asks."""
    from ...actions.naming import issue_of
    from ..spawn import start

    return _printed(lambda: start([issue_of(word)], ask))


def prune_session(number: int, label: str) -> str:
    """As `issue-orch prune NUMBER`, with the option that its headline needs."""
    from ..prune import prune

    over = {"closed": label == "CLOSED", "cancelled": label == "CANCELLED"}
    return _printed(lambda: prune([number], False, None, **over, as_json=False))


def _printed(do: Callable[[], int]) -> str:
    """What a command prints, warnings and all; raises Expected with it when the command fails."""
    with _PRINTING, redirect_stdout(StringIO()) as text, redirect_stderr(text):
        code = do()
    said = text.getvalue().strip()
    if code:
        raise Expected(said.removeprefix("error: "))
    return said


def attach_by_hand(app: App[None], number: int) -> str:
    from ..attach import attach

    with _terminal_of(app, f"issue-orch attach {number}", f"issue-orch resume {number}"):
        code = attach(number, now=False)
    return f"#{number}: given back" + (f"; its program ended with code {code}" if code else "")


def edit(app: App[None], number: int) -> str:
    """The worktree in the person's editor."""
    argv, where = editor_of(number)
    try:
        with _terminal_of(app, f"cd {shlex.quote(where)}"):
            done = subprocess.run(argv, cwd=where, env=without_tokens(os.environ), check=False)
    except OSError as error:
        words = f"{argv[0]}: {error.strerror}"
        raise Expected(words, "mend $VISUAL or $EDITOR; then watch again") from None
    return f"#{number}: edited" + (
        f"; {argv[0]} ended with code {done.returncode}" * bool(done.returncode)
    )


@contextmanager
def _terminal_of(app: App[None], instead: str, interrupted: str = "") -> Iterator[None]:
    """The terminal is another program's until that ends, and so is Ctrl-C. What to type where it cannot be, and after that."""
    before = signal.getsignal(signal.SIGINT)
    error: BaseException | None = None
    try:
        with app.suspend():  # which does not bring the screen back after an error
            signal.signal(signal.SIGINT, signal.default_int_handler)
            try:
                yield
            except BaseException as caught:  # noqa: BLE001 - raised again below
                error = caught
            finally:
                signal.signal(signal.SIGINT, before)
    except SuspendNotSupported:
        raise Expected("this screen cannot be left", instead) from None
    if isinstance(error, KeyboardInterrupt):
        raise Expected("interrupted", interrupted)
    if error:
        raise error


def browse(url: str) -> None:
    """In a process of its own, without terminal and tokens: some browsers draw on the terminal, or take their time."""
    argv = (sys.executable, "-P", "-m", "webbrowser", url)
    quiet = subprocess.DEVNULL
    environment = without_tokens(os.environ)
    subprocess.run(
        argv,
        env=environment,
        stdin=quiet,
        stdout=quiet,
        stderr=quiet,
        start_new_session=True,
        check=False,
    )
