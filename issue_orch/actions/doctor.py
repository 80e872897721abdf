"""What doctor looks at: small checks, each of which says ok, warning or error, one line, and how to mend it."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from glob import escape, glob
from importlib.util import find_spec
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from ..config import templates
from ..config.keys import Config
from ..core.headline import pushed_words
from ..core.model import RepoFacts, RepoName
from ..core.record import SessionStatus
from ..errors import Expected
from ..git import merges
from ..git.checkout import find_overwritten, lacks_index
from ..git.leftovers import find_abandoned
from ..git.run import find_admin_dir, find_repo, identity, load_branches
from ..git.worktree import load_head
from ..store.files import load_json, load_pull, load_sessions, make_state, session_folder
from ..store.leases import check_locks, probe
from ..store.ledger import booked_all, room
from ..text import one_line, sanitise
from .agent_check import examine_agent
from .context import (
    Context,
    connect,
    find_pushed,
    guarded,
    how_to_sign_in,
    how_to_undo,
    look_at_keys,
    numbers,
    open_context,
    token_of,
    worktree_path,
)
from .facts import fetch_me
from .mend import orphans, stale_locks
from .setup import find_push_problem
from .taken import issue_of_branch
from .whereabouts import misplaced, moved_to, was_cut_off

if TYPE_CHECKING:
    from ..github.client import GitHub

FIX = "issue-orch doctor --fix"
MIN_FREE = 1_000_000_000


class Check(NamedTuple):
    """One finding. `mend` is what to type or do; empty when all is well. `name` is that of the row in CHECKS, or its own."""

    state: Literal["ok", "warning", "error"]
    text: str
    mend: str = ""
    name: str = ""


Findings = Iterator[Check]


def open_anyway() -> tuple[Context, Check]:
    """With a broken configuration the rest is looked at under the defaults. Raises Expected outside a clone."""
    name = "configuration"
    try:
        text = "is understood, and approved where it has to be"
        return open_context(), Check("ok", text, name=name)
    except Expected as error:
        found = Check("error", one_line(error.message, 500), sanitise(error.hint), name)
    repo = find_repo(os.getcwd())
    state = make_state(repo.common_dir)
    return guarded(Context(repo, state, Config(), RepoName("owner/name"), "", os.environ)), found


def examine(context: Context, configured: bool = True) -> Findings:
    """All checks. One that fails is a finding itself, and does not stop the others.

    Without a configuration that counts, nothing is asked of a server: it could be the wrong one for the token.
    """
    for name, look in CHECKS.items():
        if not configured and name in OUTSIDE:
            continue
        try:
            found = [*look(context)]
        except Expected as error:
            found = [Check("error", error.message, error.hint)]
        except OSError as error:
            text = f"{error.filename or 'a file'}: {error.strerror}"
            found = [Check("error", text, "look at its permissions")]
        for state, text, mend, own in found or [Check("ok", FINE[name])]:
            if f"{mend} --fix" == FIX:  # which helps nobody who is there
                mend = "docs/troubleshooting.md"
            yield Check(state, one_line(text, 500), sanitise(mend), own or name)


def _check_git(context: Context) -> Findings:
    have = context.repo.version
    found = f"git {have[0]}.{have[1]}"
    if have < merges.MINIMUM:
        mend = "install git {}.{} or newer".format(*merges.MINIMUM)
        yield Check("warning", f"{found}: everything works but `conflicts`", mend)
    else:
        yield Check("ok", found)
    yield Check("ok", identity(context.repo), name="identity")


def _check_state(context: Context) -> Findings:
    check_locks(context.state)
    yield Check("ok", "the file system locks", name="locks")
    for problem in load_sessions(context.state)[1]:
        yield Check("error", problem, "look at the file; nothing is deleted by itself")
    for number, entry in booked_all(context.state).items():
        if not all(each.day for each in entry.bookings):
            text = f"ledger/{number}.jsonl has lines that cannot be read: their cost is unknown"
            how = "issue-orch costs; budget.allow_unknown = true lets work go on"
            yield Check("warning", text, how, "ledger")
    left = room(context.state, 0, context.ceilings, time.time())
    if left and left.usd <= 0:
        yield Check("warning", f"{left.why}; nothing is started", left.hint, "ledger")


def _check_sessions(context: Context) -> Findings:
    """Sessions without a worktree, without a worker, with a start that was cut off."""
    for status in load_sessions(context.state)[0]:
        yield from _check_pushed(context, status)
        if not probe(context.state, status["issueNumber"]):
            yield from _check_session(context, status)


def _check_session(context: Context, status: SessionStatus) -> Findings:
    number, path = status["issueNumber"], status["worktreePath"]
    waits = status["hold"] or (status["publish"] and status["publish"]["pending"])
    if was_cut_off(status):
        yield Check("warning", f"#{number}: its start was cut off", f"issue-orch spawn {number}")
    elif (away := misplaced(context, status))[0]:
        yield Check("error", f"#{number}: {away[0]}", away[1])
    elif (admin := find_admin_dir(context.repo, path)) is None:
        _, where = load_head(context.repo, status["branch"])
        how = f"git -C {where} switch --detach, then {FIX}" if where else FIX
        aside = f"mv {path} {path}.aside, then " if os.path.isdir(path) else ""
        yield Check("error", f"#{number}: {path} is no worktree of this clone", f"{aside}{how}")
    elif not os.path.isdir(path):
        text = f"#{number}: {path} is not there, perhaps on a disk that is not mounted"
        how = f"mount it; if it is gone for good: git worktree remove {path}, then {FIX}"
        yield Check("error", text, how)
    elif lacks_index(admin):
        work = find_overwritten(context.repo, path)
        how = f"git -C {path} reset, which leaves the files alone" if work else FIX
        yield Check("error", f"#{number}: the index of {path} is gone", how)
    elif status["status"] in {"registered", "planning", "working"} and not waits:
        yield Check("warning", f"#{number}: its worker is gone", f"issue-orch resume {number}")


def _check_pushed(context: Context, status: SessionStatus) -> Findings:
    """A worker that pushed to its base itself."""
    merged = (load_pull(context.state, status["issueNumber"]) or {}).get("merged")
    ended = merged or status["status"] == "cancelled"
    if not ended and (sha := find_pushed(context, status)):
        how = f"protect {status['base']} (docs/permissions.md); git show {sha}"
        text = f"#{status['issueNumber']}: {pushed_words(status, sha)}"
        yield Check("error", text, how, "base")


def _check_worktrees(context: Context) -> Findings:
    """Worktrees that look like ours and belong to no session."""
    known = set[str]()
    for status in load_sessions(context.state)[0]:
        known |= {status["worktreePath"], moved_to(context, status)}
    for ref, _, path in load_branches(context.repo, "refs/heads/"):
        ours = issue_of_branch(context, ref.removeprefix("refs/heads/")) is not None
        if path and path not in known and ours:
            how = f"git worktree remove {path} (it refuses when work would be lost)"
            yield Check("warning", f"{path} has no session", how)
    if left := find_abandoned(context.repo.common_dir):
        text = f"the files of {len(left)} removed worktrees were not all deleted"
        yield Check("warning", text, FIX)


def _check_processes(context: Context) -> Findings:
    for number, pids in orphans(context).items():
        some = ", ".join(map(str, pids[:5]))
        text = f"#{number}: {len(pids)} processes go on without their worker ({some})"
        yield Check("error", text, FIX)


def _check_git_locks(context: Context) -> Findings:
    for name in stale_locks(context):
        yield Check("error", f"{name} was left by a git that is gone", FIX)


def _check_keys(context: Context) -> Findings:
    """Configuration of git that runs something, changed since a worker was started (threat S9)."""
    keys = look_at_keys(context)
    for key, issues in keys.held.items():
        text = f"{key} changed after {numbers(issues)} started; it can run commands or send pushes elsewhere"
        yield Check("error", text, how_to_undo(context, key))
    for key, issues in keys.told.items():
        text = f"{key} changed after {numbers(issues)} started; your own git obeys it"
        yield Check("warning", text, how_to_undo(context, key))
    yield from _check_hooks(context)


def _check_hooks(context: Context) -> Findings:
    """Hooks of the clone that are younger than the oldest session: our git runs none, a person's does."""
    sessions = [each["issueNumber"] for each in load_sessions(context.state)[0]]
    noted = [session_folder(context.state, number) / "keys.json" for number in sessions]
    since = min((os.stat(file).st_mtime for file in noted if file.is_file()), default=None)
    for path in sorted(glob(f"{escape(context.repo.common_dir)}/hooks/*")) if since else ():
        sample = path.endswith(".sample")
        if not sample and os.access(path, os.X_OK) and os.stat(path).st_ctime > (since or 0):
            text = f"{path} is a hook that is new or changed since a worker started; your own git runs it"
            yield Check("warning", text, f"look at it; if it is not yours: rm {path}")


def _check_github(context: Context) -> Findings:
    """The token: where it is from, what it may do, and whether it, or an agent that finds it, could merge."""
    token = token_of(context)
    if token is None:
        yield Check("error", f"none for {context.base_url}", how_to_sign_in(context))
        return
    with connect(context) as gh:
        facts = gh.fetch_repo()
        who = fetch_me(gh) or "an app"
        scopes = "fine-grained" if gh.scopes is None else f"scopes: {gh.scopes or 'none'}"
        said = "what it may is not said" if facts.permissions is None else ""
        may = said or ", ".join(facts.permissions or ())
        yield Check("ok", f"from {token.source}, of {who}, {scopes}; in {facts.repo}: {may}")
        if facts.archived:
            text = f"{facts.repo} is archived: nothing can be pushed"
            yield Check("error", text, "unarchive it", "repository")
        base = context.config.base or facts.default_branch
        for name, error in gh.find_unreadable(base):
            lost = name in ("check runs", "statuses")
            text = f"{name} cannot be read: {error.message}"
            yield Check("warning" if lost else "error", text, error.hint)
        yield from _check_protection(context, gh, facts)


def _check_push(context: Context) -> Findings:
    """What would fail at the end, when the agent was paid."""
    remote = context.config.remote
    if refused := find_push_problem(context):
        how = "a token, or another credential, that may write contents (docs/permissions.md)"
        yield Check("error", f"to {remote} does not work: {refused}", how)
    else:
        yield Check("ok", f"to {remote} works (tried without changing anything)")


def _check_protection(context: Context, gh: GitHub, facts: RepoFacts) -> Findings:
    base, may = context.config.base or facts.default_branch, facts.permissions
    found = gh.fetch_protection(base)
    mend = f"protect {base} with a required review, or use a token that may not write contents (docs/permissions.md)"
    if may is not None and not {"push", "maintain", "admin"} & {*may}:
        text = "the token may not write contents, so nothing can be merged with it"
        yield Check("ok", text, name="merging")
    elif found is None or not found.protected:
        said = "is not protected" if found else "is perhaps not protected (the server does not say)"
        text = f"{base} {said}: whoever has this token could merge or push to it"
        yield Check("warning", text, mend, "merging")
    elif found.required_reviews == 0 or found.bypass:
        why = "you may bypass its protection" if found.bypass else "no review is required"
        text = f"{base} is protected, but {why}: this token could merge"
        yield Check("warning", text, mend, "merging")
    else:
        shown = found.required_reviews is not None
        how = (
            f"{found.required_reviews} reviews are required" if shown else "how is not shown to you"
        )
        bypass = "; whether you may bypass that is not said" if found.bypass is None else ""
        yield Check("ok", f"{base} is protected: {how}{bypass}", name="merging")
    if found and found.signatures and context.config.git_sign == "off":
        text = f"{base} demands signed commits, and git.sign is off"
        yield Check("error", text, 'git.sign = "inherit"', "signing")


def _check_agent(context: Context) -> Findings:
    yield from starmap(Check, examine_agent(context))


def _check_disk(context: Context) -> Findings:
    folder = os.path.dirname(worktree_path(context, 1))
    free = shutil.disk_usage(folder if os.path.isdir(folder) else context.repo.main).free
    text = f"{free / 1e9:.1f} GB are free at {folder}"
    full = free <= MIN_FREE
    yield Check("warning" if full else "ok", text, "issue-orch prune, or make room" * full)


def _check_templates(context: Context) -> Findings:
    for problem in templates.check_templates(context.repo.top):
        yield Check("error", problem.message, problem.hint)


def _check_notifications(context: Context) -> Findings:
    """What was sent last, and whether it arrived: nothing is sent for a check."""
    config, last = context.config, load_json(context.state / "notify.json")
    if config.notify_urls and find_spec("apprise") is None:
        text = "notify.urls is set, and the extra is not installed"
        yield Check("error", text, "pip install 'issue-orch[notify]'")
    if last and last.get("failures"):
        yield Check("error", f"the last one did not arrive: {last['failures'][0]}", "mend [notify]")
    elif last:
        yield Check("ok", f"the last one was sent at {last.get('at')}")
    else:
        command = ["a command"] if config.notify_command else []
        where = ["the desktop", *command, *(url.partition(":")[0] for url in config.notify_urls)]
        yield Check("ok", f"none was sent yet; they go to {', '.join(where)}")


def check_logind(context: Context, files: str = "/etc/systemd/logind.conf*") -> Findings:
    """Whether the system ends our workers when you log out. The last word counts."""
    names = sorted([*glob(files), *glob(f"{files}/*.conf")])
    texts = [Path(name).read_text("utf-8", "replace") for name in names if os.path.isfile(name)]
    said = re.findall(r"(?m)^\s*KillUserProcesses\s*=\s*(\S+)", "\n".join(texts))
    if said and said[-1].lower() in {"yes", "true", "1", "on"}:
        text = "KillUserProcesses=yes: workers end when you log out"
        how = "loginctl enable-linger, and start with: systemd-run --user --scope issue-orch run"
        yield Check("warning", text, how)


CHECKS: dict[str, Callable[[Context], Findings]] = {
    "git": _check_git,
    "state": _check_state,
    "sessions": _check_sessions,
    "worktrees": _check_worktrees,
    "processes": _check_processes,
    "git locks": _check_git_locks,
    "git configuration": _check_keys,
    "token": _check_github,
    "push": _check_push,
    "agent": _check_agent,
    "disk": _check_disk,
    "templates": _check_templates,
    "notifications": _check_notifications,
    "logout": check_logind,
}
OUTSIDE = {"token", "push", "agent", "notifications"}  # they ask a server, or start an agent
FINE = {  # of those that yield nothing then
    "sessions": "each has its worktree",
    "worktrees": "none without a session",
    "processes": "none left over",
    "git locks": "none left over",
    "git configuration": "no key that was looked at has changed, and no hook is new, since the first worker",
    "templates": "all render",
    "logout": "workers go on after a logout",
}
