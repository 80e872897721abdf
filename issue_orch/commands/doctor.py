"""`issue-orch doctor`: look at everything, say how to mend it, and mend what is safe."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain

from ..actions.context import Context, open_context
from ..actions.doctor import Check, examine, orphans, stale_locks
from ..actions.launch import foreign, load_intent
from ..config.keys import Config
from ..core.model import Branch, CommitSha, RepoName, SessionStatus
from ..errors import Expected
from ..git import worktree
from ..git.run import find_admin_dir, find_repo, find_sha
from ..process.run import end_marked
from ..store.files import archive, load_sessions, make_state
from ..store.leases import probe, take
from ..terminal.io import colours, print_json, say
from ..text import one_line, sanitise

MARKS = {"ok": ("ok     ", "32"), "warning": ("warning", "33"), "error": ("error  ", "31")}


def doctor(fix: bool, dry_run: bool, as_json: bool) -> int:
    """Exit code 1 when there is an error left."""
    context, first = open_anyway()
    mended = mend(context, dry_run) if fix else []
    checks: list[Check] = []
    for check in chain((first,), examine(context, first.state == "ok")):
        checks.append(check)
        if not as_json:
            show(check)
    if as_json:
        found = {
            "schemaVersion": 1,
            "checks": [check._asdict() for check in checks],
            "mended": mended,
        }
        print_json(found)
    return int(any(check.state == "error" for check in checks))


def open_anyway() -> tuple[Context, Check]:
    """With a broken configuration the rest is looked at under the defaults. Raises Expected outside a clone."""
    try:
        return open_context(), Check(
            "configuration", "ok", "is understood, and approved where it has to be"
        )
    except Expected as error:
        found = Check("configuration", "error", one_line(error.message, 500), sanitise(error.hint))
    repo = find_repo(os.getcwd())
    return Context(
        repo, make_state(repo.common_dir), Config(), RepoName("owner/name"), "", os.environ
    ), found


def mend(context: Context, dry_run: bool) -> list[str]:
    done = []
    for text, act in list(mends(context)):
        how = "would" if dry_run else "done:"
        try:
            if not dry_run:
                act()
        except (Expected, OSError) as error:
            how = f"failed ({error}):"
        say(f"{how} {sanitise(text)}")
        done.append(text)
    if not done:
        say("Nothing to mend by itself.")
    return done


def mends(context: Context) -> Iterator[tuple[str, Callable[[], object]]]:
    """What crashes left behind that can be mended: words, and what to do. Nothing here touches what a worker wrote."""
    for number, pids in orphans(context).items():
        yield (
            f"#{number}: end {len(pids)} processes whose worker is gone",
            partial(end, context, number),
        )
    for name in stale_locks(context):
        yield f"remove {name}", partial(unlock, context, name)
    for status in load_sessions(context.state)[0]:
        number, path = status["issueNumber"], status["worktreePath"]
        admin = find_admin_dir(context.repo, path)
        missing = admin is None and not os.path.lexists(path)
        cut_off = admin is not None and worktree.is_empty(path, admin)
        if not (missing or cut_off) or foreign(context, status) or probe(context.state, number):
            continue
        if status["status"] == "registered" and not status["attempt"]:
            if missing:  # else `spawn` takes it up
                yield (
                    f"#{number}: forget its start, which was cut off before it made anything",
                    partial(forget, context, status),
                )
        elif find_sha(context.repo, f"refs/heads/{status['branch']}"):
            yield (
                f"#{number}: check {status['branch']} out again in {path}",
                partial(restore, context, status),
            )


def end(context: Context, number: int) -> None:
    with take(context.state, number, "doctor", wait=0):
        end_marked(str(context.state), number)


def unlock(context: Context, name: str) -> None:
    if name in stale_locks(context):  # looked at again: somebody may have taken it meanwhile
        os.unlink(name)


def forget(context: Context, status: SessionStatus) -> None:
    number = status["issueNumber"]
    with take(context.state, number, "doctor", wait=0):
        intent = load_intent(context.state, status)
        worktree.take_back(
            context.repo, Branch(status["branch"]), CommitSha(status["baseSha"]), intent
        )
        archive(context.state, number, time.time())


def restore(context: Context, status: SessionStatus) -> None:
    """The worktree of a session, made anew from its branch. What was not committed went with the folder."""
    path = status["worktreePath"]
    with take(context.state, status["issueNumber"], "doctor", wait=0):
        worktree.register(
            context.repo,
            path,
            Branch(status["branch"]),
            CommitSha(status["baseSha"]),
            load_intent(context.state, status),
            reuse=True,
            remote=context.config.remote,
        )
        worktree.check_out(context.repo, path)
        worktree.copy_listed(context.repo, path)


def show(check: Check) -> None:
    word, code = MARKS[check.state]
    mark = f"\x1b[{code}m{word}\x1b[0m" if colours(sys.stdout) else word
    sys.stdout.write(f"{mark}  {check.name}: {check.text}\n")
    if check.mend:
        sys.stdout.write(f"         -> {check.mend}\n")
    sys.stdout.flush()
