"""Write-back to issues: labels, one status comment, a stuck worker's question, and answers by comment (threat S3)."""

from __future__ import annotations

import re

from ..actions.steer import guide
from ..actions.whereabouts import NotHere
from ..core.headline import LABELS, Headline, wanted_label
from ..core.model import Comment, Issue
from ..core.ready import WRITERS
from ..core.record import Question
from ..errors import Expected, Moved, NotFound, Usage
from ..markdown import shown
from ..store.inbox import delivered, pending
from ..store.look import look
from ..text import neutralise, one_line, redact
from .pulls import Pass, Visit

BUSY = ("PLANNING", "WORKING", "STARTING", "QUIET", "RETRYING")
ANSWER = re.compile(r"\s*/answer\b[ \t]*(.*)", re.IGNORECASE | re.DOTALL)
TEXT_LIMIT = 8_000


def write_back(run: Pass) -> None:
    """Take answers, then show on each issue how its session stands."""
    _take_answers(run)
    run.each(_show)


# -- answers


def _take_answers(run: Pass) -> None:
    """Comments of all issues come in one list, from the oldest open question on."""
    asking = [visit for visit in run.visits() if _is_asking(visit)]
    if not asking:
        return
    since = min(visit.memory["question"]["at"] for visit in asking)
    found = run.gh.fetch_repo_comments(since)
    for visit in asking:
        mine = run.gh.fetch_comments(visit.number, since) if found is None else found
        for comment in sorted(mine, key=lambda each: each.id):
            seen = comment.id in visit.memory["question"]["seen"]
            if comment.issue == visit.number and not seen and ANSWER.match(comment.body):
                _take_answer(visit, comment)


def _is_asking(visit: Visit) -> bool:
    """Whether the open question of the session stands on its issue."""
    question, posted = visit.status["question"], visit.memory.get("question", {})
    return bool(question and "comment" in posted and posted["id"] == question["id"])


def _take_answer(visit: Visit, comment: Comment) -> None:
    """Guidance first, then noted: a crash in between delivers it again, and loses nothing."""
    run, asked = visit.run, visit.memory["question"]
    permission = run.gh.find_permission(comment.author) if comment.author_kind == "User" else None
    problem = refusal(comment, asked["at"], asked["comment"], run.me, permission)
    line = f"not taken: {problem}"
    if problem is None:
        try:
            words, author = words_of(comment), f"@{comment.author}, {comment.url}"
            line = guide(run.context, visit.number, words, author, asked)
        except Usage as error:
            line = f"not taken: {error.message}"
            _keep(visit, "answer", f"{_safe(visit, error.message)}. The question is still open.")
        except NotHere as error:  # nothing was done: it is taken when the worktree is there again
            return visit.say(error.message)
        except Expected as error:  # it is in the inbox all the same
            line = error.message
    if problem != UNKNOWN:
        asked["seen"].append(comment.id)
        visit.remember()
    visit.say(f"answer of @{one_line(comment.author, 40)} on GitHub: {line}")


UNKNOWN = "what its author may do could not be looked up"


def refusal(
    comment: Comment, asked_at: str, question: int, me: str | None, permission: str | None
) -> str | None:
    """Why a comment is no answer to the question that was posted as comment `question`; None when it is one."""
    if comment.author == me:
        return "it is by the account that issue-orch itself uses"
    if comment.author_kind != "User":
        return "its author is no person"
    if comment.updated_at != comment.created_at:
        return "it was edited; write a new one"
    if comment.created_at < asked_at or comment.id <= question:
        return "it is older than the question"
    if permission is None:
        return UNKNOWN
    if permission not in WRITERS:
        return "its author has no write permission"
    return None if words_of(comment) else "it says nothing"


def words_of(comment: Comment) -> str:
    """The text of an answer."""
    match = ANSWER.match(shown(comment.body))
    return match[1].strip()[:TEXT_LIMIT] if match else ""


# -- what is shown


def _show(visit: Visit) -> None:
    """Labels, status comment, question and receipt of one session, each only where it differs from what is there. Where
    its issue is gone there is nobody to be shown anything."""
    try:
        issue = visit.issue
    except (Moved, NotFound):
        return
    seen = look(visit.state, visit.status, visit.run.now)
    _sync_labels(visit, issue, wanted_label(seen.headline, (seen.pull or {}).get("checks")))
    _keep(visit, "status", _status_body(visit, seen.headline))
    question, posted = visit.status["question"], visit.memory.get("question", {})
    if posted.get("id") == (question and question["id"]):
        return
    if posted and not posted.get("closed"):
        words = _receipt_of(visit, posted["id"])
        _keep(visit, "question", f"{posted.get('text', '')}\n\n{words}")
        posted["closed"] = True
        visit.remember()
    if question:
        asked = {"id": question["id"], "seen": [], "options": question["options"]}
        visit.memory["question"] = asked
        _keep(visit, "question", _question_body(visit, question))


def _sync_labels(visit: Visit, issue: Issue, wanted: str | None) -> None:
    gh = visit.run.gh
    for label in LABELS:
        if label != wanted and issue.has([label]):
            gh.remove_label(visit.number, label)
    if wanted and not issue.has([wanted]):
        gh.add_labels(visit.number, [wanted])


def _keep(visit: Visit, kind: str, body: str) -> None:
    """Make our comment of this kind say `body`. One that somebody deleted is not written again."""
    mine, gh, number = visit.memory.setdefault(kind, {}), visit.run.gh, visit.number
    if mine.get("text") == body or mine.get("deleted"):
        return
    mark = f"<!-- issue-orch:{kind}:{mine.get('id', number)} -->"
    text, found = f"{mark}\n{body}", mine.get("comment") or _find_own(visit, mark)
    try:
        posted = gh.edit_comment(number, found, text) if found else gh.create_comment(number, text)
        mine.update(comment=posted.id, at=mine.get("at", posted.created_at), text=body)
    except NotFound:
        mine["deleted"] = True
    visit.remember()


def _find_own(visit: Visit, mark: str) -> int | None:
    """A comment with our mark that we wrote: after a crash, or a write without an answer. Others may copy a mark."""
    me = visit.run.me
    own = (
        each.id
        for each in visit.run.gh.fetch_comments(visit.number)
        if each.body.startswith(mark) and (each.author == me if me else each.author_kind != "User")
    )
    return next(own, None)


def _status_body(visit: Visit, head: Headline) -> str:
    status = visit.status
    if head.label in BUSY:
        return f"A worker is on this issue, on the branch `{status['branch']}`."
    why = f": {_safe(visit, one_line(head.why, 300))}" if head.why else ""
    where = f"\n\n{status['pullRequestUrl']}" if status["pullRequestUrl"] else ""
    return f"**{head.label.capitalize().replace('Pr ', 'Pull ')}**{why}{where}"


def _question_body(visit: Visit, question: Question) -> str:
    me = visit.run.me
    parts = [
        f"**The worker on this issue needs a decision.**\n\n{_safe(visit, question['decision'])}",
        _safe(visit, question["context"] or ""),
        *(
            f"{at}. {_safe(visit, one_line(option, 500))}"
            for at, option in enumerate(question["options"], 1)
        ),
    ]
    if question["default"]:
        parts.append(f"It would take: {_safe(visit, one_line(question['default'], 500))}")
    parts.append(
        "Somebody with write permission answers by a new comment, `/answer 1` or `/answer your own words`; or "
        f"with `issue-orch answer {visit.number}`. An edited comment does not count{f', nor one by {me}' if me else ''}."
    )
    return "\n\n".join(filter(None, parts))


def _receipt_of(visit: Visit, question: str) -> str:
    """What became of a question, as far as the files say."""
    messages = [*delivered(visit.state, visit.number), *pending(visit.state, visit.number)]
    authors = [each["author"] for each in messages if each["question"] == question]
    if not authors:
        return "No answer is needed any more."
    name, _, url = one_line(authors[0], 200).partition(", ")
    return f"**Answered** by {_safe(visit, name.lstrip('@'))}{f' ([comment]({url}))' if url else ''}; the worker goes on."


def _safe(visit: Visit, text: str) -> str:
    """As it may be posted: without secrets, mentions, closing words and commands (threat S8)."""
    return neutralise(redact(text, visit.run.secrets), TEXT_LIMIT)
