"""Acting: from decided starts to living workers. Every step is idempotent, so a crash at any point is taken up again."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..agents import registry
from ..config.layers import approved_folder
from ..core.history import Failed, Registered
from ..core.model import Branch, CommitSha, Issue
from ..core.plan import Eligible
from ..core.record import SessionStatus, new_status
from ..errors import Expected, of_system
from ..git import remote, worktree
from ..git import run as git
from ..process.run import run
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
from . import launch
from .context import Context, fetch_base, numbers, refuse_changed_keys
from .launch import (
    Starting,
    adapter_name,
    ceilings,
    check_agent,
    load_intent,
    report_command,
    starting_supervisors,
)

if TYPE_CHECKING:
    from ..github.client import GitHub

T = TypeVar("T")
SPARE_BYTES = 200_000_000


class Common(NamedTuple):
    """What all starts of one command share: who commits, the keys of git's configuration that run something, and whether
    workers sign."""

    identity: str
    keys: dict[str, str]
    signs: bool


class Base(NamedTuple):
    """A branch of the remote, and where it is."""

    branch: Branch
    sha: CommitSha


class Start(NamedTuple):
    """An issue that is to be started. `prompt` is rendered already, so that a broken template makes nothing."""

    issue: Issue
    base: Base
    branch: Branch
    path: str
    agent: str
    reuse: bool
    prompt: str
    common: Common


class Place(NamedTuple):
    """A start that was admitted, with what it, or an earlier attempt, wrote down before anything was made."""

    start: Start
    lease: Lease
    status: SessionStatus
    intent: worktree.Intent


class Outcome(NamedTuple):
    """What became of one start; `error` is None when its agent runs."""

    number: int
    path: str
    branch: str
    error: Expected | None


def worktree_path(context: Context, number: int) -> str:
    """Where the worktree of an issue lies, as an absolute path with links resolved above it."""
    name = context.config.path.format(repo=context.name.rpartition("/")[2], number=int(number))
    path = os.path.normpath(os.path.join(context.repo.main, os.path.expanduser(name)))
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def branch_name(context: Context, number: int) -> Branch:
    return Branch(context.config.branch.format(number=int(number)))


def spawn(
    context: Context, starts: list[Start], ahead: worktree.Checkouts | None = None
) -> list[Outcome]:
    """Start them side by side; each succeeds or fails for itself. Those `ahead` are taken where they fit."""
    check_locks(context.state)
    with ThreadPoolExecutor(max_workers=2 * (os.cpu_count() or 1)) as pool:
        places = list(pool.map(lambda start: attempt(take_place, context, start), starts))
        begun = iter(
            start_all(
                context, [place for place in places if isinstance(place, Place)], ahead or [], pool
            )
        )
    errors = [place if isinstance(place, Expected) else next(begun) for place in places]
    return [
        Outcome(start.issue.number, start.path, start.branch, error)
        for start, error in zip(starts, errors, strict=True)
    ]


def attempt(step: Callable[..., T], *words: Any) -> T | Expected:
    try:
        return step(*words)
    except (Expected, OSError) as error:
        return of_system(error)


def take_place(context: Context, start: Start) -> Place:
    """Its lease and its intent. What was made stays when a later step fails, and is taken up again."""
    check_agent(context, start.agent)
    with ExitStack() as held:
        lease = held.enter_context(take(context.state, start.issue.number, "spawn"))
        place = Place(start, lease, *admit(context, start))
        held.pop_all()  # from here on it is the place's
    return place


def start_all(
    context: Context, places: list[Place], ahead: worktree.Checkouts, pool: ThreadPoolExecutor
) -> list[Expected | None]:
    """Their supervisors import while the worktrees are made."""
    if not places:
        return []
    try:
        with starting_supervisors(
            context, [(place.status, place.lease) for place in places]
        ) as supervisors:
            start = partial(attempt, start_one, context, ahead)
            return list(pool.map(start, places, supervisors))
    except OSError as error:  # the system allows no more processes
        for place in places:
            with place.lease:
                roll_back(context, place, of_system(error))
        return [of_system(error)] * len(places)


def start_one(
    context: Context, ahead: worktree.Checkouts, place: Place, supervisor: Starting
) -> None:
    with place.lease:
        try:
            prepare(context, place, ahead)
        except (Expected, OSError) as error:
            roll_back(context, place, of_system(error))
            supervisor.abandon()
            raise
        supervisor.begin(place.start.common.identity)


def admit(context: Context, start: Start) -> tuple[SessionStatus, worktree.Intent]:
    """Under the admission lock: no active session, a free slot, room below the ceilings; then the intent is written."""
    number = start.issue.number
    with take(context.state, "admission", "spawn", wait=30):
        existing = load_status(context.state, number)
        if existing is not None and (existing["attempt"] or existing["status"] != "registered"):
            raise Expected(
                f"#{number}: has a session already ({existing['status']})",
                f"issue-orch show {number}",
            )
        running = [
            other
            for other in session_numbers(context.state)
            if other != number and probe(context.state, other)
        ]
        if len(running) >= context.config.max_workers:
            raise Expected(
                f"#{number}: all {context.config.max_workers} places are taken by {numbers(running)}",
                "wait, or raise max_workers",
            )
        reserve(context, number)
        status = existing or registered(context, start)
        status["agent"] = start.agent
        intent = (
            load_intent(context.state, status)
            if existing
            else worktree.Intent(f"issue-orch #{number} {token_hex(8)}")
        )
        if start.reuse:
            head, _, upstream = worktree.load_heads(
                context.repo, Branch(status["branch"]), context.config.remote
            )
            intent = intent._replace(continues=head or upstream)
        make_session(context.state, number)
        # First: a session without its intent would be taken for one of an older version.
        entry = Registered(status["branch"], status["base"], intent.mark, intent.continues)
        append_entry(context.state, number, entry, time.time())
        save_status(context.state, status)
    return status, intent


def reserve(context: Context, number: int) -> None:
    room = ledger.reserve(
        context.state, number, 1, ceilings(context.config), context.config.max_workers, time.time()
    )
    if room is not None and room.usd <= 0:
        raise Expected(f"#{number}: {room.why}", room.hint)


def registered(context: Context, start: Start) -> SessionStatus:
    issue = start.issue
    return new_status(
        issue.number,
        issueTitle=issue.title,
        branch=start.branch,
        worktreePath=start.path,
        startedAt=iso(time.time()),
        repo=context.name,
        issueUrl=issue.url,
        base=start.base.branch,
        baseSha=start.base.sha,
        agent=start.agent,
    )


def prepare(context: Context, place: Place, ahead: worktree.Checkouts) -> None:
    """Worktree with its files, a commit that could be made there, setup, prompt, context."""
    start, status = place.start, place.status
    repo, number, path = context.repo, start.issue.number, status["worktreePath"]
    folder = session_folder(context.state, number)
    free = shutil.disk_usage(os.path.dirname(path)).free
    if free < SPARE_BYTES:
        raise Expected(
            f"only {free // 1_000_000} MB are free at {os.path.dirname(path)}",
            "make room on that disk",
        )
    head = worktree.register(
        repo,
        path,
        Branch(status["branch"]),
        CommitSha(status["baseSha"]),
        place.intent,
        reuse=start.reuse,
        remote=context.config.remote,
    )
    worktree.check_out(repo, path, head, ahead)
    worktree.copy_listed(repo, path)
    worktree.populate_submodules(repo, path)
    if start.common.signs:
        git.check_signing(repo, path)
    write_json(folder / "keys.json", start.common.keys)
    write_context(status, context.name, context.state)
    run_setup(context, path, folder)
    write_text(folder / "prompt.md", start.prompt, durable=True)


def run_setup(context: Context, path: str, folder: Path) -> None:
    """The team's commands in a fresh worktree, with the environment of a worker. What they print is kept."""
    deadline = time.monotonic() + context.config.setup_timeout
    environment = launch.service_environment(context, context.config.agent)
    for argv in context.config.setup:
        done = run(
            *argv,
            cwd=path,
            env=environment,
            timeout=max(1.0, deadline - time.monotonic()),
            check=False,
        )
        with open(folder / "setup.log", "a", encoding="utf-8", errors="replace") as log:
            log.write(f"$ {' '.join(argv)}\n{done.stdout}{done.stderr}")
        if done.code:
            raise Expected(
                f"setup: {' '.join(argv)} ended with code {done.code}",
                f"see {folder / 'setup.log'}",
            )


def roll_back(context: Context, place: Place, error: Expected) -> None:
    """Nothing half-made stays: without a worktree of its own the intent goes; with one it stays, to be taken up by `spawn`."""
    status = place.status
    number, path = status["issueNumber"], status["worktreePath"]
    if ceilings(context.config).limited:
        ledger.reserve_line(context.state, number, time.time(), 1, None)
    admin = git.find_admin_dir(context.repo, path)
    if admin is None or not worktree.is_own(path, admin, place.intent):
        if pending(context.state, number):  # somebody told it something
            archive(context.state, number, time.time())
        else:
            (
                session_folder(context.state, number) / "status.json"
            ).unlink()  # first: what is left without it is no session
            shutil.rmtree(session_folder(context.state, number))
        return
    status["failure"] = error.message
    save_status(context.state, status)
    append_entry(context.state, number, Failed(error.message), time.time())


def last_base(context: Context) -> Base | None:
    """The base as git last saw it: the configured one, or the default branch of the remote. None when git has seen none."""
    ref = f"refs/remotes/{context.config.remote}/{context.config.base or 'HEAD'}"
    asked = ("for-each-ref", "--count=1", "--format=%(symref:lstrip=3)%00%(objectname)", ref)
    symref, _, sha = git.git(context.repo, *asked).stdout.strip().partition("\0")
    return Base(Branch(context.config.base or symref), CommitSha(sha)) if sha else None


def find_default(context: Context, before: Base | None, connected: Callable[[], GitHub]) -> Base:
    """The base that GitHub names, as fetched now; the one that it was before is fetched while that is found out."""
    last = context.config.base or (before.branch if before else "")
    with ThreadPoolExecutor(max_workers=1) as pool:
        fetched = pool.submit(fetch_base, context, Branch(last)) if last else None
        branch = Branch(context.config.base or connected().fetch_repo().default_branch)
        if fetched is not None and branch == last:
            return Base(branch, fetched.result())
    return Base(branch, fetch_base(context, branch))


def checkouts_ahead(
    context: Context, numbers: list[int], base: Base | None
) -> AbstractContextManager[worktree.Checkouts]:
    """Checkouts of the base as it was, for the issues that have no session yet; none where they could not be moved."""
    new = [
        number
        for number in dict.fromkeys(numbers)
        if not session_folder(context.state, number).exists()
    ]
    parents = {os.path.dirname(worktree_path(context, number)) for number in new}
    near = all(
        os.path.isdir(parent) and os.stat(parent).st_dev == os.stat(context.state).st_dev
        for parent in parents
    )
    if base is None or not new or not near or shutil.disk_usage(context.state).free < SPARE_BYTES:
        return nullcontext([])
    refuse_changed_keys(context)
    count = min(len(new), context.config.max_workers)
    return worktree.checkouts_ahead(context.repo, str(context.state / "ahead"), base.sha, count)


def make_starts(
    context: Context, gh: GitHub, eligible: list[Eligible], reuse: bool, default: Base | None = None
) -> list[Start]:
    """Everything that can fail before anything is made: bases, prompts, what git would run, who commits."""
    default = default or find_default(context, last_base(context), lambda: gh)
    bases = {default.branch: default}
    for each in eligible:
        if each.base and each.base not in bases:
            bases[Branch(each.base)] = Base(
                Branch(each.base), fetch_base(context, Branch(each.base))
            )
    signs = context.config.git_sign != "off" and git.wants_signing(context.repo)
    common = Common(git.identity(context.repo), refuse_changed_keys(context), signs)
    if shutil.which("git-lfs") is None:
        for base in bases.values():
            if remote.uses_lfs(context.repo, base.sha):
                raise Expected(
                    f"{base.branch} has files in LFS, and git-lfs is not installed",
                    "install git-lfs, then git lfs install",
                )
    return [
        make_start(context, each.issue, bases[Branch(each.base or default.branch)], reuse, common)
        for each in eligible
    ]


def make_start(context: Context, issue: Issue, base: Base, reuse: bool, common: Common) -> Start:
    branch, path = branch_name(context, issue.number), worktree_path(context, issue.number)
    prompt = render_prompt(context, issue, base.branch, branch, path)
    return Start(issue, base, branch, path, context.config.agent, reuse, prompt, common)


def render_prompt(context: Context, issue: Issue, base: Branch, branch: Branch, path: str) -> str:
    from ..config.templates import render, repository_notes, task

    agent = context.config.agent
    return render(
        "session",
        approved_folder(context.state),
        number=issue.number,
        url=issue.url,
        task=task(issue),
        repo=context.name,
        base=base,
        branch=branch,
        worktree=path,
        report=report_command(),
        worker_opens_pull=context.config.pulls_open == "worker",
        repository_notes=repository_notes(
            context.repo.main, agent, registry.load(adapter_name(agent)).CAPABILITIES.instructions
        ),
    )
