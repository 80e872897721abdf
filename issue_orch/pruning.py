"""Which sessions may be removed: one pure decision with typed outcomes, from what GitHub and the clone say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from .model import Pull, SessionStatus

Outcome = Literal["removed", "would_remove", "kept"]
Why = Literal["open", "dirty", "unpushed", "running", "stacked", "submodule", "unknown", "not_ours", "missing", "in_use"]


class Wishes(NamedTuple):
    """What was asked for beside merged pulls."""

    closed: bool = False
    cancelled: bool = False


class Verdict(NamedTuple):
    """What is to become of one session; `head` is what its worktree must be at, None: preserve first."""

    number: int
    remove: bool
    why: Why | None
    text: str
    head: str | None = None


def decide(
    status: SessionStatus, pulls: Sequence[Pull] | None, running: bool, stacked: Mapping[str, int], wishes: Wishes
) -> Verdict:
    """`pulls` are those of the session's branch; None when they could not be found out. `stacked` is branch -> issue."""
    number, branch = status["issueNumber"], status["branch"]
    if running:
        return Verdict(number, False, "running", "its worker lives")
    if branch in stacked:
        return Verdict(number, False, "stacked", f"#{stacked[branch]} is stacked on its branch")
    if status["status"] == "cancelled":
        if wishes.cancelled:
            return Verdict(number, True, None, "cancelled")
        return Verdict(number, False, "open", "cancelled; --cancelled removes it")
    if pulls is None:
        return Verdict(number, False, "unknown", "GitHub could not be asked about its pull")
    ours = [pull for pull in pulls if is_ours(pull, status)]
    return of_pulls(status, ours, wishes)


def of_pulls(status: SessionStatus, ours: Sequence[Pull], wishes: Wishes) -> Verdict:
    number = status["issueNumber"]
    if any(pull.state == "open" for pull in ours):
        return Verdict(number, False, "open", f"its pull is open: {next(p.url for p in ours if p.state == 'open')}")
    merged = next((pull for pull in ours if pull.merged), None)
    if merged is not None:
        return Verdict(number, True, None, f"merged: {merged.url}", merged.head_sha)
    if ours and wishes.closed:
        return Verdict(number, True, None, f"closed without a merge: {ours[0].url}")
    if ours:
        return Verdict(number, False, "open", f"its pull was closed without a merge ({ours[0].url}); --closed removes it")
    return Verdict(number, False, "open", f"has no pull yet ({status['status']})")


def is_ours(pull: Pull, status: SessionStatus) -> bool:
    """The head is our branch in our repository. The base is not compared: a stacked pull is retargeted later."""
    if pull.url == status["pullRequestUrl"]:
        return True
    return pull.head_branch == status["branch"] and (pull.head_repo or "").lower() == status["repo"].lower()
