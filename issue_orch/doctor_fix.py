"""What crashes leave behind, and mending it. Nothing here touches what a worker wrote."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from glob import escape, glob
from typing import NamedTuple

from . import git, worktree
from .act import write_identity
from .context import Context
from .errors import Expected
from .lease import probe, take
from .model import Branch, CommitSha, SessionStatus
from .process import MARKER, end_marked, find_marked, read_environ
from .store import archive, load_sessions

STALE_LOCK = 600.0


class Mend(NamedTuple):
    """Something that can be mended; `do` may raise Expected."""

    text: str
    do: Callable[[], object]


def mends(context: Context) -> Iterator[Mend]:
    for number, pids in orphans(context).items():
        yield Mend(f"#{number}: end {len(pids)} processes whose worker is gone", partial(end, context, number))
    for name in stale_locks(context):
        yield Mend(f"remove {name}", partial(unlock, context, name))
    for status in load_sessions(context.state)[0]:
        number, path = status["issueNumber"], status["worktreePath"]
        missing = not os.path.lexists(path) and git.find_admin_dir(context.repo, path) is None
        if not missing or probe(context.state, number):
            continue
        if status["status"] == "registered" and not status["attempt"]:
            yield Mend(f"#{number}: forget its start, which was cut off before it made anything",
                       partial(forget, context, number))
        elif git.find_sha(context.repo, f"refs/heads/{status['branch']}"):
            yield Mend(f"#{number}: check {status['branch']} out again in {path}", partial(restore, context, status))


def fix(context: Context, dry_run: bool) -> Iterator[tuple[str, Expected | OSError | None]]:
    """Each thing that was, or would be, mended, and what went wrong with it."""
    for mend in list(mends(context)):
        problem: Expected | OSError | None = None
        try:
            if not dry_run:
                mend.do()
        except (Expected, OSError) as error:
            problem = error
        yield mend.text, problem


def end(context: Context, number: int) -> None:
    with take(context.state, number, "doctor", wait=0):
        end_marked(str(context.state), number)


def unlock(context: Context, name: str) -> None:
    if name in stale_locks(context):  # looked at again: somebody may have taken it meanwhile
        os.unlink(name)


def forget(context: Context, number: int) -> None:
    with take(context.state, number, "doctor", wait=0):
        archive(context.state, number, time.time())


def restore(context: Context, status: SessionStatus) -> None:
    """The worktree of a session, made anew from its branch. What was not committed went with the folder."""
    path = status["worktreePath"]
    with take(context.state, status["issueNumber"], "doctor", wait=0):
        worktree.register(context.repo, path, Branch(status["branch"]), CommitSha(status["baseSha"]), ours=True,
                          remote=context.config.remote)
        worktree.check_out(context.repo, path)
        worktree.copy_listed(context.repo, path)
        write_identity(context, status)


def orphans(context: Context) -> dict[int, list[int]]:
    """Processes that workers started, by session, where no worker lives any more."""
    found: dict[int, list[int]] = {}
    for pid in find_marked(str(context.state), None):
        marked = re.search(rb"(?:^|\0)" + MARKER.encode() + rb"=(\d+)\.", read_environ(pid))
        if marked and not probe(context.state, int(marked[1])):
            found.setdefault(int(marked[1]), []).append(pid)
    return dict(sorted(found.items()))


def stale_locks(context: Context) -> list[str]:
    """git's lock files that are old and that no process has open."""
    common = escape(context.repo.common_dir)
    names = [name for where in ("*.lock", "worktrees/*/*.lock", "refs/**/*.lock")
             for name in glob(f"{common}/{where}", recursive=True)]
    return [name for name in names if time.time() - os.lstat(name).st_mtime > STALE_LOCK and not is_open(name)]


def is_open(path: str) -> bool:
    """Whether a process that we may look at has the file open."""
    for link in glob("/proc/[0-9]*/fd/*"):
        try:
            if os.readlink(link) == path:
                return True
        except OSError:
            continue
    return False
