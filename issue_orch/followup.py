"""Pulls of complete sessions: failing checks, reviews and conflicts go back to their workers, a bounded number of times."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from . import conflicts, git
from .config import approved_folder
from .context import fetch_base
from .errors import Expected
from .launching import report_command, start_worker
from .lease import is_alive
from .messages import send
from .model import Branch, Comment, Review, SessionStatus
from .prompt import render
from .pulls import Looked, Memory, Pass, failing, load_memory, save_memory
from .store import load_events, load_sessions

WORTH_MENDING = ("failure", "timed_out", "startup_failure")  # not: cancelled, or waiting for a person
HANDLED_LIMIT = 1000


class News(NamedTuple):
    """Something that goes back to the worker of a pull, once: `ids` are remembered."""

    kind: Literal["checks", "review", "conflict"]
    ids: tuple[str, ...]
    rows: list[dict[str, Any]]


def follow_up(run: Pass, status: SessionStatus, looked: Looked, memory: Memory) -> tuple[str, list[str]]:
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
    if memory["rounds"] >= rounds:
        return hold(run, number, memory, f"its worker was sent back {rounds} times"), []
    if sum(is_alive(run.context.state, each["issueNumber"]) for each in load_sessions(run.context.state)[0]) >= (
            run.context.config.max_workers):
        return "its worker waits for a free place to follow up", []
    send_back(run, status, news, foreign)
    memory["handled"] = [*memory["handled"], *(each for one in news for each in one.ids)][-HANDLED_LIMIT:]
    memory["rounds"] += 1
    save_memory(run, number, memory)
    start_worker(run.context, number, "follow-up")
    return "", [f"#{number}: goes back to its worker: {', '.join(each.kind for each in news)}"]


def hold(run: Pass, number: int, memory: Memory, why: str) -> str:
    if "resumes" not in memory:
        memory["resumes"] = resumes(run, number)
        save_memory(run, number, memory)
    return f"{why}; issue-orch resume {number} lets its worker follow up again"


def heed_resume(run: Pass, number: int, head: str, memory: Memory) -> None:
    """A person said `resume` after follow-up was held: what is on the branch now is accepted, rounds start anew."""
    if "resumes" in memory and resumes(run, number) > memory["resumes"]:
        del memory["resumes"]
        memory.update(allowed=head, rounds=0)
        save_memory(run, number, memory)


def resumes(run: Pass, number: int) -> int:
    return sum(event["kind"] == "resumed" for event in load_events(run.context.state, number))


def is_ours(run: Pass, status: SessionStatus, head: str) -> bool:
    """Whether the pull's head is a commit of the session's branch here."""
    ref = f"refs/heads/{status['branch']}"
    return git.git(run.context.repo, "merge-base", "--is-ancestor", head, ref, check=False).code == 0


def news_of(looked: Looked, run: Pass) -> Iterator[News]:
    """What a worker should know: checks once all have ended, reviews of those who count, a conflict once per head."""
    head = looked.pull.head_sha
    broken = [check for check in failing(looked.checks) if check.conclusion in WORTH_MENDING]
    if broken and all(check.status == "completed" for check in looked.checks or ()):
        yield News("checks", tuple(f"check:{check.id or check.name}:{head}" for check in broken),
                   [check._asdict() for check in broken])
    written: list[Review | Comment] = [*looked.reviews, *looked.comments]
    said = [each for each in written if is_said(each, run)]
    if said:
        ids = tuple(f"{type(each).__name__}:{each.id}" for each in said)
        yield News("review", ids, [review_row(each) for each in said])
    if looked.pull.mergeable is False:
        yield News("conflict", (f"conflict:{head}",), [])


def is_said(each: Review | Comment, run: Pass) -> bool:
    """Requested changes, and comments with words, of somebody who counts."""
    if isinstance(each, Review) and each.state != "CHANGES_REQUESTED" and not (each.state == "COMMENTED" and each.body):
        return False
    return run.counts(each.author, each.author_kind)


def review_row(each: Review | Comment) -> dict[str, Any]:
    if isinstance(each, Review):
        state, path, line = each.state.lower(), None, None
    else:
        state, path, line = "commented", each.path, each.line
    return {"author": each.author, "state": state, "text": each.body or "(no words)", "path": path, "line": line,
            "url": each.url}


def send_back(run: Pass, status: SessionStatus, news: list[News], foreign: bool) -> None:
    """The news as guidance in the inbox, rendered by the team's templates."""
    context, number, branch = run.context, status["issueNumber"], Branch(status["branch"])
    common: dict[str, Any] = {"number": number, "report": report_command(), "url": status["pullRequestUrl"]}
    texts = []
    if foreign:
        fetch_ref(run, branch)
        texts.append(f"Somebody else pushed to your branch. Begin with `git merge {context.config.remote}/{branch}`; "
                     "keep what they did.")
    handled = {*load_memory(run, number)["handled"]}
    for each in news:
        rows = [row for key, row in zip(each.ids, each.rows, strict=False) if key not in handled]
        match each.kind:
            case "checks":
                checks = [{**row, "text": evidence(run, row)} for row in rows]
                texts.append(render("followup_checks", approved_folder(context.state), **common, checks=checks))
            case "review":
                texts.append(render("followup_review", approved_folder(context.state), **common, reviews=rows))
            case "conflict":
                texts.append(render("followup_conflict", approved_folder(context.state), number=number, report=common["report"],
                                    base=status["base"], theirs=f"{context.config.remote}/{status['base']}",
                                    files=conflicting(run, status)))
    for text in texts:
        send(context.state, number, "guidance", text, "GitHub", run.now)


def evidence(run: Pass, check: dict[str, Any]) -> str:
    """What a check says of itself: its summary and up to fifty annotations."""
    notes = run.gh.fetch_annotations(check["id"]) if check["id"] else None
    lines = [f"{note.path}:{note.line or ''}: {note.level}: {note.message}" for note in (notes or ())[:50]]
    return "\n".join(part for part in (check["summary"], *lines) if part)


def conflicting(run: Pass, status: SessionStatus) -> list[str]:
    """The files in conflict with the base, after fetching it."""
    branch, repo = Branch(status["branch"]), run.context.repo
    base = fetch_ref(run, Branch(status["base"]))
    try:
        found = conflicts.predict(repo, base, {branch: git.rev_parse(repo, f"refs/heads/{branch}")}).against_base
    except Expected:  # an older git
        found = {}
    return list(found.get(branch, ())) or ["(git says which when you merge)"]


def fetch_ref(run: Pass, branch: Branch) -> Any:
    return fetch_base(run.context, branch)
