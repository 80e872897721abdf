"""Real samples, mangled: nothing but the declared errors, no hang, and cost that grows with the input.

FUZZ_EXAMPLES=100000 runs long (tests/conftest.py); the lines of agents are in tests/agents/test_parsers.py.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issue_orch.agents import registry
from issue_orch.config.keys import AGENT_KEYS, KEYS, commented_file
from issue_orch.config.layers import parse
from issue_orch.config.templates import pull_body, task
from issue_orch.core import outcomes
from issue_orch.core.dependencies import text_references
from issue_orch.core.history import counters
from issue_orch.core.model import RepoName
from issue_orch.core.outcomes import Turn
from issue_orch.core.overlap import declared_files, inferred_files
from issue_orch.core.prices import Usage
from issue_orch.core.record import new_status
from issue_orch.core.wording import Ref
from issue_orch.errors import Expected, GitHubError
from issue_orch.github import parse as github_json
from issue_orch.github.fence import address, refusal
from issue_orch.store import files, inbox, ledger
from issue_orch.store.history import append_entry, load_entries
from issue_orch.store.look import load_past, look_all
from issue_orch.terminal.session import session_lines
from issue_orch.terminal.sessions import status_text
from issue_orch.text import fence, neutralise, one_line, redact, sanitise
from issue_orch.worker import outbox
from tests.kit.github_fake import ODD_TEXTS, FakeGitHub, ask
from tests.kit.plan import issue

NOW = 1_800_000_000.0
CHARS = st.characters(codec=None)  # lone surrogates too: JSON can spell them
TEXTS = st.text(CHARS, max_size=30) | st.sampled_from([text[:300] for text in ODD_TEXTS])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.just(10**30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


@st.composite
def mangled(draw: st.DrawFn, sample: Any) -> Any:
    """The sample with one to three places replaced by anything, or taken out."""
    found = deepcopy(sample)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(found))))
        if not path:
            return draw(VALUES)
        inner = found
        for key in path[:-1]:
            inner = inner[key]
        if draw(st.booleans()):
            inner[path[-1]] = draw(VALUES)
        else:
            del inner[path[-1]]
    return found


def torn(draw: Callable[..., Any], raw: bytes) -> bytes:
    """Cut, or with some bytes changed, or as it is."""
    match draw(st.integers(0, 3)):
        case 0:
            return raw[: draw(st.integers(0, len(raw)))]
        case 1:
            at = draw(st.integers(0, len(raw)))
            return raw[:at] + draw(st.binary(max_size=5)) + raw[at + 1 :]
        case _:
            return raw


REPORTS = [
    {"kind": "planning", "plan": "1. Look", "touches": ["src/auth.py"], "attempt": 1},
    {"kind": "working", "note": "half done", "attempt": 1},
    {
        "kind": "stuck",
        "decision": "Which?",
        "options": ["a", "b"],
        "context": "c",
        "default": "a",
        "attempt": 1,
    },
    {"kind": "complete", "title": "Add it", "body": "Closes nothing.", "pr": None, "attempt": 1},
]
MESSAGE = {
    "id": "1",
    "kind": "guidance",
    "text": "go on",
    "author": "maria",
    "at": "2026-01-01T00:00:00Z",
    "question": None,
    "now": False,
}
STATUS = {
    **new_status(
        7,
        issueTitle="Title",
        branch="issue-7",
        worktreePath="/w/7",
        startedAt="2026-01-01T00:00:00Z",
        agent="claude",
        lastHeartbeat="2026-01-01T00:00:00Z",
        repo="o/r",
        base="main",
        baseSha="a" * 40,
        attempt=2,
        plannedFiles=["a.py"],
        changes={"files": 1, "insertions": 2, "deletions": 3},
        lastActivity={"at": "2026-01-01T00:00:00Z", "text": "reads"},
        retryAt="2026-01-01T00:00:00Z",
        question={
            "id": "q",
            "decision": "Which?",
            "options": ["a"],
            "context": None,
            "default": "a",
            "askedAt": "2026-01-01T00:00:00Z",
        },
        supervisor={"pid": 1, "startTicks": 2, "bootId": "x"},
        agentProcess={"pid": 3, "exitCode": None},
        publish={"pending": True, "reason": "no network"},
        pullRequestUrl="https://github.com/o/r/pull/8",
    )
}
LEDGER = [
    {
        "at": "2026-01-01T00:00:00Z",
        "kind": "cost",
        "attempt": 1,
        "agent": "claude",
        "counter": "claude:s",
        "usd": 0.5,
        "inputTokens": 3,
        "outputTokens": 4,
        "cachedTokens": 0,
        "estimate": False,
        "reading": list(Usage("call", 0.5, 3, 4)),
    },
    {"at": "2026-01-01T00:00:00Z", "kind": "reserve", "attempt": 1, "usd": 2.0},
]
HISTORY = [
    {
        "at": "2026-01-01T00:00:00Z",
        "kind": "report",
        "report": "complete",
        "fields": {"title": "x"},
        "accepted": True,
    },
    {
        "at": "2026-01-01T00:00:00Z",
        "kind": "delivered",
        "messageKind": "guidance",
        "text": "x",
        "author": "y",
    },
    {
        "at": "2026-01-01T00:00:00Z",
        "kind": "exit",
        "attempt": 1,
        "code": 0,
        "outcome": "ended",
        "message": "x",
        "seconds": 1.0,
    },
    {"at": "2026-01-01T00:00:00Z", "kind": "transition", "before": "planning", "after": "working"},
]


def raw_json(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = files.make_state(tmp_path_factory.mktemp("git"))
    files.make_session(made, 7)
    return made


@given(data=st.data())
def test_outbox_files(state: Path, data: st.DataObject) -> None:
    """Whatever stands in the outbox is a report or refused with words, and what is accepted fits into the history."""
    sample = data.draw(st.sampled_from(REPORTS))
    raw = torn(data.draw, raw_json(data.draw(mangled(sample) | st.just(sample))))
    path = state / "1.json"
    path.write_bytes(raw)
    found = outbox.parse_report(path)
    if isinstance(found, str):
        assert found
        return
    append_entry(state, 7, found._replace(attempt=1), NOW)
    assert [*load_entries(state, 7)] == [found._replace(attempt=1)]
    files.write_text(state / "sessions" / "7" / "plan.md", str(found.fields.get("plan") or ""))
    (state / "sessions" / "7" / "events.jsonl").unlink()


@given(data=st.data())
def test_inbox_files(state: Path, data: st.DataObject) -> None:
    path = state / "sessions" / "7" / "inbox" / "1.json"
    path.write_bytes(torn(data.draw, raw_json(data.draw(mangled(MESSAGE)))))
    for message in inbox.pending(state, 7):
        inbox.receipt(state, 7, message, NOW)
    inbox.delivered(state, 7)
    for name in (
        path,
        path.parent / "delivered" / path.name,
        state / "sessions" / "7" / "events.jsonl",
    ):
        name.unlink(missing_ok=True)


@given(data=st.data())
def test_status_files(state: Path, data: st.DataObject) -> None:
    """What people look at shows or names what is damaged, and never dies of it."""
    path = state / "sessions" / "7" / "status.json"
    path.write_bytes(torn(data.draw, raw_json(data.draw(mangled(STATUS)))))
    try:
        sessions, problems = look_all(state, NOW)
        status_text(sessions, 100, False)
        for seen in sessions:
            session_lines(seen, load_past(state, seen.status["issueNumber"]), 100)
        assert len(sessions) + len(problems) == 1
    except Expected as error:
        assert error.message
    finally:
        path.unlink()


@given(data=st.data())
def test_histories_and_ledgers(state: Path, data: st.DataObject) -> None:
    events = b"\n".join(torn(data.draw, raw_json(data.draw(mangled(row)))) for row in HISTORY)
    (state / "sessions" / "7" / "events.jsonl").write_bytes(events)
    counters(load_entries(state, 7))
    lines = b"\n".join(torn(data.draw, raw_json(data.draw(mangled(row)))) for row in LEDGER)
    ledger.ledger_path(state, 7).write_bytes(lines)
    sums = ledger.booked(state, 7)
    assert sums.usd >= 0 and sums.reserved >= 0
    ledger.readings(state, 7)
    room = ledger.room(state, 7, ledger.Ceilings(total=1.0), NOW)
    assert room is not None and room.usd <= 1.0


WORDS = [
    *(key.name for key in (*KEYS, *AGENT_KEYS)),
    "[",
    "]",
    "=",
    "'",
    '"',
    "\n",
    "{",
    "}",
    "agents.claude",
    "true",
    "1e9",
]
CONFIG = commented_file({"max_workers": 3, "agents.codex.model": "x", "setup": [["npm", "ci"]]})


@given(
    text=st.lists(st.sampled_from(WORDS) | TEXTS, max_size=12).map(" ".join),
    at=st.integers(0, len(CONFIG)),
)
def test_configuration(text: str, at: int) -> None:
    for each in (text, CONFIG[:at] + text + CONFIG[at:], CONFIG[:at]):
        try:
            parse(each, "file")
        except Expected as error:
            error.message.encode("utf-8", "backslashreplace")


class Bodies(NamedTuple):
    """What the fake GitHub answered, each with the function that reads it."""

    rows: list[tuple[Callable[[Any], Any], Any]]


@pytest.fixture(scope="module")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> Bodies:
    with FakeGitHub(tmp_path_factory.mktemp("github")) as fake:
        fake.seed({"a.txt": "a\n"}, "Start")
        issue = fake.add_issue("Text", "Body", ["ready"], "zoe", "maria", ["maria"], "v1")
        fake.add_blocked_by(issue, fake.add_issue("Blocker"))
        fake.comment(issue, "A word", "zoe")
        repo = "/repos/acme/widgets"

        def got(path: str) -> Any:
            answer = ask(fake, "GET", path)
            assert answer.status == 200, path
            return answer.body

        return Bodies(
            [
                (github_json.issue, got(f"{repo}/issues/{issue}")),
                (github_json.repo_facts, got(repo)),
                (github_json.comment, got(f"{repo}/issues/{issue}/comments")[0]),
                (github_json.blocker, got(f"{repo}/issues/{issue}/dependencies/blocked_by")[0]),
                (
                    github_json.label_event,
                    next(row for row in got(f"{repo}/issues/{issue}/timeline") if "label" in row),
                ),
                (
                    github_json.pull,
                    {
                        "number": 1,
                        "html_url": "u",
                        "title": "t",
                        "body": None,
                        "state": "open",
                        "merged_at": None,
                        "draft": False,
                        "head": {
                            "ref": "issue-1",
                            "sha": "a" * 40,
                            "repo": {"full_name": "acme/widgets"},
                        },
                        "base": {"ref": "main"},
                        "user": {"login": "x", "type": "User"},
                        "mergeable": None,
                        "mergeable_state": "unknown",
                    },
                ),
                (
                    github_json.review,
                    {
                        "id": 1,
                        "user": {"login": "x", "type": "User"},
                        "state": "approved",
                        "body": "",
                        "html_url": "u",
                        "submitted_at": "2026-01-01T00:00:00Z",
                        "commit_id": "a" * 40,
                    },
                ),
                (
                    github_json.check_run,
                    {
                        "id": 1,
                        "name": "test",
                        "status": "completed",
                        "conclusion": "failure",
                        "html_url": "u",
                        "output": {"title": "t", "summary": "s"},
                    },
                ),
                (
                    github_json.legacy_status,
                    {"state": "pending", "context": "ci", "target_url": "u", "description": "d"},
                ),
                (
                    github_json.annotation,
                    {"path": "a", "start_line": 1, "annotation_level": "failure", "message": "m"},
                ),
            ]
        )


@given(data=st.data())
def test_answers_of_github(bodies: Bodies, data: st.DataObject) -> None:
    parser, body = data.draw(st.sampled_from(bodies.rows))
    try:
        found = github_json.parse(parser, data.draw(mangled(body)))
    except GitHubError as error:
        assert error.message
        return
    for field, kind in get_type_hints(type(found)).items() if hasattr(found, "_fields") else ():
        assert fits(getattr(found, field), kind), (field, found)
        json.dumps(getattr(found, field), ensure_ascii=False).encode()


def fits(value: Any, kind: Any) -> bool:
    """Whether a value is what its annotation says."""
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(fits(each, get_args(kind)[0]) for each in value)
    if get_args(kind):
        return any(fits(value, each) for each in get_args(kind))
    return isinstance(value, kind)


@given(
    word=TEXTS
    | st.integers()
    | st.lists(st.sampled_from([".", "..", "/", "%2e", "%2f", "a", "\\", "?", "#"])).map("".join)
)
def test_no_word_leads_out_of_its_place(word: str | int) -> None:
    """What the fence would stop is no address: the fence is for faults of ours."""
    try:
        path = address("repos", RepoName("acme/widgets"), "branches", word, "protection")
    except GitHubError:
        return
    assert path.count("/") == 6
    assert isinstance(word, int) or refusal("GET", path, "", None, "acme/widgets") is None


PARTS = [*"#/.:%@-", "..", "issues", "acme", "github.com", "https://", "9", "0"]


@given(text=st.lists(TEXTS | st.sampled_from(PARTS)).map("".join))
def test_what_a_text_refers_to_can_be_asked_for_or_is_words(text: str) -> None:
    for ref in text_references(issue(7, body=f"Depends on {text}"), "acme/widgets"):
        if isinstance(ref, Ref):
            assert (
                refusal(
                    "GET",
                    address("repos", ref.repo, "issues", ref.number),
                    "",
                    None,
                    "acme/widgets",
                )
                is None
            )


@given(title=TEXTS, body=st.lists(TEXTS, max_size=6).map("\n".join), author=TEXTS)
def test_issue_texts(title: str, body: str, author: str) -> None:
    found = issue(7, title, body, author=author)
    prompt = task(found)
    inside = re.match(
        r"<<<DATA ([0-9a-f]{12}) \(written by [^\n]*\)\n(?s:(.*?))\nDATA \1>>>", prompt
    )
    assert inside and inside[1] not in inside[2] and inside.end() == len(prompt)
    for text in (
        prompt,
        pull_body("/nowhere", 7, body),
        one_line(title, 40),
        redact(sanitise(body)),
    ):
        text.encode()
    text_references(found, "o/r")
    declared_files(body)
    inferred_files(body, frozenset({"a.py", "src/a.py"}))


PIECES = [
    "a",
    "a/",
    "\x1b[",
    "@a ",
    "#1 ",
    "Files: a\n",
    "Depends on #1\n",
    "`",
    "<!--",
    "{{",
    "- [ ] #1\n",
    "https://a/",
    "a.b/",
    "\u202e",
    "ghp_",
    "fixes ",
    "**/",
    "\n",
    " ",
]
TASKS: dict[str, Callable[[str], object]] = {
    "prompt": lambda text: task(issue(7, text, text[: len(text) // 4])),
    "pull": lambda text: pull_body("/nowhere", 7, text),
    "fence": lambda text: fence(text[: len(text) // 4], text),
    "neutralise": neutralise,
    "line": lambda text: one_line(text, 80),
    "dependencies": lambda text: text_references(issue(7, text, text[: len(text) // 4]), "o/r"),
    "declared": lambda text: declared_files(text[: len(text) // 4]),
    "inferred": lambda text: inferred_files(text, frozenset({"a.py"})),
    **{
        name: lambda text, adapter=registry.load(name): [  # type: ignore[misc]
            outcomes.fold(Turn(), event, NOW)
            for event in adapter.parse(json.dumps({"type": "text", "part": {"text": text}}))
        ]
        for name in registry.NAMES
    },
}


def cost(function: Callable[[str], object], text: str) -> float:
    """Processor seconds, the least of three."""
    found = []
    for _ in range(3):
        start = time.process_time()
        function(text)
        found.append(time.process_time() - start)
    return min(found)


@pytest.mark.parametrize("name", TASKS)
def test_twice_the_text_costs_about_twice(name: str) -> None:
    """Four times the text: linear is 4, quadratic 16. Below a hundredth of a second nothing is told apart."""
    for piece in PIECES:
        one = cost(TASKS[name], piece * (20_000 // len(piece)))
        four = cost(TASKS[name], piece * (80_000 // len(piece)))
        assert four < 0.02 or four < 10 * max(one, 0.001), (piece, one, four)
