"""Which issues the text of a pull says that it closes, by GitHub's words for that."""

from __future__ import annotations

import re

from ..markdown import lines_of
from .fields import words_of
from .model import RepoName
from .wording import REFERENCE, Ref, reference

# As GitHub documents them: a colon may follow, and each issue needs a word of its own.
CLOSES = (
    r"(?i)(?<![\w-])(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?)"
    r"(?:[*_]{0,3}:[*_]{0,3}\s{0,9}|[*_]{0,3}\s{1,9})[*_]{0,3}\[?(?:" + REFERENCE + ")"
)


def closed_by(body: str, repo: RepoName, url: str) -> frozenset[int]:
    """The issues of `repo` that the text of a pull at `url` says that it closes, in what a reader sees of it."""
    low = body.casefold()
    if not any(word in low for word in ("clos", "fix", "resolve")):
        return frozenset()
    seen = (line for line in lines_of(body) if line.kind != "code" and not line.quoted)
    return closing_numbers("\n".join(map(words_of, seen)), repo, url)


def closing_numbers(text: str, repo: RepoName, url: str) -> frozenset[int]:
    """As `closed_by`, of plain text that is shown as it is."""
    own, host = RepoName(repo.casefold()), url.partition("://")[2].partition("/")[0].casefold()
    found = (reference(match, own, host) for match in re.finditer(CLOSES, text))
    return frozenset(ref.number for ref in found if isinstance(ref, Ref) and ref.repo == own)
