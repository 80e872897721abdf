"""The parsers of the adapters, on lines that the real agents printed and on nonsense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issue_orch.agents import base, registry
from issue_orch.core import outcomes
from issue_orch.core.outcomes import Event, Outcome, Turn
from issue_orch.core.prices import Usage
from issue_orch.terminal.log import Rendering

RECORDED = Path(__file__).with_name("recorded")
NOW = 1_800_000_000.0


class Replay(NamedTuple):
    """A recorded run, folded. `on_the_way` are the turns after each event."""

    outcome: Outcome
    turn: Turn
    events: list[Event]
    on_the_way: list[Turn]


def replay(name: str) -> Replay:
    adapter = registry.load(name.partition("-")[0])
    head, *lines = (RECORDED / f"{name}.txt").read_text().splitlines()
    turn, events, on_the_way = Turn(), [], []
    for number, line in enumerate(lines):
        for event in adapter.parse(line):
            turn = outcomes.fold(turn, event, NOW + number)
            events.append(event)
            on_the_way.append(turn)
    stderr = "\n".join(line for line in lines if not line.startswith("{"))
    outcome = outcomes.hopeless(turn, NOW) or base.ending(
        adapter, int(head.split()[1]), turn, stderr, NOW
    )
    return Replay(outcome, turn, events, on_the_way)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (path.stem, kind)
        for path in sorted(RECORDED.iterdir())
        for kind in [
            {
                "work": "ended",
                "auth": "auth",
                "interrupted": "interrupted",
                "killed": "killed",
                "context": "context_full",
                "missing": "session_missing",
                "budget": "over_budget",
                "denied": "denied",
                "limited": "rate_limited",
                "overloaded": "api_error",
            }[path.stem.split("-")[1]]
        ]
    ],
)
def test_how_a_recorded_run_ended(name: str, kind: str) -> None:
    outcome = replay(name).outcome
    assert outcome.kind == ("ended" if name == "opencode-context" else kind), (
        outcome
    )  # it compacts by itself
    assert outcome.message


@pytest.mark.parametrize("agent", ["claude", "codex", "opencode", "gemini"])
def test_what_is_seen_of_work(agent: str) -> None:
    seen = replay(f"{agent}-work")
    assert seen.turn.session_id
    kinds = [event.kind for event in seen.events]
    assert kinds.index("tool") < kinds.index("tool_end") < kinds.index("final")
    tool = next(event for event in seen.events if event.kind == "tool")
    assert "git commit" in tool.text
    assert seen.turn.running == () and seen.turn.activity == "Done." and seen.turn.retries == 0
    usage = seen.turn.usage
    assert usage and (usage.input_tokens, usage.output_tokens) == (2400, 160)
    assert (usage.usd is not None) == registry.load(agent).CAPABILITIES.reports_usd


@pytest.mark.parametrize("agent", ["claude", "opencode", "gemini"])
def test_a_retry_is_shown_and_then_forgotten(agent: str) -> None:
    seen = replay(f"{agent}-work")
    retrying = [turn for turn in seen.on_the_way if turn.retries]
    assert retrying[0].activity.startswith("retrying: ")
    assert not seen.turn.error and seen.turn.status is None


@pytest.mark.parametrize("agent", ["claude", "codex", "gemini"])
def test_a_run_that_was_killed_in_a_tool_still_shows_the_tool(agent: str) -> None:
    seen = replay(f"{agent}-killed")
    assert "sleep 3" in seen.turn.running[0].name
    assert seen.turn.usage is None
    assert bool(seen.turn.rough.input_tokens) == (agent == "claude")


def test_the_denied_tool_is_named() -> None:
    (denied,) = replay("claude-denied").turn.denied
    assert denied.startswith("Write (Claude requested permissions to write to /outside.txt")


def test_a_rejected_usage_limit_of_a_subscription_says_until_when() -> None:
    claude = registry.load("claude")
    limit = {
        "type": "rate_limit_event",
        "rate_limit_info": {"status": "rejected", "resetsAt": NOW + 7200},
    }
    result = {
        "type": "result",
        "subtype": "success",
        "is_error": True,
        "api_error_status": 429,
        "modelUsage": {},
        "result": "You've hit your usage limit",
    }
    turn = Turn()
    for line in (limit, result):
        for event in claude.parse(json.dumps(line)):
            turn = outcomes.fold(turn, event, NOW)
    assert base.ending(claude, 1, turn, "", NOW) == Outcome(
        "quota", "the account's quota is used up: You've hit your usage limit", NOW + 7200
    )


def test_lines_of_an_unknown_cli() -> None:
    command = registry.load("command")
    assert command.parse("hello\n") == [Event("text", "hello")]
    assert command.parse("  ") == []
    usage = {"type": "usage", "usd": 0.5, "input_tokens": 7, "output_tokens": 3, "scope": "call"}
    assert command.parse(json.dumps(usage)) == [Event("usage", usage=Usage("call", 0.5, 7, 3))]
    assert command.parse('{"type": "session", "session_id": "x"}') == [
        Event("session", session_id="x")
    ]
    assert command.parse('{"other": 1}') == [Event("text", "(JSON)")]


def known_words() -> list[str]:
    words: set[str] = set()

    def gather(value: Any) -> None:
        if isinstance(value, dict):
            words.update(value)
            for item in value.values():
                gather(item)
        elif isinstance(value, list):
            for item in value:
                gather(item)
        elif isinstance(value, str) and len(value) < 40:
            words.add(value)

    for path in RECORDED.iterdir():
        for line in path.read_text().splitlines():
            if line.startswith("{"):
                gather(json.loads(line))
    return sorted(words)


WORDS = st.sampled_from(known_words())
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=12,
)
TYPED = st.builds(
    lambda kind, rest: json.dumps({**rest, "type": kind}),
    st.sampled_from(
        [
            "system",
            "assistant",
            "user",
            "result",
            "rate_limit_event",
            "item.started",
            "item.completed",
            "turn.completed",
            "turn.failed",
            "error",
            "text",
            "tool_use",
            "step_finish",
            "tool_result",
            "message",
            "init",
            "usage",
            "thread.started",
        ]
    ),
    st.dictionaries(WORDS, VALUES, max_size=6),
)


def mangled(line: str, cut: int) -> str:
    return line[: cut % (len(line) + 1)]


LINES = [line for path in sorted(RECORDED.iterdir()) for line in path.read_text().splitlines()]
ANY_LINE = st.one_of(
    TYPED,
    VALUES.map(json.dumps),
    st.text(),
    st.builds(mangled, st.sampled_from(LINES), st.integers(min_value=0, max_value=5000)),
)


@pytest.mark.parametrize("agent", registry.NAMES)
@given(lines=st.lists(ANY_LINE, max_size=6), code=st.sampled_from([0, 1, 42, 53, 143, -9, -2]))
def test_no_line_breaks_a_parser_or_what_follows(agent: str, lines: list[str], code: int) -> None:
    adapter = registry.load(agent)
    turn = Turn()
    for line in lines:
        for event in adapter.parse(line):
            turn = outcomes.fold(turn, event, NOW)
    outcomes.hopeless(turn, NOW)
    outcome = base.ending(adapter, code, turn, "\n".join(lines), NOW)
    assert outcome.kind in outcomes.CONSEQUENCES and outcome.message
    assert len(repr(turn)) < 60_000


def test_deeply_nested_json_is_no_event() -> None:
    assert registry.load("claude").parse('{"a":' * 100_000) == []


# The texts of what failed


def fold(agent: str, *lines: object) -> Turn:
    turn = Turn()
    for line in lines:
        for event in registry.load(agent).parse(json.dumps(line)):
            turn = outcomes.fold(turn, event, NOW)
    return turn


BWRAP = "bwrap: execvp codex-linux-sandbox: No such file or directory"


def codex_item(status: str, **fields: object) -> dict[str, object]:
    item = {"id": "1", "type": "command_execution", "status": status, **fields}
    return {"type": "item.completed", "item": item}


@pytest.mark.parametrize(
    ("agent", "line"),
    [
        ("codex", codex_item("failed", aggregated_output=f"a\n{BWRAP}\n\n")),
        (
            "codex",
            {
                "type": "item.completed",
                "item": {
                    "id": "1",
                    "type": "mcp_tool_call",
                    "status": "failed",
                    "error": {"message": BWRAP},
                },
            },
        ),
        (
            "claude",
            {
                "type": "user",
                "message": {
                    "content": [
                        {
                            "type": "tool_result",
                            "content": f"Exit code 1\n{BWRAP}",
                            "is_error": True,
                        }
                    ]
                },
            },
        ),
        (
            "claude",
            {
                "type": "user",
                "message": {
                    "content": [
                        {
                            "type": "tool_result",
                            "content": [{"type": "text", "text": BWRAP}],
                            "is_error": True,
                        }
                    ]
                },
            },
        ),
        (
            "opencode",
            {
                "type": "tool_use",
                "part": {
                    "tool": "bash",
                    "callID": "1",
                    "state": {"status": "error", "error": BWRAP},
                },
            },
        ),
        ("gemini", {"type": "tool_result", "tool_id": "1", "status": "error", "output": BWRAP}),
        (
            "gemini",
            {"type": "tool_result", "tool_id": "1", "status": "error", "error": {"message": BWRAP}},
        ),
        ("command", {"type": "tool_end", "id": "1", "text": BWRAP, "is_error": True}),
    ],
)
def test_what_a_tool_that_failed_said_is_kept(agent: str, line: dict[str, object]) -> None:
    """In the log, and where nothing worked in why the turn ended."""
    (end,) = (
        event for event in registry.load(agent).parse(json.dumps(line)) if event.kind == "tool_end"
    )
    assert end.is_error and BWRAP in end.text
    outcome = base.ending(registry.load("command"), 0, fold(agent, line), "", NOW)
    assert outcome == Outcome(
        "ended", f"the agent ended its turn; nothing that it ran worked: {BWRAP}"
    )
    shown = [each.text for each in Rendering(registry.load(agent).parse).lines(json.dumps(line), 0)]
    assert shown[-1].strip() == BWRAP


def test_a_command_that_failed_among_others_is_no_reason() -> None:
    failed, fine = codex_item("failed", aggregated_output="no match"), codex_item("completed")
    for lines in ([failed, fine], [fine, failed]):
        assert not fold("codex", *lines).fault


@pytest.mark.parametrize(
    ("stderr", "expected"),
    [
        (
            "error: unexpected argument '--no-such-flag-xyz' found\n\nUsage: codex exec\n\n"
            "For more information, try '--help'.\n",
            "error: unexpected argument '--no-such-flag-xyz' found",
        ),
        (
            "node:internal\n\nError: Cannot find module 'x'\n    at y\n",
            "Error: Cannot find module 'x'",
        ),
        ("Traceback (most recent call last):\n  x\nValueError: no\n", "ValueError: no"),
        ("thinking\nfatal: not a repository\nbye\n", "fatal: not a repository"),
        ("one\ntwo\n\n", "two"),
        ("", "no message"),
    ],
)
def test_the_line_of_stderr_that_says_why(stderr: str, expected: str) -> None:
    outcome = base.ending(registry.load("codex"), 2, Turn(), stderr, NOW)
    assert outcome == Outcome("crashed", f"the agent ended with exit code 2: {expected}")


def test_why_a_tool_was_denied_is_said_once() -> None:
    why = "This command uses the & background operator, which defers execution"
    denial = {
        "type": "system",
        "subtype": "permission_denied",
        "tool_name": "Bash",
        "decision_reason": "rule",
        "message": why,
    }
    result = {
        "type": "result",
        "permission_denials": [{"tool_name": "Bash"}, {"tool_name": "Edit"}],
    }
    turn = fold("claude", denial, denial, result)
    assert turn.denied == (f"Bash ({why})", "Edit")
    del denial["message"]
    assert fold("claude", denial).denied == ("Bash (rule)",)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"type":"assistant","message":{"content":[{"type":"text","text":"Hello"}]}}', "Hello"),
        ('{"level":"info","msg":" up "}', "up"),
        ('{"a":1}', "(JSON)"),
        ('{"type":"result","result":"Done."}', "Done."),
        ("no { JSON", "no { JSON"),
        ("{}", "{}"),
    ],
)
def test_json_of_another_shape_is_shown_by_the_text_in_it(line: str, expected: str) -> None:
    assert registry.load("command").parse(line) == [Event("text", expected)]
