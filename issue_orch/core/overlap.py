"""Which issues touch the same files, with the source of that knowledge; a warning, and unknown where nothing says."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from ..markdown import CODE, LOW, STAR, lines_of
from .fields import below, continued, narrow, unfilled
from .wording import TEXT_LIMIT

Source = Literal["declared", "inferred", "planned", "actual", "pull"]

_MARK = f"[{STAR}{LOW}]{{0,3}}"
_KEY = (
    r"(?i)\W{0,20}(?:(?:affected|changed|touched|modified|relevant|involved|impacted|related|likely)\s)?files?(?:\(s\))?"
    r"(?:\s(?:to|that|which|touched|changed|affected|modified|involved|concerned|likely)\b[\w /&-]{0,40})?"
    rf"{_MARK}\s{{0,9}}(?::|$){_MARK}(?P<rest>.*)"
)
# Without a line that begins like that no text is read: nearly all bodies.
_WORTH_READING = r"(?im)^(?:[^\n]{0,200}>)?[^a-z\n]{0,40}(?:[a-z]{3,9}\s)?files?(?![a-z0-9])"
_WORDS = rf"{CODE}[^{CODE}]{{1,400}}{CODE}|[^\s,;{CODE}]{{1,1000}}"
_NOTE = r"\s\([^()]*\)|\s(?:[\u2014\u2013]|--?|#)\s.*"  # behind a path: what it is about
_BRACES = r"([^\s,;{}]{0,200})\{([^\s{}]{1,400})\}([^\s,;{}]{0,200})"
_ON_GITHUB = r"https?://[^/\s]+/[^/\s]+/[^/\s]+/(?:blob|tree|blame|edit|raw)/[^/\s]+/"
_PATH = r".*[/*].*|.*\.[a-zA-Z]\w{0,11}"
_NAME = r"\w+file|LICENSE|README|CHANGELOG|CODEOWNERS"
_PROSE = r"(?i)e\.g|i\.e|u\.a|z\.b|and/or|yes/no|his/her|https?://.*"
SEPARATORS = str.maketrans(dict.fromkeys("`\"'<>()[]{},;|=", " "))
GLOB_WORK = (
    1_000_000  # paths compared with globs, in all: the time stays bounded whatever people declare
)


class Item(NamedTuple):
    """Something that touches files: an issue with its session and pull, or a pull of somebody else.

    `files` maps paths, or globs as people declare them, to how they are known.
    """

    number: int
    is_pull: bool
    files: Mapping[str, Source]


class Touch(NamedTuple):
    number: int
    is_pull: bool
    source: Source


class Overlap(NamedTuple):
    """Two or more that touch the same files. Every file stands in exactly one overlap, so that the report grows with
    the files, not with the pairs: a README that forty issues touch is one line."""

    touches: tuple[Touch, ...]
    files: tuple[str, ...]


@lru_cache(maxsize=2048)
def declared_files(body: str) -> tuple[str, ...]:
    """Paths and globs of the `Files:` fields. One that was not filled in declares nothing."""
    body = body[:TEXT_LIMIT]
    if "file" not in body.lower() or not re.search(_WORTH_READING, body):
        return ()
    found: dict[str, None] = {}
    lines = lines_of(body)
    for at, line in enumerate(lines):
        key = line.kind not in ("code", "row") and re.match(_KEY, narrow(line.text))
        if not key or line.quoted:
            continue
        rest = continued(lines, at, key["rest"], r"(?!)", _KEY.replace("(?i)", "(?i)^"))
        paths = _paths(rest)
        if not paths and (not re.search(r"\w", rest) or re.search("(?i)below|following", rest)):
            paths = [
                path
                for each in below(lines, at, r"\W{0,9}[\w.-]{1,200}[/.]\w")
                for path in _paths(each.text)
            ]
        found.update(dict.fromkeys(paths))
    return tuple(found)


def _paths(value: str) -> list[str]:
    """What of the words are paths: marked as code, or with a slash, a star or an extension."""
    value = re.sub(_BRACES, _spelled_out, re.sub(_NOTE, " ", narrow(value)))
    parts: list[list[str]] = [[]]
    for word in re.findall(rf"{_WORDS}|[,;]", value):
        if word in (",", ";", "and"):
            parts.append([])
        else:
            parts[-1].append(word)
    named = (_path(word, len(words) == 1) for words in parts for word in words)
    return [path for path in named if path]


def _path(word: str, alone: bool) -> str:
    """A bare word is a name (Makefile) where it stands alone, or as code; nothing says that it was not filled in."""
    bare = word.strip(STAR + LOW if word[-1:] in (STAR, LOW) else "").strip(CODE)
    bare = bare.replace(STAR, "*").replace(LOW, "_").replace("\\", "/")
    path = _clean_path(re.sub(_ON_GITHUB, "", bare))
    name = r"[\w.-]+" if alone or word[0] == CODE else _NAME
    blank = unfilled(path) or all(map(unfilled, path.split("/")))
    is_path = re.fullmatch(f"{_PATH}|{name}", path) and not re.fullmatch(_PROSE, path)
    return path if is_path and not blank else ""


def _spelled_out(match: re.Match[str]) -> str:
    before, among, behind = match.groups()
    return ", ".join(f"{before}{each}{behind}" for each in among.split(","))


def inferred_files(text: str, tree: frozenset[str]) -> tuple[str, ...]:
    """Paths in the text that exist in the tree, sorted. Bare words (`build`) are no paths, whatever the tree holds."""
    if not tree:
        return ()
    text = text[:TEXT_LIMIT]
    every = (
        *text.split(),
        *text.translate(SEPARATORS).split(),
    )  # `app/[id].tsx` is a path, `[a.py](url)` holds one
    words = {word for word in every if "/" in word or "." in word}
    paths = words | {
        path for word in words - tree if (path := _clean_path(word.partition("/blob/")[2] or word))
    }
    blobs = {path.partition("/")[2] for path in paths - tree}  # a link goes on with the branch
    return tuple(sorted((paths | blobs) & tree))


def _clean_path(word: str) -> str:
    """The path in a word of prose: without quotes, line numbers and punctuation; empty when it leads outside."""
    word = re.sub(
        r"(?::[0-9]{1,9}){1,2}$|#L[0-9L-]{1,20}$", "", word.strip("`\"'()<>,;:!").rstrip(".")
    )
    word = word.removeprefix("./").lstrip("/")
    return "" if ".." in word.split("/") or len(word) > 1_000 else word


def resolve(items: Sequence[Item], tree: frozenset[str]) -> tuple[tuple[Item, ...], frozenset[int]]:
    """The items with their globs and folders replaced by paths: of the tree, and of what other items touch.

    Also the numbers of those that touch nothing known, or more than could be compared: their overlap is unknown.
    """
    named = frozenset(path for item in items for path in item.files)
    exact = named & tree
    # Sorted, what a glob or a folder can match is one stretch; most plans have neither, and skip the sorting.
    paths = sorted(named | tree) if named != exact else []
    known: dict[str, tuple[str, ...]] = {path: (path,) for path in exact}
    unknown = {item.number for item in items if not item.files}
    left = GLOB_WORK
    resolved: list[Item] = []
    for item in items:
        files: dict[str, Source] = {}
        for path, source in item.files.items():
            if path not in known and left > 0:
                known[path], cost = expand(path, paths)
                left -= cost
            matches = known.get(path, ())
            left -= len(matches) - 1
            if not matches or left <= 0:
                unknown.add(item.number)
                matches = (path,)
            files.update(
                (match, source) for match in matches if match not in files or match == path
            )
        resolved.append(item._replace(files=files))
    return tuple(resolved), frozenset(unknown)


def expand(path: str, paths: Sequence[str]) -> tuple[tuple[str, ...], int]:
    """What of the sorted `paths` a path, folder or glob means, itself included, and how many were looked at.

    Nothing at all when the glob is too costly to compare.
    """
    if path.endswith("/"):
        path += "**"
    star = re.search("[*?]", path)
    prefix = path[: star.start()] if star else f"{path}/"
    start = bisect_left(paths, prefix)
    end = bisect_left(paths, f"{prefix}\U0010ffff") if prefix else len(paths)
    if star is None:
        return (path, *paths[start:end]), 1
    pattern = glob_pattern(path)
    if pattern is None or end - start > GLOB_WORK:
        return (), 1
    match = re.compile(pattern).fullmatch
    others = (each for each in paths[start:end] if each != path and match(each))
    return (path, *others), 1 + end - start


def glob_pattern(glob: str) -> str | None:
    """A regular expression for a glob of git's kind, brackets literal (routes are named `[id].tsx`).

    A star is atomic inside its name, and at most two `**` are taken: matching cannot blow up.
    """
    parts = re.sub(r"(?:\*\*/)+", "**/", glob).split("/")
    if parts.count("**") > 2:
        return None
    *folders, last = parts
    names = ["(?:[^/]+/)*" if part == "**" else _name_pattern(part) + "/" for part in folders]
    return "".join([*names, ".+" if last == "**" else _name_pattern(last)])


def _name_pattern(name: str) -> str:
    first, *chunks = (re.escape(chunk).replace(r"\?", "[^/]") for chunk in re.split(r"\*+", name))
    if not chunks:
        return first
    *middle, last = chunks
    return "".join([first, *(f"(?>[^/]*?{chunk})" for chunk in middle), f"[^/]*{last}"])


def overlaps(items: Sequence[Item], about: Collection[int]) -> tuple[Overlap, ...]:
    """Files that several of the resolved items touch, `about` being among them; the earliest issues first."""
    touching = defaultdict[str, list[Touch]](list)
    for item in items:
        for path, source in item.files.items():
            touching[path].append(Touch(item.number, item.is_pull, source))
    groups = defaultdict[tuple[Touch, ...], list[str]](list)
    for path, found in touching.items():
        if len(found) > 1 and any(touch.number in about for touch in found):
            groups[tuple(sorted(found))].append(path)
    return tuple(Overlap(touches, tuple(sorted(groups[touches]))) for touches in sorted(groups))


def claim(number: int, files: Iterable[str], claimed: dict[str, set[int]]) -> None:
    """Notes that `number` works on these files from now on."""
    for path in files:
        claimed.setdefault(path, set()).add(number)


def clash(
    files: Iterable[str], claimed: Mapping[str, set[int]], besides: int | None
) -> tuple[int, str] | None:
    """Who already works on one of the files, and on which; `besides` is whose branch this one starts on."""
    for path in files:
        if others := claimed.get(path, set()) - {besides}:
            return min(others), path
    return None
