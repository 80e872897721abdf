"""How people name an issue: its number, its address, that of its pull, its branch, or the worktree that they are in."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from ..core.model import find_number
from ..core.record import SessionStatus
from ..errors import Usage
from ..store.files import load_sessions
from ..store.look import find_state
from .context import open_context

ADDRESS = re.compile(
    r"(?:https?://(?:www\.)?(?P<host>[^/]+)/)?(?P<repo>[^/#]+/[^/#]+)"
    r"(?:#|/(?P<kind>issues|pull)/)(?P<number>[0-9]+)(?:[/?#].*)?"
)


def issue_of(word: str) -> int:
    """`124`, `#124`, `owner/name#124`, the address of the issue or of its pull, or the branch of its session."""
    number, branch = find_number(word.removeprefix("#")), word.removeprefix("refs/heads/")
    if number:
        return number
    found = _find(lambda each: each["branch"] == branch)
    if found is None and (named := ADDRESS.fullmatch(word)):
        _refuse_other_repository(named["host"], named["repo"])
        if named["kind"] == "pull":
            end = f"/pull/{int(named['number'])}"
            found = _find(lambda each: (each["pullRequestUrl"] or "").endswith(end))
        else:
            found = find_number(named["number"])
    if found is None:
        raise Usage(f"{word!r} is no issue and no session's pull or branch", "issue-orch status")
    return found


def _refuse_other_repository(host: str | None, repo: str) -> None:
    context = open_context()
    ours = urlsplit(context.base_url).netloc.removeprefix("api.")
    if repo.casefold() != context.name.casefold() or (host or ours).casefold() != ours.casefold():
        raise Usage(
            f"this clone is of {ours}/{context.name}, not of {host or ours}/{repo}",
            f"cd into a clone of {repo}",
        )


def issue_here() -> int:
    """The issue in whose worktree the command is typed."""
    here = os.path.realpath("")
    found = _find(lambda each: f"{here}/".startswith(f"{os.path.realpath(each['worktreePath'])}/"))
    if found is None:
        raise Usage(
            "which issue? Give its number (this is no session's worktree)", "issue-orch status"
        )
    return found


def _find(fits: Callable[[SessionStatus], bool]) -> int | None:
    sessions, _ = load_sessions(find_state())
    return next((each["issueNumber"] for each in sessions if fits(each)), None)
