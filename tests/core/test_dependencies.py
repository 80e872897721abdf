"""What an issue waits for: text, GitHub's own, sub-issues, cycles."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issue_orch.core.dependencies import (
    MOST_ASKED,
    SHOWN_PATH,
    Unmet,
    circles,
    needs_blockers,
    needs_states,
    text_references,
    unmet,
)
from issue_orch.core.model import Number, RepoName
from issue_orch.core.wording import REFERENCE, SHOWN_NAME, TEXT_LIMIT, Ref
from tests.kit.plan import REPO, blocker, issue

HERE = "owner/repo"


@pytest.mark.parametrize(
    ("body", "refs"),
    [
        ("Depends on #2", [(HERE, 2)]),
        ("depends on #2", [(HERE, 2)]),
        ("BLOCKED BY #2.", [(HERE, 2)]),
        ("Depends-on: #2", [(HERE, 2)]),
        ("Depends on: #1, #2 and Owner2/Repo.x#3", [(HERE, 1), (HERE, 2), ("owner2/repo.x", 3)]),
        (
            "intro\n\n- [ ] **Blocked by:** #4\n* _Depends on_ #5\n3. depends on #6",
            [(HERE, 4), (HERE, 5), (HERE, 6)],
        ),
        ("> quoted\n  Depends on GH-7", [(HERE, 7)]),
        ("Depends on https://github.com/Owner/Repo/issues/8#issuecomment-99", [(HERE, 8)]),
        ("Depends on [#9](https://github.com/owner/repo/pull/9)", [(HERE, 9)]),
        (
            "Depends on github.com/other/lib/issues/3, github.com/other/lib#4",
            [("other/lib", 3), ("other/lib", 4)],
        ),
        ("Depends on https://ghe.example:8443/a/b/issues/3", ["ghe.example:8443/a/b#3"]),
        (
            "Depends on:\r\n\r\n- #1\r\n- #2 the core\r\n\r\nSee also #3\n- #4",
            [(HERE, 1), (HERE, 2)],
        ),
        ("## Blocked by\n#1 and #2\n- #3", [(HERE, 1), (HERE, 2), (HERE, 3)]),
        ("Depends on #1 (core types), then #2", [(HERE, 1), (HERE, 2)]),
        ("Depends on #1\nDepends on #1", [(HERE, 1)]),
        ("~~~\nDepends on #1\n```\n~~~\nDepends on #2", [(HERE, 2)]),
        ("````\n```\nDepends on #1\n````\nDepends on #2", [(HERE, 2)]),
        ("```one line``` of code\nDepends on #2", [(HERE, 2)]),
        (
            "<!-- Depends on #1 --> Depends on #2\n<!--\nDepends on #3\n--> \nDepends on #4",
            [(HERE, 2), (HERE, 4)],
        ),
        ("<!-- a --><!-- b\nDepends on #1 -->", []),
        ("```\nDepends on #1", []),
        ("> Depends on #1", []),
        ("This no longer depends on #1", []),
        ("Depends on the weather, see color&#35; and #x1 #1x a#2", []),
        ("Depends on nothing", []),
        ("~~Depends on #1~~", []),
        ("`Depends on #1`", []),
        ("Depends on #0", []),
        ("Depends once #1\nBlocked bypass #1", []),
        ("", []),
    ],
)
def test_references_in_the_text(body: str, refs: list[tuple[str, int] | str]) -> None:
    assert text_references(issue(20, body=body), REPO) == tuple(
        ref if isinstance(ref, str) else Ref(RepoName(ref[0]), Number(ref[1])) for ref in refs
    )


LONG = "9" * 5000


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("https://codeberg.org/acme/x/issues/9", "codeberg.org/acme/x#9"),
        ("codeberg.org/acme/x#9.", "codeberg.org/acme/x#9"),
        ("blocked@ghe.corp.example/acme/x#9", "ghe.corp.example/acme/x#9"),
        ("https://gіthub.com/owner/repo/issues/9", "gіthub.com/owner/repo#9"),
        (
            "https://github.com.evil.example/owner/repo/issues/9",
            "github.com.evil.example/owner/repo#9",
        ),
        ("https://github.com:8443/owner/repo/pull/9", "github.com:8443/owner/repo#9"),
        ("https://gitlab.com/g/sub/p/-/issues/9", "gitlab.com/g/sub/p/-/issues/9"),
        ("https://gitlab.com/g/p/-/merge_requests/9.", "gitlab.com/g/p/-/merge_requests/9"),
        ("gitlab.com/group/sub/p#9", "gitlab.com/group/sub/p#9"),
        ("https://github.com/owner/repo/discussions/3", "github.com/owner/repo/discussions/3"),
        ("../..#5", "../..#5"),
        ("./.#5", "./.#5"),
        ("owner/..#5", "owner/..#5"),
        ("../repo#5", "../repo#5"),
        ("https://github.com/owner/../issues/5", "owner/..#5"),
        ("https://github.com/../../issues/5", "../..#5"),
        ("owner/%2e%2e#5", "owner/%2e%2e#5"),
        ("owner/repo%2f..%2f..#5", "owner/repo%2f..%2f..#5"),
        ("https://github.com/owner/%2e%2e/issues/5", "github.com/owner/%2e%2e/issues/5"),
        ("//github.com/owner/repo/issues/5", "github.com/owner/repo/issues/5"),
        ("оwner/repo#5", "оwner/repo#5"),
        ("owner/répo#5", "owner/répo#5"),
        (f"{'o' * 101}/repo#5", None),
        ("-owner/repo#5", "-owner/repo#5"),
        (f"#{2**63}", f"#{2**63}"),
        (f"owner/repo#{2**63}", f"owner/repo#{2**63}"),
        (f"https://github.com/owner/repo/issues/{LONG}", None),
        (f"#{LONG}", None),
        (f"GH-{LONG}", None),
    ],
)
def test_what_this_host_cannot_be_asked_for_holds_by_its_words(
    words: str, found: str | None
) -> None:
    """`None`: shortened. Nothing of it becomes a request."""
    [ref] = text_references(issue(1, body=f"intro\nDepends on {words}\nend"), REPO)
    assert isinstance(ref, str) and found in (None, ref) and len(ref) <= SHOWN_NAME + 1
    waiting = issue(1, body=f"Blocked by {words}")
    assert needs_states([waiting], REPO, lambda ref: None) == ()
    assert unmet(waiting, REPO, (), (), lambda ref: None) == (
        Unmet(ref, None, "", "unknown", "text"),
    )


@pytest.mark.parametrize(
    "words",
    [
        "#0",
        "#000",
        "owner/repo#0",
        "https://github.com/owner/repo/issues/0",
        "codeberg.org/a/b#0",
        "https://docs.example/page#3",
        "#-1",
        "a#2",
    ],
)
def test_what_numbers_nothing_holds_nothing(words: str) -> None:
    assert text_references(issue(1, body=f"Depends on {words}"), REPO) == ()


@pytest.mark.parametrize(("words", "number"), [
    ("#007", 7), (f"#{2**63 - 1}", 2**63 - 1), ("HTTPS://GitHub.com/Owner/Repo/issues/8", 8), ("#5/../../6", 5),
    ("https://github.com/owner/repo/issues/5/../../../user", 5),
])  # fmt: skip
def test_what_is_asked_for_is_a_name_and_a_number(words: str, number: int) -> None:
    assert Number(Number(number)) == number
    [ref] = needs_states([issue(1, body=f"Depends on {words}")], REPO, lambda ref: None)
    assert type(ref.repo) is RepoName and type(ref.number) is Number and ref == (HERE, number)


def test_one_text_does_not_make_us_ask_without_end() -> None:
    flood = issue(1, body="Depends on " + ", ".join(f"a/b#{number}" for number in range(1, 5000)))
    assert (
        len(needs_states([flood, issue(2, body="Depends on #3")], REPO, lambda ref: None))
        == MOST_ASKED + 1
    )
    assert len(unmet(flood, REPO, (), (), lambda ref: None)) == 4999


@pytest.mark.parametrize("text", [
    "", "/", "a", "a/", "/b", "a/b/c", "../..", "a/..", "a/.", "./b", "a/b ", "a /b", "a/b\n", "a/b?c", "a/b#c", "a/b%2f", "ä/b",
    "a/ß", "a\\b/c", "a/\ud800", f"a/{'b' * 101}", "-a/b",
])  # fmt: skip
def test_no_other_text_is_the_name_of_a_repository(text: str) -> None:
    with pytest.raises(ValueError):
        RepoName(text)


@pytest.mark.parametrize("value", [
    "", "0", "00", 0, -1, "-1", "+1", " 1", "1\n", "1_0", "1.0", 1.0, "\u0661", "\uff11", "\u00b2", "0x1", True, None, 2**63,
    "9" * 5000, "0" * 5000,
])  # fmt: skip
def test_nothing_else_is_a_number_of_github(value: Any) -> None:
    with pytest.raises(ValueError):
        Number(value)


def test_own_host_is_that_of_the_issue() -> None:
    of_enterprise = issue(
        1,
        body="Depends on https://ghe.example/owner/repo/issues/3, https://github.com/owner/repo/issues/4",
    )
    of_enterprise = of_enterprise._replace(url="https://ghe.example/owner/repo/issues/1")
    assert text_references(of_enterprise, REPO) == (
        Ref(RepoName(HERE), Number(3)),
        "github.com/owner/repo#4",
    )


HIDDEN = Unmet("1 more blocker", None, "", "unknown", "github")
OPEN = Unmet("#2", 2, "Two", "open", "github")


@pytest.mark.parametrize(
    ("fields", "blockers", "sub_issues", "waits"),
    [
        ({}, (), (), []),
        ({"open_blockers": None, "sub_issues_total": None}, (), (), []),
        ({"open_blockers": 0, "total_blockers": 2}, (), (), []),
        ({"open_blockers": 1}, (blocker(2, "Two"),), (), [OPEN]),
        ({"open_blockers": 2}, (), (), [Unmet("2 open blockers", None, "", "open", "github")]),
        ({"open_blockers": 2}, (blocker(2, "Two"),), (), [OPEN, HIDDEN]),
        ({"open_blockers": 1}, (blocker(3, "", "closed", "completed"),), (), [HIDDEN]),
        ({"open_blockers": 1}, None, (), [Unmet("its blockers", None, "", "unknown", "github")]),
        ({"open_blockers": 0}, None, (), [Unmet("its blockers", None, "", "unknown", "github")]),
        ({}, (blocker(3, "", "closed", "completed"), blocker(4, "", "closed")), (), []),
        ({}, (blocker(3, "C", "closed", "not_planned"),), (), [Unmet("#3", 3, "C", "not_planned", "github")]),
        ({}, (blocker(3, "C", "closed", "duplicate"),), (), [Unmet("#3", 3, "C", "not_planned", "github")]),
        ({}, (blocker(3, "C", repo="a/B"),), (), [Unmet("a/B#3", None, "C", "open", "github")]),
        ({"sub_issues_total": 2, "sub_issues_completed": 2}, (), (), []),
        ({"sub_issues_total": 3, "sub_issues_completed": 2}, (), (),
         [Unmet("1 open sub-issue", None, "", "open", "sub_issue")]),
        ({"sub_issues_total": 1}, (), (blocker(2, "Two"),), [OPEN._replace(source="sub_issue")]),
        ({"sub_issues_total": 1}, (), None, [Unmet("its sub-issues", None, "", "unknown", "sub_issue")]),
    ],
)  # fmt: skip
def test_unmet_of_github(
    fields: dict[str, Any], blockers: Any, sub_issues: Any, waits: list[Unmet]
) -> None:
    found = unmet(
        issue(1, **{"sub_issues_completed": None, **fields}),
        REPO,
        blockers,
        sub_issues,
        lambda ref: None,
    )
    assert found == tuple(waits)


@pytest.mark.parametrize(
    ("known", "waits"),
    [
        ([blocker(2, "Two")], [OPEN._replace(source="text")]),
        ([blocker(2, "Two", "closed", "completed")], []),
        (
            [blocker(2, "Two", "closed", "not_planned")],
            [Unmet("#2", 2, "Two", "not_planned", "text")],
        ),
        ([], [Unmet("#2", 2, "", "unknown", "text")]),
    ],
)
def test_unmet_of_the_text(known: list[Any], waits: list[Unmet]) -> None:
    states = {Ref(HERE, each.number): each for each in known}
    silent_server = issue(1, body="Depends on #2", open_blockers=None, total_blockers=None)
    assert unmet(silent_server, REPO, (), (), states.get) == tuple(waits)


def test_what_github_lists_is_not_counted_again_from_the_text() -> None:
    both = issue(1, body="Depends on #2\nBlocked by A/B#3", open_blockers=2)
    listed = (blocker(2, "Two"), blocker(3, "Three", repo="a/b"))
    assert unmet(both, REPO, listed, (), lambda ref: None) == (
        OPEN,
        Unmet("a/b#3", None, "Three", "open", "github"),
    )


def test_little_is_fetched() -> None:
    assert not needs_blockers(issue(1))
    assert not needs_blockers(issue(1, open_blockers=None, total_blockers=None))
    assert needs_blockers(issue(1, open_blockers=1)) and needs_blockers(issue(1, total_blockers=1))
    asked = needs_states(
        [issue(1, body="Depends on #2, #3"), issue(2, body="Depends on #3, a/b#4")],
        REPO,
        {Ref(HERE, 2): blocker(2)}.get,
    )
    assert asked == ((HERE, 3), ("a/b", 4))


@pytest.mark.parametrize(
    ("edges", "named"),
    [
        ({}, {}),
        ({1: [2], 2: [3]}, {}),
        ({1: [1]}, {1: "#1 -> #1"}),
        (
            {1: [2], 2: [1], 3: [1]},
            {1: "#1 -> #2 -> #1", 2: "#2 -> #1 -> #2", 3: "#3 -> #1 -> #2 -> #1"},
        ),
        (
            {5: [6], 6: [7], 7: [5, 8], 8: [6]},
            {
                5: "#5 -> #6 -> #7 -> #5",
                6: "#6 -> #7 -> #5 -> #6",
                7: "#7 -> #5 -> #6 -> #7",
                8: "#8 -> #6 -> #7 -> #5 -> #6",
            },
        ),
    ],
)
def test_circles_are_named(edges: dict[int, list[int]], named: dict[int, str]) -> None:
    assert circles(edges) == named


def reachable(start: int, edges: dict[int, list[int]]) -> set[int]:
    seen: set[int] = set()
    todo = list(edges[start])
    while todo:
        node = todo.pop()
        if node not in seen:
            seen.add(node)
            todo += edges.get(node, [])
    return seen


@given(st.dictionaries(st.integers(1, 9), st.lists(st.integers(1, 9), max_size=4), max_size=9))
def test_circles_hold_exactly_those_that_can_never_start(edges: dict[int, list[int]]) -> None:
    named = circles(edges)
    inside = {node for node in edges if node in reachable(node, edges)}
    assert set(named) == {node for node in edges if reachable(node, edges) & inside} | inside
    for node, text in named.items():
        way = [int(step.removeprefix("#")) for step in text.split(" -> ")]
        assert way[0] == node and way[-1] in way[:-1]
        assert len(set(way)) == len(way) - 1
        assert all(target in edges[step] for step, target in pairwise(way))


def test_a_long_circle_is_cut_and_needs_no_recursion() -> None:
    size = 20_000
    named = circles({number: [(number + 1) % size] for number in range(size)})
    assert len(named) == size
    assert named[100] == f"{' -> '.join(f'#{100 + step}' for step in range(SHOWN_PATH + 1))} -> …"
    assert circles({number: [number + 1] for number in range(size)}) == {}


class Counted(list[int]):
    """Targets that count how often they are looked at."""

    looks = 0

    def __iter__(self) -> Any:
        for target in super().__iter__():
            Counted.looks += 1
            yield target


@pytest.mark.parametrize("shape", ["ring", "star", "layers"])
def test_looking_for_cycles_grows_with_the_dependencies(shape: str) -> None:
    def looks(size: int) -> int:
        edges: dict[int, Counted] = {
            "ring": lambda: {at: Counted([(at + 1) % size]) for at in range(size)},
            "star": lambda: {
                0: Counted(range(1, size)),
                **{at: Counted([0]) for at in range(1, size)},
            },
            "layers": lambda: {at: Counted([at // 2, at // 3]) for at in range(2, size)},
        }[shape]()
        Counted.looks = 0
        circles(edges)
        return Counted.looks

    assert looks(4_000) <= 4.2 * looks(1_000)


@given(st.text(alphabet="#dDepnso by:-*>`~<!\n\r\t1/.[]()_" + "\u2028é", max_size=300))
def test_no_text_crashes(body: str) -> None:
    for text in (body, f"Depends on {body}", body.replace("p", "Depends on #1\n")):
        refs = text_references(issue(1, body=text), REPO)
        assert all(
            isinstance(ref, str) or (ref.number > 0 and ref.repo == ref.repo.lower())
            for ref in refs
        )


@pytest.mark.parametrize("piece", ["a", "a/", "https://", "x.y:", "#", "-", "[", "a/b#", "1", "_ "])
def test_hostile_lines_find_nothing_and_end(piece: str) -> None:
    import re

    line = piece * (TEXT_LIMIT // len(piece))
    assert text_references(issue(1, body=f"Depends on {line}"), REPO) == ()
    assert re.search(REFERENCE, line) is None


def test_text_beyond_the_limit_is_not_read() -> None:
    assert (
        text_references(issue(1, body="depends" + "\n" * TEXT_LIMIT + "Depends on #2"), REPO) == ()
    )
