"""The history of a session: what each kind of entry says, and the counters that are folded from it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, get_args

from .outcomes import CONSEQUENCES, ENDED

AUTOMATIC = (
    "GitHub"  # the author of guidance that no person gave to this session: what was seen on GitHub
)

# The kinds, spelled as in events.jsonl: `GaveUp` is `gave_up` there. What a line does not say, or says with a value of
# another type, reads as the default: an older version wrote it, or somebody edited it.


class Registered(NamedTuple):
    """What a start is going to make, written before it is made; the worktree carries the `mark`."""

    branch: str = ""
    base: str = ""
    mark: str = ""
    continues: str = ""


class Started(NamedTuple):
    """An attempt. `log`: where its part of the agent's log begins."""

    attempt: int = 0
    pid: int = 0
    agent: str = ""
    log: list[int] = [-1, 0]


class Report(NamedTuple):
    """What the worker said of itself; a `reason` when it came at a wrong time, and changed nothing."""

    report: str = ""
    id: str = ""
    attempt: int | None = 0
    fields: dict[str, Any] = {}
    accepted: bool = True
    reason: str = ""


class Transition(NamedTuple):
    before: str = ""
    after: str = ""


class Delivered(NamedTuple):
    """The receipt of a message."""

    message: str = ""
    messageKind: str = "guidance"
    text: str = ""
    author: str = ""


class Exit(NamedTuple):
    """How an attempt ended. `outcome` is one of outcomes.Ending."""

    attempt: int = 0
    code: int = 0
    outcome: str = ""
    message: str = ""
    seconds: float = 0.0


class Nudged(NamedTuple):
    """It was reminded to report."""


class Reasoned(NamedTuple):
    """What those have in common that say why, and nothing else."""

    reason: str = ""


class Failed(Reasoned):
    """An attempt was used up."""


class Stalled(NamedTuple):
    evidence: str = ""


class Held(NamedTuple):
    hold: str = ""


class Resumed(NamedTuple):
    """By a person."""


class Attached(NamedTuple):
    author: str = ""


class Refused(NamedTuple):
    """A file in the outbox that is no report."""

    path: str = ""
    reason: str = ""


class Heard(NamedTuple):
    """Guidance that was seen in the inbox for the first time, and whether a person's is among it."""

    messages: list[str] = []
    person: bool = False


class Unready(Reasoned):
    """A claim that does not hold."""


class Rejected(Reasoned):
    """The push of a claim was refused."""


class PublishPending(Reasoned):
    """The pull could not be opened yet."""


class Settled(NamedTuple):
    url: str = ""
    headSha: str = ""


class GaveUp(Reasoned):
    """The session was given to a person."""


class NotNotified(NamedTuple):
    reason: str = ""


class Unknown(NamedTuple):
    """Of another version: kept in the file, and passed over."""


Entry = (
    Registered
    | Started
    | Report
    | Transition
    | Delivered
    | Exit
    | Nudged
    | Failed
    | Stalled
    | Held
    | Resumed
    | Attached
    | Refused
    | Heard
    | Unready
    | Rejected
    | PublishPending
    | Settled
    | GaveUp
    | NotNotified
    | Unknown
)


def kind_of(form: type) -> str:
    return re.sub(r"(?<=.)(?=[A-Z])", "_", form.__name__).lower()


FORMS = {kind_of(form): form for form in get_args(Entry)}


def entry_of(line: Mapping[str, Any]) -> Entry:
    form = FORMS.get(str(line.get("kind")), Unknown)
    known = {
        name: line[name]
        for name, default in form._field_defaults.items()
        if type(line.get(name)) is type(default)
    }
    return form(**known)  # type: ignore[no-any-return]


class Counters(NamedTuple):
    """The one counter of what runs without a person, folded from the history: launches of the agent, and what they were
    for. `_renewed` alone sets it back. `heard` are the messages that were looked at, `stale` those of them that lay there
    when the session was given to a person; `head` is what was published last. `cause`: why its claim does not hold or what
    it was denied, on which a person can act, whatever follows from it; `fault`: the first of failures in a row."""

    launches: int = 0
    failures: int = 0
    nudges: int = 0
    rejected: int = 0
    unready: int = 0
    waits: int = 0
    rounds: int = 0
    follows: bool = False
    claim: dict[str, Any] | None = None
    head: str = ""
    heard: frozenset[str] = frozenset()
    stale: frozenset[str] = frozenset()
    cause: str = ""
    fault: str = ""


_TALLIES = {
    Started: "launches",
    Failed: "failures",
    Nudged: "nudges",
    Rejected: "rejected",
    Unready: "unready",
}


def counters(entries: Iterable[Entry]) -> Counters:
    """Fold a history."""
    state = Counters()
    for entry in entries:
        state = count(state, entry)
    return state


def count(state: Counters, entry: Entry) -> Counters:
    state = _because(_renewed(state, entry)._replace(claim=_claim(state, entry)), entry)
    match entry:
        case Exit(outcome=outcome) if CONSEQUENCES.get(outcome) == "wait":
            return state._replace(launches=max(0, state.launches - 1), waits=state.waits + 1)
        case Settled():
            return state._replace(head=entry.headSha)
        case Heard():
            return state._replace(heard=state.heard.union(map(str, entry.messages)))
        case GaveUp():
            return state._replace(stale=state.heard)
        case Transition(before="complete"):
            return state._replace(follows=True)
        case Delivered(messageKind="guidance") if state.follows:
            # once, however many messages it was sent back with
            rounds = state.rounds + (entry.author == AUTOMATIC)
            return state._replace(follows=False, rounds=rounds)
        case _ if tally := _TALLIES.get(type(entry)):
            return state._replace(**{tally: getattr(state, tally) + 1})
        case _:
            return state


def _because(state: Counters, entry: Entry) -> Counters:
    match entry:
        case Unready() | Rejected():  # what came before it was mended
            return state._replace(cause=entry.reason)
        case Failed():
            return state._replace(fault=state.fault or entry.reason)
        case Exit(message=message) if CONSEQUENCES.get(entry.outcome) == "next_turn":
            telling = entry.outcome == "denied" or message.startswith(f"{ENDED}; ")
            cause = message.removeprefix(f"{ENDED}; ") if telling else ""
            return state._replace(cause=state.cause or cause, fault="")
        case _:
            return state


def _claim(state: Counters, entry: Entry) -> dict[str, Any] | None:
    """What the worker claims to have completed, until that is settled or refused, or it says something else."""
    match entry:
        case Report(accepted=True):
            return entry.fields if entry.report == "complete" else None
        case Started() | Rejected() | Unready() | Settled():
            return None
        case _:
            return state.claim


def _renewed(state: Counters, entry: Entry) -> Counters:
    """The counter, set back where the entry is progress or a person. Rounds of follow-up end in progress: only a person
    gives more of them.

    Progress is something new on the remote, in its pull. A report is none, nor is a commit that is only here: an agent
    can make one in each turn for ever.
    """
    person = _is_person(state, entry)
    if not person and not (isinstance(entry, Settled) and entry.headSha != state.head):
        return state
    rounds = 0 if person else state.rounds
    return Counters(
        rounds=rounds, claim=state.claim, head=state.head, heard=state.heard, stale=state.stale
    )


def _is_person(state: Counters, entry: Entry) -> bool:
    """Somebody took part; a message counts when it is first seen, however often it has to be carried to the agent."""
    match entry:
        case Resumed() | Attached() | Heard(person=True):
            return True
        case Delivered(messageKind="guidance"):  # heard before, unless an older version wrote it
            return entry.author != AUTOMATIC and entry.message not in state.heard
        case _:
            return False
