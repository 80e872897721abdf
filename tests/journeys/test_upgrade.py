"""Sessions that an older version started go on with this one: its state on disk, and a worker that lives meanwhile.

tests/journeys/upgrade holds the wheel of commit ccfe71d. Each test uses it as a person would have: installed, and then replaced.
"""

from __future__ import annotations

import json
import shutil
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from issue_orch.process.run import package_parent
from tests.kit.scene import ASK, COMPLETE, ENDLESS, Scene, make_scene

WHEEL = Path(__file__).parent / "upgrade" / "issue_orch-ccfe71d.whl"
USES = """\
printf '{"type":"tool","text":"sh","id":"1"}\\n{"type":"tool_end","id":"1"}\\n'
"""
DONE = {"PR READY", "PR OPEN"}
# A supervisor of that version that had not asked git yet looks for it where it is no more: `resume` goes on.
ENDED = DONE | {"PUBLISH PENDING", "CRASHED"}
PAID = """\
printf '{"type":"usage","usd":0.25,"input_tokens":100,"output_tokens":10,"scope":"call"}\\n'
"""
GATED = (
    USES
    + 'commit "begun-$issue.txt"\nreport planning --touches src/menu.py\nawait end\n'
    + COMPLETE
)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A scene in which the old version is installed, in an environment of its own."""
    with make_scene(tmp_path) as made:
        environment = tmp_path / "installed"
        venv.create(environment, symlinks=True)
        packages = next(environment.glob("lib/python*/site-packages"))
        (packages / "needed.pth").write_text(
            sysconfig.get_path("purelib")
        )  # .pth files there are not obeyed
        zipfile.ZipFile(WHEEL).extractall(packages)
        made.command[0], made.env["PYTHONPATH"] = str(environment / "bin" / "python"), str(packages)
        yield made


def upgrade(scene: Scene) -> None:
    """As an installer does it: what was there goes, the new version comes to the same place."""
    top, package = Path(package_parent()), Path(scene.env["PYTHONPATH"]) / "issue_orch"
    shutil.rmtree(package)
    shutil.copytree(top / "issue_orch", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(top / "prompts", package / "_prompts")


def spawn(scene: Scene, agent: str, *words: str) -> int:
    scene.agent(agent)
    number = scene.issue()
    scene.orch("spawn", str(number), *words, check=True)
    return number


def test_every_session_of_an_older_version_goes_on(scene: Scene) -> None:
    scene.gate("end")
    merged, complete = (spawn(scene, PAID + COMPLETE) for _ in range(2))
    stuck, cancelled, stopped = spawn(scene, ASK), spawn(scene, ENDLESS), spawn(scene, ENDLESS)
    for number, status in ((merged, "complete"), (complete, "complete"), (stuck, "stuck")):
        scene.wait(lambda number=number, status=status: scene.status(number)["status"] == status)
    for word, number in (("cancel", cancelled), ("stop", stopped)):
        scene.wait(lambda number=number: scene.status(number)["status"] == "working")
        scene.orch(word, str(number), check=True)
    scene.sandbox.person.merge(scene.pull_of(merged))
    scene.orch("prune", str(merged), check=True)
    scene.orch("tell", str(stopped), "mind the gap", check=True)
    cut_off = scene.issue()
    (scene.folder / "agent").rename(scene.folder / "agent.away")
    scene.orch("spawn", str(cut_off))
    planning = spawn(scene, GATED)
    scene.wait(lambda: scene.status(planning)["status"] == "planning")

    upgrade(scene)
    assert set(rows(scene)) == {complete, stuck, cancelled, stopped, planning}
    for number in rows(scene):
        assert f"#{number} A task" in scene.orch("show", str(number), check=True).out
    costs = json.loads(scene.orch("costs", "--json", check=True).out)
    assert costs["total"]["usd"] == 0.5
    scene.orch("doctor")

    scene.agent(COMPLETE)
    scene.orch("answer", str(stuck), "left", check=True)
    scene.orch("resume", str(stopped), check=True)
    scene.orch("spawn", str(cut_off), check=True)
    scene.release("end")
    for number in (stuck, stopped, cut_off, planning):
        scene.wait(
            lambda number=number: scene.headline(number) in ENDED, what=f"#{number} is complete"
        )
    scene.wait_quiet()
    assert any(
        "mind the gap" in path.read_text() for path in scene.folder.glob(f"prompt-{stopped}.*")
    )
    for number in (each for each in rows(scene) if scene.headline(each) in ENDED - DONE):
        scene.orch("resume", str(number), check=True)
        scene.wait_status(number, "complete")
    for number in (complete, stuck, stopped, cut_off, planning):
        scene.sandbox.person.merge(scene.pull_of(number))
    pruned = scene.orch("prune", "--cancelled", check=True).out
    assert all(
        f"#{number}: removed" in pruned
        for number in (complete, stuck, cancelled, stopped, cut_off, planning)
    ), pruned
    scene.check_invariants()


def rows(scene: Scene) -> list[int]:
    return list(scene.sessions())


def test_a_worker_lives_through_an_upgrade_in_place(scene: Scene) -> None:
    """Without a person who resumes anything: what the old supervisor starts as its helper is there in the new version too."""
    scene.gate("end")
    number = spawn(scene, GATED)
    scene.wait(lambda: scene.status(number)["changes"], what="the old supervisor has asked git")
    upgrade(scene)
    scene.release("end")
    scene.wait_status(number, "complete")
    scene.check_invariants()


@pytest.mark.parametrize(
    "agent",
    [
        pytest.param(GATED, id="complete"),
        pytest.param(
            f"if [ $attempt = 1 ]; then await end; exit 0; else {COMPLETE}fi\n", id="no report"
        ),
    ],
)
def test_what_was_installed_goes_while_a_worker_runs(scene: Scene, agent: str) -> None:
    """All that a supervisor needs of its own it has loaded; what it has to ask for is said, and done by `resume`."""
    upgrade(scene)
    scene.gate("end")
    number = spawn(scene, agent)
    shutil.rmtree(scene.folder / "installed")
    scene.command[0], scene.env["PYTHONPATH"] = sys.executable, package_parent()
    scene.release("end")
    scene.wait_quiet()
    status = scene.status(number)
    words = (status["publish"] or {}).get("reason") or status["failure"] or ""
    assert "issue-orch was upgraded or removed while this worker ran" in words, scene.describe()
    assert not (scene.state / "sessions" / str(number) / "supervisor.log").read_text()
    assert "CRASHED: its worker is gone" not in scene.orch("status", check=True).out
    scene.orch("resume", str(number), check=True)
    scene.wait_status(number, "complete")
    scene.check_invariants()
