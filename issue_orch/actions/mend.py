"""What `doctor --fix` mends: what crashes left behind. Nothing here touches what a worker wrote."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from glob import escape, glob
from pathlib import Path

from ..core.record import SessionStatus
from ..errors import Expected
from ..git import worktree
from ..git.checkout import find_overwritten, lacks_index
from ..git.leftovers import find_abandoned, sweep
from ..git.run import TurnedBare, environment, find_admin_dir
from ..process.run import run
from ..process.survivors import end_worker, find_workers
from ..store.files import archive, load_sessions
from ..store.launch import leaders
from ..store.leases import probe, take
from .context import Context
from .launch import make_worktree
from .whereabouts import load_intent, misplaced, was_cut_off

STALE_LOCK = 600.0  # seconds


def mend(context: Context, dry_run: bool) -> Iterator[tuple[str, str]]:
    """What was done, or would be: how it went, and the words for it."""
    for text, act in list(_mends(context)):
        how = "would" if dry_run else "done:"
        try:
            if not dry_run:
                act()
        except (Expected, OSError) as error:
            how = f"failed ({error}):"
        yield how, text


def mend_bare(found: TurnedBare, dry_run: bool) -> tuple[str, str]:
    """As `mend`; git has to be told which file, for it does not take such a clone for one."""
    for name in ("config", "config.worktree"):
        file = Path(found.common_dir, name)
        if file.is_file() and not dry_run:
            set_bare = ("git", "config", "--file", str(file))
            asked = (*set_bare, "--type=bool", "--get", "core.bare")
            if run(*asked, env=environment(), check=False).stdout.strip() == "true":
                run(*set_bare, "--replace-all", "core.bare", "false", env=environment())
    return "would" if dry_run else "done:", "set core.bare to false"


def orphans(context: Context) -> dict[int, list[int]]:
    """Processes that workers started, by session, where no worker lives any more."""
    found = find_workers(str(context.state), leaders(context.state))
    return {each: found[each] for each in sorted(found) if not probe(context.state, each)}


def stale_locks(context: Context) -> list[str]:
    """git's lock files that are old and that no process has open."""
    common = escape(context.repo.common_dir)
    places = (
        "*.lock",
        "refs/**/*.lock",
        "reftable/*.lock",
        "worktrees/*/*.lock",
        "worktrees/*/reftable/*.lock",
    )
    names = [name for where in places for name in glob(f"{common}/{where}", recursive=True)]
    return [
        name
        for name in names
        if time.time() - os.lstat(name).st_mtime > STALE_LOCK and not _is_open(name)
    ]


def _is_open(path: str) -> bool:
    """Whether a process that we may look at has the file open."""
    for link in glob("/proc/[0-9]*/fd/*"):
        with suppress(OSError):
            if os.readlink(link) == path:
                return True
    return False


def _mends(context: Context) -> Iterator[tuple[str, Callable[[], object]]]:
    """What crashes left behind that can be mended: words, and what to do. Nothing here touches what a worker wrote."""
    for number, pids in orphans(context).items():
        yield (
            f"#{number}: end {len(pids)} processes whose worker is gone",
            partial(_end, context, number),
        )
    for name in stale_locks(context):
        yield f"remove {name}", partial(_unlock, context, name)
    if left := find_abandoned(context.repo.common_dir):
        yield (
            f"delete the files of {len(left)} removed worktrees",
            partial(sweep, context.repo.common_dir),
        )
    for status in load_sessions(context.state)[0]:
        number, path = status["issueNumber"], status["worktreePath"]
        admin = find_admin_dir(context.repo, path)
        missing = admin is None and not os.path.lexists(path)
        cut_off = admin is not None and lacks_index(admin)
        if (
            not (missing or cut_off)
            or misplaced(context, status)[0]
            or probe(context.state, number)
        ):
            continue
        if cut_off and find_overwritten(context.repo, path):
            continue  # the checks say what to do
        if was_cut_off(status):
            if missing:  # else `spawn` takes it up
                yield (
                    f"#{number}: forget its start, which was cut off before it made anything",
                    partial(_forget, context, status),
                )
        elif _is_free(context, status):
            yield (
                f"#{number}: check {status['branch']} out again in {path}",
                partial(_restore, context, status),
            )


def _is_free(context: Context, status: SessionStatus) -> bool:
    """Whether its branch is there, and can be checked out where its worktree was."""
    head, where = worktree.load_head(context.repo, status["branch"])
    return bool(head) and where in ("", status["worktreePath"])


def _end(context: Context, number: int) -> None:
    with take(context.state, number, "doctor", wait=0):
        end_worker(str(context.state), number, leaders(context.state).get(number))


def _unlock(context: Context, name: str) -> None:
    if name in stale_locks(context):  # looked at again: somebody may have taken it meanwhile
        os.unlink(name)


def _forget(context: Context, status: SessionStatus) -> None:
    number = status["issueNumber"]
    with take(context.state, number, "doctor", wait=0):
        intent = load_intent(context.state, status)
        worktree.take_back(context.repo, status["branch"], status["baseSha"], intent)
        archive(context.state, number, time.time())


def _restore(context: Context, status: SessionStatus) -> None:
    """The worktree of a session, made anew from its branch. What was not committed went with the folder."""
    with take(context.state, status["issueNumber"], "doctor", wait=0):
        make_worktree(context, status, load_intent(context.state, status), True)
