"""The poll: what happened on GitHub to sessions, their issues and pulls is recorded, and goes back to their workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import comments
from .config import approved_folder
from .context import Context, token_of
from .errors import LeaseHeld
from .followup import follow_up
from .gather import fetch_me
from .launching import report_command
from .lease import take
from .messages import pause, send
from .model import Issue, SessionStatus
from .prompt import render, task
from .pulls import Memory, Pass, guarded, load_memory, number_of, record, save_memory, see
from .ready import WRITERS, text_hash
from .store import iso, load_pull, load_sessions, save_status, write_json

if TYPE_CHECKING:
    from .github import GitHub


def poll(context: Context, gh: GitHub, now: float) -> list[str]:
    """One pass over all sessions: pulls, issues, stacked bases, comments. Returns lines for a person.

    What fails for one session becomes its line; RateLimited and SignInFailed concern all, and are raised.
    """
    try:
        lease = take(context.state, "poll", "poll", wait=0.2)
    except LeaseHeld:
        return []
    with lease:
        run = begin(context, gh, now)
        numbers = [status["issueNumber"] for status in load_sessions(context.state)[0]]
        lines = [line for number in numbers for line in guarded(attend, run, number)]
        lines += [line for number in numbers for line in guarded(retarget, run, number)]
        if context.config.github_write_back:
            lines += comments.write_back(run, numbers)
        save_rate(context, gh, now)
    return lines


def refresh(context: Context, gh: GitHub, now: float) -> list[str]:
    """Look at the pulls and record what is seen; nobody is woken, nothing is posted."""
    with take(context.state, "poll", "status", wait=10):
        run = begin(context, gh, now)
        sessions, _ = load_sessions(context.state)
        lines = [line for each in sessions for line in guarded(look, run, each["issueNumber"])]
        save_rate(context, gh, now)
    return lines


def begin(context: Context, gh: GitHub, now: float) -> Pass:
    writes = context.config.github_write_back
    me = fetch_me(gh) if writes or context.config.pulls_open == "worker" else None
    token = token_of(context) if writes else None
    issues = {issue.number: issue for issue in gh.fetch_issues(context.config.ready_labels)}
    return Pass(context, gh, now, me, gh.fetch_pulls(state="open"), issues, (token.value,) if token else (), {})


def save_rate(context: Context, gh: GitHub, now: float) -> None:
    write_json(context.state / "rate.json", {**gh.rate._asdict(), "at": iso(now)})


def look(run: Pass, number: int) -> list[str]:
    see(run, number)
    return []


def attend(run: Pass, number: int) -> list[str]:
    """What happened to the pull and to the issue of one session."""
    known, status, memory = load_pull(run.context.state, number) or {}, run.status(number), load_memory(run, number)
    facts, looked = see(run, number)
    lines = []
    if facts.get("state") == "closed" and known.get("state") != "closed":
        merged = "merged by a person; issue-orch prune removes its worktree"
        lines.append(f"#{number}: its pull was {merged if facts.get('merged') else 'closed without a merge'}")
    held, said = "", list[str]()
    if status["status"] not in ("complete", "cancelled"):
        held, said = watch_issue(run, status, memory)
    elif status["status"] == "complete" and looked and looked.pull.state == "open" and not status["hold"]:
        held, said = follow_up(run, status, looked, memory)
    if held != facts.get("held", ""):
        facts["held"] = held
        record(run, number, facts)
        lines += [f"#{number}: {held}"] if held else []
    return lines + said


# -- an issue that changes while its session runs


def watch_issue(run: Pass, status: SessionStatus, memory: Memory) -> tuple[str, list[str]]:
    """Why the issue of a running session holds it (empty: it does not), and lines about what is new.

    An edit goes to the worker when everybody who may edit the issue has write permission: GitHub does not say who did.
    One that waits for an answer gets it after that. Anything else holds the worker at the end of its turn, once.
    """
    number, issue = status["issueNumber"], run.issue(status["issueNumber"])
    first = memory.setdefault("issue", {"text": text_hash(issue), "labelled": is_labelled(run, issue)})
    found = differences(run, first, issue)
    told: dict[str, str] = memory.get("told", {})
    lines = []
    key = f"edited {text_hash(issue)}"
    if key in found.keys() - told.keys() and run.permission(issue.author) in WRITERS:
        del found[key]
        if status["status"] != "stuck":
            text = render("issue_edited", approved_folder(run.context.state), number=number, report=report_command(), author=None,
                          task=task(issue))
            send(run.context.state, number, "guidance", text, "GitHub", run.now)
            first["text"] = text_hash(issue)
            lines = [f"#{number}: its issue was edited; its worker is told"]
    if found.keys() - told.keys():
        pause(run.context.state, number, "issue-orch")
    if lines or found != memory.get("told"):
        memory["told"] = found
        save_memory(run, number, memory)
    words = "; ".join(found.values())
    return (f"{words}: look at it, then issue-orch resume {number}, or cancel {number}" if words else ""), lines


def differences(run: Pass, first: dict[str, object], issue: Issue) -> dict[str, str]:
    """What is not as it was when the session was first looked at: words by what they are about."""
    found = {}
    if issue.state != "open":
        found["closed"] = "its issue was closed"
    if first["labelled"] and not is_labelled(run, issue):
        found["unlabelled"] = "its issue lost its ready label"
    if first["text"] != text_hash(issue):
        found[f"edited {text_hash(issue)}"] = "its issue was edited, perhaps by somebody without write permission"
    return found


def is_labelled(run: Pass, issue: Issue) -> bool:
    wanted = {label.casefold() for label in run.context.config.ready_labels}
    return wanted <= {label.casefold() for label in issue.labels}


# -- the base of a stacked pull


def retarget(run: Pass, number: int) -> list[str]:
    """Let a session follow its base: where a person pointed its pull to, or where its blocker was merged into.

    The status file is its lease holder's; while the worker runs this waits for a later poll.
    """
    status, facts = run.status(number), load_pull(run.context.state, number) or {}
    if status["status"] == "cancelled" or facts.get("state") == "closed":
        return []
    below = [each["issueNumber"] for each in load_sessions(run.context.state)[0] if each["branch"] == status["base"]]
    blocker = load_pull(run.context.state, below[0]) or {} if below else {}
    base = facts.get("base", status["base"])
    if base == status["base"] and blocker.get("merged"):
        base = blocker.get("base", base)
    if base == status["base"]:
        return []
    try:
        lease = take(run.context.state, number, "retarget", wait=0.3)
    except LeaseHeld:
        return []
    with lease:
        pull = number_of(status["pullRequestUrl"])
        if pull is not None and facts.get("base", base) != base:
            run.gh.edit_pull(pull, base=base)
        fresh = run.status(number)
        fresh["base"] = base
        save_status(run.context.state, fresh)
    return [f"#{number}: its base is {base} now, no longer {status['base']}"]
