"""What a worker reported, applied to its session: each report once, those of an older attempt to the history only."""

from __future__ import annotations

from .lifecycle import Happening, after
from .messages import Report, load_reports, take_report
from .model import Question
from .session import Session
from .store import iso, seconds, write_text


def apply_reports(session: Session) -> None:
    reports, refused = load_reports(session.status["worktreePath"])
    for path, why in refused:
        if path not in session.refused:
            session.refused.add(path)
            session.note("refused", path=path, reason=why)
    for report in reports:
        apply_report(session, report)
        take_report(report)


def apply_report(session: Session, report: Report) -> None:
    problem = why_not_accepted(session, report)
    session.note("report", report=report.kind, id=report.id, attempt=report.attempt, fields=report.fields,
                 accepted=problem is None, **({"reason": problem} if problem else {}))
    if problem is None:
        session.acknowledge()
        apply_fields(session, report)


def why_not_accepted(session: Session, report: Report) -> str | None:
    status = session.status
    if report.attempt is not None and report.attempt != status["attempt"]:
        return f"of attempt {report.attempt}, the current one is {status['attempt']}"
    if report.kind == "complete":
        if any(message["kind"] == "guidance" for message in session.unseen()):
            return "there is guidance that the worker has not seen"
        return None if status["status"] in {"registered", "planning", "working"} else f"is {status['status']}"
    happening: Happening = report.kind  # type: ignore[assignment]
    if after(status["status"], happening) is None:
        return f"{report.kind} is not possible when {status['status']}"
    return None


def apply_fields(session: Session, report: Report) -> None:
    fields = report.fields
    if fields.get("plan"):
        write_text(session.folder / "plan.md", fields["plan"])
    changes: dict[str, object] = {}
    if fields.get("touches"):
        changes["plannedFiles"] = sorted({*session.status["plannedFiles"], *fields["touches"]})[:500]
    if fields.get("note"):
        changes["lastActivity"] = {"at": iso(session.now()), "text": fields["note"][:300]}
    if report.kind == "complete":
        session.update(**changes)
        return
    if report.kind == "stuck":
        question = question_of(report, session.now())
        changes |= {"question": question, "stuckReason": fields.get("reason") or question["decision"], "failure": None}
    session.happen(report.kind, **changes)  # type: ignore[arg-type]
    if report.kind == "stuck":
        session.notify("stuck", changes["stuckReason"])


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
