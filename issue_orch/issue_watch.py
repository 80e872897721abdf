"""Issues that change while their session runs, and bases of stacked pulls that a person has merged."""

from __future__ import annotations

from .control import pause
from .errors import LeaseHeld
from .launching import report_command
from .lease import take
from .messages import send
from .model import Issue, SessionStatus
from .poll import Memory, Pass, save_memory
from .prompt import render, task
from .pull_facts import WRITERS, number_of
from .ready import text_hash
from .store import load_pull, load_sessions, save_status


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
            send(run.context.state, number, "guidance", edited(run, issue), "GitHub", run.now)
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


def edited(run: Pass, issue: Issue) -> str:
    return render("issue_edited", run.context.repo.main, number=issue.number, report=report_command(), author=None,
                  task=task(issue))


def retarget(run: Pass, number: int) -> list[str]:
    """Let a session follow its base: where a person pointed its pull to, or where its blocker was merged into.

    The status file is its lease holder's; while the worker runs this waits for a later poll.
    """
    status, facts = run.status(number), load_pull(run.context.state, number) or {}
    if status["status"] == "cancelled" or facts.get("state") == "closed":
        return []
    sessions, _ = load_sessions(run.context.state)
    below = [each["issueNumber"] for each in sessions if each["branch"] == status["base"]]
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
