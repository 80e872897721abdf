"""The plan of a repository that has everything, compared whole as text and as JSON."""

from __future__ import annotations

import json

import pytest

from issue_orch.core.plan import plan
from issue_orch.core.ready import OpenPull, Rules
from issue_orch.core.wording import Ref
from issue_orch.terminal.plan import plan_json, plan_text
from issue_orch.text import display_width
from tests.kit.plan import REPO, blocker, facts, issue, session

EVERYTHING = facts(
    issue(1, "Add export button", "Files: src/export.py, src/menu.py, docs/"),
    issue(
        2,
        "Dark mode \x1b[2J\u202e for 日本",
        "The colours of src/theme.py and src/menu.py are too light.",
    ),
    issue(
        3,
        "Sign in with a provider, on top of the service that is being refactored",
        "Depends on #10",
    ),
    issue(4, "Speed up", "As fast as it goes."),
    issue(11, "Core types", "Depends on #12"),
    issue(12, "Core tests", "Blocked by: #13"),
    issue(13, "Core docs", "Blocked by #11"),
    issue(14, "Uses a library", "Depends on other/lib#5 and other/lib#6"),
    issue(15, "Built on an idea", open_blockers=0, total_blockers=1),
    issue(16, "Epic", sub_issues_total=2, sub_issues_completed=1),
    issue(17, "Somebody else does it", labels=("bug",), assignees=("bob",)),
    blockers={15: (blocker(20, "The idea", "closed", "not_planned"),)},
    sub_issues={
        16: (blocker(21, "Part one", "closed", "completed"), blocker(1, "Add export button"))
    },
    others={
        Ref(REPO, 10): blocker(10, "Refactor the service"),
        Ref("other/lib", 5): blocker(5, "Release 2", repo="Other/Lib"),
    },
    sessions={
        10: session("complete", active=False, branch="issue-10", changed_files=("src/service.py",)),
        18: session(planned_files=("src/export.py",), changed_files=("src/menu.py",)),
        19: session("planning"),
    },
    pulls=(
        OpenPull(
            30, "https://github.com/owner/repo/pull/30", 10, ("src/service.py", "docs/service.md")
        ),
        OpenPull(31, "https://github.com/owner/repo/pull/31", None, ("src/theme.py",)),
    ),
    tree=frozenset(
        ["src/export.py", "src/menu.py", "src/theme.py", "src/service.py", "docs/a.md", "docs/b.md"]
    ),
)

STACKING = Rules(stack=True, serialize=True)

TEXT = """\
Eligible (4)
  #1    Add export button
        waits for #18, which touches src/export.py too
  #2    Dark mode for 日本
        waits for #18, which touches src/menu.py too
  #3    Sign in with a provider, on top of the service that is being refactored
        starts on issue-10, the branch of #10, which is complete
  #4    Speed up

Ineligible (7)
  #11   Core types
        - blocked by #12 "Core tests"
        - dependencies go in a circle: #11 -> #12 -> #13 -> #11
  #12   Core tests
        - blocked by #13 "Core docs"
        - dependencies go in a circle: #12 -> #13 -> #11 -> #12
  #13   Core docs
        - blocked by #11 "Core types"
        - dependencies go in a circle: #13 -> #11 -> #12 -> #13
  #14   Uses a library
        - blocked by Other/Lib#5 "Release 2"
        - depends on what cannot be read: other/lib#6
  #15   Built on an idea
        - depends on what was closed, but not completed: #20 "The idea"; remove
          the dependency or reopen it
  #16   Epic
        - waits for its sub-issues: #1 "Add export button"
  #17   Somebody else does it
        - needs the label "ready"
        - assigned to @bob

Overlap warnings (4)
  #1 (declared) <-> #2 (inferred) <-> #18 (actual): 1 shared file
        src/menu.py
  #1 (declared) <-> #10 (pull): 1 shared file
        docs/service.md
  #1 (declared) <-> #18 (planned): 1 shared file
        src/export.py
  #2 (inferred) <-> pull #31 (pull): 1 shared file
        src/theme.py

Overlap unknown for #3, #4, #19: not known which files they touch.
"""


def test_everything_as_text() -> None:
    text = plan_text(plan(EVERYTHING, STACKING, 2), 80)
    assert text == TEXT
    assert max(map(display_width, text.splitlines())) <= 80


DECLARED = ("src/export.py", "src/menu.py", "docs/**", "docs/a.md", "docs/b.md", "docs/service.md")


def of(number: int, title: str) -> dict[str, object]:
    return {
        "number": number,
        "title": title,
        "url": f"https://github.com/owner/repo/issues/{number}",
    }


def reason(kind: str, text: str, severity: str = "holds") -> dict[str, str]:
    return {"kind": kind, "text": text, "severity": severity}


def touch(number: int, source: str, kind: str = "issue") -> dict[str, object]:
    return {"number": number, "kind": kind, "source": source}


def test_everything_as_json() -> None:
    assert plan_json(plan(EVERYTHING, STACKING, 2)) == {
        "schemaVersion": 1,
        "slots": 2,
        "eligible": [
            {
                **of(1, "Add export button"),
                "base": None,
                "stackedOn": None,
                "unread": [],
                "waitsFor": {"number": 18, "path": "src/export.py"},
                "files": dict.fromkeys(DECLARED, "declared"),
            },
            {
                **of(2, "Dark mode \x1b[2J\u202e for 日本"),
                "base": None,
                "stackedOn": None,
                "waitsFor": {"number": 18, "path": "src/menu.py"},
                "files": {"src/menu.py": "inferred", "src/theme.py": "inferred"}, "unread": [],
            },
            {
                **of(3, "Sign in with a provider, on top of the service that is being refactored"),
                "base": "issue-10",
                "stackedOn": 10,
                "waitsFor": None,
                "files": {}, "unread": [],
            },
            {**of(4, "Speed up"), "base": None, "stackedOn": None, "waitsFor": None, "files": {}, "unread": []},
        ],
        "ineligible": [
            {
                **of(11, "Core types"),
                "reasons": [
                    reason("blocked", 'blocked by #12 "Core tests"'),
                    reason("cycle", "dependencies go in a circle: #11 -> #12 -> #13 -> #11"),
                ],
            },
            {
                **of(12, "Core tests"),
                "reasons": [
                    reason("blocked", 'blocked by #13 "Core docs"'),
                    reason("cycle", "dependencies go in a circle: #12 -> #13 -> #11 -> #12"),
                ],
            },
            {
                **of(13, "Core docs"),
                "reasons": [
                    reason("blocked", 'blocked by #11 "Core types"'),
                    reason("cycle", "dependencies go in a circle: #13 -> #11 -> #12 -> #13"),
                ],
            },
            {
                **of(14, "Uses a library"),
                "reasons": [
                    reason("blocked", 'blocked by Other/Lib#5 "Release 2"'),
                    reason("blocked_unknown", "depends on what cannot be read: other/lib#6", "asks"),
                ],
            },
            {
                **of(15, "Built on an idea"),
                "reasons": [
                    reason(
                        "blocked_not_planned",
                        'depends on what was closed, but not completed: #20 "The idea"; '
                        "remove the dependency or reopen it",
                    )
                ],
            },
            {
                **of(16, "Epic"),
                "reasons": [reason("waits_for_sub_issues", 'waits for its sub-issues: #1 "Add export button"')],
            },
            {
                **of(17, "Somebody else does it"),
                "reasons": [
                    reason("missing_label", 'needs the label "ready"'),
                    reason("assigned_elsewhere", "assigned to @bob"),
                ],
            },
        ],
        "stackable": [],
        "overlaps": [
            {"between": [touch(1, "declared"), touch(2, "inferred"), touch(18, "actual")], "files": ["src/menu.py"]},
            {"between": [touch(1, "declared"), touch(10, "pull")], "files": ["docs/service.md"]},
            {"between": [touch(1, "declared"), touch(18, "planned")], "files": ["src/export.py"]},
            {"between": [touch(2, "inferred"), touch(31, "pull", "pull")], "files": ["src/theme.py"]},
        ],
        "overlapUnknown": [3, 4, 19],
    }  # fmt: skip


def test_nothing_ready() -> None:
    assert plan_text(plan(facts(), Rules(), 2), 80) == "Eligible (0)\n  nothing is ready to start\n"


def test_what_stacking_would_start() -> None:
    seen = facts(issue(2, "On top", "Depends on #1\n\nFiles: a"), others={Ref(REPO, 1): blocker(1, "Below")},
                 sessions={1: session("complete", active=False, branch="issue-1")})  # fmt: skip
    assert plan_text(plan(seen, Rules(), 2), 80) == (
        "Eligible (0)\n"
        "  nothing is ready to start\n"
        "\n"
        "Ineligible (1)\n"
        "  #2    On top\n"
        '        - blocked by #1 "Below"\n'
        "\n"
        "Eligible with --stack (1)\n"
        "  #2    On top\n"
        "        starts on issue-1, the branch of #1, which is complete\n"
    )


def test_much_is_cut_and_says_so() -> None:
    many = " ".join(f"src/{number}.py" for number in range(13))
    seen = facts(*(issue(number, body=f"Files: {many}") for number in range(1, 9)))
    text = plan_text(plan(seen, Rules(), 2), 80)
    assert "#6 (declared) and 2 more: 13 shared files\n" in text
    assert text.count("src/") == 10 and "        … and 3 more\n" in text
    unknown = plan_text(plan(facts(*(issue(number) for number in range(1, 20))), Rules(), 2), 80)
    assert "Overlap warnings (0)\n" in unknown
    assert "#12 and 7\nmore: not known" in unknown.replace("\n  more", "\nmore")


@pytest.mark.parametrize("width", [40, 80, 160])
def test_lines_fit(width: int) -> None:
    wide = EVERYTHING._replace(
        issues=tuple(each._replace(title="漢字 and words " * 20) for each in EVERYTHING.issues)
    )
    text = plan_text(plan(wide, STACKING, 2), width)
    assert max(map(display_width, text.splitlines())) <= width


def test_links() -> None:
    text = plan_text(plan(facts(issue(1, "One", "Files: a")), Rules(), 2), 80, links=True)
    assert (
        "\n  \x1b]8;;https://github.com/owner/repo/issues/1\x1b\\#1\x1b]8;;\x1b\\    One\n" in text
    )
    for url in ("javascript:x", "https://x/\x1b\\evil", ""):
        plain = plan_text(
            plan(facts(issue(1, "One", "Files: a", url=url)), Rules(), 2), 80, links=True
        )
        assert "\x1b" not in plain


def test_json_is_json() -> None:
    assert json.loads(json.dumps(plan_json(plan(EVERYTHING, STACKING, 2))))["overlapUnknown"] == [
        3,
        4,
        19,
    ]


def test_words_that_are_not_read_as_a_dependency_are_told() -> None:
    seen = plan(
        facts(issue(1, "One", "The result depends on the weather.\n> Blocked by #9")), Rules(), 2
    )
    [line, more] = [each.unread[0] for each in seen.eligible] + [seen.eligible[0].unread[1]]
    assert (line, more) == ('"The result depends on the weather."', '"Blocked by #9"')
    assert plan_text(seen, 120).splitlines()[2:4] == [
        f"        says {words}: not waited for, as it names no issue or is a quote"
        for words in (line, more)
    ]
    assert plan_json(seen)["eligible"][0]["unread"] == [line, more]


def test_a_big_backlog_fits_on_one_screen() -> None:
    ready = [issue(number, f"Task {number}") for number in (3, 200)]
    plain = [issue(number, labels=()) for number in range(300, 540)]
    own = {number: session("complete", False) for number in range(600, 608)}
    held = [issue(700, body="Depends on #701"), issue(701, body="Depends on #700")]
    seen = facts(*ready, *plain, *(issue(number) for number in own), *held, sessions=own)
    found = plan(seen, Rules(), 2)
    lines = plan_text(found, 80).splitlines()
    assert len(lines) < 24, "the height of a terminal"
    assert '  240 issues: needs the label "ready" (#300, #301, #302, #303 and 236 more)' in lines
    assert any(line.startswith("  8 issues: ") and "#600" in line for line in lines)
    assert sum(line.startswith(("  #700", "  #701")) for line in lines) == 2
    assert "Ineligible (250)" in lines and lines[1].startswith("  #3 ")
    whole = plan_text(found, 80, whole=True)
    assert all(f"  #{number} " in whole for number in (*range(300, 540), *own, 700, 701))


def test_few_of_a_kind_are_listed_with_every_reason() -> None:
    five = facts(*(issue(number, labels=()) for number in range(1, 6)))
    text = plan_text(plan(five, Rules(), 2), 80)
    assert text.count('- needs the label "ready"') == 5 and "--all" not in text
    six = facts(*(issue(number, labels=()) for number in range(1, 7)))
    text = plan_text(plan(six, Rules(), 2), 80)
    assert "6 issues: needs the label" in text and "(--all lists each of them)" in text
