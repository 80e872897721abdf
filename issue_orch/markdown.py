"""What GitHub shows of a text, by markdown-it: CommonMark with the tables, footnotes and strike-through of GFM.

GitHub renders with cmark-gfm (https://github.github.com/gfm). Where the two could differ, what is doubtful is hidden.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Container, Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .commonmark import DEEPEST, parser
from .raw_html import Cut, address, hidden, left_out, text_of

if TYPE_CHECKING:
    from markdown_it.token import Token

_PREFIX = r"(?:[\s>]|(?:[-*+]|[0-9]{1,9}[.)])(?=\s))*+"  # the marks of the containers around a line
_LANGUAGE = r"[^\S\n]*(?:[\w+#.-]{1,24}(?=\s|$))?"

# Marks in the text of a Line: emphasis by `*` and by `_`, and code. Private use: no font shows anything there.
STAR, LOW, CODE = "\ue000", "\ue001", "\ue002"
_ISSUE = r"(?i)/(?:issues|pulls?|merge_requests|discussions)/[0-9]"
_STRUCK = (
    rf"(?<![~\w/])~(?![~\s])[^~\n{CODE}]+(?<!\s)~(?![~\w])"  # GFM takes one tilde as well as two
)
_WITHOUT = {
    "del",
    "s",
    "strike",
    "code",
    "pre",
    "samp",
    "tt",
}  # HTML that is struck through, or code


class Line(NamedTuple):
    """A line as the page shows it, without what is struck through. `depth` counts the list items around it, an `item` is
    the first line of one, `block` numbers its paragraph. A row of a table has its cells, and those of the head."""

    kind: Literal["text", "item", "heading", "code", "row"]
    text: str
    depth: int = 0
    block: int = 0
    quoted: bool = False
    checked: bool = False  # in a task that is done
    cells: tuple[str, ...] = ()
    head: tuple[str, ...] = ()


def shown(text: str) -> str:
    """The author's own text without what the page hides. Code comes through as it is."""
    # Without one of these, or a list nested beyond all bounds, nothing can be hidden, and no parser is loaded.
    hides = re.search(r"[<>\[`~|]|[-+*\d.)\s]{40}", text)
    return _read(text)[0] if hides else _plain_text(text)


def lines_of(text: str) -> tuple[Line, ...]:
    return _read(text)[1]


@lru_cache(maxsize=2048)
def _read(text: str) -> tuple[str, tuple[Line, ...]]:
    text = _plain_text(text)
    page, env = _Page(text), dict[str, Any]()
    page.walk(parser().parse(text, env), env.get("deep", ()))
    return page.shown(), tuple(page.lines)


def _plain_text(text: str) -> str:
    return re.sub("\r\n?", "\n", text).replace("\0", "\ufffd")


class _Places:
    """Where in the text a token's content stands, by pairs of places: every line of it is behind its own prefix."""

    def __init__(self, pairs: Iterable[tuple[int, int]]) -> None:
        self.pairs = sorted(pairs)

    def start(self, at: int) -> int:
        content, source = self.pairs[max(bisect_right(self.pairs, (at, 1 << 60)) - 1, 0)]
        return source + at - content

    def end(self, at: int) -> int:
        return self.start(at - 1) + 1


class _Page:
    """One walk over the tokens of a text: what is cut, and the lines that stay."""

    def __init__(self, text: str) -> None:
        self.text, self.source = text, text.split("\n")
        self.starts = [0]
        for line in self.source:
            self.starts.append(self.starts[-1] + len(line) + 1)
        self.cuts: list[Cut] = []
        self.lines: list[Line] = []
        self.open: tuple[str, int] | None = (
            None  # what ends the HTML that hides, and where it began
        )
        self.kind: Literal["text", "item", "heading", "code"] = "text"
        self.block = 0
        self.tasks: list[bool] = []  # of each list item around: whether it is a task that is done
        self.quotes: list[bool] = []  # of each quote around: whether it quotes; an alert does not
        self.row: list[str] | None = None
        self.head: tuple[str, ...] = ()

    def shown(self) -> str:
        if self.open:
            self.cuts.append(Cut(self.open[1], len(self.text), left_out("comment")))
        found, at = list[str](), 0
        for start, end, instead in sorted(self.cuts, key=lambda cut: (cut.start, -cut.end)):
            if start >= at:
                found += [self.text[at:start], instead]
            at = max(at, end)
        return "".join(found) + self.text[at:]

    def _cut_lines(self, lines: Sequence[int], instead: str) -> None:
        first, after = lines
        while after - 1 > first and not self.source[after - 1].strip():
            after -= 1
        prefix = re.match(_PREFIX, self.source[first])
        start = self.starts[first] + (prefix.end() if prefix else 0)
        self.cuts.append(Cut(start, self.starts[after] - 1, instead))

    # -- blocks

    def walk(self, tokens: Sequence[Token], deep: Container[str]) -> None:
        """`deep` are the texts with more brackets in brackets than were looked into."""
        inline = (child for token in tokens for child in token.children or ())
        used = {each.meta["label"].casefold() for each in inline if each.type == "footnote_ref"}
        hidden: int | None = None  # the level of a block that is hidden as a whole
        for token in tokens:
            unused = token.type == "footnote_reference_open" and (
                token.meta["label"].casefold() not in used
            )
            if hidden is not None:
                hidden = None if (token.nesting, token.level) == (-1, hidden) else hidden
            elif token.map and token.nesting == 1 and (unused or token.level >= DEEPEST - 1):
                hidden = token.level
                self._cut_lines(token.map, left_out("footnote" if unused else "text"))
            elif token.map and token.content in deep and re.search(r"\][(\[]", token.content):
                self._cut_lines(token.map, left_out("text"))
            else:
                self._container(token)
                self._leaf(token, *(token.map or (0, 0)))

    def _container(self, token: Token) -> None:
        match token.type:
            case "list_item_open":
                self.kind = "item"
                self.tasks.append(False)
            case "list_item_close":
                self.kind = "text"
                self.tasks.pop()
            case "blockquote_open":
                self.quotes.append(True)
            case "blockquote_close":
                self.quotes.pop()
            case "heading_open":
                self.kind = "heading"
            case "tr_open":
                self.row = []
            case "tr_close":
                self._end_row(tuple(self.row or ()))
            case "table_close":
                self.head = ()

    def _leaf(self, token: Token, first: int, after: int) -> None:
        match token.type:
            case "inline":
                self._inline(token, first)
            case "html_block":
                self._emit(text_of(token.content).split("\n"))
                self._html(token.content, 0, len(token.content), self._places(token.content, first))
            case "fence" | "code_block":
                self._code(token, first)
            case "definition":
                self._cut_lines((first, after), "")

    def _emit(self, texts: Iterable[str], first: int | None = None) -> None:
        self.block += 1
        for line, text in enumerate(texts, first or 0):
            lazy = first is not None and not any(
                row.lstrip().startswith(">") for row in self.source[line : line + 1]
            )
            quoted, done = any(self.quotes) and not lazy, any(self.tasks)
            if not self.open:
                depth = len(self.tasks)
                self.lines.append(Line(self.kind, text, depth, self.block, quoted, done))
            self.kind = "text"

    def _code(self, token: Token, line: int) -> None:
        """The language may stay of the words behind a fence, which nobody sees."""
        if token.type == "fence":
            row = self.source[line]
            at = row.find(token.markup) + len(token.markup)
            if (language := re.compile(_LANGUAGE).match(row, at)) and row[language.end() :].strip():
                self.cuts.append(
                    Cut(self.starts[line] + language.end(), self.starts[line + 1] - 1, "")
                )
        self.kind = "code"
        for text in token.content.splitlines():
            self._emit([text])
            self.kind = "code"
        self.kind = "text"

    def _places(self, content: str, line: int) -> _Places:
        pairs, at = [(0, self.starts[line])], 0
        for row, each in enumerate(content.rstrip("\n").split("\n"), line):
            bare = each.strip()
            pairs.append(
                (at + each.find(bare), self.starts[row] + max(self.source[row].rfind(bare), 0))
            )
            at += len(each) + 1
        return _Places(pairs[1:] or pairs)

    # -- tables

    def _cells(self, line: int) -> list[tuple[int, str]]:
        """Where each cell of a row begins, and its text; GFM drops those for which the head has none."""
        found, at = list[tuple[int, str]](), self.starts[line]
        for piece in re.split(r"(?<!\\)\|", self.source[line]):
            found.append((at, piece))
            at += len(piece) + 1
        return found[1:] if re.fullmatch(_PREFIX, found[0][1]) and len(found) > 1 else found

    def _cell_places(self, content: str, line: int, index: int) -> _Places:
        cells = self._cells(line)
        start, piece = cells[min(index, len(cells) - 1)]
        at, pairs = -max(piece.replace(r"\|", "|").rfind(content), 0), list[tuple[int, int]]()
        for part in re.split(r"\\(?=\|)", piece):
            pairs.append((at, start))
            at, start = at + len(part), start + len(part) + 1
        if (more := cells[index + 1 :]) and index + 1 == len(self.head):
            end = self.starts[line + 1] - 1
            if self.text[more[0][0] : end].strip(" \t|"):
                self.cuts.append(Cut(more[0][0], end, left_out("cells")))
        return _Places(pairs)

    def _end_row(self, row: tuple[str, ...]) -> None:
        self.row = None
        self._emit([" | ".join(row)])
        if not self.open:
            last = self.lines.pop()
            self.lines.append(
                last._replace(kind="row", depth=last.depth + 1, cells=row, head=self.head)
            )
        self.head = self.head or row

    # -- inline content

    def _inline(self, token: Token, line: int) -> None:
        children = token.children or []
        places = (
            self._places(token.content, line)
            if self.row is None
            else self._cell_places(token.content, line, len(self.row))
        )
        text = _plain(children)
        if self.row is None:
            self._paragraph(text, line)
        else:
            self.row.append(text.replace("\n", " "))
        for child in children:
            if "at" in child.meta:
                self._hide(child, token.content, places)

    def _paragraph(self, text: str, line: int) -> None:
        if self.quotes and re.match(r"\[!\w+\]", text):
            self.quotes[-1] = False
        if self.kind == "item" and (task := re.match(r"\[([ xX])\]\s+", text)):
            self.tasks[-1] = task[1] != " "
            text = text[task.end() :]
        self._emit(text.split("\n"), line)

    def _hide(self, token: Token, content: str, places: _Places) -> None:
        start, label, end = token.meta["at"]
        if token.type == "html_inline":
            self._html(content, start, end, places)
        elif token.type == "image":
            instead = f"![]({address(token.attrs['src'])})"
            self.cuts.append(Cut(places.start(start), places.end(end), instead))
        elif content[label:end] != (instead := f"({address(token.attrs['href'])})"):
            self.cuts.append(Cut(places.end(label), places.end(end), instead))

    def _html(self, content: str, start: int, end: int, places: _Places) -> None:
        """A comment that is not closed goes on through whatever follows."""
        ending, since = self.open or ("", 0)
        self.open = None
        for cut in hidden(content, start, end, ending):
            begin = since if cut[0] < 0 else places.start(cut[0])
            if isinstance(cut, Cut):
                self.cuts.append(Cut(begin, places.end(cut.end), cut.instead))
            else:
                self.open = cut[1], begin


def _plain(tokens: Sequence[Token]) -> str:
    """What the page shows of them. Of a link to an issue its address, as it may be called anything."""
    found, without, links = list[str](), list[str](), list[tuple[int, str]]()
    for token in tokens:
        if token.type == "html_inline":
            name = re.match(r"</?([a-zA-Z]+)", token.content)
            tag = name[1].lower() if name else ""
            if tag in _WITHOUT:
                without = without[:-1] if token.content[1] == "/" else [*without, tag]
            found.append("\n" * (tag == "br"))
        elif token.type in ("s_open", "s_close"):
            without = [*without, "s"] if token.nesting == 1 else without[:-1]
        elif token.type == "link_open":
            links.append((len(found), str(token.attrs["href"])))
        elif token.type == "link_close" and links:
            start, address = links.pop()
            if re.search(_ISSUE, address) or (
                "/blob/" in address and not re.search("[./]", "".join(found[start:]))
            ):
                found[start:] = [f" {address} "]
        elif not without:
            found.append(_text(token))
    return re.sub(_STRUCK, "", "".join(found))


def _text(token: Token) -> str:
    match token.type:
        case "code_inline":
            return CODE + token.content + CODE
        case "softbreak" | "hardbreak":
            return "\n"
        case "em_open" | "em_close" | "strong_open" | "strong_close":
            return token.markup.replace("*", STAR).replace("_", LOW)
        case "text" | "text_special":
            return token.content
        case _:
            return ""
