"""Which issues the text of a pull says that it closes, and whether one is wanted again after a merge."""

from __future__ import annotations

import pytest

from issue_orch.core.closing import closed_by
from issue_orch.core.model import LabelEvent, RepoName
from issue_orch.core.taken import Merged, is_wanted_again

URL = "https://github.com/Acme/Widgets/pull/9"


@pytest.mark.parametrize(
    ("body", "numbers"),
    [
        *((f"{word} #12", {12}) for word in (
            "close", "closes", "closed", "fix", "fixes", "fixed", "resolve", "resolves", "resolved",
            "CLOSES", "Closes:", "Fixes: ", "**Fixes**", "**Fixes:**",
        )),
        ("Closes:#12", {12}),
        ("This closes acme/widgets#12.", {12}),
        ("fixes https://github.com/acme/widgets/issues/12", {12}),
        ("fixes https://github.com/acme/widgets/issues/12#issuecomment-1", {12}),
        ("Resolves [#12](https://github.com/acme/widgets/issues/12)", {12}),
        ("closes GH-12", {12}),
        ("Resolves #1, resolves #2, fixes acme/widgets#3", {1, 2, 3}),
        ("- Closes #1\n- fixes #2\r\n> not mine, closes #3", {1, 2}),
        ("Closes #1, #2", {1}),  # each needs a word of its own
        ("Add x (closes #4)", {4}),
        ("closes other/repo#12", set()),
        ("closes https://github.com/other/repo/issues/12", set()),
        ("closes https://gitlab.com/acme/widgets/issues/12", set()),
        ("discloses #12, hotfix #13, unresolved #14, closing #15, auto-close #16", set()),
        ("See #12. Part of #13. Closes nothing of #14", set()),
        ("<!-- Closes #12 -->", set()),
        ("```\nCloses #12\n```", set()),
        ("say `Closes #12` in your pull", set()),
        ("c\u200bloses #12", set()),  # ours, of a worker's words
        ("closes #0", set()),
        ("", set()),
    ],
)  # fmt: skip
def test_words_that_close(body: str, numbers: set[int]) -> None:
    assert closed_by(body, RepoName("acme/Widgets"), URL) == numbers


def test_of_hostile_text_in_linear_time() -> None:
    for part in ("closes ", "fix:", "closes **", "fixes [", "resolves https://", "`"):
        assert closed_by(part * 50_000, RepoName("acme/widgets"), URL) == frozenset()


MERGED = Merged("u", "2025-02-01T00:00:05Z", True)


def event(label: str, second: int, added: bool = True) -> LabelEvent:
    return LabelEvent("maria", "User", label, f"2025-02-01T00:00:{second:02}Z", added)


@pytest.mark.parametrize(
    ("events", "wanted"),
    [
        (None, False),
        ((), False),
        ((event("ready", 1),), False),
        ((event("ready", 5),), False),  # set and merged in one second
        ((event("ready", 1), event("ready", 5, False), event("READY", 5)), True),
        ((event("ready", 1), event("ready", 9)), True),
        ((event("ready", 9),), True),  # the first time, after it
        ((event("ready", 1), event("ready", 9, False)), False),
        ((event("ready", 1), event("bug", 9)), False),
        ((event("ready", 1), event("", 5)), True),  # reopened
        ((event("", 4), event("ready", 4)), False),
    ],
)
def test_wanted_again_after_a_merge(events: tuple[LabelEvent, ...] | None, wanted: bool) -> None:
    assert is_wanted_again(MERGED, events, ("Ready",)) is wanted


def test_the_last_merge_counts_and_all_its_heads() -> None:
    first = Merged("a", "2025-01-01T00:00:00Z", True, frozenset({"1"}))
    last = Merged("b", "2025-03-01T00:00:00Z", False, frozenset({"2"}))
    for one, two in ((first, last), (last, first)):
        assert one.joined(two) == last._replace(heads=frozenset({"1", "2"}))
