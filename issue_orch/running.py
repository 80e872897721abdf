"""One run of the agent under the supervisor: its process and pipes, heartbeats, reports and messages on the way."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from typing import IO, NamedTuple, Protocol

from .agents.base import Adapter, Command, Event, Outcome, Turn
from .agents.runs import ending, fold, hopeless
from .process import end_marked

READ_SIZE = 65_536
LINE_LIMIT = 1_048_576
LOG_LIMIT = 5_242_880
TICK = 1.0
QUIET_TICK = 2.0  # after ten silent seconds: a hundred idle workers must not be felt
QUIET_AFTER = 10.0
GRACE_AFTER_REPORT = 30.0
GRACE_AFTER_INTERRUPT = 10.0
DRAIN = 1.0

Wish = str | None  # why the run should end now: "report", "interrupt", "stop"; None to go on


class Watcher(Protocol):
    """What the supervisor does on the way. `tick` is called about once a second."""

    def on_event(self, event: Event, turn: Turn) -> None: ...

    def tick(self, turn: Turn) -> Wish: ...


class Ended(NamedTuple):
    """How the run ended. `lasted` is in seconds."""

    outcome: Outcome
    turn: Turn
    exit_code: int
    lasted: float


class AgentRun:
    """A running agent. Single-threaded: one selector over its two pipes and the pipe of SIGCHLD."""

    def __init__(self, adapter: Adapter, command: Command, env: dict[str, str], cwd: str, log: str, stdin: str) -> None:
        self.adapter = adapter
        self.log_path = log
        self.turn = Turn(session_id=command.session_id)
        self.stderr_tail = ""
        self.fatal: Outcome | None = None
        self.started = self.heard = time.monotonic()
        with open(stdin, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(command.stdin)
        with open(stdin, "rb") as source:
            self.child = subprocess.Popen(
                command.argv, cwd=cwd, env=env, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                start_new_session=True,
            )
        self.open_log()
        self.partial = b""
        self.skipping = False

    def watch(self, wakeup: int, watcher: Watcher, end: Callable[[], None]) -> Ended:
        """Follow the agent until its process has ended and its pipes are empty (or `DRAIN` seconds later)."""
        exited: float | None = None
        ending = Ending(self.interrupt, end)
        with selectors.DefaultSelector() as selector:
            for stream in (self.child.stdout, self.child.stderr):
                assert stream is not None
                os.set_blocking(stream.fileno(), False)
                selector.register(stream, selectors.EVENT_READ)
            selector.register(wakeup, selectors.EVENT_READ)
            due = time.monotonic()
            while True:
                for key, _ in selector.select(DRAIN / 10 if exited else max(0.0, due - time.monotonic())):
                    if key.fileobj is wakeup or key.fd == wakeup:
                        os.read(wakeup, 4096)
                    elif not self.read(key.fileobj, watcher):  # type: ignore[arg-type]
                        selector.unregister(key.fileobj)
                now = time.monotonic()
                if exited is None and self.child.poll() is not None:
                    exited = now
                if exited is not None and (len(selector.get_map()) == 1 or now - exited > DRAIN):
                    break
                if now >= due and exited is None:
                    due = now + (TICK if now - self.heard < QUIET_AFTER else QUIET_TICK)
                    self.fatal = self.fatal or hopeless(self.turn, time.time())
                    ending.wish("stop" if self.fatal else watcher.tick(self.turn), now)
        self.flush(watcher)
        self.close()
        return Ended(self.outcome(), self.turn, self.child.returncode, time.monotonic() - self.started)

    def outcome(self) -> Outcome:
        code = self.child.returncode
        return self.fatal or ending(self.adapter, code, self.turn, self.stderr_tail, time.time())

    def read(self, stream: IO[bytes], watcher: Watcher) -> bool:
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
            self.read_stderr(chunk, watcher)
            return True
        lines = (self.partial + chunk).split(b"\n")
        self.partial = lines.pop()
        for line in lines:
            self.take_line(line, watcher)
        if len(self.partial) > LINE_LIMIT:
            self.partial, self.skipping = b"", True
        return True

    def read_stderr(self, chunk: bytes, watcher: Watcher) -> None:
        """Some agents say only there that they retry. Nothing else there counts as what the agent did."""
        unfinished = self.stderr_tail.rpartition("\n")[2]
        text = chunk.decode("utf-8", "replace")
        self.stderr_tail = (self.stderr_tail + text)[-8192:]
        for line in (unfinished + text).split("\n")[:-1]:
            for event in self.adapter.parse(line):
                if event.kind in {"retry", "error"}:
                    self.turn = fold(self.turn, event, time.time())
                    watcher.on_event(event, self.turn)

    def take_line(self, line: bytes, watcher: Watcher) -> None:
        if self.skipping:  # the end of a line that was too long to keep
            self.skipping = False
            return
        for event in self.adapter.parse(line.decode("utf-8", "replace")):
            self.turn = fold(self.turn, event, time.time())
            watcher.on_event(event, self.turn)

    def flush(self, watcher: Watcher) -> None:
        if self.partial:
            self.take_line(self.partial, watcher)
            self.partial = b""

    def open_log(self) -> None:
        self.log = open(self.log_path, "ab", buffering=0)
        self.times = open(self.log_path + ".times", "ab", buffering=0)

    def write_log(self, chunk: bytes) -> None:
        """The raw log is capped: at the limit it becomes `agent.log.1`. A full disk must not end the worker.

        Agents rarely say when something happened: beside it stands up to which offset it came by when.
        """
        try:
            self.log.write(chunk)
            self.times.write(f"{self.log.tell()} {time.time():.1f}\n".encode())
            if self.log.tell() > LOG_LIMIT:
                self.log.close()
                self.times.close()
                os.replace(self.log_path, self.log_path + ".1")
                os.replace(self.log_path + ".times", self.log_path + ".1.times")
                self.open_log()
        except OSError:
            pass

    def interrupt(self) -> None:
        try:
            os.killpg(self.child.pid, signal.SIGINT)
        except ProcessLookupError:
            pass

    def close(self) -> None:
        for stream in (self.child.stdout, self.child.stderr, self.log, self.times):
            if stream is not None:
                stream.close()


class Ending:
    """How a run is brought to its end: a grace first, then an interrupt, then everything below it is ended."""

    def __init__(self, interrupt: Callable[[], None], end: Callable[[], None]) -> None:
        self.interrupt = interrupt
        self.end = end
        self.since: float | None = None
        self.interrupted: float | None = None

    def wish(self, wish: Wish, now: float) -> None:
        if wish is None and self.interrupted is None:
            return
        if wish == "stop":
            self.end()
        elif self.interrupted is not None:
            if now - self.interrupted > GRACE_AFTER_INTERRUPT:
                self.end()
        elif wish == "interrupt" or (self.since is not None and now - self.since > GRACE_AFTER_REPORT):
            self.interrupted = now
            self.interrupt()
        elif self.since is None:
            self.since = now


def end_all(state: str, number: int) -> None:
    end_marked(state, number)


def wakeup_pipe() -> int:
    """The reading end of a pipe that becomes readable when a child ends or SIGTERM arrives."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return reading
