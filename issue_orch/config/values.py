"""What a value of a setting must be: the shape of each type, and checks that say what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..core.model import RepoName

SAFE_REF = r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*"
AGENT_NAME = r"[a-z][a-z0-9-]{0,30}"
Words = tuple[str, ...]
Commands = tuple[Words, ...]
Prices = dict[str, float]


def _is_text(raw: Any) -> bool:
    return isinstance(raw, str) and bool(raw.strip()) and raw.isprintable()


def _is_amount(raw: Any) -> bool:
    """true is no number, NaN is no limit."""
    return type(raw) in (int, float) and 0 <= raw < float("inf")


def _is_list(raw: Any, fits: Callable[[Any], bool]) -> bool:
    return isinstance(raw, list | tuple) and all(map(fits, raw))


def _is_words(raw: Any) -> bool:
    return _is_list(raw, lambda word: isinstance(word, str))


def _is_prices(raw: Any) -> bool:
    return (
        isinstance(raw, Mapping)
        and {"input", "output"} <= set(raw) <= {"input", "output", "cached"}
        and all(map(_is_amount, raw.values()))
    )


class Kind(NamedTuple):
    """A type of settings: in words, which values of TOML it takes, and how the configuration holds them."""

    words: str
    fits: Callable[[Any], bool]
    held: Callable[[Any], Any] = lambda raw: raw


TEXT = Kind("a text", _is_text)
KINDS: dict[Any, Kind] = {
    str: TEXT,
    str | None: TEXT,
    bool: Kind("true or false", lambda raw: isinstance(raw, bool)),
    int: Kind("a whole number", lambda raw: type(raw) is int and 0 <= raw <= 10**9),
    float | None: Kind("a number", _is_amount, float),
    Words: Kind("a list of texts", lambda raw: _is_words(raw) and all(raw), tuple),
    Commands: Kind(
        "a list of argument lists",
        lambda raw: _is_list(raw, lambda argv: _is_words(argv) and bool(argv)),
        lambda raw: tuple(map(tuple, raw)),
    ),
    Prices | None: Kind(
        "a table", _is_prices, lambda raw: {name: float(price) for name, price in raw.items()}
    ),
}


def one_of(choices: tuple[str, ...]) -> Kind:
    return Kind(f"one of {', '.join(choices)}", lambda raw: raw in choices)


def check_repo(value: str) -> str:
    try:
        RepoName(value)
    except ValueError:
        return "must be owner/name"
    return ""


def check_ref(value: str) -> str:
    bad = any(part.endswith((".lock", ".")) for part in value.split("/")) or ".." in value
    return "" if re.fullmatch(SAFE_REF, value) and not bad else "is not a safe name for git"


def check_branch(value: str) -> str:
    return check_placeholders(value, ("number",)) or check_ref(value.replace("{number}", "1"))


def check_path(value: str) -> str:
    return check_placeholders(value, ("repo", "number"))


def check_placeholders(value: str, allowed: tuple[str, ...]) -> str:
    found = re.findall(r"\{([^{}]*)\}", value)
    if unknown := [name for name in found if name not in allowed]:
        known = ", ".join(f"{{{name}}}" for name in allowed)
        return f"has an unknown placeholder {{{unknown[0]}}}; known: {known}"
    if "number" not in found:
        return "must contain {number}, so that each issue has its own"
    alone = re.search("[{}]", re.sub(r"\{[^{}]*\}", "", value))
    return "has a brace without its pair" if alone else ""


def check_base_url(value: str) -> str:
    server = r"(?:https://[^\s/?#@]+|http://(?:127\.0\.0\.1|localhost|\[::1\])(?::\d+)?)"
    good = re.fullmatch(server + r"(?:/[^\s?#@]*)?", value)
    return "" if good else "must be an https:// address (http:// to this machine alone)"


def check_env_names(value: tuple[str, ...]) -> str:
    bad = [
        name
        for name in value
        if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) or name.startswith("ISSUE_ORCH_")
    ]
    return f"{bad[0]!r} cannot be passed on; list names of variables, not values" if bad else ""


def at_least_one(value: int) -> str:
    return "" if value else "must be at least 1"
