"""Rounds of product and yardstick in turn; medians of the ratios of each round, as a table and as JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

from .place import Place


class Row(NamedTuple):
    """One row. `measure` yields a pair per round: what the product took and what the yardstick took, in `unit`.

    `goal` is the ratio of the two, or the product's value itself when `absolute`; None: only shows how cost grows.
    After the rounds, `phases` says where the product's time goes.
    """

    what: str
    against: str
    goal: float | None
    measure: Callable[[Place, int], Iterator[tuple[float, float]]]
    phases: Callable[[Place], str] | None = None
    unit: str = "ms"
    absolute: bool = False


def measure_all(
    rows: dict[str, Row], rounds: int, latency: int, by_cpu: bool, folder: Path | None, file: Path
) -> int:
    results = json.loads(file.read_text())["rows"] if file.exists() else {}
    print(
        f"{'row':16} {'goal':>7} {'measured':>9} {'quartiles':>13}  {'product':>10} {'yardstick':>10}  where it goes"
    )
    for name, row in rows.items():
        with Place(latency, by_cpu, folder) as place:
            pairs = list(row.measure(place, rounds))
            phases = row.phases(place) if row.phases else ""
        result = {
            **summary(row, pairs),
            "phases": phases,
            "latency": latency,
            "clock": "cpu" if by_cpu else "wall",
            "load": round(os.getloadavg()[0], 1),
        }
        results[name + f"@{latency}ms" * bool(latency) + "@disk" * bool(folder)] = result
        print(line(name, row, result), flush=True)
        file.write_text(json.dumps({"machine": machine(), "rows": results}, indent=1) + "\n")
    return 0


def summary(row: Row, pairs: list[tuple[float, float]]) -> dict[str, object]:
    values = [product if row.absolute else product / yardstick for product, yardstick in pairs]
    low, _, high = (
        quantiles(values, n=4, method="inclusive") if len(values) > 1 else (values[0],) * 3
    )
    return {
        "what": row.what,
        "against": row.against,
        "goal": row.goal,
        "measured": round(median(values), 3),
        "quartiles": [round(low, 3), round(high, 3)],
        "unit": row.unit,
        "absolute": row.absolute,
        "rounds": len(pairs),
        "product": round(median(p for p, _ in pairs), 2),
        "yardstick": round(median(y for _, y in pairs), 2),
        "reached": row.goal is None or median(values) <= row.goal,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def line(name: str, row: Row, result: dict[str, object]) -> str:
    mark = "x" if not row.absolute else ""
    low, high = result["quartiles"]  # type: ignore[misc]
    goal = "" if row.goal is None else f"{row.goal:g}{mark}"
    sign = " " if result["reached"] else "!"
    return (
        f"{name:16} {goal:>7} {result['measured']:>8.2f}{mark or ' '}{sign} {low:>5.2f}–{high:<6.2f} "
        f"{result['product']:>9.1f} {result['yardstick']:>9.1f} {row.unit:4} {result['phases']}"
    )


def machine() -> dict[str, object]:
    git = subprocess.run(
        ["git", "version"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.split()[2]
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "git": git,
        "system": sys.platform,
    }
