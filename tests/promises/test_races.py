"""Many commands at once on one clone, and two clones of one remote: one worker, and everybody is told the truth."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from issue_orch.store.files import load_status
from tests.kit.scene import COMPLETE, ENDLESS, Ran, Scene

AT_ONCE = 6


def at_once(scene: Scene, *commands: tuple[str, ...]) -> list[Ran]:
    """Start them all before the first has ended."""
    gate = threading.Barrier(len(commands))

    def one(words: tuple[str, ...]) -> Ran:
        gate.wait()
        return scene.orch(*words)

    with ThreadPoolExecutor(len(commands)) as pool:
        return list(pool.map(one, commands))


def test_spawn_of_one_issue_starts_one_worker(scene: Scene) -> None:
    number = scene.issue()
    rans = at_once(scene, *[("spawn", str(number))] * AT_ONCE)
    assert sorted(ran.code for ran in rans) == [0] + [1] * (AT_ONCE - 1), rans
    for ran in rans:
        assert not ran.code or (f"#{number}" in ran.err and "next: " in ran.err), ran
    scene.wait_status(number, "complete")
    assert len(list(scene.folder.glob("prompt-*"))) == 1
    scene.check_invariants()


def test_spawn_of_many_issues_by_many_commands(scene: Scene) -> None:
    numbers = [scene.issue() for _ in range(4)]
    words = ("spawn", *(str(number) for number in numbers))
    rans = at_once(scene, words, words, ("spawn", "--yes"), words)
    assert all(ran.code in (0, 1) for ran in rans), rans
    assert sum(ran.out.count("worker started") for ran in rans) == len(numbers), rans
    for number in numbers:
        scene.wait_status(number, "complete")
    scene.check_invariants()
    assert len(scene.sandbox.pulls) == len(numbers)


def test_slots_hold_for_commands_at_once(scene: Scene) -> None:
    scene.config = scene.config.replace("max_workers = 9", "max_workers = 2")
    scene.write_config()
    scene.agent(ENDLESS)
    numbers = [scene.issue() for _ in range(4)]
    rans = at_once(scene, *[("spawn", str(number)) for number in numbers])
    assert sorted(ran.code for ran in rans) == [0, 0, 1, 1], rans
    assert all("places are taken" in ran.err for ran in rans if ran.code), rans
    assert len(scene.supervisors()) == 2
    scene.orch("stop", "--all", check=True)
    scene.check_invariants()


def test_answers_at_once_the_first_wins_and_none_is_lost(scene: Scene) -> None:
    number = scene.stuck()
    texts = [f"opinion-{each}" for each in range(AT_ONCE)]
    rans = at_once(scene, *[("answer", str(number), text) for text in texts])
    assert all(ran.code == 0 for ran in rans), rans
    late = [ran for ran in rans if "somebody answered before you" in ran.out]
    assert len(late) <= AT_ONCE - 1
    scene.wait(
        lambda: len(scene.events(number, "delivered")) == AT_ONCE,
        what="every answer has its receipt",
    )
    scene.wait_status(number, "complete")
    prompts = "".join(path.read_text() for path in scene.folder.glob(f"prompt-{number}.*"))
    assert all(text in prompts for text in texts), "every answer reached the worker"
    scene.check_invariants()


def test_resumes_at_once_start_one_worker(scene: Scene) -> None:
    scene.agent(ENDLESS)
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.orch("stop", str(number), check=True)
    scene.agent("say working\n" + COMPLETE)
    rans = at_once(scene, *[("resume", str(number))] * AT_ONCE)
    assert all(ran.code == 0 for ran in rans), rans
    scene.wait_status(number, "complete")
    scene.check_invariants()
    assert len(list(scene.folder.glob("prompt-*"))) == 2


def test_stop_resume_pause_and_status_at_once(scene: Scene) -> None:
    scene.agent(ENDLESS)
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    torn: list[str] = []
    done = threading.Event()

    def read() -> int:
        looks = 0
        while not done.is_set():
            load_status(scene.state, number)
            looks += 1
        return looks

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        rans = at_once(
            scene,
            *[(word, str(number)) for word in ("stop", "resume", "pause", "resume", "stop")],
            ("status", "--json"),
            ("status",),
            ("prune",),
        )
        done.set()
        assert reader.result() > 10 and not torn
    assert all(ran.code == 0 for ran in rans), rans
    scene.orch("stop", str(number), check=True)
    scene.wait_quiet()
    assert scene.headline(number) == "STOPPED"
    scene.agent(COMPLETE)
    scene.orch("resume", str(number), check=True)
    scene.wait_status(number, "complete")
    scene.check_invariants()


def test_prunes_at_once_remove_each_once(scene: Scene) -> None:
    numbers = [scene.issue() for _ in range(3)]
    scene.orch("spawn", *(str(number) for number in numbers), check=True)
    for number in numbers:
        url = scene.wait_status(number, "complete")["pullRequestUrl"]
        scene.sandbox.person.merge(int(url.rpartition("/")[2]))
    rans = at_once(scene, *[("prune",)] * 4, ("status",))
    assert all(ran.code == 0 for ran in rans), rans
    scene.orch("prune", check=True)
    assert sum(ran.out.count(": removed: ") for ran in rans) >= len(numbers) - 1
    assert not list((scene.state / "sessions").iterdir())
    assert len(list((scene.state / "archive").iterdir())) == len(numbers)
    assert scene.git("worktree", "list").count("\n") == 1
    scene.check_invariants()


def test_a_second_clone_is_refused_by_branch_and_by_pull(scene: Scene) -> None:
    scene.gate("go")
    scene.agent("commit work.txt\ngit push -q origin HEAD\nawait go\nreport complete\n")
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.wait(lambda: scene.sandbox.pushes, what="the branch is on the remote")
    first, second = scene.clone, scene.folder / "other" / "widgets"
    second.parent.mkdir()
    scene.git("clone", "-q", scene.sandbox.git_url, str(second), cwd=scene.home)
    by_branch = scene.orch("spawn", str(number), cwd=second)
    assert by_branch.code == 1 and f"the branch issue-{number} exists on origin" in by_branch.err, (
        by_branch
    )
    scene.release("go")
    scene.wait_status(number, "complete")
    by_pull = scene.orch("spawn", str(number), "--reuse", cwd=second)
    assert by_pull.code == 1 and "has an open pull" in by_pull.err, by_pull
    assert not list((second / ".git" / "issue-orch" / "sessions").iterdir())
    assert scene.clone == first
    scene.check_invariants()
