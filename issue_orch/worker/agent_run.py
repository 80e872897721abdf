"""One run of the agent under the supervisor: its process and pipes, its log, and how it is brought to its end."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import IO, NamedTuple

from ..agents.base import Adapter, Command, ending
from ..core.outcomes import Event, Outcome, Turn, fold, hopeless
from ..core.prices import Prices
from ..store.files import write_text

READ_SIZE = 65_536
LINE_LIMIT = 1_048_576
LOG_LIMIT = 5_242_880
TICK = 1.0
QUIET_TICK = 10.0  # after ten silent seconds: a hundred idle workers must not be felt. People's messages wake us.
GRACE_AFTER_REPORT = 30.0
GRACE_AFTER_INTERRUPT = 10.0
DRAIN = 1.0

Wish = str | None  # why the run should end now: "report", "interrupt", "stop"; None to go on


class Ended(NamedTuple):
    """How the run ended. `lasted` is in seconds."""

    outcome: Outcome
    turn: Turn
    exit_code: int
    lasted: float


class AgentRun:
    """A running agent. Single-threaded: one selector over its two pipes and the pipe of signals."""

    def __init__(
        self,
        adapter: Adapter,
        command: Command,
        cwd: str,
        folder: str,
        on_event: Callable[[Event, Turn], None],
        launching: Callable[[], None],
        prices: Prices | None,
    ) -> None:
        """`command.env` is all that the agent inherits; `folder` takes its input and its log. `launching` is called last."""
        self.adapter, self.on_event, self.prices = adapter, on_event, prices
        self.log_path = os.path.join(folder, "agent.log")
        self.turn = Turn(session_id=command.session_id)
        self.stderr_tail = ""
        self.fatal: Outcome | None = None
        self.partial = b""
        self.skipping = False
        self.wall, self.started = time.time(), time.monotonic()
        self.heard = self.started
        self.open_log()
        stdin = os.path.join(folder, "stdin.txt")
        write_text(stdin, command.stdin)
        launching()
        with open(stdin, "rb") as source:
            self.child = subprocess.Popen(
                command.argv,
                cwd=cwd,
                env=command.env,
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )

    def now(self) -> float:
        """Seconds since the epoch as the clock stood at the start: setting it must not look like silence."""
        return self.wall + time.monotonic() - self.started

    def watch(self, wakeup: int, tick: Callable[[], Wish], end: Callable[[], object]) -> Ended:
        """Follow the agent until its process has ended and its pipes are empty (or `DRAIN` seconds later).

        `tick` is called about once a second while something happens, and at each signal.
        """
        exited: float | None = None
        closing = Ending(self.interrupt, end)
        with selectors.DefaultSelector() as selector:
            for stream in (self.child.stdout, self.child.stderr):
                assert stream is not None
                os.set_blocking(stream.fileno(), False)
                selector.register(stream, selectors.EVENT_READ)
            selector.register(wakeup, selectors.EVENT_READ)
            due = time.monotonic()
            while True:
                for key, _ in selector.select(
                    DRAIN / 10 if exited else max(0.0, due - time.monotonic())
                ):
                    if key.fd == wakeup:
                        with suppress(
                            BlockingIOError
                        ):  # read already, while an event waited for room on the disk
                            os.read(wakeup, 4096)
                        due = 0.0
                    elif not self.read(key.fileobj):  # type: ignore[arg-type]
                        selector.unregister(key.fileobj)
                now = time.monotonic()
                if exited is None and self.child.poll() is not None:
                    exited = now
                if exited is not None and (len(selector.get_map()) == 1 or now - exited > DRAIN):
                    break
                if exited is None and (now >= due or due - now > TICK > now - self.heard):
                    self.fatal = self.fatal or hopeless(self.turn, self.now())
                    closing.wish("stop" if self.fatal else tick(), now)
                    busy = closing.begun or now - self.heard < QUIET_TICK
                    due = now + (TICK if busy else QUIET_TICK)
        if self.partial:
            self.take_line(self.partial)
        for each in (self.child.stdout, self.child.stderr, self.log, self.times):
            if each is not None:
                each.close()
        code = self.child.returncode
        outcome = self.fatal or ending(self.adapter, code, self.turn, self.stderr_tail, self.now())
        return Ended(outcome, self.turn, code, time.monotonic() - self.started)

    def read(self, stream: IO[bytes]) -> bool:
        """Take what a pipe has; False at its end."""
        try:
            chunk = os.read(stream.fileno(), READ_SIZE)
        except BlockingIOError:
            return True
        if not chunk:
            return False
        self.heard = time.monotonic()
        self.write_log(chunk)
        if stream is self.child.stderr:
            self.read_stderr(chunk)
            return True
        *lines, self.partial = (self.partial + chunk).split(b"\n")
        for line in lines:
            self.take_line(line)
        if len(self.partial) > LINE_LIMIT:
            self.partial, self.skipping = b"", True
        return True

    def read_stderr(self, chunk: bytes) -> None:
        """Some agents say only there that they retry. Nothing else there counts as what the agent did."""
        unfinished = self.stderr_tail.rpartition("\n")[2]
        text = chunk.decode("utf-8", "replace")
        self.stderr_tail = (self.stderr_tail + text)[-8192:]
        for line in (unfinished + text).split("\n")[:-1]:
            self.take_events(
                [event for event in self.adapter.parse(line) if event.kind in {"retry", "error"}]
            )

    def take_line(self, line: bytes) -> None:
        if self.skipping:  # the end of a line that was too long to keep
            self.skipping = False
            return
        self.take_events(self.adapter.parse(line.decode("utf-8", "replace")))

    def take_events(self, events: list[Event]) -> None:
        for event in events:
            self.turn = fold(self.turn, event, self.now(), self.prices)
            self.on_event(event, self.turn)

    def open_log(self) -> None:
        self.log = open(self.log_path, "ab", buffering=0, opener=no_link)
        self.times = open(self.log_path + ".times", "ab", buffering=0, opener=no_link)

    def place(self) -> list[int]:
        """Where in which file of the log we are."""
        return [os.fstat(self.log.fileno()).st_ino, self.log.tell()]

    def write_log(self, chunk: bytes) -> None:
        """The raw log is capped: at the limit it becomes `agent.log.1`. A full disk must not end the worker.

        Agents rarely say when something happened: beside it stands up to which offset it came by when.
        """
        try:
            self.log.write(chunk)
            self.times.write(f"{self.log.tell()} {time.time():.1f}\n".encode())
            if self.log.tell() > LOG_LIMIT:
                full = self.log, self.times
                os.replace(self.log_path, self.log_path + ".1")
                os.replace(self.log_path + ".times", self.log_path + ".1.times")
                self.open_log()
                for file in full:
                    file.close()
        except OSError:
            pass

    def interrupt(self) -> None:
        try:
            os.killpg(self.child.pid, signal.SIGINT)
        except ProcessLookupError:
            pass


def no_link(path: str, flags: int) -> int:
    """For `open`: a link that somebody put into the state folder is not written through."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


class Ending:
    """How a run is brought to its end: a grace first, then an interrupt, then everything below it is ended."""

    def __init__(self, interrupt: Callable[[], None], end: Callable[[], object]) -> None:
        self.interrupt = interrupt
        self.end = end
        self.since: float | None = None
        self.interrupted: float | None = None

    @property
    def begun(self) -> bool:
        return self.since is not None or self.interrupted is not None

    def wish(self, wish: Wish, now: float) -> None:
        if wish is None and self.interrupted is None:
            return
        if wish == "stop":
            self.end()
        elif self.interrupted is not None:
            if now - self.interrupted > GRACE_AFTER_INTERRUPT:
                self.end()
        elif wish == "interrupt" or (
            self.since is not None and now - self.since > GRACE_AFTER_REPORT
        ):
            self.interrupted = now
            self.interrupt()
        elif self.since is None:
            self.since = now


def logged_since(log: str, place: list[int]) -> Iterator[bytes]:
    """The lines of a log after a place of `AgentRun.place`, as far as they were kept."""
    paths = [path for path in (f"{log}.1", log) if os.path.exists(path)]
    inodes = [os.stat(path).st_ino for path in paths]
    known = place[0] in inodes
    for path in paths[inodes.index(place[0]) :] if known else paths:
        with open(path, "rb") as file:
            file.seek(place[1] if os.fstat(file.fileno()).st_ino == place[0] else 0)
            while line := file.readline(LINE_LIMIT):
                yield line


def wakeup_pipe() -> int:
    """The reading end of a pipe that becomes readable when a child ends, SIGTERM arrives, or a sender nudges us."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for what in (signal.SIGCHLD, signal.SIGURG):
        signal.signal(what, lambda *_: None)
    return reading
