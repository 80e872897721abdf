"""What doctor finds in scenes that were damaged on purpose, and what --fix does about it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from issue_orch.actions import doctor
from issue_orch.actions.context import Context, open_context
from tests.kit.git import OLD_GIT
from tests.kit.scene import COMPLETE, ENDLESS, Scene

EXPECTED = {"merging", "git"} if OLD_GIT else {"merging"}


def look(
    scene: Scene, *words: str, code: int | None = None, **env: str
) -> dict[str, list[tuple[str, str, str]]]:
    """(state, text, mend) of each check by its name."""
    ran = scene.orch("doctor", "--json", *words, env=env)
    assert not ran.err or "--fix" in words, ran.err
    assert code is None or ran.code == code, ran.out + ran.err
    found: dict[str, list[tuple[str, str, str]]] = {}
    for row in json.loads(ran.out)["checks"]:
        found.setdefault(row["name"], []).append((row["state"], row["text"], row["mend"]))
        assert row["state"] == "ok" or row["mend"], f"says how to mend it: {row}"
    return found


def bad(found: dict[str, list[tuple[str, str, str]]]) -> dict[str, str]:
    return {name: rows[0][1] for name, rows in found.items() if rows[0][0] != "ok"}


def test_all_is_well_but_for_the_unprotected_base(scene: Scene) -> None:
    found = look(scene, code=0)
    assert (
        set(bad(found)) == EXPECTED
        and "whoever has this token could merge" in bad(found)["merging"]
    )
    assert "from ISSUE_ORCH_TOKEN, of you, scopes: repo" in found["token"][0][1]
    text = scene.orch("doctor")
    assert (
        text.code == 0
        and "ok       locks: the file system locks\n" in text.out
        and "\n         -> protect main" in text.out
    )
    assert scene.token not in text.out + text.err


@pytest.mark.parametrize("words", [("plan",), ("run", "--once"), ("spawn", "1", "--yes")])
def test_a_clone_that_turned_bare_is_called_so_and_mended(
    scene: Scene, words: tuple[str, ...]
) -> None:
    scene.git("config", "CORE.bare", "yes", cwd=scene.clone)
    ran = scene.orch(*words)
    assert ran.code and "core.bare is true in a clone that has files" in ran.err
    assert "git config core.bare false" in ran.err
    assert bad(look(scene, code=1)) == {"git": "core.bare is true in a clone that has files"}
    assert "would set core.bare to false" in scene.orch("doctor", "--fix", "--dry-run").err
    assert scene.git("config", "core.bare", cwd=scene.clone).strip() == "yes"
    assert "done: set core.bare to false" in scene.orch("doctor", "--fix").err
    assert scene.git("status", "--porcelain", cwd=scene.clone) == ""
    assert set(bad(look(scene, code=0))) == EXPECTED


def test_what_a_persons_own_git_would_obey_is_told(scene: Scene) -> None:
    number = scene.issue()
    hook = '"$(git rev-parse --git-common-dir)/hooks/pre-push"'
    scene.agent(
        "git config core.hooksPath .husky/_\ngit config --global user.name Evil\n"
        f"printf '#!/bin/sh\\n' >{hook}; chmod +x {hook}\n" + COMPLETE
    )
    scene.orch("spawn", str(number), check=True)
    scene.wait_status(number, "complete")
    rows = look(scene, code=0)["git configuration"]
    said = "\n".join(text for _, text, _ in rows)
    assert {state for state, *_ in rows} == {"warning"}
    assert f"core.hookspath changed after #{number} started" in said
    assert f"user.name changed after #{number} started" in said
    assert "hooks/pre-push is a hook that is new" in said
    scene.orch("init", "--approve", check=True)
    assert "changed after" not in str(look(scene)["git configuration"])


def test_a_clone_that_is_somewhere_else_by_its_configuration_starts_nothing(scene: Scene) -> None:
    one, two = scene.issue(), scene.issue()
    scene.agent(ENDLESS)
    scene.orch("spawn", str(one), check=True)
    scene.git("config", "core.worktree", str(scene.clone.parent / "top"), cwd=scene.clone)
    ran = scene.orch("spawn", str(two), "--yes")
    assert ran.code == 1 and "core.worktree of the git configuration changed" in ran.err
    assert "issue-orch init --approve" in ran.err
    assert "core.worktree" in bad(look(scene, code=1))["git configuration"]
    scene.orch("stop", str(one))


@pytest.mark.parametrize("key", ["core.alternateRefsCommand", "core.worktree", "url.x.insteadOf"])
def test_what_a_finished_worker_set_holds_the_next(scene: Scene, key: str) -> None:
    one, two = scene.issue(), scene.issue()
    scene.agent(COMPLETE)
    scene.orch("spawn", str(one), check=True)
    scene.wait_status(one, "complete")
    scene.wait_quiet()
    scene.git("config", key, str(scene.folder))
    ran = scene.orch("spawn", str(two), "--yes")
    assert ran.code == 1 and f"{key.lower()} of the git" in ran.err.lower(), ran
    assert two not in scene.sessions()
    assert key.lower() in bad(look(scene, code=1))["git configuration"].lower()
    scene.orch("init", "--approve", check=True)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("core.worktree", "/nowhere/at/all"),
        ("core.repositoryFormatVersion", "7"),
        ("core.bare", "x"),
    ],
)
@pytest.mark.parametrize("words", [("plan",), ("doctor",), ("spawn", "1")])
def test_a_setting_with_which_git_does_not_start_is_said(
    scene: Scene, key: str, value: str, words: tuple[str, ...]
) -> None:
    file = scene.clone / ".git" / "config"
    scene.git("config", "--file", str(file), key, value, cwd=scene.folder)
    ran = scene.orch(*words)
    assert ran.code == 1 and "not inside a git repository" not in ran.out + ran.err
    assert f"git config --file {file} --list" in ran.out + ran.err, ran
    assert key.lower() in scene.git("config", "--file", str(file), "--list", cwd=scene.folder)


def test_protection_is_told_apart(scene: Scene) -> None:
    scene.sandbox.protect_branch("main", reviews=1)
    assert look(scene)["merging"][0][:2] == ("ok", "main is protected: 1 reviews are required")
    scene.sandbox.protections.clear()
    scene.sandbox.protect_branch("main", reviews=0)
    assert "no review is required: this token could merge" in look(scene)["merging"][0][1]
    scene.env["ISSUE_ORCH_TOKEN"] = scene.sandbox.add_user("reader", "read")
    state, text, _ = look(scene)["merging"][0]
    assert (state, text) == (
        "ok",
        "the token may not write contents, so nothing can be merged with it",
    )


def test_a_token_that_is_missing_or_refused(scene: Scene) -> None:
    del scene.env["ISSUE_ORCH_TOKEN"]
    assert "none for http://127.0.0.1" in bad(look(scene, code=1))["token"]
    scene.env["ISSUE_ORCH_TOKEN"] = "ghp_" + "x" * 36
    found = look(scene, code=1)
    assert found["token"][0][0] == "error" and "templates" not in bad(found), (
        "the other checks are made all the same"
    )


@pytest.mark.parametrize("permission", ["read", "triage", "write"])
def test_a_push_that_will_fail_at_the_end_is_said_before(scene: Scene, permission: str) -> None:
    scene.token = scene.env["ISSUE_ORCH_TOKEN"] = scene.sandbox.add_user("reader", permission)
    scene.store_credentials()
    found = look(scene)
    if permission == "write":
        assert found["push"][0][0] == "ok"
    else:
        state, text, mend = found["push"][0]
        assert state == "error" and text.startswith("to origin does not work") and "403" in text
        assert "write contents" in mend
    assert not scene.sandbox.pushes, "it is only tried"


def test_a_broken_configuration_is_a_finding_and_no_token_is_sent(scene: Scene) -> None:
    (scene.clone / ".issue-orch.toml").write_text(
        'max_wrkers = 3\n[github]\nbase_url = "http://127.0.0.1:9"\n'
    )
    asked = len(scene.sandbox.requests)
    found = look(scene, code=1)
    assert (
        "did you mean max_workers?" in bad(found)["configuration"]
        and "token" not in found
        and found["disk"]
    )
    assert len(scene.sandbox.requests) == asked


def test_outside_a_clone(scene: Scene) -> None:
    ran = scene.orch("doctor", cwd=scene.home)
    assert ran.code == 1 and "not inside a git repository" in ran.err


# Goes on when its supervisor is gone: its output ends nowhere.
LASTING = ENDLESS.replace("/dev/null", "/dev/null > /dev/null 2>&1")


def two_workers(scene: Scene) -> tuple[int, int]:
    scene.agent(LASTING)
    one, two = scene.issue(), scene.issue()
    scene.orch("spawn", str(one), str(two), check=True)
    # Not only reported: whoever is killed before its report is answered takes the agent along.
    scene.wait(lambda: sum(line.startswith("tail -f ") for _, line, _ in scene.processes()) == 2)
    return one, two


def test_lost_workers_leave_processes_that_fix_ends(scene: Scene) -> None:
    one, two = two_workers(scene)
    assert set(bad(look(scene))) == EXPECTED, "living workers are in order"
    for pid in scene.supervisors():
        os.kill(pid, signal.SIGKILL)
    found = look(scene, code=1)
    assert f"#{one}: " in bad(found)["processes"] and len(found["processes"]) == 2
    assert [row[1] for row in found["sessions"]] == [
        f"#{one}: its worker is gone",
        f"#{two}: its worker is gone",
    ]
    ran = scene.orch("doctor", "--fix", "--dry-run")
    assert f"would #{one}: end 1 processes" in ran.err and len(scene.workers()) == 2
    ran = scene.orch("doctor", "--fix")
    assert f"done: #{two}: end 1 processes" in ran.err and not scene.workers()
    assert "Nothing to mend by itself" in scene.orch("doctor", "--fix").err
    scene.agent(COMPLETE)
    scene.orch("resume", "--all", check=True)
    for number in (one, two):
        scene.wait_status(number, "complete")
    scene.check_invariants()


def test_locks_that_git_left_are_removed_only_when_old_and_unused(scene: Scene) -> None:
    old, fresh, used = (
        scene.clone / ".git" / name for name in ("index.lock", "config.lock", "HEAD.lock")
    )
    for path in (old, fresh, used):
        path.touch()
    scene.stuck()
    for path in (old, used, *(scene.clone / ".git" / "worktrees").glob("*/*")):
        os.utime(path, (1, 1))
    with open(used):
        assert look(scene, code=1)["git locks"] == [
            ("error", f"{old} was left by a git that is gone", "issue-orch doctor --fix")
        ]
        scene.orch("doctor", "--fix")
    assert not old.exists() and fresh.exists() and used.exists()


def test_a_worktree_that_is_gone_is_made_again_and_work_goes_on(scene: Scene) -> None:
    one, two = two_workers(scene)
    scene.orch("stop", "--all", check=True)
    shutil.rmtree(scene.worktree(one))
    scene.git("worktree", "prune")
    shutil.rmtree(scene.worktree(two))
    found = look(scene, code=1)["sessions"]
    assert f"#{one}: {scene.worktree(one)} is no worktree of this clone" == found[0][1]
    assert "perhaps on a disk that is not mounted" in found[1][1]
    ran = scene.orch("doctor", "--fix")
    assert f"#{one}: check issue-{one} out again" in ran.err and f"#{two}" not in ran.err, (
        "a disk may come back"
    )
    scene.agent(COMPLETE)
    scene.orch("resume", str(one), check=True)
    scene.wait_status(one, "complete")
    assert (
        scene.git("log", "--format=%s", f"issue-{one}").splitlines()[0]
        == f"Change work-{one}.txt for #{one}"
    )


def test_a_start_that_was_cut_off_and_a_stray_worktree(scene: Scene) -> None:
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    status = scene.wait_status(number, "complete")
    folder = scene.state / "sessions" / "77"
    folder.mkdir()
    made = {
        **status,
        "id": "77",
        "issueNumber": 77,
        "status": "registered",
        "attempt": 0,
        "branch": "issue-77",
        "worktreePath": str(scene.folder / "widgets-issue-77"),
    }
    (folder / "status.json").write_text(json.dumps(made))
    stray = scene.folder / "widgets-issue-88"
    scene.git("worktree", "add", "-q", str(stray), "-b", "issue-88")
    found = look(scene)
    assert bad(found)["sessions"] == "#77: its start was cut off"
    assert bad(found)["worktrees"] == f"{stray} has no session"
    scene.orch("doctor", "--fix")
    assert not folder.exists() and stray.exists() and scene.status(number), (
        "only what made nothing is forgotten"
    )


def test_changed_git_configuration_unreadable_state_and_notifications(scene: Scene) -> None:
    one, _ = two_workers(scene)
    scene.orch("stop", "--all", check=True)
    scene.git("config", "core.sshCommand", "evil")
    (scene.state / "sessions" / "9").mkdir()
    (scene.state / "sessions" / "9" / "status.json").write_text("{")
    (scene.state / "ledger" / "9.jsonl").write_text("{\n")
    (scene.state / "notify.json").write_text(
        json.dumps({"at": "2026-01-01T00:00:00Z", "failures": ["command: no \x1b[31m"]})
    )
    found = bad(look(scene, code=1))
    assert f"core.sshcommand changed after #{one}" in found["git configuration"]
    assert "sessions/9/status.json" in found["state"] and "ledger/9.jsonl" in found["ledger"]
    assert found["notifications"] == "the last one did not arrive: command: no"


def test_templates_and_agent(scene: Scene) -> None:
    template = scene.clone / ".github" / "issue-orch" / "session.md.j2"
    template.parent.mkdir(parents=True)
    template.write_text("Solve {{ isue.title }}\n")
    scene.config = scene.config.replace('agent = "scripted"', 'agent = "claude"')
    scene.write_config()
    scene.orch("init", "--approve", check=True)
    found = bad(look(scene, code=1))
    assert "claude" in found["agent"] and "not installed" in found["agent"]
    assert (
        "session.md.j2, line 1" in found["templates"]
        and "'isue' is undefined" in found["templates"]
    )
    template.unlink()
    scene.orch("init", "--approve", check=True)
    (scene.folder / "agent").unlink()
    scene.config = scene.config.replace('agent = "claude"', 'agent = "scripted"')
    scene.write_config()
    assert "not installed" in bad(look(scene, code=1))["agent"]


def set_up_codex(scene: Scene, extra: str = "") -> None:
    """A person's codex that is signed in, and a configuration that names it."""
    codex = scene.folder / "codex"
    codex.write_text("#!/bin/sh\necho codex-cli 0.169.0\n")
    codex.chmod(0o755)
    (scene.home / ".codex").mkdir(exist_ok=True)
    scene.env["OPENAI_API_KEY"] = "made-up"
    scene.config = scene.config.replace('agent = "scripted"', 'agent = "codex"')
    scene.write_config()
    with (scene.home / ".config" / "issue-orch" / "config.toml").open("a") as file:
        file.write(f'[agents.codex]\ncommand = ["{codex}"]\n{extra}')


@pytest.mark.parametrize(
    ("settings", "place", "expected"),
    [
        ("", "widgets", ("warning", "workers and attach run nothing that a branch brings")),
        ("repository_settings = true\n", "widgets", ("ok", "runs, in workers and in attach")),
        ("", "elsewhere", None),
    ],
)
def test_that_codex_trusts_the_clone_is_said_with_what_it_means_for_attach(
    scene: Scene, settings: str, place: str, expected: tuple[str, str] | None
) -> None:
    set_up_codex(scene, settings)
    config = scene.home / ".codex" / "config.toml"
    config.write_text(f'[projects."{scene.folder / place}"]\ntrust_level = "trusted"\n')
    rows = look(scene, code=0).get("trust", [])
    assert bool(rows) == bool(expected)
    if expected:
        state, words = expected
        assert rows[0][0] == state and words in rows[0][1]
        assert f"codex trusts {scene.clone}" in rows[0][1]
        assert str(config) in rows[0][2] or state == "ok"


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("0.100.0", ("warning", "codex 0.100.0 is older than 0.169.0, with which it was tried")),
        ("0.169.0", None),
        ("0.999.0", ("warning", "codex 0.999.0 is newer than 0.169.0, with which it was tried")),
    ],
)
def test_an_agent_that_is_not_signed_in_is_an_error_whatever_its_version(
    scene: Scene, said: str, version: tuple[str, str] | None
) -> None:
    set_up_codex(scene)
    (scene.folder / "codex").write_text(f"#!/bin/sh\necho codex-cli {said}\n")
    del scene.env["OPENAI_API_KEY"]
    found = look(scene, code=1)
    login = f"{scene.folder}/codex login"
    first, *others = found["agent"]
    assert first == ("error", f"codex {said} is not signed in", login)
    assert [row[:2] for row in others] == [version] * bool(version)
    (scene.home / ".codex" / "auth.json").write_text('{"OPENAI_API_KEY": "made-up"}')
    found = look(scene, code=0)
    assert found["agent"][0][0] == "ok" and "auth.json" in found["agent"][0][1]
    assert [row[:2] for row in found["agent"][1:]] == [version] * bool(version)


def test_an_agent_that_does_not_run_is_an_error_with_the_command_that_installs_it(
    scene: Scene,
) -> None:
    set_up_codex(scene)
    (scene.folder / "codex").write_bytes(b"\x7fELF of another machine")
    (row,) = look(scene, code=1)["agent"]
    assert row[0] == "error" and "cannot be executed here" in row[1]
    assert row[2] == "npm install -g @openai/codex@0.169.0"


@pytest.mark.parametrize("text", ["projects = 3\n", "[projects.x]\ntrust_level = 1\n", "[broken"])
def test_a_configuration_of_codex_that_says_nothing_of_trust(scene: Scene, text: str) -> None:
    set_up_codex(scene)
    (scene.home / ".codex" / "config.toml").write_text(text)
    assert "trust" not in look(scene, code=0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("#KillUserProcesses=yes\n", []),
        ("[Login]\nKillUserProcesses = yes\n", ["warning"]),
        ("KillUserProcesses=yes\nKillUserProcesses=no\n", []),
    ],
)
def test_logind(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: list[str]
) -> None:
    (tmp_path / "logind.conf").write_text(text)
    context = inside(scene, monkeypatch)
    assert [
        check.state for check in doctor.check_logind(context, f"{tmp_path}/logind.conf*")
    ] == expected


def test_a_check_that_fails_is_a_finding(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    context = inside(scene, monkeypatch)
    shutil.rmtree(scene.state / "locks")
    found = {check.name: check for check in doctor.examine(context)}
    assert (
        found["state"].state == "error"
        and "locks" in found["state"].text
        and found["disk"].state == "ok"
    )


def inside(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Context:
    for name, value in scene.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(scene.clone)
    return open_context()
