"""Faults of the system: a full disk, few descriptors and processes, a clock that is set, files of other versions."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kit.scene import ASK, COMPLETE, Scene

PAID = """\
printf '{"type":"usage","usd":0.25,"input_tokens":100,"output_tokens":10,"scope":"call"}\\n'
"""


@contextmanager
def small_disk(scene: Scene) -> Iterator[None]:
    """The state lies on a disk of its own, of two megabytes."""
    scene.state.mkdir(exist_ok=True)
    argv = ("mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "none", scene.state)
    mounted = subprocess.run(argv, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(
            f"NO FULL DISK WAS TRIED: this user may not mount ({mounted.stderr.decode().strip()})"
        )
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", scene.state], check=True)


def fill(scene: Scene) -> None:
    with open(scene.state / "filler", "wb", buffering=0) as file:
        for size in (65_536, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                pass


def make_room(scene: Scene) -> None:
    (scene.state / "filler").unlink()


def parsed(scene: Scene, number: int) -> None:
    """Every line and file of the session's state is whole."""
    assert scene.status(number) and scene.events(number)
    for path in [*scene.state.glob("ledger/*.jsonl"), *scene.state.glob("sessions/*/*.jsonl")]:
        assert all(json.loads(line) for line in path.read_text().splitlines()), path
    assert not list(scene.state.glob("sessions/*/.*")), "no temporary file is left"


def at_work(scene: Scene, rest: str) -> int:
    """The number of a session whose worker is at work on a full disk, and does the rest once it may `go`."""
    scene.gate("go")
    scene.agent(f"report working\nawait go\n{rest}")
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.wait(lambda: scene.status(number)["status"] == "working", what="it reports")
    fill(scene)
    return number


def test_a_disk_that_is_full_while_a_worker_is_at_work(scene: Scene) -> None:
    with small_disk(scene):
        number = at_work(scene, PAID + PAID + COMPLETE)
        scene.release("go")
        for words in (
            ("tell", str(number), "use tabs"),
            ("pause", str(number)),
            ("stop", str(number)),
            ("cancel", str(number)),
        ):
            refused = scene.orch(*words)
            assert (
                refused.code == 1
                and "No space left on device" in refused.err
                and "next:" in refused.err
            ), (words, refused)
        scene.wait(lambda: scene.headline(number) == "QUIET", 120, "it is shown")
        assert "the disk is full: make room" in scene.orch("status").out
        assert scene.supervisors(), "it waits"
        make_room(scene)
        assert scene.wait_status(number, "complete")["cost"]["usd"] == pytest.approx(0.5)
        parsed(scene, number)
        assert len(scene.events(number, "started")) == 1 and not scene.events(
            number, "delivered"
        ), "nothing was half sent"
        scene.check_invariants()


def test_a_disk_that_is_full_when_the_agent_ends(scene: Scene) -> None:
    """Its last words and its end are seen in one look; the words cannot be booked yet."""
    with small_disk(scene):
        number = at_work(scene, PAID)
        [supervisor] = scene.supervisors()
        os.kill(supervisor, signal.SIGSTOP)
        scene.agent(COMPLETE)
        scene.release("go")
        scene.wait(lambda: not scene.workers(), what="the agent has ended")
        os.kill(supervisor, signal.SIGCONT)
        scene.wait(lambda: scene.headline(number) == "QUIET", 120, "it is shown")
        assert scene.supervisors() == [supervisor], "it waits"
        make_room(scene)
        assert scene.wait_status(number, "complete")["cost"]["usd"] == pytest.approx(0.25)
        parsed(scene, number)
        scene.check_invariants()


def test_a_disk_that_is_full_before_anything_starts(scene: Scene) -> None:
    with small_disk(scene):
        number = scene.issue()
        scene.orch("status", check=True)
        fill(scene)
        refused = scene.orch("spawn", str(number))
        assert refused.code == 1 and "No space left on device" in refused.err, refused
        assert scene.orch("status").code == 0 and not scene.processes()
        make_room(scene)
        scene.orch("spawn", str(number), check=True)
        scene.wait_status(number, "complete")
        parsed(scene, number)
        scene.check_invariants()


def test_an_answer_on_a_full_disk_is_refused_and_can_be_given_again(scene: Scene) -> None:
    with small_disk(scene):
        scene.agent(ASK)
        number = scene.issue()
        scene.orch("spawn", str(number), check=True)
        scene.wait_status(number, "stuck")
        scene.wait_quiet()
        fill(scene)
        refused = scene.orch("answer", str(number), "left")
        assert refused.code == 1 and "No space left on device" in refused.err, refused
        assert scene.headline(number) == "STUCK" and scene.status(number)["question"]
        make_room(scene)
        assert "delivered" in scene.orch("answer", str(number), "left", check=True).out
        scene.wait_status(number, "complete")
        parsed(scene, number)
        scene.check_invariants()


def limited(scene: Scene, limit: str) -> None:
    """Commands, and what they start, run with a limit of the shell."""
    wrapper = scene.folder / "limited"
    wrapper.write_text(f'#!/bin/sh\n{limit}\nexec "{scene.command[0]}" "$@"\n')
    wrapper.chmod(0o755)
    scene.command[0] = str(wrapper)


@pytest.mark.parametrize("descriptors", [12, 16, 20, 26])
def test_few_descriptors_are_said_and_nothing_is_lost(scene: Scene, descriptors: int) -> None:
    number, python = scene.issue(), scene.command[0]
    scene.agent(ASK)
    limited(scene, f"ulimit -n {descriptors}")
    ran = scene.orch("spawn", str(number))
    assert "Traceback" not in ran.err and ran.code in (0, 1), ran
    assert ran.code == 0 or "next:" in ran.err, ran
    scene.wait(lambda: not scene.supervisors(), what="it ends by itself")
    scene.command[0] = python
    label = scene.headline(number)
    if label != "STUCK":
        scene.orch(
            "resume" if scene.status(number).get("attempt") else "spawn", str(number), check=True
        )
        scene.wait_status(number, "stuck")
    assert "delivered" in scene.orch("answer", str(number), "left", check=True).out
    scene.wait_status(number, "complete")
    scene.check_invariants()


def test_what_was_said_before_kill_9_is_booked_once(scene: Scene) -> None:
    """The supervisor reads, keeps the log, and is killed before it books."""
    scene.gate("go")
    scene.agent(f"{PAID}report working\nawait go\n")
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.wait(lambda: scene.status(number)["cost"]["usd"], what="the first call is booked")
    for pid in scene.supervisors():
        os.kill(pid, signal.SIGKILL)
    scene.wait(lambda: not scene.supervisors(), what="it is gone")
    log = scene.state / "sessions" / str(number) / "agent.log"
    with open(log, "a") as file:  # as it stands when the kill comes between log and ledger
        file.write(
            '{"type":"usage","usd":0.5,"input_tokens":200,"output_tokens":20,"scope":"call"}\n{"type":"usa'
        )
    scene.agent(ASK)
    scene.orch("resume", str(number), check=True)
    assert scene.wait_status(number, "stuck")["cost"] == {
        "usd": 0.75,
        "inputTokens": 300,
        "outputTokens": 30,
    }
    for again in range(2):
        scene.orch("tell", str(number), f"and again {again}")
        scene.wait_quiet()
    assert scene.status(number)["cost"]["usd"] == 0.75, "once"
    ledger = (scene.state / "ledger" / f"{number}.jsonl").read_text()
    booked = [json.loads(line)["usd"] for line in ledger.splitlines() if '"cost"' in line]
    assert [usd for usd in booked if usd] == [0.25, 0.5] and len(booked) == 2 + 3, (
        "three turns that said nothing are unknown"
    )
    scene.check_invariants()


@pytest.mark.parametrize("version", [0, 2, None, "1"])
def test_state_of_another_version_is_said_and_left_alone(scene: Scene, version: object) -> None:
    number = scene.stuck()
    folder = scene.state / "sessions" / str(number)
    path = folder / "status.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schemaVersion": version}))
    before = {each: each.read_bytes() for each in folder.rglob("*") if each.is_file()}
    for words in (
        ("answer", str(number), "left"),
        ("resume", str(number)),
        ("stop", str(number)),
        ("cancel", str(number)),
        ("pause", str(number)),
        ("spawn", str(number)),
        ("show", str(number)),
        ("prune",),
        ("run", "--once"),
    ):
        ran = scene.orch(*words)
        assert "Traceback" not in ran.err and ran.code in (0, 1), (words, ran)
        assert ran.code == 0 or f"schemaVersion is {version!r}" in ran.err, (words, ran)
    assert f"schemaVersion is {version!r}" in scene.orch("status").err + scene.orch("status").out
    assert {each: each.read_bytes() for each in folder.rglob("*") if each.is_file()} == before
    assert scene.clone.with_name(f"widgets-issue-{number}").is_dir()


@pytest.mark.parametrize(
    "name",
    ["status.json", "launch.json", "events.jsonl", "prompt.md", "keys.json", "followup.json"],
)
@pytest.mark.parametrize("damage", ["", '{"schemaVers', "\x00" * 40])
def test_half_written_files_are_not_believed(scene: Scene, name: str, damage: str) -> None:
    number = scene.stuck()
    path = scene.state / "sessions" / str(number) / name
    whole = path.read_bytes() if path.exists() else b""
    path.write_text(damage)
    ran = scene.orch("answer", str(number), "left")
    assert "Traceback" not in ran.err and ran.code in (0, 1), ran
    scene.wait_quiet()
    if scene.orch("status", "--json").out and scene.headline(number) not in {"PR OPEN", "PR READY"}:
        path.write_bytes(whole)
        scene.orch("answer", str(number), "left")
        scene.orch("resume", str(number))
    scene.wait_status(number, "complete")
    scene.check_invariants()


def test_a_message_half_written_is_not_believed(scene: Scene) -> None:
    number = scene.stuck()
    inbox = scene.state / "sessions" / str(number) / "inbox"
    (inbox / "00000000000000000001-cut.json").write_text('{"kind": "canc')
    (inbox / "00000000000000000002-none.json").write_text("")
    outbox = scene.worktree(number) / ".issue-orch" / "outbox"
    (outbox / "00000000000000000003-1.json").write_text('{"kind": "compl')
    assert "delivered" in scene.orch("answer", str(number), "left", check=True).out
    scene.wait_status(number, "complete")
    assert shutil.which("git") and scene.headline(number) == "PR OPEN"


def test_resume_takes_pause_back_though_the_clock_was_set_back(scene: Scene) -> None:
    """The pause has a time of the day after tomorrow."""
    number = scene.stuck()
    inbox = scene.state / "sessions" / str(number) / "inbox"
    name = f"{2_000_000_000_000_000_000:020d}-aaaaaaaa"
    (inbox / f"{name}.json").write_text(json.dumps({"id": name, "kind": "pause", "text": ""}))
    scene.agent(COMPLETE)
    scene.orch("answer", str(number), "left", check=True)
    scene.wait_quiet()
    assert scene.status(number)["hold"] == "paused"
    scene.orch("resume", str(number), check=True)
    scene.wait_status(number, "complete")
    scene.check_invariants()


def resident(pid: int) -> int:
    """Megabytes."""
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0]) // 1024


def test_floods_of_an_agent_leave_the_supervisor_small(scene: Scene) -> None:
    """Zeros without a line's end, noise, long lines of JSON, and floods on stderr."""
    scene.gate("go")
    scene.agent(
        """\
head -c 80000000 /dev/zero
head -c 5000000 /dev/urandom
head -c 2000000 /dev/zero | tr '\\0' '\\n'
printf '{"type":"text","text":"'; head -c 20000000 /dev/zero | tr '\\0' x; printf '"}\\n'
head -c 5000000 /dev/urandom >&2
say end
await go
"""
        + COMPLETE
    )
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    log = scene.state / "sessions" / str(number) / "agent.log"
    scene.wait(lambda: "end" in scene.orch("logs", str(number)).out[-100:], 240, "all was read")
    (supervisor,) = scene.supervisors()
    assert resident(supervisor) < 40
    scene.release("go")
    scene.wait_status(number, "complete")
    assert sum(path.stat().st_size for path in log.parent.glob("agent.log*")) < 16_000_000
    scene.check_invariants()
