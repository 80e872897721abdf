"""The poll: what happened on GitHub to sessions, their issues and pulls is recorded, and goes back to their workers."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..actions.context import Context, fetch_base, token_of
from ..actions.facts import fetch_me
from ..actions.launch import report_command
from ..actions.steer import pause, start_worker
from ..config.approval import approved_folder
from ..config.templates import render, task
from ..core.history import AUTOMATIC, Resumed, counters
from ..core.model import Comment, Issue, Review
from ..core.ready import WRITERS, text_hash
from ..errors import (
    Expected,
    GitHubError,
    LeaseHeld,
    Moved,
    NotFound,
    RateLimited,
    SignInFailed,
)
from ..git.merges import predict
from ..git.run import is_ancestor, rev_parse
from ..github.client import GitHub
from ..markdown import shown
from ..store.files import iso, session_numbers, write_json
from ..store.history import load_entries
from ..store.inbox import send
from ..store.leases import Lease, is_alive, take
from .pulls import Looked, Pass, Visit, failing, retarget, see
from .write_back import write_back

# not: cancelled, or waiting for a person
WORTH_MENDING = ("failure", "timed_out", "startup_failure")
HANDLED_LIMIT = 1000
# What goes back to a worker: by its kind (checks, review, conflict), then by the id under which it is remembered.
_News = dict[str, dict[str, dict[str, Any]]]


def poll(context: Context, gh: GitHub, now: float) -> list[str]:
    """One pass over all sessions: pulls, issues, stacked bases, comments. Returns lines for a person.

    What fails for one session becomes its line; RateLimited and SignInFailed concern all, and are raised.
    """
    try:
        lease = take(context.state, "poll", "poll", wait=0.2)
    except LeaseHeld:
        return []
    with _polling(lease, context, gh, now) as run:
        run.each(_attend)
        run.each(retarget)
        if context.config.github_write_back:
            write_back(run)
    return run.lines


def refresh(context: Context, gh: GitHub, now: float) -> list[str]:
    """Look at the pulls and record what is seen; nobody is woken, nothing is posted."""
    with _polling(take(context.state, "poll", "status", wait=10), context, gh, now) as run:
        run.each(see)
    return run.lines


@contextmanager
def _polling(lease: Lease, context: Context, gh: GitHub, now: float) -> Iterator[Pass]:
    with lease:
        writes = context.config.github_write_back
        me = fetch_me(gh) if writes or context.config.pulls_open == "worker" else None
        token = token_of(context) if writes else None
        listed = gh.fetch_issues(context.config.ready_labels)
        issues: dict[int, Issue | GitHubError] = {issue.number: issue for issue in listed}
        pulls = gh.fetch_pulls(state="open")
        secrets = (token.value,) if token else ()
        run = Pass(context, gh, now, me, pulls, issues, secrets, [], {})
        run.look()
        yield run
        write_json(context.state / "rate.json", {**gh.rate._asdict(), "at": iso(now)})


def _attend(visit: Visit) -> None:
    """What happened to the pull and to the issue of one session."""
    before, status = visit.facts, visit.status
    facts, looked = see(visit)
    if facts.get("state") == "closed" and before.get("state") != "closed":
        merged = "merged by a person; issue-orch prune removes its worktree"
        visit.say(f"its pull was {merged if facts.get('merged') else 'closed without a merge'}")
    held = ""
    if status["status"] not in ("complete", "cancelled"):
        held = _watch_issue(visit)
    elif (
        looked
        and looked.pull.state == "open"
        and (status["status"], status["hold"]) == ("complete", None)
    ):
        held = _follow_up(visit, looked)
    if held != facts.get("held", ""):
        facts["held"] = held
        visit.record(facts)
        if held:
            visit.say(held)


# -- an issue that changes while its session runs


def _watch_issue(visit: Visit) -> str:
    """Why the issue of a running session holds it; empty when it does not.

    An edit goes to the worker when everybody who may edit the issue has write permission: GitHub does not say who did.
    One that waits for an answer gets it after that. Anything else holds the worker at the end of its turn, once.
    """
    try:
        issue, memory, text = visit.issue, visit.memory, text_hash(visit.issue)
    except (NotFound, Moved) as error:  # of a repository whose list of issues has just been read
        new = {"gone"} - (visit.memory.get("told") or {}).keys()
        return _hold_once(visit, {"gone": _gone_words(error)}, new)
    ready, edit = issue.has(visit.run.context.config.ready_labels), f"edited {text}"
    first = memory.setdefault("issue", {"text": text, "labelled": ready})
    edited = "its issue was edited, perhaps by somebody without write permission"
    differences = {
        "closed": issue.state != "open" and "its issue was closed",
        "unlabelled": first["labelled"] and not ready and "its issue lost its ready label",
        edit: first["text"] != text and edited,
    }
    found, told = {about: str(why) for about, why in differences.items() if why}, memory.get("told")
    new = found.keys() - (told or {}).keys()
    if edit in new and visit.run.gh.find_permission(issue.author) in WRITERS:
        del found[edit]
        new.remove(edit)
        if visit.status["status"] != "stuck":
            _pass_on(visit, _words(visit, "issue_edited", author=None, task=task(issue)))
            first["text"], memory["told"] = text, None
            visit.say("its issue was edited; its worker is told")
    return _hold_once(visit, found, new)


def _hold_once(visit: Visit, found: dict[str, str], new: Collection[str]) -> str:
    """Pause for what is `new` among what holds the session, and note that all of it was told."""
    if new:
        pause(visit.state, visit.number, "issue-orch")
    if found != visit.memory.get("told"):
        visit.memory["told"] = found
        visit.remember()
    why, number = "; ".join(found.values()), visit.number
    return why and f"{why}: look at it, then issue-orch resume {number}, or cancel {number}"


def _gone_words(error: GitHubError) -> str:
    if isinstance(error, Moved):
        return "its issue was transferred to another repository"
    return "its issue is gone: deleted, made a discussion, or not visible to the token any more"


# -- failing checks, reviews and conflicts of complete sessions, which go back to their workers


def _follow_up(visit: Visit, looked: Looked) -> str:
    """Let news go back to the worker. Why nothing does; empty when that is as it should be."""
    memory, config, head = visit.memory, visit.run.context.config, looked.pull.head_sha
    entries = [*load_entries(visit.state, visit.number)]
    resumes = sum(isinstance(each, Resumed) for each in entries)
    if resumes > memory.get("resumes", resumes):  # since it was held: what is there now is accepted
        del memory["resumes"]
        memory["allowed"] = head
        visit.remember()
    foreign = not _is_here(visit, head)
    if foreign and memory.get("allowed") != head:
        return _hold(visit, resumes, "somebody else pushed to its branch")
    news, rounds = _news_of(visit, looked), config.follow_up_rounds
    if not news or not rounds:
        return ""
    if counters(entries).rounds >= rounds:
        return _hold(visit, resumes, f"its worker was sent back {rounds} times")
    alive = sum(is_alive(visit.state, number) for number in session_numbers(visit.state))
    if alive >= config.max_workers:
        return "its worker waits for a free place to follow up"
    for text in _texts_of(visit, news, foreign):
        _pass_on(visit, text)
    handled = [*memory["handled"], *(each for rows in news.values() for each in rows)]
    memory["handled"] = handled[-HANDLED_LIMIT:]
    visit.remember()
    start_worker(visit.run.context, visit.number, "follow-up")
    visit.say(f"goes back to its worker: {', '.join(news)}")
    return ""


def _hold(visit: Visit, resumes: int, why: str) -> str:
    """Until a person says `resume` once more."""
    if "resumes" not in visit.memory:
        visit.memory["resumes"] = resumes
        visit.remember()
    return f"{why}; issue-orch resume {visit.number} lets its worker follow up again"


def _is_here(visit: Visit, head: str) -> bool:
    """Whether the pull's head is a commit of the session's branch here."""
    return is_ancestor(visit.run.context.repo, head, f"refs/heads/{visit.status['branch']}")


def _news_of(visit: Visit, looked: Looked) -> _News:
    """What a worker should know and was not told yet: checks once all have ended, what people who count say (changes that
    they request, comments with words), a conflict once per head."""
    head, checks = looked.pull.head_sha, looked.checks or ()
    ended = all(check.status == "completed" for check in checks)
    broken = [check for check in failing(checks) if check.conclusion in WORTH_MENDING]
    reviews = [
        each
        for each in looked.reviews
        if each.state == "CHANGES_REQUESTED" or (each.state == "COMMENTED" and each.body)
    ]
    written: list[Review | Comment] = [*reviews, *looked.comments]
    said = [each for each in written if visit.run.counts(each.author, each.author_kind)]
    found: _News = {
        "checks": {
            f"check:{check.id or check.name}:{head}": check._asdict() for check in broken if ended
        },
        "review": {f"{type(each).__name__}:{each.id}": _review_row(each) for each in said},
        "conflict": {f"conflict:{head}": {}} if looked.pull.mergeable is False else {},
    }
    handled = set(visit.memory["handled"])
    return {
        kind: {each: row for each, row in rows.items() if each not in handled}
        for kind, rows in found.items()
        if rows.keys() - handled
    }


def _review_row(each: Review | Comment) -> dict[str, Any]:
    """As the template `followup_review` has it."""
    row = {"state": "commented", "path": None, "line": None, **each._asdict()}
    return {**row, "state": row["state"].lower(), "text": each.body or "(no words)"}


def _texts_of(visit: Visit, news: _News, foreign: bool) -> list[str]:
    """The news in words, rendered by the team's templates."""
    context, status = visit.run.context, visit.status
    remote, texts = f"refs/remotes/{context.config.remote}", list[str]()
    if foreign:
        fetch_base(context, status["branch"])
        texts.append(
            f"Somebody else pushed to your branch. Begin with `git merge {remote}/{status['branch']}`; "
            "keep what they did."
        )
    for kind, rows in news.items():
        values: dict[str, Any] = {"url": status["pullRequestUrl"]}
        match kind:
            case "checks":
                values["checks"] = [{**row, "text": _evidence(visit, row)} for row in rows.values()]
            case "review":
                values["reviews"] = [*rows.values()]
            case "conflict":
                theirs = f"{remote}/{status['base']}"
                values |= {
                    "base": status["base"],
                    "theirs": theirs,
                    "files": _conflicting(visit),
                }
        texts.append(_words(visit, f"followup_{kind}", **values))
    return texts


def _words(visit: Visit, template: str, **values: Any) -> str:
    top, report = approved_folder(visit.state), report_command()
    return render(template, top, number=visit.number, report=report, **values)


def _pass_on(visit: Visit, text: str) -> None:
    send(visit.state, visit.number, "guidance", text, AUTOMATIC, visit.run.now)


def _evidence(visit: Visit, check: dict[str, Any]) -> str:
    """What a check says of itself: its summary and up to fifty annotations."""
    notes, missing = None, ""
    try:
        notes = visit.run.gh.fetch_annotations(check["id"]) if check["id"] else None
    except (RateLimited, SignInFailed):
        raise
    except GitHubError as error:  # evidence alone: what failed is known without it
        missing = f"(its annotations could not be read: {error.message})"
    lines = [
        f"{note.path}:{note.line or ''}: {note.level}: {note.message}"
        for note in (notes or ())[:50]
    ]
    return "\n".join(filter(None, (shown(check["summary"]), *lines, missing)))


def _conflicting(visit: Visit) -> list[str]:
    """The files in conflict with the base, after fetching it."""
    branch, repo = visit.status["branch"], visit.run.context.repo
    base = fetch_base(visit.run.context, visit.status["base"])
    files: tuple[str, ...] = ()
    with suppress(Expected):  # an older git
        sha = rev_parse(repo, f"refs/heads/{branch}")
        files = predict(repo, base, {branch: sha}).against_base.get(branch, ())
    return list(files) or ["(git says which when you merge)"]
