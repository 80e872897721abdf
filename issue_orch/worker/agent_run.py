"""One run of the agent under the supervisor: its process and pipes, its log, and how it is brought to its end."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from ..agents.base import Adapter, Command, ending
from ..core.outcomes import Event, Outcome, Turn, fold, hopeless, quiet
from ..core.prices import Prices
from ..process.run import signal_group
from ..store.files import write_text
from .outbox import Bell

_READ_SIZE = 65_536
_LINE_LIMIT = 1_048_576
_LOG_LIMIT = 5_242_880
_TICK = 1.0
_QUIET_TICK = 10.0  # after ten silent seconds: a hundred idle workers must not be felt. Messages and reports wake us.
_RING = 0.05  # between two looks that reports ask for: their pipe may be flooded
_GRACE_AFTER_REPORT = 30.0
_GRACE_AFTER_INTERRUPT = 10.0
_DRAIN = 1.0


class AgentRun:
    """A running agent. Single-threaded: one selector over its two pipes and the pipe of signals.

    `stall` is the silence that it was interrupted for; `changed`: it did something since somebody set that back; `acted`:
    when it last did something that is shown.
    """

    def __init__(
        self,
        adapter: Adapter,
        command: Command,
        cwd: str,
        folder: str,
        on_event: Callable[[Event, Turn], None],
        prices: Prices | None,
    ) -> None:
        """`command.env` is all that the agent inherits; `folder` takes its input and its log."""
        self.adapter, self.on_event, self.prices = adapter, on_event, prices
        self.log_path = os.path.join(folder, "agent.log")
        self.turn = Turn(session_id=command.session_id)
        self.stderr_tail = ""
        self.fatal: Outcome | None = None
        self.stall: str | None = None
        self.changed = self.skipping = self.rung = False
        self.listening: int | None = None
        self.partial = b""
        self.wall, self.started = time.time(), time.monotonic()
        self.heard = self.acted = self.started
        self.closing: float | None = None
        self.interrupted: float | None = None
        self._open_log()
        stdin = os.path.join(folder, "stdin.txt")
        write_text(stdin, command.stdin)
        with open(stdin, "rb") as source:
            self.child = subprocess.Popen(
                command.argv,
                cwd=cwd,
                env=command.env,
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                process_group=0,  # in our session, by which all that it starts is found
            )

    def now(self) -> float:
        """Seconds since the epoch as the clock stood at the start: setting it must not look like silence."""
        return self.wall + time.monotonic() - self.started

    def silence(self, limit: float) -> str | None:
        """The evidence that it is silent for longer than that; in a tool for three times as long."""
        shows_tools = self.adapter.CAPABILITIES.shows_tools
        return quiet(self.turn, self.wall, self.now(), limit, limit * 3, shows_tools)

    def outcome(self) -> Outcome:
        code = self.child.returncode
        return self.fatal or ending(self.adapter, code, self.turn, self.stderr_tail, self.now())

    # -- while it runs

    def follow(self, wakeup: int, bell: Bell) -> Iterator[None]:
        """Take what it says until its process has ended and its pipes are empty (or `DRAIN` seconds later).

        Yields about once a second while something happens, and at each signal and ring, for whoever has to look after it.
        """
        pipes = {self.child.stdout: self._take_output, self.child.stderr: self._take_stderr}
        exited: float | None = None
        looked = due = now = time.monotonic()
        with selectors.DefaultSelector() as selector:
            for pipe, take in pipes.items():
                assert pipe is not None
                selector.register(pipe, selectors.EVENT_READ, take)
            selector.register(wakeup, selectors.EVENT_READ)
            while exited is None or (_speaks(selector) and now - exited <= _DRAIN):
                rest = _DRAIN / 10 if exited else max(0.0, due - time.monotonic())
                woken, now = self._read(selector, rest), time.monotonic()
                due = min(due, looked + _RING) if self.rung else due
                if exited is None and self.child.poll() is not None:
                    exited = now
                elif exited is None and (
                    woken or now >= due or due - now > _TICK > now - self.heard
                ):
                    self.fatal = self.fatal or hopeless(self.turn, self.now())
                    self._deafen(selector)
                    bell.drain()  # first: a report that comes while we look rings again
                    yield
                    self._listen(selector, bell)
                    looked = now
                    busy = self.closing or now - self.heard < _QUIET_TICK
                    due = now + (_TICK if busy else _QUIET_TICK)
        if self.partial:
            self._take_line(self.partial)
        for each in (*pipes, self.log, self.times):
            if each is not None:
                each.close()

    def hurry(self, why: str | None, end: Callable[[], object]) -> None:
        """Bring it to its end if there is a reason: first a grace, if it has reported; then it is interrupted; then `end`."""
        now, interrupted = time.monotonic(), self.interrupted
        late = interrupted is not None and now - interrupted > _GRACE_AFTER_INTERRUPT
        if why == "stop" or self.fatal or late:
            end()
        elif why and interrupted is None:
            self.closing = self.closing or now
            if why == "interrupt" or now - self.closing > _GRACE_AFTER_REPORT:
                self.interrupted = now
                signal_group(self.child.pid, signal.SIGINT)

    # -- what it says

    def _listen(self, selector: selectors.BaseSelector, bell: Bell) -> None:
        self.rung, self.listening = False, bell.descriptor
        if self.listening is not None:
            selector.register(self.listening, selectors.EVENT_READ, bell)

    def _deafen(self, selector: selectors.BaseSelector) -> None:
        """Until the next look."""
        if self.listening is not None:
            selector.unregister(self.listening)
            self.listening = None

    def _read(self, selector: selectors.BaseSelector, timeout: float) -> bool:
        """Take what is in the pipes; whether there was a signal."""
        woken = False
        for key, _ in selector.select(timeout):
            if key.fd == self.listening:
                self.rung = True
                self._deafen(selector)
            elif key.data is None:
                woken = True
                with suppress(BlockingIOError):  # read already, while an event waited for room
                    os.read(key.fd, 4096)
            elif chunk := os.read(key.fd, _READ_SIZE):
                self.heard = time.monotonic()
                self._write_log(chunk)
                key.data(chunk)
            else:
                selector.unregister(key.fileobj)
        return woken

    def _take_output(self, chunk: bytes) -> None:
        *lines, self.partial = (self.partial + chunk).split(b"\n")
        for line in lines:
            self._take_line(line)
        if len(self.partial) > _LINE_LIMIT:
            self.partial, self.skipping = b"", True

    def _take_line(self, line: bytes) -> None:
        if self.skipping:  # the end of a line that was too long to keep
            self.skipping = False
            return
        self._take_events(self.adapter.parse(line.decode("utf-8", "replace")))

    def _take_stderr(self, chunk: bytes) -> None:
        """Some agents say only there that they retry. Nothing else there counts as what the agent did."""
        unfinished = self.stderr_tail.rpartition("\n")[2]
        text = chunk.decode("utf-8", "replace")
        self.stderr_tail = (self.stderr_tail + text)[-8192:]
        for line in (unfinished + text).split("\n")[:-1]:
            events = self.adapter.parse(line)
            self._take_events([event for event in events if event.kind in {"retry", "error"}])

    def _take_events(self, events: list[Event]) -> None:
        for event in events:
            before, self.turn = self.turn, fold(self.turn, event, self.now(), self.prices)
            if self.turn.activity != before.activity:
                self.acted = time.monotonic()
            self.changed = self.changed or event.kind in {"tool", "tool_end", "final"}
            self.on_event(event, self.turn)

    # -- its log

    def _open_log(self) -> None:
        self.log = open(self.log_path, "ab", buffering=0, opener=_no_link)
        self.times = open(self.log_path + ".times", "ab", buffering=0, opener=_no_link)

    def place(self) -> list[int]:
        """Where in which file of the log we are."""
        return [os.fstat(self.log.fileno()).st_ino, self.log.tell()]

    def _write_log(self, chunk: bytes) -> None:
        """The raw log is capped: at the limit it becomes `agent.log.1`. A full disk must not end the worker.

        Agents rarely say when something happened: beside it stands up to which offset it came by when.
        """
        with suppress(OSError):
            self.log.write(chunk)
            self.times.write(f"{self.log.tell()} {time.time():.1f}\n".encode())
            if self.log.tell() > _LOG_LIMIT:
                full = self.log, self.times
                os.replace(self.log_path, self.log_path + ".1")
                os.replace(self.log_path + ".times", self.log_path + ".1.times")
                self._open_log()
                for file in full:
                    file.close()


def _speaks(selector: selectors.BaseSelector) -> bool:
    """Whether a pipe of the agent is open."""
    return any(callable(key.data) for key in selector.get_map().values())


def _no_link(path: str, flags: int) -> int:
    """For `open`: a link that somebody put into the state folder is not written through."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
