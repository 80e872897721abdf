"""`issue-orch run`: the coordinator in the foreground. Interrupting it leaves the workers at work."""

from __future__ import annotations

import signal
import sys
import time

from ..actions.context import open_context
from ..config.layers import check_agent
from ..coordinator.loop import Clock, Coordinator, Options, Passed
from ..errors import LeaseHeld
from ..store.leases import probe, take
from ..terminal.io import colours, say, warn
from ..text import redact, sanitise

LOOK = 1.0


def run(
    once: bool,
    until_idle: bool,
    interval: float,
    max_workers: int | None,
    verbose: bool,
    serialize: bool,
    stack: bool,
) -> int:
    options = Options({"max_workers": max_workers}, interval, stack, serialize, verbose)
    context = open_context(options.flags)
    check_agent(context.config)
    warn(*context.config.warnings)
    holder = probe(context.state, "run")
    if holder is not None:
        raise LeaseHeld(
            f"`run` is at work in this clone already (pid {holder.pid})", "issue-orch status"
        )
    signal.signal(signal.SIGTERM, interrupted)
    with take(context.state, "run", "run", wait=0):
        coordinator = Coordinator(context, options, tell)
        try:
            passed = loop(coordinator, once, until_idle)
        except KeyboardInterrupt:
            left = len(coordinator.active())
            say(
                f"\ndetached: {left} worker{'s go' if left != 1 else ' goes'} on without it; nothing new is started"
                + (
                    "\n  next: issue-orch status, issue-orch stop --all, or issue-orch run again"
                    if left
                    else ""
                )
            )
            return 130
    return int(not passed.ok)


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def loop(coordinator: Coordinator, once: bool, until_idle: bool) -> Passed:
    """Passes until interrupted; a worker that ended makes room, which is filled without waiting for the interval."""
    while True:
        passed = coordinator.pass_once(Clock(time.time(), time.monotonic()))
        if once or (until_idle and passed.idle):
            return passed
        active = coordinator.active()
        due = time.monotonic() + coordinator.options.interval
        while (rest := due - time.monotonic()) > 0:
            time.sleep(min(LOOK, rest))
            coordinator.narrator.observe(coordinator.context, time.time())
            if active - coordinator.active():
                break


def tell(text: str, needs_you: bool) -> None:
    """One line for each thing that happened, with a bell for what needs a person."""
    bell = "\a" if needs_you and sys.stderr.isatty() else ""
    start, end = ("\x1b[33m", "\x1b[0m") if needs_you and colours(sys.stderr) else ("", "")
    say(f"{time.strftime('%H:%M:%S')} {start}{sanitise(redact(text))}{end}{bell}")
