"""What people write, and what a person who reads the page takes from it: hidden text, dependencies, files.

EVIL is what nobody sees on the page, SEEN what everybody does.
"""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issue_orch.config.templates import task
from issue_orch.core.overlap import declared_files
from issue_orch.core.wording import said
from issue_orch.markdown import lines_of, shown
from issue_orch.text import fence
from tests.kit.plan import REPO, issue

FENCE = "```"


@pytest.mark.parametrize(
    "text",
    [
        # comments
        "SEEN <!-- EVIL --> SEEN",
        f"Use the marker {FENCE} in text. SEEN\n\n<!-- EVIL -->",
        f"Log:\n`{FENCE}md\n{FENCE}\nSEEN\n`{FENCE}\n\n<!-- EVIL -->\nSEEN",
        "SEEN\n<!-- EVIL",
        "SEEN\n\n<!-- EVIL\n\nEVIL\n\n- EVIL",
        "SEEN\n\n<!--\nEVIL\n\n```\nEVIL\n```\n-->\nSEEN",
        "> SEEN\n> <!-- EVIL\n> EVIL -->\n>\n> SEEN",
        "> <!-- EVIL\n\nEVIL, as the page has no end of that comment\n\n--> EVIL",
        "- SEEN <!-- EVIL -->\n  - SEEN\n    <!-- EVIL -->\n- SEEN",
        "1. SEEN\n\n   <!-- EVIL\n\n   EVIL -->\n2. SEEN",
        "- [ ] SEEN<!-- EVIL -->\n- [x] SEEN",
        "# SEEN <!-- EVIL --> #\n\nSEEN\n===\n<!-- EVIL -->",
        "| SEEN | <!-- EVIL --> |\n|---|---|\n| SEEN | SEEN <!-- EVIL --> |",
        "SEEN **bold <!-- EVIL --> SEEN** [SEEN <!-- EVIL -->](https://example.org)",
        "<details><summary>SEEN</summary>\n\nSEEN <!-- EVIL -->\n\n</details>\n<!-- EVIL -->",
        "<div>\nSEEN <!-- EVIL -->\n</div>",
        "SEEN\r\n\r\n<!-- EVIL\r\nEVIL -->\r\nSEEN",
        "SEEN\r\r<!-- EVIL -->\rSEEN",
        "\t\tSEEN\n\n<!-- EVIL -->",
        "SEEN <!-- EVIL --!> SEEN --> SEEN",
        "<!-- EVIL --!>SEEN\nSEEN",
        "SEEN\n\n    <!-- SEEN, as it is code -->\n\n<!-- EVIL -->",
        "SEEN `a <!-- SEEN` <!-- EVIL `EVIL` -->",
        "🎉 SEEN（<!-- EVIL -->）。SEEN\n\n<!-- EVIL：EVIL -->",
        "<script><!-- EVIL --></script>SEEN",
        "<pre>SEEN <!-- EVIL --></pre>",
        # instructions, declarations, sections, ends of nothing
        "SEEN\n\n<?EVIL?>\n\nSEEN",
        "SEEN <?EVIL?> SEEN <!X EVIL> SEEN <![CDATA[EVIL]]> SEEN",
        "SEEN\n\n<!X EVIL>\n\nSEEN",
        "SEEN\n\n<![CDATA[EVIL]]>\n\nSEEN",
        "<?EVIL> SEEN, as a browser ends it there ?>",
        "<div>\nSEEN </ EVIL> SEEN\n</div>",
        # definitions and labels
        "SEEN\n\n[//]: # (EVIL)\n\nSEEN",
        "SEEN\n\n[comment]: <> (EVIL)\n",
        "SEEN\n\n[EVIL]: #\n[x]: y 'EVIL\nEVIL'\n\nSEEN",
        'See [SEEN][1].\n\n[1]: https://SEEN.example "EVIL"\n[9]: https://example.org "EVIL"',
        "[SEEN][EVIL one] and [SEEN][] ![EVIL][EVIL one]\n\n[EVIL one]: /x\n[seen]: /x (EVIL)",
        "> SEEN\n>\n> [//]: # 'EVIL'\n>\n> - [c]: <> (EVIL)",
        "[x]: javascript:EVIL\n\nSEEN",
        "SEEN [^1]\n\n[^1]: SEEN\n\n    SEEN\n[^9]: EVIL\n\n    EVIL\n\nSEEN",
        "SEEN\n\n[^9]: EVIL\nEVIL, which still belongs to it\n",
        # what links and pictures carry
        'SEEN [SEEN](https://example.org "EVIL") <https://SEEN.example>',
        "SEEN ![EVIL](https://example.org/a.png 'EVIL')",
        "[![EVIL](https://example.org/a.svg)](https://example.org/SEEN (EVIL))",
        "SEEN [SEEN](javascript:EVIL) [SEEN](data:text/plain,EVIL)",
        # HTML
        '<img width="9" alt="EVIL" src="https://example.org/a.png"> SEEN',
        "<a href='/x' title='EVIL'>SEEN</a> <a title=' href=EVIL ' href=/y>SEEN</a>",
        "<p data-x='EVIL' hidden>SEEN</p>",
        "SEEN <EVIL-one and EVIL> SEEN </EVIL-one>",
        "<span style='display:none' aria-label=EVIL>SEEN</span>",
        "SEEN\n\n<div title='\n\nEVIL\n\n> EVIL\n\n</div>",
        "<div EVIL\n\nSEEN",
        "<div>\nSEEN</div EVIL>\nSEEN</div>",
        "<ruby>SEEN<rp>EVIL</rp><rt>SEEN</rt></ruby>",
        # tables and code
        "| SEEN | SEEN |\n|---|---|\n| SEEN | `SEEN` | EVIL | EVIL |\n| SEEN \\| SEEN | SEEN |",
        "> SEEN | SEEN\n> ---|---\n> SEEN | SEEN | EVIL",
        f"{FENCE}python EVIL EVIL\nSEEN\n{FENCE}",
        "~~~ {EVIL}\nSEEN\n~~~",
        ">" * 99 + " EVIL",
        f"SEEN\n\n{'[' * 30}a{']' * 30}(/x 'EVIL')",
        "SEEN\n\n" + "[`]`" * 30 + "](/x 'EVIL')",
    ],
)
def test_what_the_page_hides_does_not_reach_an_agent(text: str) -> None:
    prompt = task(issue(1, body=text))
    assert "EVIL" not in prompt and prompt.count("SEEN") == text.count("SEEN")
    assert fence(text, "octocat").count("SEEN") == text.count("SEEN")


@pytest.mark.parametrize(
    "text",
    [
        "~~~html\n<!-- EVIL -->\n~~~",
        f"{FENCE}\n<!-- a -->\n[x]: y\n<?b?>\t<T>\n\n[^1]: c\n{FENCE}",
        "    <!-- indented -->\n    [//]: # (code)",
        "`<!-- a -->` and ``<b c='d'> ` ``",
        "> ```c\n> #include <stdio.h>\n> ```",
        "- a\n\n  ~~~~\n  ~~~\n  <!-- x -->\n  ~~~~",
        f"{FENCE}\n<!-- never closed",
        "Please <!-- this has no end",
        "a < b and b > c, 1<2, <3, x<y>",
        "&lt;!-- an entity --&gt; \\<!-- escaped -->",
        "<details>\n<summary>Logs</summary>\n\ntext\n\n</details>",
        "a<br/>b <kbd>Ctrl</kbd> <sub>c</sub> H<sub>2</sub>O",
        "<script>alert(1)</script> <style>p {}</style> <iframe src=x> <TITLE>",
        "[text](https://example.org/a(b)) <https://example.org> https://example.org",
        "[!NOTE] [ ] [x] [a] [a][b] [^9] no such definitions",
        "a~b~c ~~struck~~ **b** _i_ :tada: @octocat #12",
        "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 |",
        "text\n[x]: y is no definition within a paragraph",
        "[x]: y z is none with words behind it",
        "[0, 1) " * 30 + "[[[[[[[[[[[[",
        "[[[[a](b)]]] ![[[c](d)]](e)"[:15],
        "::: custom\n$$ x^2 $$\n+++\n---\na: b\n---",
        "\u200b",
        "",
    ],
)
def test_what_the_page_shows_comes_through_as_it_is(text: str) -> None:
    assert shown(text).replace("x[hidden tag left out]", "x<y>") == text


def test_titles_are_no_markdown_and_programs_write_none() -> None:
    assert "Title: Fix List<T> ` [x]: y" in task(issue(1, "Fix List<T> ` [x]: y", "body"))
    assert "EVIL" not in task(issue(1, "Fix <!-- EVIL", "body"))
    log = "[error]: failed\n<T> <!-- x -->\n    [a]: b"
    assert log in fence(log, "the check", 8000, markdown=False)


def test_what_is_invisible_in_between_is_read_as_the_page_has_it() -> None:
    assert "<!-- SEEN" in fence("<\u200b!-- SEEN -->", "octocat")
    assert "EVIL" not in fence("a <!-- \u202eEVIL\u200b --> b\x1b[1m", "octocat")


PROSE = st.text("ab <>!-[](){}#:?/'\"=`~*_|\\\n\t&;^1x.", max_size=80)


@given(PROSE, st.text("ab c", max_size=20), PROSE)
def test_a_comment_of_its_own_is_always_hidden(before: str, inside: str, after: str) -> None:
    """In a paragraph that nothing before or behind it can reach: a heading ends what is open, but for HTML."""
    before = re.sub("[<`~]", "", before)
    body = f"{before}\n\n# x\n\n<!-- EVIL{inside} -->\n\n{after}"
    assert "EVIL" not in shown(body)


@given(PROSE, st.text(st.characters(codec="utf-8", exclude_characters="`\r\0"), max_size=80))
def test_code_always_comes_through(before: str, code: str) -> None:
    code = f"`````\n{code}\n`````"
    assert f"\n\n{code}" in shown(re.sub("[<`~]", "", before) + f"\n\n# x\n\n{code}\n\n<!-- y -->")


@given(st.lists(st.one_of(PROSE, st.sampled_from([
    "<!--", "-->", "- ", "> ", "Depends on ", "Blocked by: ", "#1", "Files: ", "src/a.py", "```\n", "| a | b |\n|---|---|\n",
    "[^1]: ", "[a]: b 'c'\n", "<p a='", "\r\n", "\u2028", "\ue000", "\ue002", "\ud800", "\U0001f680",
]))).map("".join))  # fmt: skip
def test_no_text_raises_and_only_cuts_are_made(text: str) -> None:
    found = shown(text)
    assert (
        len(found)
        <= len(text) + 40 * text.count("[") + 40 * text.count("<") + 40 * text.count("|") + 40
    )
    said(issue(1, body=text), REPO), declared_files(text)
    assert all("\n" not in line.text for line in lines_of(text) if line.kind != "row")


def steps(text: str) -> int:
    """Calls of Python functions while the text is read."""
    count = 0

    def note(frame: Any, event: str, arg: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        (
            shown(text),
            said(issue(1, body=f"Depends on\n{text}"), REPO),
            declared_files(f"Files:\n{text}"),
        )
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("piece", [
    "<!-- ", "<a ", "<a b='", "</", "<?", "[", "![", "[a](", "[a]: b\n", "[^1]: ", "`", "- ", "> ", "*a", "|a", "~", "<rp>",
    "Depends on\n", "Depends on,\n", "Files: a,\n",
    "depends on #1, ", "- Depends on:\n", "blocked by (", "Files:\n", "Files: {a,", "#1 (", "(see #1 ",
])  # fmt: skip
def test_reading_is_linear(piece: str) -> None:
    """Twice as long is about twice the work, whatever the text."""
    steps(piece * 10)
    half, whole = (steps((piece * size)[:size]) for size in (2_048, 4_096))
    assert whole <= 2.6 * half + 2_000


@pytest.mark.parametrize(
    ("body", "refs"),
    [
        # in a sentence
        ("This issue depends on #1.", "1"),
        ("The schema comes first. Depends on #1", "1"),
        ("This is blocked by #12, which has to come first.", "12"),
        ("It still depends upon the merge of #3, and on #4.", "3 4"),
        ("We are waiting for #5; needs #6 first", "5 6"),
        ("Sorry, this\nis blocked\nby #12 and\n#13.", "12 13"),
        ("This depends on the\nnew parser in #5.\nThe bug of #7 is another.", "5"),
        ("Depends on #12,\n#13 and #14", "12 13 14"),
        ("Depends on #12\n#13\nSee #14", "12 13"),
        ("Blocked until #3 is merged! #4 is related.", "3"),
        ("Depends on PR 13 and issue #14 (not on pull 15)", "13 14"),
        ("Depends on #12-#14", "12 13 14"),
        ("Blocked by #2 and #3, because #1 broke it, and #4", "2 3 4"),
        ("Part of #4 and blocked by #8", "8"),
        ("I was told that this depends on #3; like #5 this requires #6", "3 6"),
        ("Wait until #12 is merged", "12"),
        # at the start of a line, with marks
        ("⛔ Blocked by #1", "1"),
        ("🚧 **Blocked by:** #12\n➡️ **Depends on:** #13", "12 13"),
        ("Note: blocked by #1", "1"),
        ("Status: blocked by #12", "12"),
        ("(blocked by #12)", "12"),
        ("Blocked on #15", "15"),
        ("Requires: #10", "10"),
        ("Dependencies: #3 / #4", "3 4"),
        ("### Blocked: #3\n\nDepends: #4, Deps: #5\n\nBlocking issues:\n- #6", "3 4 5 6"),
        ("depends_on: #3\ndependsOn: [#4, #5]", "3 4 5"),
        ("Dependencies: #12 (hard), #13 (soft)", "12 13"),
        ("⚠️ Blocked by https://github.com/owner/repo/issues/12 ⚠️ · other/lib#3", "12 other/lib#3"),
        ("**Blocked by**\n\n- #12\n\nBlocked by\n---\n- #13", "12 13"),
        ("__Depends on__ — [#9](https://github.com/owner/repo/pull/9)", "9"),
        ("Depends on [the schema](https://github.com/owner/repo/issues/9#issuecomment-1)", "9"),
        ("Depends on：#12、#13（see #14）", "12 13"),
        ("依赖：Depends on #12和#13。", "12 13"),
        ("depends on:\t#1\r\nblocked-by:\t#2", "1 2"),
        ("Depends on &#35;1 and \\#2", "1 2"),
        ("- [ ] Depends on #1\n* blocked by #2\n3) Depends on: #3", "1 2 3"),
        ("> [!IMPORTANT]\n> Blocked by #12", "12"),
        # below a key
        ("## Dependencies\n- [x] #11 (written down)\n- [ ] #12", "12"),
        ("### Blocked by\n\nThe schema, #1 and #2\n\n- #3\n\n### Part of\n\n#4", "1 2 3"),
        ("**Depends on**\n1. #1\n2. the core (#2)\n   - needs #9\n3. [x](https://github.com/a/b/issues/3)", "1 2 a/b#3"),
        ("- Depends on:\n  - #1\n- Blocks:\n  - #3", "1"),
        ("- Depends on:\n    - Backend\n        - #1\n    - API: #2\n- #3", "1 2"),
        ("Depends on:\n- #1\n- Blocks: #3", "1"),
        ("**Depends on:**\n- #1\n**Blocks:**\n- #3", "1"),
        ("This issue depends on:\n\n* #1\n* #2\n\nOther\n* #3", "1 2"),
        ("> **Note**\n\nDepends on:\n  #1\n  #2", "1 2"),
        ("<details><summary>Dependencies</summary>\n\n- #12\n\n</details>\n\n- #13", "12"),
        # HTML and tables
        ("<ul><li>Depends on #12</li><li>#13</li></ul>", "12"),
        ("<p>Blocked by: <b>#12</b></p><del>Depends on #4</del>", "12"),
        ("| Step | Work | Depends on |\n|---|---|---|\n| 2 | Client | #1 (the schema), #3 |", "1 3"),
        ("| Depends on | #3 |", "3"),
        ("| Depends on | #3 |\n|---|---|\n| Blocks | #4 |", "3"),
        ("| Key | Value |\n|:-:|---|\n| **Blocked by** | #3, #4 |\n| Parent | #5 |", "3 4"),
        ("<table><tr><td>Depends on</td><td>#3</td></tr><tr><td>Blocks</td><td>#4</td></tr></table>", "3"),
        ("## Dependencies\n| Issue | Why |\n|---|---|\n| #1 | schema |\n| #2 | see #9 |", "1 2"),
        # by their words, as this host cannot be asked
        ("Depends on https://gitlab.com/g/p/-/issues/9", "gitlab.com/g/p/-/issues/9"),
        ("Depends on https://github.com/acme/widgets/discussions/3", "github.com/acme/widgets/discussions/3"),
        ("Depends on **[A1] Make the table**.", '"Depends on [A1] Make the table."'),
        ("Blocked by: design review", '"Blocked by: design review"'),
        ("## Depends on\n- the new table", '"Depends on the new table"'),
        ("Depends on ABC-12", '"Depends on ABC-12"'),
        # none
        ("Depends on: none\nBlocked by: N/A\nRequires: -", ""),
        ("### Depends on\n\n_No response_\n\n### Other\n\n#5", ""),
        ("Depends on: None (can start at once)\n\nBlocked by: nobody, for now\n\nDepends on: ✅ none – see #4", ""),
        ("## Dependencies\n\n- Blocks: #14\n- Depends on: #12\n- Related: #15", "12"),
        ("Since #13 depends on #12, and both #14 and #15 also depend on #16", ""),
        ("Depends on:\n\nSee #40 for the discussion", ""),
        ("Depends on:\n- [ ] none\n\nBlocked by:\n- TBD", ""),
        ("Depends on #12 (see also #400 for the discussion)", "12"),
        ("Depends on #12, see #400", "12"),
        ("Blocked by ~~#12~~, #13, ~#14~, <s>#15</s>, `#16`", "13"),
        ("~~Depends on #1~~ <!-- Depends on #2 --> `Depends on #3`", ""),
        ("    Depends on #12\n\n\tDepends on #13", ""),
        ("- x\n\n      Depends on #12", ""),
        (f"{FENCE}\nDepends on #1\n{FENCE}\n~~~\nDepends on #2", ""),
        ("[Depends on #1]: https://example.org\n\n[^9]: Depends on #2", ""),
        ("Depends on the color #123456 theme", ""),
        ("Depends on [setup](#12-setup)", ""),
        ("#13 depends on #12, and #14 is blocked by #15", ""),
        ("- #12 (blocked by #9)\n- [ ] #13\n  - depends on #12", ""),
        ("| Issue | Depends on |\n|---|---|\n| #12 | #9 |", ""),
        ("Other issues depend on this: #21, #22. It blocks #23.", ""),
        ("This does not depend on #3, is no longer blocked by #4 and isn't blocked by #5", ""),
        ("Is this blocked by #12?", ""),
        ("- [x] Depends on #12", ""),
        ("Required by #3, needed for #4, unblocked by #5, non-blocked by #6", ""),
        ("Requires Python 3 (#5) and needs care: #6 was bad", ""),
    ],
)  # fmt: skip
def test_what_a_person_reads_as_a_dependency(body: str, refs: str) -> None:
    named = [
        ref if isinstance(ref, str) else f"{ref.repo}#{ref.number}".removeprefix("owner/repo#")
        for ref in said(issue(20, body=body), REPO).refs
    ]
    assert named == (re.findall(r'".*"|\S+', refs))


@pytest.mark.parametrize(
    ("body", "unread"),
    [
        ("The result depends on the weather.", True),
        ("> - **Blocked by**: #12", True),
        ("This depends on the new table", True),
        ("Depends on #12 and the weather", False),
        ("Depends on: none", False),
        ("This never depends on the weather", False),
        ("`depends on` is a key", True),
        ("a dependency, blocked, requires this", False),
    ],
)
def test_words_that_name_no_issue_are_told(body: str, unread: bool) -> None:
    found = said(issue(20, body=body), REPO).unread
    assert bool(found) is (unread and "`" not in body)


@pytest.mark.parametrize(
    ("body", "files"),
    [
        ("**Files:** TBD\n\nThe bug is in src/menu.py", ""),
        ("Files: N/A", ""),
        ("Files: none\nFile: -\n**Files**: ?", ""),
        ("### Files\n\n_No response_\n\n### More\n\n- src/x.py", ""),
        ("Files: to be determined / unknown", ""),
        ("Files: see below", ""),
        ("Files: ~~src/a.py~~ <!-- src/b.py -->", ""),
        ("Files: e.g. the parser and/or i.e. the tests", ""),
        ("Many files: a.py. The files are in src/b.py", ""),
        ("> Files: a.py\n\n    Files: b.py", ""),
        ("Files: [src/menu.py](https://github.com/acme/widgets/blob/main/src/menu.py)", "src/menu.py"),
        ("Files: [the menu](https://github.com/acme/widgets/blob/main/src/menu.py#L3)", "src/menu.py"),
        ("Files: https://github.com/acme/widgets/blob/main/src/menu.py#L10-L20", "src/menu.py"),
        ("Files: <https://github.com/acme/widgets/tree/main/src/menu>", "src/menu"),
        ("Files: https://example.org/page.html", ""),
        ("Files: src/{menu,auth}.py", "src/menu.py src/auth.py"),
        ("### Files\n\n- `src/menu.py` — the menu\n- src/auth.py (token)\n\nother", "src/menu.py src/auth.py"),
        ("**Files to modify:**\n- `src/menu.py`\n- `src/auth.py`", "src/menu.py src/auth.py"),
        (f"Files:\n{FENCE}\nsrc/menu.py\nsrc/auth.py\n{FENCE}", "src/menu.py src/auth.py"),
        ("📁 **Files:** `src/menu.py`", "src/menu.py"),
        ("Files: src\\menu.py", "src/menu.py"),
        ("Files touched: src/menu.py", "src/menu.py"),
        ("File: src/menu.py", "src/menu.py"),
        ("Files: see below\n\n- src/menu.py", "src/menu.py"),
        ("Files：src/a.py、docs/；`b c.md`", "src/a.py docs/ b c.md"),
        ("- **Files**:\n  1. `a.py`: the core\n  2. [b.py](src/b.py)\n- c.py", "a.py b.py"),
        ("Affected files\n* [ ] src/__init__.py\n* [ ] tests/*.py and **/*.md", "src/__init__.py tests/*.py **/*.md"),
        ("Files:\r\n- a.py\r\n\t- b.py\r\n\r\nText in c.py", "a.py b.py"),
        ("Files: src/a.py,\nsrc/b.py\nsrc/c.py", "src/a.py src/b.py"),
        ("Files: **src/a.py**, _b.py_, Makefile and Dockerfile", "src/a.py b.py Makefile Dockerfile"),
        ("## Files\n| Path | Why |\n|---|---|\n| `src/a.py` | the menu |", "src/a.py"),
        ("Files: a.py:12, ./b.py#L3, /c.py.", "a.py b.py c.py"),
        ("<b>Files:</b> <code>x.py</code> src/a.py", "src/a.py"),
        ("Files(s)\nRelevant file(s): a.py", "a.py"),
    ],
)  # fmt: skip
def test_files_as_people_declare_them(body: str, files: str) -> None:
    assert " ".join(declared_files(body)) == files
