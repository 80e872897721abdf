"""A scene for `watch` that stands still: sessions, log, plan, a worktree with changes. For tests and the picture."""

from __future__ import annotations

import html
import json
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from issue_orch.commands.tui.watch import Watch
from issue_orch.core.history import Transition
from issue_orch.core.record import Question
from issue_orch.store.files import iso, session_folder
from issue_orch.store.history import append_entry
from issue_orch.store.leases import take
from tests.kit import screens
from tests.kit.git import sh

EXPORT = '''\
"""Export of the list."""

import csv
import io


def export(rows: list[dict[str, str]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]) if rows else [])
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
'''
PLAN = """\
1. Read how src/auth.py keeps the token
2. Refresh it before a request when it is about to end
3. Test expiry with a clock that stands still
"""


def git(*words: str, cwd: Path) -> str:
    person = ("-c", "user.name=You", "-c", "user.email=you@example.org")
    date = {"GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z"}
    return sh(cwd, "git", *person, *words, **date)


def build(folder: Path, held: ExitStack, calm: bool = False) -> tuple[Path, Path]:
    """The state folder and the clone; `calm` leaves hostile titles out. `held` keeps the leases of what runs."""
    clone, worktree = folder / "widgets", folder / "widgets-issue-123"
    git("init", "-q", "-b", "main", str(clone), cwd=folder)
    (clone / "src").mkdir()
    (clone / "src" / "menu.py").write_text('MENU = ["open", "save"]\n')
    git("add", ".", cwd=clone)
    git("commit", "-q", "-m", "Start", cwd=clone)
    base = git("rev-parse", "HEAD", cwd=clone)
    git("worktree", "add", "-q", "-b", "issue-123", str(worktree), cwd=clone)
    (worktree / "src" / "menu.py").write_text('MENU = ["open", "save", "export"]\n')
    git("commit", "-q", "-am", "Menu", cwd=worktree)
    (worktree / "src" / "export.py").write_text(EXPORT)
    rows = [*screens.three(), *(calm_rows() if calm else screens.twelve()[3:9])]
    rows[0][0].update(baseSha=base, worktreePath=str(worktree))
    state = screens.write(clone / ".git", rows)
    (session_folder(state, 124) / "plan.md").write_text(PLAN)
    history(state)
    log(session_folder(state, 123) / "agent.log")
    for number in (123, 126, 128):
        held.enter_context(take(state, number, "supervisor"))
    return state, clone


def calm_rows() -> list[Any]:
    checks: Any = [{"name": "test (3.12)"}]
    reading = {"at": iso(screens.NOW), "text": "Read: src/limits.py"}
    return [
        (
            screens.session(126, "Rate limits for the API", "planning", 3, lastActivity=reading),
            None,
        ),
        (
            screens.completed(
                127, "Faster start", 43, changes=screens.changes(4, 61, 80), cost=screens.cost(0.9)
            ),
            screens.pull(43, checks="failing", failingChecks=checks),
        ),
        (
            screens.session(
                129, "Move to the new logger", hold="paused", changes=screens.changes(12, 130, 118)
            ),
            None,
        ),
        (
            screens.completed(131, "Fix a typo in the help", 44),
            screens.pull(44, state="closed", merged=True),
        ),
    ]


def watch(state: Path, clone: Path) -> Watch:
    def give(number: int, text: str, question: Question | None) -> str:
        return f"got: {text} for {question['decision'] if question else 'no question'}"

    return Watch(state, str(clone), give, lambda: screens.NOW)


async def draw(
    folder: Path, held: ExitStack, size: tuple[int, int], keys: list[str], calm: bool = False
) -> str:
    """The screen as SVG after the keys were pressed."""
    state, clone = build(folder, held, calm)
    app = watch(state, clone)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        for key in keys:
            await pilot.press(key)
            await app.workers.wait_for_complete()
            await pilot.pause()
        app.poll()
        await pilot.pause()
        return app.export_screenshot(title="issue-orch watch")


def text_of(svg: str) -> str:
    """The characters of a picture, line by line; columns are not kept."""
    rows: dict[float, list[str]] = {}
    for y, inner in re.findall(r'<text[^>]* y="([\d.]+)"[^>]*>([^<]*)</text>', svg):
        rows.setdefault(float(y), []).append(html.unescape(inner).replace("\xa0", " "))
    return "\n".join("".join(parts).rstrip() for _, parts in sorted(rows.items())) + "\n"


def history(state: Path) -> None:
    phases = (
        (2260, "registered", "planning"),
        (1900, "planning", "working"),
        (720, "working", "stuck"),
    )
    for at, before, after in phases:
        append_entry(state, 124, Transition(before, after), screens.NOW - at)


def log(path: Path) -> None:
    def said(seconds: float, **block: object) -> None:
        line = json.dumps({"type": "assistant", "message": {"id": "m", "content": [block]}}) + "\n"
        if block["type"] == "tool_result":
            line = json.dumps({"type": "user", "message": {"content": [block]}}) + "\n"
        with open(path, "a") as file, open(f"{path}.times", "a") as times:
            file.write(line)
            times.write(f"{file.tell()} {screens.NOW - seconds}\n")

    said(
        300,
        type="text",
        text="The menu is a plain list. I add the export as a function of its own.",
    )
    said(280, type="tool_use", id="1", name="Edit", input={"file_path": "src/menu.py"})
    said(279, type="tool_result", tool_use_id="1")
    said(
        200,
        type="tool_use",
        id="2",
        name="Bash",
        input={"command": "pytest tests/test_export.py -q"},
    )
    said(140, type="tool_result", tool_use_id="2", is_error=True)
    said(120, type="text", text="An empty list has no header. [red]Fixed[/red] that.")
    said(60, type="tool_use", id="3", name="Bash", input={"command": "pytest -q"})
    said(20, type="tool_result", tool_use_id="3")
