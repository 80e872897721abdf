"""The poll: what happened on GitHub to sessions, their issues and pulls is recorded, and goes back to their workers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ..actions.context import Context, fetch_base, token_of
from ..actions.facts import fetch_me
from ..actions.launch import report_command
from ..actions.steer import pause, start_worker
from ..config.layers import approved_folder
from ..config.templates import render, task
from ..core.history import AUTOMATIC, Resumed, counters
from ..core.model import Branch, Comment, Issue, Review
from ..core.ready import WRITERS, text_hash
from ..core.record import SessionStatus
from ..errors import Expected, LeaseHeld
from ..git import merges
from ..git.run import git, rev_parse
from ..store.files import iso, load_pull, load_sessions, write_json
from ..store.history import load_entries
from ..store.inbox import send
from ..store.leases import is_alive, take
from . import write_back
from .pulls import (
    Looked,
    Memory,
    Pass,
    failing,
    guarded,
    load_memory,
    record,
    retarget,
    save_memory,
    see,
)

if TYPE_CHECKING:
    from ..github.client import GitHub

WORTH_MENDING = (
    "failure",
    "timed_out",
    "startup_failure",
)  # not: cancelled, or waiting for a person
HANDLED_LIMIT = 1000


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
            lines += write_back.write_back(run, numbers)
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
    return Pass(
        context, gh, now, me, gh.fetch_pulls(state="open"), issues, (token.value,) if token else ()
    )


def save_rate(context: Context, gh: GitHub, now: float) -> None:
    write_json(context.state / "rate.json", {**gh.rate._asdict(), "at": iso(now)})


def look(run: Pass, number: int) -> list[str]:
    see(run, number)
    return []


def attend(run: Pass, number: int) -> list[str]:
    """What happened to the pull and to the issue of one session."""
    known, status, memory = (
        load_pull(run.context.state, number) or {},
        run.status(number),
        load_memory(run, number),
    )
    facts, looked = see(run, number)
    lines = []
    if facts.get("state") == "closed" and known.get("state") != "closed":
        merged = "merged by a person; issue-orch prune removes its worktree"
        lines.append(
            f"#{number}: its pull was {merged if facts.get('merged') else 'closed without a merge'}"
        )
    held, said = "", list[str]()
    if status["status"] not in ("complete", "cancelled"):
        held, said = watch_issue(run, status, memory)
    elif (
        status["status"] == "complete"
        and looked
        and looked.pull.state == "open"
        and not status["hold"]
    ):
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
    first = memory.setdefault(
        "issue", {"text": text_hash(issue), "labelled": is_labelled(run, issue)}
    )
    found = differences(run, first, issue)
    told: dict[str, str] = memory.get("told", {})
    lines = []
    key = f"edited {text_hash(issue)}"
    if key in found.keys() - told.keys() and run.gh.find_permission(issue.author) in WRITERS:
        del found[key]
        if status["status"] != "stuck":
            text = words(run, "issue_edited", number, author=None, task=task(issue))
            send(run.context.state, number, "guidance", text, AUTOMATIC, run.now)
            first["text"] = text_hash(issue)
            lines = [f"#{number}: its issue was edited; its worker is told"]
    if found.keys() - told.keys():
        pause(run.context.state, number, "issue-orch")
    if lines or found != memory.get("told"):
        memory["told"] = found
        save_memory(run, number, memory)
    why = "; ".join(found.values())
    return (
        f"{why}: look at it, then issue-orch resume {number}, or cancel {number}" if why else ""
    ), lines


def differences(run: Pass, first: dict[str, object], issue: Issue) -> dict[str, str]:
    """What is not as it was when the session was first looked at: words by what they are about."""
    found = {}
    if issue.state != "open":
        found["closed"] = "its issue was closed"
    if first["labelled"] and not is_labelled(run, issue):
        found["unlabelled"] = "its issue lost its ready label"
    if first["text"] != text_hash(issue):
        found[f"edited {text_hash(issue)}"] = (
            "its issue was edited, perhaps by somebody without write permission"
        )
    return found


def is_labelled(run: Pass, issue: Issue) -> bool:
    wanted = {label.casefold() for label in run.context.config.ready_labels}
    return wanted <= {label.casefold() for label in issue.labels}


# -- failing checks, reviews and conflicts of complete sessions, which go back to their workers


class News(NamedTuple):
    """Something that goes back to the worker of a pull, once: `ids` are remembered."""

    kind: Literal["checks", "review", "conflict"]
    ids: tuple[str, ...]
    rows: list[dict[str, Any]]


def follow_up(
    run: Pass, status: SessionStatus, looked: Looked, memory: Memory
) -> tuple[str, list[str]]:
    """Why nothing goes back to the worker (empty when that is as it should be), and what was done."""
    number, head = status["issueNumber"], looked.pull.head_sha
    heed_resume(run, number, head, memory)
    foreign = not is_ours(run, status, head)
    if foreign and memory.get("allowed") != head:
        return hold(run, number, memory, "somebody else pushed to its branch"), []
    news = [each for each in news_of(looked, run) if not {*each.ids} <= {*memory["handled"]}]
    rounds = run.context.config.follow_up_rounds
    if not news or not rounds:
        return "", []
    if counters(load_entries(run.context.state, number)).rounds >= rounds:
        return hold(run, number, memory, f"its worker was sent back {rounds} times"), []
    if sum(
        is_alive(run.context.state, each["issueNumber"])
        for each in load_sessions(run.context.state)[0]
    ) >= (run.context.config.max_workers):
        return "its worker waits for a free place to follow up", []
    send_back(run, status, news, memory, foreign)
    memory["handled"] = [*memory["handled"], *(each for one in news for each in one.ids)][
        -HANDLED_LIMIT:
    ]
    save_memory(run, number, memory)
    start_worker(run.context, number, "follow-up")
    return "", [f"#{number}: goes back to its worker: {', '.join(each.kind for each in news)}"]


def hold(run: Pass, number: int, memory: Memory, why: str) -> str:
    if "resumes" not in memory:
        memory["resumes"] = resumes(run, number)
        save_memory(run, number, memory)
    return f"{why}; issue-orch resume {number} lets its worker follow up again"


def heed_resume(run: Pass, number: int, head: str, memory: Memory) -> None:
    """A person said `resume` after follow-up was held: what is on the branch now is accepted."""
    if "resumes" in memory and resumes(run, number) > memory["resumes"]:
        del memory["resumes"]
        memory["allowed"] = head
        save_memory(run, number, memory)


def resumes(run: Pass, number: int) -> int:
    return sum(isinstance(each, Resumed) for each in load_entries(run.context.state, number))


def is_ours(run: Pass, status: SessionStatus, head: str) -> bool:
    """Whether the pull's head is a commit of the session's branch here."""
    ref = f"refs/heads/{status['branch']}"
    return git(run.context.repo, "merge-base", "--is-ancestor", head, ref, check=False).code == 0


def news_of(looked: Looked, run: Pass) -> Iterator[News]:
    """What a worker should know: checks once all have ended, reviews of those who count, a conflict once per head."""
    head = looked.pull.head_sha
    broken = [check for check in failing(looked.checks) if check.conclusion in WORTH_MENDING]
    if broken and all(check.status == "completed" for check in looked.checks or ()):
        yield News(
            "checks",
            tuple(f"check:{check.id or check.name}:{head}" for check in broken),
            [check._asdict() for check in broken],
        )
    written: list[Review | Comment] = [*looked.reviews, *looked.comments]
    said = [each for each in written if is_said(each, run)]
    if said:
        ids = tuple(f"{type(each).__name__}:{each.id}" for each in said)
        yield News("review", ids, [review_row(each) for each in said])
    if looked.pull.mergeable is False:
        yield News("conflict", (f"conflict:{head}",), [])


def is_said(each: Review | Comment, run: Pass) -> bool:
    """Requested changes, and comments with words, of somebody who counts."""
    if (
        isinstance(each, Review)
        and each.state != "CHANGES_REQUESTED"
        and not (each.state == "COMMENTED" and each.body)
    ):
        return False
    return run.counts(each.author, each.author_kind)


def review_row(each: Review | Comment) -> dict[str, Any]:
    if isinstance(each, Review):
        state, path, line = each.state.lower(), None, None
    else:
        state, path, line = "commented", each.path, each.line
    return {
        "author": each.author,
        "state": state,
        "text": each.body or "(no words)",
        "path": path,
        "line": line,
        "url": each.url,
    }


def send_back(
    run: Pass, status: SessionStatus, news: list[News], memory: Memory, foreign: bool
) -> None:
    """The news as guidance in the inbox, rendered by the team's templates."""
    number, remote = status["issueNumber"], run.context.config.remote
    texts = []
    if foreign:
        fetch_base(run.context, Branch(status["branch"]))
        texts.append(
            f"Somebody else pushed to your branch. Begin with `git merge refs/remotes/{remote}/{status['branch']}`; "
            "keep what they did."
        )
    for each in news:
        rows = [
            row
            for key, row in zip(each.ids, each.rows, strict=False)
            if key not in memory["handled"]
        ]
        match each.kind:
            case "checks":
                checks = [{**row, "text": evidence(run, row)} for row in rows]
                texts.append(
                    words(
                        run, "followup_checks", number, url=status["pullRequestUrl"], checks=checks
                    )
                )
            case "review":
                texts.append(
                    words(
                        run, "followup_review", number, url=status["pullRequestUrl"], reviews=rows
                    )
                )
            case "conflict":
                texts.append(
                    words(
                        run,
                        "followup_conflict",
                        number,
                        base=status["base"],
                        theirs=f"refs/remotes/{remote}/{status['base']}",
                        files=conflicting(run, status),
                    )
                )
    for text in texts:
        send(run.context.state, number, "guidance", text, AUTOMATIC, run.now)


def words(run: Pass, template: str, number: int, **values: Any) -> str:
    return render(
        template,
        approved_folder(run.context.state),
        number=number,
        report=report_command(),
        **values,
    )


def evidence(run: Pass, check: dict[str, Any]) -> str:
    """What a check says of itself: its summary and up to fifty annotations."""
    notes = run.gh.fetch_annotations(check["id"]) if check["id"] else None
    lines = [
        f"{note.path}:{note.line or ''}: {note.level}: {note.message}"
        for note in (notes or ())[:50]
    ]
    return "\n".join(part for part in (check["summary"], *lines) if part)


def conflicting(run: Pass, status: SessionStatus) -> list[str]:
    """The files in conflict with the base, after fetching it."""
    branch, repo = Branch(status["branch"]), run.context.repo
    base = fetch_base(run.context, Branch(status["base"]))
    try:
        found = merges.predict(
            repo, base, {branch: rev_parse(repo, f"refs/heads/{branch}")}
        ).against_base
    except Expected:  # an older git
        found = {}
    return list(found.get(branch, ())) or ["(git says which when you merge)"]
