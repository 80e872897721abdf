"""A full or read-only disk while prune removes and preserves, and while settle publishes: nothing is lost, and later it goes on.

The clone and its worktrees lie on a small file system of their own, which takes the right to mount.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from issue_orch.process.run import python_module
from tests.journeys.test_prune import finished
from tests.kit.scene import COMPLETE, Scene, make_scene

MEGABYTES = 300  # `spawn` wants room
FREE = (0, 4, 8, 12, 16, 24, 32, 48, 64, 96)  # kB that are left


class Disk:
    """A small file system. `fill` leaves so many kB, `empty` takes the ballast away; `protect` makes it read-only."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ballast = folder, folder / "ballast"

    def fill(self, free: int) -> None:
        left = os.statvfs(self.folder).f_bavail * os.statvfs(self.folder).f_frsize - free * 1024
        with open(self.ballast, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, left))

    def empty(self) -> None:
        self.ballast.unlink(missing_ok=True)

    def protect(self, mode: str = "ro") -> None:
        subprocess.run(["mount", "-o", f"remount,{mode}", self.folder], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "small"
    folder.mkdir()
    argv = ("mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", folder)
    mounted = subprocess.run(argv, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(
            f"NO FULL DISK WAS TRIED: this user may not mount ({mounted.stderr.decode().strip()})"
        )
    yield Disk(folder)
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def scene(disk: Disk) -> Iterator[Scene]:
    with make_scene(disk.folder) as made:
        yield made


def test_prune_makes_room_on_a_full_disk(scene: Scene, disk: Disk) -> None:
    for free in FREE:
        number = scene.issue()
        path = finished(scene, number)
        head = scene.git("rev-parse", f"issue-{number}").strip()
        scene.sandbox.person.merge(scene.pull_of(number))
        disk.fill(free)
        ran = scene.orch("prune")
        disk.empty()
        assert (ran.code, ran.err, path.exists()) == (0, "", False) and "removed" in ran.out, ran
        assert not scene.status(number) and not scene.git("branch", "--list", f"issue-{number}")
        assert head in scene.git("ls-remote", "origin", f"issue-{number}")
        scene.check_invariants()


def test_what_cannot_be_preserved_for_want_of_room_is_kept(scene: Scene, disk: Disk) -> None:
    number = scene.issue()
    path = finished(scene, number, pull=False)
    content = os.urandom(60_000)
    scene.orch("cancel", str(number), check=True)
    for free in FREE:
        (path / "loose.bin").write_bytes(content)
        disk.fill(free)
        ran = scene.orch("prune", "--cancelled")
        assert not ran.err, ran
        disk.empty()
        if path.exists():
            assert (path / "loose.bin").read_bytes() == content
            assert ran.code or "kept" in ran.out, ran
            continue
        kept = scene.git(
            "for-each-ref", "--format=%(refname)", f"refs/issue-orch/preserved/{number}/"
        ).split()
        argv = ("git", "show", f"{kept[0]}:loose.bin")
        assert (
            subprocess.run(
                argv, cwd=scene.clone, env=scene.env, capture_output=True, check=True
            ).stdout
            == content
        )
        break
    else:
        scene.orch("prune", "--cancelled", check=True)
        assert not path.exists()
    scene.git("fsck", "--strict", "--connectivity-only")
    scene.check_invariants()


def test_settle_on_a_full_disk_publishes_or_is_pending(scene: Scene, disk: Disk) -> None:
    scene.gate("go")
    scene.agent("await go\n" + COMPLETE)
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    you = scene.lose_sign_in()
    scene.release("go")
    scene.wait(lambda: scene.status(number)["publish"], what="publishing is pending")
    scene.wait_quiet()
    scene.sandbox.users["you"] = you
    scene.store_credentials()
    launch = json.loads((scene.state / "sessions" / str(number) / "launch.json").read_text())
    claim = {"kind": "complete", "title": "Solve it"}
    request = {
        "operation": "settle",
        "token": scene.token,
        "state": str(scene.state),
        "number": number,
        "claim": claim,
        "launch": launch,
        "status": scene.status(number),
    }
    outcomes = []
    for free in FREE[:4]:
        disk.fill(free)
        done = subprocess.run(
            python_module("worker.helper"),
            input=json.dumps(request),
            env=scene.env,
            text=True,
            capture_output=True,
            check=False,
        )
        disk.empty()
        assert done.returncode == 0 and not done.stderr, done
        outcomes.append(json.loads(done.stdout))
        assert outcomes[-1].get("outcome") in ("opened", "pending") or "error" in outcomes[-1], (
            outcomes
        )
    scene.orch("resume", str(number), check=True)
    scene.wait_status(number, "complete")
    assert len(scene.sandbox.pulls) == 1
    scene.wait_quiet()
    scene.check_invariants()


def test_where_nothing_may_be_written_everything_stays_and_is_said(
    scene: Scene, disk: Disk
) -> None:
    merged, loose = scene.issue(), scene.issue()
    paths = finished(scene, merged), finished(scene, loose, pull=False)
    scene.sandbox.person.merge(scene.pull_of(merged))
    (paths[1] / "loose.txt").write_text("x")
    scene.orch("cancel", str(loose), check=True)
    disk.protect()
    for words in (("prune",), ("prune", "--cancelled")):
        ran = scene.orch(*words)
        assert ran.code == 1 and "Read-only file system" in ran.err and "next: " in ran.err, ran
        assert all(path.is_dir() for path in paths)
    disk.protect("rw")
    assert scene.orch("prune", "--cancelled", check=True).out.count("removed") == 2
    kept = scene.git(
        "for-each-ref", "--format=%(refname)", f"refs/issue-orch/preserved/{loose}/"
    ).strip()
    assert scene.git("show", f"{kept}:loose.txt") == "x"
    scene.check_invariants()


def test_a_worktree_that_may_not_be_moved_is_kept_and_holds_up_nobody(
    tmp_path: Path, disk: Disk
) -> None:
    with make_scene(tmp_path) as scene:
        fixed, free = scene.issue(), scene.issue()
        for number, folder in ((fixed, disk.folder), (free, tmp_path)):
            finished(scene, number, folder=folder)
            scene.sandbox.person.merge(scene.pull_of(number))
        disk.protect()
        lines = scene.orch("prune", check=True).out.splitlines()
        assert "kept" in lines[0] and "Read-only file system" in lines[0], lines
        assert lines[1].startswith("  next: ") and "removed" in lines[2], lines
        assert (disk.folder / f"widgets-issue-{fixed}" / f"work-{fixed}.txt").is_file()
        disk.protect("rw")
        assert "removed" in scene.orch("prune", check=True).out
        scene.wait(lambda: not list(disk.folder.iterdir()), what="its files are deleted")
        scene.check_invariants()
