"""A day of a fleet on the sandbox. FLEET_ISSUES, FLEET_WORKERS and FLEET_SEED make it longer, wider, another one."""

from __future__ import annotations

import os
from pathlib import Path

from tests.kit.fleet import Fleet, make_fleet

ISSUES = int(os.environ.get("FLEET_ISSUES", "6"))
WORKERS = int(os.environ.get("FLEET_WORKERS", "4"))
SEED = int(os.environ.get("FLEET_SEED", "7"))


def test_a_day_of_a_fleet(tmp_path: Path) -> None:
    with make_fleet(tmp_path, WORKERS) as scene:
        fleet = Fleet(scene, ISSUES, SEED, WORKERS)
        fleet.play(deadline=300 + 30 * ISSUES)
        fleet.account()
        print(f"fleet of {ISSUES}, seed {SEED}: {fleet.happened}, ${fleet.ceiling:.2f}")
