"""Fields of a text: a key, and what stands behind or below it as the page shows it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ..markdown import CODE, LOW, STAR, Line

_MOST_LINES = 200  # that belong to one key
# What says that a field was not filled in; "No response" is GitHub's own, from its forms.
_UNFILLED = (
    r"(?i)(?:none|nothing|no ?one|nobody|nil|null|no|n/?a|n\.a|not (?:applicable|sure|known|yet.*)|unknown|unclear|unsure|"
    r"tb[adc]|to ?do|to be .{1,30}|no response|(?:see|as) (?:below|above|the .*)|various|several|multiple|many|some|a few|"
    r"any|all|every\w*|maybe|later|others?|same|depends|pending|undecided|idk|empty|blank|attached|keine|nichts|)"
    r"(?: (?:yet|so far|at all|for now|needed|known|yet known))?"
)
_REASON = r"(?<=\w)(?:\s*[(\[,;:\u2013\u2014]|\s-|\.\s)"
_NEW_KEY = r"\W{0,9}(?P<key>[^\W\d_][\w /'-]{0,40}):(?:\s+(?P<value>\S)|\s*$)"
_OTHER_KEYS = (
    r"(?i)(?:un)?block(?:s|ing)|clos\w+|fix\w*|resolv\w+|relat\w+|part of|parents?|epic|see\b.*|children|sub-?(?:issue|task)s?|"
    r".*\bby|.*\bfor|files?|labels?|priority|status|owners?|milestone|estimate|type|supersedes|replaces|duplicates?.*"
)
_GOES_ON = r"(?i)(?:[,;&+/]|\b(?:and|or))\s*$"
_WIDE = str.maketrans("\uff1a\uff08\uff09\uff0c\u3001\uff1b\uff03\u3002", ":(),,;#.")


def words_of(line: Line) -> str:
    """Its text without emphasis and code, punctuation of other scripts as ours."""
    text = re.sub(f"{CODE}[^{CODE}]*{CODE}", "`", line.text)
    return narrow(re.sub(f"[{STAR}{LOW}]", "", text))


def narrow(text: str) -> str:
    """Punctuation of other scripts as ours."""
    return text.translate(_WIDE)


def unfilled(value: str) -> bool:
    """`none`, also with its reason: `None (can start at once)`."""
    bare = re.sub(r"^[\W_]+|[\W_]+$", "", re.split(_REASON, value.strip(), maxsplit=1)[0])
    return not re.search("#[0-9]", value) and bool(re.fullmatch(_UNFILLED, bare[:60]))


def continued(lines: Sequence[Line], at: int, value: str, begins: str, key: str) -> str:
    """`value`, from the line `at`, with the lines of its paragraph that go on with it: it ends with a comma or an `and`,
    or they begin like the pattern. One with a key of its own does not."""
    found = [value]
    for line in lines[at + 1 : at + _MOST_LINES]:
        words = words_of(line)
        goes_on = re.search(_GOES_ON, found[-1][-9:]) or re.match(begins, words)
        if (
            line.kind != "text"
            or line.block != lines[at].block
            or not goes_on
            or re.search(key, words)
        ):
            break
        found.append(words)
    return " ".join(found)


def below(lines: Sequence[Line], at: int, begins: str) -> Iterator[Line]:
    """What belongs to the key that ends the line `at`: the rest of its paragraph, the list or code that follows or is
    indented below it. A paragraph of its own only below a heading, or when it begins like the pattern.

    What follows in the same list ends it, and so do another key and the next heading.
    """
    key, listed, spoken = lines[at], False, 0
    for line in lines[at + 1 : at + _MOST_LINES]:
        deeper = line.depth > key.depth
        if line.kind == "heading" or line.depth < key.depth or _is_key(line):
            return
        if line.kind == "item" and not deeper:
            return
        if line.kind == "text" and not deeper and line.block != key.block:
            own = key.kind == "heading" or re.match(begins, words_of(line))
            if listed or spoken not in (0, line.block) or not own:
                return
            spoken = line.block
        listed = listed or line.kind != "text"
        yield line


def _is_key(line: Line) -> bool:
    """`Backend: #12` in a list is no key but a name."""
    match = re.match(_NEW_KEY, words_of(line)) if line.kind not in ("code", "row") else None
    named = match and match["value"] and line.kind == "item"
    return bool(match and not (named and not re.fullmatch(_OTHER_KEYS, match["key"])))
