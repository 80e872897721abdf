"""What was done for an issue already: pulls that were merged, and whether a person wants more of it since."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from .model import LabelEvent


class Merged(NamedTuple):
    """The pull that was merged last for an issue: from its branch (`own`), or one that says that it closes it. `heads` are
    the commits at which pulls from its branch were merged."""

    url: str
    at: str
    own: bool
    heads: frozenset[str] = frozenset()

    def joined(self, other: Merged | None) -> Merged:
        last = max(self, other, key=lambda each: each.at) if other else self
        return last._replace(heads=self.heads | (other.heads if other else frozenset()))


class Refusal(NamedTuple):
    """Why git has no place for an issue's worktree and branch; and what to type."""

    text: str
    hint: str


def is_wanted_again(
    merged: Merged, events: Iterable[LabelEvent] | None, ready: Collection[str]
) -> bool:
    """Whether a ready label was set anew, or the issue reopened, after the merge. Only GitHub's own times are compared; in
    the second of the merge only what was done once more counts."""
    labels, seen = {*map(str.casefold, ready), ""}, set[str]()
    for event in events or ():
        name = event.label.casefold()
        if event.added and name in labels:
            again = not name or name in seen
            if event.at > merged.at or (again and event.at == merged.at):
                return True
            seen.add(name)
    return False


def merged_words(merged: Merged, by_label: bool) -> str:
    """Why an open issue does not start again, and what makes it."""
    again = "take the ready label off and set it again" if by_label else "close and reopen it"
    which = "its pull" if merged.own else "a pull that says that it closes it"
    return f"{which} was merged ({merged.url}), the issue is still open: close it, or {again}"
