"""`stop` ends everything that a worker started, however it hides, and nothing else."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.kit.scene import COMPLETE, Scene

# Ignores TERM, as do its grandchildren, which have sessions of their own and hold the agent's stdout.
STUBBORN = """\
trap '' TERM INT HUP
cat > "@FOLDER@/child" <<'END'
trap '' TERM INT HUP
echo "$$" >> "@FOLDER@/pids"
[ "$1" = 0 ] || setsid sh "@FOLDER@/child" 0 &
while :; do tail -f /dev/null; done
END
setsid sh "@FOLDER@/child" 1 &
echo "$$" >> "@FOLDER@/pids"
while :; do tail -f /dev/null; done
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pids_of(scene: Scene, count: int) -> list[int]:
    file = scene.folder / "pids"
    scene.wait(
        lambda: file.exists() and len(file.read_text().split()) == count,
        what=f"{count} processes run",
    )
    return [int(word) for word in file.read_text().split()]


def test_stop_ends_a_tree_that_ignores_term_and_leaves_a_bystander(scene: Scene) -> None:
    scene.agent(STUBBORN)
    number, other = scene.issue(), scene.issue()
    scene.orch("spawn", str(number), check=True)
    pids = pids_of(scene, 3)
    # The same command line, the same folder, even the marker's name: but not our worker.
    environment = {
        **scene.env,
        "ISSUE_ORCH_WORKER": f"{number}.1",
        "ISSUE_ORCH_STATE": "/somewhere/else",
    }
    with (
        subprocess.Popen(
            ["sh", str(scene.folder / "agent")],
            cwd=scene.worktree(number),
            env=scene.env | {"ISSUE_ORCH_WORKER": f"{other}9.1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        ) as bystander,
        subprocess.Popen(["tail", "-f", "/dev/null"], env=environment) as namesake,
    ):
        everybody = pids_of(scene, 6)
        ran = scene.orch("stop", str(number), check=True)
        assert ran.out == f"#{number}: stopped\n"
        assert not [pid for pid in pids if alive(pid)]
        assert all(alive(pid) for pid in everybody if pid not in pids), "bystanders live on"
        assert bystander.poll() is None and namesake.poll() is None
        for pid in set(everybody) - set(pids):
            os.killpg(pid, 9) if os.getpgid(pid) == pid else os.kill(pid, 9)
        namesake.kill()
    scene.wait_quiet()
    assert scene.headline(number) == "STOPPED"
    assert scene.status(number)["hold"] == "stopped" and scene.worktree(number).is_dir()
    scene.agent(COMPLETE)
    assert scene.orch("resume", str(number), check=True).out == f"#{number}: resumed\n"
    scene.wait_status(number, "complete")
    scene.check_invariants()


def test_stop_of_one_leaves_the_other_worker(scene: Scene) -> None:
    scene.agent("exec tail -f /dev/null\n")
    first, second = scene.issue(), scene.issue()
    scene.orch("spawn", str(first), str(second), check=True)
    workers = scene.wait(
        lambda: len(found := scene.workers()) == 2 and found, what="two agents run"
    )
    scene.orch("stop", str(first), check=True)
    assert len([pid for pid in workers if alive(pid)]) == 1
    assert scene.headline(second) in {"STARTING", "WORKING"}
    scene.orch("stop", "--all", check=True)
    scene.check_invariants()


def test_cancel_keeps_the_work(scene: Scene) -> None:
    scene.agent(
        'commit kept.txt\necho loose > loose.txt\nreport working --note "half done"\nexec tail -f /dev/null\n'
    )
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.wait(lambda: scene.status(number)["status"] == "working", what="it reports")
    path = scene.worktree(number)
    assert scene.orch("cancel", str(number), check=True).out == f"#{number}: cancelled\n"
    scene.wait_quiet()
    assert scene.headline(number) == "CANCELLED" and (path / "loose.txt").exists()
    refused = scene.orch("resume", str(number))
    assert refused.code == 1 and "cancelled" in refused.err and "next:" in refused.err
    assert f"#{number}: kept" in scene.orch("prune", check=True).out and path.is_dir()
    out = scene.orch("prune", "--cancelled", check=True).out
    assert (
        f"#{number}: removed: cancelled; its work is kept at refs/issue-orch/preserved/{number}/"
        in out
    )
    ref = out.split("kept at ")[1].split()[0]
    assert scene.git("show", f"{ref}:loose.txt") == "loose\n"
    assert not path.exists()
    scene.check_invariants()
    scene.agent(COMPLETE)
    again = scene.orch("spawn", str(number))
    assert (
        again.code == 1
        and "the branch issue-1 exists already\n  next: issue-orch spawn 1 --reuse" in again.err
    )
    scene.orch("spawn", str(number), "--reuse", check=True)
    scene.wait_status(number, "complete")
    assert (scene.worktree(number) / "kept.txt").exists(), "the branch was continued"
    scene.check_invariants()
