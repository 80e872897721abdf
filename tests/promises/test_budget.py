"""The ceiling: what is booked and reserved, what is refused, and how work holds and goes on."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from issue_orch.core.prices import Usage
from issue_orch.store import ledger
from issue_orch.store.leases import take
from issue_orch.store.ledger import Ceilings
from tests.kit.fleet import COST, booked
from tests.kit.scene import Scene

NOW = 1_800_000_000.0
DAY = 86_400.0
PAID = """\
printf '{"type":"usage","usd":@,"input_tokens":100,"output_tokens":10,"scope":"call"}\\n'
"""


def spend(state: Path, number: int, usd: float | None, now: float = NOW) -> None:
    ledger.book_line(state, number, now, 1, "claude", "c", Usage("call", usd, 10, 1), None)


def budget(scene: Scene, **limits: float | bool) -> None:
    lines = "".join(
        f"{name} = {str(value).lower()}\n"
        for name, value in {"allow_unknown": True, **limits}.items()
    )
    scene.config = scene.config.partition("[budget]")[0] + f"[budget]\n{lines}"
    scene.write_config()


def paid(usd: float, then: str) -> str:
    return PAID.replace("@", str(usd)) + then


COMPLETE = 'commit "work-$issue.txt"\nreport complete --title "Solve #$issue"\n'


@pytest.mark.parametrize(
    ("ceilings", "left"),
    [
        (Ceilings(), None),
        (Ceilings(total=10.0), 6.0),
        (Ceilings(per_issue=2.5), 1.5),
        (Ceilings(per_day=5.0), 2.0),
        (Ceilings(10.0, 2.5, 5.0), 1.5),
        (Ceilings(total=4.0), 0.0),
        (Ceilings(total=3.0), -1.0),
    ],
)
def test_the_tightest_ceiling_counts(state: Path, ceilings: Ceilings, left: float | None) -> None:
    spend(state, 1, 1.0)
    spend(state, 2, 2.0)
    spend(state, 2, 1.0, NOW - DAY)
    room = ledger.room(state, 1, ceilings, NOW)
    assert (room and room.usd) == left


def test_many_small_costs_reach_the_ceiling_exactly(state: Path) -> None:
    for _ in range(10):
        spend(state, 1, 0.1)
    room = ledger.room(state, 2, Ceilings(total=1.0), NOW)
    assert room is not None and room.usd == 0


@pytest.mark.parametrize(
    "line",
    [
        '{"at": "2027',
        "[]",
        '{"kind": "cost", "usd": null, "at": "2027-01-15T08:00:00Z"}',
        '{"kind": "cost", "usd": NaN}',
        '{"kind": "cost", "usd": "3"}',
        '{"kind": "cost", "usd": -3}',
        '{"kind": "gift", "usd": 0}',
        "\x00\x00",
    ],
)
def test_what_cannot_be_read_is_unknown_and_never_zero(state: Path, line: str) -> None:
    spend(state, 1, 1.0)
    with open(ledger.ledger_path(state, 1), "a") as file:
        file.write(line)
    spend(state, 1, 2.0)
    found = ledger.booked(state, 1)
    assert (found.usd, found.unknown) == (3.0, 1), "the lines around it stay whole"
    room = ledger.room(state, 2, Ceilings(total=100.0), NOW)
    assert room is not None and room.usd == 0 and "not known" in room.why
    room = ledger.room(state, 2, Ceilings(total=100.0, allow_unknown=True), NOW)
    assert room is not None and room.usd == 97
    assert ledger.room(state, 2, Ceilings(per_issue=5.0), NOW).usd == 5, "of another issue"  # type: ignore[union-attr]


def test_an_unknown_cost_of_yesterday_does_not_hold_today(state: Path) -> None:
    spend(state, 1, None, NOW - DAY)
    assert ledger.room(state, 1, Ceilings(per_day=5.0), NOW).usd == 5  # type: ignore[union-attr]
    spend(state, 1, None)
    assert ledger.room(state, 1, Ceilings(per_day=5.0), NOW).usd == 0  # type: ignore[union-attr]


def test_the_ceiling_of_a_day_holds_when_the_clock_is_set_back(state: Path) -> None:
    spend(state, 1, 4.0, NOW + DAY)
    assert ledger.room(state, 1, Ceilings(per_day=5.0), NOW).usd == 1  # type: ignore[union-attr]


def test_a_hold_of_yesterday_ends_with_the_day(scene: Scene) -> None:
    budget(scene, per_day=0.1)
    scene.agent(paid(0.2, "echo half > .issue-orch/half.txt\n"))
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.wait(lambda: scene.status(number)["hold"] == "budget")
    scene.wait_quiet()
    scene.agent(COMPLETE)
    scene.orch("run", "--once", check=True)
    assert scene.status(number)["hold"] == "budget", "it is the same day"
    for path in (
        scene.state / "ledger" / f"{number}.jsonl",
        scene.state / "sessions" / str(number) / "events.jsonl",
    ):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text(
            "".join(json.dumps({**line, "at": "2025-01-01T00:00:00Z"}) + "\n" for line in lines)
        )
    said = scene.orch("run", "--once", check=True)
    assert f"#{number} has a new day's budget: taken up again" in said.err
    assert scene.wait_status(number, "complete")["hold"] is None
    scene.check_invariants()


def test_a_reservation_counts_while_somebody_is_at_work(state: Path) -> None:
    ceilings = Ceilings(total=10.0)
    with take(state, 1, "supervisor"):
        ledger.reserve(state, 1, 1, ceilings, 2, NOW)
        room = ledger.room(state, 2, ceilings, NOW)
        assert room is not None and room.usd == 5, "an equal part for each of two places"
        spend(state, 1, 7.0)
        room = ledger.room(state, 2, ceilings, NOW)
        assert room is not None and room.usd == 3, "what was spent is not counted twice"
    ledger.reserve(state, 1, 2, ceilings, 1, NOW)
    room = ledger.room(state, 2, ceilings, NOW)
    assert room is not None and room.usd == 3, (
        "killed between its reservation and its start, it holds nothing back"
    )


def test_reservations_at_once_never_exceed_what_is_left(state: Path) -> None:
    ceilings, parts = Ceilings(total=1.0), list[float]()
    leases = [take(state, number, "supervisor") for number in range(1, 9)]

    def start(number: int) -> None:
        with take(state, "admission", "budget", wait=30):
            room = ledger.reserve(state, number, 1, ceilings, 3, NOW)
        assert room is not None
        parts.append(room.usd)

    threads = [threading.Thread(target=start, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    granted = [part for part in parts if part > 0]
    assert len(parts) == 8 and len(granted) == 3 and sum(granted) <= 1.0 + 1e-6
    for lease in leases:
        lease.release()


def test_warnings_at_75_and_90_per_cent(state: Path) -> None:
    ceilings = Ceilings(total=10.0, per_issue=20.0)
    spend(state, 1, 7.4)
    assert ledger.warnings(state, ceilings, NOW) == []
    spend(state, 1, 0.1)
    assert [key for key, _ in ledger.warnings(state, ceilings, NOW)] == ["in total 75"]
    spend(state, 1, 1.6)
    assert ledger.warnings(state, ceilings, NOW) == [
        ("in total 90", "$9.10 of the budget of $10.00 in total are spent")
    ]


def test_at_the_ceiling_a_worker_holds_at_the_end_of_its_turn_and_nothing_starts(
    scene: Scene,
) -> None:
    budget(scene, total=0.1)
    scene.agent(paid(0.2, "echo half > .issue-orch/half.txt\n"))
    number, other = scene.issue(), scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.wait(lambda: scene.status(number)["hold"] == "budget")
    scene.wait_quiet()
    assert scene.events(number, "exit")[-1]["outcome"] == "ended", "its turn went to its end"
    assert (scene.worktree(number) / ".issue-orch" / "half.txt").exists()
    refused = scene.orch("spawn", str(other))
    assert refused.code == 1 and "budget of $0.10 in total is used up: $0.20 spent" in refused.err
    assert not scene.status(other)
    again = scene.orch("resume", str(number))
    assert "still over its budget" in again.out and len(scene.events(number, "started")) == 1
    scene.agent(paid(0.2, COMPLETE))
    budget(scene, total=1.0)
    assert "resumed" in scene.orch("resume", str(number), check=True).out
    assert scene.wait_status(number, "complete")["cost"]["usd"] == pytest.approx(0.4)
    scene.check_invariants()


def test_the_ceiling_holds_for_workers_that_start_at_once(scene: Scene) -> None:
    budget(scene, total=5 * COST)
    scene.agent(
        paid(COST, "report working\n")
    )  # no end: each turn costs, and is followed by a reminder
    numbers = [str(scene.issue()) for _ in range(4)]
    scene.orch("spawn", *numbers)
    scene.wait_quiet()
    assert booked(scene) <= (5 + 4) * COST + 1e-6
    assert {scene.headline(int(number)) for number in numbers} <= {"OVER BUDGET", "STUCK"}


def test_an_agent_without_known_costs_is_refused_unless_allowed(scene: Scene) -> None:
    budget(scene, total=5, allow_unknown=False)
    number = str(scene.issue())
    refused = scene.orch("spawn", number)
    assert (
        refused.code == 1
        and "does not report what it costs" in refused.err
        and "allow_unknown" in refused.err
    )
    assert scene.orch("run", "--once").code == 0 and not scene.status(int(number))
    budget(scene, total=5, allow_unknown=True)
    scene.orch("spawn", number, check=True)
    scene.wait_status(int(number), "complete")
    assert (
        f"$        ?  #{number:<6} A task  (its agent reported nothing)"
        in scene.orch("costs", check=True).out
    )


def test_costs_as_table_and_json(scene: Scene) -> None:
    assert scene.orch("costs", check=True).out == "Nothing was booked in this clone.\n"
    budget(scene, total=1, per_issue=0.5)
    scene.agent(paid(0.25, COMPLETE))
    number = scene.issue("Add \x1b[31mexport")
    scene.orch("spawn", str(number), check=True)
    scene.wait_status(number, "complete")
    text = scene.orch("costs", check=True).out
    assert "Add export  (100 in, 10 out)" in text and "$     0.25  in total of $1.00 (25 %)" in text
    assert "at most $0.50 each" in text and "\x1b" not in text
    found = json.loads(scene.orch("costs", "--json", check=True).out)
    assert found["agents"] == {"scripted": 0.25} and list(found["days"].values()) == [0.25]
    assert found["issues"] == [
        {
            "number": number,
            "usd": 0.25,
            "reserved": 0.0,
            "unknown": 0,
            "inputTokens": 100,
            "outputTokens": 10,
        }
    ]
    scene.sandbox.person.merge(next(iter(scene.sandbox.pulls)))
    scene.orch("prune", check=True)
    assert json.loads(scene.orch("costs", "--json").out)["total"]["usd"] == 0.25, (
        "the ledger outlives the session"
    )


@pytest.mark.parametrize("words", [("tell", "go on"), ("answer", "left")])
def test_guidance_that_the_budget_holds_is_queued(scene: Scene, words: tuple[str, str]) -> None:
    """Nothing was started with it: that is said, with why and what to type."""
    ask = 'report stuck --decision "Which way?" --option left --option right\n'
    scene.agent(paid(3.0, ask if words[0] == "answer" else COMPLETE))
    budget(scene, total=2.0)
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.wait_status(number, "stuck", "complete")
    scene.wait_quiet()
    said = scene.orch(words[0], str(number), words[1], check=True).out
    assert said == (
        f"#{number}: queued: the session is over its budget; issue-orch resume {number}; what it spent: issue-orch costs\n"
    )
    assert scene.status(number)["hold"] == "budget" and not scene.supervisors()
    assert len(list(scene.folder.glob("prompt-*"))) == 1
