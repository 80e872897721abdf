"""`issue-orch show`: everything about one session, from local files."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from ..errors import Expected
from ..headline import next_command
from ..local import Seen, find_state, look
from ..messages import delivered, pending
from ..shell import colours, width
from ..status_text import age, link, paint
from ..store import load_events, load_status, seconds, session_folder
from ..text import one_line, sanitise


def show(number: int, as_json: bool) -> int:
    state = find_state(os.getcwd())
    status = load_status(state, number)
    if status is None:
        raise Expected(f"#{number}: there is no session", "issue-orch status")
    now = time.time()
    seen = look(state, status, now)
    events = load_events(state, number)
    waiting, done = pending(state, number), delivered(state, number)
    if as_json:
        record = {**status, "headline": seen.headline.label, "pull": seen.pull, "events": events,
                  "guidance": {"pending": waiting, "delivered": done}}
        sys.stdout.write(json.dumps({"schemaVersion": 1, "session": record}, ensure_ascii=False, indent=2) + "\n")
        return 0
    plan = session_folder(state, number) / "plan.md"
    lines = [
        *head_lines(seen, now, colours(sys.stdout)), *question_lines(seen),
        *plan_lines(plan.read_text(errors="replace") if plan.exists() else "", seen), *guidance_lines(waiting, done, now),
        *timeline_lines(events, now), *fact_lines(seen),
    ]
    columns = max(40, width(sys.stdout))
    sys.stdout.write("\n".join(line if "\x1b" in line else one_line_keep(line, columns) for line in lines) + "\n")
    following = next_command(status, seen.headline.label)
    if following:
        sys.stdout.write(f"\nNext: {following}\n")
    return 0


def one_line_keep(line: str, columns: int) -> str:
    """Cut to the width, and keep the indent that `one_line` would fold."""
    text = line.lstrip(" ")
    indent = len(line) - len(text)
    return " " * indent + one_line(text, columns - indent)


def head_lines(seen: Seen, now: float, colour: bool) -> Iterator[str]:
    status, head = seen.status, seen.headline
    label = paint(head.label, head.colour, colour)
    yield f"{link('#' + status['id'], status['issueUrl'], colour)} {one_line(status['issueTitle'], 100)}"
    yield f"  {label}" + (f": {one_line(head.why, 300)}" if head.why else "")
    yield f"  started {age(now - seconds(status['startedAt']))} ago, attempt {status['attempt']}, agent {status['agent']}"
    yield f"  branch {status['branch']} from {status['base']} ({status['baseSha'][:12]})"
    yield f"  worktree {sanitise(status['worktreePath'])}"


def question_lines(seen: Seen) -> Iterator[str]:
    question = seen.status["question"]
    if not question:
        return
    yield ""
    yield f"Decision needed: {sanitise(question['decision'])}"
    if question["context"]:
        yield f"  Context: {sanitise(question['context'])}"
    for number, option in enumerate(question["options"], 1):
        yield f"  {number}) {sanitise(option)}"
    if question["default"]:
        yield f"  Default: {sanitise(question['default'])}"


def plan_lines(text: str, seen: Seen) -> Iterator[str]:
    if text.strip():
        yield ""
        yield "Plan:"
        lines = sanitise(text).strip().splitlines()
        yield from (f"  {line}" for line in lines[:20])
        if len(lines) > 20:
            yield f"  … {len(lines) - 20} more lines"
    if seen.status["plannedFiles"]:
        yield f"  touches: {', '.join(sanitise(name) for name in seen.status['plannedFiles'][:12])}"


def guidance_lines(waiting: list[Any], done: list[Any], now: float) -> Iterator[str]:
    rows = [(message, True) for message in done] + [(message, False) for message in waiting]
    rows = [(message, received) for message, received in rows if message["kind"] == "guidance"]
    if rows:
        yield ""
        yield "Guidance:"
    for message, received in rows:
        state = "delivered" if received else "waiting"
        when = age(now - seconds(message["at"]))
        yield f"  [{state}] {when} ago, {one_line(message['author'], 40)}: {one_line(message['text'], 200)}"


def timeline_lines(events: list[dict[str, Any]], now: float) -> Iterator[str]:
    """The last entries of the history, in words."""
    rows = [(event["at"], words) for event in events if (words := event_words(event))]
    if rows:
        yield ""
        yield "Timeline:"
    if len(rows) > 20:
        yield f"  … {len(rows) - 20} earlier entries (--json has them)"
    for at, words in rows[-20:]:
        yield f"  {at[11:19]} {words}"


def event_words(event: dict[str, Any]) -> str:
    match event.get("kind"):
        case "started":
            return f"attempt {event.get('attempt')} started"
        case "transition":
            return f"{event.get('before')} -> {event.get('after')}"
        case "report":
            refused = "" if event.get("accepted", True) else f" (not accepted: {event.get('reason')})"
            note = (event.get("fields") or {}).get("note") or ""
            return f"reported {event.get('report')}{refused}" + (f": {one_line(str(note), 100)}" if note else "")
        case "exit":
            return f"attempt {event.get('attempt')} ended: {one_line(str(event.get('message')), 120)}"
        case "delivered" if event.get("messageKind") == "guidance":
            return "guidance delivered"
        case "settled":
            return f"pull recorded: {event.get('url')}"
        case "rejected" | "unready" | "publish_pending" | "stalled" | "failed" | "refused":
            detail = event.get("reason") or event.get("evidence") or ""
            return f"{event['kind'].replace('_', ' ')}: {one_line(str(detail), 120)}"
        case "held":
            return f"held: {event.get('hold')}"
        case "resumed":
            return "resumed"
        case _:
            return ""


def fact_lines(seen: Seen) -> Iterator[str]:
    status = seen.status
    cost, changes = status["cost"], status["changes"]
    yield ""
    if changes:
        yield f"Files changed: {changes['files']} (+{changes['insertions']}, -{changes['deletions']})"
    usd = "unknown" if cost["usd"] is None else f"${cost['usd']:.2f}"
    if cost["usd"] or cost["inputTokens"]:
        yield f"Cost: {usd}, {cost['inputTokens']} tokens in, {cost['outputTokens']} out"
    if status["pullRequestUrl"]:
        yield f"PR: {status['pullRequestUrl']}"
    if status["publish"]:
        yield f"Publish pending: {sanitise(status['publish']['reason'])}"
