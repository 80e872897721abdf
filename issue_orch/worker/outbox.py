"""What a worker reported: read from its outbox as untrusted input, and applied once; of an older attempt, noted only."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from ..core import history
from ..core.lifecycle import BUSY, Happening, after
from ..core.record import Question
from ..report import ALLOWED, SINGLE, STUCK_NEEDS
from ..store.files import iso, read_untrusted, seconds, write_text
from ..store.inbox import SIZE_LIMIT
from .session import Session

TEXT_FIELDS = frozenset(SINGLE.values())
LIST_FIELDS = frozenset({"options", "touches"})
AT_ONCE = 100
ROUNDS = 5  # after a turn: what the worker said last counts, whatever it flooded us with before
HISTORY_LIMIT = (
    2_000  # characters of a text in the history; a claim is kept whole, its pull is made of it
)


class Report(NamedTuple):
    """What a worker said of itself, from one file of the outbox. `attempt` is None when the file did not say."""

    id: str
    kind: str
    attempt: int | None
    fields: dict[str, Any]


def apply_reports(session: Session, rounds: int = 1) -> None:
    """Each round takes up to AT_ONCE."""
    known = {each.path for each in session.entries if isinstance(each, history.Refused)}
    for _ in range(rounds):
        reports, refused = load_reports(session.status["worktreePath"], known)
        for path, why in refused.items():
            known.add(path)
            session.entries.append(history.Refused(path, why))
            session.note(history.Refused(path, why))
        for path, report in reports.items():
            apply_report(session, report)
            try:
                os.unlink(path)  # it stands in the history
            except FileNotFoundError:
                pass
        if not reports and not refused:
            return


def load_reports(
    worktree: str, known: Collection[str] = ()
) -> tuple[dict[str, Report], dict[str, str]]:
    """Reports by their paths, in the order in which they were written, and why a file is refused; not the `known` ones."""
    folder = Path(worktree) / ".issue-orch" / "outbox"
    if folder.is_symlink() or folder.parent.is_symlink():
        return {}, {} if str(folder) in known else {str(folder): "the outbox is a symbolic link"}
    try:
        entries = [
            entry
            for entry in os.scandir(folder)
            if entry.name.endswith(".json") and not entry.name.startswith(".")
        ]
    except (FileNotFoundError, NotADirectoryError):
        return {}, {}
    entries.sort(key=_written)
    paths = [entry.path for entry in entries if entry.path not in known]
    found = {path: parse_report(Path(path)) for path in paths[:AT_ONCE]}
    return (
        {path: each for path, each in found.items() if isinstance(each, Report)},
        {path: each for path, each in found.items() if isinstance(each, str)},
    )


def _written(entry: os.DirEntry[str]) -> tuple[int, str]:
    """When, in nanoseconds; names tell those apart that one tick of the file system's clock wrote."""
    try:
        return entry.stat(follow_symlinks=False).st_mtime_ns, entry.name
    except FileNotFoundError:
        return 0, entry.name


def parse_report(path: Path) -> Report | str:
    """A report, or why the file is refused."""
    raw = read_untrusted(path, SIZE_LIMIT + 1)
    if raw is None:
        return "not a regular file"
    if len(raw) > SIZE_LIMIT:
        return f"larger than {SIZE_LIMIT} bytes"
    try:
        data = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        return "not JSON"
    if not isinstance(data, dict):
        return "not a JSON object"
    if not isinstance(data.get("kind"), str) or data["kind"] not in ALLOWED:
        return f"kind must be one of {', '.join(ALLOWED)}, not {data.get('kind')!r}"
    fields = {
        key: value
        for key, value in data.items()
        if key in TEXT_FIELDS | LIST_FIELDS and value is not None
    }
    for key, value in fields.items():
        if key in TEXT_FIELDS and not isinstance(value, str):
            return f"{key} must be a text"
        if key in LIST_FIELDS and not (
            isinstance(value, list) and all(isinstance(item, str) for item in value)
        ):
            return f"{key} must be a list of texts"
    if data["kind"] == "stuck" and not (fields.get("decision") or fields.get("reason")):
        return STUCK_NEEDS
    attempt = data.get("attempt")
    return Report(
        path.stem, str(data["kind"]), attempt if isinstance(attempt, int) else None, fields
    )


def apply_report(session: Session, report: Report) -> None:
    problem = why_not_accepted(session, report)
    fields = (
        report.fields
        if report.kind == "complete"
        else {
            name: value[:HISTORY_LIMIT]
            if isinstance(value, str)
            else [each[:HISTORY_LIMIT] for each in value[:AT_ONCE]]
            for name, value in report.fields.items()
        }
    )
    session.note(
        history.Report(
            report.kind, report.id, report.attempt, fields, problem is None, problem or ""
        )
    )
    if problem is None:
        session.acknowledge()
        apply_fields(session, report)


def why_not_accepted(session: Session, report: Report) -> str | None:
    phase, attempt = session.status["status"], session.status["attempt"]
    if report.attempt not in (None, attempt):
        return f"of attempt {report.attempt}, the current one is {attempt}"
    if report.kind == "complete":
        if any(message["kind"] == "guidance" for message in session.unseen()):
            return "there is guidance that the worker has not seen"
        return None if phase in BUSY else f"is {phase}"
    happening: Happening = report.kind  # type: ignore[assignment]
    return None if after(phase, happening) else f"{report.kind} is not possible when {phase}"


def apply_fields(session: Session, report: Report) -> None:
    fields = report.fields
    if fields.get("plan"):
        session.keep(write_text, session.folder / "plan.md", fields["plan"])
    changes: dict[str, Any] = {}
    if fields.get("touches"):
        changes["plannedFiles"] = sorted({*session.status["plannedFiles"], *fields["touches"]})[
            :500
        ]
    if fields.get("note"):
        changes["lastActivity"] = {"at": iso(session.now()), "text": fields["note"][:300]}
    if report.kind == "complete":
        session.update(**changes)
    elif report.kind == "stuck":
        question = question_of(report, session.now())
        reason = fields.get("reason") or question["decision"]
        session.happen("stuck", **changes, question=question, stuckReason=reason, failure=None)
        session.notify("stuck", reason)
    else:
        session.happen(report.kind, **changes)  # type: ignore[arg-type]


def question_of(report: Report, now: float) -> Question:
    """The question of a stuck report. Its id is the report's, so that applying it twice changes nothing."""
    fields = report.fields
    return {
        "id": report.id,
        "decision": fields.get("decision") or fields["reason"],
        "options": [option for option in fields.get("options", []) if option.strip()][:20],
        "context": fields.get("context"),
        "default": fields.get("default"),
        "askedAt": iso(asked_at(report, now)),
    }


def asked_at(report: Report, now: float) -> float:
    """When the report was written, by its name, where that is plausible; else now."""
    head = report.id.partition("-")[0]
    written = int(head) / 1e9 if head.isdecimal() and len(head) == 20 else now
    return written if abs(now - written) < 7 * 86_400 else seconds(iso(now))
