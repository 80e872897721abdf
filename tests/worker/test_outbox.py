"""The outbox: what its worker reported last counts, whatever else lies there; what is no report is told once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from issue_orch.core.history import Refused, Report
from issue_orch.core.record import new_status
from issue_orch.store.files import load_status, make_session, make_state, save_status, write_json
from issue_orch.store.history import load_entries
from issue_orch.worker.outbox import apply_last_reports, apply_reports, load_reports
from issue_orch.worker.session import Session
from tests.kit.scene import COMPLETE, Scene

LAUNCH = {
    "agent": {"adapter": "command", "command": ["true"], "resume": [], "prices": None},
    "budget": {},
    "slots": 1,
    "commonDir": "",
    "notify": {"command": ["true"], "urls": []},
}


class Desk:
    """A session at work, without its processes: its worktree, and its supervisor's half, as often as that is started."""

    def __init__(self, folder: Path) -> None:
        self.state, self.worktree = make_state(folder), folder / "worktree"
        self.box = self.worktree / ".issue-orch" / "outbox"
        self.box.mkdir(parents=True)
        make_session(self.state, 7)
        fields = {"status": "working", "attempt": 1, "worktreePath": str(self.worktree)}
        save_status(self.state, new_status(7, **fields))
        write_json(self.state / "sessions" / "7" / "launch.json", LAUNCH)

    def turn(self, looks: int = 0) -> Session:
        """What a new supervisor takes of a turn that ends after so many looks."""
        session = Session(self.state, 7)
        for _ in range(looks):
            apply_reports(session)
        apply_last_reports(session)
        return session

    def report(self, name: str, kind: str = "working", **fields: Any) -> None:
        (self.box / ".draft").write_text(json.dumps({"kind": kind, "attempt": 1, **fields}))
        (self.box / ".draft").rename(self.box / f"{name}.json")

    def noted(self, form: type) -> list[Any]:
        return [each for each in load_entries(self.state, 7) if isinstance(each, form)]

    @property
    def claim(self) -> dict[str, Any] | None:
        return Session(self.state, 7).counted.claim


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def plain(box: Path, count: int = 1_200) -> None:
    for number in range(count):
        (box / f"{number:06}.json").write_text("junk")


def newer(box: Path) -> None:
    plain(box)
    for path in box.glob("0*.json"):
        os.utime(path, (4_000_000_000, 4_000_000_000))


def odd_kinds(box: Path) -> None:
    for number in range(300):
        (box / f"a{number}.json").symlink_to("/dev/zero")
        os.mkfifo(box / f"b{number}.json")
        (box / f"c{number}.json" / "inner.json").mkdir(parents=True)


def odd_names(box: Path) -> None:
    for number in range(600):
        Path(os.fsdecode(os.fsencode(box) + b"/\xff%d.json" % number)).write_text("junk")
    (box / f"{'n' * 250}.json").write_text("junk")


def huge(box: Path) -> None:
    for number in range(300):
        with open(box / f"{number}.json", "wb") as file:
            file.truncate(1_000_000_000)


def shallow(box: Path) -> None:
    """JSON, and no reports."""
    for number in range(1_200):
        (box / f"{number}.json").write_text(json.dumps({"kind": "x" * number, "note": number}))


JUNK = [plain, newer, odd_kinds, odd_names, huge, shallow]


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize(("first", "looks"), [("junk", 0), ("report", 2)])
def test_the_last_report_is_read_whatever_lies_beside_it(
    desk: Desk, junk: Callable[[Path], None], first: str, looks: int
) -> None:
    steps: Sequence[Callable[[], object]] = (
        lambda: junk(desk.box),
        lambda: desk.report("1-1", "complete", title="Done"),
    )
    for step in steps if first == "junk" else reversed(steps):
        step()
    lying = len(os.listdir(desk.box)) - 1
    for _ in range(3):  # supervisors
        desk.turn(looks)
    assert desk.claim == {"title": "Done"}
    [refused] = desk.noted(Refused)
    assert str(lying) in refused.reason and len(refused.reason) < 400
    left = os.listdir(desk.box)
    assert len(left) == lying and all(name.startswith(".refused-") for name in left)


def test_of_very_many_reports_the_last_ones_count(desk: Desk) -> None:
    for number in range(1_000):
        desk.report(f"{number:05}", note=f"step {number}")
    desk.report("9", "complete", title="Done")
    desk.turn()
    assert desk.claim == {"title": "Done"}
    assert len(desk.noted(Report)) == 200
    assert [each.reason for each in desk.noted(Refused)] == [
        "801 files: more than 200 reports were left (801)"
    ]


def test_a_question_is_not_lost_to_notes_that_come_after_it(desk: Desk) -> None:
    desk.report("0", "stuck", decision="Left or right?")
    for number in range(250):
        desk.report(f"1-{number:03}", note="chatter")
    desk.turn()
    status = load_status(desk.state, 7)
    assert status and status["status"] == "stuck" and status["stuckReason"] == "Left or right?"


def test_a_file_that_was_not_finished_counts_when_it_is(desk: Desk) -> None:
    """A worker that writes its report in place; and one that writes it again under the name of one that was refused."""
    path, session = desk.box / "mine.json", Session(desk.state, 7)
    path.write_text('{"kind": "work')
    apply_reports(session)
    path.write_text('{"kind": "working", "note": "half way"}')
    apply_reports(session)
    apply_last_reports(session)
    assert [each.fields for each in desk.noted(Report)] == [{"note": "half way"}]
    assert not desk.noted(Refused)
    for text in ("junk", '{"kind": "complete", "title": "Done"}'):
        path.write_text(text)
        desk.turn()
    assert desk.claim == {"title": "Done"}
    assert [each.reason for each in desk.noted(Refused)] == ["not JSON"]


@pytest.mark.parametrize("what", ["a link", "a file", "nothing"])
def test_an_outbox_that_is_no_folder_is_told_once(desk: Desk, what: str) -> None:
    desk.box.rename(desk.worktree / "elsewhere")
    if what == "a link":
        desk.box.symlink_to(desk.worktree / "elsewhere")
    elif what == "a file":
        desk.box.write_text("junk")
    for _ in range(3):
        desk.turn(2)
    reasons = {"a link": "it is a symbolic link", "a file": "Not a directory"}
    told = [f"the outbox cannot be read: {reasons[what]}"] if what in reasons else []
    assert [each.reason for each in desk.noted(Refused)] == told


def test_a_look_while_the_agent_runs_is_bounded(desk: Desk) -> None:
    plain(desk.box, 1_500)
    for number in range(250):
        desk.report(f"n{number:03}", note="chatter")
    session = Session(desk.state, 7)
    counts = []
    for _ in range(5):
        apply_reports(session)
        counts.append((len(session.refused), len(desk.noted(Report))))
    assert counts == [(1000, 0), (1500, 100), (1500, 200), (1500, 250), (1500, 250)]
    assert not desk.noted(Refused), "it is told of at the end of the turn"


def test_reports_come_in_the_order_in_which_they_were_written(desk: Desk) -> None:
    """Whatever their names: one by hand, one of `report`, a renamed draft, two within a tick of the file system."""
    names = ["9-by-hand", "01795818413855511134-14548", "z", "1-later", "a", "b"]
    for place, name in enumerate(names):
        (desk.box / ".draft").write_text('{"kind": "working"}')
        os.utime(desk.box / ".draft", ns=(min(place, 4), min(place, 4)))
        (desk.box / ".draft").rename(desk.box / f"{name}.json")
    found = [each for _, each in load_reports(str(desk.worktree), {})]
    assert [each.id for each in found if isinstance(each, Report)] == names


def test_junk_before_the_last_word_of_a_worker(scene: Scene) -> None:
    number = scene.issue()
    scene.agent(
        "box=$(git rev-parse --show-toplevel)/.issue-orch/outbox\n"
        'i=0; while [ $i -lt 3000 ]; do echo junk > "$box/00$i.json"; i=$((i + 1)); done\n'
        + COMPLETE
    )
    scene.orch("spawn", str(number), check=True)
    scene.wait_status(number, "complete")
    assert [each["reason"] for each in scene.events(number, "refused")] == [
        "3000 files: not JSON (3000)"
    ]
    assert "refused: 3000 files: not JSON" in scene.orch("show", str(number)).out
    scene.check_invariants()
