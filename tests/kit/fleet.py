"""A fleet for tests: many issues, a coordinator that may be killed, faults of GitHub, and a person who answers late."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.kit.scene import MayPass, Scene, make_scene

COST = 0.03  # of one turn of the fleet's agent

# Crashes, is told to wait, or asks, at its first attempt; each turn has its price.
MIXED = """\
printf '{"type":"usage","usd":%s,"input_tokens":100,"output_tokens":10,"scope":"call"}\\n' @COST@
case $((issue % 5)).$attempt in
1.1) echo "no memory" >&2; exit 1 ;;
2.1) report stuck --decision "Which way?" --option left --option right; exit 0 ;;
3.1) printf '{"type":"error","text":"too many requests, try again in 1 s"}\\n'; exit 1 ;;
esac
commit "work-$issue.txt"
report complete --title "Solve #$issue" --body "Done."
""".replace("@COST@", str(COST))


@contextmanager
def make_fleet(folder: Path, max_workers: int = 4) -> Iterator[Scene]:
    """A scene with room for so many workers at once."""
    with make_scene(folder) as scene:
        scene.config = scene.config.replace("max_workers = 9", f"max_workers = {max_workers}")
        scene.write_config()
        yield scene


def booked(scene: Scene) -> float:
    """US dollars in all ledgers, added up without the product."""
    lines = (
        json.loads(line)
        for path in scene.state.glob("ledger/*.jsonl")
        for line in path.read_text().splitlines()
    )
    return sum(line["usd"] for line in lines if line["kind"] == "cost" and line["usd"])


class Fleet:
    """A day of a fleet, at high speed. What happens is drawn from `seed`; when it happens the machine decides."""

    def __init__(self, scene: Scene, issues: int, seed: int, workers: int) -> None:
        self.scene, self.rng, self.workers = scene, random.Random(seed), workers
        self.github = scene.sandbox
        self.config, self.ceiling = scene.config, issues * COST * 0.7
        self.configure()
        scene.agent(MIXED)
        self.much = max(1, issues // 25)  # that a person does at a time
        self.numbers: list[int] = []
        for _ in range(issues):
            blockers = (
                self.rng.sample(self.numbers, 1) if self.numbers and self.rng.random() < 0.4 else []
            )
            self.add_issue(blockers)
        self.run: subprocess.Popen[str] | None = None
        self.happened: dict[str, int] = {}

    def add_issue(self, blockers: Sequence[int] = ()) -> None:
        self.numbers.append(
            self.scene.issue(body="".join(f"Depends on #{number}\n" for number in blockers))
        )

    def configure(self) -> None:
        self.ceiling = round(self.ceiling, 2)
        self.scene.config = (
            f"{self.config}[budget]\ntotal = {self.ceiling:.2f}\nallow_unknown = true\n"
        )
        self.scene.write_config()

    # -- what a person, GitHub and the machine do

    def rows(self) -> list[dict[str, Any]]:
        return list(self.scene.sessions().values())

    def labelled(self, *labels: str) -> list[int]:
        return [row["issueNumber"] for row in self.rows() if row["headline"] in labels]

    def keep_running(self) -> None:
        if self.run is None or self.run.poll() is not None:
            log = open(self.scene.folder / "run.log", "a")
            with log:
                self.run = self.scene.start("run", "--interval", "0.5", stdout=log, stderr=log)

    def kill_supervisor(self) -> bool:
        pids = self.scene.supervisors()
        if pids:
            end(self.rng.choice(pids))
        return bool(pids)

    def kill_run(self) -> bool:
        if self.run is not None:
            self.run.kill()
            self.run.wait()
        return True

    def fail_github(self) -> bool:
        if self.github.faults:
            return False
        status = self.rng.choice((502, 500, 429))
        method = self.rng.choice(("GET", "POST"))
        wait = 1 if status == 429 else None
        self.github.fail(
            method=method,
            route="/repos/.*",
            status=status,
            times=self.rng.randint(1, 3),
            retry_after=wait,
        )
        return True

    def answer(self) -> bool:
        stuck = self.labelled("STUCK")
        for number in stuck[: self.much]:
            asks = self.scene.status(number).get("question")
            self.scene.orch(*(("answer", str(number), "left") if asks else ("resume", str(number))))
        return bool(stuck)

    def merge(self) -> bool:
        ready = [
            pull
            for number, pull in self.github.pulls.items()
            if self.github.issues[number].state == "open"
        ]
        complete = {row["pullRequestUrl"] for row in self.rows() if row["status"] == "complete"}
        done = [
            pull
            for pull in ready
            if f"{self.github.base_url}/acme/widgets/pull/{pull.number}" in complete
        ]
        for pull in self.rng.sample(done, min(len(done), self.much)):
            self.github.person.merge(pull.number)
        return bool(done)

    def prune(self) -> bool:
        self.scene.orch("prune")
        return True

    def pause(self) -> bool:
        busy = self.labelled("WORKING", "PLANNING", "STARTING", "RETRYING")
        if busy:
            number = str(self.rng.choice(busy))
            self.scene.orch(self.rng.choice(("pause", "stop")), number)
        return bool(busy)

    def go_on(self) -> bool:
        held = [
            row["issueNumber"]
            for row in self.rows()
            if row["hold"] or row["headline"] == "RETRYING"
        ]
        for number in held:
            self.scene.orch("resume", str(number))
        if (
            booked(self.scene) >= self.ceiling - 1e-6 and not self.scene.supervisors()
        ):  # a person raises the ceiling
            self.ceiling *= 4
            self.configure()
            self.scene.orch("resume", "--all")
        return bool(held)

    # -- the day

    def step(self, events: Sequence[tuple[Callable[[], bool], int]]) -> None:
        """One event, drawn by weight."""
        event = self.rng.choices([event for event, _ in events], [weight for _, weight in events])[
            0
        ]
        if event():
            self.happened[event.__name__] = self.happened.get(event.__name__, 0) + 1

    def play(self, deadline: float) -> None:
        """Until every issue is solved by a pull that a person merged, and everything is cleared away."""
        events: list[tuple[Callable[[], bool], int]] = [
            (self.kill_supervisor, 3),
            (self.kill_run, 1),
            (self.fail_github, 2),
            (self.answer, 5),
            (self.merge, 6),
            (self.prune, 1),
            (self.pause, 1),
            (self.go_on, 5),
        ]
        end_at = time.monotonic() + deadline
        try:
            while not self.solved():
                assert time.monotonic() < end_at, (
                    f"not done in time: {self.rows()}\n{self.scene.describe()}"
                )
                self.keep_running()
                self.step(events)
                self.check()
        finally:
            self.end_run()
        self.github.faults.clear()
        self.scene.orch("prune", check=True)

    def end_run(self) -> None:
        if self.run is not None:
            self.run.send_signal(signal.SIGINT)
            self.run.wait(60)

    def solved(self) -> bool:
        return all(self.github.issues[number].state == "closed" for number in self.numbers)

    def bound(self) -> float:
        """The ceiling, and the turns that ran when it was reached."""
        return self.ceiling + self.workers * COST + 1e-6

    def check(self) -> None:
        try:
            self.scene.wait(self.holds, 30)
        except AssertionError:
            self.scene.check_invariants(quiet=False)  # says what does not hold
            raise
        assert booked(self.scene) <= self.bound(), (
            "the budget was passed by more than the running turns"
        )
        assert len(self.scene.supervisors()) <= self.workers + len(self.numbers), (
            "more supervisors than there can be"
        )

    def holds(self) -> bool:
        """A commit, or a worktree, that is just being made looks lost for a moment: what counts is what stays so."""
        try:
            self.scene.check_invariants(quiet=False)
        except MayPass:
            return False
        return True

    def account(self) -> None:
        """What must be true in the evening."""
        self.scene.wait_quiet()
        self.scene.check_invariants()
        assert self.rows() == [], "every session is archived"
        merged = [pull for pull in self.github.pulls.values() if pull.merged_at]
        assert len(merged) == len(self.github.pulls) == len(self.numbers)
        assert {pull.head for pull in merged} == {f"issue-{number}" for number in self.numbers}
        assert self.scene.git("worktree", "list", "--porcelain").count("worktree ") == 1
        shown = json.loads(self.scene.orch("costs", "--json", check=True).out)
        assert abs(shown["total"]["usd"] - booked(self.scene)) < 1e-6
        # Only of a turn whose supervisor was killed before the agent had said its price.
        assert shown["total"]["unknown"] <= self.happened.get("kill_supervisor", 0), shown


def end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
