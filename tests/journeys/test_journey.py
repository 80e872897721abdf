"""Whole journeys of a person, with real commands, real git, real processes; GitHub is the sandbox."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.scene import ASK, COMPLETE, REPORT, Scene, make_scene


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with make_scene(tmp_path, "my wïdgets") as made:  # a path with a space and unicode
        yield made


def finish(scene: Scene, number: int) -> str:
    url = str(scene.wait_status(number, "complete")["pullRequestUrl"])
    scene.check_invariants()
    return url


def merge(scene: Scene, url: str) -> None:
    scene.sandbox.person.merge(int(url.rpartition("/")[2]))


def test_from_init_to_prune(scene: Scene) -> None:
    (scene.home / ".config" / "issue-orch" / "config.toml").unlink()
    (scene.clone / ".issue-orch.toml").write_text(
        f'{scene.config}[agents.scripted]\ncommand = ["{scene.folder}/agent"]\nresume = ["{scene.folder}/agent"]\n'
    )
    scene.agent(ASK)
    number = scene.issue("Tokens must be refreshed")
    blocked = scene.issue("After it", f"Depends on #{number}")
    unapproved = scene.orch("spawn", str(number))
    assert unapproved.code == 1 and "was not approved on this machine" in unapproved.err
    assert "next: read it; then: issue-orch init --approve" in unapproved.err and not scene.status(
        number
    )
    scene.orch("init", "--approve", check=True)
    plan = scene.orch("plan", check=True).out
    assert "Eligible (1)" in plan and f"blocked by #{number}" in plan
    spawned = scene.orch("spawn", str(number), check=True)
    assert f"#{number}: worker started on issue-{number} in " in spawned.out
    status = scene.wait_status(number, "stuck")
    assert (
        status["question"]["options"] == ["left", "right"]
        and status["question"]["default"] == "left"
    )
    assert "Options: 1) left 2) right" in scene.orch("status", check=True).out
    assert scene.orch("status", "--needs-me").code == 0
    assert scene.orch("answer", str(number), "--option", "2", check=True).out.startswith(
        f"#{number}: delivered"
    )
    url = finish(scene, number)
    assert "right" in (scene.folder / f"prompt-{number}.2").read_text()
    shown = scene.orch("show", str(number), check=True).out
    assert "[delivered]" in shown and url in shown
    kept = scene.orch("prune", check=True).out
    assert kept == f"#{number}: kept: its pull is open: {url}\n"
    merge(scene, url)
    path = scene.worktree(number)
    assert scene.orch("prune", check=True).out == f"#{number}: removed: merged: {url}\n"
    assert not path.exists() and not scene.git("branch", "--list", f"issue-{number}")
    assert "Eligible (1)" in scene.orch("plan", str(blocked), check=True).out
    assert "No active sessions" in scene.orch("status", check=True).out
    scene.check_invariants()


def test_a_number_that_no_option_has_is_asked_for_again(scene: Scene) -> None:
    number = scene.stuck()
    master, slave = pty.openpty()
    os.write(master, b"9\n2\n")
    ran = scene.orch("answer", stdin=slave, check=True)
    os.close(slave)
    os.close(master)
    assert "there is no option 9: 1 to 2, or say it in words" in ran.err and "delivered" in ran.out
    finish(scene, number)
    assert "right" in (scene.folder / f"prompt-{number}.2").read_text()


def test_workers_go_on_when_their_terminal_is_closed(scene: Scene) -> None:
    scene.gate("go")
    scene.agent("await go\n" + COMPLETE)
    number = scene.issue()
    master, slave = pty.openpty()
    child = scene.start(
        "spawn", str(number), stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    scene.wait(lambda: scene.status(number).get("agentProcess"), what="the agent runs")
    os.killpg(child.pid, signal.SIGHUP)  # what a closing terminal sends
    os.close(master)
    child.wait()
    scene.release("go")
    finish(scene, number)


def test_command_substitution_returns_at_once(scene: Scene) -> None:
    """A supervisor that kept stdout or stderr would make the shell wait for the worker."""
    scene.gate("go")
    scene.agent("await go\n" + COMPLETE)
    number = scene.issue()
    line = f'said=$("{sys.executable}" -P -m issue_orch spawn {number} 2>&1); echo "got: $said"'
    done = subprocess.run(
        ["sh", "-c", line],
        cwd=scene.clone,
        env=scene.env,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "worker started" in done.stdout and scene.workers(), "it returned while the worker runs"
    scene.release("go")
    finish(scene, number)


def test_report_by_a_file_and_from_a_login_shell_with_a_bare_path(scene: Scene) -> None:
    scene.agent("""\
mkdir -p .issue-orch/outbox
printf '{"kind": "planning", "touches": ["a.txt"]}' > .issue-orch/outbox/.draft
mv .issue-orch/outbox/.draft .issue-orch/outbox/1-by-hand.json
echo broken > .issue-orch/outbox/2-broken.json
commit a.txt
env -i HOME="$HOME" PATH=/usr/bin:/bin /bin/sh -lc 'cd src && "@REPORT@" report complete --title "By a login shell"'
""")
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    finish(scene, number)
    assert scene.status(number)["plannedFiles"] == ["a.txt"]
    assert [event["reason"] for event in scene.events(number, "refused")] == ["not JSON"]
    [pull] = scene.sandbox.pulls.values()
    assert scene.sandbox.issues[pull.number].title == "By a login shell"
    assert f"Closes #{number}" in scene.sandbox.issues[pull.number].body


def run_report(scene: Scene, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [REPORT, "report", *words],
        cwd=cwd,
        env=scene.env,
        capture_output=True,
        text=True,
        check=False,
    )


def test_report_refuses_what_is_wrong(scene: Scene) -> None:
    scene.agent("exec tail -f /dev/null\n")
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    tree = scene.worktree(number)
    for words, why in (
        (["stuck"], "--decision"),
        (["done"], "not one of"),
        (["working", "--title", "x"], "belong"),
        (["complete", "--body-file", "none.md"], "write the file"),
        (["working", "--x"], "unknown"),
    ):
        done = run_report(scene, tree, *words)
        assert done.returncode == 2 and why in done.stderr, done
    outside = run_report(scene, scene.home, "working")
    assert outside.returncode == 2 and "not in a worktree" in outside.stderr


def test_tell_now_interrupts_and_tell_waits_for_the_turn(scene: Scene) -> None:
    scene.agent(
        'if [ "$attempt" = 1 ]; then commit begun.txt; report working --note begun\n'
        "exec tail -f /dev/null; fi\n" + COMPLETE
    )
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.wait(lambda: scene.status(number)["status"] == "working", what="it works")
    told = scene.orch("tell", str(number), "use tabs", check=True)
    assert told.out == f"#{number}: queued: the worker is running and takes it at its next turn\n"
    scene.orch("tell", str(number), "--now", "stop that, use spaces", check=True)
    finish(scene, number)
    prompt = (scene.folder / f"prompt-{number}.2").read_text()
    assert "use tabs" in prompt and "use spaces" in prompt
    assert len(scene.events(number, "delivered")) == 2


def test_pause_holds_at_the_end_of_the_turn(scene: Scene) -> None:
    scene.gate("go")
    scene.agent("await go\n" + COMPLETE)
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    assert "will pause" in scene.orch("pause", str(number), check=True).out
    scene.release("go")
    scene.wait_quiet()
    assert scene.headline(number) == "PAUSED" and not scene.sandbox.pulls
    queued = scene.orch("tell", str(number), "one more thing", check=True).out
    assert queued == f"#{number}: queued: the session is paused; issue-orch resume {number}\n"
    scene.release("go")
    scene.orch("resume", str(number), check=True)
    finish(scene, number)
    assert "one more thing" in (scene.folder / f"prompt-{number}.2").read_text()


def test_a_session_without_resume_starts_fresh_with_all_guidance(scene: Scene) -> None:
    scene.agent(ASK)
    number = scene.issue("Refresh tokens", "The body of the issue.")
    scene.orch("spawn", str(number), check=True)
    scene.wait_status(number, "stuck")
    scene.resume = False
    scene.write_config()
    scene.orch("answer", str(number), "fixed, not sliding", check=True)
    finish(scene, number)
    prompt = (scene.folder / f"prompt-{number}.2").read_text()
    assert "fixed, not sliding" in prompt and "The body of the issue." in prompt


def test_the_worker_opens_the_pull(scene: Scene) -> None:
    scene.write_config('pulls.open = "worker"')
    scene.agent("""\
commit work.txt
if [ "$attempt" = 1 ]; then report complete --pr https://github.com/acme/widgets/pull/99; exit; fi
git push -q origin HEAD
await opened
report complete --pr "$(cat "@FOLDER@/url")"
""")
    scene.gate("opened")
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.wait(
        (scene.folder / f"prompt-{number}.2").exists,
        what="the worker is told that the pull is not there",
    )
    pull = scene.sandbox.open_pull(f"issue-{number}", "main", "Mine", f"Closes #{number}", "you")
    url = f"{scene.sandbox.base_url}/acme/widgets/pull/{pull}"
    (scene.folder / "url").write_text(url)
    scene.release("opened")
    assert finish(scene, number) == url and list(scene.sandbox.pulls) == [pull]
    assert "is not an open pull request" in (scene.folder / f"prompt-{number}.2").read_text()


def refuse_pushes(scene: Scene, words: str, code: int = 1) -> Path:
    hook = scene.sandbox.repository.path / "hooks" / "update"
    hook.write_text(f'#!/bin/sh\necho "{words}" >&2\nexit {code}\n')
    hook.chmod(0o755)
    return hook


def test_a_rejected_push_is_guidance_first_then_stuck(scene: Scene) -> None:
    hook = refuse_pushes(scene, "policy: no file may be called work")
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    status = scene.wait_status(number, "stuck")
    assert "policy: no file may be called work" in status["stuckReason"]
    assert "policy: no file may be called work" in (scene.folder / f"prompt-{number}.2").read_text()
    assert scene.headline(number) == "STUCK" and len(list(scene.folder.glob("prompt-*"))) == 2
    scene.check_invariants()
    hook.unlink()
    scene.orch("answer", str(number), "the policy is gone, try again", check=True)
    finish(scene, number)


def test_a_ruleset_on_the_branch_is_publish_pending(scene: Scene) -> None:
    hook = refuse_pushes(
        scene, "error: GH013: Repository rule violations found for refs/heads/issue-1."
    )
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.wait(lambda: scene.status(number)["publish"], what="publishing is pending")
    scene.wait_quiet()
    assert scene.headline(number) == "PUBLISH PENDING"
    shown = scene.orch("show", str(number), check=True).out.split()
    assert "GH013: Repository rule violations found" in " ".join(shown)
    hook.unlink()
    scene.orch("resume", str(number), check=True)
    finish(scene, number)
    assert len(list(scene.folder.glob("prompt-*"))) == 1, "the worker was not asked about it"


def test_a_refused_sign_in_is_publish_pending_until_resume(scene: Scene) -> None:
    scene.gate("go")
    scene.agent("await go\n" + COMPLETE)
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    you = scene.lose_sign_in()
    scene.release("go")
    scene.wait(lambda: scene.status(number)["publish"], what="publishing is pending")
    scene.wait_quiet()
    assert scene.headline(number) == "PUBLISH PENDING" and scene.status(number)["question"] is None
    scene.check_invariants()
    again = scene.orch("resume", str(number))
    scene.wait_quiet()
    assert again.code == 0 and scene.headline(number) == "PUBLISH PENDING"
    scene.sandbox.users["you"] = you
    scene.store_credentials()
    scene.orch("resume", str(number), check=True)
    finish(scene, number)
    assert len(list(scene.folder.glob("prompt-*"))) == 1, "the worker was not asked about it"


def test_of_two_pulls_ours_is_the_one_with_our_head_and_base(scene: Scene) -> None:
    scene.sandbox.seed({"x": "y"}, "More")
    scene.git("push", "-q", str(scene.sandbox.bare), "HEAD:refs/heads/release")
    scene.gate("go")
    scene.agent(
        "commit work.txt\ngit push -q origin HEAD:refs/heads/issue-1\nawait go\nreport complete\n"
    )
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.wait(lambda: "issue-1" in scene.sandbox.heads, what="it is pushed")
    other = scene.sandbox.open_pull("issue-1", "release", "Elsewhere", "", "you")
    scene.release("go")
    url = str(scene.wait_status(number, "complete")["pullRequestUrl"])
    mine = int(url.rpartition("/")[2])
    assert (
        mine != other and scene.sandbox.pulls[mine].base == "main" and len(scene.sandbox.pulls) == 2
    )


def test_an_agent_that_only_ends_its_turn_is_reminded_then_stuck(scene: Scene) -> None:
    scene.agent("commit work.txt\n")
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    status = scene.wait_status(number, "stuck")
    assert "without a report" in status["stuckReason"] and status["question"] is None
    assert len(list(scene.folder.glob("prompt-*"))) == 3
    scene.agent(COMPLETE)
    scene.orch("resume", str(number), check=True)
    finish(scene, number)


def test_a_claim_with_loose_files_goes_back_to_the_worker(scene: Scene) -> None:
    scene.agent(
        'if [ "$attempt" = 1 ]; then echo x > loose.txt; else rm loose.txt; fi\n' + COMPLETE
    )
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    finish(scene, number)
    assert (
        "these files are not committed: loose.txt"
        in (scene.folder / f"prompt-{number}.2").read_text()
    )


def test_spawn_says_json_alone_on_stdout(scene: Scene) -> None:
    number = scene.issue()
    rows = json.loads(scene.orch("spawn", str(number), "--json", check=True).out)
    assert rows["started"][0] == {
        "number": number,
        "started": True,
        "branch": f"issue-{number}",
        "error": None,
        "worktreePath": str(scene.worktree(number)),
    }
    finish(scene, number)


def test_a_claim_that_was_refused_is_what_is_shown_whatever_follows(scene: Scene) -> None:
    """The worker leaves its branch, claims, and then only talks."""
    scene.agent(
        'if [ "$attempt" = 1 ]; then\n'
        'commit x.txt; git checkout -q -b other; git branch -q -D "issue-$issue"\n'
        'report complete --title t --body b\nfi\nsay "that is all"\n'
    )
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    reason = scene.wait_status(number, "stuck")["stuckReason"]
    assert reason == (
        f"the worktree is on other, not on issue-{number} (then it ended its turn without a report)"
    )
    assert f"STUCK: {reason}" in scene.orch("show", str(number)).out.replace("\n  ", " ")
