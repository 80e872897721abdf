"""The coordinator of a clone: passes that take up sessions, ask GitHub, start what is ready, and say what happened.

It holds nothing that must survive: whatever it decides from is on disk or on GitHub, so it may be killed at any moment.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from ..actions import launch, spawn
from ..actions.context import Context, connect, open_context
from ..actions.facts import fetch_labelled, fetch_me, gather, rules_of
from ..config.keys import Config
from ..core import lifecycle
from ..core.history import Counters, counters
from ..core.model import RateFacts
from ..core.plan import LONGEST_BACKOFF, Eligible, Failure, Plan, next_failure, next_starts
from ..core.plan import plan as make_plan
from ..core.ready import recorded
from ..core.record import SessionStatus
from ..errors import Expected, GitHubError, LeaseHeld, RateLimited
from ..store import ledger
from ..store.files import (
    iso,
    load_json,
    load_status,
    seconds,
    session_numbers,
    write_json,
)
from ..store.history import load_entries, load_lines
from ..store.inbox import pending
from ..store.leases import probe, take
from ..store.look import look_all
from ..terminal.sessions import rate_text
from .narration import Narrator, Tell

if TYPE_CHECKING:
    from ..github.client import GitHub

BREAKER = 3


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
    if status["status"] in {"stuck", "complete"} or not (
        status["attempt"] or status["status"] != "registered"
    ):
        return None  # the last: a start that was cut off, which dispatch takes up
    if status["retryAt"] and seconds(status["retryAt"]) > now:
        return None
    return "lost its worker"


class Breaker:
    """Counts starts of different issues that fail in the same way, one after the other."""

    def __init__(self) -> None:
        self.message, self.issues, self.until = "", set[int](), 0.0

    def note(self, number: int, error: Expected | None, now: float) -> bool:
        """True when dispatch stops now."""
        message = re.sub(r"^#\d+: ", "", error.message) if error else ""
        if message != self.message:
            self.message, self.issues = message, set()
        if not message:
            return False
        self.issues.add(number)
        if len(self.issues) >= BREAKER:
            self.until = now + LONGEST_BACKOFF
        return len(self.issues) >= BREAKER


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
        self.reread()
        left = self.take_up(now if judging else 0.0)
        ok, waiting = self.ask_github(now, judging)
        self.narrator.observe(self.context, now)
        self.narrator.notice_overlaps(self.context, now)
        self.narrator.warn(self.context, now)
        if judging:
            self.narrator.remind(self.context, now)
        return Passed(ok, ok and not waiting and not left and not self.active())

    def reread(self) -> None:
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

    def take_up(self, now: float) -> bool:
        """Relaunch what is due. Returns whether something is left that will be due by itself."""
        state, active, left = self.context.state, self.active(), False
        due: list[tuple[int, str]] = []
        for seen in look_all(state, now)[0]:
            status, number = seen.status, seen.status["issueNumber"]
            if number in active:
                continue
            why = why_take_up(status, self.calling(status), now)
            if why is None and status["hold"] == "budget" and self.is_new_day(number, now):
                why = "has a new day's budget"
            tried = self.tries.get(number)
            if why is None:
                self.tries.pop(number, None)
                left = left or (status["retryAt"] is not None and not status["hold"])
            elif tried and tried.retry_at > now:
                left = left or tried.in_a_row <= self.config.retries
            elif (
                why not in {"lost its worker", "has a new day's budget"}
                or len(active) + len(due) < self.config.max_workers
            ):
                due.append((number, why))
        with ThreadPoolExecutor(max_workers=4) as pool:
            for (number, why), error in zip(
                due, pool.map(self.relaunch, [number for number, _ in due]), strict=True
            ):
                self.tries[number] = next_failure(
                    self.tries.get(number), now, self.options.interval
                )
                words = f"could not be taken up: {error.message}" if error else "taken up again"
                self.tell(f"#{number} {why}: {words}", error is not None)
                left = left or self.tries[number].in_a_row <= self.config.retries
        return left

    def calling(self, status: SessionStatus) -> set[str]:
        """The kinds of messages that want a worker; the history is asked only where it matters."""
        state, number = self.context.state, status["issueNumber"]
        inbox = pending(state, number)
        counted = (
            counters(load_entries(state, number))
            if inbox and status["status"] == "stuck"
            else Counters()
        )
        return lifecycle.calling(status["status"], inbox, counted)

    def is_new_day(self, number: int, now: float) -> bool:
        """Whether the budget held the session on an earlier day, and there is room now."""
        held = [
            str(line.get("at"))
            for line in load_lines(self.context.state, number)
            if line.get("kind") == "held"
        ]
        room = ledger.room(self.context.state, number, launch.ceilings(self.config), now)
        return bool(held) and held[-1][:10] < iso(now)[:10] and (room is None or room.usd > 0)

    def relaunch(self, number: int) -> Expected | None:
        try:
            with take(self.context.state, number, "run", wait=0) as lease:
                status = load_status(self.context.state, number)
                if status is not None:
                    launch.relaunch(self.context, status, lease)
        except LeaseHeld:
            return None  # somebody else does it
        except Expected as error:
            return error
        return None

    # -- GitHub

    def ask_github(self, now: float, judging: bool) -> tuple[bool, bool]:
        """(whether GitHub answered, whether an issue waits for its start). What fails is said; workers go on."""
        if now < self.not_before:
            return False, True
        try:
            with connect(self.context) as gh:
                from .follow_up import poll

                for line in poll(self.context, gh, now):
                    self.tell(line, False)
                waiting = self.dispatch(gh, now, judging)
                self.heed_rate(gh.rate, now)
        except RateLimited as error:
            self.not_before = error.until
            at = time.strftime("%H:%M:%S", time.localtime(error.until))
            self.tell(f"{error.message}; asking again at {at}, workers go on", False)
            return False, True
        except GitHubError as error:
            hint = f" (next: {error.hint})" if error.hint else ""
            self.narrator.tell_once("github", f"pass skipped, workers go on: {error.message}{hint}")
            return False, True
        self.narrator.tell_once("github", "")
        return True, waiting

    def heed_rate(self, rate: RateFacts, now: float) -> None:
        """With a tenth of the limit left, passes go to GitHub ten times until it is renewed."""
        if self.options.verbose:
            self.tell(rate_text({**rate._asdict(), "at": iso(now)}, now), False)
        if None not in rate and 10 * (rate.remaining or 0) < (rate.limit or 0):
            self.not_before = now + max(
                self.options.interval, min(((rate.reset or 0) - now) / 10, LONGEST_BACKOFF)
            )

    def dispatch(self, gh: GitHub, now: float, judging: bool) -> bool:
        """Start what is ready and fits. Returns whether something more will start by itself."""
        found = self.fetch_plan(gh, now)
        active = self.active()
        room = ledger.room(self.context.state, 0, launch.ceilings(self.config), now)
        full = room.why + "; nothing is started" if room and room.usd <= 0 else ""
        self.narrator.tell_once("budget", full, True)
        stopped = now < self.breaker.until
        chosen = (
            ()
            if full or stopped
            else next_starts(
                found, self.config.max_workers, active, self.starts, now if judging else 0.0
            )
        )
        if self.options.verbose:
            taken = f"{len(active) + len(chosen)} of {self.config.max_workers} places are taken"
            self.narrator.explain(found, {each.issue.number for each in chosen}, self.starts, taken)
        for outcome in spawn.spawn(self.context, self.make(gh, chosen, now)):
            self.count_start(outcome.number, outcome.error, now)
        if full or now < self.breaker.until:
            return False
        again = {each.issue.number for each in found.eligible} - found.held.keys() - self.active()
        return any(
            self.starts.get(number, Failure(0, 0)).in_a_row <= self.config.retries
            for number in again
        )

    def fetch_plan(self, gh: GitHub, now: float) -> Plan:
        """The plan, in which only what a person with write permission approved as it reads now is eligible."""
        context, options = self.context, self.options
        issues = gh.fetch_issues(context.config.ready_labels)
        if self.me is None and any(issue.assignees for issue in issues):
            self.me = fetch_me(gh)
        rules = rules_of(context, self.me, options.stack, serialize=options.serialize)
        facts = gather(context, gh, issues, with_files=options.serialize)
        offered = make_plan(facts, rules, context.config.max_workers)
        labelled = {
            each.issue.number: fetch_labelled(gh, each.issue, rules) for each in offered.eligible
        }
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

    def make(self, gh: GitHub, chosen: Sequence[Eligible], now: float) -> list[spawn.Start]:
        """What is to be started; one that cannot be prepared does not keep back the others."""
        if not chosen:
            return []
        try:
            return spawn.make_starts(self.context, gh, list(chosen), reuse=False)
        except GitHubError:
            raise
        except Expected as error:
            if len(chosen) == 1:
                self.count_start(chosen[0].issue.number, error, now)
                return []
        return [start for each in chosen for start in self.make(gh, [each], now)]

    def count_start(self, number: int, error: Expected | None, now: float) -> None:
        if isinstance(error, LeaseHeld):
            return
        if error is None:
            self.starts.pop(number, None)
            self.tell(f"#{number} started", False)
        else:
            self.starts[number] = next_failure(self.starts.get(number), now, self.options.interval)
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
