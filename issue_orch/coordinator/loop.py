"""The coordinator of a clone: passes that take up sessions, ask GitHub, start what is ready, and say what happened.

It holds nothing that must survive: whatever it decides from is on disk or on GitHub, so it may be killed at any moment.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from ..actions import spawn
from ..actions.context import Context, connect, find_default, last_base, open_context
from ..actions.facts import fetch_labelled, fetch_me, fetch_open_pulls, gather, rules_of
from ..actions.steer import start_worker
from ..actions.taken import Branches, look_elsewhere
from ..config.keys import Config
from ..core.history import Counters, counters
from ..core.lifecycle import calling
from ..core.model import RateFacts
from ..core.plan import LONGEST_BACKOFF, Eligible, Failure, Plan, next_failure, next_starts
from ..core.plan import plan as make_plan
from ..core.ready import recorded
from ..core.record import SessionStatus
from ..errors import Expected, GitHubError, LeaseHeld, RateLimited
from ..github.client import GitHub
from ..store import ledger
from ..store.files import (
    iso,
    load_json,
    load_sessions,
    seconds,
    session_numbers,
    write_json,
)
from ..store.history import load_entries, load_lines
from ..store.inbox import pending
from ..store.leases import probe
from ..terminal.sessions import rate_text
from .follow_up import poll
from .narration import Narrator, Tell

BREAKER = 3
NEVER = Failure(0, 0)
ON_ITS_OWN = ("lost its worker", "has a new day's budget")  # which waits for a free place


class Clock(NamedTuple):
    """One moment by both clocks, in seconds: since the epoch, and steady (which stands still during a suspend)."""

    wall: float
    steady: float


class Options(NamedTuple):
    """`flags` are configuration values of the command line; `interval` is in seconds."""

    flags: Mapping[str, Any]
    interval: float
    stack: bool
    serialize: bool
    verbose: bool


class Passed(NamedTuple):
    """How a pass went. `idle`: nothing runs, and nothing is to be done that a person need not begin."""

    ok: bool
    idle: bool


def gapped(before: Clock | None, now: Clock, interval: float) -> bool:
    """Whether we slept, were stopped, or the clock was set: then times on disk say nothing for the moment."""
    if before is None:
        return False
    moved = (now.wall - before.wall) - (now.steady - before.steady)
    return abs(moved) > 30 or now.steady - before.steady > 3 * interval + 120


def why_take_up(status: SessionStatus, kinds: set[str], now: float) -> str | None:
    """Why a session whose lease nobody holds should get its worker; None when it should not."""
    if status["status"] == "cancelled":
        return None
    if status["hold"]:
        return "was told to go on" if "resume" in kinds else None
    if kinds & {"guidance", "resume"}:
        return "has guidance that was not delivered"
    if status["publish"] and status["publish"]["pending"]:
        return "has a pull to publish"
    cut_off = status["status"] == "registered" and not status["attempt"]  # dispatch takes it up
    rests = cut_off or status["status"] in {"stuck", "complete"}
    return None if rests or seconds(status["retryAt"] or "") > now else "lost its worker"


class Breaker:
    """Counts starts of different issues that fail in the same way, one after the other."""

    def __init__(self) -> None:
        self.message, self.issues, self.until = "", set[int](), 0.0

    def note(self, number: int, error: Expected | None, now: float) -> bool:
        """True when dispatch stops now."""
        message = re.sub(r"^#\d+: ", "", error.message) if error else ""
        self.issues = {number} | (self.issues if message == self.message else set())
        self.message = message
        trips = bool(message) and len(self.issues) >= BREAKER
        if trips:
            self.until = now + LONGEST_BACKOFF
        return trips


class Coordinator:
    """Lives as long as `run`. Its memory is what it told already, and when what failed is due again."""

    def __init__(self, context: Context, options: Options, tell: Tell) -> None:
        self.context, self.options, self.tell = context, options, tell
        self.starts: dict[int, Failure] = {}
        self.tries: dict[int, Failure] = {}
        self.narrator = Narrator(tell)
        self.breaker = Breaker()
        self.clock: Clock | None = None
        self.not_before = 0.0
        self.me: str | None = None

    @property
    def config(self) -> Config:
        return self.context.config

    def pass_once(self, clock: Clock) -> Passed:
        now, judging = clock.wall, not gapped(self.clock, clock, self.options.interval)
        self.clock = clock
        if not judging:
            self.not_before = 0.0
            self.tell(
                "the clock jumped, or this machine slept: nothing is judged by its time in this pass",
                False,
            )
        self._reread()
        due = now if judging else 0.0
        left = self._take_up(due)
        waiting = self._ask_github(now, due)
        self.narrator.narrate(self.context, now, judging)
        return Passed(waiting is not None, waiting is False and not left and not self.active())

    def _reread(self) -> None:
        try:
            context = open_context(self.options.flags)
        except Expected as error:
            text = f"the configuration as it is now does not count, the last good one does: {error.message}"
            return self.narrator.tell_once("configuration", text, True)
        self.narrator.tell_once("configuration", "")
        if context.config != self.config:
            self.breaker = Breaker()
            self.tell("the configuration was read again", False)
        self.context = context

    def active(self) -> set[int]:
        """Sessions whose lease is held: by a supervisor, or by a command that is at work on it."""
        return {
            number
            for number in session_numbers(self.context.state)
            if probe(self.context.state, number)
        }

    # -- sessions that have no worker and should have one

    def _take_up(self, now: float) -> bool:
        """Relaunch what is due. Returns whether something is left that will be due by itself."""
        active, left, due = self.active(), False, dict[int, str]()
        for status in load_sessions(self.context.state)[0]:
            number = status["issueNumber"]
            if number in active:
                continue
            why, tried = self._why_due(status, now), self.tries.get(number)
            if why is None:
                self.tries.pop(number, None)
                left |= status["retryAt"] is not None and not status["hold"]
            elif tried and tried.retry_at > now:
                left |= self._is_worth_trying(tried)
            elif why not in ON_ITS_OWN or len(active) + len(due) < self.config.max_workers:
                due[number] = why
        with ThreadPoolExecutor(max_workers=4) as pool:
            errors = pool.map(self._relaunch, due)
            for (number, why), error in zip(due.items(), errors, strict=True):
                self._count_failure(self.tries, number, now)
                words = f"could not be taken up: {error.message}" if error else "taken up again"
                self.tell(f"#{number} {why}: {words}", error is not None)
                left |= self._is_worth_trying(self.tries[number])
        return left

    def _why_due(self, status: SessionStatus, now: float) -> str | None:
        """As why_take_up. The history is read only where it matters."""
        state, number = self.context.state, status["issueNumber"]
        inbox = pending(state, number)
        counted = counters(load_entries(state, number)) if inbox else Counters()
        why = why_take_up(status, calling(status["status"], inbox, counted), now)
        if why is None and status["hold"] == "budget" and self._is_new_day(number, now):
            return "has a new day's budget"
        return why

    def _is_new_day(self, number: int, now: float) -> bool:
        """Whether the budget held the session on an earlier day, and there is room now."""
        lines = load_lines(self.context.state, number)
        held = [str(line.get("at")) for line in lines if line.get("kind") == "held"]
        room = self._room(number, now)
        return bool(held) and held[-1][:10] < iso(now)[:10] and (room is None or room.usd > 0)

    def _room(self, number: int, now: float) -> ledger.Room | None:
        return ledger.room(self.context.state, number, self.context.ceilings, now)

    def _count_failure(self, failures: dict[int, Failure], number: int, now: float) -> None:
        failures[number] = next_failure(failures.get(number), now, self.options.interval)

    def _is_worth_trying(self, failed: Failure) -> bool:
        return failed.in_a_row <= self.config.retries

    def _relaunch(self, number: int) -> Expected | None:
        try:
            start_worker(self.context, number, "run")
        except Expected as error:
            return error
        return None

    # -- GitHub

    def _ask_github(self, now: float, due: float) -> bool | None:
        """Whether an issue waits for its start; None: GitHub did not answer. What fails is said; workers go on."""
        if now < self.not_before:
            return None
        try:
            with connect(self.context) as gh:
                for line in poll(self.context, gh, now):
                    self.tell(line, False)
                waiting = self._dispatch(gh, now, due)
                self._heed_rate(gh.rate, now)
        except RateLimited as error:
            self.not_before = error.until
            at = time.strftime("%H:%M:%S", time.localtime(error.until))
            self.tell(f"{error.message}; asking again at {at}, workers go on", False)
            return None
        except GitHubError as error:
            hint = f" (next: {error.hint})" if error.hint else ""
            self.narrator.tell_once("github", f"pass skipped, workers go on: {error.message}{hint}")
            return None
        self.narrator.tell_once("github", "")
        return waiting

    def _heed_rate(self, rate: RateFacts, now: float) -> None:
        """With a tenth of the limit left, passes go to GitHub ten times until it is renewed."""
        if self.options.verbose:
            self.tell(rate_text({**rate._asdict(), "at": iso(now)}, now), False)
        if None not in rate and 10 * (rate.remaining or 0) < (rate.limit or 0):
            self.not_before = now + max(
                self.options.interval, min(((rate.reset or 0) - now) / 10, LONGEST_BACKOFF)
            )

    def _dispatch(self, gh: GitHub, now: float, due: float) -> bool:
        """Start what is ready and fits, of what failed what is `due`. Returns whether something more will start by itself."""
        active, slots, branches = self.active(), self.config.max_workers, Branches(self.context)
        found = self._fetch_plan(gh, branches, slots > len(active))
        self.narrator.tell_taken(found)
        room = self._room(0, now)
        full = f"{room.why}; nothing is started" if room and room.usd <= 0 else ""
        self.narrator.tell_once("budget", full, True)
        chosen: tuple[Eligible, ...] = ()
        if not full and now >= self.breaker.until:
            chosen = next_starts(found, slots, active, self.starts, due)
        if self.options.verbose:
            taken = f"{len(active) + len(chosen)} of {slots} places are taken"
            self.narrator.explain(found, {each.issue.number for each in chosen}, self.starts, taken)
        starts = self._make(gh, chosen, branches, now)

        def tell(start: spawn.Start, error: Expected | None) -> None:
            self._count_start(start.number, error, now)
            self.narrator.observe(self.context, time.time())

        spawn.spawn(self.context, starts, tell=tell)
        again = {each.issue.number for each in found.eligible} - found.held.keys() - self.active()
        return (
            not full
            and now >= self.breaker.until
            and any(map(self._is_worth_trying, (self.starts.get(each, NEVER) for each in again)))
        )

    def _fetch_plan(self, gh: GitHub, branches: Branches, free: bool) -> Plan:
        """The plan, in which only what a person with write permission approved as it reads now is eligible. The remote is
        asked when a place is free."""
        context, options = self.context, self.options
        issues = gh.fetch_issues(context.config.ready_labels)
        if self.me is None and any(issue.assignees for issue in issues):
            self.me = fetch_me(gh)
        rules = rules_of(context, self.me, options.stack, serialize=options.serialize)
        pulls = fetch_open_pulls(context, gh, options.serialize)
        merged = gh.fetch_merged_pulls() if free else ()
        facts = gather(context, gh, issues, pulls, merged, options.serialize)
        if free:
            facts = look_elsewhere(context, gh, facts, rules, branches, False)
        offered = make_plan(facts, rules, context.config.max_workers)
        ready = {each.issue.number: each.issue for each in offered.eligible}
        labelled = gh.each(lambda number: fetch_labelled(gh, ready[number], rules), ready)
        path = context.state / "ready.json"
        known = load_json(path) or {}
        texts = recorded(known, issues, labelled)
        if texts != known:
            write_json(path, texts, durable=True)
        first = {int(number): entry["hash"] for number, entry in texts.items()}
        return make_plan(
            facts._replace(labelled=labelled, first_texts=first),
            rules._replace(trust=True),
            context.config.max_workers,
        )

    def _make(
        self, gh: GitHub, chosen: Sequence[Eligible], branches: Branches, now: float
    ) -> list[spawn.Start]:
        """What is to be started; one that cannot be prepared does not keep back the others."""
        if not chosen:
            return []
        try:
            default = find_default(self.context, last_base(self.context), lambda: gh)
            return spawn.make_starts(self.context, chosen, branches, default)
        except GitHubError:
            raise
        except Expected as error:
            if len(chosen) == 1:
                self._count_start(chosen[0].issue.number, error, now)
                return []
        return [start for each in chosen for start in self._make(gh, [each], branches, now)]

    def _count_start(self, number: int, error: Expected | None, now: float) -> None:
        if isinstance(error, LeaseHeld):
            return
        if error is None:
            self.starts.pop(number, None)
            self.tell(f"#{number} started", False)
        else:
            self._count_failure(self.starts, number, now)
            hint = f" ({error.hint})" if error.hint else ""
            self.tell(
                f"#{number} could not be started: {re.sub(r'^#[0-9]+: ', '', error.message)}{hint}",
                True,
            )
        if self.breaker.note(number, error, now):
            self.tell(
                f"nothing more is started for {LONGEST_BACKOFF / 60:.0f} min: {BREAKER} starts failed in the same "
                "way; mend it, then change the configuration, or Ctrl-C and run again",
                True,
            )
