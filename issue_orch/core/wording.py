"""What the words of an issue say that it waits for: `depends on`, `blocked by` and their like, in the forms people write."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from ..markdown import Line, lines_of
from ..text import one_line
from .fields import below, continued, unfilled, words_of
from .model import Issue, Number, RepoName

TEXT_LIMIT = 200_000  # characters that are read; GitHub stores at most 65,536
SHOWN_NAME = 80
_LONGEST_RANGE = 20

# All quantifiers are bounded, or start at a place of their own: hostile text costs linear time.
_KEY = (
    r"(?i)(?<![\w-])(?:(?P<strong>depend(?:s|ing|ent)?[\s_-]{0,9}(?:up)?on|blocked[\s_-]{0,9}(?:by|on|until|behind))"
    r"|(?P<weak>(?:requires?|needs?|wait(?:s|ing)?[\s-]{1,9}(?:on|for|until)))"
    r"|(?P<label>dependenc(?:y|ies)|prerequisites?|pre-requisites?|blockers?|blocking issues?|"
    r"blocked|depends|deps?|after))(?![^\W_]|[-@/])"
)
# Without one of these no text is read: nearly all bodies.
_STRONG_WORDS = ("depend", "block", "requisite", "dep:", "deps:")
_WEAK_WORDS = (
    r"\b(?:requires?|needs?|on|for|until|after)\W{1,9}(?:[a-z]{2,8}\s){0,2}(?:#|gh-|[\w./:-]{0,200}[#/])[0-9]"
    r"|\b(?:requires?|needs?|on|for|after)\W{0,9}[:\uff1a\n]"
)
_NUMBERED = r"(?:issues?|pull requests?|pulls?|prs?|tickets?)\s{1,9}(?:no\.?\s{0,9})?"
REFERENCE = (
    r"(?<![\w./-])(?:[hH][tT]{2}[pP][sS]?://)?(?P<host>[\w.-]{1,250}(?::[0-9]{1,5})?)"
    r"/(?P<path>[\w.-]{1,100}/[\w.-]{1,100})/(?:issues|pull)/(?P<at>[0-9]+)\b"
    r"|(?<![\w./-])(?:(?P<site>[\w.-]{1,250}(?::[0-9]{1,5})?)/)?(?P<repo>[\w.-]{1,100}/[\w.-]{1,100})#(?P<there>[0-9]+)\b"
    r"|(?:(?<![\w&/.-])|(?<=[\u3040-\u9fff\uac00-\ud7af]))(?:#|[gG][hH]-)(?P<here>[0-9]+)(?![A-Za-z0-9_])"
    rf"|(?<![\w-])(?i:{_NUMBERED})(?P<plain>[0-9]{{1,9}})(?![\w.]*\w)"
)
_WORD = r"[^\s,;()\[\]<>\"'`*|]+"
# What else a person would take for one: a path of another kind of host, a name that no repository has.
_ELSEWHERE = r"(?i)/(?:issues|pulls?|merge_requests|discussions)/[0-9]|^(?!\w+://)[^#/]*/[^#]*#[0-9]+(?![\w-])"

_BEGINS = rf"(?i)[^\w#]{{0,9}}(?:(?:and|or|the|on|by)\s{{1,9}}){{0,2}}(?:{_NUMBERED})?(?:[\w./:-]{{0,250}}(?:#|/)|gh-|(?<=\s))[0-9]"
_NOT_OURS = (
    r"(?i)(?:\b(?:no longer|not|never|previously|formerly|was|were|used to|if|unless|whether|without|neither|nor)|n[’']t)"
    r"(?:\s+\w+)?\s*$"
)
_ABOUT_US = (
    r"(?i)\W*(?:(?:note|status|state|important|warning|currently|this|it|the|issue|task|ticket|"
    r"story|work|change|feature|pr|is|also|still|now|and|which|but)\W*)*"
)
_REVERSED = r"(?i)\W*(?:this|it|us|me)\b(?! (?:issue |one )?#)"
_CLAUSE = r"[.!?;:,|()\[\]\u2013\u2014>\u2026\u2022]|\s-\s"
_END = r"[.!](?=\s|$)|;(?!\s*(?:and\s+)?(?:#|gh-|[\w./:-]{1,250}[#/][0-9]))|\|"
_ASIDE = (
    r"(?i)(?<![\w/.-])(?:see|cf|compare|related|relates|discuss\w*|mentioned|described|unlike|instead|part of|blocks|"
    r"blocking|unblocks|closes|fixes|resolves|supersedes|replaces|duplicates?|follow-?up|but not|not)\b(?![\w.-]*[/#])"
)
_ABOUT = rf"\W*(?:{REFERENCE})"  # what begins like that is about another issue
_BY_ITSELF = rf"{_ABOUT}[\s(\[:\u2013\u2014-]{{1,5}}|.*[#/][0-9]+\s?\("
_SUBJECT = (
    rf"(?i:\W*(?:(?:and|but|since|because|as|while|that|when|the|both)\s+)*){_ABOUT}"
    r"(?:\W+(?:(?i:and|is|are|was|also|still|both|now|currently|itself|which|that|must|to|be)\b|#[0-9]+\b)){0,9}\W*"
)
_SUBORDINATE = r"(?i)\b(?:which|because|since|so|when|if|whereas|while|once|until)\b"
_LIST = r"(?i),?\s+(?:and|&|plus)\s+|[,+&/]\s+"
_BROKEN = r"(?i)\b(?:depend(?:s|ing|ent)?|blocked)\s*$"  # the key goes on in the next line
_NOTE = (
    r"(?i)((?:#|\bgh-|/)[0-9]+[^\s()]{0,80})\s{0,9}\([^()]*\)?"  # in brackets behind a reference
)
_COLOUR = (
    r"(?i)\b(?:colou?rs?|hex|background|shade|rgb)\W{0,3}(?:(?:code|value|is|of)\s)?#[0-9]{3,8}\b"
    r"|#(?:[0-9]{6}|[0-9]{3})(?= (?:colou?r|theme|background)\b)"
)
_RANGE = (
    r"(?i)(?<![\w/])#([0-9]{1,9})\s?(?:[\u2013\u2014-]|\.\.\.?|to|through|bis)\s?#([0-9]{1,9})\b"
)
# A value that can only be meant as something to wait for: a title, an address, the key of another tracker.
_LEAD = r"[\s:|=>*]{0,99}(?:[-\u2013\u2014]{1,9}(?=[\s#])[\s|]{0,9})?"
_TITLE = r"[\[\"'\u201c\u201e\u00ab(]|(?:https?://\S{1,200}/)?[A-Z]{2,9}-[0-9]|![0-9]"


class Ref(NamedTuple):
    """An issue that the host can be asked for. `repo` is in lower case. Other references stay the words that they are."""

    repo: RepoName
    number: Number


class Said(NamedTuple):
    """What the text names, each once, and where it has the words and names nothing that could be read.

    One reference too many is shown as a reason, one too few would start work too early. What this host cannot be asked
    for is there by its words.
    """

    refs: tuple[Ref | str, ...] = ()
    unread: tuple[str, ...] = ()


def said(issue: Issue, repo: str) -> Said:
    """By the lines of the page: no code, no hidden text, nothing that is struck through or done."""
    body = issue.body[:TEXT_LIMIT]
    host = issue.url.partition("://")[2].partition("/")[0].casefold()
    return _read(body, RepoName(repo.casefold()), host)


@lru_cache(maxsize=2048)
def _read(body: str, own: RepoName, host: str) -> Said:
    low = body.lower()
    if not (any(word in low for word in _STRONG_WORDS) or re.search(_WEAK_WORDS, low)):
        return Said()
    refs, unread = dict[Ref | str, None](), dict[str, None]()
    lines, notes = lines_of(body), set[int]()
    about = (
        99  # the depth of an item about another issue: what is indented below it is not about ours
    )
    for at, line in enumerate(lines):
        about = 99 if line.depth <= about and line.kind != "text" else about
        if line.kind == "code" or line.checked or line.depth > about or line.block in notes:
            continue
        if line.kind == "item" and re.match(_ABOUT, words_of(line)):
            about = line.depth
        for value in (*_column(line), *_values(lines, at, notes)):
            found = _references(value.words, own, host)
            if found and not line.quoted:
                refs.update(dict.fromkeys(found))
            elif value.explicit and not line.quoted:
                refs[_quoted(value.said)] = None
            elif found or value.strong:
                unread[_quoted(value.said)] = None
    return Said(tuple(refs), tuple(unread))


class _Value(NamedTuple):
    """What stands for a key: the words to look for references in, and how a person is told of them."""

    words: str
    said: str = ""
    strong: bool = False
    explicit: bool = (
        False  # a field whose value names no issue still says that there is something to wait for
    )


def _column(line: Line) -> Iterator[_Value]:
    """Cells below a head such as `Depends on`, of rows that are not about other issues."""
    cells = [_plain(cell) for cell in line.cells]
    for at, head in enumerate(map(_plain, line.head)):
        key = re.fullmatch(_KEY, head.strip(" :"))
        others = " ".join(cells[:at] + cells[at + 1 :])
        if key and not re.search(REFERENCE, others) and not unfilled(cells[at]):
            yield _Value(_trimmed(cells[at]), f"{head}: {cells[at]}", bool(key["strong"]))


def _plain(cell: str) -> str:
    return words_of(Line("text", cell))


def _values(lines: Sequence[Line], at: int, notes: set[int]) -> Iterator[_Value]:
    """What stands behind each key in the line. The last may go on in the next lines."""
    line, words = lines[at], words_of(lines[at])
    if re.search(_BROKEN, words) and lines[at + 1 : at + 2]:
        at += 1
        words += f" {words_of(lines[at])}"
    keys = list(re.finditer(_KEY, words))
    ends = [*(key.start() for key in keys[1:]), len(words)][: len(keys)]
    for key, end in zip(keys, ends, strict=True):
        before, after = words[max(key.start() - 200, 0) : key.start()], words[key.end() : end]
        if not _is_ours(before, after, line) or not (
            key["label"] is None or _is_label(before, after, line)
        ):
            continue
        if end == len(words) and line.kind != "row" and not after.strip(" \t:*"):
            yield from _below(lines, at, key, after, notes)
        else:
            if end == len(words):
                unnamed = not re.search(REFERENCE, after)
                begins = rf"{_BEGINS}|(?-i:[a-z])" if unnamed else _BEGINS
                after = continued(lines, at, after, begins, _KEY)
            yield from _behind(words, key, before, after)


def _is_ours(before: str, after: str, line: Line) -> bool:
    """Whether the clause is about this issue: `#13 depends on #12` and `others depend on this: #5` are not."""
    if line.kind == "row":
        return not re.search(REFERENCE, before)
    clause = re.split(_CLAUSE, before)[-1]
    reversed_ = re.match(_REVERSED, after) and not re.fullmatch(_ABOUT_US, clause)
    about_another = re.fullmatch(_BY_ITSELF, before) or re.fullmatch(_SUBJECT, clause)
    return not (reversed_ or about_another or re.search(_NOT_OURS, clause))


def _is_label(before: str, after: str, line: Line) -> bool:
    """Whether a word such as `dependencies` is a key, and not one of a sentence."""
    alone = line.kind == "heading" or not re.search(r"\w", before.rpartition("|")[2])
    behind = re.sub(r"^\s{0,9}\([^()#]*\)", "", after).strip()
    return behind[:1] == ":" or (alone and behind[:1] in ("", "|"))


def _behind(words: str, key: re.Match[str], before: str, after: str) -> Iterator[_Value]:
    value = re.sub(_LEAD, "", after, count=1).rstrip(" \t|*")
    if inside := re.match(r"[^()]*\)", value):  # the brackets opened before the key
        value = value[: inside.end() - 1]
    sentence = re.split(_END, value)[0].strip()
    if (
        unfilled(_trimmed(sentence))
        or "?" in sentence[-1:]
        or (key["weak"] and not re.match(_BEGINS, sentence))
    ):
        return
    starts = not re.search(r"\w", before.rpartition(":")[2])
    field = after.lstrip()[:1] == ":" or key[0][:1] in "bB" or re.match(_TITLE, value)
    strong = key["strong"] is not None
    yield _Value(_trimmed(sentence), words, strong, bool(strong and starts and field))


def _below(
    lines: Sequence[Line], at: int, key: re.Match[str], after: str, notes: set[int]
) -> Iterator[_Value]:
    """The lines under a key. What is indented below an item that names something is a note about that: its block goes
    into `notes`."""
    named: Line | None = None
    unread = ""
    for line in below(lines, at, _BEGINS):
        words = words_of(line)
        if named and (line.depth, line.kind == "text") > (named.depth, False):
            notes.add(line.block)
            continue
        if re.match(rf"\W{{0,20}}{_KEY[4:]}", words, re.IGNORECASE):
            break
        if line.kind == "code" or line.checked or unfilled(words):
            continue
        value = _trimmed(words)
        if re.search(f"{REFERENCE}|{_ELSEWHERE[4:]}", value):
            named = line if line.kind != "text" else named
            yield _Value(value)
            unread = " "
        unread = unread or f"{words_of(lines[at])} {words}"
    if key["strong"] and unread.strip():
        yield _Value("", unread, True, ":" in after or lines[at].kind == "heading")


def _trimmed(value: str) -> str:
    """Without asides: `(see #4)`, `which replaces #3`, colours."""
    value = re.split(_ASIDE, re.sub(_COLOUR, " ", re.sub(_NOTE, r"\1", value)))[0]
    head, *rest = re.split(_SUBORDINATE, value, maxsplit=1)
    if rest and re.search(REFERENCE, head):
        more = [part for part in re.split(_LIST, rest[0])[1:] if re.match(_BEGINS, part)]
        value = ", ".join([head, *more])
    return re.sub(_RANGE, _spelled_out, value)


def _spelled_out(match: re.Match[str]) -> str:
    first, last = int(match[1]), int(match[2])
    if not 0 < last - first <= _LONGEST_RANGE:
        return match[0]
    return ", ".join(f"#{number}" for number in range(first, last + 1))


def _references(value: str, own: RepoName, host: str) -> list[Ref | str]:
    found = [reference(match, own, host) for match in re.finditer(REFERENCE, value)]
    for word in re.findall(_WORD, value) if "/" in value else ():
        if re.search(_ELSEWHERE, word) and not re.search(REFERENCE, word):
            found.append(shortened(re.sub("(?i)^(?:https?:)?//", "", word).rstrip(".:!?")))
    return [ref for ref in found if ref is not None]


def reference(match: re.Match[str], own: RepoName, own_host: str) -> Ref | str | None:
    """What a match of REFERENCE names. Zero numbers nothing, on any host."""
    host, path, at, site, name, there, here, plain = match.groups()
    digits = (at or there or here or plain).lstrip("0")
    name, host = (path or name or "").casefold(), (host or site or own_host).casefold()
    if not digits:
        return None
    try:
        if host == own_host:
            return Ref(RepoName(name) if name else own, Number(digits))
    except ValueError:
        host = ""
    return shortened(f"{host}{'/' * bool(host)}{name}#{digits}")


def _quoted(words: str) -> str:
    return f'"{shortened(one_line(words, 2 * SHOWN_NAME))}"'


def shortened(name: str) -> str:
    return name if len(name) <= SHOWN_NAME else f"{name[:SHOWN_NAME]}…"
