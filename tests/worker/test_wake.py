"""A report is seen at once: `report` rings, by a pipe beside the outbox with which its worker may do what it likes."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from issue_orch.agents.base import Command
from issue_orch.core.outcomes import Event
from issue_orch.store.files import load_status, write_json
from issue_orch.worker import agent_run
from issue_orch.worker.agent_run import AgentRun
from issue_orch.worker.attempt import heartbeat
from issue_orch.worker.outbox import Bell, apply_reports
from issue_orch.worker.session import Session
from issue_orch.worker.supervisor import wakeup_pipe
from tests.kit.scene import REPORT, Scene
from tests.worker.test_outbox import Desk

NAMESPACE = ("unshare", "--user", "--map-root-user", "--pid", "--fork")


def can_unshare() -> bool:
    tried = shutil.which("unshare") and subprocess.run([*NAMESPACE, "true"], check=False)
    return bool(tried) and tried.returncode == 0  # type: ignore[union-attr]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    about = {"issueNumber": 7, "stateFolder": str(desk.state)}
    write_json(desk.worktree / ".issue-orch" / "context.json", about)
    return desk


def pipe_of(desk: Desk) -> Path:
    return desk.worktree / ".issue-orch" / "wake"


@contextmanager
def worker(desk: Desk, *before: str) -> Iterator[Callable[[str], None]]:
    """Reports a note. It is no child of ours that ends: the signal of that would be a reason to look."""
    shell = subprocess.Popen((*before, "sh"), cwd=desk.worktree, stdin=subprocess.PIPE)
    assert shell.stdin

    def report(note: str) -> None:
        assert shell.stdin
        shell.stdin.write(f"'{REPORT}' report working --note '{note}' > /dev/null\n".encode())
        shell.stdin.flush()

    try:
        yield report
    finally:
        shell.communicate()
        assert shell.returncode == 0


class Watch:
    """A silent agent under its supervisor's loop; without reports nothing is looked at any more after the first look."""

    def __init__(self, desk: Desk) -> None:
        self.session = Session(desk.state, 7)
        self.session.launch["stallAfter"] = 0
        self.bell = Bell(str(desk.worktree))
        folder, sleep = str(self.session.folder), Command(("sleep", "60"), "", {}, None)
        self.run = AgentRun(self.session.adapter, sleep, folder, folder, lambda *_: None, None)
        self.run.heard -= 3600
        self.looks = self.run.follow(wakeup_pipe(), self.bell)
        self.look()

    def look(self) -> str:
        next(self.looks)
        self.bell.listen()
        apply_reports(self.session)
        status = load_status(self.session.state, 7)
        assert status
        return status["lastActivity"]["text"] if status["lastActivity"] else ""

    def wait_for(self, note: str) -> int:
        """Looks until it is shown."""
        count = 1
        while self.look() != note:
            count += 1
        return count


@contextmanager
def watching(desk: Desk) -> Iterator[Watch]:
    watch = Watch(desk)
    try:
        yield watch
    finally:
        watch.run.child.kill()
        for _ in watch.looks:
            pass
        watch.bell.close()


@pytest.fixture
def no_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the agent lives: what is not rung for is not seen."""
    monkeypatch.setattr(agent_run, "_QUIET_TICK", 3600.0)


@pytest.mark.usefixtures("no_ticks")
@pytest.mark.parametrize("before", [(), NAMESPACE], ids=["beside us", "in a PID namespace"])
def test_a_report_of_a_silent_worker_is_seen_by_its_ring(
    desk: Desk, before: tuple[str, ...]
) -> None:
    if before and not can_unshare():
        pytest.skip("no namespaces here")
    with watching(desk) as watch, worker(desk, *before) as report:
        for note in ("one", "two", "three"):
            report(note)
            watch.wait_for(note)
        assert stat.S_ISFIFO(pipe_of(desk).stat().st_mode)
    assert not pipe_of(desk).exists(), "nobody is to wait at it when no worker runs"


@pytest.mark.usefixtures("no_ticks")
def test_a_pipe_that_an_agent_removed_is_made_again_at_the_next_look(desk: Desk) -> None:
    with watching(desk) as watch, worker(desk) as report:
        pipe_of(desk).unlink()
        os.kill(os.getpid(), signal.SIGURG)  # as a message of a person does
        watch.look()
        report("after it")
        watch.wait_for("after it")


def as_file(pipe: Path) -> None:
    pipe.write_text("mine\n")


def as_link(pipe: Path) -> None:
    (pipe.parent / "target").write_text("mine\n")
    pipe.symlink_to("target")


def as_link_to_pipe(pipe: Path) -> None:
    os.mkfifo(pipe.parent / "target")
    pipe.symlink_to("target")


def as_device(pipe: Path) -> None:
    pipe.symlink_to("/dev/zero")


def as_folder(pipe: Path) -> None:
    pipe.mkdir()


def as_hard_link(pipe: Path) -> None:
    (pipe.parent / "target").write_text("mine\n")
    os.link(pipe.parent / "target", pipe)


INSTEAD = [as_file, as_link, as_link_to_pipe, as_device, as_folder, as_hard_link]


@pytest.mark.parametrize("instead", INSTEAD)
def test_what_is_no_pipe_is_left_alone_and_the_report_is_seen_by_a_look(
    desk: Desk, instead: Callable[[Path], None]
) -> None:
    pipe = pipe_of(desk)
    with watching(desk) as watch:
        pipe.unlink()
        instead(pipe)
        was = os.lstat(pipe)
        with worker(desk) as report:
            report("seen")
        os.kill(os.getpid(), signal.SIGURG)
        assert watch.look() == "seen" and watch.bell.descriptor is None
    now = os.lstat(pipe)
    assert (was.st_ino, was.st_mtime, was.st_size) == (now.st_ino, now.st_mtime, now.st_size)


def test_a_flood_of_bytes_asks_for_few_looks(desk: Desk) -> None:
    with watching(desk) as watch, worker(desk) as report:
        flood = subprocess.Popen(["sh", "-c", f"exec yes > '{pipe_of(desk)}'"])
        begun = time.monotonic()
        report("amid it")
        assert watch.wait_for("amid it") <= (time.monotonic() - begun) / agent_run._RING + 1
        flood.kill()
        assert flood.wait()


@pytest.mark.parametrize("listens", ["nobody", "one who does not read"])
def test_a_reporter_never_waits(desk: Desk, listens: str) -> None:
    pipe = pipe_of(desk)
    os.mkfifo(pipe)
    reader = None
    if listens != "nobody":
        reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(reader, b"x" * 4096)
    with worker(desk) as report:
        report("x")
    assert list(desk.box.glob("*.json"))
    if reader is not None:
        os.close(reader)


def test_a_note_is_not_overwritten_by_what_came_before_it(desk: Desk) -> None:
    with watching(desk) as watch:
        run, session = watch.run, watch.session
        beat = partial(heartbeat, session, run)

        def shown() -> str:
            session.beaten, run.changed = 0.0, False
            beat()
            status = load_status(desk.state, 7)
            assert status and status["lastActivity"]
            return status["lastActivity"]["text"]

        run._take_events([Event("tool", text="Bash: issue-orch report working", id="1")])
        desk.report("1", note="half way")
        apply_reports(session)
        run._take_events([Event("tool_end", id="1")])
        assert shown() == "half way"
        assert shown() == "half way", "nor by one of a later tick"
        run._take_events([Event("text", text="Now the tests")])
        assert shown() == "Now the tests"


def test_the_pipe_is_no_work_and_goes_with_the_worktree(scene: Scene) -> None:
    """Also that of a supervisor that was killed."""
    number = scene.issue()
    scene.agent(
        'commit "begun-$issue.txt"\nreport working --note "on it"\nexec tail -f /dev/null\n'
    )
    scene.orch("spawn", str(number), check=True)
    scene.wait(lambda: scene.status(number)["status"] == "working", what="it is at work")
    path = scene.worktree(number)
    assert stat.S_ISFIFO((path / ".issue-orch" / "wake").stat().st_mode)
    assert not scene.git("status", "--porcelain", cwd=path)
    for pid in scene.supervisors():
        os.kill(pid, signal.SIGKILL)
    scene.orch("cancel", str(number), check=True)
    assert (path / ".issue-orch" / "wake").exists()
    said = " ".join(scene.orch("prune", str(number), "--cancelled").out.split())
    assert "removed: cancelled; its work is kept at" in said
    scene.wait(lambda: not path.exists(), what="the worktree goes")
    [ref] = scene.git("for-each-ref", "--format=%(refname)", "refs/issue-orch/preserved").split()
    assert "wake" not in scene.git("ls-tree", "-r", "--name-only", ref)
