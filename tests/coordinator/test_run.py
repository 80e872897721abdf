"""The coordinator: what it takes up, starts and leaves alone, and what it says."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from issue_orch.coordinator.loop import Breaker, Clock, gapped, why_take_up
from issue_orch.core.plan import next_failure
from issue_orch.core.record import new_status
from issue_orch.errors import Expected
from issue_orch.store.files import iso
from issue_orch.store.inbox import send
from tests.kit.fleet import make_fleet
from tests.kit.scene import COMPLETE, ENDLESS, Scene

NOW = 1_800_000_000.0


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with make_fleet(tmp_path) as made:
        made.agent(COMPLETE)
        yield made
        while STARTED:
            child = STARTED.pop().child
            child.kill()
            child.wait()


def once(scene: Scene, *words: str) -> str:
    return scene.orch("run", "--once", *words, check=True).err


STARTED: list[Running] = []


class Running:
    """A `run` in the background. What it says is read from a file, so that waiting for a line has an end."""

    def __init__(self, scene: Scene, *words: str) -> None:
        self.scene, self.path = scene, scene.folder / "said"
        with open(self.path, "w") as file:
            self.child = scene.start("run", *words, stdout=file, stderr=file)
        STARTED.append(self)

    def said(self) -> str:
        return self.path.read_text()

    def wait_for(self, text: str) -> None:
        self.scene.wait(
            lambda: text in self.said(), what=f"it says {text!r}, not only {self.said()}"
        )

    def end(self, how: int = signal.SIGINT) -> int:
        self.child.send_signal(how)
        code = self.child.wait(20)
        print(self.said())
        return code


# -- decisions


@pytest.mark.parametrize(
    ("wall", "steady", "expected"),
    [
        (30, 30, False),  # on time
        (150, 150, False),  # a slow pass
        (3600, 30, True),  # a suspend: the steady clock stands still
        (-600, 30, True),  # the clock was set back
        (9000, 9000, True),  # stopped (Ctrl-Z)
    ],
)
def test_gaps(wall: float, steady: float, expected: bool) -> None:
    assert gapped(Clock(NOW, 50.0), Clock(NOW + wall, 50.0 + steady), 30.0) is expected
    assert not gapped(None, Clock(NOW, 0.0), 30.0)


@pytest.mark.wide(5)
@pytest.mark.parametrize(
    ("fields", "kinds", "expected"),
    [
        ({"status": "working", "attempt": 1}, set(), "lost its worker"),
        ({"status": "registered", "attempt": 1}, set(), "lost its worker"),
        ({"status": "registered", "attempt": 0}, set(), None),
        ({"status": "working", "attempt": 1, "retryAt": iso(NOW + 60)}, set(), None),
        ({"status": "working", "attempt": 1, "retryAt": iso(NOW - 1)}, set(), "lost its worker"),
        ({"status": "stuck", "attempt": 1}, set(), None),
        ({"status": "stuck", "attempt": 1}, {"guidance"}, "has guidance that was not delivered"),
        ({"status": "complete", "attempt": 1}, {"guidance"}, "has guidance that was not delivered"),
        ({"status": "complete", "attempt": 1}, set(), None),
        (
            {"status": "working", "attempt": 1, "publish": {"pending": True, "reason": ""}},
            set(),
            "has a pull to publish",
        ),
        ({"status": "working", "attempt": 1, "hold": "paused"}, {"guidance"}, None),
        ({"status": "working", "attempt": 1, "hold": "budget"}, set(), None),
        ({"status": "working", "attempt": 1, "hold": "stopped"}, {"resume"}, "was told to go on"),
        ({"status": "cancelled", "attempt": 1}, {"guidance", "resume"}, None),
    ],
)
def test_who_gets_a_worker_again(
    fields: dict[str, Any], kinds: set[str], expected: str | None
) -> None:
    assert why_take_up(new_status(1, **fields), kinds, NOW) == expected


def test_breaker_trips_on_different_issues_that_fail_alike() -> None:
    breaker, error = Breaker(), Expected("npm is not there")
    assert [breaker.note(1, Expected(f"#{1}: npm is not there"), NOW) for _ in range(5)] == [
        False
    ] * 5, "one issue alone"
    assert not breaker.note(2, error, NOW) and breaker.note(
        3, Expected("#3: npm is not there"), NOW
    )
    assert breaker.until > NOW
    assert not breaker.note(4, None, NOW) and not breaker.note(5, error, NOW), (
        "a start that works sets it back"
    )


def test_delays_double_up_to_ten_minutes() -> None:
    failure = None
    delays = []
    for _ in range(8):
        failure = next_failure(failure, NOW, 30.0)
        delays.append(failure.retry_at - NOW)
    assert delays == [30, 60, 120, 240, 480, 600, 600, 600]


# -- passes


def test_until_idle_solves_what_is_ready_and_says_so(scene: Scene) -> None:
    first, second = scene.issue(), scene.issue()
    blocked = scene.issue(body=f"Depends on #{first}")
    ran = scene.orch("run", "--until-idle", "--interval", "0.3", "-v", check=True)
    assert ran.out == ""
    for number in (first, second):
        assert f"#{number} started" in ran.err and f"#{number} PR " in ran.err
    assert f"#{blocked} not started: blocked by #{first}" in ran.err
    scene.wait_quiet()
    scene.check_invariants()
    ran = scene.orch("run", "--until-idle", "--interval", "0.3", check=True)
    assert "started" not in ran.err and len(scene.sandbox.pulls) == 2


def test_only_one_at_a_time_and_ctrl_c_leaves_the_workers(scene: Scene) -> None:
    scene.agent(ENDLESS)
    number = scene.issue()
    running = Running(scene, "--interval", "0.3")
    scene.wait(lambda: scene.status(number).get("status") == "working")
    second = scene.orch("run", "--once")
    assert (
        second.code == 1
        and f"`run` is at work in this clone already (pid {running.child.pid})" in second.err
    )
    running.wait_for(f"#{number} WORKING")
    assert running.end() == 130, running.said()
    assert "detached: 1 worker goes on" in running.said() and "Trace" not in running.said()
    assert scene.supervisors() and scene.headline(number) == "WORKING"
    running = Running(scene, "--interval", "30")
    running.wait_for(f"#{number} WORKING")
    assert running.end(signal.SIGTERM) == 130 and "detached" in running.said()
    assert scene.supervisors()


def test_a_worker_does_not_run_the_fleet(scene: Scene) -> None:
    refused = scene.orch("run", "--once", env={"ISSUE_ORCH_WORKER": "1.1"})
    assert refused.code == 1 and "a worker does not start workers" in refused.err


def test_only_what_a_person_with_write_permission_approved_is_started(scene: Scene) -> None:
    scene.sandbox.add_user("stranger", "read")
    number = scene.sandbox.add_issue("Title", "Text", labels=["ready"], ready_by="stranger")
    err = once(scene, "-v")
    assert (
        not scene.status(number) and '"ready" was set by @stranger, whose permission is read' in err
    )


@pytest.mark.parametrize(
    ("login", "permission", "kind", "words"),
    [
        ("triager", "triage", "User", "@triager, whose permission is triage"),
        ("robot", "admin", "Bot", "@robot, who is no person"),
        ("maria", "admin", "User", "@maria, whose permission is unknown"),  # cannot be looked up
    ],
)
def test_who_set_the_label_decides(
    scene: Scene, login: str, permission: Any, kind: str, words: str
) -> None:
    if login != "maria":
        scene.sandbox.add_user(login, permission, kind=kind)
    else:
        scene.sandbox.fail(route=".*/permission", status=404, message="Not Found")
    number = scene.sandbox.add_issue("Title", "Text", labels=["ready"], ready_by=login)
    said = once(scene, "-v")
    assert (
        f'"ready" was set by {words}: someone with write permission removes it' in said
        and not scene.status(number)
    )
    started = f"#{number} started" in once(scene)
    assert started == (login == "maria"), "what could not be looked up is looked up again"


def test_a_text_that_changed_is_held_until_the_label_is_set_anew(scene: Scene) -> None:
    blocker = scene.issue()
    scene.agent(ENDLESS)
    number = scene.issue(body=f"Depends on #{blocker}")
    once(scene)
    scene.sandbox.edit_issue(number, body="Do something else")
    assert "its title or text changed since it became ready" in once(
        scene, "-v"
    ) and not scene.status(number)
    path = scene.state / "ready.json"
    seen = json.loads(path.read_text())
    assert seen[str(number)]["labelledAt"], (
        "the label that was there before the change approves nothing"
    )
    seen[str(number)]["labelledAt"] = "2020-01-01T00:00:00Z"  # GitHub's times have whole seconds
    path.write_text(json.dumps(seen))
    scene.sandbox.remove_label(number, "ready")
    scene.sandbox.add_label(number, "ready")
    assert f"#{number} started" in once(scene)


def test_lost_workers_and_undelivered_answers_are_taken_up(scene: Scene) -> None:
    scene.agent(ENDLESS)
    lost, asked = scene.issue(), scene.issue()
    scene.orch("spawn", str(lost), check=True)
    scene.wait(lambda: scene.status(lost)["status"] == "working")
    os.kill(scene.supervisors()[0], signal.SIGKILL)
    scene.agent(
        'if grep -q "take the left" "$prompt"; then '
        + COMPLETE.replace("\n", "; ")
        + " exit 0; fi\n"
        'report stuck --decision "Which way?"\n'
    )
    scene.orch("spawn", str(asked), check=True)
    scene.wait(lambda: scene.status(asked)["status"] == "stuck")
    scene.wait(lambda: not scene.supervisors())
    send(
        scene.state,
        asked,
        "guidance",
        "take the left",
        "you",
        0.0,
        scene.status(asked)["question"]["id"],
    )
    err = once(scene)
    assert f"#{lost} lost its worker: taken up again" in err
    assert f"#{asked} has guidance that was not delivered: taken up again" in err
    scene.wait_status(asked, "complete")
    assert scene.status(lost)["attempt"] == 2
    scene.wait_quiet()
    scene.check_invariants()


def test_a_worker_that_is_lost_again_and_again_is_given_to_a_person(scene: Scene) -> None:
    scene.config = "retries = 1\n" + scene.config
    scene.write_config()
    scene.agent("kill -9 $PPID\n")
    number = scene.issue()
    scene.orch("spawn", str(number))
    for _ in range(4):
        scene.wait(lambda: not scene.supervisors())
        once(scene)
    assert scene.headline(number) == "STUCK"
    assert scene.status(number)["stuckReason"] == "its worker was lost 2 times without progress"
    assert len(scene.events(number, "started")) == 2


def test_without_network_the_pass_is_skipped_and_workers_go_on(scene: Scene) -> None:
    scene.agent(ENDLESS)
    number = scene.issue()
    once(scene)
    scene.wait(lambda: scene.status(number)["status"] == "working")
    scene.sandbox.fail("cut", method="GET", times=99)
    ran = scene.orch("run", "--once")
    assert ran.code == 1 and "pass skipped, workers go on: " in ran.err and scene.supervisors()
    scene.sandbox.faults.clear()
    assert "pass skipped" not in once(scene)


def test_a_rate_limit_is_waited_for_and_shown(scene: Scene) -> None:
    number = scene.issue()
    scene.sandbox.fail(method="GET", route=".*/issues", status=429, retry_after=5)
    with scene.start("run", "--until-idle", "--interval", "0.3") as running:
        _, err = running.communicate(timeout=60)
    assert "asking again at " in err and f"#{number} started" in err and running.returncode == 0


def test_a_broken_configuration_keeps_the_last_good_one(scene: Scene) -> None:
    file = scene.clone / ".issue-orch.toml"
    running = Running(scene, "--interval", "0.3")
    first = scene.issue()
    running.wait_for(f"#{first} started")
    file.write_text("max_wrkers = 3\n")
    running.wait_for(
        "the last good one does: .issue-orch.toml: unknown key max_wrkers; did you mean max_workers?"
    )
    number = scene.issue()
    scene.wait(lambda: scene.status(number).get("status") == "complete")
    file.write_text("retries = 5\n")
    running.wait_for("the configuration was read again")
    assert running.end() == 130 and running.said().count("the last good one") == 1


def test_one_that_cannot_start_does_not_hold_up_the_others(scene: Scene) -> None:
    bad = scene.issue()
    scene.git("branch", f"issue-{bad}")
    good = [scene.issue() for _ in range(3)]
    ran = scene.orch("run", "--until-idle", "--interval", "0.2", "--max-workers", "2", check=True)
    assert f"#{bad} could not be started: the branch issue-{bad} exists already" in ran.err
    assert all(
        scene.status(number)["status"] == "complete" for number in good
    ) and not scene.status(bad)


def test_starts_that_all_fail_alike_stop_dispatch(scene: Scene) -> None:
    scene.config = 'setup = [["false"]]\n' + scene.config
    scene.write_config()
    for _ in range(4):
        scene.issue()
    ran = scene.orch("run", "--until-idle", "--interval", "0.2", check=True)
    assert (
        "nothing more is started for 10 min" in ran.err
        and "mend it, then change the configuration" in ran.err
    )
    assert not scene.processes()


def test_what_touches_the_same_files_is_said_once_and_can_be_kept_apart(scene: Scene) -> None:
    scene.agent("commit same.txt\nreport working\nexec tail -f /dev/null\n")
    one, two = scene.issue(body="Files: same.txt"), scene.issue(body="Files: same.txt")
    err = once(scene, "--serialize-overlaps", "-v")
    assert (
        f"#{one} started" in err
        and f"#{two} not started: waits for #{one}, which touches same.txt" in err
    )
    scene.orch("spawn", str(two), check=True)
    running = Running(scene, "--interval", "0.3")
    running.wait_for(f"#{one} and #{two} change the same file: same.txt")
    scene.sandbox.comment(one, "Hello")
    asked = len(scene.sandbox.requests)
    scene.wait(lambda: len(scene.sandbox.requests) > asked + 8)
    assert running.end() == 130 and running.said().count("change the same file") == 1


def test_an_unanswered_question_is_remembered_once(scene: Scene) -> None:
    heard = scene.folder / "heard"
    scene.config = scene.config.replace(
        "[github]", f'[notify]\nafter_minutes = 1\ncommand = ["tee", "-a", "{heard}"]\n[github]'
    )
    scene.write_config()
    scene.agent('report stuck --decision "Which way?"\n')
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.wait_status(number, "stuck")
    scene.wait(lambda: heard.exists() and heard.read_text().endswith("\n"))
    assert "still waits" not in once(scene)
    path = scene.state / "sessions" / str(number) / "status.json"
    status = json.loads(path.read_text())
    status["question"]["askedAt"] = "2020-01-01T00:00:00Z"
    path.write_text(json.dumps(status))
    assert f"#{number} still waits for an answer: Which way?" in once(scene)
    assert "still waits" not in once(scene)
    lines = scene.wait(lambda: (found := heard.read_text().splitlines())[1:] and found)
    assert [json.loads(line)["kind"] for line in lines] == ["stuck", "waiting"]


def test_a_pause_taken_back_before_the_turn_ends_changes_nothing(scene: Scene) -> None:
    scene.gate("turn")
    scene.agent("report working\nawait turn\n" + COMPLETE)
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.wait(lambda: scene.status(number)["status"] == "working")
    assert "will pause when" in scene.orch("pause", str(number), check=True).out
    assert "resumed" in scene.orch("resume", str(number), check=True).out
    scene.release("turn")
    assert scene.wait_status(number, "complete")["hold"] is None
    assert (
        "is complete" in scene.orch("pause", str(number)).out
        and scene.status(number)["hold"] is None
    )


def test_stop_outranks_pause(scene: Scene) -> None:
    scene.agent(ENDLESS)
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.orch("stop", str(number), check=True)
    assert (
        "is stopped" in scene.orch("pause", str(number)).out and scene.headline(number) == "STOPPED"
    )
