"""What doctor looks at: small checks, each of which says ok, warning or error, one line, and how to mend it."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from glob import glob
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from ..agents import registry
from ..config import templates
from ..config.keys import BUILT_IN_AGENTS, Config
from ..core.model import RepoFacts, RepoName
from ..core.record import SessionStatus
from ..errors import Expected
from ..git import merges
from ..git.run import dangerous_keys, find_admin_dir, find_repo, identity, load_branches
from ..store.files import load_json, load_sessions, make_state
from ..store.leases import check_locks, probe
from ..store.ledger import booked_all, room
from ..text import one_line, sanitise
from . import spawn
from .context import Context, connect, how_to_undo, keys_changed, numbers, open_context, token_of
from .facts import fetch_me, issue_of_branch
from .launch import LEAVE, adapter_name, ceilings, check_agent, foreign
from .mend import orphans, stale_locks

if TYPE_CHECKING:
    from ..github.client import GitHub

FIX = "issue-orch doctor --fix"
MIN_FREE = 1_000_000_000


class Check(NamedTuple):
    """One finding. `mend` is what to type or do; empty when all is well."""

    name: str
    state: Literal["ok", "warning", "error"]
    text: str
    mend: str = ""


Look = Callable[[Context], Iterator[Check]]


def open_anyway() -> tuple[Context, Check]:
    """With a broken configuration the rest is looked at under the defaults. Raises Expected outside a clone."""
    try:
        context = open_context()
        text = "is understood, and approved where it has to be"
        return context, Check("configuration", "ok", text)
    except Expected as error:
        found = Check("configuration", "error", one_line(error.message, 500), sanitise(error.hint))
    repo = find_repo(os.getcwd())
    return Context(
        repo, make_state(repo.common_dir), Config(), RepoName("owner/name"), "", os.environ
    ), found


def examine(context: Context, configured: bool = True) -> Iterator[Check]:
    """All checks. One that fails is a finding itself, and does not stop the others.

    Without a configuration that counts, nothing is asked of a server: it could be the wrong one for the token.
    """
    for name, look in CHECKS.items():
        if not configured and look in {check_github, check_agents, check_notifications}:
            continue
        try:
            found = [*look(context)]
        except Expected as error:
            found = [Check(name, "error", error.message, error.hint)]
        except OSError as error:
            text = f"{error.filename or 'a file'}: {error.strerror}"
            found = [Check(name, "error", text, "look at its permissions")]
        for each in found or [Check(name, "ok", FINE.get(name, ""))]:
            yield each._replace(text=one_line(each.text, 500), mend=sanitise(each.mend))


def check_git(context: Context) -> Iterator[Check]:
    have = context.repo.version
    found = f"git {have[0]}.{have[1]}"
    if have < merges.MINIMUM:
        mend = "install git {}.{} or newer".format(*merges.MINIMUM)
        yield Check("git", "warning", f"{found}: everything works but `conflicts`", mend)
    else:
        yield Check("git", "ok", found)
    yield Check("identity", "ok", identity(context.repo))


def check_state(context: Context) -> Iterator[Check]:
    check_locks(context.state)
    yield Check("locks", "ok", "the file system locks")
    for problem in load_sessions(context.state)[1]:
        yield Check("state", "error", problem, "look at the file; nothing is deleted by itself")
    for number, entry in booked_all(context.state).items():
        if not all(each.day for each in entry.bookings):
            text = f"ledger/{number}.jsonl has lines that cannot be read: their cost is unknown"
            how = "issue-orch costs; budget.allow_unknown = true lets work go on"
            yield Check("ledger", "warning", text, how)
    left = room(context.state, 0, ceilings(context.config), time.time())
    if left and left.usd <= 0:
        yield Check("ledger", "warning", f"{left.why}; nothing is started", left.hint)


def check_sessions(context: Context) -> Iterator[Check]:
    """Sessions without a worktree, without a worker, with a start that was cut off."""
    for status in load_sessions(context.state)[0]:
        if problem := session_problem(context, status):
            yield Check("sessions", *problem)


def session_problem(
    context: Context, status: SessionStatus
) -> tuple[Literal["warning", "error"], str, str] | None:
    number, path = status["issueNumber"], status["worktreePath"]
    if probe(context.state, number):
        return None
    if status["status"] == "registered" and not status["attempt"]:
        return "warning", f"#{number}: its start was cut off", f"issue-orch spawn {number}"
    there = os.path.isdir(path)
    if find_admin_dir(context.repo, path) is None:
        aside = f"mv {path} {path}.aside, then " if there else ""
        return (
            "error",
            f"#{number}: {path} is no worktree of this clone",
            f"{aside}issue-orch doctor --fix",
        )
    if not there:
        return (
            "error",
            f"#{number}: {path} is not there, perhaps on a disk that is not mounted",
            f"mount it; if it is gone for good: git worktree remove {path}, then issue-orch doctor --fix",
        )
    if words := foreign(context, status):
        return "error", f"#{number}: {words}", LEAVE.format(path=path)
    waits = status["hold"] or (status["publish"] and status["publish"]["pending"])
    if status["status"] in {"registered", "planning", "working"} and not waits:
        return "warning", f"#{number}: its worker is gone", f"issue-orch resume {number}"
    return None


def check_worktrees(context: Context) -> Iterator[Check]:
    """Worktrees that look like ours and belong to no session."""
    known = {status["worktreePath"] for status in load_sessions(context.state)[0]}
    for ref, _, path in load_branches(context.repo, "refs/heads/"):
        ours = issue_of_branch(context, ref.removeprefix("refs/heads/")) is not None
        if path and path not in known and ours:
            how = f"git worktree remove {path} (it refuses when work would be lost)"
            yield Check("worktrees", "warning", f"{path} has no session", how)


def check_processes(context: Context) -> Iterator[Check]:
    for number, pids in orphans(context).items():
        some = ", ".join(map(str, pids[:5]))
        text = f"#{number}: {len(pids)} processes go on without their worker ({some})"
        yield Check("processes", "error", text, FIX)


def check_git_locks(context: Context) -> Iterator[Check]:
    for name in stale_locks(context):
        yield Check("git locks", "error", f"{name} was left by a git that is gone", FIX)


def check_keys(context: Context) -> Iterator[Check]:
    """Configuration of git that runs something, changed since a worker was started (threat S9)."""
    now = dangerous_keys(context.repo, context.config.remote)
    for key, issues in keys_changed(context, now).items():
        text = f"{key} changed after {numbers(issues)} started; it can run commands or send pushes elsewhere"
        yield Check("git configuration", "error", text, how_to_undo(key))


def check_github(context: Context) -> Iterator[Check]:
    """The token: where it is from, what it may do, and whether it, or an agent that finds it, could merge."""
    token = token_of(context)
    if token is None:
        yield Check(
            "token", "error", f"none for {context.base_url}", "gh auth login, or set GH_TOKEN"
        )
        return
    with connect(context, token) as gh:
        facts = gh.fetch_repo()
        who = fetch_me(gh) or "an app"
        scopes = f", scopes: {gh.scopes or 'none'}" if gh.scopes is not None else ", fine-grained"
        may = (
            ", ".join(facts.permissions)
            if facts.permissions is not None
            else "what it may is not said"
        )
        yield Check("token", "ok", f"from {token.source}, of {who}{scopes}; in {facts.repo}: {may}")
        if facts.archived:
            yield Check(
                "repository",
                "error",
                f"{facts.repo} is archived: nothing can be pushed",
                "unarchive it",
            )
        yield from check_protection(context, gh, facts)


def check_protection(context: Context, gh: GitHub, facts: RepoFacts) -> Iterator[Check]:
    base = context.config.base or facts.default_branch
    may_push = facts.permissions is None or {"push", "maintain", "admin"} & set(facts.permissions)
    found = gh.fetch_protection(base)
    mend = f"protect {base} with a required review, or use a token that may not write contents (docs/permissions.md)"
    if not may_push:
        yield Check(
            "merging", "ok", "the token may not write contents, so nothing can be merged with it"
        )
    elif found is None or not found.protected:
        said = "is not protected" if found else "is perhaps not protected (the server does not say)"
        yield Check(
            "merging",
            "warning",
            f"{base} {said}: whoever has this token could merge or push to it",
            mend,
        )
    elif found.required_reviews == 0 or found.bypass:
        why = "you may bypass its protection" if found.bypass else "no review is required"
        yield Check(
            "merging", "warning", f"{base} is protected, but {why}: this token could merge", mend
        )
    else:
        shown = found.required_reviews is not None
        how = (
            f"{found.required_reviews} reviews are required" if shown else "how is not shown to you"
        )
        bypass = "; whether you may bypass that is not said" if found.bypass is None else ""
        yield Check("merging", "ok", f"{base} is protected: {how}{bypass}")
    if found and found.signatures and context.config.git_sign == "off":
        yield Check(
            "signing",
            "error",
            f"{base} demands signed commits, and git.sign is off",
            'git.sign = "inherit"',
        )


def check_agents(context: Context) -> Iterator[Check]:
    name = context.config.agent
    check_agent(context, name)
    programs = {
        each: settings.command[0]
        for each, settings in context.config.agents.items()
        if settings.command and each in BUILT_IN_AGENTS
    }
    rows = {row.name: row for row in registry.look(context.env, programs, (adapter_name(name),))}
    row = rows.get(name)
    if row is None:
        yield Check(
            "agent", "ok", f"{name}: {' '.join(context.config.agent_settings(name).command)[:100]}"
        )
    elif row.problem:
        yield Check(
            "agent",
            "error",
            f"{name} {row.version or ''}: {row.problem}",
            "install another version",
        )
    elif row.old:
        yield Check(
            "agent",
            "warning",
            f"{name} {row.version} is older than {row.old}, with which it was tried",
            "update it",
        )
    elif row.signed_in is None:
        yield Check(
            "agent",
            "warning",
            f"{name} {row.version or ''}: no sign-in was found",
            f"start {name}, sign in",
        )
    else:
        yield Check(
            "agent", "ok", f"{name} {row.version or ''} at {row.path}, signed in by {row.signed_in}"
        )
    if (
        ceilings(context.config).limited
        and not registry.load(adapter_name(name)).CAPABILITIES.caps_own_cost
    ):
        yield Check(
            "budget",
            "warning",
            f"{name} has no cap of its own: the ceiling can be passed by the turns "
            "that run when it is reached",
            "keep max_workers low",
        )


def check_disk(context: Context) -> Iterator[Check]:
    folder = os.path.dirname(spawn.worktree_path(context, 1))
    usage = shutil.disk_usage(folder if os.path.isdir(folder) else context.repo.main)
    free = f"{usage.free / 1e9:.1f} GB are free at {folder}"
    yield (
        Check("disk", "ok", free)
        if usage.free > MIN_FREE
        else Check("disk", "warning", free, "issue-orch prune, or make room")
    )


def check_templates(context: Context) -> Iterator[Check]:
    for problem in templates.check_templates(context.repo.top):
        yield Check("templates", "error", problem.message, problem.hint)


def check_notifications(context: Context) -> Iterator[Check]:
    """What was sent last, and whether it arrived: nothing is sent for a check."""
    config, last = context.config, load_json(context.state / "notify.json")
    if config.notify_urls and find_spec("apprise") is None:
        yield Check(
            "notifications",
            "error",
            "notify.urls is set, and the extra is not installed",
            "pip install 'issue-orch[notify]'",
        )
    if last and last.get("failures"):
        yield Check(
            "notifications",
            "error",
            f"the last one did not arrive: {last['failures'][0]}",
            "mend [notify]",
        )
    elif last:
        yield Check("notifications", "ok", f"the last one was sent at {last.get('at')}")
    else:
        command = ["a command"] if config.notify_command else []
        where = ["the desktop", *command, *(url.partition(":")[0] for url in config.notify_urls)]
        yield Check("notifications", "ok", f"none was sent yet; they go to {', '.join(where)}")


def check_logind(context: Context, files: str = "/etc/systemd/logind.conf*") -> Iterator[Check]:
    """Whether the system ends our workers when you log out. The last word counts."""
    texts = [
        Path(name).read_text("utf-8", "replace")
        for name in sorted([*glob(files), *glob(f"{files}/*.conf")])
        if os.path.isfile(name)
    ]
    said = re.findall(r"(?m)^\s*KillUserProcesses\s*=\s*(\S+)", "\n".join(texts))
    if said and said[-1].lower() in {"yes", "true", "1", "on"}:
        yield Check(
            "logout",
            "warning",
            "KillUserProcesses=yes: workers end when you log out",
            "loginctl enable-linger, and start with: systemd-run --user --scope issue-orch run",
        )


CHECKS: dict[str, Look] = {
    "git": check_git,
    "state": check_state,
    "sessions": check_sessions,
    "worktrees": check_worktrees,
    "processes": check_processes,
    "git locks": check_git_locks,
    "git configuration": check_keys,
    "token": check_github,
    "agent": check_agents,
    "disk": check_disk,
    "templates": check_templates,
    "notifications": check_notifications,
    "logout": check_logind,
}
FINE = {
    "sessions": "each has its worktree",
    "worktrees": "none without a session",
    "processes": "none left over",
    "git locks": "none left over",
    "git configuration": "no key that runs something has changed",
    "templates": "all render",
    "logout": "workers go on after a logout",
}
