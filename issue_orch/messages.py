"""Messages between people and a worker: the inbox of a session, and the outbox of its worktree."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, NamedTuple, cast

from .model import Message
from .store import append_event, iso, load_json, make_session, read_untrusted, session_folder, write_json

OUTBOX_LIMIT = 256 * 1024


class Sent(NamedTuple):
    """What became of a message: its id, and whether it is the answer (the first one) to the open question."""

    id: str
    answers: bool


def send(
    state: Path, number: int, kind: str, text: str, author: str, now: float,
    question: str | None = None, at_once: bool = False,
) -> Sent:
    """Put a message into the inbox. The first message that names a question answers it; later ones are guidance."""
    folder = make_session(state, number) / "inbox"
    name = f"{time.time_ns():020d}-{os.urandom(4).hex()}"
    message: Message = {
        "id": name, "kind": kind, "text": text, "author": author, "at": iso(now), "question": question, "now": at_once,
    }
    if question is not None and first_answer(folder, question, message):
        return Sent(name, True)
    message["question"] = None
    write_json(folder / f"{name}.json", message, durable=True)
    return Sent(name, False)


def first_answer(folder: Path, question: str, message: Message) -> bool:
    """Create the answer's file under the question's name; a link fails when it exists, so one answer wins."""
    target = f"answer-{''.join(c for c in question if c.isalnum() or c == '-')}.json"
    if (folder / "delivered" / target).exists():
        return False
    temporary = folder / f".{message['id']}"
    write_json(temporary, message, durable=True)
    try:
        os.link(temporary, folder / target)
    except FileExistsError:
        return False
    finally:
        os.unlink(temporary)
    return True


def pending(state: Path, number: int) -> list[Message]:
    """Messages without a receipt, oldest first."""
    return sorted(load_messages(session_folder(state, number) / "inbox"), key=lambda message: message["id"])


def delivered(state: Path, number: int) -> list[Message]:
    return sorted(load_messages(session_folder(state, number) / "inbox" / "delivered"), key=lambda m: m["id"])


def load_messages(folder: Path) -> list[Message]:
    try:
        names = [name for name in os.listdir(folder) if name.endswith(".json") and not name.startswith(".")]
    except FileNotFoundError:
        return []
    found = (load_message(folder / name) for name in names)
    return [message for message in found if message is not None]


def load_message(path: Path) -> Message | None:
    """A message that somebody wrote by hand may lack fields; one that cannot be read at all stays where it is."""
    raw = read_untrusted(path, OUTBOX_LIMIT)
    try:
        data = json.loads(raw or b"")
    except ValueError:
        return None
    if not isinstance(data, dict) or not isinstance(data.get("text", ""), str):
        return None
    blank = {"id": path.stem, "kind": "guidance", "text": "", "author": "", "at": "", "question": None, "now": False}
    return cast(Message, {**blank, **data, "file": path.name})


def receipt(state: Path, number: int, message: Message, now: float) -> None:
    """Record that the message was taken. The history first: after a crash in between it is delivered again."""
    append_event(state, number, "delivered", now, message=message["id"], messageKind=message["kind"],
                 text=message["text"][:4000], author=message["author"])
    folder = session_folder(state, number) / "inbox"
    name = cast(dict[str, str], message).get("file", f"{message['id']}.json")
    os.replace(folder / name, folder / "delivered" / name)


class Report(NamedTuple):
    """What a worker said of itself, from one file of the outbox. `attempt` is None when the file did not say."""

    id: str
    kind: str
    attempt: int | None
    fields: dict[str, Any]
    path: str


REPORT_KINDS = ("planning", "working", "stuck", "complete")
TEXT_FIELDS = ("note", "plan", "reason", "decision", "context", "default", "title", "body", "pr")
LIST_FIELDS = ("options", "touches")


def outbox_folder(worktree: str) -> Path:
    return Path(worktree) / ".issue-orch" / "outbox"


def load_reports(worktree: str) -> tuple[list[Report], list[tuple[str, str]]]:
    """Reports in the order of their names, and (path, why) of each file that is refused."""
    folder = outbox_folder(worktree)
    if folder.is_symlink() or folder.parent.is_symlink():
        return [], [(str(folder), "the outbox is a symbolic link")]
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".json") and not name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    reports: list[Report] = []
    refused: list[tuple[str, str]] = []
    for name in names[:100]:
        path = str(folder / name)
        parsed = parse_report(read_untrusted(path, OUTBOX_LIMIT + 1), path)
        if isinstance(parsed, str):
            refused.append((path, parsed))
        else:
            reports.append(parsed)
    return reports, refused


def parse_report(raw: bytes | None, path: str) -> Report | str:
    """A report, or why the file is refused."""
    if raw is None:
        return "not a regular file"
    if len(raw) > OUTBOX_LIMIT:
        return f"larger than {OUTBOX_LIMIT} bytes"
    try:
        data = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        return "not JSON"
    if not isinstance(data, dict):
        return "not a JSON object"
    problem = report_problem(data)
    if problem:
        return problem
    fields = {key: data[key] for key in (*TEXT_FIELDS, *LIST_FIELDS) if data.get(key) is not None}
    attempt = data.get("attempt")
    return Report(os.path.basename(path)[:-5], data["kind"], attempt if isinstance(attempt, int) else None, fields, path)


def report_problem(data: dict[str, Any]) -> str | None:
    """Why a report is not acceptable in itself; None when it is. The same check as `issue-orch report` makes."""
    kind = data.get("kind")
    if kind not in REPORT_KINDS:
        return f"kind must be one of {', '.join(REPORT_KINDS)}, not {kind!r}"
    for key in TEXT_FIELDS:
        if data.get(key) is not None and not isinstance(data[key], str):
            return f"{key} must be a text"
    for key in LIST_FIELDS:
        value = data.get(key)
        if value is not None and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            return f"{key} must be a list of texts"
    if kind == "stuck" and not (data.get("decision") or data.get("reason")):
        return "stuck needs --decision or --reason: what has to be decided?"
    return None


def take_report(report: Report) -> None:
    """Remove a report from the outbox after it stands in the history."""
    try:
        os.unlink(report.path)
    except FileNotFoundError:
        pass


def write_context(worktree: str, context: dict[str, Any]) -> None:
    """Make `.issue-orch/` in a worktree: identity of the session, outbox, and an ignore file of its own."""
    folder = Path(worktree) / ".issue-orch"
    if folder.is_symlink():
        from .errors import Expected

        raise Expected(f"{folder} is a symbolic link in the repository", "remove it from the base branch")
    (folder / "outbox").mkdir(parents=True, exist_ok=True)
    (folder / "tmp").mkdir(exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    write_json(folder / "context.json", context)


def load_context(folder: Path) -> dict[str, Any] | None:
    return load_json(folder / ".issue-orch" / "context.json")
