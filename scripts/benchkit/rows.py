"""The rows of the bench by name."""

from __future__ import annotations

from . import core, day, quick, workers
from .run import Row

PASS = "`python -c pass`"
ADD = "bare `git worktree add -b` and the agent"

ROWS: dict[str, Row] = {
    "report": Row(
        "`report`", PASS, 2.5, quick.report, quick.imports("report", "working", "--note", "x")
    ),
    "status": Row("`status`, 10 sessions", PASS, 3, quick.status(10), quick.imports("status")),
    "status-json": Row(
        "`status --json`, 1,000 sessions",
        PASS,
        5,
        quick.status(1000, "--json"),
        quick.imports("status", "--json"),
    ),
    "help": Row("`--help`", PASS, 7, quick.words("--help"), quick.imports("--help")),
    "plan-start": Row(
        "`plan` before its work", PASS, 7, quick.words("plan"), quick.imports("plan")
    ),
    "answer-start": Row(
        "`answer` before its work",
        PASS,
        7,
        quick.words("answer", "999", "x"),
        quick.imports("answer", "999", "x"),
    ),
    "spawn": Row(
        "`spawn` one issue, 3,500 files", ADD, 1.2, workers.spawn(3_500, 1), workers.spawn_phases(1)
    ),
    "spawn-large": Row(
        "`spawn` one issue, 80,000 files",
        ADD,
        0.9,
        workers.spawn(80_000, 1),
        workers.spawn_phases(1),
    ),
    "spawn-many": Row(
        "`spawn` 20 issues, 3,500 files",
        f"sequential loop of {ADD}",
        0.6,
        workers.spawn(3_500, 20),
        workers.spawn_phases(20),
    ),
    "prune": Row(
        "`prune` 30 merged worktrees",
        "loop of `git worktree remove --force`",
        0.35,
        workers.prune,
        workers.prune_phases,
    ),
    "conflicts": Row("`conflicts`, 20 branches", "190 `git merge-tree`", 0.35, core.conflicts),
    "memory": Row(
        "supervisor, idle", "lean stdlib python", 20, workers.memory, unit="MB", absolute=True
    ),
    "idle": Row(
        "100 idle workers",
        "one core",
        1,
        workers.idle,
        workers.idle_phases,
        unit="%",
        absolute=True,
    ),
    "plan": Row(
        "`plan`, 10,000 issues, 3,000 dependencies",
        "parsing the same JSON",
        15,
        core.plan(10_000),
        core.plan_phases,
    ),
    "report-seen": Row(
        "100 reports of a silent worker, until `status` shows them",
        "`report` itself",
        1.2,
        workers.seen,
        lambda place: place.told,
    ),
    "poll": Row(
        "idle `run --once`, three workers",
        "GitHub's rate limit",
        0,
        workers.poll,
        unit="",
        absolute=True,
    ),
    "day": Row(
        "a day of changes, 1,000 issues, 12 pulls",
        "all requests",
        5000,
        day.day,
        day.day_phases,
        unit="",
        absolute=True,
    ),
    **{
        f"status-{n}": Row(f"`status --json`, {n} sessions", PASS, None, quick.status(n, "--json"))
        for n in (1, 10, 100)
    },
    **{
        f"plan-{n}": Row(f"`plan`, {n} issues", "parsing the same JSON", None, core.plan(n))
        for n in (100, 1_000, 3_000)
    },
}
