"""What a worker started is ended with it, whether it kept the marker in its environment or not; a bystander never is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from issue_orch.process.identity import identity
from issue_orch.process.survivors import end_worker, find_workers
from tests.journeys.test_stop import alive, pids_of
from tests.kit.scene import COMPLETE, Scene

# Without the marker, as after `sudo -u` or in a client of containers. It notes its pid and goes on for ever.
LOOP = 'sh -c \'echo "$$" >> "@FOLDER@/pids"; while :; do tail -f /dev/null; done\''
BARE = f'env -i PATH="$PATH" {LOOP}'
REPORTS = 'report working --note "for ever"\n'
# What the agent leaves in the background, and how often its pid is noted.
AGENTS = {
    "a loop without the marker": (f"{BARE} &\n{REPORTS}exec tail -f /dev/null > /dev/null\n", 1),
    "a loop with streams of its own": (
        f"{BARE} < /dev/null > /dev/null 2>&1 &\n{REPORTS}exec tail -f /dev/null > /dev/null\n",
        1,
    ),
    "a wrapper that becomes the agent": (f"{REPORTS}exec {BARE}\n", 1),
    "a wrapper that waits": (f"{REPORTS}{BARE}\n", 1),
    "in a group of its own": (
        REPORTS
        + f'{sys.executable} -c \'import os; os.setpgid(0, 0); os.execvp("env", '
        + '["env", "-i", "PATH=" + os.environ["PATH"], "sh", "@FOLDER@/loop"])\'\n',
        1,
    ),
}


@pytest.fixture
def ended(scene: Scene) -> Iterator[Scene]:
    """Whatever noted its pid is gone after the test, also where the test has failed."""
    (scene.folder / "loop").write_text(
        LOOP.removeprefix("sh -c '").removesuffix("'").replace("@FOLDER@", str(scene.folder))
    )
    yield scene
    file = scene.folder / "pids"
    for pid in map(int, file.read_text().split() if file.exists() else ()):
        if str(scene.folder) in Path(f"/proc/{pid}/cmdline").read_text() if alive(pid) else False:
            os.kill(pid, signal.SIGKILL)


def started(scene: Scene, kind: str) -> tuple[int, list[int]]:
    body, count = AGENTS[kind]
    scene.agent(body)
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    pids = pids_of(scene, count)
    scene.wait(lambda: scene.status(number)["status"] == "working", what="it reports")
    return number, pids


@pytest.mark.parametrize("kind", AGENTS)
def test_stop_ends_what_carries_no_marker(ended: Scene, kind: str) -> None:
    number, pids = started(ended, kind)
    assert ended.orch("stop", str(number), check=True).out == f"#{number}: stopped\n"
    assert not any(map(alive, pids))
    ended.check_invariants()


@pytest.mark.parametrize("kind", AGENTS)
def test_an_agent_without_the_marker_is_ended_before_the_next(ended: Scene, kind: str) -> None:
    number, pids = started(ended, kind)
    for pid in ended.supervisors():
        os.kill(pid, signal.SIGKILL)
    ended.wait(lambda: not ended.supervisors(), what="the supervisor is gone")
    assert all(map(alive, pids))
    found = ended.orch("doctor").out
    assert f"#{number}: " in found and "go on without their worker" in found
    # the next agent would see that the one before still holds the lock of its worktree
    ended.agent(COMPLETE)
    assert ended.orch("resume", str(number), check=True).out == f"#{number}: resumed\n"
    assert not any(map(alive, pids))
    ended.wait_status(number, "complete")
    ended.check_invariants()


@pytest.mark.parametrize("how", ["stop", "cancel", "doctor", "pause"])
def test_after_the_supervisor_it_is_ended_by(ended: Scene, how: str) -> None:
    number, pids = started(ended, "a wrapper that becomes the agent")
    for pid in ended.supervisors():
        os.kill(pid, signal.SIGKILL)
    ended.wait(lambda: not ended.supervisors(), what="the supervisor is gone")
    words = ("doctor", "--fix") if how == "doctor" else (how, str(number))
    ended.orch(*words)
    assert not any(map(alive, pids))
    assert "processes: none left over" in " ".join(ended.orch("doctor").out.split())


def test_the_end_of_a_turn_ends_what_carries_no_marker(ended: Scene) -> None:
    ended.agent(f"{BARE} < /dev/null > /dev/null 2>&1 9>&- &\n{COMPLETE}")
    number = ended.issue()
    ended.orch("spawn", str(number), check=True)
    pids = pids_of(ended, 1)
    ended.wait_status(number, "complete")
    assert not any(map(alive, pids))
    ended.check_invariants()


def test_stop_of_a_complete_session_looks(ended: Scene) -> None:
    """What came into its session after its end, by a supervisor that was killed in between, say."""
    ended.agent(COMPLETE)
    number = ended.issue()
    ended.orch("spawn", str(number), check=True)
    ended.wait_status(number, "complete")
    ended.wait_quiet()
    assert ended.orch("stop", str(number)).out == f"#{number}: is complete, nothing runs\n"
    late = {**ended.env, "ISSUE_ORCH_WORKER": f"{number}.1", "ISSUE_ORCH_STATE": str(ended.state)}
    with subprocess.Popen(["tail", "-f", "/dev/null"], env=late) as left:
        said = ended.orch("stop", str(number)).out
        assert said == f"#{number}: is complete, what its worker had left was ended\n"
        assert left.wait(10) < 0


# -- a state that was removed


@pytest.mark.parametrize(
    ("kind", "supervised"),
    [
        ("a loop without the marker", True),
        ("a loop without the marker", False),
        ("a wrapper that becomes the agent", True),
    ],
)
def test_a_worker_whose_state_was_removed_is_found(
    ended: Scene, kind: str, supervised: bool
) -> None:
    number, pids = started(ended, kind)
    if not supervised:
        for pid in ended.supervisors():
            os.kill(pid, signal.SIGKILL)
        ended.wait(lambda: not ended.supervisors(), what="the supervisor is gone")
    before = {pid for pid, _, _ in ended.processes()}
    # A look of its own at the state makes it end; stopped, it stays as it is just before.
    for pid in ended.supervisors():
        os.kill(pid, signal.SIGSTOP)
    shutil.rmtree(ended.state)
    for _ in range(2):
        ran = ended.orch("spawn", str(number))
        assert ran.code == 1 and "a worker lives of which the state knows nothing (pid " in ran.err
        assert any(str(pid) in ran.err for pid in before)
    assert {pid for pid, _, _ in ended.processes()} <= before, "nothing was started"
    ended.orch("doctor", "--fix")
    assert not ended.processes()
    assert not supervised or not any(map(alive, pids))
    refused = ended.orch("spawn", str(number))
    assert refused.code == 1 and "already a worktree of this clone" in refused.err


def test_a_worker_is_ended_before_a_state_that_came_back_is_resumed(ended: Scene) -> None:
    """A copy of the state has locks that nobody holds."""
    number, pids = started(ended, "a wrapper that becomes the agent")
    copy = ended.state.with_name("copy")
    before = ended.supervisors()
    for pid in before:
        os.kill(pid, signal.SIGSTOP)
    shutil.copytree(ended.state, copy)
    shutil.rmtree(ended.state)
    copy.rename(ended.state)
    ended.agent(COMPLETE)
    assert ended.orch("resume", str(number), check=True).out == f"#{number}: resumed\n"
    assert not any(map(alive, [*pids, *before]))
    ended.wait_status(number, "complete")
    ended.check_invariants()


# -- whom a session's id is believed of


@pytest.fixture
def bystander(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """The leader of a session, and another process in it."""
    note = tmp_path / "child"
    line = f'tail -f /dev/null & echo $! > "{note}.new"; mv "{note}.new" "{note}"; wait'
    with subprocess.Popen(["sh", "-c", line], start_new_session=True) as leader:
        while not note.exists():
            assert leader.poll() is None
        child = int(note.read_text())
        yield leader.pid, child
        for pid in (leader.pid, child):
            if alive(pid):
                os.kill(pid, signal.SIGKILL)


def test_members_of_the_session_are_found(bystander: tuple[int, int]) -> None:
    leader, child = bystander
    known = identity(leader)
    assert sorted(find_workers("/nowhere", {7: known})[7]) == sorted((leader, child))
    os.kill(leader, signal.SIGSTOP)
    assert end_worker("/nowhere", 7, known, grace=0.1)
    assert not alive(child)


@pytest.mark.parametrize(
    "other", [{"startTicks": 1}, {"bootId": "another"}, {"startTicks": 1 << 40}, {"pid": 1 << 22}]
)
def test_a_pid_that_belongs_to_somebody_else_is_left_alone(
    bystander: tuple[int, int], other: dict[str, object]
) -> None:
    known = json.loads(json.dumps({**identity(bystander[0]), **other}))
    assert not end_worker("/nowhere", 7, known, grace=0.1)
    assert all(map(alive, bystander))


def test_what_was_there_before_the_supervisor_is_left_alone(bystander: tuple[int, int]) -> None:
    leader, child = bystander
    later = {**identity(leader), "startTicks": identity(os.getpid())["startTicks"] + (1 << 40)}
    os.kill(leader, signal.SIGKILL)
    os.waitpid(leader, 0)
    assert not end_worker("/nowhere", 7, later, grace=0.1)  # type: ignore[arg-type]
    assert alive(child)
