"""Whether an issue is ready, and every reason why not; the same function decides in `plan` and at dispatch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from ..text import and_more, one_line, sanitise
from .dependencies import Known, Linked, Unmet, circles, unmet
from .model import Blocker, Issue, LabelEvent, RepoName
from .record import Phase
from .taken import Merged, Refusal, is_wanted_again, merged_words
from .wording import Ref

WRITERS = ("admin", "maintain", "write")

Kind = Literal[
    "not_open", "is_pull", "missing_label", "excluded_label", "assigned_elsewhere", "milestone",
    "blocked", "blocked_not_planned", "blocked_unknown", "waits_for_sub_issues", "cycle",
    "active_session", "session_complete", "session_cancelled",
    "open_pull", "claimed", "merged", "no_place",
    "untrusted_label", "text_changed", "too_large",
]  # fmt: skip

Severity = Literal["holds", "asks"]


class Rules(NamedTuple):
    """What counts as ready. `trust` is True for `run`, False when a person named the issue or is asked."""

    ready: tuple[str, ...] = ("ready",)
    excluded: tuple[str, ...] = ()
    milestone: str | None = None
    assigned: Literal["me-or-nobody", "me", "nobody", "anyone"] = "me-or-nobody"
    me: str | None = None
    priorities: tuple[str, ...] = ()
    stack: bool = False
    trust: bool = True
    serialize: bool = False
    max_text: int = 65_536


class SessionFacts(NamedTuple):
    """A session that the clone knows. `active` means that its worker lives."""

    phase: Phase
    active: bool
    branch: str
    planned_files: tuple[str, ...] = ()
    changed_files: tuple[str, ...] = ()


class OpenPull(NamedTuple):
    """An open pull; `issue` is set when its head is that issue's branch. `closes`: what its text says that it closes."""

    number: int
    url: str
    issue: int | None
    files: tuple[str, ...] = ()
    closes: frozenset[int] = frozenset()
    branch: str = ""


class Labelled(NamedTuple):
    """Who set a label last, what they may do, and when; None is unknown. `kind` is User for a person."""

    label: str
    by: str | None
    permission: str | None
    at: str | None = None
    kind: str = "User"


class Facts(NamedTuple):
    """What was observed. Of `blockers` and `sub_issues` a missing key means not asked, None that asking failed.

    `others` are the issues outside `issues` that texts refer to; `first_texts` are hashes by `text_hash`. `wishes`: who
    labelled or reopened an issue for which something was `merged`; `refused`: those for which git has no place.
    """

    repo: RepoName
    issues: tuple[Issue, ...]
    others: Mapping[Ref, Blocker] = {}
    blockers: Mapping[int, Linked] = {}
    sub_issues: Mapping[int, Linked] = {}
    sessions: Mapping[int, SessionFacts] = {}
    pulls: tuple[OpenPull, ...] = ()
    merged: Mapping[int, Merged] = {}
    wishes: Mapping[int, tuple[LabelEvent, ...] | None] = {}
    refused: Mapping[int, Refusal] = {}
    labelled: Mapping[int, tuple[Labelled, ...]] = {}
    first_texts: Mapping[int, str] = {}
    tree: frozenset[str] = frozenset()


class Reason(NamedTuple):
    """Why an issue does not start, and perhaps what to type. `asks` holds in `run`, and may be overruled by the person who
    is asked."""

    kind: Kind
    text: str
    severity: Severity = "holds"
    hint: str = ""


BY_NAME = {"missing_label", "milestone", "assigned_elsewhere"}  # what naming an issue approves
ELSEWHERE = {"open_pull", "claimed", "merged", "no_place"}  # done or taken, as far as is known


class Index(NamedTuple):
    """What is looked up for every issue, made once. The pulls of issues, and under None those of nobody's; `claims` are the
    pulls that say that they close an issue."""

    issues: Mapping[int, Issue]
    waits: Mapping[int, tuple[Unmet, ...]]
    cycles: Mapping[int, str]
    pulls: Mapping[int | None, Sequence[OpenPull]]
    claims: Mapping[int, Sequence[OpenPull]]


def why_not(issue: Issue, facts: Facts, rules: Rules, index: Index) -> tuple[Reason, ...]:
    """Every reason why the issue does not start, none when it may. The texts are sanitised."""
    found = [
        *_intake(issue, rules),
        *_assignment(issue, rules),
        *_dependency(issue, facts, rules, index),
        *_session(issue, facts, index),
        *_elsewhere(issue, facts, rules, index),
    ]
    size = len(issue.title) + len(issue.body)
    if size > rules.max_text:
        most = f"at most {rules.max_text:,} are given out"
        found.append(Reason("too_large", f"its text has {size:,} characters, {most}"))
    if (
        rules.trust and not found
    ):  # who approved it costs requests, and is asked for only when nothing else holds it
        found += _trust(issue, facts, rules)
    return tuple(reason._replace(text=sanitise(reason.text)) for reason in found)


def not_approved(reasons: Iterable[Reason]) -> list[Reason]:
    """What is left when a person named the issue on the command line, which approves it."""
    return [reason for reason in reasons if reason.kind not in BY_NAME]


def index_of(facts: Facts) -> Index:
    issues = {issue.number: issue for issue in facts.issues}
    known = look_up(facts, issues)
    waits = {
        number: found
        for number, issue in issues.items()
        if (
            found := unmet(
                issue,
                facts.repo,
                facts.blockers.get(number, ()),
                facts.sub_issues.get(number, ()),
                known,
            )
        )
    }
    edges = {
        number: [wait.number for wait in found if wait.number and wait.status == "open"]
        for number, found in waits.items()
    }
    pulls: dict[int | None, list[OpenPull]] = {}
    claims: dict[int, list[OpenPull]] = {}
    for pull in facts.pulls:
        pulls.setdefault(pull.issue, []).append(pull)
        for number in pull.closes - {pull.issue}:
            claims.setdefault(number, []).append(pull)
    return Index(issues, waits, circles(edges), pulls, claims)


def look_up(facts: Facts, issues: Mapping[int, Issue]) -> Known:
    """How the state of a referred issue is known: from the list of issues, else from `facts.others`."""
    own = facts.repo.casefold()

    def known(ref: Ref) -> Blocker | None:
        issue = issues.get(ref.number) if ref.repo == own else None
        if issue is None:
            return facts.others.get(ref)
        return Blocker(facts.repo, issue.number, issue.title, issue.state, issue.state_reason)

    return known


# Of the dependencies in that state, of sub-issues or not: the kind of the reason, in words, and its severity.
_UNMET: tuple[tuple[str, bool | None, Kind, str, Severity], ...] = (
    ("open", False, "blocked", "blocked by {}", "holds"),
    ("open", True, "waits_for_sub_issues", "waits for its sub-issues: {}", "holds"),
    (
        "not_planned",
        None,
        "blocked_not_planned",
        "depends on what was closed, but not completed: {}; remove the dependency or reopen it",
        "holds",
    ),
    ("unknown", None, "blocked_unknown", "depends on what cannot be read: {}", "asks"),
)


def _intake(issue: Issue, rules: Rules) -> Iterator[Reason]:
    if issue.state != "open":
        how = (issue.state_reason or "").replace("_", " ")
        yield Reason("not_open", f"closed as {how}" if how else "closed")
    if issue.is_pull:
        yield Reason("is_pull", "is a pull request")
    if missing := [label for label in rules.ready if not issue.has([label])]:
        yield Reason("missing_label", f"needs the label {quoted(missing)}")
    if excluded := [label for label in rules.excluded if issue.has([label])]:
        yield Reason("excluded_label", f"has the label {quoted(excluded)}")
    if rules.milestone is not None and issue.milestone != rules.milestone:
        has = f"in {quoted([issue.milestone])}" if issue.milestone else "in no milestone"
        yield Reason("milestone", f"{has}, not in {quoted([rules.milestone])}")


def _assignment(issue: Issue, rules: Rules) -> Iterator[Reason]:
    """Logins compare without case. "me" wants `me` among the assignees, "me-or-nobody" wants nobody else."""
    me = "" if rules.assigned == "nobody" else (rules.me or "").casefold()
    others = [login for login in issue.assignees if login.casefold() != me]
    if rules.assigned == "anyone" or (
        rules.assigned == "me" and len(others) < len(issue.assignees)
    ):
        return
    if others:
        who = and_more([f"@{login}" for login in others])
        yield Reason("assigned_elsewhere", f"assigned to {who}")
    elif rules.assigned == "me":
        yield Reason("assigned_elsewhere", "assigned to nobody")


def _dependency(issue: Issue, facts: Facts, rules: Rules, index: Index) -> Iterator[Reason]:
    waits = index.waits.get(issue.number, ())
    if not waits or (rules.stack and stack_on(issue, facts, index)):
        return
    for status, of_sub_issues, kind, text, severity in _UNMET:
        if names := [
            f'{each.name} "{one_line(each.title, 50)}"' if each.title else each.name
            for each in waits
            if each.status == status and of_sub_issues in (None, each.source == "sub_issue")
        ]:
            yield Reason(kind, text.format(and_more(names)), severity)
    if issue.number in index.cycles:
        yield Reason("cycle", f"dependencies go in a circle: {index.cycles[issue.number]}")


def stack_on(issue: Issue, facts: Facts, index: Index) -> int | None:
    """The complete session on whose branch the issue can start: that of its only unmet dependency."""
    match index.waits.get(issue.number):
        case (Unmet(number=int(number), status="open", source=source),) if (
            source != "sub_issue" and issue.number not in index.cycles
        ):
            below = facts.sessions.get(number)
            return number if below and below.phase == "complete" else None
        case _:
            return None


def _session(issue: Issue, facts: Facts, index: Index) -> Iterator[Reason]:
    number, known = issue.number, facts.sessions.get(issue.number)
    match known.phase if known else None:
        case None:
            pass
        case "complete":
            yield Reason("session_complete", f"already complete: `issue-orch show {number}`")
        case "cancelled":
            text = "was cancelled: `issue-orch prune --cancelled` makes room for a new start"
            yield Reason("session_cancelled", text, "asks")
        case "stuck":
            text = f'its session is stuck: `issue-orch answer {number} "…"`'
            yield Reason("active_session", text)
        case phase:
            how = f": `issue-orch show {number}`"
            if known and not known.active:
                how = f", without a worker: `issue-orch resume {number}`"
            yield Reason("active_session", f"its session is {phase}{how}")
    for pull in index.pulls.get(number, ()):
        yield Reason("open_pull", f"its branch has an open pull: {pull.url}")


def _elsewhere(issue: Issue, facts: Facts, rules: Rules, index: Index) -> Iterator[Reason]:
    """What is done, or what somebody else is doing, where no session of this clone says so."""
    number, merged = issue.number, facts.merged.get(issue.number)
    if number in facts.sessions or issue.state != "open":
        return
    for pull in index.claims.get(number, ()):
        yield Reason("claimed", f"the pull {pull.url} says that it closes it")
    if merged and not is_wanted_again(merged, facts.wishes.get(number), rules.ready):
        yield Reason("merged", merged_words(merged, bool(rules.ready)))
    if refused := facts.refused.get(number):
        yield Reason("no_place", refused.text, hint=refused.hint)


def _trust(issue: Issue, facts: Facts, rules: Rules) -> Iterator[Reason]:
    """Only for `run`: a person with write permission chose the issue as it reads now (threats S1 and S2)."""
    if not rules.ready:
        how = "no ready label is configured, so nobody can have approved it: set one"
        yield Reason("untrusted_label", how)
    events = {event.label.casefold(): event for event in facts.labelled.get(issue.number, ())}
    for label in rules.ready:
        event = events.get(label.casefold()) or Labelled(label, None, None)
        person = event.kind == "User"
        if not issue.has([label]) or (event.permission in WRITERS and person):
            continue
        who = f"@{event.by}" if event.by else "somebody unknown"
        may = f"whose permission is {event.permission or 'unknown'}"
        may = "who is no person" if event.by and not person else may
        mend = "someone with write permission removes it and sets it again"
        yield Reason("untrusted_label", f'the label "{label}" was set by {who}, {may}: {mend}')
    first = facts.first_texts.get(issue.number)
    if first is None:
        how = "its text was not recorded when it became ready: the next pass of `run` does it"
        yield Reason("text_changed", how)
    elif first != text_hash(issue):
        how = "someone with write permission reads it, removes the ready label and sets it again"
        yield Reason("text_changed", f"its title or text changed since it became ready: {how}")


def text_hash(issue: Issue) -> str:
    """What is recorded when an issue is first seen ready, and compared before it starts."""
    from hashlib import sha256

    return sha256(f"{issue.title}\0{issue.body}".encode("utf-8", "surrogatepass")).hexdigest()


def recorded(
    known: Mapping[str, Any], issues: Iterable[Issue], labelled: Mapping[int, Sequence[Labelled]]
) -> dict[str, Any]:
    """The text of each issue as it was when first seen ready: its `hash`, and when the label was set as GitHub says.

    A changed text counts only after the ready label was set anew. Only GitHub's own times are compared: ours may be wrong.
    """
    found = dict(known)
    for issue in issues:
        text = text_hash(issue)
        entry = {"hash": text, "labelledAt": "", **found.get(str(issue.number), {})}
        at = max((each.at or "" for each in labelled.get(issue.number, ())), default="")
        if "" < entry["labelledAt"] < at:
            entry["hash"] = text
        found[str(issue.number)] = {**entry, "labelledAt": max(entry["labelledAt"], at)}
    return found


def quoted(labels: Iterable[str]) -> str:
    return and_more([f'"{label}"' for label in labels])
