from __future__ import annotations

import pytest

from issue_orch.core.model import Branch, CommitSha
from issue_orch.errors import Expected
from issue_orch.git.merges import Touched, may_conflict, predict
from issue_orch.git.run import rev_parse
from tests.kit.git import Clone, clone, commit, home, predicts, sh, write

__all__ = ["clone", "home"]


def make_branches(clone: Clone) -> dict[Branch, CommitSha]:
    """Six branches of one base, which then moves on."""
    lines = "".join(f"line {n}\n" for n in range(20))
    start = commit(
        clone.top, "base", **{"shared ü.txt": lines, "other.txt": lines, "lib/a.txt": lines}
    )

    def branch(name: str, **files: str) -> None:
        sh(clone.top, "git", "switch", "-qc", name, start)
        commit(clone.top, name, **files)

    branch("top", **{"shared ü.txt": lines.replace("line 1\n", "top\n")})
    branch("top2", **{"shared ü.txt": lines.replace("line 1\n", "second top\n")})
    branch("bottom", **{"shared ü.txt": lines.replace("line 18\n", "bottom\n")})
    branch("stale", **{"other.txt": lines.replace("line 5\n", "stale\n")})
    branch("adds", **{"lib/new.txt": "new\n"})
    sh(clone.top, "git", "switch", "-qc", "moves", start)
    sh(clone.top, "git", "mv", "lib", "library")
    sh(clone.top, "git", "commit", "-qm", "moves")
    sh(clone.top, "git", "switch", "-q", "main")
    commit(clone.top, "moved on", **{"other.txt": lines.replace("line 5\n", "moved on\n")})
    names = ("top", "top2", "bottom", "stale", "adds", "moves", "main")
    return {Branch(name): rev_parse(clone.repo, name) for name in names}


@predicts
def test_prediction(clone: Clone) -> None:
    branches = make_branches(clone)
    base = branches.pop(Branch("main"))
    before = sh(clone.top, "git", "count-objects"), sh(clone.top, "git", "for-each-ref")
    found = predict(clone.repo, base, branches)
    assert found.against_base == {"stale": ("other.txt",)}
    assert found.pairs == {
        ("top", "top2"): ("shared ü.txt",),
        ("adds", "moves"): ("library/new.txt",),
    }
    assert (sh(clone.top, "git", "count-objects"), sh(clone.top, "git", "for-each-ref")) == before


@predicts
def test_it_agrees_with_one_merge_at_a_time(clone: Clone) -> None:
    branches = make_branches(clone)
    base = branches.pop(Branch("main"))
    found = predict(clone.repo, base, branches)
    for a in branches:
        for b in branches:
            clean = (
                sh(clone.top, "git", "merge-tree", "--write-tree", a, b, check=False).count(
                    "CONFLICT"
                )
                == 0
            )
            if a < b:
                assert clean == ((a, b) not in found.pairs and (b, a) not in found.pairs), (a, b)


@predicts
def test_nothing_to_compare(clone: Clone) -> None:
    assert predict(clone.repo, rev_parse(clone.repo, "main"), {}) == ({}, {})


@predicts
def test_a_branch_without_commits_and_an_unrelated_one(clone: Clone) -> None:
    base = rev_parse(clone.repo, "main")
    sh(clone.top, "git", "switch", "-q", "--orphan", "alien")
    alien = CommitSha(commit(clone.top, "alien", **{"README.md": "other\n"}))
    found = predict(clone.repo, base, {Branch("empty"): base, Branch("alien"): alien})
    assert found.against_base == {"alien": ("README.md",)}
    assert found.pairs == {}


@predicts
def test_an_unknown_head_is_named(clone: Clone) -> None:
    with pytest.raises(Expected, match="issue-7: its head") as error:
        predict(clone.repo, rev_parse(clone.repo, "main"), {Branch("issue-7"): CommitSha("1" * 40)})
    assert error.value.hint == "git fetch"


def test_an_old_git_is_refused(clone: Clone) -> None:
    with pytest.raises(Expected, match=r"needs git 2\.39"):
        predict(clone.repo._replace(version=(2, 38)), rev_parse(clone.repo, "main"), {})


@predicts
def test_a_planted_merge_driver_does_not_run(clone: Clone) -> None:
    branches = make_branches(clone)
    base = branches.pop(Branch("main"))
    ran = clone.top.parent / "ran"
    sh(clone.top, "git", "config", "merge.evil.driver", f"touch '{ran}'")
    write(clone.admin / "info/attributes", "* merge=evil\n")
    found = predict(clone.repo, base, branches)
    assert ("top", "top2") in found.pairs
    assert ("top", "bottom") in found.pairs, (
        "what the driver would have decided counts as a conflict"
    )
    sh(clone.top, "git", "merge-tree", "--write-tree", "top", "top2", check=False)
    assert ran.exists(), "the trap must work, or this test cannot fail"


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ({"names": "x"}, {"names": "y"}, False),
        ({"names": "d/x"}, {"names": "d/x"}, True),
        ({"names": "d", "added": "d"}, {"names": "d/e/x", "added": "d/e/x"}, True),
        ({"names": "d/x", "deleted": "d/x"}, {"names": "d/e/y", "added": "d/e/y"}, True),
        ({"names": "d/x", "deleted": "d/x"}, {"names": "d/y"}, False),
    ],
)
def test_who_can_conflict(a: dict[str, str], b: dict[str, str], expected: bool) -> None:
    one, two = (
        Touched(
            *(
                frozenset(side[k].split()) if k in side else frozenset()
                for k in ("names", "added", "deleted")
            )
        )
        for side in (a, b)
    )
    assert may_conflict(one, two) is may_conflict(two, one) is expected


@predicts
def test_many_branches_come_back_in_order(clone: Clone) -> None:
    base = rev_parse(clone.repo, "main")
    branches = {}
    for number in range(7):
        sh(clone.top, "git", "switch", "-qc", f"n{number}", "main")
        name = "README.md" if number % 3 == 0 else f"own {number}"
        branches[Branch(f"n{number}")] = CommitSha(commit(clone.top, "x", **{name: f"{number}\n"}))
    found = predict(clone.repo, base, branches)
    assert found.pairs == dict.fromkeys((("n0", "n3"), ("n0", "n6"), ("n3", "n6")), ("README.md",))
