"""What the adapters execute, what a worker inherits, what follows from an ending, and how costs are booked."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issue_orch.agents import base, gemini, registry
from issue_orch.agents.base import Attempt
from issue_orch.core import outcomes, prices
from issue_orch.core.outcomes import Event, Tool, Turn
from issue_orch.core.prices import Prices, Usage
from issue_orch.errors import Expected
from issue_orch.errors import Usage as UsageError

NOW = 1_800_000_000.0
LAUNCH = Attempt(
    worktree="/w/tree",
    common_dir="/w/main/.git",
    git_dir="/w/main/.git/worktrees/tree",
    prompt="Do it; $(rm -rf /)",
    prompt_file="/w/state/turn.md",
    session_id=None,
)
BUILT_IN = ("claude", "codex", "opencode", "gemini")


@pytest.mark.parametrize("agent", BUILT_IN)
def test_the_prompt_is_on_stdin_and_never_among_the_arguments(agent: str) -> None:
    adapter = registry.load(agent)
    for command in (adapter.start(LAUNCH), adapter.start(LAUNCH._replace(session_id="s-1"))):
        assert command.stdin == LAUNCH.prompt
        assert not any("Do it" in argument for argument in command.argv)
        assert command.argv[0] == adapter.CAPABILITIES.program
    assert "s-1" in adapter.start(LAUNCH._replace(session_id="s-1")).argv


@pytest.mark.parametrize("agent", BUILT_IN)
def test_the_persons_own_arguments_model_and_program(agent: str) -> None:
    launch = LAUNCH._replace(command=("/opt/cli", "--x"), args=("--mine", "1"), model="big")
    argv = registry.load(agent).start(launch).argv
    assert argv[:2] == ("/opt/cli", "--x")
    assert argv[argv.index("--mine") + 1] == "1"
    assert argv[argv.index("--model") + 1] == "big"


@pytest.mark.parametrize("agent", BUILT_IN)
def test_trusted_differs_from_safe(agent: str) -> None:
    adapter = registry.load(agent)
    safe = adapter.start(LAUNCH._replace(session_id="s"))
    trusted = adapter.start(LAUNCH._replace(session_id="s", profile="trusted"))
    assert (safe.argv, safe.env) != (trusted.argv, trusted.env)
    assert "bypass" not in " ".join(safe.argv) and "danger" not in " ".join(safe.argv)
    assert "yolo" not in " ".join(safe.argv)


def test_claude_gets_the_remainder_of_the_budget_as_its_cap() -> None:
    argv = registry.load("claude").start(LAUNCH._replace(budget_usd=1.5)).argv
    assert argv[argv.index("--max-budget-usd") + 1] == "1.5000"


def test_codex_may_write_where_a_commit_in_a_linked_worktree_writes(tmp_path: Path) -> None:
    def roots(launch: Attempt) -> list[str]:
        argv = registry.load("codex").start(launch).argv
        found: list[str] = json.loads(
            next(each for each in argv if "writable_roots" in each).partition("=")[2]
        )
        return found

    expected = [
        "/w/main/.git/worktrees/tree",
        *(f"/w/main/.git/{name}" for name in ("objects", "refs", "logs")),
    ]
    assert roots(LAUNCH) == expected
    (tmp_path / "reftable").mkdir()
    assert roots(LAUNCH._replace(common_dir=str(tmp_path)))[-1] == str(tmp_path / "reftable")


@pytest.mark.parametrize("session", [None, "s"])
@pytest.mark.parametrize("profile", ["safe", "trusted"])
def test_codex_trusts_neither_worktree_nor_clone_unless_asked_for(
    session: str | None, profile: Literal["safe", "trusted"], tmp_path: Path
) -> None:
    """By their real paths, whatever characters are in them: codex compares no others."""
    (tmp_path / 'wörk😀"tree').mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    launch = LAUNCH._replace(
        worktree=str(tmp_path / "link" / 'wörk😀"tree'), session_id=session, profile=profile
    )
    codex = registry.load("codex")
    opened = codex.interactive(launch._replace(session_id="s"))
    assert opened
    for argv in (codex.start(launch).argv, opened.argv):
        (given,) = [each for each in argv if each.startswith("projects=")]
        untrusted = {"trust_level": "untrusted"}
        assert tomllib.loads(given)["projects"] == {
            f'{tmp_path}/wörk😀"tree': untrusted,
            "/w/main": untrusted,
        }
    trusting = launch._replace(session_id="s", repository_settings=True)
    opened = codex.interactive(trusting)
    assert opened and "projects=" not in " ".join([*codex.start(trusting).argv, *opened.argv])


def test_gemini_is_told_who_commits() -> None:
    env = registry.load("gemini").start(LAUNCH._replace(identity="A <B> C <a@example.org>")).env
    assert env["GIT_COMMITTER_NAME"] == env["GIT_AUTHOR_NAME"] == "A <B> C"
    assert env["GIT_COMMITTER_EMAIL"] == env["GIT_AUTHOR_EMAIL"] == "a@example.org"


def test_gemini_is_not_started_where_it_would_obey_settings_of_the_branch(tmp_path: Path) -> None:
    """It takes settings that overrule them only from a file that nobody but root can write."""
    adapter = registry.load("gemini")
    launch = LAUNCH._replace(worktree=str(tmp_path), session_id="s")
    (tmp_path / ".gemini").mkdir()
    (tmp_path / ".gemini" / "settings.json").write_text("{}")
    assert not gemini.heeded(tmp_path / ".gemini" / "settings.json")
    assert adapter.start(launch._replace(repository_settings=True)).argv
    for attempt in (adapter.start, adapter.interactive):
        if gemini.heeded(gemini.OVERRULING):
            assert attempt(launch)
        else:
            with pytest.raises(Expected, match="can run code"):
                attempt(launch)


def test_opencode_and_gemini_keep_settings_of_the_branch_off_in_their_terminals_too() -> None:
    for agent in ("opencode", "gemini"):  # codex: by an argument, see above
        opened = registry.load(agent).interactive(LAUNCH._replace(session_id="s"))
        trusting = registry.load(agent).interactive(
            LAUNCH._replace(session_id="s", repository_settings=True)
        )
        assert opened and trusting and set(opened.env) - set(trusting.env)


def test_a_codex_session_that_is_gone_is_told_from_an_interruption() -> None:
    """The supervisor knows the session's id before codex says it."""
    codex, turn = registry.load("codex"), Turn(session_id="s")
    gone = "Error: thread/resume: thread/resume failed: no rollout found for thread id s (code -32600)\n"
    assert base.ending(codex, 1, turn, gone, NOW).kind == "session_missing"
    assert base.ending(codex, 1, turn, "Error: cannot read config\n", NOW).kind == "crashed"


@pytest.mark.parametrize("agent", BUILT_IN)
def test_a_session_opens_in_the_agents_own_terminal(agent: str) -> None:
    adapter = registry.load(agent)
    command = adapter.interactive(LAUNCH._replace(session_id="s-1"))
    assert command and command.argv[0] == agent and "s-1" in command.argv


def test_the_placeholders_of_a_command_are_filled_without_a_shell() -> None:
    template = (
        "run",
        "--file={prompt_file}",
        "{session_id}",
        "{issue}-{branch}-{attempt}",
        "{json}",
        "{model}",
    )
    launch = LAUNCH._replace(
        command=template, session_id="s", issue=7, branch="issue-7", args=("-v",)
    )
    command = registry.load("command").start(launch)
    assert command.argv == (
        "run",
        "--file=/w/state/turn.md",
        "s",
        "7-issue-7-1",
        "{json}",
        "",
        "-v",
    )
    assert command.stdin == ""


def test_a_command_without_a_place_for_the_prompt_gets_it_on_stdin() -> None:
    adapter = registry.load("command")
    command = adapter.start(LAUNCH._replace(command=("cat",)))
    assert command.stdin == LAUNCH.prompt and command.session_id
    prompted = adapter.start(
        LAUNCH._replace(command=("echo", "{prompt}"), prompt="use {issue} and {model}")
    )
    assert prompted.argv == ("echo", "use {issue} and {model}") and prompted.stdin == ""
    resumed = adapter.start(
        LAUNCH._replace(command=("cat",), resume_command=("go", "{session_id}"), session_id="s")
    )
    assert resumed.argv == ("go", "s")
    with pytest.raises(UsageError):
        adapter.start(LAUNCH)


def test_an_unknown_agent_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="nobody"):
        registry.load("nobody")


# What a worker inherits

OUTER = {
    "PATH": "/bin",
    "HOME": "/h",
    "LC_ALL": "C",
    "XDG_CONFIG_HOME": "/x",
    "https_proxy": "p",
    "CLAUDECODE": "1",
    "CLAUDE_CODE_ENTRYPOINT": "cli",
    "ANTHROPIC_API_KEY": "a",
    "OPENAI_API_KEY": "o",
    "CODEX_SANDBOX": "1",
    "GEMINI_API_KEY": "g",
    "GIT_DIR": "/d",
    "GIT_CONFIG_COUNT": "1",
    "GH_TOKEN": "t",
    "GITHUB_TOKEN": "t",
    "ISSUE_ORCH_TOKEN": "t",
    "AWS_SECRET_ACCESS_KEY": "s",
    "SSH_AUTH_SOCK": "/s",
    "MY_TOOL": "m",
    "LD_PRELOAD": "l",
}
COMMON = {"PATH", "HOME", "LC_ALL", "XDG_CONFIG_HOME", "https_proxy"}


@pytest.mark.parametrize(
    ("agent", "own"),
    [
        ("claude", {"ANTHROPIC_API_KEY"}),
        ("codex", {"OPENAI_API_KEY"}),
        ("gemini", {"GEMINI_API_KEY"}),
        ("opencode", {"ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY"}),
        ("command", set()),
    ],
)
def test_a_worker_inherits_an_allow_list_and_its_own_sign_in(agent: str, own: set[str]) -> None:
    assert set(registry.environment(OUTER, registry.load(agent))) == COMMON | own


def test_names_of_the_configuration_pass_but_never_what_steers_git_or_an_outer_agent() -> None:
    extra = (
        "MY_TOOL",
        "OPENAI_API_KEY",
        "GIT_DIR",
        "CLAUDECODE",
        "CLAUDE_CODE_ENTRYPOINT",
        "CODEX_SANDBOX",
        "ISSUE_ORCH_TOKEN",
        "ABSENT",
    )
    inherited = registry.environment(OUTER, registry.load("command"), extra)
    assert set(inherited) == COMMON | {"MY_TOOL", "OPENAI_API_KEY"}


# Endings


@pytest.mark.parametrize(
    ("status", "text", "kind", "wait"),
    [
        (401, "", "auth", None),
        (403, "no", "auth", None),
        (None, "Invalid API key · Please run /login", "auth", None),
        (429, "slow", "rate_limited", outcomes.RATE_WAIT),
        (None, "Too Many Requests", "rate_limited", outcomes.RATE_WAIT),
        (429, "try again in 20s", "rate_limited", 20),
        (429, "insufficient_quota: billing", "quota", outcomes.QUOTA_WAIT),
        (402, "", "quota", outcomes.QUOTA_WAIT),
        (400, "prompt is too long", "context_full", None),
        (500, "boom", "api_error", None),
        (529, "overloaded", "api_error", None),
        (None, "terminated", "api_error", None),
    ],
)
def test_what_a_failed_call_means(
    status: int | None, text: str, kind: str, wait: float | None
) -> None:
    outcome = outcomes.failure(status, text, None, NOW)
    assert outcome.kind == kind
    assert outcome.retry_at == (None if wait is None else NOW + wait)


@pytest.mark.parametrize(
    ("kind", "consequence"),
    [
        ("ended", "next_turn"),
        ("denied", "next_turn"),
        ("api_error", "retry"),
        ("killed", "retry"),
        ("crashed", "retry"),
        ("rate_limited", "wait"),
        ("quota", "wait"),
        ("session_missing", "fresh"),
        ("context_full", "fresh"),
        ("auth", "stuck"),
        ("capped", "stuck"),
        ("over_budget", "hold"),
        ("interrupted", "next_turn"),
    ],
)
def test_every_ending_has_one_consequence(kind: str, consequence: str) -> None:
    assert outcomes.CONSEQUENCES[kind] == consequence  # type: ignore[index]


def test_the_table_of_consequences_is_complete() -> None:
    assert len(outcomes.CONSEQUENCES) == 13


@pytest.mark.parametrize(
    ("events", "later", "kind"),
    [
        ([Event("retry", "no", status=401)], 0, "auth"),
        ([Event("retry", "slow", status=429, retry_after=3600)], 0, "rate_limited"),
        ([Event("retry", "slow", status=429, retry_after=60)], 170, None),
        ([Event("retry", "slow", status=429, retry_after=60)], 190, "rate_limited"),
        ([Event("retry", "slow", status=429)], 100, None),
        ([Event("retry", "slow", status=429)], 130, "rate_limited"),
        ([Event("retry", "boom", status=500)] * outcomes.RETRIES, 0, None),
        ([Event("retry", "boom", status=500)] * (outcomes.RETRIES + 1), 0, "api_error"),
        ([Event("retry", "no", status=401), Event("text", "hello")], 1000, None),
        ([Event("text", "silent, but nothing failed")], 10_000, None),
    ],
)
def test_when_a_retry_is_not_worth_waiting_for(
    events: list[Event], later: float, kind: str | None
) -> None:
    turn = Turn()
    for event in events:
        turn = outcomes.fold(turn, event, NOW)
    outcome = outcomes.hopeless(turn, NOW + later)
    assert (outcome.kind if outcome else None) == kind


def test_a_crash_says_the_last_words_of_stderr() -> None:
    outcome = base.ending(
        registry.load("codex"), 101, Turn(session_id="s"), "panicked at x\n\nnote: run with\n", NOW
    )
    assert (outcome.kind, outcome.message) == (
        "crashed",
        "the agent ended with exit code 101: note: run with",
    )


def test_a_failure_after_an_end_counts_and_work_after_a_failure_too() -> None:
    turn = outcomes.fold(
        outcomes.fold(Turn(), Event("final", "stop"), NOW), Event("error", "boom", status=500), NOW
    )
    assert base.ending(registry.load("opencode"), 1, turn, "", NOW).kind == "api_error"
    turn = outcomes.fold(
        outcomes.fold(turn, Event("text", "went on"), NOW), Event("final", "stop"), NOW
    )
    assert base.ending(registry.load("opencode"), 0, turn, "", NOW).kind == "ended"


@pytest.mark.parametrize(
    ("running", "shows_tools", "silent", "evidence"),
    [
        ((), True, 500, None),
        ((), True, 700, "silent for 12 min, last: Reading"),
        ((), False, 700, None),
        ((), False, 2000, "silent for 33 min, last: Reading"),
        ((Tool("1", "Bash: make", NOW),), True, 700, None),
        (
            (Tool("1", "Bash: make", NOW),),
            True,
            2000,
            "silent for 33 min, in Bash: make since 33 min",
        ),
    ],
)
def test_silence_is_shown_with_its_evidence(
    running: tuple[Tool, ...], shows_tools: bool, silent: float, evidence: str | None
) -> None:
    turn = Turn(running=running, activity="Reading", active_at=NOW)
    assert outcomes.quiet(turn, NOW, NOW + silent, 600, 1800, shows_tools) == evidence


# Costs


def usage(usd: float | None, tokens: int) -> Usage:
    return Usage("session", usd, tokens, tokens // 10)


@given(st.lists(st.integers(min_value=0, max_value=10**6), min_size=1))
def test_differences_add_up_to_the_last_reading(steps: list[int]) -> None:
    reading, booked, tokens, said = None, 0.0, 0, 0
    for step in steps:
        said += step
        reading, delta = prices.book(reading, usage(said / 1000, said))
        booked += delta.usd or 0
        tokens += delta.input_tokens
    assert tokens == said
    assert booked == pytest.approx(said / 1000)


def test_a_counter_that_was_reset_is_booked_whole_and_unknown_stays_unknown() -> None:
    assert prices.book(usage(5, 1000), usage(1, 200))[1] == usage(1, 200)
    assert prices.book(usage(None, 1000), usage(None, 1500))[1].usd is None


def test_prices_count_cached_input_apart() -> None:
    said = Usage("process", None, 1_000_000, 100_000, 400_000)
    assert prices.price(said, Prices(10, 100, 1)).usd == pytest.approx(6 + 0.4 + 10)
    assert prices.price(said, Prices(10, 100)).usd == pytest.approx(20)
    assert prices.price(said, None).usd is None
    assert prices.price(said._replace(usd=3), Prices(10, 100)).usd == 3


def test_calls_add_up_and_exact_usage_replaces_the_rough_one() -> None:
    turn = Turn()
    for call in (1, 2):
        turn = outcomes.fold(
            turn, Event("usage", usage=Usage("call", 0.5, 100, 10), id=str(call)), NOW
        )
    assert turn.usage == Usage("process", 1.0, 200, 20)
    for text in ("a", "a", "b"):
        turn = outcomes.fold(
            turn, Event("usage", id=text, usage=Usage("rough", None, 1000, 5)), NOW
        )
    assert turn.rough == Usage("rough", None, 2000, 15)
    assert outcomes.estimate(turn, Prices(1000, 0)) == Usage("rough", 2.0, 2000, 15)
    turn = outcomes.fold(turn, Event("usage", usage=Usage("session", 9.0, 1, 1)), NOW)
    assert turn.usage and turn.usage.usd == 9.0
    assert outcomes.estimate(turn, None) is None


def test_an_estimate_moves_the_counter_only_where_the_agent_counted_too() -> None:
    rough = Usage("rough", 0.5, 100, 10)
    assert prices.reading_after(None, rough, -9) is None
    assert prices.reading_after(usage(1, 100), rough, 143) == Usage("session", 1.5, 200, 20)


def test_counters_are_named_by_session_or_by_run() -> None:
    assert prices.counter("claude", "s", 3, usage(1, 1)) == "claude:s"
    assert prices.counter("gemini", "s", 3, Usage("process", None, 1, 1)) == "gemini:run-3"


# What is installed


def test_what_is_installed_signed_in_and_broken(tmp_path: Path) -> None:
    def program(name: str, script: str) -> None:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    program("claude", "echo '2.1.329 (Claude Code)'")
    program("codex", "echo broken >&2; exit 3")
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path), "ANTHROPIC_API_KEY": "x"}
    found = {
        one.name: one for one in registry.look(env, {}, ("claude", "codex", "gemini", "command"))
    }
    assert found["claude"] == registry.Installed(
        "claude", str(tmp_path / "claude"), "2.1.329", "ANTHROPIC_API_KEY", None
    )
    assert found["codex"].version is None and "exit code 3: broken" in (
        found["codex"].problem or ""
    )
    assert found["gemini"].path is None
    assert "command" not in found


@pytest.mark.parametrize(
    ("agent", "file"),
    [
        ("claude", ".claude/.credentials.json"),
        ("codex", ".codex/auth.json"),
        ("gemini", ".gemini/oauth_creds.json"),
        ("opencode", ".local/share/opencode/auth.json"),
    ],
)
def test_a_sign_in_that_is_a_file(agent: str, file: str, tmp_path: Path) -> None:
    assert [one.signed_in for one in registry.look({"HOME": str(tmp_path)}, {}, (agent,))] == [None]
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text("{}")
    assert [one.signed_in for one in registry.look({"HOME": str(tmp_path)}, {}, (agent,))] == [
        str(tmp_path / file)
    ]


@pytest.mark.parametrize(
    ("agent", "version", "says", "files", "variables", "by"),
    [
        # the keychain of a Mac, say: no file
        ("claude", "2.1.329", '{ "loggedIn": true }', {}, {}, "claude auth status"),
        ("codex", "0.169.0", "Logged in using ChatGPT", {}, {}, "codex login status"),
        # a file that signs in no longer
        ("claude", "2.1.329", '{"loggedIn": false}', {".claude/.credentials.json": "{}"}, {}, None),
        ("codex", "0.171.0", "Not logged in", {".codex/auth.json": "{}"}, {}, None),
        ("opencode", "1.18.33", "", {".local/share/opencode/auth.json": ""}, {}, None),
        # what it says is not understood: the file counts
        ("claude", "2.1.329", "?", {".claude/.credentials.json": "{}"}, {}, ".credentials.json"),
        # too old to be asked: it would take the words for a prompt
        ("claude", "2.1.50", '{"loggedIn": true}', {}, {}, None),
        # by settings of its own
        ("codex", "0.169.0", "Not logged in", {".codex/config.toml": 'model_provider = "me"'}, {}, "config.toml"),
        ("codex", "0.169.0", "Not logged in", {".codex/config.toml": 'model_provider = "openai"'}, {}, None),
        ("claude", "2.1.329", '{"loggedIn":false}', {".claude/settings.json": '{"apiKeyHelper":"x"}'}, {}, "settings.json"),
        ("gemini", "0.61.0", "", {".gemini/.env": "GEMINI_API_KEY=x"}, {}, ".env"),
        ("gemini", "0.61.0", "", {".gemini/settings.json": '{"selectedType": "gemini-api-key"}'}, {}, None),
        ("opencode", "1.18.33", "", {".config/opencode/opencode.json": '{"provider": {}}'}, {}, "opencode.json"),
        # by a variable that the configuration passes on
        ("codex", "0.169.0", "Not logged in", {}, {"AZURE_OPENAI_API_KEY": "x"}, "AZURE_OPENAI_API_KEY"),
        ("codex", "0.169.0", "Not logged in", {}, {"SOME_URL": "x"}, None),
    ],
)  # fmt: skip
def test_what_signs_an_agent_in(
    agent: str,
    version: str,
    says: str,
    files: dict[str, str],
    variables: dict[str, str],
    by: str | None,
    tmp_path: Path,
) -> None:
    program = tmp_path / agent
    program.write_text(
        f"#!/bin/sh\nif [ \"$1\" = --version ]; then echo '{version}'; else echo '{says}'; fi\n"
    )
    program.chmod(0o755)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path), **variables}
    (found,) = registry.look(env, {}, (agent,), variables)
    assert found.problem is None and found.version == version
    assert (found.signed_in is None) if by is None else (found.signed_in or "").endswith(by)


@pytest.mark.parametrize(
    ("version", "odd"),
    [
        ("2.1.329", ""),
        ("2.1.330 (Claude Code)", "newer than 2.1.329"),
        ("2.2.0", "newer than 2.1.329"),
        ("2.1.99", "older than 2.1.329"),
        ("v1.0.400-beta", "older than 2.1.329"),
        ("no version", ""),
    ],
)
def test_versions_that_were_not_tried(version: str, odd: str, tmp_path: Path) -> None:
    program = tmp_path / "claude"
    program.write_text(f"#!/bin/sh\necho '{version}'\n")
    program.chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)}
    assert registry.look(env, {}, ("claude",))[0].odd == odd


def test_adapters_load_nothing_heavy() -> None:
    code = (
        "import sys\nfrom issue_orch.agents import registry\n"
        "[registry.load(name) for name in registry.NAMES]\n"
        "print([name for name in ('dataclasses', 'asyncio', 'subprocess', 'inspect') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
