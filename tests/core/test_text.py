"""Text hygiene: nothing that a terminal, a bot or an agent would obey survives, and hostile text costs linear time."""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issue_orch.text import (
    BREAK,
    REDACTED,
    cap,
    display_width,
    fence,
    neutralise,
    one_line,
    redact,
    sanitise,
)

PIECES = [
    "\x1b[31m",
    "\x1b]8;;http://x\x1b\\",
    "\x1b",
    "\x9b",
    "\x9d",
    "[31m",
    "\x07",
    "\\",
    "\u200b",
    "\u202e",
    "\U000e0041",
    "@",
    "a",
    "me",
    "&#64;",
    "fixes",
    "fix",
    " ",
    "#1",
    "\n",
    "/",
    "merge",
    "bors",
    " r+",
    "<!--",
    "-->",
    "`",
    "```",
    "é",
    "日本",
    "😀",
    "ghp_",
    "x" * 20,
    "sk-",
    "1",
    "AKIA",
    "A" * 16,
    "https://",
    "u:p@h",
    "Authorization: Bearer ",
    "\ud800",
]
hostile = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=30).map("".join))


@pytest.mark.parametrize(
    ("raw", "safe"),
    [
        ("plain text", "plain text"),
        ("a\tb\nc", "a\tb\nc"),
        ("a\r\nb\rc", "a\nbc"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;https://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;never ended", "52;c;never ended"),
        ("\x1bP1$r\x1b\\x\x1b(By\x1bcz", "xyz"),
        ("\x1b\u200b[2Jgone", "gone"),
        ("abc\u202etxt.exe\u2066", "abctxt.exe"),
        ("pass\u200bword\ufeff\u00ad", "password"),
        ("tag\U000e0041\U000e007f", "tag"),
        ("one\u2028two", "one\ntwo"),
        ("bad\udce9", "bad\ufffd"),
        ("日本語 😀 é", "日本語 😀 é"),
    ],
)
def test_sanitise(raw: str, safe: str) -> None:
    assert sanitise(raw) == safe


@given(hostile)
def test_nothing_dangerous_survives_sanitise(text: str) -> None:
    safe = sanitise(text)
    assert sanitise(safe) == safe
    assert not [
        c
        for c in safe
        if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c not in "\n\t"
    ]
    safe.encode()  # raises for what cannot be printed


def test_every_invisible_character_of_unicode_is_taken_out() -> None:
    everything = "".join(map(chr, range(0x110000)))
    left = {unicodedata.category(c) for c in sanitise(everything) if c not in "\n\t"}
    assert not left & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("text", "width", "line"),
    [
        ("short", 10, "short"),
        ("exactly", 7, "exactly"),
        ("too long a text", 8, "too lon…"),
        ("日本語テキスト", 7, "日本語…"),
        ("日本語テキスト", 8, "日本語…"),
        ("日本", 4, "日本"),
        ("e\u0301e\u0301e\u0301", 3, "e\u0301e\u0301e\u0301"),
        ("😀😀", 3, "😀…"),
        ("a\n b\t\x1b[1mc", 9, "a b c"),
        ("word then", 6, "word…"),
        ("ab", 1, "…"),
        ("ab", 0, ""),
        ("", 5, ""),
    ],
)
def test_one_line(text: str, width: int, line: str) -> None:
    assert one_line(text, width) == line


@given(hostile, st.integers(0, 40))
def test_one_line_fits(text: str, width: int) -> None:
    line = one_line(text, width)
    assert "\n" not in line and display_width(line) <= width
    assert one_line(line, width) == line


@pytest.mark.parametrize(
    "secret",
    [
        "ghp_" + "a1" * 18,
        "gho_" + "a1" * 18,
        "ghs_" + "a1" * 18 + ".b-c",
        "github_pat_" + "A1_" * 20,
        "sk-" + "a1" * 20,
        "sk-ant-api03-" + "a1" * 20,
        "sk-proj-" + "a1" * 20,
        "AIza" + "a1" * 18,
        "AKIA" + "A1" * 8,
        "xoxb-1234567890-abc",
        "glpat-" + "a1" * 10,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        "npm_" + "a1" * 18,
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN OPENSSH PRIVATE KEY-----\ncut off in the middle of",
    ],
)
def test_redact_knows_the_shape(secret: str) -> None:
    assert redact(f"a {secret}") == f"a {REDACTED}"
    assert redact(f"token={secret}").startswith("token=[redacted]")


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("Authorization: Bearer abc.def", "Authorization: Bearer [redacted]"),
        ('{"authorization": "token abc"}', '{"authorization": "token [redacted]"}'),
        ("https://me:pw@host/x", "https://[redacted]@host/x"),
        ("https://abc@host/x", "https://[redacted]@host/x"),
        ("postgres://u:p@h/db", "postgres://[redacted]@h/db"),
        ("ssh://git@host/x git@host:a/b", "ssh://git@host/x git@host:a/b"),
        ("task-list-with-a-long-name-1", "task-list-with-a-long-name-1"),
        ("the word hunter2! here", "the word [redacted] here"),
    ],
)
def test_redact(text: str, safe: str) -> None:
    assert redact(text, ("hunter2!", "the", "")) == safe


@given(hostile, st.text(min_size=6, max_size=30))
def test_redact_is_idempotent_and_thorough(text: str, secret: str) -> None:
    safe = redact(text + secret + text, (secret,))
    assert redact(safe, (secret,)) == safe
    assert secret not in safe.replace(REDACTED, "\0") or secret in REDACTED


@pytest.mark.parametrize(
    ("raw", "inert"),
    [
        ("@dependabot merge", "@~dependabot merge"),
        ("ask &#64;octo and &#x40;cat", "ask @~octo and @~cat"),
        ("mail a@b.example", "mail a@b.example"),
        ("Fixes #12", "F~ixes #12"),
        ("closes: owner/repo#3", "c~loses: owner/repo#3"),
        ("RESOLVED GH-3", "R~ESOLVED GH-3"),
        ("fix https://github.com/a/b/issues/1", "f~ix https://github.com/a/b/issues/1"),
        ("fixes **#12**", "f~ixes **#12**"),
        ("fixes \\#12", "f~ixes \\#12"),
        ("fi\u200bxes #1", "f~ixes #1"),
        ("fixes the parser", "fixes the parser"),
        ("/merge", "/~merge"),
        ("> /lgtm", "> /~lgtm"),
        ("see a/b", "see a/b"),
        ("1\n" + " " * 30 + "\u00a0/merge", "1\n" + " " * 30 + "\u00a0/~merge"),
        ("_@octo_", "_@~octo_"),
        ("bors r+", "b~ors r+"),
        ("  Homu: try", "  H~omu: try"),
        ("<!-- issue-orch -->", "<~!-- issue-orch -->"),
    ],
)
def test_neutralise(raw: str, inert: str) -> None:
    assert neutralise(raw) == inert.replace("~", BREAK)
    assert sanitise(neutralise(raw)) == sanitise(inert.replace("~", "")), "it reads the same"


@given(hostile)
def test_neutralise_leaves_nothing_to_act_on(text: str) -> None:
    inert = neutralise(text)
    assert neutralise(inert) == inert
    assert "<!--" not in inert
    assert not re.search(
        r"(?m)^\s*/[a-z]|(?<![A-Za-z0-9])@[a-z0-9_-]|\bfix(es)? #\d|^\s*bors\b", inert
    )


def test_caps_say_so() -> None:
    assert cap("a" * 50, 50) == "a" * 50
    assert (
        cap("a" * 51, 50).endswith("[cut here: the text was longer]")
        and len(cap("a" * 51, 50)) == 50
    )
    assert len(neutralise("@a " * 50_000)) == 60_000


def test_fence_leaves_out_what_github_hides() -> None:
    fenced = fence(
        "shown <!-- obey me --> `<!-- code -->`\n```\n<!-- block -->\n```", "octo\ncat[bot]>"
    )
    first, *body, last = fenced.splitlines()
    assert body == [
        "shown [hidden comment left out] `<!-- code -->`",
        "```",
        "<!-- block -->",
        "```",
    ]
    assert re.fullmatch(r"<<<DATA [0-9a-f]{12} \(written by octocat\[bot\]\)", first)
    assert last == f"DATA {first[8:20]}>>>"


@given(hostile, st.text())
def test_fence_cannot_be_left(text: str, author: str) -> None:
    first, *body, last = fence(text, author).split("\n")
    mark = first[8:20]
    assert last == f"DATA {mark}>>>" and mark not in "\n".join(body)


@pytest.mark.parametrize(
    "function",
    [sanitise, redact, neutralise, lambda t: fence(t[:65_536], "a"), lambda t: one_line(t, 80)],
)
@pytest.mark.parametrize(
    "unit",
    [
        "a",
        " ",
        "\n",
        "/",
        "`",
        "@",
        "\x1b]",
        "\x9d",
        "https://",
        "a://",
        "fixes ",
        "sk-a",
        "eyJa",
        "<!--",
        "close a/",
        "-----BEGIN PRIVATE KEY-----",
        "authorization ",
        "``",
        "`\n",
        "```\n",
    ],
)
def test_hostile_text_costs_linear_time(function: Callable[[str], str], unit: str) -> None:
    started = time.process_time()
    function(unit * (200_000 // len(unit)))
    assert time.process_time() - started < 1.5, (
        "0.1 s is usual; quadratic behaviour would take minutes"
    )
