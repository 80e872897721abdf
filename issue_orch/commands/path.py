"""`issue-orch path`: where the worktree of a session lies, and nothing else, for shells and scripts."""

from __future__ import annotations

import os

from ..errors import Expected
from ..store.look import find_state, load_session


def path(number: int | None) -> int:
    if number is None:
        from ..actions.naming import issue_here

        number = issue_here()
    print(worktree_of(number))
    return 0


def worktree_of(number: int) -> str:
    """The folder. Raises Expected when it is not there."""
    where = load_session(find_state(), number)["worktreePath"]
    if not os.path.isdir(where):
        raise Expected(f"#{number}: its worktree {where} is gone", "issue-orch doctor")
    return where
