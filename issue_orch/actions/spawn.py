"""Acting: from decided starts to living workers. Every step is idempotent, so a crash at any point is taken up again."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..config.approval import approved_folder
from ..core.history import Failed, Registered
from ..core.model import Branch, Issue
from ..core.plan import Eligible
from ..core.record import SessionStatus, new_status
from ..errors import Expected, of_system
from ..git import checkout, remote, worktree
from ..git.run import check_signing, find_admin_dir, git, identity, wants_signing
from ..store import ledger
from ..store.files import (
    archive,
    iso,
    load_status,
    make_session,
    save_status,
    session_folder,
    session_numbers,
    write_json,
    write_text,
)
from ..store.history import append_entry
from ..store.inbox import pending, write_context
from ..store.leases import Lease, check_locks, probe, take
from .context import Base, Context, fetch_base, numbers, refuse_changed_keys, worktree_path
from .launch import (
    Starting,
    load_adapter,
    make_worktree,
    report_command,
    require_agent,
    run_setup,
    starting_supervisors,
)
from .taken import Adopted, Branches, find_living
from .whereabouts import load_intent, was_cut_off

if TYPE_CHECKING:
    pass

T = TypeVar("T")
Ahead = (
    checkout.Checkouts | None
)  # of the base as it was, made while it is found out what is wanted
SPARE_BYTES = 200_000_000


class Start(NamedTuple):
    """A session that is to be started, as it will be. `prompt` is rendered already, so that a broken template makes nothing.

    `there`: the commit at which the remote has its branch, which is continued. The rest is the same for all of one command:
    whether branches are continued, who commits, the keys of git's configuration that run something, and whether workers sign.
    """

    status: SessionStatus
    prompt: str
    there: str
    reuse: bool
    identity: str
    keys: dict[str, str]
    signs: bool

    @property
    def number(self) -> int:
        return self.status["issueNumber"]


Tell = Callable[[Start, Expected | None], object]


class Place(NamedTuple):
    """A start that was admitted, with what it, or an earlier attempt, wrote down before anything was made."""

    start: Start
    lease: Lease
    status: SessionStatus
    intent: worktree.Intent


def spawn(
    context: Context, starts: list[Start], ahead: Ahead = None, tell: Tell = lambda *_: None
) -> list[Expected | None]:
    """Start them side by side; each succeeds, which is None, or fails for itself, and is told as soon as that is known.
    Places are taken in the order given. Those `ahead` are taken where they fit."""
    check_locks(context.state)
    places = [_attempt(_take_place, context, start) for start in starts]
    taken, results = [place for place in places if isinstance(place, Place)], []
    with ThreadPoolExecutor(max_workers=2 * (os.cpu_count() or 1)) as pool:
        begun = _start_all(context, taken, ahead, pool)
        for start, place in zip(starts, places, strict=True):
            results.append(next(begun) if isinstance(place, Place) else place)
            tell(start, results[-1])
        next(begun, None)  # what is not begun is ended
    return results


def _attempt(step: Callable[..., T], *words: Any) -> T | Expected:
    try:
        return step(*words)
    except (Expected, OSError) as error:
        return of_system(error)


def _take_place(context: Context, start: Start) -> Place:
    """Its lease and its intent. What was made stays when a later step fails, and is taken up again."""
    require_agent(context)
    lease = take(context.state, start.number, "spawn")
    try:
        return Place(start, lease, *_admit(context, start))
    except BaseException:
        lease.release()
        raise


def _admit(context: Context, start: Start) -> tuple[SessionStatus, worktree.Intent]:
    """Under the admission lock: no active session, a free slot, room below the ceilings; then the intent is written."""
    number = start.number
    with take(context.state, "admission", "spawn", wait=30):
        existing = load_status(context.state, number)
        if existing and not was_cut_off(existing):
            words = f"#{number}: has a session already ({existing['status']})"
            raise Expected(words, f"issue-orch show {number}")
        if living := find_living(context.state, number):
            raise living
        _refuse_full(context, number)
        status, intent = start.status, worktree.Intent(f"issue-orch #{number} {token_hex(8)}")
        if existing:
            existing["agent"] = status["agent"]
            status, intent = existing, load_intent(context.state, existing)
        if start.reuse:
            head, _ = worktree.load_head(context.repo, status["branch"])
            intent = intent._replace(continues=head or start.there)
        make_session(context.state, number)
        # First: a session without its intent would be taken for one of an older version.
        entry = Registered(status["branch"], status["base"], intent.mark, intent.continues)
        append_entry(context.state, number, entry, time.time())
        save_status(context.state, status)
    return status, intent


def _refuse_full(context: Context, number: int) -> None:
    """Raises Expected without a free slot, or without money; what it may spend is reserved."""
    state, slots = context.state, context.config.max_workers
    running = [other for other in session_numbers(state) if other != number and probe(state, other)]
    if len(running) >= slots:
        words = f"#{number}: all {slots} places are taken by {numbers(running)}"
        raise Expected(words, "wait, or raise max_workers")
    room = ledger.reserve(state, number, 1, context.ceilings, slots, time.time())
    if room and room.usd <= 0:
        raise Expected(f"#{number}: {room.why}", room.hint)


def _start_all(
    context: Context, places: list[Place], ahead: Ahead, pool: ThreadPoolExecutor
) -> Iterator[Expected | None]:
    """Their supervisors import while the worktrees are made. A result for each place, as soon as it is known."""
    if not places:
        return
    sessions = [(place.status, place.lease) for place in places]
    try:
        with starting_supervisors(context, sessions) as supervisors:
            start = partial(_attempt, _start_one, context, ahead)
            yield from pool.map(start, places, supervisors)
    except OSError as error:  # the system allows no more processes
        for place in places:
            with place.lease:
                _roll_back(context, place, of_system(error))
        yield from [of_system(error)] * len(places)


def _start_one(context: Context, ahead: Ahead, place: Place, supervisor: Starting) -> None:
    with place.lease:
        try:
            _prepare(context, place, ahead)
        except (Expected, OSError) as error:
            _roll_back(context, place, of_system(error))
            supervisor.abandon()
            raise
        supervisor.begin(place.start.identity)


def _prepare(context: Context, place: Place, ahead: Ahead) -> None:
    """Worktree with its files, a commit that could be made there, setup, prompt, context."""
    repo, start, status = context.repo, place.start, place.status
    path, folder = status["worktreePath"], session_folder(context.state, start.number)
    free = shutil.disk_usage(os.path.dirname(path)).free
    if free < SPARE_BYTES:
        words = f"only {free // 1_000_000} MB are free at {os.path.dirname(path)}"
        raise Expected(words, "make room on that disk")
    make_worktree(context, status, place.intent, start.reuse, start.there, ahead)
    checkout.populate_submodules(repo, path)
    if start.signs:
        check_signing(repo, path)
    write_json(folder / "keys.json", start.keys)
    write_context(status, context.name, context.state)
    run_setup(context, path, folder / "setup.log")
    write_text(folder / "prompt.md", start.prompt, durable=True)


def _roll_back(context: Context, place: Place, error: Expected) -> None:
    """Nothing half-made stays: without a worktree of its own the intent goes; with one it stays, to be taken up by `spawn`."""
    state, number, status = context.state, place.start.number, place.status
    path = status["worktreePath"]
    if context.ceilings.limited:
        ledger.reserve_line(state, number, time.time(), 1, None)
    admin = find_admin_dir(context.repo, path)
    if admin and worktree.is_own(path, admin, place.intent):
        status["failure"] = error.message
        save_status(state, status)
        append_entry(state, number, Failed(error.message), time.time())
    elif pending(state, number):  # somebody told it something
        archive(state, number, time.time())
    else:
        folder = session_folder(state, number)
        (folder / "status.json").unlink()  # first: what is left without it is no session
        shutil.rmtree(folder)


# -- before anything is made


def checkouts_ahead(
    context: Context, issues: list[int], base: Base | None
) -> AbstractContextManager[checkout.Checkouts]:
    """Checkouts of the base as it was, for the issues that have no session yet; none where they could not be moved."""
    state = context.state
    new = [number for number in {*issues} if not session_folder(state, number).exists()]
    if not (base and new) or shutil.disk_usage(state).free < SPARE_BYTES:
        return nullcontext([])
    parent = os.path.dirname(worktree_path(context, new[0]))
    if not os.path.isdir(parent) or os.stat(parent).st_dev != os.stat(state).st_dev:
        return nullcontext([])
    refuse_changed_keys(context)
    count = min(len(new), context.config.max_workers)
    return checkout.checkouts_ahead(context.repo, str(state / "ahead"), base.sha, count)


def make_starts(
    context: Context, eligible: Iterable[Eligible], branches: Branches, default: Base
) -> list[Start]:
    """Everything that can fail before anything is made: bases, prompts, what git would run, who commits."""
    bases = {default.branch: default}
    for branch in {Branch(each.base) for each in eligible if each.base} - {default.branch}:
        bases[branch] = Base(branch, fetch_base(context, branch))
    signs = context.config.git_sign != "off" and wants_signing(context.repo)
    shared = (branches.reuse, identity(context.repo), refuse_changed_keys(context), signs)
    if shutil.which("git-lfs") is None:
        for base in bases.values():
            if remote.uses_lfs(context.repo, base.sha):
                words = f"{base.branch} has files in LFS, and git-lfs is not installed"
                raise Expected(words, "install git-lfs, then git lfs install")
    starts = []
    for each in eligible:
        base = bases[Branch(each.base or default.branch)]
        status = _status_of(context, each.issue, base, branches.adopted)
        head, there = branches.continued(status)
        span = f"{status['baseSha']}..{head}"
        earlier = len(git(context.repo, "rev-list", span).stdout.split()) if head else 0
        prompt = _render_prompt(context, each.issue, status, earlier)
        starts.append(Start(status, prompt, there, *shared))
    return starts


def _status_of(
    context: Context, issue: Issue, base: Base, adopted: Adopted | None
) -> SessionStatus:
    """As it was written when its start was cut off, else a new one."""
    existing = load_status(context.state, issue.number)
    if existing and was_cut_off(existing):
        existing["agent"] = context.config.agent
        return existing
    status = _new_status(context, issue, base)
    if adopted:
        status["branch"], status["baseSha"] = adopted.branch, adopted.fork
        status["pullRequestUrl"] = adopted.pull.url if adopted.pull else None
    return status


def _new_status(context: Context, issue: Issue, base: Base) -> SessionStatus:
    return new_status(
        issue.number,
        issueTitle=issue.title,
        branch=context.config.branch.format(number=int(issue.number)),
        worktreePath=worktree_path(context, issue.number),
        startedAt=iso(time.time()),
        repo=context.name,
        issueUrl=issue.url,
        base=base.branch,
        baseSha=base.sha,
        agent=context.config.agent,
    )


def _render_prompt(context: Context, issue: Issue, status: SessionStatus, earlier: int) -> str:
    from ..config.templates import render, repository_notes, task

    agent = status["agent"]
    instructions = load_adapter(agent).CAPABILITIES.instructions
    return render(
        "session",
        approved_folder(context.state),
        number=issue.number,
        url=issue.url,
        task=task(issue),
        repo=context.name,
        base=status["base"],
        branch=status["branch"],
        worktree=status["worktreePath"],
        earlier=earlier,
        pull=status["pullRequestUrl"],
        report=report_command(),
        worker_opens_pull=context.config.pulls_open == "worker",
        repository_notes=repository_notes(context.repo.main, agent, instructions),
    )
