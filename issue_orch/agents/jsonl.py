"""Reading JSON lines of agents without ever failing: what is not of the expected type counts as empty."""

from __future__ import annotations

import json
from typing import Any

# The argument of a tool that tells a person most, in this order.
TELLING = ("command", "cmd", "file_path", "filePath", "path", "pattern", "query", "url", "description", "prompt")


def load(line: str) -> dict[str, Any] | None:
    """The object on a line, or None when there is none."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def obj(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def count(value: Any) -> int:
    """A number of tokens; nonsense counts as zero."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15 else 0


def dollars(value: Any) -> float | None:
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 10**12
    return float(value) if known else None


def status(value: Any) -> int | None:
    """An HTTP status."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 100 <= value < 600 else None


def tool(name: Any, arguments: Any) -> str:
    """One line for what a tool does: its name and its most telling argument."""
    said = obj(arguments)
    telling = next((said[key] for key in TELLING if isinstance(said.get(key), str)), "")
    return f"{text(name) or 'tool'}: {telling}" if telling else text(name) or "tool"
