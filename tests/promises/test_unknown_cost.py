"""What a launch has cost when its agent does not say it in words that we understand: unknown, never nothing."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from issue_orch.agents import registry
from issue_orch.commands.costs import lines, summary
from issue_orch.core import outcomes, prices
from issue_orch.core.outcomes import Event, Turn
from issue_orch.core.prices import Prices, Usage
from issue_orch.store import ledger
from issue_orch.store.files import iso
from issue_orch.store.ledger import Ceilings
from tests.kit.scene import COMPLETE, Scene

NOW = 1_800_000_000.0
TODAY = iso(NOW)[:10]
PRICES = Prices(1.0, 1.0)
ENDLESS = "report working\nexec tail -f /dev/null > /dev/null\n"


def configure(
    scene: Scene, agent: str = "mine", limits: str = "total = 0.01", prices: bool = True
) -> None:
    """`agent` is the scripted one, run by its adapter."""
    config = scene.config.partition("agent = ")[0].replace("max_workers = 9", "max_workers = 1")
    own = f'[agents.{agent}]\ncommand = ["{scene.folder}/agent"]\n'
    own += (
        f'resume = ["{scene.folder}/agent"]\n' * (agent == "mine")
        + "prices = { input = 1.0, output = 1.0 }\n" * prices
    )
    scene.config = f'{config}agent = "{agent}"\n[github]\nbase_url = "{scene.sandbox.base_url}"\n[budget]\n{limits}\n{own}'
    scene.write_config()


def printing(*lines: str) -> str:
    return "".join(f"cat <<'END'\n{line}\nEND\n" for line in lines)


def usage(**fields: Any) -> str:
    return json.dumps({"type": "usage", "scope": "call", **fields})


def booked(scene: Scene, number: int) -> list[float | None]:
    path = scene.state / "ledger" / f"{number}.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [line["usd"] for line in lines if line["kind"] == "cost"]


def run_one(scene: Scene, body: str) -> int:
    scene.agent(body)
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.wait_status(number, "complete", "stuck")
    return number


def check_held(scene: Scene, known: str = "?") -> None:
    """Nothing more is launched, and every command says why and how to go on."""
    other = str(scene.issue())
    refused = scene.orch("spawn", other)
    said = "a budget of $0.01 in total is set, and the cost of 1 bookings is not known"
    assert refused.code == 1 and said in refused.err and "next: issue-orch costs" in refused.err, (
        refused
    )
    assert "budget.allow_unknown = true" in refused.err and "raise the budget" not in refused.err
    assert said in scene.orch("run", "--once").err and not scene.status(int(other))
    text = scene.orch("costs", check=True).out
    assert f"${known:>9}  in total of $0.01" in text and "$     0.00" not in text, text
    assert "and 1 bookings of unknown cost" in text
    shown = json.loads(scene.orch("costs", "--json", check=True).out)
    assert shown["total"]["unknown"] == 1
    if known == "?":
        assert [row["usd"] for row in shown["issues"] if row["unknown"]] == [None], shown
        assert shown["total"]["usd"] is shown["total"]["today"] is None and set(
            shown["agents"].values()
        ) == {None}


# -- what an agent says


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ['{"type":"usage","usd":1e999,"scope":"call"}'],
        ['{"type":"usage","input_tokens":0,"output_tokens":0}'],
        [f'{{"type":"usage","usd":{"9" * 5000}}}'],
    ],
)
def test_a_run_without_a_cost_that_is_understood_holds_with_a_ceiling(
    scene: Scene, lines: list[str]
) -> None:
    configure(scene)
    number = run_one(scene, printing(*lines) + COMPLETE)
    assert scene.status(number)["cost"]["usd"] is None and booked(scene, number) == [None]
    check_held(scene)
    configure(scene, limits="total = 0.01\nallow_unknown = true")
    assert scene.status(run_one(scene, COMPLETE))["status"] == "complete", "as the message says"
    scene.check_invariants()


def test_a_call_that_is_not_understood_after_one_that_is(scene: Scene) -> None:
    configure(scene)
    first, second = usage(usd=0.004, input_tokens=10, output_tokens=1), usage(usd="0.004")
    number = run_one(scene, printing(first, second, usage(usd=0.002)) + COMPLETE)
    assert [each and round(each, 6) for each in booked(scene, number)] == [0.004, 0.002, None]
    assert scene.status(number)["cost"]["usd"] == pytest.approx(0.006), "what is known"
    check_held(scene, "0.01")


@pytest.mark.wide(3)
@pytest.mark.parametrize(
    ("agent", "lines"),
    [
        ("claude", []),
        (
            "claude",
            [
                '{"type":"assistant","message":{"id":"m","content":[{"type":"text","text":"hello"}],'
                '"usage":{"input_tokens":10,"output_tokens":1}}}',
                '{"type":"renamed.result","subtype":"success","total_cost_usd":0.5}',
            ],
        ),
        (
            "codex",
            [
                '{"type":"thread.started","thread_id":"t"}',
                '{"type":"renamed.turn.completed","usage":{"input_tokens":9}}',
            ],
        ),
        (
            "codex",
            [
                '{"type":"thread.started","thread_id":"t"}',
                '{"type":"turn.completed","usage":{"prompt_tokens":9}}',
            ],
        ),
        ("opencode", ['{"type":"step_start","sessionID":"s"}']),
        ("gemini", ['{"type":"init","session_id":"s"}', '{"type":"result","status":"success"}']),
    ],
)
def test_a_version_of_an_agent_that_renamed_its_usage(
    scene: Scene, agent: str, lines: list[str]
) -> None:
    configure(scene, agent)
    number = run_one(scene, printing(*lines) + COMPLETE)
    assert booked(scene, number)[-1] is None
    refused = scene.orch("spawn", str(scene.issue()))
    assert refused.code == 1 and "the cost of 1 bookings is not known" in refused.err


REFUSED: tuple[Any, ...] = (float("nan"), float("inf"), -1, -0.01, "3", True, [1], {}, 10**13)


@pytest.mark.wide(12)
@pytest.mark.parametrize("value", REFUSED)
@pytest.mark.parametrize(
    ("agent", "line"),
    [
        ("command", '{"type":"usage","usd":@,"input_tokens":5,"output_tokens":5,"scope":"call"}'),
        ("command", '{"type":"usage","usd":@,"scope":"session"}'),
        (
            "claude",
            '{"type":"result","subtype":"success","total_cost_usd":@,"modelUsage":{"m":{"inputTokens":5,"outputTokens":5}}}',
        ),
        (
            "opencode",
            '{"type":"step_finish","part":{"reason":"stop","cost":@,"tokens":{"input":5,"output":5}}}',
        ),
    ],
)
def test_dollars_that_are_refused_are_unknown_whatever_the_tokens(
    agent: str, line: str, value: Any
) -> None:
    seen = read(agent, line.replace("@", json.dumps(value)))
    assert not outcomes.told(seen, 0, booked=True)


@pytest.mark.wide(20)
@pytest.mark.parametrize("value", [*REFUSED[:-1], 10**16, None])
@pytest.mark.parametrize(
    ("agent", "line"),
    [
        ("command", '{"type":"usage","input_tokens":@,"output_tokens":5}'),
        ("command", '{"type":"usage","input_tokens":5,"output_tokens":@,"scope":"call"}'),
        ("codex", '{"type":"turn.completed","usage":{"input_tokens":5,"output_tokens":@}}'),
        (
            "gemini",
            '{"type":"result","status":"success","stats":{"input_tokens":@,"output_tokens":5}}',
        ),
        (
            "opencode",
            '{"type":"step_finish","part":{"reason":"stop","tokens":{"input":5,"output":@}}}',
        ),
        (
            "claude",
            '{"type":"result","subtype":"success","modelUsage":{"m":{"inputTokens":5,"outputTokens":@}}}',
        ),
    ],
)
def test_tokens_that_cannot_be_priced_whole_are_unknown(agent: str, line: str, value: Any) -> None:
    assert not outcomes.told(read(agent, line.replace("@", json.dumps(value))), 0, booked=False)


@pytest.mark.parametrize(
    "line",
    [
        usage(scope="turn", usd=0.5),
        usage(scope=["call"], usd=0.5),
        usage(input_tokens=5, output_tokens=5, cached_tokens=10**9),
    ],
)
def test_a_usage_that_makes_no_sense_is_unknown(line: str) -> None:
    assert read("command", line).unknown


def test_calls_are_priced_one_by_one() -> None:
    """Dollars of one call say nothing of the tokens of the next."""
    seen = read(
        "command", usage(usd=0.5), usage(input_tokens=10**6, output_tokens=1), prices=PRICES
    )
    assert seen.usage and seen.usage.usd == pytest.approx(1.500001) and not seen.unknown
    seen = read(
        "command", usage(usd=0.5), usage(input_tokens=10**6, output_tokens=1), usage(usd=0.25)
    )
    assert seen.usage and seen.usage.usd == 0.75 and seen.unknown, "without prices"
    free = '{"type":"step_finish","part":{"reason":"stop","cost":0,"tokens":{"input":1000000,"output":1}}}'
    seen = read("opencode", free, prices=PRICES)
    assert seen.usage and seen.usage.usd == pytest.approx(1.000001), (
        "opencode says 0 for models that it has no price of"
    )


def test_a_later_reading_of_the_whole_makes_up_for_one_that_was_refused() -> None:
    lines = [
        '{"type":"usage","usd":NaN,"scope":"process"}',
        '{"type":"usage","usd":0.5,"scope":"process"}',
    ]
    assert outcomes.told(read("command", *lines), 0, booked=True)
    assert not outcomes.told(read("command", *reversed(lines)), 0, booked=True)


def test_an_open_call_of_opencode_is_unknown() -> None:
    start = '{"type":"step_start","sessionID":"s"}'
    done = '{"type":"step_finish","part":{"reason":"tool-calls","cost":0.5,"tokens":{"input":5,"output":5}}}'
    assert outcomes.told(read("opencode", start, done), -9, booked=True)
    assert not outcomes.told(read("opencode", start, done, start), -9, booked=True)


def test_an_error_of_claude_that_cost_nothing_is_known_and_resets_nothing() -> None:
    result = '{"type":"result","subtype":"error_during_execution","is_error":true,"total_cost_usd":0,"modelUsage":{}}'
    seen = read("claude", result)
    assert outcomes.told(seen, 1, booked=False)
    before = Usage("session", 0.5, 100, 10)
    assert seen.usage and prices.book(before, seen.usage)[1].usd == 0


@pytest.mark.parametrize(
    ("before", "reading", "delta"),
    [
        (Usage("session", 0.5, 0, 0), Usage("session", 0.2, 0, 0), 0.2),
        (Usage("session", 0.5, 100, 0), Usage("session", 0.2, 150, 0), 0.2),
        (Usage("rough", 0.5, 100, 0), Usage("session", 0.4, 150, 0), 0.0),
    ],
)
def test_dollars_that_go_down_are_a_new_count_unless_they_were_estimated(
    before: Usage, reading: Usage, delta: float
) -> None:
    assert prices.book(before, reading)[1].usd == delta


def test_after_a_reading_without_dollars_the_last_that_had_some_counts() -> None:
    reading, delta = prices.book(Usage("session", 0.5, 100, 0), Usage("session", None, 200, 0))
    assert delta.usd is None
    assert prices.book(reading, Usage("session", 0.75, 300, 0))[1].usd == 0.25


def test_prices_beyond_all_measure_make_it_unknown() -> None:
    assert prices.price(Usage("call", None, 10**15, 1), Prices(1e300, 1e300)).usd is None


def read(agent: str, *lines: str, prices: Prices | None = None) -> Turn:
    turn = Turn()
    for line in lines:
        found: list[Event] = registry.load(agent).parse(line)
        for event in found:
            turn = outcomes.fold(turn, event, NOW, prices)
    return turn


# -- how a launch ends


def crashed(scene: Scene, number: int) -> None:
    scene.wait(lambda: scene.events(number, "exit"), what="it has ended")


def kill_agent(scene: Scene, number: int) -> None:
    for pid in scene.workers():
        os.kill(pid, signal.SIGKILL)


def kill_supervisor(scene: Scene, number: int) -> None:
    for pid in scene.supervisors():
        os.kill(pid, signal.SIGKILL)
    scene.wait(lambda: not scene.supervisors(), what="it is gone")
    assert "over its budget" in scene.orch("resume", str(number)).out


def stop(scene: Scene, number: int) -> None:
    scene.orch("stop", str(number), check=True)


def interrupt(scene: Scene, number: int) -> None:
    scene.orch("tell", "--now", str(number), "use tabs")


@pytest.mark.wide(3)
@pytest.mark.parametrize(
    ("body", "end"),
    [
        ("exit 1\n", crashed),
        ("exit 127\n", crashed),
        ("kill -9 $$\n", crashed),
        (ENDLESS, kill_agent),
        (ENDLESS, kill_supervisor),
        (ENDLESS, stop),
        (ENDLESS, interrupt),
    ],
)
def test_however_a_launch_ends(scene: Scene, body: str, end: Callable[[Scene, int], None]) -> None:
    configure(scene)
    scene.agent(body)
    number = scene.issue()
    scene.orch("spawn", str(number))
    if body == ENDLESS:
        scene.wait(lambda: scene.status(number)["status"] == "working", what="it is at work")
    end(scene, number)
    scene.wait_quiet()
    assert booked(scene, number) == [None] and scene.status(number)["cost"]["usd"] is None
    assert len(scene.events(number, "started")) == 1, "it is not tried again"
    check_held(scene)
    held = scene.orch("resume", str(number)).out
    assert "still over its budget" in held and "is not known (budget.allow_unknown = true" in held
    assert "is not known (budget.allow_unknown = true" in " ".join(
        scene.orch("show", str(number)).out.split()
    )
    assert len(scene.events(number, "started")) == 1 and booked(scene, number) == [None], (
        "counted once"
    )
    scene.check_invariants()


def test_what_the_log_still_has_of_a_lost_run_is_known(scene: Scene) -> None:
    configure(scene)
    scene.agent(printing(usage(usd=0.002, input_tokens=1, output_tokens=1)) + ENDLESS)
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.wait(lambda: scene.status(number)["status"] == "working", what="it is at work")
    for pid in scene.supervisors():
        os.kill(pid, signal.SIGKILL)
    scene.wait(lambda: not scene.supervisors(), what="it is gone")
    (scene.state / "ledger" / f"{number}.jsonl").write_text("")  # killed between log and ledger
    scene.agent(printing(usage(usd=0.003)) + COMPLETE)
    scene.orch("resume", str(number), check=True)
    assert scene.wait_status(number, "complete")["cost"]["usd"] == pytest.approx(0.005)
    assert booked(scene, number) == [0.002, 0.003]


def test_a_launch_whose_pid_was_never_written_is_unknown(scene: Scene) -> None:
    """Killed between the start of the agent and the note of it: nobody can tell any more."""
    configure(scene)
    number = run_one(
        scene,
        printing(usage(usd=0.002)) + 'report stuck --decision "Which?" --option a --option b\n',
    )
    change(scene, number, attempt=2, agentProcess={"pid": None, "exitCode": None})
    scene.orch("answer", str(number), "a")
    scene.wait_quiet()
    assert booked(scene, number) == [0.002, None] and len(scene.events(number, "started")) == 1


def change(scene: Scene, number: int, **fields: Any) -> None:
    path = scene.state / "sessions" / str(number) / "status.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


# -- what is no launch, and what costs nothing


def test_an_agent_that_never_started_has_cost_nothing(scene: Scene) -> None:
    configure(scene)
    number = scene.issue()
    agent = scene.folder / "agent"
    agent.write_text("#!/no/such/interpreter\n")
    assert scene.orch("spawn", str(number)).code == 1
    scene.wait_quiet()
    assert booked(scene, number) == []
    scene.agent(printing(usage(usd=0.002)) + COMPLETE)
    scene.orch("spawn", str(number))
    scene.orch("resume", str(number))
    scene.wait_status(number, "complete")
    assert booked(scene, number) == [0.002]


def test_a_push_that_is_repeated_is_no_launch(scene: Scene) -> None:
    configure(scene)
    scene.gate("go")
    scene.agent("await go\n" + printing(usage(usd=0.002)) + COMPLETE)
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.lose_sign_in()
    scene.release("go")
    scene.wait(lambda: scene.status(number)["publish"], what="publishing is pending")
    scene.wait_quiet()
    scene.orch("resume", str(number))
    scene.wait_quiet()
    assert booked(scene, number) == [0.002] and len(scene.events(number, "started")) == 1


def test_an_agent_that_says_that_it_cost_nothing_is_believed(scene: Scene) -> None:
    configure(scene)
    number = run_one(scene, printing(usage(usd=0)) + COMPLETE)
    assert booked(scene, number) == [0.0] and scene.status(number)["cost"]["usd"] == 0
    scene.orch("spawn", str(scene.issue()), check=True)
    scene.wait_quiet()


def test_the_same_issue_again_is_booked_whole(scene: Scene) -> None:
    """The ledger outlives the session; its first attempt is another one."""
    configure(scene, limits="total = 5")
    body = printing('{"type":"usage","usd":0.5,"input_tokens":10,"output_tokens":1}') + COMPLETE
    number = run_one(scene, body)
    scene.orch("cancel", str(number), check=True)
    scene.orch("prune", str(number), "--cancelled", check=True)
    scene.sandbox.person.close_pull(next(iter(scene.sandbox.pulls)))
    scene.orch("spawn", str(number), "--reuse", "--yes", check=True)
    scene.wait_status(number, "complete", "stuck")
    assert booked(scene, number) == [0.5, 0.5]


def test_without_a_ceiling_unknown_is_shown_and_holds_nothing(scene: Scene) -> None:
    configure(scene, limits="")
    number, other = run_one(scene, COMPLETE), run_one(scene, COMPLETE)
    text = scene.orch("costs", check=True).out
    assert (
        f"  $        ?  #{number:<6} A task  (its agent reported nothing)  + 1 bookings of unknown cost\n"
        in text
    )
    assert "0.00" not in text and f"#{other}" in text
    assert scene.status(other)["cost"]["usd"] is None


# -- ledgers


def test_a_ledger_of_before_keeps_its_meaning(state: Path) -> None:
    """An older version wrote only the reservation of an attempt whose agent said nothing."""
    ledger.reserve_line(state, 1, NOW, 1, 5.0)
    ledger.reserve_line(state, 1, NOW, 1, None)
    room = ledger.room(state, 2, Ceilings(total=1.0), NOW)
    assert room is not None and room.usd == 1.0
    found = summary(ledger.booked_all(state), Ceilings(total=1.0), TODAY)
    assert found["issues"][0]["usd"] is found["total"]["usd"] is found["total"]["today"] is None
    assert "0.00" not in "\n".join(lines(found, {})).replace("$1.00", "")


def test_known_and_unknown_stand_beside_each_other(state: Path) -> None:
    day = 86_400.0
    ledger.book_line(state, 1, NOW - day, 1, "claude", "c", Usage("call", 0.25, 10, 1), None)
    ledger.book_line(state, 1, NOW, 2, "codex", "c", Usage("call", None, 10, 1), None)
    ledger.book_line(state, 2, NOW, 1, "codex", "c", Usage("call", None, 0, 0), None)
    ledger.book_line(state, 3, NOW, 1, "codex", "c", Usage("call", 0.001, 0, 0), None)
    found = summary(ledger.booked_all(state), Ceilings(), TODAY)
    assert [(row["usd"], row["unknown"]) for row in found["issues"]] == [
        (0.25, 1),
        (None, 1),
        (0.001, 0),
    ]
    assert found["agents"] == {"claude": 0.25, "codex": 0.001} and found["total"]["unknown"] == 2
    text = "\n".join(lines(found, {}))
    assert "0.00" not in text and "$    <0.01  #3" in text


def test_an_estimate_of_an_older_version_is_known_as_one(state: Path) -> None:
    ledger.book_line(
        state,
        1,
        NOW,
        1,
        "claude",
        "claude:s",
        Usage("session", 0.5, 10, 1),
        Usage("session", 0.5, 10, 1),
        True,
    )
    assert ledger.readings(state, 1)["claude:s"].scope == "rough"


def test_doctor_says_what_is_unknown_where_it_holds(scene: Scene) -> None:
    configure(scene)
    run_one(scene, COMPLETE)
    found = {row["name"]: row for row in json.loads(scene.orch("doctor", "--json").out)["checks"]}
    assert (
        found["ledger"]["state"] == "warning"
        and "the cost of 1 bookings is not known" in found["ledger"]["text"]
    )
    assert "budget.allow_unknown = true" in found["ledger"]["mend"]


@pytest.mark.parametrize("agent", ["mine", "codex", "gemini"])
def test_an_agent_that_cannot_say_is_named_before_its_first_launch(
    scene: Scene, agent: str
) -> None:
    configure(scene, agent, prices=False)
    for words in (("doctor",), ("init",), ("spawn", str(scene.issue()))):
        ran = scene.orch(*words)
        assert f"a budget is set, and {agent} does not report what it costs" in ran.out + ran.err, (
            words
        )
        assert (
            f"set prices for [agents.{agent}], or budget.allow_unknown = true" in ran.out + ran.err
        )
    assert "does not report what it costs" in scene.orch("run", "--once").err and not list(
        (scene.state / "ledger").iterdir()
    )
