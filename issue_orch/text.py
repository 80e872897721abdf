"""Text hygiene: what came from outside is made safe to print, to post and to put into a prompt.

Patterns are strings, compiled at their first use, and quantifiers that could overlap are bounded: hostile text costs
linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

REDACTED = "[redacted]"
BREAK = (
    "\u200b"  # zero-width space: what we insert to break a mention; sanitise() takes it out again
)
POST_LIMIT = 60_000  # GitHub refuses bodies above 65,536 characters
FENCE_LIMIT = 64_000

# Invisible, reordering or impossible to encode: bidi, zero-width, fillers, variation selectors, tags, surrogates.
INVISIBLE = (
    "[\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
ESCAPES = (
    r"(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x90\x98\x9c-\x9f]*(?:\x07|\x1b\\|\x9c)"  # OSC, DCS, APC…
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI
    r"|\x1b[ -/]*[0-~]?"  # everything else that starts with ESC
)
CONTROLS = r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"

PRIVATE_KEY = (
    r"(?s)-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?:.*?-----END [A-Z ]{0,40}PRIVATE KEY-----|.*)"
)
TOKENS = (
    r"(?:gh[pousr]_|github_pat_)[\w.-]{15,}\w"
    r"|(?<![A-Za-z0-9])sk-(?=[A-Za-z_-]{0,60}\d)[\w-]{16,}"
    r"|AIza[\w-]{30,}|A(?:KIA|SIA)[A-Z0-9]{16}\w*|xox[a-z]-[\w-]{10,}|glpat-[\w-]{20,}|pypi-[\w-]{40,}"
    r"|(?<![A-Za-z0-9])(?:npm|hf)_[A-Za-z0-9]{30,}\w*"
    r"|(?<![A-Za-z0-9])eyJ[\w-]{10,}\.[\w-]{10,}(?:\.[\w-]*)?"
)
HEADER = r"""(?i)(authorization["']?[ \t]{0,9}[:=][ \t]{0,9}["']?(?:(?:basic|bearer|token)[ \t]{1,9})?)[^\s"',]+"""
USERINFO = r"(?i)((?<![a-z])https?://)[^\s/@]{1,400}@|(\b[a-z][a-z0-9+.-]{0,20}://)[^\s/@:]{0,200}:[^\s/@]{1,400}@"

MENTION = r"(?<![A-Za-z0-9])(?:@|&#0{0,5}64;|&#[xX]0{0,5}40;|&commat;)(?=[A-Za-z0-9_-])"
CLOSING = r"(?i)\b(c|f|r)(lose[sd]?|ix(?:e[sd])?|esolve[sd]?)(?=\W{1,20}(?:[\w./-]{0,200}#|gh-|https?://|\d))"
COMMAND = r"(?m)^([^\w\n/]*/)(?=[A-Za-z])"
BOT = r"(?im)^([^\w\n]*[bh])(?=(?:ors|omu)\b)"


def sanitise(text: str) -> str:
    """`text` without what a terminal would obey or hide; newlines and tabs stay. For everything from outside."""
    if text.isascii() and text.isprintable():
        return text
    text = re.sub(
        INVISIBLE, "", text
    )  # first: they could hide an escape sequence from the next line
    text = re.sub(CONTROLS, "", re.sub(ESCAPES, "", text))
    return re.sub("[\ud800-\udfff]", "\ufffd", re.sub("[\u2028\u2029]", "\n", text))


def one_line(text: str, width: int) -> str:
    """`text` sanitised, on one line, cut with an ellipsis to at most `width` terminal columns."""
    text = " ".join(sanitise(text).split())
    if display_width(text) <= width:
        return text
    room, end = width - 1, 0
    for end, char in enumerate(text):  # noqa: B007 - the position is the result
        room -= char_width(char)
        if room < 0:
            break
    return text[:end].rstrip() + "…" if width > 0 else ""


def display_width(text: str) -> int:
    """Terminal columns of sanitised text."""
    return len(text) if text.isascii() else sum(map(char_width, text))


def char_width(char: str) -> int:
    if char.isascii():
        return 1
    from unicodedata import category, east_asian_width

    if category(char) in ("Mn", "Me") or "\u1160" <= char <= "\u11ff":
        return 0
    return 2 if east_asian_width(char) in "WF" else 1


def wrapped(text: str, columns: int, hang: str = "") -> Iterator[str]:
    """Break at blanks where that is possible; what follows is indented like the first line, and by `hang`."""
    lead = row = " " * min(len(text) - len(text.lstrip(" ")), columns // 2)
    following = lead + hang
    for char in " ".join(text.split()):
        if display_width(row) + char_width(char) > columns:
            cut = row.rfind(" ", len(lead)) + 1 or len(row)
            yield row[:cut].rstrip()
            lead = following
            row = lead + row[cut:].lstrip()
        row += char
    yield row.rstrip()


def redact(text: str, secrets: tuple[str, ...] = ()) -> str:
    """`text` without the exact `secrets` (those of six characters and more) and without what looks like a token."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= 6 and secret not in REDACTED:
            text = text.replace(secret, REDACTED)
    text = re.sub(TOKENS, REDACTED, re.sub(PRIVATE_KEY, REDACTED, text))
    text = re.sub(HEADER, rf"\1{REDACTED}", text)
    return re.sub(USERINFO, lambda match: f"{match[1] or match[2]}{REDACTED}@", text)


def cap(text: str, limit: int) -> str:
    """`text` cut to at most `limit` characters, saying so."""
    note = "\n[cut here: the text was longer]"
    return text if len(text) <= limit else text[: max(0, limit - len(note))] + note[:limit]


def neutralise(markdown: str, limit: int = POST_LIMIT) -> str:
    """Markdown as it may be posted: nobody is mentioned, nothing closed, no bot commanded, nothing hidden.

    It reads the same: zero-width spaces break what GitHub or a bot would act on, in code too, since bots read the raw
    text. At most `limit` characters.
    """
    text = sanitise(markdown).replace("<!--", f"<{BREAK}!--")
    text = re.sub(MENTION, f"@{BREAK}", text)
    text = re.sub(CLOSING, rf"\1{BREAK}\2", text)
    text = re.sub(COMMAND, rf"\1{BREAK}", text)
    return cap(re.sub(BOT, rf"\1{BREAK}", text), limit)


def fence(text: str, author: str, limit: int = FENCE_LIMIT, markdown: bool = True) -> str:
    """`text` as data for a prompt, between two lines that cannot occur in it; of `markdown` what GitHub shows."""
    from hashlib import sha256

    from .markdown import shown

    text = cap(sanitise(shown(text) if markdown else text), limit)
    mark = sha256(text.encode()).hexdigest()[:12]
    while mark in text:
        mark = sha256(mark.encode()).hexdigest()[:12]
    author = re.sub(r"[^\w\[\] .-]", "", author)[:60] or "unknown"
    return f"<<<DATA {mark} (written by {author})\n{text}\nDATA {mark}>>>"


def and_more(names: Sequence[str], limit: int = 8) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
