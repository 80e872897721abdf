"""The demo's scripted agent: a command-line program like any coding agent, that plans, edits, commits, asks and ends.

It is run by path and needs the standard library alone. What it does is read from its prompt: `Files:` names what it
edits, a line `Ask: decision | option | option` makes it ask. The second turn gets the answer on stdin.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path


def main(argv: list[str]) -> int:
    resumed = "--resume" in argv
    words = sys.stdin.read()
    task = json.loads(Path(".issue-orch/context.json").read_text())
    notes = Path(".issue-orch/demo-agent.json")
    memory = json.loads(notes.read_text()) if notes.exists() else {}
    if not resumed or not memory:
        memory = read_task(words)
        notes.write_text(json.dumps(memory))
    say(f"I work on #{task['issueNumber']} on {task['branch']}")
    if not resumed:
        plan(memory)
        if memory["ask"]:
            ask(memory)
            return 0
    work(memory, task["issueNumber"], answer_in(words) if resumed else "")
    return 0


def read_task(prompt: str) -> dict[str, object]:
    report = re.search(r"(/\S+(?: -P -m issue_orch\.__main__)?) report planning", prompt)
    files = re.search(r"(?mi)^\W*files:\s*(.+)$", prompt)
    asks = re.search(r"(?mi)^\W*ask:\s*(.+)$", prompt)
    return {
        "report": report[1].strip("`") if report else "issue-orch",
        "files": re.split(r"[,\s]+", files[1].strip()) if files else ["notes.md"],
        "ask": [part.strip() for part in asks[1].split("|")] if asks else [],
    }


def say(text: str) -> None:
    print(json.dumps({"type": "text", "text": text}), flush=True)


def cost(usd: float) -> None:
    print(
        json.dumps(
            {
                "type": "usage",
                "usd": usd,
                "input_tokens": 1200,
                "output_tokens": 300,
                "scope": "call",
            }
        ),
        flush=True,
    )


def report(memory: dict[str, object], *words: str) -> None:
    subprocess.run(
        [*str(memory["report"]).split(" "), "report", *words], check=True, stdout=subprocess.DEVNULL
    )


def plan(memory: dict[str, object]) -> None:
    files = [str(name) for name in memory["files"]]  # type: ignore[attr-defined]
    Path(".issue-orch/plan.md").write_text(
        "1. Read the code\n" + "".join(f"2. Change {name}\n" for name in files)
    )
    report(memory, "planning", "--plan", ".issue-orch/plan.md", "--touches", *files)
    cost(0.02)
    time.sleep(0.2)  # so that a person who looks sees it plan


def ask(memory: dict[str, object]) -> None:
    decision, *options = [str(part) for part in memory["ask"]]  # type: ignore[attr-defined]
    flags = [word for option in options for word in ("--option", option)]
    say("I need a decision")
    report(
        memory,
        "stuck",
        "--decision",
        decision,
        *flags,
        "--context",
        "Both are easy now and hard to change later.",
        "--default",
        options[0] if options else "as you think",
    )
    cost(0.01)


def answer_in(words: str) -> str:
    """The first line below the heading of the last message."""
    after = re.split(r"(?m)^# From .*$", words)[-1]
    return next((line.strip() for line in after.splitlines() if line.strip()), "")


def work(memory: dict[str, object], number: int, answer: str) -> None:
    report(memory, "working", "--note", "implementing")
    for name in memory["files"]:  # type: ignore[attr-defined]
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_text() if path.exists() else ""
        path.write_text(
            f"{before}# issue {number}\n" + (f"# decided: {answer}\n" if answer else "")
        )
        say(f"edited {name}")
    subprocess.run(["git", "add", "--all"], check=True)
    subprocess.run(["git", "commit", "--quiet", "-m", f"Solve #{number}"], check=True)
    cost(0.05)
    report(
        memory,
        "complete",
        "--title",
        f"Solve #{number}",
        "--body",
        f"What #{number} asks for." + (f"\n\nDecided by a person: {answer}" if answer else ""),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
