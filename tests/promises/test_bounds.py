"""What repeats without a person ends: whatever an agent reports and commits meanwhile, however it ends, whatever GitHub
answers. First the core, over any sequence; then real workers, with a remote that refuses and processes that are lost."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from issue_orch.core import lifecycle
from issue_orch.core.history import (
    AUTOMATIC,
    Counters,
    Entry,
    Exit,
    Failed,
    Started,
    count,
    counters,
    entry_of,
)
from issue_orch.core.lifecycle import Limits, Situation
from issue_orch.core.outcomes import Ending, Outcome
from tests.kit.scene import COMPLETE, Scene

# -- the core


class World:
    """A session whose supervisor, agent, coordinator and GitHub do what a script says, over and over: so that whatever
    could go on for ever does. Launches and rounds are counted since the last person; what happened is kept as the history
    that it would be on disk."""

    def __init__(self, limits: Limits, rounds: int, script: list[int]) -> None:
        self.limits, self.rounds, self.script = limits, rounds, itertools.cycle(script)
        self.events: list[Entry] = []
        self.phase: Any = "registered"
        self.hold: Any = None
        self.inbox: list[Any] = []
        self.carried: list[Any] = []
        self.messages = self.heads = self.launches = self.polls = 0
        self.now = 0.0
        self.counted = Counters()
        self.outside = 8  # what starts no agent, and would go on for ever: somebody kills supervisors, GitHub is away

    def note(self, kind: str, **fields: Any) -> None:
        self.events.append(entry_of({"kind": kind, **fields}))
        self.counted = count(self.counted, self.events[-1])

    def draw(self, choices: Sequence[Any]) -> Any:
        return choices[next(self.script) % len(choices)]

    def fails(self) -> bool:
        self.outside -= 1
        return self.outside >= 0 and self.draw(range(8)) == 7

    def happen(self, happening: Any) -> None:
        following = lifecycle.after(self.phase, happening)
        assert following is not None, f"{happening} when {self.phase}"
        if following != self.phase:
            self.note("transition", before=self.phase, after=following)
        self.phase = following

    def send(self, author: str) -> None:
        self.messages += 1
        self.inbox.append({"id": f"m{self.messages}", "kind": "guidance", "author": author})

    def hear(self) -> None:
        fresh = lifecycle.unheard(self.inbox, self.counted)
        if fresh:
            self.note(
                "heard",
                messages=[each["id"] for each in fresh],
                person=any(each["author"] != AUTOMATIC for each in fresh),
            )

    def acknowledge(self) -> None:
        for each in self.carried:
            self.note(
                "delivered", message=each["id"], messageKind="guidance", author=each["author"]
            )
            self.inbox.remove(each)
        self.carried = []

    def person(self) -> None:
        """Somebody answers, or lets it go on."""
        if self.draw([True, False]):
            self.send("you")
        else:
            self.note("resumed")
            if self.phase == "stuck":
                self.happen("answered")
        self.launches = self.polls = 0

    def situation(self) -> Situation:
        return Situation(self.phase, self.hold, self.inbox, self.counted, False, self.limits)

    def supervise(self) -> None:
        """From when a supervisor takes the lease to when it gives it back, or is lost."""
        runs = [each for each in self.events if isinstance(each, Started | Exit | Failed)]
        if runs and isinstance(runs[-1], Started):
            self.note("failed", reason="its worker was lost")
        self.hear()
        has_session = self.draw([True, False])
        step: lifecycle.Step | None = lifecycle.before_running(self.situation(), has_session)
        while step is not None and not self.fails():  # kill -9 between two steps
            step = self.perform(step)

    def perform(self, step: lifecycle.Step) -> lifecycle.Step | None:
        match step:
            case lifecycle.Go():
                return self.go(step)
            case lifecycle.Wait(until, _):
                assert until > self.now, "time passes before the agent is started again"
                self.now = until
                self.hear()
                return lifecycle.before_running(self.situation(), True)
            case lifecycle.Settle():
                return self.settle()
            case lifecycle.Stick():
                if self.phase == "complete":
                    self.happen("followed_up")
                self.note("gave_up", reason=step.reason)
                self.happen("stuck")
        return None

    def go(self, step: lifecycle.Go) -> lifecycle.Step | None:
        if step.template == "nudge":
            self.note("nudged")
        self.carried = list(self.inbox)
        if self.phase == "complete":
            self.happen("followed_up")
        elif self.carried and self.phase == "stuck":
            self.happen("answered")
        self.launches += 1
        self.note("started")
        for kind in self.draw(REPORTS):
            self.report(kind)
        if self.draw(range(4)) == 3:
            self.send(AUTOMATIC)  # the issue was edited meanwhile
        if self.draw(range(6)) == 5:
            self.carried = []
            return None  # kill -9 of supervisor and agent
        outcome = Outcome(self.draw(OUTCOMES), "said", self.draw([None, 0.5, self.now + 60]))
        if outcome.kind in ("ended", "denied", "capped"):
            self.acknowledge()
        self.carried = []
        self.note("exit", outcome=outcome.kind)
        if lifecycle.is_failure(outcome) and self.phase != "stuck" and self.counted.claim is None:
            self.note("failed", reason="said")
        if self.draw(range(6)) == 5:
            return None  # SIGTERM of the supervisor
        self.hear()
        return lifecycle.after_run(self.situation(), outcome, self.now)

    def report(self, kind: Any) -> None:
        unseen = [each for each in self.inbox if each not in self.carried]
        accepted = (
            (not unseen and self.phase in lifecycle.BUSY)
            if kind == "complete"
            else lifecycle.after(self.phase, kind) is not None
        )
        self.note("report", report=kind, accepted=accepted, fields={})
        if accepted:
            self.acknowledge()
            if kind != "complete":
                self.happen(kind)

    def settle(self) -> lifecycle.Step | None:
        if self.fails():
            return None
        outcome = self.draw(["opened", "unready", "rejected"])
        if outcome == "opened":
            self.happen("settled")
            self.heads += self.draw([1, 0])  # whether it is a new head
            self.note("settled", headSha=f"h{self.heads}")
        elif outcome in ("unready", "rejected"):
            self.note(outcome, reason="refused")
            return lifecycle.after_claim(outcome, "refused", self.counted, self.limits)
        return None

    def github(self) -> None:
        """A poll: checks failed again, a bot reviewed again."""
        if self.phase == "complete" and self.counted.rounds < self.rounds:
            self.polls += 1
            for _ in range(self.draw([1, 3])):
                self.send(AUTOMATIC)

    def wanted(self) -> bool:
        """Whether a coordinator or the supervisor itself takes it up again."""
        calls = lifecycle.calling(self.phase, self.inbox, self.counted)
        return bool(calls) or self.phase in lifecycle.BUSY


REPORTS = [
    ("complete",),
    ("working",),
    (),
    ("working", "complete"),
    ("planning",),
    ("stuck",),
    ("complete", "working"),
]
OUTCOMES = sorted({*get_args(Ending)} - {"over_budget"}, key=lambda kind: (kind != "ended", kind))
LIMITS = st.builds(
    Limits,
    retries=st.integers(0, 4),
    nudges=st.integers(0, 3),
    rejections=st.integers(0, 2),
    waits=st.integers(1, 4),
    backoff=st.just(10.0),
    longest_backoff=st.just(600.0),
)


@settings(max_examples=500, deadline=None)
@given(
    script=st.lists(st.integers(0, 41), min_size=1, max_size=60),
    limits=LIMITS,
    rounds=st.integers(0, 3),
    people=st.integers(0, 2),
)
def test_launches_without_a_person_are_bounded(
    script: list[int], limits: Limits, rounds: int, people: int
) -> None:
    """At most `limits.launches` and `limits.waits` for the first work and for each round of follow-up; then it rests."""
    world = World(limits, rounds, script)
    most = (1 + rounds) * (limits.launches + limits.waits)
    for _ in range(1 + people):
        for _ in range(4 * most + 20):
            if world.wanted():
                world.supervise()
            elif world.phase == "complete" and world.counted.rounds < rounds:
                world.github()
            else:
                break
            assert world.launches <= most and world.polls <= rounds, world.events
        else:
            raise AssertionError(
                f"supervisors are started for ever: {world.phase} {world.events[-20:]}"
            )
        assert world.counted == counters(world.events), "as it is read again from the disk"
        world.person()
        if world.phase == "complete" and not world.inbox:
            return


CHATTER = st.lists(st.sampled_from(["planning", "working"]), max_size=4)


@settings(max_examples=100, deadline=None)
@given(
    chatter=st.lists(CHATTER, min_size=9, max_size=9),
    refusal=st.sampled_from(["rejected", "unready"]),
)
def test_a_second_refusal_is_a_persons_whatever_is_reported(
    chatter: list[list[str]], refusal: Any
) -> None:
    events, limits = list[dict[str, Any]](), Limits()
    allowed = limits.rejections if refusal == "rejected" else limits.nudges
    for at, said in enumerate(chatter):
        events += [
            {"kind": "started"},
            *({"kind": "report", "report": kind, "fields": {}} for kind in (*said, "complete")),
        ]
        events += [{"kind": refusal, "reason": "no"}]
        step = lifecycle.after_claim(refusal, "no", counters(map(entry_of, events)), limits)
        assert isinstance(step, lifecycle.Stick) == (at >= allowed), (at, step)


def test_a_history_of_before_is_folded_alike() -> None:
    """As the version before wrote it: no `heard`, no `gave_up`, a `progress` for each turn with a commit."""

    def fold(lines: list[dict[str, Any]]) -> Counters:
        return counters(map(entry_of, lines))

    said = {
        "kind": "delivered",
        "message": "m",
        "messageKind": "guidance",
        "text": "go on",
        "author": "you",
    }
    turns: list[dict[str, Any]] = [
        {"kind": "started"},
        {"kind": "progress"},
        {"kind": "report", "report": "complete", "fields": {}},
        {"kind": "rejected", "reason": "no"},
    ]
    assert fold(turns * 2).rejected == 2
    assert fold([*turns, said]).rejected == 0 == fold([*turns, said]).launches
    assert fold([*turns, {**said, "author": AUTOMATIC}]).rejected == 1
    back: list[dict[str, Any]] = [
        {"kind": "settled", "headSha": "a"},
        {"kind": "transition", "before": "complete", "after": "working"},
        {"kind": "started"},
        {**said, "author": AUTOMATIC},
        {**said, "author": AUTOMATIC, "message": "n"},
    ]
    assert fold(back * 3).rounds == 3, "a round for each launch, not for each message"
    assert fold([*back * 3, said]).rounds == 0


# -- real workers


def refuse(scene: Scene, words: str) -> Path:
    """The remote takes no push any more, and says why; returns the hook that does it."""
    hook = scene.sandbox.repository.path / "hooks" / "pre-receive"
    hook.rename(hook.with_name("as-it-was"))
    hook.write_text(f'#!/bin/sh\ncat >/dev/null\necho "{words}" >&2\nexit 1\n')
    hook.chmod(0o755)
    return hook


def attempts(scene: Scene, number: int) -> int:
    return len(scene.events(number, "started"))


def take_up(scene: Scene, times: int) -> str:
    """What cron does: `run --once`, again and again."""
    said = ""
    for _ in range(times):
        scene.wait(lambda: not scene.supervisors(), what="no supervisor is left")
        said += scene.orch("run", "--once").err
    scene.wait(lambda: not scene.supervisors(), what="no supervisor is left")
    return said


@pytest.mark.wide(2)
@pytest.mark.parametrize(
    "chatter",
    [
        'report working --note "on it"',
        "report planning --touches a.txt",
        'report planning --touches a.txt\nreport working --note "on it"',
        """mkdir -p .issue-orch/outbox; printf '{"kind": "working"}' > .issue-orch/outbox/0.json""",
        'report complete --title T\nreport working --note "one thing more"',
        ":",
    ],
    ids=["working", "planning", "both", "by-a-file", "complete-twice", "nothing"],
)
def test_a_push_that_is_refused_twice_is_a_persons_whatever_is_reported(
    scene: Scene, chatter: str
) -> None:
    hook = refuse(scene, "commit message must name a ticket")
    scene.agent(f"{chatter}\n{COMPLETE}")
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    status = scene.wait_status(number, "stuck")
    assert (
        "commit message must name a ticket" in status["stuckReason"]
        and attempts(scene, number) == 2
    )
    assert "commit message must name a ticket" in scene.orch("status", env={"COLUMNS": "200"}).out
    assert (
        "STUCK: The remote rejected the push of issue-1: commit message must name a ticket"
        in scene.orch("show", str(number), env={"COLUMNS": "200"}).out
    )
    take_up(scene, 2)
    assert attempts(scene, number) == 2, "`run` does not begin it anew"
    hook.with_name("as-it-was").rename(hook)
    scene.orch("answer", str(number), "the rule is gone", check=True)
    scene.wait_status(number, "complete")
    scene.check_invariants()


def test_a_persons_word_gives_the_worker_another_try(scene: Scene) -> None:
    refuse(scene, "no")
    scene.agent('report working --note "on it"\n' + COMPLETE)
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    for expected, words in ((4, ("resume",)), (6, ("tell", "mend it"))):
        scene.wait_status(number, "stuck")
        scene.orch(words[0], str(number), *words[1:], check=True)
        scene.wait(lambda expected=expected: attempts(scene, number) >= expected)
    scene.wait_status(number, "stuck")
    assert attempts(scene, number) == 6


@pytest.mark.parametrize(
    "ending",
    ["", "exit 0\n", "git commit -q --allow-empty -m more\n"],
    ids=["ends", "exits", "commits"],
)
def test_turns_that_end_with_nothing_but_chatter_are_bounded(scene: Scene, ending: str) -> None:
    scene.agent(
        f'commit work.txt\nreport planning --touches work.txt\nreport working --note "going on"\n{ending}'
    )
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    assert "ended its turn without a report" in scene.wait_status(number, "stuck")["stuckReason"]
    assert attempts(scene, number) == 3


def test_claims_that_do_not_hold_are_bounded_whatever_is_reported(scene: Scene) -> None:
    scene.agent('report working --note "on it"\necho x > "loose-$attempt.txt"\n' + COMPLETE)
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    status = scene.wait_status(number, "stuck")
    assert "loose-3.txt" in status["stuckReason"] and attempts(scene, number) == 3


def elsewhere(scene: Scene, number: int) -> Path:
    """A person's own clone, on the branch of the session."""
    place = scene.home / "elsewhere"
    if not place.exists():
        scene.git("clone", "--quiet", scene.sandbox.git_url, str(place), cwd=scene.home)
    scene.git("fetch", "-q", "origin", cwd=place)
    scene.git(
        "checkout", "-q", "-B", f"issue-{number}", f"refs/remotes/origin/issue-{number}", cwd=place
    )
    return place


def move(scene: Scene, number: int, how: str) -> str:
    """Somebody moves the branch on the remote: by "Update branch", or by a commit. Returns its head."""
    place = elsewhere(scene, number)
    if how == "update":
        scene.sandbox.seed({"CHANGES.md": "moved on\n"}, "Move on")
        scene.git("fetch", "-q", "origin", cwd=place)
        scene.git("merge", "-q", "--no-edit", "refs/remotes/origin/main", cwd=place)
    else:
        (place / "by-hand.txt").write_text("mine\n")
        scene.git("add", "by-hand.txt", cwd=place)
        scene.git("commit", "-q", "-m", "By hand", cwd=place)
    scene.git("push", "-q", "origin", f"issue-{number}", cwd=place)
    return scene.git("rev-parse", "HEAD", cwd=place).strip()


@pytest.mark.wide(2)
@pytest.mark.parametrize("how", ["update", "commit"])
@pytest.mark.parametrize("chatter", ["report working --note n", "report planning --touches a.txt"])
def test_a_branch_that_moved_on_the_remote_is_bounded(scene: Scene, how: str, chatter: str) -> None:
    scene.agent(
        f"{chatter}\nGIT_TERMINAL_PROMPT=0 git -c credential.helper= fetch -q origin || true\n{COMPLETE}"
    )
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.wait_status(number, "complete")
    head = move(scene, number, how)
    scene.orch("tell", str(number), "again please", check=True)
    status = scene.wait_status(number, "stuck")
    assert "the branch on the remote has commits that yours does not have" in status["stuckReason"]
    assert attempts(scene, number) == 3, "the first, the one that was told, and one more"
    assert scene.sandbox.heads[f"issue-{number}"] == head, "nothing is forced"
    assert len(scene.events(number, "rejected")) == 2
    scene.check_invariants()


@pytest.mark.parametrize("how", ["update", "commit"])
def test_a_branch_that_moved_is_fetched_before_the_worker_is_told_to_merge_it(
    scene: Scene, how: str
) -> None:
    """The worker has nothing to sign in with: it runs what it is told, word for word."""
    scene.agent(
        """\
run=$(sed -n 's/.*run `\\(git merge [^`]*\\)`.*/\\1/p' "$prompt")
if [ -n "$run" ]; then export GIT_CONFIG_GLOBAL="@FOLDER@/who"; $run --no-edit -q; fi
report working --note n
"""
        + COMPLETE
    )
    (scene.folder / "who").write_text("[user]\n\tname = You\n\temail = you@example.org\n")
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.wait_status(number, "complete")
    head = move(scene, number, how)
    # Another thing of that short name is not meant.
    scene.git("tag", f"origin/issue-{number}", "main")
    scene.orch("tell", str(number), "again please", check=True)
    scene.wait(lambda: attempts(scene, number) == 3)
    scene.wait_status(number, "complete")
    told = (scene.folder / f"prompt-{number}.3").read_text()
    assert f"`git merge refs/remotes/origin/issue-{number}`" in told and "Fetch" not in told
    scene.git(
        "merge-base",
        "--is-ancestor",
        head,
        scene.sandbox.heads[f"issue-{number}"],
        cwd=scene.sandbox.repository.path,
    )
    scene.check_invariants()


def test_a_branch_that_cannot_be_fetched_is_publish_pending(scene: Scene) -> None:
    """Nothing is asked of the worker that it cannot do."""
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.wait_status(number, "complete")
    move(scene, number, "commit")
    blocker = f"refs/remotes/origin/issue-{number}/old"
    scene.git("update-ref", "-d", f"refs/remotes/origin/issue-{number}")
    scene.git("update-ref", blocker, "main")
    scene.orch("tell", str(number), "again please", check=True)
    scene.wait(lambda: scene.status(number)["publish"], what="publishing is pending")
    scene.wait_quiet()
    assert scene.headline(number) == "PUBLISH PENDING" and attempts(scene, number) == 2
    scene.git("update-ref", "-d", blocker)
    scene.agent("git merge -q --no-edit refs/remotes/origin/issue-1\n" + COMPLETE)
    scene.orch("resume", str(number), check=True)
    scene.wait_status(number, "complete")
    scene.check_invariants()


@pytest.mark.parametrize("signal", ["KILL", "TERM"])
def test_a_worker_that_is_lost_again_and_again_is_a_persons_whatever_it_reported(
    scene: Scene, signal: str
) -> None:
    """Out of memory, or a timer's service that takes its processes along: `run` starts it anew, and not for ever."""
    scene.write_config("retries = 1")
    scene.agent(
        f"commit work.txt\nreport working --note n\nkill -{signal} $PPID\nexec tail -f /dev/null >/dev/null\n"
    )
    number = scene.issue()
    scene.orch("spawn", str(number))
    most = Limits(retries=1).launches
    take_up(scene, most + 2)
    status = scene.status(number)
    assert status["status"] == "stuck" and "without progress" in status["stuckReason"], status
    assert attempts(scene, number) == (2 if signal == "KILL" else most)
    scene.agent(COMPLETE)
    scene.orch("resume", str(number), check=True)
    scene.wait_status(number, "complete")


SILENT = '#!/bin/sh\ncat > "{0}/prompt-$ISSUE_ORCH_WORKER"\nexit 3\n'


def test_an_answer_that_no_agent_takes_waits_for_a_person_and_is_not_lost(scene: Scene) -> None:
    """The agent cannot even start: its supervisor does not try for ever, nor does `run`."""
    scene.write_config("retries = 0")
    number = scene.stuck()
    agent = scene.folder / "agent"
    agent.write_text(SILENT.format(scene.folder))
    scene.orch("answer", str(number), "left")
    status = scene.wait_status(number, "stuck")
    assert "gave up after 1 attempts" in status["stuckReason"]
    said = take_up(scene, 3)
    assert attempts(scene, number) == 2 and len(scene.events(number, "gave_up")) == 1
    assert "has guidance that was not delivered" not in said
    shown = scene.orch("show", str(number)).out
    assert "[waiting]" in shown and "gave up: " in shown
    scene.agent('grep -q left "$prompt"\n' + COMPLETE)
    scene.orch("resume", str(number), check=True)
    scene.wait_status(number, "complete")
    assert [
        event["text"]
        for event in scene.events(number, "delivered")
        if event["messageKind"] == "guidance"
    ] == ["left"]


def test_a_refused_sign_in_of_the_agent_is_bounded_with_an_answer_in_the_inbox(
    scene: Scene,
) -> None:
    number = scene.stuck()
    (scene.folder / "agent").write_text(
        "#!/bin/sh\ncat >/dev/null\n"
        """printf '{"type":"error","text":"invalid api key"}\\n'\nexit 1\n"""
    )
    scene.orch("answer", str(number), "left")
    scene.wait_status(number, "stuck")
    take_up(scene, 2)
    assert attempts(scene, number) <= 3
    assert scene.orch("show", str(number)).code == 0 and os.path.isdir(scene.worktree(number))
