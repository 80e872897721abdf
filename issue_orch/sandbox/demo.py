"""`issue-orch demo`: the whole idea in under a minute, with real commands on the sandbox in a temporary folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import Expected
from ..terminal.io import colours
from ..terminal.sessions import paint
from .kept import Pages, Stay, write_door
from .scene import Scene
from .server import Sandbox

ISSUES = {
    "Add export button": "A button to export.\n\nFiles: src/export.py, src/menu.py",
    "Implement auth flow": "Tokens must be refreshed.\n\nFiles: src/auth.py\n"
    "Ask: Token refresh approach | sliding expiration | fixed expiration",
    "Document the export": "Depends on #1\n\nFiles: docs/export.md",
    "Add dark mode": "A switch in the menu.\n\nFiles: src/theme.py, src/menu.py",
}
Sessions = dict[int, dict[str, Any]]


def demo(yes: bool, keep: bool) -> int:
    """Returns 0 when everything that it promises happened; raises Expected otherwise."""
    stay = Stay() if keep else None
    if stay and stay.child:
        return stay.wait()
    folder = Path(tempfile.mkdtemp(prefix="issue-orch-demo-"))
    try:
        with Pages(folder / "github") as sandbox:
            scene = set_scene(folder, sandbox)
            try:
                done = play(scene, interactive=not yes and sys.stdin.isatty())
                say_what_is_next(scene, done, stay)
                if stay:
                    stay.leave()
            finally:
                scene.orch("stop", "--all")
    finally:
        shutil.rmtree(folder, ignore_errors=keep)  # somebody may be at work there
    return 0


def say(text: str = "", style: str = "") -> None:
    sys.stdout.write((paint(text, style, colours(sys.stdout)) if style else text) + "\n")
    sys.stdout.flush()


def promise(kept: bool, what: str) -> None:
    if not kept:
        raise Expected(f"the demo promised this, and it did not happen: {what}")


def show(scene: Scene, *words: str) -> str:
    """Run issue-orch in the clone, and show what a person would type and see."""
    say()
    say(f"$ issue-orch {' '.join(words)}", "bold")
    out = scene.orch(*words, check=True, stderr=subprocess.STDOUT).out
    say(out.removesuffix("\n"))
    return re.sub(r"\x1b(\[[\d;]*m|\]8;;[^\x1b]*\x1b\\)", "", out)


def set_scene(folder: Path, sandbox: Sandbox) -> Scene:
    sandbox.seed(
        {"README.md": "# widgets\n", "src/menu.py": "MENU = []\n", "src/auth.py": "TOKEN = None\n"},
        "Start",
    )
    for title, body in ISSUES.items():
        sandbox.add_issue(title, body, labels=["ready"])
    scene = Scene(folder)
    names = ("TERM", "NO_COLOR", "COLUMNS", "LANG", "LC_ALL")
    scene.env |= {name: os.environ[name] for name in names if name in os.environ}
    if sys.stdout.isatty():  # what its commands write to is none
        scene.env.setdefault("COLUMNS", str(shutil.get_terminal_size().columns))
        scene.env |= {"FORCE_COLOR": "1"} if colours(sys.stdout) else {}
    scene.connect(sandbox, "demo-agent", max_workers=3)
    command = [sys.executable, "-P", str(Path(__file__).with_name("agent.py"))]
    resume = [*command, "--resume", "{session_id}"]
    table = f"command = {json.dumps(command)}\nresume = {json.dumps(resume)}\n"
    scene.write_config(after=f"[agents.demo-agent]\n{table}")
    say("A repository with four ready issues, on a GitHub that lives inside this demo.")
    return scene


def play(scene: Scene, interactive: bool) -> Sessions:
    plan = show(scene, "plan")
    promise(
        "src/menu.py" in plan and "blocked by #1" in plan,
        "the overlap and the blocked issue are shown",
    )
    say("\nWorkers start for what is ready, each in a worktree and on a branch of its own.")
    scene.orch("spawn", "--yes", check=True)
    wait(scene, "#2 asks", lambda rows: rows[2]["status"] == "stuck" and len(rows) == 3)
    show(scene, "status")
    say("\nOne worker needs a decision. Nothing runs for it meanwhile.")
    answer(scene, interactive)
    done = wait(
        scene,
        "three pulls are recorded",
        lambda rows: all(row["pullRequestUrl"] for row in rows.values()),
    )
    promise("[delivered]" in show(scene, "show", "2"), "the answer has its receipt")
    show(scene, "status")
    review(scene, done)
    return done


def wait(scene: Scene, what: str, holds: Callable[[Sessions], bool]) -> Sessions:
    """The sessions, when they are as they should be."""

    def seen() -> Sessions | None:
        rows = scene.sessions()
        return rows if holds(rows) else None

    found: Sessions = scene.wait(seen, what=what)
    return found


def answer(scene: Scene, interactive: bool) -> None:
    """Let the person at the terminal answer."""
    if interactive:
        say()
        say("$ issue-orch answer", "bold")
        scene.start("answer", stdin=None, stdout=None, stderr=None).wait()
        if scene.sessions()[2]["status"] != "stuck":
            return
        say("Left open; the demo takes the first option.")
    show(scene, "answer", "2", "--option", "1")


def review(scene: Scene, done: Sessions) -> None:
    say(
        "\nThree pull requests are open. issue-orch never merges.\nNow a person merges the first on GitHub."
    )
    number = int(done[1]["pullRequestUrl"].rpartition("/")[2])
    scene.sandbox.person.merge(number)
    pruned = show(scene, "prune")
    promise(
        "#1" in pruned and not Path(done[1]["worktreePath"]).exists(),
        "the merged worktree is removed",
    )
    promise(Path(done[2]["worktreePath"]).exists(), "worktrees of open pulls stay")
    promise("Eligible (1)" in show(scene, "plan", "3"), "the merge makes #3 ready")
    promise(
        not scene.sandbox.merge_attempts and not scene.sandbox.unknown_requests,
        "issue-orch asked for nothing else",
    )


def say_what_is_next(scene: Scene, done: Sessions, stay: Stay | None) -> None:
    """Addresses and commands that lead somewhere, and no others."""
    say(
        f"\nThat is all: {len(done)} pulls by workers, one question answered, nothing merged but by a person."
    )
    if stay is None:
        say("Look around in it, watch included: issue-orch demo --keep")
        say("In a clone of yours: issue-orch init")
        return
    enter, end = write_door(scene, scene.sandbox)
    say()
    say("The sandbox goes on, with its state and these pages, until it is ended:", "bold")
    for row in done.values():
        say(f"  {row['pullRequestUrl']}")
    say()
    say("To look at next:", "bold")
    say(f"  {enter}                   (a shell in its clone)")
    for command in ("watch", "show 2", "logs 2", "spawn 3"):
        say(f"  {enter} issue-orch {command}")
    say()
    say("To end it, and remove its folder, from any terminal:", "bold")
    say(f"  {end}")
