"""Reading JSON lines of agents without ever failing: what is not of the expected type counts as empty."""

from __future__ import annotations

import json
import re
from math import inf
from typing import Any

from ..core.prices import Scope, Usage, dollars, number

Json = dict[str, Any]  # an object of it

# The argument of a tool that tells a person most, in this order.
_TELLING = (
    "command",
    "cmd",
    "file_path",
    "filePath",
    "path",
    "pattern",
    "query",
    "url",
    "description",
    "prompt",
)


def whole(digits: str) -> int | float:
    """Python refuses to read longer integers, and with them the line; no counter is that large."""
    return int(digits) if len(digits) < 1000 else inf


_DECODER = json.JSONDecoder(parse_int=whole)  # made once: most lines of a flood are empty


def load(line: str) -> Json:
    """The object on a line; an empty one when there is none."""
    try:
        return _dict(_DECODER.decode(line))
    except (ValueError, RecursionError):
        return {}


def _dict(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def obj(data: Json, key: str) -> Json:
    return _dict(data.get(key))


def items(data: Json, key: str) -> list[Json]:
    value = data.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(data: Json, key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) else ""


def tokens(counts: Any, *names: str) -> int | None:
    """The sum of these counters; None when there is none of them, or when one is nonsense."""
    found = [
        number(said, 0, 10**15) for name in names if (said := _dict(counts).get(name)) is not None
    ]
    return sum(int(each or 0) for each in found) if found and None not in found else None


def usage(
    scope: Scope, usd: Any, input_tokens: int | None, output_tokens: int | None, cached: int | None
) -> Usage | None:
    """None is not understood: dollars that are none, or without dollars not all of the tokens that would be priced."""
    known, into, out = dollars(usd), input_tokens or 0, output_tokens or 0
    countable = (
        usd is None
        and None not in (input_tokens, output_tokens)
        and into + out
        and (cached or 0) <= into
    )
    if known is None and not countable:
        return None
    return Usage(scope, known, into, out, min(cached or 0, into))


def status(data: Json, key: str) -> int | None:
    """An HTTP status."""
    return int(number(data.get(key), 100, 600) or 0) or None


def status_in(message: str) -> int | None:
    """The HTTP status that a message names."""
    found = re.search(r'"code": ?(\d{3})\b|\bstatus:? (\d{3})\b', message)
    return int(found[1] or found[2]) if found else None


def tool(name: str, arguments: Any) -> str:
    """One line for what a tool does: its name and its most telling argument."""
    said, name = _dict(arguments), name or "tool"
    telling = next(filter(None, (text(said, key) for key in _TELLING)), "")
    return f"{name}: {telling}" if telling else name
