"""The unmodified agent packages through their adapters, on a scripted model server."""

from __future__ import annotations

import json
import signal
import tempfile
from pathlib import Path

import pytest

from issue_orch.agents import gemini
from issue_orch.core import outcomes, prices
from issue_orch.core.prices import Usage
from issue_orch.errors import Expected
from tests.agents.kit import AGENTS, commit, signal_when, stage, subjects
from tests.agents.model_server import Failure, Step
from tests.kit.git import sh

pytestmark = pytest.mark.agents
each = pytest.mark.parametrize("agent", AGENTS)


@each
def test_works_commits_ends_and_goes_on_in_the_same_session(
    agent: str, sealed: Path, tmp_path: Path
) -> None:
    script = {
        "TASK": [commit("one")._replace(failures=(Failure(500),)), Step(say="I need a decision.")],
        "ANSWER": [commit("two"), Step(say="Done.")],
    }
    with stage(agent, sealed, tmp_path, script) as on:
        first = on.start("Please do TASK.")
        assert first.outcome.kind == "ended", first
        assert subjects(on.worktree) == ["Add one", "first"]
        second = on.resume(first, "ANSWER: take the second one")
        assert second.outcome.kind == "ended", second
        assert second.turn.session_id == first.turn.session_id
        assert subjects(on.worktree) == ["Add two", "Add one", "first"]
        assert on.steps() == [("TASK", 0), ("TASK", 0), ("TASK", 1), ("ANSWER", 0), ("ANSWER", 1)]
        assert first.turn.usage and first.turn.usage.input_tokens == 2400
        assert first.turn.usage.output_tokens == 160


@each
def test_interrupted_in_a_tool_and_resumed(agent: str, sealed: Path, tmp_path: Path) -> None:
    script = {
        "TASK": [Step(say="Looking.", run="git status"), Step(run="touch started; exec sleep 20")],
        "INSTEAD": [commit("two"), Step(say="Done.")],
    }
    with stage(agent, sealed, tmp_path, script) as on:
        first = on.start("Please do TASK.", signal_when(on.worktree / "started", signal.SIGINT))
        assert first.outcome.kind == "interrupted", first
        second = on.resume(first, "Do INSTEAD something else.")
        assert second.outcome.kind == "ended", second
        assert subjects(on.worktree)[0] == "Add two"


@each
def test_killed_in_a_tool_and_resumed(agent: str, sealed: Path, tmp_path: Path) -> None:
    script = {
        "TASK": [Step(run="git status"), Step(run="touch started; exec sleep 4")],
        "GO ON": [commit("two"), Step(say="Done.")],
    }
    with stage(agent, sealed, tmp_path, script) as on:
        first = on.start("Please do TASK.", signal_when(on.worktree / "started", signal.SIGKILL))
        assert first.outcome.kind == "killed", first
        assert on.resume(first, "GO ON").outcome.kind == "ended"
        assert subjects(on.worktree)[0] == "Add two"


@each
def test_a_refused_sign_in_stops_at_once(agent: str, sealed: Path, tmp_path: Path) -> None:
    script = {"TASK": [Step(say="never", failures=(Failure(401, "invalid api key"),) * 40)]}
    with stage(agent, sealed, tmp_path, script) as on:
        run = on.start("Please do TASK.")
        assert run.outcome.kind == "auth", run
        assert "refused the sign-in" in run.outcome.message
        assert len(on.steps()) <= 2


@each
def test_a_session_that_is_gone(agent: str, sealed: Path, tmp_path: Path) -> None:
    with stage(agent, sealed, tmp_path, {"TASK": [Step(say="Done.")]}) as on:
        ours = on.start("Please do TASK.")
        known = ours.turn.session_id or ""
        other = known[:-4] + ("0000" if not known.endswith("0000") else "1111")
        gone = on.resume(ours._replace(turn=ours.turn._replace(session_id=other)), "GUIDANCE")
        assert gone.outcome.kind == "session_missing", gone


@each
def test_a_conversation_that_is_too_long(agent: str, sealed: Path, tmp_path: Path) -> None:
    words = "prompt is too long: 250000 tokens > 200000 maximum"
    with stage(
        agent, sealed, tmp_path, {"TASK": [Step(say="never", failures=(Failure(400, words),) * 9)]}
    ) as on:
        run = on.start("Please do TASK.")
        wanted = (
            {"ended"} if agent == "opencode" else {"context_full"}
        )  # opencode compacts by itself
        assert run.outcome.kind in wanted, run


@pytest.mark.parametrize("agent", ["claude", "codex"])
def test_a_rate_limit_that_does_not_end_is_a_wait(agent: str, sealed: Path, tmp_path: Path) -> None:
    failures = (
        Failure(429, "slow down", {"retry-after": "3600"} if agent == "claude" else {}),
    ) * 40
    with stage(agent, sealed, tmp_path, {"TASK": [Step(say="never", failures=failures)]}) as on:
        run = on.start("Please do TASK.")
        assert run.outcome.kind == "rate_limited", run
        assert run.outcome.retry_at


@each
def test_a_stream_that_is_cut(agent: str, sealed: Path, tmp_path: Path) -> None:
    script = {"TASK": [Step(say="Done.", failures=(Failure(cut=True),))]}
    with stage(agent, sealed, tmp_path, script) as on:
        run = on.start("Please do TASK.")
        assert run.outcome.kind == ("api_error" if agent == "gemini" else "ended"), run


def test_codex_says_when_the_api_fails_for_good(sealed: Path, tmp_path: Path) -> None:
    script = {"TASK": [Step(say="never", failures=(Failure(529, "overloaded"),) * 60)]}
    with stage("codex", sealed, tmp_path, script) as on:
        run = on.start(
            "Please do TASK.",
            args=(
                "-c",
                "model_providers.loop.stream_max_retries=1",
                "-c",
                "model_providers.loop.request_max_retries=1",
            ),
        )
        assert run.outcome.kind == "api_error", run
        assert "529" in run.outcome.message


def test_the_ledger_equals_the_total_of_claude(sealed: Path, tmp_path: Path) -> None:
    """Three resumes, one of them after SIGTERM in a tool: what was booked adds up to what claude says at the end."""
    script = {
        "TASK": [commit("one"), Step(say="ok")],
        "FIRST": [Step(run="touch started; exec sleep 20")],
        "SECOND": [commit("two"), Step(say="ok")],
        "THIRD": [Step(say="ok")],
    }
    with stage("claude", sealed, tmp_path, script) as on:
        done = [on.start("TASK")]
        done.append(
            on.resume(done[0], "FIRST", signal_when(on.worktree / "started", signal.SIGINT))
        )
        done += [on.resume(done[0], "SECOND"), on.resume(done[0], "THIRD")]
        booked, reading = 0.0, None
        for run in done:
            assert run.turn.usage
            reading, delta = prices.book(reading, run.turn.usage)
            assert delta.usd and delta.usd > 0
            booked += delta.usd
        last = json.loads(done[-1].lines[-1])
        assert booked == pytest.approx(last["total_cost_usd"])
        assert reading and reading.input_tokens == 1200 * 6


def test_a_terminated_claude_is_not_booked_twice(sealed: Path, tmp_path: Path) -> None:
    script = {"TASK": [Step(run="touch started; exec sleep 20")], "GO ON": [Step(say="ok")]}
    with stage("claude", sealed, tmp_path, script) as on:
        first = on.start("TASK", signal_when(on.worktree / "started", signal.SIGTERM))
        rough = outcomes.estimate(first.turn, on.adapter.CAPABILITIES.estimate)
        assert rough and rough.usd and rough.input_tokens == 1200
        reading = prices.reading_after(None, rough, first.code)
        last = on.resume(first, "GO ON")
        assert last.turn.usage
        _, delta = prices.book(reading, last.turn.usage)
        assert (rough.input_tokens + delta.input_tokens) == last.turn.usage.input_tokens == 2400


def test_the_ledger_equals_the_tokens_of_codex(sealed: Path, tmp_path: Path) -> None:
    """Killed on the way: the counter of the thread goes on, and the next difference brings what was missing."""
    script = {
        "TASK": [commit("one"), Step(say="ok")],
        "FIRST": [Step(run="touch started; exec sleep 4")],
        "SECOND": [Step(say="ok")],
        "THIRD": [Step(say="ok")],
    }
    with stage("codex", sealed, tmp_path, script) as on:
        done = [on.start("TASK")]
        done.append(
            on.resume(done[0], "FIRST", signal_when(on.worktree / "started", signal.SIGKILL))
        )
        done += [on.resume(done[0], "SECOND"), on.resume(done[0], "THIRD")]
        booked, reading = 0, None
        for usage in [run.turn.usage for run in done if run.turn.usage]:
            reading, delta = prices.book(reading, usage)
            booked += delta.input_tokens
        last = json.loads(
            next(line for line in reversed(done[-1].lines) if "turn.completed" in line)
        )
        assert (
            booked
            == last["usage"]["input_tokens"]
            == (reading or Usage("session", None, 0, 0)).input_tokens
        )


def test_claude_stops_at_the_cost_that_it_was_given(sealed: Path, tmp_path: Path) -> None:
    with stage("claude", sealed, tmp_path, {"TASK": [commit(f"n{n}") for n in range(9)]}) as on:
        run = on.start("TASK", budget_usd=0.012)
        assert run.outcome.kind == "over_budget", run
        assert run.turn.usage and run.turn.usage.usd and 0.012 <= run.turn.usage.usd < 0.03


def test_claude_says_what_it_was_not_permitted(sealed: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    call = ("Write", {"file_path": str(outside), "content": "x"})
    with stage(
        "claude", sealed, tmp_path, {"TASK": [Step(tool=call), Step(say="I could not.")]}
    ) as on:
        run = on.start("TASK")
        assert run.outcome.kind == "denied", run
        assert "Write" in run.outcome.message
        assert not outside.exists()


def test_opencode_says_what_it_was_not_permitted(sealed: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("a secret")
    call = ("read", {"filePath": str(tmp_path / "secret.txt")})
    with stage(
        "opencode", sealed, tmp_path, {"TASK": [Step(tool=call), Step(say="I could not.")]}
    ) as on:
        run = on.start("TASK")
        assert run.outcome.kind == "denied", run
        assert "read" in run.outcome.message
        assert not any("a secret" in body for body in on.server.bodies)


def test_codex_writes_nothing_outside_the_worktree_and_the_git_folders(sealed: Path) -> None:
    command = "echo x > ../outside.txt; echo x > ../main/.git/config; echo inside > inside.txt"
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:  # its sandbox leaves /tmp open
        root = Path(folder)
        with stage("codex", sealed, root, {"TASK": [Step(run=command), Step(say="ok")]}) as on:
            assert on.start("TASK").outcome.kind == "ended"
            assert (on.worktree / "inside.txt").exists()
            assert not (root / "outside.txt").exists()
            assert "repositoryformatversion" in sh(on.worktree, "git", "config", "--list")


SETTINGS = {
    ".claude/settings.json": json.dumps(
        {"hooks": {"SessionStart": [{"hooks": [{"type": "command", "command": "touch hooked"}]}]}}
    ),
    ".mcp.json": json.dumps({"mcpServers": {"bad": {"command": "touch", "args": ["served"]}}}),
    "opencode.json": json.dumps(
        {"mcp": {"bad": {"type": "local", "command": ["touch", "served"]}}}
    ),
    ".opencode/plugin/bad.js": "import { writeFileSync } from 'fs'; "
    "export const Bad = async () => { writeFileSync('hooked', ''); return {} }",
    ".gemini/settings.json": json.dumps(
        {
            "mcpServers": {"bad": {"command": "touch", "args": ["served"]}},
            "hooks": {
                "SessionStart": [
                    {"hooks": [{"type": "command", "command": "touch hooked", "name": "bad"}]}
                ]
            },
        }
    ),
    ".codex/config.toml": '[mcp_servers.bad]\ncommand = "touch"\nargs = ["served"]\n',
    "CLAUDE.md": "words of CLAUDE.md\n",
    "AGENTS.md": "words of AGENTS.md\n",
    "GEMINI.md": "words of GEMINI.md\n",
}


@each
@pytest.mark.parametrize("on_request", [False, True])
def test_settings_of_the_repository(
    agent: str, on_request: bool, sealed: Path, tmp_path: Path
) -> None:
    """They run nothing unless the team opted in; the instructions that the adapter names are read as text."""
    with stage(agent, sealed, tmp_path, {"TASK": [Step(say="ok")]}, SETTINGS) as on:
        if agent == "gemini" and not on_request and not gemini.heeded(gemini.OVERRULING):
            with pytest.raises(Expected, match="can run code"):
                on.start("TASK")
            return
        run = on.start("TASK", repository_settings=on_request)
        assert run.outcome.kind == "ended", run
        ran = {name for name in ("hooked", "served") if (on.worktree / name).exists()}
        expected = {"hooked", "served"} if on_request and agent != "codex" else set()
        assert ran == expected
        asked = "\n".join(on.server.bodies)
        if not on_request:
            read = {
                name
                for name in ("CLAUDE.md", "AGENTS.md", "GEMINI.md")
                if f"words of {name}" in asked
            }
            assert read == set(on.adapter.CAPABILITIES.instructions)


@pytest.mark.parametrize("trusted", ["main", "worktree"])
@pytest.mark.parametrize("on_request", [False, True])
def test_servers_of_the_branch_in_a_clone_that_codex_trusts(
    trusted: str, on_request: bool, sealed: Path, tmp_path: Path
) -> None:
    """They run outside of its sandbox, so what a person once told codex does not count."""
    served = tmp_path / "served"
    files = {".codex/config.toml": f'[mcp_servers.bad]\ncommand = "touch"\nargs = ["{served}"]\n'}
    with stage("codex", sealed, tmp_path, {"TASK": [commit("one"), Step(say="ok")]}, files) as on:
        with (sealed / ".codex" / "config.toml").open("a") as file:
            file.write(f'[projects."{tmp_path / trusted}"]\ntrust_level = "trusted"\n')
        run = on.start("TASK", repository_settings=on_request)
        assert run.outcome.kind == "ended", run
        assert subjects(on.worktree)[0] == "Add one"
        assert served.exists() == on_request
