"""What `prune` may remove: the decision, by what was observed. What could not be found out is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from .model import Branch, CommitSha, Pull
from .record import SessionStatus

# unknown: GitHub could not be asked
Why = Literal["open", "running", "stacked", "unknown", "not_ours"]


class Verdict(NamedTuple):
    """What is to become of one session: kept when there is a `why`. `head`: what its worktree must be at to be removed
    (None: it is preserved first), which is that of the `pull` that was merged."""

    why: Why | None
    text: str
    head: CommitSha | None = None
    pull: Pull | None = None


class Asked(NamedTuple):
    """What a person asks to remove: the sessions of these issues (none: all), of this pull; and not of merged pulls alone."""

    numbers: Sequence[int]
    pull: int | None
    closed: bool
    cancelled: bool


def is_asked(status: SessionStatus, asked: Asked) -> bool:
    if asked.numbers and status["issueNumber"] not in asked.numbers:
        return False
    return asked.pull is None or (status["pullRequestUrl"] or "").endswith(f"/pull/{asked.pull}")


def pulls_of(status: SessionStatus, pulls: Iterable[Pull]) -> list[Pull]:
    """Those whose head is our branch in our repository. The base is not compared: a stacked pull is retargeted later."""
    return [
        pull
        for pull in pulls
        if pull.url == status["pullRequestUrl"]
        or (pull.head_branch == status["branch"] and pull.is_of(status["repo"]))
    ]


def decide(
    status: SessionStatus,
    pulls: Sequence[Pull] | None,
    running: bool,
    stacked: Mapping[Branch, int],
    asked: Asked,
) -> Verdict:
    """`pulls` are the session's; None when they could not be found out. `stacked` is branch -> issue."""
    if running:
        return Verdict("running", "its worker lives")
    if status["branch"] in stacked:
        return Verdict("stacked", f"#{stacked[status['branch']]} is stacked on its branch")
    if status["status"] == "cancelled":
        return (
            Verdict(None, "cancelled")
            if asked.cancelled
            else Verdict("open", "cancelled; --cancelled removes it")
        )
    if pulls is None:
        return Verdict("unknown", "GitHub could not be asked about its pull")
    if not pulls:
        return Verdict("open", f"has no pull yet ({status['status']})")
    return _by_pulls(pulls, asked.closed)


def _by_pulls(pulls: Sequence[Pull], closed: bool) -> Verdict:
    for pull in pulls:
        if pull.state == "open":
            return Verdict("open", f"its pull is open: {pull.url}")
    for pull in pulls:
        if pull.merged:
            return Verdict(None, f"merged: {pull.url}", CommitSha(pull.head_sha), pull)
    if closed:
        return Verdict(None, f"closed without a merge: {pulls[0].url}")
    return Verdict(
        "open", f"its pull was closed without a merge ({pulls[0].url}); --closed removes it"
    )
