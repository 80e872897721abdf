"""Rows of workers: starting them, what they cost while idle, and removing their worktrees."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from issue_orch.core.record import new_status
from issue_orch.store.files import iso, make_session, save_status

from .place import Place, SlowSandbox, timed
from .quick import rows_of

TICKS = os.sysconf("SC_CLK_TCK")
WINDOW = 10.0
LEAN = "import json, os, selectors, signal, subprocess, time; print('up', flush=True); time.sleep(100000)"


def paths(place: Place, count: int) -> list[Path]:
    return [place.folder / "work" / f"widgets-issue-{number}" for number in range(1, count + 1)]


def spawn(files: int, count: int) -> Callable[[Place, int], Iterator[tuple[float, float]]]:
    """Until all agents run and the command has returned, against adding worktrees and starting the agent in them."""

    def measure(place: Place, rounds: int) -> Iterator[tuple[float, float]]:
        place.make_clone(files, count)
        for number in range(rounds + 1):
            pair = spawn_product(place, count), spawn_yardstick(place, count)
            if number:
                yield pair

    return measure


def spawn_product(place: Place, count: int) -> float:
    numbers = [str(number) for number in range(1, count + 1)]
    begun = time.perf_counter()
    place.run("spawn", "--yes", *numbers)
    returned = time.perf_counter()
    ended = max(returned, place.wait_started(count))
    clear(place, count)
    return (ended - begun) * 1000


def spawn_yardstick(place: Place, count: int) -> float:
    agents = []
    begun = time.perf_counter()
    for number, path in enumerate(paths(place, count), 1):
        place.git("worktree", "add", "--quiet", "-b", f"issue-{number}", str(path), "origin/main")
        agents.append(
            subprocess.Popen(
                [place.agent],
                cwd=path,
                env=place.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
    ended = place.wait_started(count)
    for agent in agents:
        agent.kill()
        agent.wait()
    clear(place, count)
    return (ended - begun) * 1000


def clear(place: Place, count: int) -> None:
    """Back to where no issue was started."""
    state = place.state
    if any((state / "sessions").iterdir()):
        place.run("stop", "--all")
    for path in paths(place, count):
        shutil.rmtree(path, ignore_errors=True)
    place.git("worktree", "prune")
    heads = place.git("for-each-ref", "--format=%(refname:short)", "refs/heads/issue-*").split()
    if heads:
        place.git("branch", "--quiet", "-D", *heads)
    for folder in (state / "sessions").iterdir():
        shutil.rmtree(folder)


def spawn_phases(count: int) -> Callable[[Place], str]:
    """One more run, seen from the outside: milliseconds since its start; imports under -X importtime."""

    def phases(place: Place) -> str:
        with tracing(place):
            SlowSandbox.spans.clear()
            begun = time.time()
            done = place.run(
                "spawn", "--yes", *map(str, range(1, count + 1)), PYTHONPROFILEIMPORTTIME="1"
            )
            whole = time.time() - begun
            place.wait_started(count)
        launch = max(entry.stat().st_mtime for entry in sessions(place, "launch.json"))
        imports = sum(spent for spent, _ in rows_of(done.err))
        clear(place, count)
        return (
            f"imports {imports:.0f} ms; {told(git_spans(place), begun, 'git processes')}; "
            f"{told(SlowSandbox.spans, begun, 'GitHub requests')}; supervisor wanted at {(launch - begun) * 1000:.0f}; "
            f"done at {whole * 1000:.0f}"
        )

    return phases


def sessions(place: Place, name: str) -> list[Path]:
    return list((place.state / "sessions").glob(f"*/{name}"))


class tracing:
    """git's own event trace of every process, by the user's configuration: issue-orch passes no GIT_* on."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def __enter__(self) -> None:
        shutil.rmtree(self.place.trace, ignore_errors=True)
        self.place.trace.mkdir()
        self.place.git("config", "--global", "trace2.eventTarget", str(self.place.trace))

    def __exit__(self, *_: object) -> None:
        self.place.git("config", "--global", "--unset", "trace2.eventTarget")


def git_spans(place: Place) -> list[tuple[float, float, str]]:
    """Start and end of each git process that was started by us, children of git left out."""
    spans = []
    for file in place.trace.iterdir():
        events = [json.loads(line) for line in file.read_text().splitlines()]
        if any("/" in event["sid"] for event in events):
            continue
        start = next(event for event in events if event["event"] == "start")
        last = datetime.fromisoformat(events[-1]["time"].replace("Z", "+00:00")).timestamp()
        began = datetime.fromisoformat(start["time"].replace("Z", "+00:00")).timestamp()
        spans.append((began, last, " ".join(start["argv"][1:3])))
    return sorted(spans)


def told(spans: list[tuple[float, float, str]], begun: float, what: str) -> str:
    """How many, how long in all where they overlap counts once, and the longest."""
    if not spans:
        return f"no {what}"
    busy, until = 0.0, 0.0
    for start, end, _ in sorted(spans):
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    start, end, name = max(spans, key=lambda span: span[1] - span[0])
    return (
        f"{len(spans)} {what} {busy * 1000:.0f} ms ({(min(spans)[0] - begun) * 1000:.0f}–{(until - begun) * 1000:.0f}, "
        f"longest {name} {(end - start) * 1000:.0f})"
    )


def prune(place: Place, rounds: int, count: int = 30) -> Iterator[tuple[float, float]]:
    place.make_clone(3_500, count)
    heads = merge_pulls(place, count)
    for number in range(rounds + 1):
        make_merged(place, heads)
        done = timed([place.script, "prune"], place.clone, place.env)[0]
        if any(path.exists() for path in paths(place, count)):
            raise RuntimeError("prune kept worktrees")
        wait_gone(place)
        clear(place, count)
        make_merged(place, heads)
        begun = time.perf_counter()
        for path in paths(place, count):
            place.git("worktree", "remove", "--force", str(path))
        lasted = (time.perf_counter() - begun) * 1000
        clear(place, count)
        if number:
            yield done, lasted


def wait_gone(place: Place) -> None:
    """What prune deletes in the background must not burden the yardstick."""
    while any(name.startswith(".widgets-issue-") for name in os.listdir(place.folder / "work")):
        time.sleep(0.02)


def merge_pulls(place: Place, count: int) -> list[str]:
    """Branches with a commit each, pulls from them, all merged by a person."""
    text = "".join(
        f"commit refs/heads/issue-{n}\ncommitter Bench <bench@example.org> 1700000001 +0000\ndata 4\nWork\n"
        f"from refs/heads/main^0\nM 100644 inline new/{n}.py\ndata 2\nx\n"
        for n in range(1, count + 1)
    )
    place.git("fast-import", "--quiet", stdin=text)
    place.git(
        "push",
        "--quiet",
        str(place.sandbox.repository.path),
        "refs/heads/issue-*:refs/heads/issue-*",
    )
    place.sandbox.sync()
    for number in range(1, count + 1):
        pull = place.sandbox.open_pull(
            f"issue-{number}", "main", f"Solve #{number}", f"Closes #{number}", "you"
        )
        place.sandbox.person.merge(pull, method="squash")
    return place.git(
        "for-each-ref", "--format=%(objectname)", "--sort=version:refname", "refs/heads/issue-*"
    ).split()


def make_merged(place: Place, heads: list[str]) -> None:
    state = place.state
    for number, (path, head) in enumerate(zip(paths(place, len(heads)), heads, strict=True), 1):
        place.git("worktree", "add", "--quiet", "-B", f"issue-{number}", str(path), f"{head}^")
        make_session(state, number)
        save_status(
            state,
            new_status(
                number,
                issueTitle=f"Issue {number}",
                status="complete",
                branch=f"issue-{number}",
                worktreePath=str(path),
                startedAt=iso(time.time()),
                repo="acme/widgets",
                issueUrl="",
                base="main",
                baseSha=head,
                agent="sleeper",
                attempt=1,
            ),
            durable=False,
        )
    # A worker commits a while after the checkout: until then git has to read each file to know that it is unchanged.
    time.sleep(max(0.0, paths(place, len(heads))[-1].stat().st_ctime + 1.1 - time.time()))
    for path, head in zip(paths(place, len(heads)), heads, strict=True):
        place.git("reset", "--quiet", "--hard", head, cwd=path)


def prune_phases(place: Place) -> str:
    make_merged(place, [pull.head_sha for pull in place.sandbox.pulls.values()])
    with tracing(place):
        SlowSandbox.spans.clear()
        begun = time.time()
        done = place.run("prune", PYTHONPROFILEIMPORTTIME="1")
        whole = time.time() - begun
    wait_gone(place)
    imports = sum(spent for spent, _ in rows_of(done.err))
    return (
        f"imports {imports:.0f} ms; {told(git_spans(place), begun, 'git processes')}; "
        f"{told(SlowSandbox.spans, begun, 'GitHub requests')}; done at {whole * 1000:.0f}"
    )


def supervisors(place: Place, count: int) -> list[int]:
    """Start workers whose agents sleep; the pids of their supervisors."""
    place.make_clone(10, count)
    for first in range(1, count + 1, 20):
        place.run("spawn", "--yes", *map(str, range(first, min(first + 20, count + 1))))
    place.wait_started(count)
    return [
        json.loads(file.read_text())["supervisor"]["pid"] for file in sessions(place, "status.json")
    ]


def memory(place: Place, rounds: int) -> Iterator[tuple[float, float]]:
    """Resident memory after three seconds, one worker for each round; the yardstick imports what a lean one would."""
    pids = supervisors(place, rounds)
    lean = subprocess.Popen([place.python, "-c", LEAN], env=place.env, stdout=subprocess.PIPE)
    assert lean.stdout is not None
    lean.stdout.readline()
    time.sleep(3)
    for pid in pids:
        yield resident(pid), resident(lean.pid)
    lean.kill()
    lean.communicate()


def resident(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


def idle(place: Place, rounds: int) -> Iterator[tuple[float, float]]:
    """Percent of one core that all supervisors use together, in windows of ten seconds."""
    place.pids = supervisors(place, 100)  # type: ignore[attr-defined]
    time.sleep(WINDOW)
    for _ in range(rounds):
        before, begun = cpu(place.pids), time.monotonic()  # type: ignore[attr-defined]
        time.sleep(WINDOW)
        lasted = time.monotonic() - begun
        yield (cpu(place.pids) - before) / lasted * 100, 100.0  # type: ignore[attr-defined]


def seen(place: Place, rounds: int) -> Iterator[tuple[float, float]]:
    """Milliseconds from the start of `report` until the status file says it, each at another moment of the looks."""
    place.make_clone(10, 1)
    place.run("spawn", "--yes", "1")
    place.wait_started(1)
    [file] = sessions(place, "status.json")
    top = json.loads(file.read_text())["worktreePath"]
    time.sleep(WINDOW + 2)  # by then it is looked at every ten seconds
    chance, whole, after = random.Random(1), [], []
    for number in range(100):
        time.sleep(chance.random())
        words = [place.script, "report", "working", "--note", f"step {number}"]
        begun = time.perf_counter()
        lasted, _ = timed(words, top, place.env)
        while f'"step {number}"' not in file.read_text():
            time.sleep(0.001)
        whole.append((time.perf_counter() - begun) * 1000)
        after.append(whole[-1] - lasted)
        yield whole[-1], lasted
    shown = (f"p50 {each[49]:.1f} ms, p99 {each[98]:.1f}" for each in map(sorted, (whole, after)))
    place.told = " from its start; after its end ".join(shown)


def poll(place: Place, rounds: int) -> Iterator[tuple[float, float]]:
    """Requests that count against the limit, in passes in which nothing has changed."""
    place.make_clone(10, 3)
    place.run("run", "--once")
    place.wait_started(3)
    for number in range(rounds + 2):
        before, begun = sum(place.sandbox.rate_used.values()), len(place.sandbox.requests)
        place.run("run", "--once")
        if number > 1:  # by then everything was asked once
            yield (
                float(sum(place.sandbox.rate_used.values()) - before),
                float(len(place.sandbox.requests) - begun),
            )


def cpu(pids: list[int]) -> float:
    """User and system seconds, from the scheduler's count in nanoseconds: ticks are too coarse for the idle."""
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in pids) / 1e9


def idle_phases(place: Place) -> str:
    pids: list[int] = place.pids  # type: ignore[attr-defined]
    before = sum(map(switches, pids))
    time.sleep(WINDOW)
    return f"{(sum(map(switches, pids)) - before) / WINDOW / len(pids):.1f} wake-ups per second and worker"


def switches(pid: int) -> int:
    return int(
        Path(f"/proc/{pid}/status")
        .read_text()
        .partition("\nvoluntary_ctxt_switches:")[2]
        .split()[0]
    )
