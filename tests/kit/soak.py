"""A fleet that never has enough: new issues all the time, two workers that never end, and samples of what it costs."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.kit.fleet import MIXED, Fleet, make_fleet

# Two issues are worked on for the whole time, and talk all the time: lines, costs, long lines, bytes that are no text.
TALKS = """\
import subprocess, sys, time
out, number = sys.stdout.buffer, 0
while True:
    number += 1
    out.write(b'{"type":"text","text":"line %d %s"}\\n' % (number, b"x" * 200))
    if number % 50 == 0:
        out.write(b'{"type":"usage","usd":0.0001,"input_tokens":10,"output_tokens":1,"scope":"call"}\\n')
    if number % 100 == 0:
        out.write(b"\\xff\\x00\\x1b" * 100_000 + b"\\n")
    if number % 500 == 0:
        subprocess.run([sys.argv[1], "report", "working", "--note", f"at line {number}"], check=False)
    out.flush()
    time.sleep(0.02)
"""
ENDLESS = 2
OPEN = 12  # issues at a time


class Sample(NamedTuple):
    """One look. Memory in KiB; `sizes` in KiB and counts, by name."""

    at: float
    values: dict[str, float]


class Soak:
    """Lives as long as the scene does; `play` adds to the samples."""

    def __init__(self, folder: Path, workers: int, seed: int) -> None:
        self.folder, self.workers, self.seed = folder, workers, seed
        self.issues = self.merged = 0
        self.happened: dict[str, int] = {}

    def play(self, length: float, every: float, samples: list[Sample]) -> None:
        with make_fleet(self.folder, self.workers) as scene:
            fleet = Fleet(scene, 0, self.seed, self.workers)
            fleet.ceiling = 1e6
            fleet.configure()
            (scene.folder / "talks.py").write_text(TALKS)
            talk = f'if [ "$issue" -le {ENDLESS} ]; then exec python3 "@FOLDER@/talks.py" "@REPORT@"; fi\n'
            scene.agent(talk + MIXED)
            events = [
                (fleet.fail_github, 1),
                (fleet.answer, 5),
                (fleet.merge, 6),
                (fleet.prune, 1),
                (fleet.go_on, 3),
            ]
            start = time.monotonic()
            while (now := time.monotonic() - start) < length:
                fleet.keep_running()
                fleet.step(events)
                while (
                    sum(fleet.github.issues[number].state == "open" for number in fleet.numbers)
                    < OPEN
                ):
                    fleet.add_issue()
                if not samples or now - samples[-1].at >= every:
                    samples.append(look(fleet, now))
            fleet.end_run()
            fleet.check()
            self.issues, self.happened = len(fleet.numbers), fleet.happened
            self.merged = sum(1 for pull in fleet.github.pulls.values() if pull.merged_at)


def look(fleet: Fleet, now: float) -> Sample:
    scene = fleet.scene
    values: dict[str, float] = {}
    coordinator = [fleet.run.pid] if fleet.run else []
    long_lived = [scene.status(number).get("supervisor") or {} for number in range(1, ENDLESS + 1)]
    for name, pids in (
        ("run", coordinator),
        ("supervisor", [each["pid"] for each in long_lived if each]),
    ):
        for place, pid in enumerate(pids, 1):
            about = process(pid)
            if about:
                values[f"{name} {place}: RSS, KiB"], values[f"{name} {place}: descriptors"] = about
    values["logs, KiB"] = folder_size(scene.state, logs=True)
    values["state without logs, KiB"] = folder_size(scene.state, logs=False)
    for name in ("sessions", "archive", "ledger", "cache"):
        values[f"  of that {name}, KiB"] = folder_size(scene.state / name, logs=False)
    counted = dict(line.split(": ") for line in scene.git("count-objects", "-v").splitlines())
    values["loose objects"], values["packs"] = float(counted["count"]), float(counted["packs"])
    values["sessions"] = float(len(list((scene.state / "sessions").glob("*"))))
    values["archived"] = float(len(list((scene.state / "archive").glob("*"))))
    return Sample(now, values)


def process(pid: int) -> tuple[float, float] | None:
    """(RSS in KiB, open descriptors); None for one that is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        return float(status.partition("VmRSS:")[2].split()[0]), float(
            len(os.listdir(f"/proc/{pid}/fd"))
        )
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return None


def folder_size(folder: Path, logs: bool) -> float:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            if (".log" in name) == logs:
                try:
                    total += os.lstat(os.path.join(place, name)).st_size
                except FileNotFoundError:
                    pass
    return round(total / 1024, 1)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Growth per hour by least squares."""
    if len(points) < 2:
        return 0.0
    middle_at, middle = (sum(each) / len(points) for each in zip(*points, strict=True))
    spread = sum((at - middle_at) ** 2 for at, _ in points)
    return (
        3600 * sum((at - middle_at) * (value - middle) for at, value in points) / spread
        if spread
        else 0.0
    )


def series(samples: Sequence[Sample], name: str) -> list[tuple[float, float]]:
    return [(each.at, each.values[name]) for each in samples if name in each.values]


def table(samples: Sequence[Sample]) -> str:
    rows = [f"{'what':28} {'first':>10} {'last':>10} {'highest':>10} {'an hour':>10}"]
    for name in dict.fromkeys(name for each in samples for name in each.values):
        points = series(samples, name)
        values = [value for _, value in points]
        rows.append(
            f"{name:28} {values[0]:10g} {values[-1]:10g} {max(values):10g} {slope(points):+10.1f}"
        )
    return "\n".join(rows)


def grows(samples: Sequence[Sample]) -> list[str]:
    """What must be flat and is not: the last third lies above the second one by more than noise.

    The first third is warm-up: imports, caches of pages, the first faults.
    """
    found = []
    for name in dict.fromkeys(name for each in samples for name in each.values):
        allowed = {"RSS, KiB": 0.05, "descriptors": 0.0}.get(name.partition(": ")[2])
        values = [value for _, value in series(samples, name)]
        if allowed is None or len(values) < 9:
            continue
        third = len(values) // 3
        before, after = middle(values[third:-third]), middle(values[-third:])
        if after > before * (1 + allowed):
            found.append(f"{name}: {before:g} in the middle, {after:g} at the end")
    return found


def middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
