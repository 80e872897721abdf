"""`issue-orch path`: where the worktree of a session lies, and nothing else, for shells and scripts."""

from __future__ import annotations

import os

from ..store.look import find_git, load_worktree


def path(number: int | None) -> int:
    if number is None:
        from ..actions.naming import issue_here

        number = issue_here()
    print(load_worktree(os.path.join(find_git(), "issue-orch"), number))
    return 0
