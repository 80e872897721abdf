"""Rows of commands that must be quick to start, against `python -c pass`."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from issue_orch.core.record import new_status
from issue_orch.store.files import (
    iso,
    make_session,
    make_state,
    save_status,
    session_folder,
    write_json,
)
from issue_orch.store.inbox import write_context

from .place import Place, timed

REPEATS = 7
PHASES = ("working", "stuck", "complete", "planning", "working")


def against_pass(
    place: Place,
    rounds: int,
    argv: list[str],
    cwd: Path,
    code_zero: bool = True,
    after: Callable[[], None] = lambda: None,
) -> Iterator[tuple[float, float]]:
    """Each round is the median of some runs, one of each in turn."""
    for number in range(rounds + 1):
        products, yardsticks = [], []
        for _ in range(REPEATS):
            yardsticks.append(timed([place.python, "-c", "pass"], cwd, place.env)[place.by_cpu])
            products.append(timed(argv, cwd, place.env, code_zero)[place.by_cpu])
            after()
        if number:  # the first round fills the caches
            yield median(products), median(yardsticks)


def make_sessions(place: Place, count: int) -> Path:
    """A clone with so many sessions in all states; every third has facts of its pull."""
    place.git("init", "--quiet", "widgets", cwd=place.folder)
    top = place.clone
    state = make_state(top / ".git")
    for number in range(1, count + 1):
        phase = PHASES[(number - 1) % len(PHASES)]
        make_session(state, number)
        (state / "locks" / str(number)).touch()
        save_status(
            state,
            new_status(
                number,
                issueTitle=f"Add the export button number {number} to the menu",
                status=phase,
                branch=f"issue-{number}",
                worktreePath=f"/home/me/widgets-issue-{number}",
                startedAt=iso(time.time() - 600),
                lastHeartbeat=iso(time.time()),
                repo="acme/widgets",
                issueUrl=f"https://github.com/acme/widgets/issues/{number}",
                base="main",
                baseSha="0" * 40,
                agent="claude",
                agentSessionId="5e8f1d3c-7f0e-4e5c-9a51-2b0a8c0f7f11",
                attempt=1,
                plannedFiles=["src/export.py", "src/menu.py"],
                changes={"files": 3, "insertions": 45, "deletions": 12},
                lastActivity={"at": iso(time.time()), "text": "edited src/export.py"},
                supervisor={
                    "pid": 4242,
                    "startTicks": 123456,
                    "bootId": "2b0a8c0f-7f11-4e5c-9a51-5e8f1d3c7f0e",
                },
                question={
                    "id": "1",
                    "decision": "Which?",
                    "options": ["A", "B"],
                    "context": None,
                    "default": "A",
                    "askedAt": iso(time.time()),
                }
                if phase == "stuck"
                else None,
            ),
            durable=False,
        )
        if number % 3 == 0:
            write_json(
                session_folder(state, number) / "pull.json",
                {
                    "number": number,
                    "url": f"https://github.com/acme/widgets/pull/{number}",
                    "state": "open",
                    "merged": False,
                    "mergeable": True,
                    "checks": "passing",
                    "review": "none",
                    "fetchedAt": iso(0),
                },
            )
    return top


def report(place: Place, rounds: int) -> Iterator[tuple[float, float]]:
    top = make_sessions(place, 1)
    write_context(
        new_status(1, worktreePath=str(top), branch="issue-1", base="main"),
        "acme/widgets",
        top / ".git" / "issue-orch",
    )
    outbox = top / ".issue-orch" / "outbox"

    def empty() -> None:
        for file in outbox.iterdir():
            file.unlink()

    yield from against_pass(
        place, rounds, [place.script, "report", "working", "--note", "x"], top, after=empty
    )


def status(count: int, *flags: str) -> Callable[[Place, int], Iterator[tuple[float, float]]]:
    def measure(place: Place, rounds: int) -> Iterator[tuple[float, float]]:
        top = make_sessions(place, count)
        yield from against_pass(place, rounds, [place.script, "status", *flags], top)

    return measure


def words(*argv: str) -> Callable[[Place, int], Iterator[tuple[float, float]]]:
    """A command that finds out that there is nothing to work on: `plan` outside of a clone, `answer` without sessions."""

    def measure(place: Place, rounds: int) -> Iterator[tuple[float, float]]:
        cwd = place.folder if argv[0] == "plan" else make_sessions(place, 0)
        yield from against_pass(
            place, rounds, [place.script, *argv], cwd, code_zero=argv[0] == "--help"
        )

    return measure


def imports(*argv: str) -> Callable[[Place], str]:
    """What is imported: milliseconds by kind under -X importtime, which is slower than the truth."""

    def phases(place: Place) -> str:
        return import_phases(place, argv, place.clone if place.clone.exists() else place.folder)

    return phases


def import_phases(place: Place, argv: tuple[str, ...], cwd: Path) -> str:
    done = subprocess.run(
        [place.python, "-X", "importtime", place.script, *argv],
        cwd=cwd,
        env=place.env,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    plain = subprocess.run(
        [place.python, "-X", "importtime", "-c", "pass"],
        env=place.env,
        text=True,
        check=True,
        stderr=subprocess.PIPE,
    )
    known = {name for _, name in rows_of(plain.stderr)}
    sums = {"own": 0.0, "packages": 0.0, "stdlib": 0.0}
    counts = dict.fromkeys(sums, 0)
    stdlib = stdlib_names()
    for spent, name in rows_of(done.stderr):
        if name not in known:
            first = name.partition(".")[0]
            kind = "own" if first == "issue_orch" else "stdlib" if first in stdlib else "packages"
            sums[kind] += spent
            counts[kind] += 1
    return "imports: " + ", ".join(f"{kind} {sums[kind]:.0f} ms ({counts[kind]})" for kind in sums)


def stdlib_names() -> frozenset[str]:
    import sys

    return sys.stdlib_module_names


def rows_of(text: str) -> list[tuple[float, str]]:
    """Own milliseconds and name of each imported module."""
    return [
        (int(own) / 1000, name)
        for own, name in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", text)
    ]
