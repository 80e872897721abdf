"""`issue-orch run`: the coordinator in the foreground. Interrupting it leaves the workers at work."""

from __future__ import annotations

import signal
import sys
import time

from ..actions.context import open_context
from ..config.layers import known_agent
from ..coordinator.loop import Clock, Coordinator, Options, Passed
from ..errors import LeaseHeld
from ..store.leases import probe, take
from ..terminal.io import colours, say, warn
from ..terminal.sessions import paint
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
    known_agent(context.config)
    warn(*context.config.warnings)
    holder = probe(context.state, "run")
    if holder:
        words = f"`run` is at work in this clone already (pid {holder.pid})"
        raise LeaseHeld(words, "issue-orch status")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with take(context.state, "run", "run", wait=0):
        coordinator = Coordinator(context, options, _tell)
        try:
            passed = _loop(coordinator, once, until_idle)
        except KeyboardInterrupt:
            left = len(coordinator.active())
            go_on = "worker goes on" if left == 1 else "workers go on"
            say(f"\ndetached: {left} {go_on} without it; nothing new is started")
            if left:
                say("  next: issue-orch status, issue-orch stop --all, or issue-orch run again")
            return 130
    return int(not passed.ok)


def _loop(coordinator: Coordinator, once: bool, until_idle: bool) -> Passed:
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


def _tell(text: str, needs_you: bool) -> None:
    """One line for each thing that happened, with a bell for what needs a person."""
    bell = "\a" * (needs_you and sys.stderr.isatty())
    line = paint(sanitise(redact(text)), "yellow", needs_you and colours(sys.stderr))
    say(f"{time.strftime('%H:%M:%S')} {line}{bell}")
