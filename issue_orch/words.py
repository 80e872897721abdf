"""Ordinary command lines read without typer, whose import takes longer than all the rest; it gets everything else.

cli.py says what the commands are; a test compares.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

# What commands.NAME.NAME takes, in order: ISSUES are all plain words, ISSUE the first of them, TEXT the rest.
PARAMETERS: dict[str, tuple[str, ...]] = {
    "answer": ("ISSUE", "TEXT", "--option -o =number"),
    "conflicts": ("--json",),
    "plan": ("ISSUES", "--json", "--stack"),
    "prune": ("ISSUES", "--dry-run", "--pr =number", "--closed", "--cancelled", "--json"),
    "spawn": ("ISSUES", "--yes -y", "--reuse", "--agent =text", "--stack", "--json"),
}


def run(words: list[str]) -> int | None:
    """Run the command; None when typer has to look at the words."""
    if words in (["--help"], ["-h"]):
        return show_help()
    name = words[0] if words else ""
    values = read(PARAMETERS[name], words[1:]) if name in PARAMETERS else None
    if values is None:
        return None
    command = getattr(import_module(f".commands.{name}", __package__), name)
    return int(command(*values))


def show_help() -> int | None:
    """What typer would print on a terminal that is wide enough."""
    from .shell import width

    if width(sys.stdout) < 80:
        return None
    with open(os.path.join(os.path.dirname(__file__), "help.txt"), encoding="utf-8") as file:
        sys.stdout.write(file.read())
    return 0


def read(parameters: tuple[str, ...], words: list[str]) -> list[Any] | None:
    """A value for each parameter; None when a word is wrong, unknown or unusual."""
    values: dict[str, Any] = dict.fromkeys(parameters)
    named = {flag: each for each in parameters for flag in each.split() if flag.startswith("-")}
    values |= {each: False for each in named.values() if "=" not in each}
    plain: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            plain.append(word)
        elif word not in named:
            return None
        elif "=" not in named[word]:
            values[named[word]] = True
        elif not rest or rest[0].startswith("-") or ("=number" in named[word] and not is_number(rest[0])):
            return None
        else:
            values[named[word]] = int(rest.pop(0)) if "=number" in named[word] else rest.pop(0)
    numbers = plain if "ISSUES" in values else plain[:1] if "ISSUE" in values else []
    if not all(map(is_number, numbers)) or (len(plain) > len(numbers) and "TEXT" not in values):
        return None
    given = {"ISSUES": [int(number) for number in numbers], "ISSUE": int(numbers[0]) if numbers else None,
             "TEXT": " ".join(plain[1:])}
    return [given.get(each, values[each]) for each in parameters]


def is_number(word: str) -> bool:
    return word.isascii() and word.isdecimal()
