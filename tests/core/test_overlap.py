"""Which files an issue touches, and who else touches them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issue_orch.core import overlap
from issue_orch.core.overlap import (
    Item,
    Overlap,
    Touch,
    claim,
    clash,
    declared_files,
    expand,
    glob_pattern,
    inferred_files,
    overlaps,
    resolve,
)

TREE = frozenset(
    [
        "README.md",
        "Makefile",
        "build",
        "app/[id].tsx",
        "docs/a.md",
        "src/types.ts",
        "src/auth/login.ts",
        "src/auth/x/y.ts",
    ]
)


@pytest.mark.parametrize(
    ("body", "files"),
    [
        ("Files: src/a.py, src/b.py", ["src/a.py", "src/b.py"]),
        ("files: src/a.py src/b.py; and ./c.py.", ["src/a.py", "src/b.py", "c.py"]),
        ("**Files:** `my file.py`, src/* and maybe more", ["my file.py", "src/*"]),
        ("_Files_: Makefile", ["Makefile"]),
        ("## Files\n\n- `src/a.py` (the parser)\n- docs/\n\nFiles are nice", ["src/a.py", "docs/"]),
        ("- Files: a.py\n- Files: b.py", ["a.py", "b.py"]),
        ("Files: none", []),
        ("Files: ../secret, /etc/passwd, a/../../b", ["etc/passwd"]),
        ("Many files: a.py", []),
        ("```\nFiles: a.py\n```\n> Files: b.py\n<!-- Files: c.py -->", []),
        ("", []),
    ],
)
def test_declared(body: str, files: list[str]) -> None:
    assert declared_files(body) == tuple(files)


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("fails in src/auth/login.ts:42:7, see (README.md).", ["README.md", "src/auth/login.ts"]),
        (
            '`src/types.ts` "docs/a.md" <src/auth/x/y.ts>',
            ["docs/a.md", "src/auth/x/y.ts", "src/types.ts"],
        ),
        ("https://github.com/o/r/blob/main/docs/a.md#L10-L12", ["docs/a.md"]),
        ("[types](./src/types.ts) in app/[id].tsx", ["app/[id].tsx", "src/types.ts"]),
        ("```\n  File src/types.ts\n```", ["src/types.ts"]),
        ("the build of Makefile is broken, and src/none.ts", []),
    ],
)
def test_inferred(text: str, files: list[str]) -> None:
    assert inferred_files(text, TREE) == tuple(files)
    assert inferred_files(text, None) == ()


@pytest.mark.parametrize(
    ("path", "matches"),
    [
        ("src/types.ts", []),
        ("src/new.ts", []),
        ("src/auth", ["src/auth/login.ts", "src/auth/x/y.ts"]),
        ("src/*.ts", ["src/types.ts"]),
        ("src/auth/**", ["src/auth/login.ts", "src/auth/x/y.ts"]),
        ("**/*.md", ["README.md", "docs/a.md"]),
        ("*.md", ["README.md"]),
        ("src/**/y.ts", ["src/auth/x/y.ts"]),
        ("src/**/**/*.ts", ["src/auth/login.ts", "src/auth/x/y.ts", "src/types.ts"]),
        ("sr?/t*p*s.ts", ["src/types.ts"]),
        ("app/[*].tsx", ["app/[id].tsx"]),
        ("*/**/x/**", ["src/auth/x/y.ts"]),
    ],
)
def test_expand(path: str, matches: list[str]) -> None:
    found, looked_at = expand(path, sorted(TREE))
    assert found == (path, *matches)
    assert looked_at <= len(TREE) + 1


def test_folder_is_a_glob() -> None:
    assert expand("docs/", sorted(TREE))[0] == ("docs/**", "docs/a.md")


def slow_match(name: str, glob: str) -> bool:
    """The meaning of a glob within one name, by trying everything."""
    if not glob:
        return not name
    if glob[0] == "*":
        return any(slow_match(name[at:], glob[1:]) for at in range(len(name) + 1))
    return bool(name) and glob[0] in ("?", name[0]) and slow_match(name[1:], glob[1:])


@given(st.text("ab.", max_size=8), st.text("ab.*?", max_size=6))
def test_globs_within_a_name(name: str, glob: str) -> None:
    pattern = glob_pattern(glob)
    # A lone ** is a folder pattern: it takes everything but nothing.
    expected = bool(name) if glob == "**" else slow_match(name, glob)
    assert pattern is not None and bool(re.fullmatch(pattern, name)) == expected


def test_every_file_stands_in_one_overlap() -> None:
    items = [
        Item(
            1,
            False,
            {
                "a.py": "declared",
                "b.py": "declared",
                "README.md": "inferred",
                "only.py": "declared",
            },
        ),
        Item(2, False, {"b.py": "actual", "a.py": "actual", "README.md": "planned"}),
        Item(3, True, {"README.md": "pull", "c.py": "pull"}),
        Item(4, True, {"c.py": "pull"}),
    ]
    one, two = Touch(1, False, "declared"), Touch(2, False, "actual")
    assert overlaps(items, {1}) == (
        Overlap((one, two), ("a.py", "b.py")),
        Overlap(
            (Touch(1, False, "inferred"), Touch(2, False, "planned"), Touch(3, True, "pull")),
            ("README.md",),
        ),
    )
    assert [found.files for found in overlaps(items, {4})] == [("c.py",)]
    assert overlaps(items, set()) == ()


def test_resolve_replaces_globs_and_folders_and_knows_what_is_unknown() -> None:
    items = (
        Item(1, False, {"src/auth/": "declared", "src/new/*.ts": "declared"}),
        Item(2, False, {"src/new/a.ts": "planned", "src/auth/login.ts": "actual"}),
        Item(3, False, {}),
        Item(4, False, {"a/**/b/**/c/**": "declared"}),
    )
    resolved, unknown = resolve(items, TREE)
    assert set(resolved[0].files) == {
        "src/auth/**", "src/auth/login.ts", "src/auth/x/y.ts", "src/new/*.ts", "src/new/a.ts",
    }  # fmt: skip
    assert resolved[1].files == items[1].files
    assert unknown == {3, 4}
    assert [found.files for found in overlaps(resolved, {1})] == [
        ("src/auth/login.ts",),
        ("src/new/a.ts",),
    ]


def test_resolve_without_a_tree_compares_what_the_items_say() -> None:
    items = [
        Item(number, False, {path: "declared"}) for number, path in enumerate(("src", "src/a", "x"))
    ]
    resolved, unknown = resolve(items, frozenset())
    assert [sorted(each.files) for each in resolved] == [["src", "src/a"], ["src/a"], ["x"]]
    assert unknown == frozenset()


def test_identical_globs_for_files_to_come_overlap() -> None:
    resolved, _ = resolve(
        [Item(1, False, {"new/*": "declared"}), Item(2, False, {"new/*": "declared"})], TREE
    )
    assert [found.files for found in overlaps(resolved, {1})] == [("new/*",)]


def test_an_exact_path_keeps_its_own_source() -> None:
    resolved, _ = resolve([Item(1, False, {"src/*": "planned", "src/types.ts": "actual"})], TREE)
    assert resolved[0].files["src/types.ts"] == "actual"


def test_too_much_to_compare_is_unknown_and_bounded() -> None:
    many = frozenset(f"src/{number}.ts" for number in range(2_000))
    wide = [Item(number, False, {"src/**": "declared"}) for number in range(1, 1_001)]
    resolved, unknown = resolve(wide, many)
    assert sum(len(each.files) for each in resolved) <= overlap.GLOB_WORK + 1_000
    assert 1 not in unknown and 1_000 in unknown and len(unknown) > 400


def test_a_file_that_all_touch_is_one_overlap() -> None:
    crowd = [Item(number, False, {"README.md": "inferred"}) for number in range(1, 501)]
    (found,) = overlaps(crowd, set(range(1, 501)))
    assert len(found.touches) == 500 and found.files == ("README.md",)


paths = st.text("ab/.*?\U0010ffff", min_size=1, max_size=6)


@given(
    st.lists(st.dictionaries(paths, st.just("declared"), max_size=4), max_size=4),
    st.frozensets(paths, max_size=6),
)
def test_no_paths_crash_and_nothing_is_lost(
    files: list[dict[str, overlap.Source]], tree: frozenset[str]
) -> None:
    items = [Item(number, False, each) for number, each in enumerate(files, 1)]
    resolved, unknown = resolve(items, tree)
    assert [each.number for each in resolved] == [each.number for each in items]
    assert {each.number for each in items if not each.files} <= unknown
    found = overlaps(resolved, {each.number for each in items})
    named = [path for each in found for path in each.files]
    assert len(named) == len(set(named))
    for path in set().union(*files) if files else ():
        if not path.endswith("/") and sum(path in each for each in files) > 1:
            assert path in named


def test_clash_names_who_works_on_the_file() -> None:
    claimed: dict[str, set[int]] = {}
    claim(2, ["a", "b"], claimed)
    claim(1, ["b"], claimed)
    assert clash(["c", "b"], claimed, None) == (1, "b")
    assert clash(["b"], claimed, 1) == (2, "b")
    assert clash(["a"], claimed, 2) is None
