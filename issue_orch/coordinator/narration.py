"""What `run` tells people: each thing once, by a line, a bell, or a notification."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..actions.context import Context
from ..actions.facts import changed_files
from ..core.headline import next_command
from ..core.overlap import Item, overlaps
from ..core.plan import Failure, Plan, reason_words
from ..core.ready import ELSEWHERE
from ..core.record import SessionStatus
from ..process.helper import tell_helper
from ..store import ledger
from ..store.files import load_text, seconds, session_folder, write_text
from ..store.launch import Notifying
from ..store.leases import probe
from ..store.look import Seen, look_all
from ..text import one_line

# said elsewhere, or nothing to say
SILENT = ("QUIET", "STARTING", "CRASHED", "ELSEWHERE", "MERGED", "CLOSED")
ENDED = ("CANCELLED", "MERGED", "CLOSED")

Tell = Callable[[str, bool], None]  # the line, and whether it needs a person


class Narrator:
    """Remembers what was told."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell
        self.told: dict[str, str] = {}
        self.labels: dict[int, str] = {}
        self.names: dict[int, tuple[object, tuple[str, ...]]] = {}

    def tell_once(self, key: str, text: str, needs_you: bool = False) -> None:
        """Say it unless it was said last for this key. An empty text forgets."""
        if self.told.get(key, "") != text:
            self.told[key] = text
            if text:
                self.tell(text, needs_you)

    def tell_taken(self, found: Plan) -> None:
        """Say once of what would start that it is done, or taken, elsewhere."""
        for each in found.ineligible:
            kinds = {reason.kind for reason in each.reasons}
            if kinds and kinds <= ELSEWHERE:
                words = "; ".join(map(reason_words, each.reasons))
                number = each.issue.number
                self.tell_once(f"taken {number}", f"#{number} could not be started: {words}", True)

    def explain(
        self, found: Plan, chosen: set[int], failures: Mapping[int, Failure], taken: str
    ) -> None:
        """Why each issue was or was not started; said again when it changes."""
        for each in found.ineligible:
            kinds = {reason.kind for reason in each.reasons}
            if kinds & {"active_session", "session_complete"} or kinds <= ELSEWHERE:
                continue  # its session says how it goes, or it was said
            words = "; ".join(reason.text for reason in each.reasons)
            self.tell_once(f"why {each.issue.number}", f"#{each.issue.number} not started: {words}")
        for one in found.eligible:
            number, why = one.issue.number, taken
            if number in found.held:
                on, path = found.held[number]
                why = f"waits for #{on}, which touches {path}"
            elif number in failures:
                times = failures[number].in_a_row
                why = f"its start failed {times} times, and is tried again later"
            how = "is ready" if number in chosen else f"not started: {why}"
            self.tell_once(f"why {number}", f"#{number} {how}")

    def narrate(self, context: Context, now: float, judging: bool) -> None:
        """Say what is new; without `judging` nothing that hangs on times."""
        seen = self.observe(context, now)
        self._notice_overlaps(context, seen)
        self._warn(context, now)
        if judging:
            self._remind(context, seen, now)

    def observe(self, context: Context, now: float) -> list[Seen]:
        """Say what changed in the sessions since the last look; returns them."""
        found, problems = look_all(context.state, now)
        for problem in problems:
            self.tell_once(problem, problem, True)
        for seen in found:
            number, label = seen.status["issueNumber"], seen.headline.label
            if label in SILENT or self.labels.get(number) == label:
                continue
            self.labels[number] = label
            why, needs_you = one_line(seen.headline.why, 160), seen.headline.needs_you
            command = next_command(seen.status, label)
            if " open " in command:
                command += f": {seen.status['pullRequestUrl']}"
            next_ = f"  -> {command}" if needs_you else ""
            self.tell(f"#{number} {label}{why and f': {why}'}{next_}", needs_you)
        return found

    def _notice_overlaps(self, context: Context, found: list[Seen]) -> None:
        """Say once of which live worktrees change the same files."""
        live = [seen.status for seen in found if seen.headline.label not in ENDED]
        names = {status["issueNumber"]: self._changed_names(context, status) for status in live}
        items = [Item(number, False, dict.fromkeys(names[number], "actual")) for number in names]
        for each in overlaps(items, names):
            who = " and ".join(f"#{touch.number}" for touch in each.touches)
            key = f"overlap {who}"
            if key not in self.told:
                more = f" and {len(each.files) - 1} more" if len(each.files) > 1 else ""
                file = one_line(each.files[0], 80)
                self.tell_once(key, f"{who} change the same file: {file}{more}")

    def _changed_names(self, context: Context, status: SessionStatus) -> tuple[str, ...]:
        """Files that its worktree changed; asked of git again while its worker lives, and after that once."""
        number, stamp = status["issueNumber"], (status["attempt"], status["changes"])
        if self.names.get(number, (None,))[0] != stamp or probe(context.state, number):
            self.names[number] = (stamp, changed_files(context, status))
        return self.names[number][1]

    def _warn(self, context: Context, now: float) -> None:
        for key, text in ledger.warnings(context.state, context.ceilings, now):
            if f"budget {key}" not in self.told:
                self.tell_once(f"budget {key}", text, True)

    def _remind(self, context: Context, found: list[Seen], now: float) -> None:
        """Notify once of a question that is open for long; marked by a file, so that a new `run` does not repeat it."""
        config = context.config
        limit = config.notify_after_minutes * 60
        for status in (seen.status for seen in found if limit):
            number, question = status["issueNumber"], status["question"]
            if status["status"] != "stuck" or not question:
                continue
            mark = session_folder(context.state, number) / "reminded"
            if now - seconds(question["askedAt"]) < limit or load_text(mark) == question["id"]:
                continue
            write_text(mark, question["id"])
            decision = question["decision"]
            self.tell(f"#{number} still waits for an answer: {one_line(decision, 160)}", True)
            launch: Notifying = {"notify": context.channels, "commonDir": context.repo.common_dir}
            tell_helper("notify", kind="waiting", text=decision, status=dict(status), launch=launch)
