"""`issue-orch report`: the worker's one command. Hand-parsed, because agents call it often: no argparse, no typer."""

from __future__ import annotations

import os
import sys

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
STUCK_NEEDS = (
    "stuck needs --decision (or --reason): what has to be decided? Give --option for each choice"
)
SIZE_LIMIT = 60_000


class Refused(Exception):
    """The report was not recorded; the text says why and what to do."""


def main(argv: list[str]) -> int:
    if not argv or argv[0] in {"-h", "--help", "help"}:
        sys.stdout.write(HELP)
        return 0 if argv else 2
    try:
        sys.stdout.write(record(argv) + "\n")
    except Refused as error:
        sys.stderr.write(f"not recorded: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"not recorded: {error}\n")
        return 1
    return 0


def record(argv: list[str]) -> str:
    kind, fields = parse(argv)
    root = find_root(os.getcwd())
    context = load(os.path.join(root, ".issue-orch", "context.json"))
    if not context:
        raise Refused(f"{root}/.issue-orch/context.json cannot be read")
    attempt = current_attempt(context)
    check_state(kind, context)
    write(root, {"kind": kind, "attempt": attempt, **fields})
    return ANSWERS[kind]


ANSWERS = {
    "planning": "Recorded: planning.",
    "working": "Recorded: working.",
    "stuck": "Recorded: stuck. A person was asked. End your turn now; the answer will reach you as a message.",
    "complete": "Recorded: complete. End your turn now; the branch is checked, pushed and the pull request opened.",
}


def parse(argv: list[str]) -> tuple[str, dict[str, object]]:
    kind, rest = argv[0], argv[1:]
    if kind not in ALLOWED:
        raise Refused(
            f"{kind!r} is not one of planning, working, stuck, complete (see: issue-orch report --help)"
        )
    fields: dict[str, object] = {}
    while rest:
        flag, _, value = rest.pop(0).partition("=")
        if flag == "--touches":
            paths = [value] if value else []
            while rest and not rest[0].startswith("--"):
                paths.append(rest.pop(0))
            fields["touches"] = [*list_of(fields, "touches"), *paths]
            continue
        if flag != "--option" and flag not in SINGLE:
            raise Refused(f"unknown option {flag} (see: issue-orch report --help)")
        if not value:
            if not rest:
                raise Refused(f"{flag} needs a value")
            value = rest.pop(0)
        if flag == "--option":
            fields["options"] = [*list_of(fields, "options"), value]
        else:
            fields[SINGLE[flag]] = (
                read_file(flag, value) if flag in {"--plan", "--body-file"} else value
            )
    check_fields(kind, fields)
    return kind, fields


def list_of(fields: dict[str, object], name: str) -> list[str]:
    value = fields.get(name)
    return value if isinstance(value, list) else []


def read_file(flag: str, name: str) -> str:
    try:
        if name == "-":
            return sys.stdin.read(SIZE_LIMIT)
        with open(name, encoding="utf-8", errors="replace") as file:
            return file.read(SIZE_LIMIT)
    except OSError as error:
        raise Refused(f"{flag} {name}: {error.strerror}; write the file first") from error


def check_fields(kind: str, fields: dict[str, object]) -> None:
    for name in fields:
        if name not in ALLOWED[kind]:
            raise Refused(
                f"--{name} does not belong to `report {kind}` (see: issue-orch report --help)"
            )
    if kind == "stuck" and not (fields.get("decision") or fields.get("reason")):
        raise Refused(STUCK_NEEDS)
    size = sum(len(str(value)) for value in fields.values())
    if size > SIZE_LIMIT * 2:
        raise Refused(
            f"the texts have {size} characters; {SIZE_LIMIT * 2} are allowed. Shorten them"
        )


def find_root(folder: str) -> str:
    while True:
        if os.path.isfile(os.path.join(folder, ".issue-orch", "context.json")):
            return folder
        parent = os.path.dirname(folder)
        if parent == folder:
            raise Refused(
                "this folder is not in a worktree of issue-orch; run it inside your worktree"
            )
        folder = parent


def load(path: str) -> dict[str, object]:
    """A JSON object, empty when it cannot be read. The decoder costs 2 ms, so it is imported only here."""
    from json import loads

    try:
        with open(path, encoding="utf-8") as file:
            data = loads(file.read())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def current_attempt(context: dict[str, object]) -> int | None:
    number, _, attempt = os.environ.get("ISSUE_ORCH_WORKER", "").partition(".")
    return (
        int(attempt) if number == str(context.get("issueNumber")) and attempt.isdecimal() else None
    )


def check_state(kind: str, context: dict[str, object]) -> None:
    """Refuse what would be refused later. What a sandbox hides, or a crash left damaged, is recorded unchecked."""
    folder = os.path.join(
        str(context.get("stateFolder")), "sessions", str(context.get("issueNumber"))
    )
    phase = load(os.path.join(folder, "status.json")).get("status")
    if phase == "cancelled":
        raise Refused("this session was cancelled; end your turn")
    if phase == "stuck" and kind != "stuck":
        raise Refused("you reported stuck; end your turn, the answer will reach you as a message")
    if kind == "complete" and has_guidance(
        os.path.join(folder, "inbox"), list_of(context, "given")
    ):
        raise Refused(
            "there is guidance for you that you have not seen; end your turn, it will reach you as a message"
        )


def has_guidance(inbox: str, given: list[str]) -> bool:
    """Whether a message waits that was not in the attempt's prompt. The receipt of one that was may come late."""
    try:
        names = [
            name
            for name in os.listdir(inbox)
            if name.endswith(".json") and not name.startswith(".")
        ]
    except OSError:
        return False
    messages = {name: load(os.path.join(inbox, name)) for name in names}
    return any(
        message.get("kind", "guidance") == "guidance" and message.get("id", name[:-5]) not in given
        for name, message in messages.items()
        if message
    )


def write(root: str, report: dict[str, object]) -> None:
    """One file, made whole by a rename. Names sort by time."""
    from json import dumps

    folder = os.path.join(root, ".issue-orch", "outbox")
    os.makedirs(folder, exist_ok=True)
    from time import time_ns

    name = f"{time_ns():020d}-{os.getpid()}"
    temporary = os.path.join(folder, f".{name}")
    with open(temporary, "x", encoding="utf-8") as file:
        file.write(dumps(report))
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, os.path.join(folder, f"{name}.json"))
