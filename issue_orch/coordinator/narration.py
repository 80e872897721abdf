"""What `run` tells people: each thing once, by a line, a bell, or a notification."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..actions import launch
from ..actions.context import Context
from ..actions.facts import changed_files
from ..core.headline import next_command
from ..core.overlap import Item, overlaps
from ..core.plan import Failure, Plan
from ..core.record import SessionStatus
from ..process.helper import tell_helper
from ..store import ledger
from ..store.files import seconds, session_folder, write_text
from ..store.launch import Notifying
from ..store.leases import probe
from ..store.look import look_all
from ..text import one_line

SILENT = frozenset(
    {"QUIET", "STARTING", "CRASHED", "MERGED", "CLOSED"}
)  # said elsewhere, or nothing to say

ENDED = frozenset({"CANCELLED", "MERGED", "CLOSED"})

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

    def explain(
        self, found: Plan, chosen: set[int], failures: Mapping[int, Failure], taken: str
    ) -> None:
        """Why each issue was or was not started; said again when it changes."""
        held = {
            number: f"waits for #{on}, which touches {path}"
            for number, (on, path) in found.held.items()
        }
        for each in found.ineligible:
            words = "; ".join(reason.text for reason in each.reasons)
            if {reason.kind for reason in each.reasons} & {"active_session", "session_complete"}:
                continue  # its session says how it goes
            self.tell_once(f"why {each.issue.number}", f"#{each.issue.number} not started: {words}")
        for one in found.eligible:
            number, failed = one.issue.number, failures.get(one.issue.number)
            words = (
                f"its start failed {failed.in_a_row} times, and is tried again later"
                if failed
                else taken
            )
            text = (
                f"#{number} is ready"
                if number in chosen
                else f"#{number} not started: {held.get(number) or words}"
            )
            self.tell_once(f"why {number}", text)

    def observe(self, context: Context, now: float) -> None:
        """Say what changed in the sessions since the last look."""
        found, problems = look_all(context.state, now)
        for problem in problems:
            self.tell_once(problem, problem, True)
        for seen in found:
            number, label = seen.status["issueNumber"], seen.headline.label
            if label in SILENT or self.labels.get(number) == label:
                continue
            self.labels[number] = label
            why, needs_you = one_line(seen.headline.why, 160), seen.headline.needs_you
            next_ = f"  -> {next_command(seen.status, label)}" if needs_you else ""
            self.tell(f"#{number} {label}{why and f': {why}'}{next_}", needs_you)

    def notice_overlaps(self, context: Context, now: float) -> None:
        """Say once of which live worktrees change the same files."""
        live = [
            seen.status
            for seen in look_all(context.state, now)[0]
            if seen.headline.label not in ENDED
        ]
        items = [
            Item(
                status["issueNumber"],
                False,
                dict.fromkeys(self.changed_names(context, status), "actual"),
            )
            for status in live
        ]
        for each in overlaps(items, {item.number for item in items}):
            who = " and ".join(f"#{touch.number}" for touch in each.touches)
            key = f"overlap {who}"
            if key not in self.told:
                more = f" and {len(each.files) - 1} more" if len(each.files) > 1 else ""
                self.tell_once(
                    key, f"{who} change the same file: {one_line(each.files[0], 80)}{more}"
                )

    def changed_names(self, context: Context, status: SessionStatus) -> tuple[str, ...]:
        """Files that its worktree changed; asked of git again while its worker lives, and after that once."""
        number, stamp = status["issueNumber"], (status["attempt"], status["changes"])
        if self.names.get(number, (None,))[0] != stamp or probe(context.state, number):
            self.names[number] = (stamp, changed_files(context, status))
        return self.names[number][1]

    def warn(self, context: Context, now: float) -> None:
        for key, text in ledger.warnings(context.state, launch.ceilings(context.config), now):
            if f"budget {key}" not in self.told:
                self.tell_once(f"budget {key}", text, True)

    def remind(self, context: Context, now: float) -> None:
        """Notify once of a question that is open for long; marked by a file, so that a new `run` does not repeat it."""
        limit = context.config.notify_after_minutes * 60
        for seen in look_all(context.state, now)[0] if limit else ():
            status, question = seen.status, seen.status["question"]
            if (
                status["status"] != "stuck"
                or not question
                or now - seconds(question["askedAt"]) < limit
            ):
                continue
            mark = session_folder(context.state, status["issueNumber"]) / "reminded"
            if mark.exists() and mark.read_text() == question["id"]:
                continue
            write_text(mark, question["id"])
            decision = one_line(question["decision"], 160)
            self.tell(f"#{status['issueNumber']} still waits for an answer: {decision}", True)
            told: Notifying = {
                "notify": launch.channels(context.config),
                "commonDir": context.repo.common_dir,
            }
            tell_helper(
                "notify",
                kind="waiting",
                text=question["decision"],
                status=dict(status),
                launch=told,
            )
