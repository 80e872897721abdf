"""kill -9, or a full disk, at every point where a command changes the world; then the next ordinary command, up to the pull.

A seeded sample runs by default; CRASH_POINTS=all runs every point, CRASH_POINTS=40 that many of each role, and
CRASH_SEED chooses others.
"""

from __future__ import annotations

import os
import random
import signal
import sysconfig
import venv
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit.scene import ASK, COMPLETE, ENDLESS, Ran, Scene, make_scene

POINTS, SEED = os.environ.get("CRASH_POINTS", "1"), os.environ.get("CRASH_SEED", "1")
HITS = ("kill", "deny")
DONE = {"PR OPEN", "PR READY"}
# The agent before it may have been killed between writing a file and its commit.
LEFT = "git add --all; git diff --cached --quiet || git commit -q -m 'What was left'\n"
PLANNED = 'report planning --touches "work-$issue.txt"\n' + LEFT + COMPLETE


class Rig:
    """A python of its own, whose processes are counted or killed by hook.py."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder, symlinks=True)
        packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
        real = sysconfig.get_path("purelib")
        (packages / "crash.pth").write_text(
            f"import site; site.addsitedir({real!r})\n"
            f"import sys; sys.path.append({str(Path(__file__).parent)!r}); import hook\n"
        )
        self.python = str(folder / "bin" / "python")
        self.plan("off")

    def plan(self, words: str) -> None:
        (self.folder / "killed").unlink(missing_ok=True)
        (self.folder / "plan").write_text(words)

    def killed(self) -> bool:
        return (self.folder / "killed").exists()

    def points(self, name: str, role: str, hit: str, play: Callable[[str], object]) -> list[int]:
        """Those that the busiest process of the role passes when nothing happens and that can be hit; recorded once a story."""
        file = self.folder / f"points-{name.replace(' ', '-')}"
        if not file.exists():
            play(f"record {file.name}")
        rows = [
            line.split()[1:4]
            for line in file.read_text(errors="replace").splitlines()
            if line.startswith(f"{role} ")
        ]
        [(busiest, count)] = Counter(pid for pid, _, _ in rows).most_common(1)
        assert count > 5, "the hook sees what happens"
        return [
            int(number) for pid, number, most in rows if pid == busiest and hit in ("kill", most)
        ]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    return Rig(tmp_path_factory.mktemp("rig") / "venv")


def carry_on(scene: Scene, number: int) -> None:
    """What a person does who looks at `status` and types what it names, until the pull is there."""
    said = []
    for _ in range(8):
        scene.wait(lambda: not scene.supervisors(), what="the supervisor ends")
        label = scene.headline(number)
        if label in DONE:
            return
        if label == "STUCK" and scene.status(number)["question"]:
            words = ("answer", str(number), "left, I say")
        elif label == "":
            words = ("spawn", str(number), "--yes")
        else:
            words = ("resume", str(number))
        ran = scene.orch(*words)
        if ran.code and f"issue-orch spawn {number}" in ran.err:
            ran = scene.orch("spawn", str(number), "--yes")
        said.append((label, words, ran))
    raise AssertionError(f"#{number} does not come to its pull: {said}\n{scene.describe()}")


Prepare = Callable[[Scene, int], None]


def nothing(scene: Scene, number: int) -> None:
    pass


def asked(scene: Scene, number: int) -> None:
    scene.agent(ASK)
    scene.orch("spawn", str(number), check=True)
    scene.wait_status(number, "stuck")


def stopped(scene: Scene, number: int) -> None:
    running(scene, number)
    assert scene.supervisors()
    scene.orch("stop", str(number), check=True)
    scene.agent(PLANNED)


def running(scene: Scene, number: int) -> None:
    scene.agent(ENDLESS)
    scene.orch("spawn", str(number))
    scene.wait(
        lambda: scene.status(number)["status"] == "working" or not scene.supervisors(),
        what="the agent reports",
    )


def unwatched(scene: Scene, number: int) -> None:
    """The supervisor is lost, and its agent goes on."""
    running(scene, number)
    scene.wait(
        lambda: any("tail -f" in line for _, line, _ in scene.processes()),
        what="the agent says nothing more",
    )
    for pid in scene.supervisors():
        os.kill(pid, signal.SIGKILL)
    scene.wait(lambda: not scene.supervisors(), what="it is gone")
    assert scene.workers()
    scene.agent(PLANNED)


def merged(scene: Scene, number: int) -> None:
    scene.orch("spawn", str(number), check=True)
    url = scene.wait_status(number, "complete")["pullRequestUrl"]
    scene.sandbox.person.merge(int(url.rpartition("/")[2]))


# name: what comes first, the command, and the roles of the processes to kill
STORIES: dict[str, tuple[Prepare, tuple[str, ...], tuple[str, ...]]] = {
    "spawn": (nothing, ("spawn",), ("spawn", "supervisor", "helper")),
    "answer": (asked, ("answer",), ("answer", "supervisor", "helper")),
    "resume": (stopped, ("resume",), ("resume", "supervisor")),
    "takeover": (unwatched, ("resume",), ("resume", "supervisor")),
    "pause": (unwatched, ("pause",), ("pause",)),
    "stop": (running, ("stop",), ("stop", "supervisor")),
    "cancel": (running, ("cancel",), ("cancel", "supervisor")),
    "prune": (merged, ("prune",), ("prune",)),
}
CASES = [(story, role) for story, (_, _, roles) in STORIES.items() for role in roles]


def command(story: str, number: int) -> tuple[str, ...]:
    return (*STORIES[story][1], str(number), *(["left, I say"] if story == "answer" else []))


def play(rig: Rig, folder: Path, story: str, plan: str) -> bool:
    """One story with one plan; returns whether somebody was killed."""
    folder.mkdir()
    rig.plan("off")
    with make_scene(folder) as scene:
        number = scene.issue()
        scene.agent(PLANNED)
        scene.command[0] = rig.python
        prepare = STORIES[story][0]
        if story in {
            "stop",
            "cancel",
        }:  # its supervisor is to be killed as well, so it has to start with the plan
            rig.plan(plan)
            prepare(scene, number)
        else:
            prepare(scene, number)
            rig.plan(plan)
        allowed(scene, scene.orch(*command(story, number)))
        scene.check_invariants(quiet=False)
        if story == "stop":
            scene.orch("stop", str(number))
            scene.wait_quiet()
            assert scene.headline(number) == "STOPPED", scene.describe()
            scene.agent(PLANNED)
        if story == "cancel":
            scene.orch("cancel", str(number), check=True)
            scene.wait_quiet()
            assert scene.headline(number) == "CANCELLED", scene.describe()
            assert "issue-1" in scene.git("branch", "--list", "issue-1") and not scene.sandbox.pulls
        elif story == "prune":
            scene.orch("prune", check=True)
            assert (
                not scene.status(number) and not scene.clone.with_name("widgets-issue-1").exists()
            )
            assert "issue-1" not in scene.git("branch", "--list", "issue-1"), (
                "the local branch goes with it"
            )
        else:
            carry_on(scene, number)
            assert len(scene.sandbox.pulls) == 1
        if story == "answer":
            prompts = [path.read_text() for path in folder.glob("prompt-1.*")]
            assert any("left, I say" in text for text in prompts), "the answer reached the worker"
        scene.wait_quiet()
        scene.check_invariants()
    return rig.killed()


def allowed(scene: Scene, ran: Ran) -> None:
    """Killed, done, or a refusal that says what to type next; never a bug."""
    assert ran.code in (0, 1, -signal.SIGKILL) and "Traceback" not in ran.err, ran
    assert ran.code != 1 or "next:" in ran.err or " -> " in ran.out, ran


def sweep(rig: Rig, name: str, role: str, hit: str, play: Callable[[str, str], bool]) -> None:
    """Play a story (in a folder of that name, by a plan) once for each picked point; `play` says whether somebody was hit."""
    points = picked = rig.points(name, role, hit, lambda plan: play("record", plan))
    if POINTS != "all":
        picked = sorted(
            random.Random(f"{SEED} {name} {role} {hit}").sample(
                points, min(int(POINTS), len(points))
            )
        )
    killed, failures = 0, []
    for number in picked:
        try:
            killed += play(str(number), f"{hit} {role} {number}")
        except AssertionError as error:
            failures.append(f"{name}: {role} {hit} at point {number}: {error}")
    print(f"crash points: {name}, {role}, {hit}: {killed} of {len(points)}, {len(failures)} failed")
    assert not failures, "\n\n".join(failures)
    assert killed, "somebody was hit"


@pytest.mark.wide(8)
@pytest.mark.parametrize(("story", "role"), CASES)
@pytest.mark.parametrize("hit", HITS)
def test_hit_at_every_point(rig: Rig, tmp_path: Path, hit: str, story: str, role: str) -> None:
    sweep(rig, story, role, hit, lambda name, plan: play(rig, tmp_path / name, story, plan))
