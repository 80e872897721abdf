"""After kill -9 of the supervisor, the agent or both, and after a reboot: shown, then taken up again."""

from __future__ import annotations

import json
import os
import shutil
import signal

from tests.kit.scene import COMPLETE, ENDLESS, Scene


def at_work(scene: Scene) -> int:
    scene.agent(ENDLESS)
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.wait(lambda: scene.status(number)["status"] == "working", what="the agent reports")
    # until its `report` has ended: that one would write into the pipe of a supervisor that is gone, and end the agent
    scene.wait(
        lambda: any("tail -f" in line for _, line, _ in scene.processes()),
        what="the agent is at its endless work",
    )
    return number


def kill(pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def taken_up(scene: Scene, number: int) -> None:
    """`resume` goes on in the same worktree, with what was committed before."""
    scene.agent(COMPLETE)
    before = scene.worktree(number)
    assert scene.orch("resume", str(number), check=True).out == f"#{number}: resumed\n"
    scene.wait_status(number, "complete")
    assert scene.worktree(number) == before and (before / f"begun-{number}.txt").exists()
    scene.check_invariants()


def test_the_supervisor_is_killed(scene: Scene) -> None:
    number = at_work(scene)
    kill(scene.supervisors())
    scene.wait(lambda: not scene.supervisors(), what="it is gone")
    assert scene.workers(), "the agent lives on, unwatched"
    assert scene.headline(number) == "CRASHED"
    refused = scene.orch("spawn", str(number))
    assert refused.code == 1 and f"issue-orch resume {number}" in refused.err
    taken_up(scene, number)
    assert len(scene.events(number, "started")) == 2


def test_agent_and_supervisor_are_killed(scene: Scene) -> None:
    number = at_work(scene)
    kill(scene.supervisors())
    kill(scene.workers())
    scene.wait_quiet()
    assert scene.headline(number) == "CRASHED"
    taken_up(scene, number)
    assert "You were interrupted" in (scene.folder / f"prompt-{number}.2").read_text(), (
        "its own session goes on"
    )


def test_the_agent_is_killed_and_retried_later(scene: Scene) -> None:
    number = at_work(scene)
    kill(scene.workers())
    scene.wait(lambda: scene.status(number)["retryAt"], what="a retry is planned")
    assert scene.headline(number) == "RETRYING" and scene.supervisors()
    assert "SIGKILL" in scene.status(number)["failure"]
    taken_up(scene, number)  # a person need not wait


def test_attempts_are_bounded_and_counted_on_disk(scene: Scene) -> None:
    scene.write_config("retries = 0")
    scene.agent('commit "begun-$issue.txt"\necho broken >&2\nexit 3\n')
    number = scene.issue()
    scene.orch("spawn", str(number))
    status = scene.wait_status(number, "stuck")
    assert "gave up after 1 attempts" in status["stuckReason"] and status["question"] is None
    assert len(scene.events(number, "started")) == len(scene.events(number, "failed")) == 1
    taken_up(scene, number)


def test_after_a_reboot_nothing_of_before_is_believed(scene: Scene) -> None:
    """The boot id on disk is another one, and the pid that it names now belongs to somebody else."""
    number = at_work(scene)
    kill(scene.supervisors() + scene.workers())
    scene.wait_quiet()
    path = scene.state / "sessions" / str(number) / "status.json"
    status = json.loads(path.read_text())
    status["supervisor"] = {"pid": os.getpid(), "startTicks": 1, "bootId": "another"}
    status["agentProcess"] = {"pid": os.getpid(), "exitCode": None}
    path.write_text(json.dumps(status))
    (scene.state / "locks" / str(number)).write_text(
        json.dumps({"role": "supervisor", **status["supervisor"]})
    )
    assert scene.headline(number) == "CRASHED"
    taken_up(scene, number)


def test_a_pending_complete_is_verified_not_relaunched(scene: Scene) -> None:
    scene.gate("go")
    scene.agent('commit "begun-$issue.txt"\nawait go\nreport complete --title Done\n')
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    kill(scene.supervisors())
    scene.release("go")
    outbox = scene.worktree(number) / ".issue-orch" / "outbox"
    scene.wait(
        lambda: list(outbox.glob("*.json")) and not scene.workers(), what="it reported to nobody"
    )
    assert scene.headline(number) == "CRASHED"
    taken_up(scene, number)
    assert len(scene.events(number, "started")) == 1, "no second attempt"


def test_reports_of_an_older_attempt_are_history(scene: Scene) -> None:
    number = at_work(scene)
    scene.orch("stop", str(number), check=True)
    outbox = scene.worktree(number) / ".issue-orch" / "outbox"
    scene.gate("go")
    scene.agent("await go\n" + COMPLETE)
    scene.orch("resume", str(number), check=True)
    scene.wait(lambda: scene.status(number)["attempt"] == 2, what="the second attempt")
    for name, kind in (("1", "complete"), ("2", "stuck")):
        (outbox / ".draft").write_text(
            json.dumps({"kind": kind, "attempt": 1, "decision": "too late"})
        )
        (outbox / ".draft").rename(outbox / f"9-{name}.json")
    scene.wait(lambda: not list(outbox.glob("9-*")), what="the reports are taken")
    refused = [event for event in scene.events(number, "report") if not event["accepted"]]
    assert [event["reason"] for event in refused] == ["of attempt 1, the current one is 2"] * 2
    assert scene.status(number)["status"] != "stuck"
    scene.release("go")
    scene.wait_status(number, "complete")
    scene.check_invariants()


def test_guidance_in_flight_is_delivered_again(scene: Scene) -> None:
    number = at_work(scene)
    scene.orch("tell", str(number), "use tabs", check=True)
    kill(scene.supervisors() + scene.workers())
    scene.wait_quiet()
    assert not scene.events(number, "delivered")
    taken_up(scene, number)
    assert "use tabs" in (scene.folder / f"prompt-{number}.2").read_text()
    texts = [
        event["text"]
        for event in scene.events(number, "delivered")
        if event["messageKind"] == "guidance"
    ]
    assert texts == ["use tabs"]


def test_a_supervisor_that_is_asked_to_end_ends_its_agent(scene: Scene) -> None:
    """As at a shutdown: the agent is ended, the session stays to be resumed."""
    number = at_work(scene)
    for pid in scene.supervisors():
        os.kill(pid, signal.SIGTERM)
    scene.wait_quiet()
    assert scene.headline(number) == "CRASHED"
    taken_up(scene, number)


def test_an_agent_that_cleans_everything_away_can_report_all_the_same(scene: Scene) -> None:
    number = scene.issue()
    scene.agent(
        "git clean -fdxq\nsay cleaned\nuntil [ -e .issue-orch/context.json ]; do sleep 0.1; done\n"
        + COMPLETE
    )
    scene.orch("spawn", str(number), check=True)
    scene.wait_status(number, "complete")
    assert len(scene.events(number, "started")) == 1
    scene.check_invariants()


def test_a_worktree_that_was_not_checked_out_to_the_end_is_not_worked_in(scene: Scene) -> None:
    """As when `doctor --fix` is killed while it makes a worktree anew."""
    number = scene.stuck()
    path = scene.worktree(number)
    admin = scene.clone / ".git" / "worktrees" / path.name
    for each in {*path.iterdir(), admin / "index"} - {path / ".git"}:
        shutil.rmtree(each) if each.is_dir() else each.unlink()
    scene.agent(COMPLETE)
    ran = scene.orch("answer", str(number), "left")
    assert "not checked out to the end" in ran.err and "issue-orch doctor --fix" in ran.err, ran
    assert f"check issue-{number} out again" in scene.orch("doctor", "--fix").err
    scene.orch("resume", str(number), check=True)
    scene.wait_status(number, "complete")
    scene.check_invariants()


def test_an_index_that_is_gone_is_not_made_again_over_what_was_written(scene: Scene) -> None:
    number = scene.stuck()
    path = scene.worktree(number)
    (path / "README.md").write_text("not committed\n")
    (scene.clone / ".git" / "worktrees" / path.name / "index").unlink()
    scene.orch("doctor", "--fix")
    assert (path / "README.md").read_text() == "not committed\n"
    refused = scene.orch("answer", str(number), "left")
    said = "its index is gone, and a worker has run there, so its files are left as they are"
    assert refused.code == 1 and said in " ".join(refused.err.split())
    assert ".issue-orch" not in refused.err
    assert f"next: git -C {path} reset, which" in refused.err
    scene.git("reset", "--quiet", cwd=path)
    scene.orch("resume", str(number), check=True)
    scene.wait_quiet()
    assert (path / "README.md").read_text() == "not committed\n"
