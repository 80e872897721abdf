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
from issue_orch.core.wording import Ref, said
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
        "[SEEN][EVIL one] and [SEEN][] ![EVIL][EVIL one]\n\n[EVIL one]: /SEEN\n[seen]: /x (EVIL)",
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
        "::: custom\n$$ x^2 $$\n+++\n---\na: b\n---",
        "\u200b",
        "",
    ],
)
def test_what_the_page_shows_comes_through_as_it_is(text: str) -> None:
    assert shown(text).replace("x[hidden tag left out]", "x<y>") == text


def test_titles_are_no_markdown_and_programs_write_none() -> None:
    assert "Title: Fix <!-- x --> `" in task(issue(1, "Fix <!-- x --> `", "body"))
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
    "Depends on\n", "depends on #1, ", "- Depends on:\n", "blocked by (", "Files:\n", "Files: {a,", "#1 (", "(see #1 ",
])  # fmt: skip
def test_reading_is_linear(piece: str) -> None:
    """As long as GitHub lets a text be, an eighth and a quarter of it: twice as long is twice the work."""
    steps(piece * 10)
    half, whole = (steps((piece * size)[:size]) for size in (65_536 // 8, 65_536 // 4))
    assert whole <= 2.6 * half + 2_000
