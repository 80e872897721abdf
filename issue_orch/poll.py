"""What one poll works with, and what polls remember of a session: events that were handled, comments that are ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from .act import relaunch
from .context import Context
from .control import session
from .errors import Expected, RateLimited, SignInFailed
from .lease import Lease
from .model import Issue, Pull, SessionStatus
from .pull_facts import Counts, Permission
from .store import load_json, session_folder, write_json

if TYPE_CHECKING:
    from .github import GitHub

Memory = dict[str, Any]


class Pass(NamedTuple):
    """One poll. `me` is the token's login where it matters; `issues` are the ready ones, others come when asked for."""

    context: Context
    gh: GitHub
    now: float
    me: str | None
    permission: Permission
    counts: Counts
    pulls: tuple[Pull, ...]
    issues: dict[int, Issue]
    secrets: tuple[str, ...]

    def status(self, number: int) -> SessionStatus:
        return session(self.context.state, number)

    def issue(self, number: int) -> Issue:
        """The issue as it is now. Those that are ready came in one list; only others cost a request."""
        if number not in self.issues:
            self.issues[number] = self.gh.fetch_issue(number)
        return self.issues[number]

    def relaunch(self, status: SessionStatus, lease: Lease) -> None:
        relaunch(self.context, status, lease)


def guarded(work: Callable[[Pass, int], list[str]], run: Pass, number: int) -> list[str]:
    """`work` for one session: its fault becomes its line. A rate limit or a refused token concerns all."""
    try:
        return work(run, number)
    except (RateLimited, SignInFailed):
        raise
    except Expected as error:
        return [f"#{number}: {error.message.removeprefix(f'#{number}: ')}"]


def load_memory(run: Pass, number: int) -> Memory:
    found = load_json(session_folder(run.context.state, number) / "followup.json") or {}
    return {"handled": [], "rounds": 0, **found}


def save_memory(run: Pass, number: int, memory: Memory) -> None:
    write_json(session_folder(run.context.state, number) / "followup.json", memory, durable=True)
