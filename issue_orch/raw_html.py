"""What a browser displays of the HTML in a text, after GitHub's sanitizer.

That keeps elements and attributes of a list (html-pipeline's SanitizationFilter) which has neither `style` nor `hidden`:
`<p hidden>` is shown; comments, other elements' names and what stands in attributes are not. What is doubtful is hidden.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

# Their `<` is text on the page, by the tag filter of GFM.
_FILTERED = r"(?i)title|textarea|style|xmp|iframe|noembed|noframes|script|plaintext"
# Tags that stay, as bare names. Any other name may be words, and goes.
_TAGS = (
    r"(?i)h[1-6]|br?|i|strong|em|a|pre|code|img|tt|div|ins|del|su[bp]|p|[ou]l|table|t(?:head|body|foot|[rdh])|blockquote|"
    r"d[ltd]|kbd|q|samp|var|hr|ruby|rt|li|s|strike|summary|details|caption|figure|figcaption|abbr|bdo|cite|dfn|mark|small|"
    r"span|time|wbr|picture|source|video|u|big|center|font|input|label|section|article|header|footer"
)
_UNSEEN = "rp"  # let through, and not displayed by a browser that knows ruby
_MARKUP = (
    r"<(?:(?P<comment>!--)|(?P<bogus>[!?]|/(?=[^a-zA-Z>]))|(?P<end>/?)(?P<name>[a-zA-Z][^\s/>]*))"
)
# The rest of a tag: a quote counts behind an equals sign. Possessive, so that hostile text costs linear time.
_REST = r"(?:[^=>]++|=\s*+(?:\"[^\"]*+\"|'[^']*+'|(?![\"'])))*+(?:>|=\s*+(?P<quote>[\"'])|)"
_ATTRIBUTE = (
    r"(?P<key>[^\s=>/\"']++)(?:\s*+=\s*+(?:\"(?P<a>[^\"]*+)\"|'(?P<b>[^']*+)'|(?P<c>[^\s>]++)))?"
)
_TEXT = (
    r"(?is)<!--.*?(?:-->|\Z)|<[!?][^>]*(?:>|\Z)|<(?P<without>del|s|strike|code|pre)\b.*?(?:</(?P=without)\s*>|\Z)"
    r"|</?(?P<name>[a-z][a-z0-9]*)[^<>]*(?:>|(?=<)|\Z)"
)
_BLOCKS = r"(?i)p|li|[uo]l|d(?:iv|t|d)|br|t(?:able|r)|h[1-6]|details|summary"


class Cut(NamedTuple):
    """What is taken out, by its place, and what stands there instead. A start of -1 lies in what was read before."""

    start: int
    end: int
    instead: str


def left_out(what: str) -> str:
    return f"[hidden {what} left out]"


def hidden(html: str, at: int, end: int, ending: str = "") -> Iterator[Cut | tuple[int, str]]:
    """What is not displayed of `html`, from `at` to `end`. At last, where something that hides is not closed: where it
    began and the pattern that ends it, to be passed as `ending` with the next HTML of the page."""
    since = -1
    while at < end:
        if ending:
            if not (closed := re.compile(ending).search(html, at, end)):
                break
            yield Cut(since, closed.end(), left_out("comment"))
            ending, at = "", closed.end()
        elif not (match := re.compile(_MARKUP).search(html, at, end)):
            break
        elif match["comment"]:
            ending, since, at = r"(?<=<!--)-?>|--!?>", match.start(), match.end()
        elif re.fullmatch(_FILTERED, match["name"] or ""):
            at = match.end()
        else:
            rest = re.compile(r"[^>]*+>?" if match["bogus"] else _REST).match(
                html, match.end(), end
            )
            at, since = rest.end() if rest else end, match.start()
            ending = _ending(match, rest)
            instead = "" if ending else _instead(match, html[match.end() : at])
            if not ending and instead != html[since:at]:
                yield Cut(since, at, instead)
    if ending:
        yield since, ending


def _ending(match: re.Match[str], rest: re.Match[str] | None) -> str:
    """What ends the hiding that a tag begins."""
    if rest and rest.groupdict().get("quote"):
        return rest["quote"] + "[^>]*>"
    return rf"(?i)</(?:{_UNSEEN}|ruby)\b[^>]*>" if match[0].lower() == f"<{_UNSEEN}" else ""


def _instead(match: re.Match[str], attributes: str) -> str:
    if match["bogus"]:
        return left_out("comment")
    if not re.fullmatch(_TAGS, match["name"]):
        return left_out("tag")
    kept = attributes if not attributes.strip("/> \t\n") else f"{_kept(attributes)}>"
    return match[0] + kept


def _kept(attributes: str) -> str:
    """The address that a tag leads to."""
    for each in re.finditer(_ATTRIBUTE, attributes):
        value = each["a"] or each["b"] or each["c"] or ""
        if each["key"].lower() in ("href", "src") and not re.search(r"\s", value):
            return f' {each["key"]}="{address(value)}"'
    return ""


def address(url: object) -> str:
    """Nothing for one that GitHub takes away; without white space, which could hold words."""
    other = re.match(r"(?i)\s*(?!https?:|mailto:)[a-z][a-z0-9+.-]*:", str(url))
    return "" if other else re.sub(r"\s", "%20", str(url))


def text_of(html: str) -> str:
    """The text between the tags, a line for each block and cells with a bar between; no code, nothing struck through."""

    def instead(match: re.Match[str]) -> str:
        name = match["name"] or ""
        return " | " if name.lower() in ("td", "th") else "\n" * bool(re.fullmatch(_BLOCKS, name))

    return re.sub(_TEXT, instead, html).strip("\n")
