"""`issue-orch report`: the worker's one command. Hand-parsed, because agents call it often: no argparse, no typer."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing itself costs three milliseconds
if TYPE_CHECKING:
    from typing import Any

HELP = """\
Usage: issue-orch report planning|working|stuck|complete [options]

What a worker says of itself; run it anywhere in the worktree.

  planning   --plan FILE  --touches PATH...      you explore and plan
  working    --note TEXT  --touches PATH...      you implement
  stuck      --decision TEXT  --option TEXT (repeat)  --context TEXT  --default TEXT  --reason TEXT
                                                 you need a decision: report, then end your turn
  complete   --title TEXT  --body-file FILE  [--pr URL]
                                                 all is committed: report, then end your turn

  --note TEXT works everywhere. Examples:
    issue-orch report planning --plan plan.md --touches src/auth.py tests/test_auth.py
    issue-orch report stuck --decision "Token refresh" --option sliding --option fixed --default sliding
    issue-orch report complete --title "Add export button" --body-file pull.md
"""

SINGLE = {
    "--note": "note",
    "--plan": "plan",
    "--reason": "reason",
    "--decision": "decision",
    "--context": "context",
    "--default": "default",
    "--title": "title",
    "--body-file": "body",
    "--body": "body",
    "--pr": "pr",
}
ALLOWED = {
    "planning": {"note", "plan", "touches"},
    "working": {"note", "plan", "touches"},
    "stuck": {"note", "reason", "decision", "options", "context", "default"},
    "complete": {"note", "title", "body", "pr"},
}
SEE = "(see: issue-orch report --help)"
STUCK_NEEDS = (
    "stuck needs --decision (or --reason): what has to be decided? Give --option for each choice"
)
SIZE_LIMIT = 60_000
CONTEXT = ".issue-orch/context.json"
WAKE = ".issue-orch/wake"


class NotRecorded(Exception):
    """The report was not recorded; the text says why and what to do."""


def main(argv: list[str]) -> int:
    if not argv or argv[0] in {"-h", "--help", "help"}:
        sys.stdout.write(HELP)
        return 0 if argv else 2
    try:
        sys.stdout.write(record(argv) + "\n")
    except (NotRecorded, OSError) as error:
        sys.stderr.write(f"not recorded: {error}\n")
        return 2 if isinstance(error, NotRecorded) else 1
    return 0


def record(argv: list[str]) -> str:
    kind, fields = parse(argv)
    root = find_root(os.getcwd())
    context = load(f"{root}/{CONTEXT}")
    if not context:
        raise NotRecorded(f"{root}/{CONTEXT} cannot be read")
    check_state(kind, context)
    write(root, {"kind": kind, "attempt": current_attempt(context), **fields})
    wake(root)
    return ANSWERS[kind]


ANSWERS = {
    "planning": "Recorded: planning.",
    "working": "Recorded: working.",
    "stuck": "Recorded: stuck. A person was asked. End your turn now; the answer will reach you as a message.",
    "complete": "Recorded: complete. End your turn now; the branch is checked, pushed and the pull request opened.",
}


def parse(argv: list[str]) -> tuple[str, dict[str, Any]]:
    kind, *rest = argv
    if kind not in ALLOWED:
        raise NotRecorded(f"{kind!r} is not one of {', '.join(ALLOWED)} {SEE}")
    fields: dict[str, Any] = {}
    while rest:
        flag, _, value = rest.pop(0).partition("=")
        if flag == "--touches":
            paths = fields.setdefault("touches", [value] if value else [])
            while rest and not rest[0].startswith("--"):
                paths.append(rest.pop(0))
            continue
        if flag != "--option" and flag not in SINGLE:
            raise NotRecorded(f"unknown option {flag} {SEE}")
        if not value and not rest:
            raise NotRecorded(f"{flag} needs a value")
        value = value or rest.pop(0)
        if flag == "--option":
            fields.setdefault("options", []).append(value)
        else:
            from_file = flag in {"--plan", "--body-file"}
            fields[SINGLE[flag]] = read_file(flag, value) if from_file else value
    check_fields(kind, fields)
    return kind, fields


def read_file(flag: str, name: str) -> str:
    try:
        if name == "-":
            return sys.stdin.read(SIZE_LIMIT)
        with open(name, encoding="utf-8", errors="replace") as file:
            return file.read(SIZE_LIMIT)
    except OSError as error:
        raise NotRecorded(f"{flag} {name}: {error.strerror}; write the file first") from error


def check_fields(kind: str, fields: dict[str, Any]) -> None:
    for name in fields:
        if name not in ALLOWED[kind]:
            raise NotRecorded(f"--{name} does not belong to `report {kind}` {SEE}")
    if kind == "stuck" and not (fields.get("decision") or fields.get("reason")):
        raise NotRecorded(STUCK_NEEDS)
    size, most = sum(len(str(value)) for value in fields.values()), SIZE_LIMIT * 2
    if size > most:
        raise NotRecorded(f"the texts have {size} characters; {most} are allowed. Shorten them")


def find_root(folder: str) -> str:
    while not os.path.isfile(f"{folder}/{CONTEXT}"):
        parent = os.path.dirname(folder)
        if parent == folder:
            raise NotRecorded(
                "this folder is not in a worktree of issue-orch; run it inside your worktree"
            )
        folder = parent
    return folder


def load(path: str) -> dict[str, Any]:
    """A JSON object, empty when it cannot be read. The decoder costs 2 ms, so it is imported only here."""
    from json import loads

    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            data = loads(file.read())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def current_attempt(context: dict[str, Any]) -> int | None:
    number, _, attempt = os.environ.get("ISSUE_ORCH_WORKER", "").partition(".")
    ours = number == str(context.get("issueNumber")) and attempt.isdecimal()
    return int(attempt) if ours else None


def check_state(kind: str, context: dict[str, Any]) -> None:
    """Refuse what would be refused later. What a sandbox hides, or a crash left damaged, is recorded unchecked."""
    folder = f"{context.get('stateFolder')}/sessions/{context.get('issueNumber')}"
    phase = load(f"{folder}/status.json").get("status")
    if phase == "cancelled":
        raise NotRecorded("this session was cancelled; end your turn")
    if phase == "stuck" and kind != "stuck":
        raise NotRecorded(
            "you reported stuck; end your turn, the answer will reach you as a message"
        )
    if kind == "complete" and has_guidance(f"{folder}/inbox", context.get("given") or []):
        raise NotRecorded(
            "there is guidance for you that you have not seen; end your turn, it will reach you as a message"
        )


def has_guidance(inbox: str, given: list[str]) -> bool:
    """Whether a message waits that was not in the attempt's prompt. The receipt of one that was may come late."""
    try:
        names = [name for name in os.listdir(inbox) if name.endswith(".json") and name[0] != "."]
    except OSError:
        return False
    messages = {name: load(f"{inbox}/{name}") for name in names}
    return any(
        message.get("kind", "guidance") == "guidance" and message.get("id", name[:-5]) not in given
        for name, message in messages.items()
        if message
    )


def write(root: str, report: dict[str, Any]) -> None:
    """One file, made whole by a rename. Names sort by time."""
    from json import dumps
    from time import time_ns

    folder, name = f"{root}/.issue-orch/outbox", f"{time_ns():020d}-{os.getpid()}"
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/.{name}", "x", encoding="utf-8") as file:
        file.write(dumps(report))
        file.flush()
        os.fsync(file.fileno())
    os.rename(f"{folder}/.{name}", f"{folder}/{name}.json")


def wake(root: str) -> None:
    """Tell the supervisor that there is something to read. It looks by itself too: what fails here is no fault."""
    from stat import S_ISFIFO

    try:
        pipe = os.open(f"{root}/{WAKE}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:  # nobody listens
        return
    try:
        if S_ISFIFO(os.fstat(pipe).st_mode):
            os.write(pipe, b"\n")
    except OSError:  # full: it is told already
        pass
    finally:
        os.close(pipe)
