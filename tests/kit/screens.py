"""Made-up sessions for screens: as values, and as files in a state folder. The clock stands still at NOW."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from issue_orch.core.headline import Observed, headline
from issue_orch.core.record import PullFacts, SessionStatus, new_status
from issue_orch.store.files import iso, make_session, make_state, save_status, seconds, write_json
from issue_orch.store.look import Seen
from issue_orch.terminal.sessions import status_text

NOW = 1_790_000_000.0

HOSTILE = (
    "日本語のとても長い題名がここにあり、端末の幅を大きく超えてしまうことがあります",
    "🚀 Emoji 👩‍💻 with joiners ❤️ and flags 🇩🇪 in a title that goes on for much longer than that",
    "עברית כותרת من اليمين إلى اليسار",
    "\x1b[31mred\x1b[0m \x1b]8;;https://evil.example\x07click\x1b]8;;\x07 \x1b[2J\x1b[Hgone",
    "reversed \u202egnp.exe\u202c and zero\u200bwidth \x00\x07\x9b1m bytes",
    "[bold red]markup[/] and {braces} %s \\u0041",
    "line one\nline two\r\nline three\ttab",
    "",
)


def session(
    number: int, title: str, phase: str = "working", minutes: float = 45, **fields: Any
) -> SessionStatus:
    blank: dict[str, Any] = {
        "issueTitle": title,
        "status": phase,
        "startedAt": iso(NOW - minutes * 60),
        "lastHeartbeat": iso(NOW - 4),
        "branch": f"issue-{number}",
        "worktreePath": f"/home/you/widgets-issue-{number}",
        "repo": "acme/widgets",
        "base": "main",
        "baseSha": "1f3e5a7b9c0d2e4f1f3e5a7b9c0d2e4f1f3e5a7b",
        "agent": "claude",
        "attempt": 1,
        "issueUrl": f"https://github.com/acme/widgets/issues/{number}",
    }
    return new_status(number, **{**blank, **fields})


def question(decision: str, *options: str, minutes: float = 12) -> dict[str, Any]:
    return {
        "id": "q1",
        "decision": decision,
        "options": list(options),
        "default": options[0] if options else None,
        "context": "Both are easy now and hard to change later.",
        "askedAt": iso(NOW - minutes * 60),
    }


def changes(files: int, insertions: int, deletions: int) -> dict[str, int]:
    return {"files": files, "insertions": insertions, "deletions": deletions}


def cost(usd: float) -> dict[str, Any]:
    return {"usd": usd, "inputTokens": int(usd * 100_000), "outputTokens": int(usd * 9_000)}


def pull(number: int, minutes: float = 2, **fields: Any) -> PullFacts:
    url = f"https://github.com/acme/widgets/pull/{number}"
    facts: Any = {
        "number": number,
        "url": url,
        "state": "open",
        "merged": False,
        "base": "main",
        "fetchedAt": iso(NOW - minutes * 60),
    }
    return {**facts, **fields}


def completed(number: int, title: str, of: int, **fields: Any) -> SessionStatus:
    url = f"https://github.com/acme/widgets/pull/{of}"
    return session(number, title, "complete", 180, pullRequestUrl=url, **fields)


def three() -> list[tuple[SessionStatus, PullFacts | None]]:
    return [
        (
            session(
                123,
                "Add export button",
                changes=changes(3, 42, 5),
                cost=cost(0.42),
                lastActivity={"at": iso(NOW), "text": "Bash: pytest tests/test_export.py -q"},
            ),
            None,
        ),
        (
            session(
                124,
                "Implement auth flow",
                "stuck",
                38,
                question=question(
                    "Token refresh approach", "sliding expiration", "fixed expiration"
                ),
                stuckReason="Token refresh approach",
                cost=cost(1.1),
            ),
            None,
        ),
        (
            completed(125, "Add dark mode", 42, changes=changes(7, 210, 34), cost=cost(2.75)),
            pull(42, checks="passing", review="approved"),
        ),
    ]


def twelve() -> list[tuple[SessionStatus, PullFacts | None]]:
    failing: Any = [{"name": "test (3.12)"}, {"name": "lint"}]
    return [
        *three(),
        (
            session(
                126,
                HOSTILE[0],
                "planning",
                3,
                lastActivity={"at": iso(NOW), "text": "Read: src/メニュー.py"},
            ),
            None,
        ),
        (
            session(
                127, HOSTILE[1], "stuck", 1500, stuckReason=HOSTILE[3], failure="crash", attempt=4
            ),
            None,
        ),
        (
            session(
                128, HOSTILE[2], minutes=300, lastHeartbeat=iso(NOW - 400), changes=changes(1, 1, 0)
            ),
            None,
        ),
        (
            completed(129, HOSTILE[3], 43, changes=changes(120, 10_432, 9_876), cost=cost(123.4)),
            pull(
                43,
                240,
                checks="failing",
                failingChecks=failing,
                review="changes_requested",
                mergeable=True,
            ),
        ),
        (completed(130, HOSTILE[4], 44), pull(44, mergeable=False, checks="pending")),
        (session(131, HOSTILE[5], hold="paused"), None),
        (completed(132, HOSTILE[6], 45), pull(45, state="closed", merged=True)),
        (session(133, HOSTILE[7], "registered", 0.2), None),
        (
            session(
                100_134,
                "A number of six digits",
                retryAt=iso(NOW + 600),
                failure="rate limited by the provider",
            ),
            None,
        ),
    ]


def scene(count: int) -> list[tuple[SessionStatus, PullFacts | None]]:
    rows = twelve() if count >= 12 else three()[:count]
    for number in range(len(rows), count):
        title = HOSTILE[number % len(HOSTILE)] or f"Issue of the fleet, number {number}"
        row = session(
            1000 + number,
            title,
            "stuck" if number % 17 == 0 else "working",
            number,
            stuckReason="Which way?",
            changes=changes(number % 9, number, number // 2),
            cost=cost(number / 100),
        )
        rows.append((row, None))
    return rows


def seen(status: SessionStatus, facts: PullFacts | None) -> Seen:
    runs = status["status"] in {"planning", "working", "registered"} and not status["hold"]
    beat = NOW - seconds(status["lastHeartbeat"] or "")
    observed = Observed("supervisor" if runs else "", beat)
    return Seen(status, facts, headline(status, facts, observed), NOW)


def sights(count: int) -> list[Seen]:
    return [seen(*row) for row in scene(count)]


def write(common_dir: Path, rows: list[tuple[SessionStatus, PullFacts | None]]) -> Path:
    """The same as files. Returns the state folder."""
    state = make_state(common_dir)
    for status, facts in rows:
        folder = make_session(state, status["issueNumber"])
        save_status(state, status, durable=False)
        if facts is not None:
            write_json(folder / "pull.json", facts)
    return state


def issue_orch(cwd: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "issue_orch", *words],
        cwd=cwd,
        env={**os.environ, **env},
        text=True,
        capture_output=True,
        check=False,
        timeout=30,
    )


FOLDER = Path(__file__).parent / "screens"


def golden() -> dict[str, str]:
    """Every screen of `status` by its file name. Escapes are made visible."""
    sizes = itertools.product((0, 1, 3, 12, 200), (80, 100, 160))
    screens = {
        f"status-{count}-{width}.txt": status_text(sights(count), width, False)
        for count, width in sizes
    }
    coloured = {
        f"colour-{count}-100.txt": status_text(sights(count), 100, True) for count in (3, 12)
    }
    return {**screens, **{name: text.replace("\x1b", "ESC") for name, text in coloured.items()}}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in golden().items():
        (FOLDER / name).write_text(text)
