"""What people tell a session: its inbox, each message once; and the folder in which the worker answers."""

from __future__ import annotations

import getpass
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

from ..core.history import Delivered, Held, Transition
from ..core.lifecycle import CONTROL, End, kinds
from ..core.record import Message, SessionStatus
from ..errors import Expected
from .files import (
    iso,
    make_session,
    names_in,
    read_untrusted,
    save_status,
    session_folder,
    write_json,
    write_text,
)
from .history import append_entry

SIZE_LIMIT = 256 * 1024


class Sent(NamedTuple):
    """What became of a message: its id, and whether it is the answer (the first one) to the open question."""

    id: str
    answers: bool


def send(
    state: Path,
    number: int,
    kind: str,
    text: str = "",
    author: str = "",
    now: float = 0.0,
    question: str | None = None,
    at_once: bool = False,
) -> Sent:
    """Put a message into the inbox. The first message that names a question answers it; later ones are guidance.
    Without an author and a time: the user, now."""
    folder = make_session(state, number) / "inbox"
    earlier = [each["id"][:20] for each in (*pending(state, number), *delivered(state, number))]
    # Names sort by time, also when the clock was set back: a later `resume` takes an earlier `pause` back.
    latest = max([time.time_ns(), *(int(each) + 1 for each in earlier if each.isdecimal())])
    name = f"{latest:020d}-{os.urandom(4).hex()}"
    message: Message = {
        "id": name,
        "kind": kind,
        "text": text,
        "author": author or getpass.getuser(),
        "at": iso(now or time.time()),
        "question": question,
        "now": at_once,
    }
    if question is not None and _first_answer(folder, question, message):
        return Sent(name, True)
    message["question"] = None
    write_json(folder / f"{name}.json", message, durable=True)
    return Sent(name, False)


def _first_answer(folder: Path, question: str, message: Message) -> bool:
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
    except OSError:  # no links here
        return _claim(temporary, folder, target)
    finally:
        os.unlink(temporary)
    return True


def _claim(temporary: Path, folder: Path, target: str) -> bool:
    """The same without links: who can create the claim has answered. A claim without its answer is one that was cut off; its
    message goes along as guidance, as all do that come later."""
    try:
        open(folder / f".{target}.claim", "x").close()
    except FileExistsError:
        return False
    if (folder / target).exists():  # from when there were links
        return False
    os.replace(temporary, folder / target)
    temporary.touch()  # for whoever removes it
    return True


def pending(state: Path, number: int) -> list[Message]:
    """Messages without a receipt, oldest first."""
    return _load_messages(session_folder(state, number) / "inbox")


def delivered(state: Path, number: int) -> list[Message]:
    return _load_messages(session_folder(state, number) / "inbox" / "delivered")


def _load_messages(folder: Path) -> list[Message]:
    found = (_load_message(folder / f"{name}.json") for name in names_in(folder, ".json"))
    return sorted(filter(None, found), key=lambda message: message["id"])


def _load_message(path: Path) -> Message | None:
    """A message that somebody wrote by hand may lack fields; one that cannot be read at all stays where it is."""
    try:
        data = json.loads(read_untrusted(path, SIZE_LIMIT) or b"")
    except (ValueError, RecursionError):
        return None
    texts = {"id": path.stem, "kind": "guidance", "text": "", "author": "", "at": "", "file": ""}
    if not isinstance(data, dict) or not all(type(data.get(key, "")) is str for key in texts):
        return None
    return cast(Message, {**texts, "question": None, "now": False, **data, "file": path.name})


def receipt(state: Path, number: int, message: Message, now: float) -> Delivered:
    """Record that the message was taken. The history first: after a crash in between it is delivered again."""
    entry = Delivered(message["id"], message["kind"], message["text"][:4000], message["author"])
    append_entry(state, number, entry, now)
    folder = session_folder(state, number) / "inbox"
    name = message.get("file", f"{message['id']}.json")
    os.replace(folder / name, folder / "delivered" / name)
    return entry


def write_context(
    status: SessionStatus, repo: str, state: Path, given: Sequence[Message] = ()
) -> None:
    """Make `.issue-orch/` in a worktree: identity of the session, outbox, and an ignore file of its own.

    Messages `given` to the attempt do not hold its report back, although they have no receipt yet.
    """
    folder = Path(status["worktreePath"]) / ".issue-orch"
    if folder.is_symlink():
        raise Expected(
            f"{folder} is a symbolic link in the repository", "remove it from the base branch"
        )
    (folder / "outbox").mkdir(parents=True, exist_ok=True)
    (folder / "tmp").mkdir(exist_ok=True)
    write_text(
        folder / ".gitignore", "*\n"
    )  # by a rename: a link that the branch carries is replaced, not followed
    write_json(
        folder / "context.json",
        {
            "schemaVersion": 1,
            "issueNumber": status["issueNumber"],
            "repo": repo,
            "branch": status["branch"],
            "base": status["base"],
            "stateFolder": str(state),
            "given": [message["id"] for message in given],
        },
    )


def halt(state: Path, status: SessionStatus, step: End, now: float) -> None:
    """Hold or cancel the session, as its inbox said. Only the holder of the lease may call this."""
    number, inbox = status["issueNumber"], pending(state, status["issueNumber"])
    if step.cancelled and status["status"] != "cancelled":
        append_entry(state, number, Transition(status["status"], "cancelled"), now)
        status["status"], status["hold"], status["endedAt"] = "cancelled", None, iso(now)
        status["question"] = status["retryAt"] = None
    elif step.hold is not None and (status["status"] != "complete" or "guidance" in kinds(inbox)):
        append_entry(state, number, Held(step.hold), now)
        status["hold"], status["retryAt"] = step.hold, None
    save_status(state, status)
    for message in inbox:
        if message["kind"] in CONTROL:
            receipt(state, number, message, now)
