"""What a session costs: what its agent says is booked, and each attempt has its share of the budget."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ..agents.base import Adapter
from ..core.history import Started
from ..core.outcomes import Turn, estimate, fold, told
from ..core.prices import Prices, Usage, book, counter, price, reading_after, went_down
from ..core.record import SessionStatus
from ..store import ledger
from ..store.files import session_folder
from ..store.launch import Launch
from ..store.leases import take
from ..store.log import LogReader


class Books:
    """Lives with its session: the only writer of the ledger. `share` is what the running attempt may spend, in dollars."""

    def __init__(
        self,
        state: Path,
        status: SessionStatus,
        launch: Launch,
        adapter: Adapter,
        keep: Callable[..., None],
    ) -> None:
        self.state, self.status, self.adapter, self.keep = state, status, adapter, keep
        self.number, agent = status["issueNumber"], launch["agent"]
        self.slots, self.ceilings = launch["slots"], ledger.Ceilings(**launch["budget"])
        self.prices = Prices(**agent["prices"]) if agent["prices"] else None
        # The ledger outlives sessions: the attempts of an earlier one have the same numbers.
        since = status["startedAt"]
        self.readings = ledger.readings(state, self.number, since)
        self.booked = ledger.of_attempt(state, self.number, status["attempt"], since)
        self.share: float | None = None

    def spent(self) -> str | None:
        """Why nothing may be spent any more; None when something may."""
        room = ledger.room(self.state, self.number, self.ceilings, time.time())
        return room.why if room is not None and room.usd <= 0 else None

    def reserve(self) -> bool:
        """Reserve for the next attempt, before anything of it is written; False when nothing may start."""
        self.booked = []
        if not self.ceilings.limited:
            return True
        with take(self.state, "admission", "budget", wait=30):
            room = ledger.reserve(
                self.state,
                self.number,
                self.status["attempt"] + 1,
                self.ceilings,
                self.slots,
                time.time(),
            )
        self.share = room.usd if room else None
        return self.share is None or self.share > 0

    def release(self) -> None:
        """Set free what the attempt had reserved."""
        if self.ceilings.limited:
            attempt = self.status["attempt"]
            self.keep(ledger.reserve_line, self.state, self.number, time.time(), attempt, None)

    def book(self, seen: Turn, lost: bool = False) -> Turn:
        """Book what the counter moved by. When the run was `lost`, less than before means that the start is missing."""
        if seen.usage is None:
            return seen
        usage = price(seen.usage, self.prices)
        name = counter(self.status["agent"], seen.session_id, self.status["attempt"], usage)
        if lost and went_down(self.readings.get(name), usage):
            return seen._replace(unknown=True)
        self._move(name, usage, unknown=seen.unknown)
        return seen

    def book_rest(self, seen: Turn, exit_code: int) -> None:
        """What was not said of a launch is booked as an estimate, or as unknown: never as nothing."""
        rough = estimate(seen, self.prices or self.adapter.CAPABILITIES.estimate)
        if rough is not None:
            name = f"{self.status['agent']}:{seen.session_id}"
            moved = reading_after(self.readings.get(name), rough, exit_code)
            apart = f"estimate-{self.status['attempt']}"
            self._move(name if moved else apart, moved or rough, is_estimate=True)
        known = told(seen, exit_code, bool(self.booked))
        if not self.booked or (not known and None not in self.booked):
            self._write("unsaid", Usage("process", 0.0 if known else None, 0, 0), None)

    def book_lost(self, started: Started, survived: bool) -> None:
        """Book what a run said whose supervisor was killed: its part of the log again. What was booked counts once."""
        seen = Turn(session_id=self.status["agentSessionId"])
        log = session_folder(self.state, self.number) / "agent.log"
        for line, _ in LogReader(log, place=started.log).read():
            for event in self.adapter.parse(line):
                seen = fold(seen, event, time.time(), self.prices)
        self.book_rest(self.book(seen, lost=True), -15 if survived else -9)

    def _move(
        self, name: str, usage: Usage, is_estimate: bool = False, unknown: bool = False
    ) -> None:
        """`unknown`: a call whose dollars nobody knows moved the tokens alone."""
        reading, delta = book(self.readings.get(name), usage)
        if not (delta.usd or delta.input_tokens or delta.output_tokens):
            return
        self.readings[name] = reading._replace(scope="rough") if is_estimate else reading
        if unknown:
            delta = delta._replace(usd=delta.usd or None)
        self._write(name, delta, reading, is_estimate)

    def _write(
        self, name: str, delta: Usage, reading: Usage | None, is_estimate: bool = False
    ) -> None:
        self.booked.append(delta.usd)
        self.keep(
            ledger.book_line,
            self.state,
            self.number,
            time.time(),
            self.status["attempt"],
            self.status["agent"],
            name,
            delta,
            reading,
            is_estimate,
        )
        sums = ledger.booked(self.state, self.number)
        self.status["cost"] = {
            "usd": sums.known,
            "inputTokens": sum(each.input_tokens for each in sums.bookings),
            "outputTokens": sum(each.output_tokens for each in sums.bookings),
        }
