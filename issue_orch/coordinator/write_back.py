"""Write-back to issues: labels, one status comment, a stuck worker's question, and answers by comment (threat S3)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..actions.steer import guide
from ..core.headline import LABELS, Headline, wanted_label
from ..core.model import Comment, find_number
from ..core.ready import WRITERS
from ..core.record import Message, Question, SessionStatus
from ..errors import Expected, NotFound
from ..store.inbox import delivered, pending
from ..store.look import look
from ..text import neutralise, one_line, redact
from .pulls import Memory, Pass, guarded, load_memory, save_memory

BUSY = ("PLANNING", "WORKING", "STARTING", "QUIET", "RETRYING")
ANSWER = re.compile(r"\s*/answer\b[ \t]*(.*)", re.IGNORECASE | re.DOTALL)
TEXT_LIMIT = 8_000


def write_back(run: Pass, numbers: list[int]) -> list[str]:
    """Take answers, then show on each issue how its session stands. Returns lines for a person."""
    lines = list(take_answers(run, numbers))
    return lines + [line for number in numbers for line in guarded(show, run, number)]


# -- answers


def take_answers(run: Pass, numbers: list[int]) -> Iterator[str]:
    """Comments of all issues come in one list, from the oldest open question on."""
    open_ = {
        number: memory
        for number in numbers
        if is_open(run, number, memory := load_memory(run, number))
    }
    if not open_:
        return
    since = min(memory["question"]["at"] for memory in open_.values())
    found = run.gh.fetch_repo_comments(since)
    for number, memory in open_.items():
        mine = run.gh.fetch_comments(number, since) if found is None else found
        for comment in sorted(mine, key=lambda each: each.id):
            if (
                comment.issue == number
                and comment.id not in memory["question"]["seen"]
                and ANSWER.match(comment.body)
            ):
                yield take_answer(run, number, memory, comment)


def is_open(run: Pass, number: int, memory: Memory) -> bool:
    question, asked = run.status(number)["question"], memory.get("question", {})
    return bool(question and "comment" in asked and asked["id"] == question["id"])


def take_answer(run: Pass, number: int, memory: Memory, comment: Comment) -> str:
    """Guidance first, then noted: a crash in between delivers it again, and loses nothing."""
    asked = memory["question"]
    permission = run.gh.find_permission(comment.author) if comment.author_kind == "User" else None
    problem = refusal(comment, asked["at"], asked["comment"], run.me, permission)
    if problem is None:
        try:
            words, author = words_of(comment, asked["options"]), f"@{comment.author}, {comment.url}"
            line = guide(run.context, number, words, author, asked["id"])
        except Expected as error:  # it is in the inbox all the same
            line = error.message
    else:
        line = f"not taken: {problem}"
    if problem != UNKNOWN:
        asked["seen"].append(comment.id)
        save_memory(run, number, memory)
    return f"#{number}: answer of @{one_line(comment.author, 40)} on GitHub: {line}"


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
    return None if words_of(comment, []) else "it says nothing"


def words_of(comment: Comment, options: list[str]) -> str:
    """The text of an answer; a number stands for the option."""
    match = ANSWER.match(comment.body)
    words = match[1].strip()[:TEXT_LIMIT] if match else ""
    number = find_number(words)
    return options[number - 1] if number and number <= len(options) else words


# -- what is shown


def show(run: Pass, number: int) -> list[str]:
    """Labels, status comment, question and receipt of one session, each only where it differs from what is there."""
    seen = look(run.context.state, run.status(number), run.now)
    memory = load_memory(run, number)
    sync_labels(run, number, wanted_label(seen.headline, (seen.pull or {}).get("checks")))
    keep(run, number, memory, "status", status_body(run, seen.status, seen.headline))
    question, posted = seen.status["question"], memory.get("question", {})
    if posted and not posted.get("closed") and (question is None or question["id"] != posted["id"]):
        words = receipt_of(run, seen.status, posted["id"])
        keep(run, number, memory, "question", f"{posted.get('text', '')}\n\n{words}")
        memory["question"]["closed"] = True
        save_memory(run, number, memory)
    if question and question["id"] != posted.get("id"):
        memory["question"] = {"id": question["id"], "seen": [], "options": question["options"]}
        keep(run, number, memory, "question", question_body(run, number, question))
    return []


def sync_labels(run: Pass, number: int, wanted: str | None) -> None:
    there = {label.casefold() for label in run.issue(number).labels}
    for label in LABELS:
        if label in there and label != wanted:
            run.gh.remove_label(number, label)
    if wanted and wanted not in there:
        run.gh.add_labels(number, [wanted])


def keep(run: Pass, number: int, memory: Memory, kind: str, body: str) -> None:
    """Make our comment of this kind say `body`. One that somebody deleted is not written again."""
    mine: dict[str, Any] = memory.setdefault(kind, {})
    if mine.get("text") == body or mine.get("deleted"):
        return
    mark = f"<!-- issue-orch:{kind}:{mine.get('id', number)} -->"
    found = mine.get("comment") or find_own(run, number, mark)
    try:
        posted = (
            run.gh.edit_comment(number, found, f"{mark}\n{body}")
            if found
            else run.gh.create_comment(number, f"{mark}\n{body}")
        )
        mine.update(comment=posted.id, at=mine.get("at", posted.created_at), text=body)
    except NotFound:
        mine["deleted"] = True
    save_memory(run, number, memory)


def find_own(run: Pass, number: int, mark: str) -> int | None:
    """A comment with our mark that we wrote: after a crash, or a write without an answer. Others may copy a mark."""
    return next(
        (
            each.id
            for each in run.gh.fetch_comments(number)
            if each.body.startswith(mark)
            and (each.author == run.me if run.me else each.author_kind != "User")
        ),
        None,
    )


def status_body(run: Pass, status: SessionStatus, head: Headline) -> str:
    if head.label in BUSY:
        return f"A worker is on this issue, on the branch `{status['branch']}`."
    why = f": {safe(run, one_line(head.why, 300))}" if head.why else ""
    where = f"\n\n{status['pullRequestUrl']}" if status["pullRequestUrl"] else ""
    return f"**{head.label.capitalize().replace('Pr ', 'Pull ')}**{why}{where}"


def question_body(run: Pass, number: int, question: Question) -> str:
    parts = [f"**The worker on this issue needs a decision.**\n\n{safe(run, question['decision'])}"]
    if question["context"]:
        parts.append(safe(run, question["context"]))
    parts += [
        f"{at}. {safe(run, one_line(option, 500))}"
        for at, option in enumerate(question["options"], 1)
    ]
    if question["default"]:
        parts.append(f"It would take: {safe(run, one_line(question['default'], 500))}")
    parts.append(
        "Somebody with write permission answers by a new comment, `/answer 1` or `/answer your own words`; or "
        f"with `issue-orch answer {number}`. An edited comment does not count"
        + (f", nor one by {run.me}." if run.me else ".")
    )
    return "\n\n".join(parts)


def receipt_of(run: Pass, status: SessionStatus, question: str) -> str:
    """What became of a question, as far as the files say."""
    number, state = status["issueNumber"], run.context.state
    messages: list[Message] = [*delivered(state, number), *pending(state, number)]
    author = next(
        (one_line(each["author"], 200) for each in messages if each["question"] == question), None
    )
    if author is None:
        return "No answer is needed any more."
    name, _, url = author.partition(", ")
    return f"**Answered** by {safe(run, name.lstrip('@'))}{f' ([comment]({url}))' if url else ''}; the worker goes on."


def safe(run: Pass, text: str) -> str:
    """As it may be posted: without secrets, mentions, closing words and commands (threat S8)."""
    return neutralise(redact(text, run.secrets), TEXT_LIMIT)
