"""The command line. help.txt says what there is, to people and to this parser: there is no other description.

Every import costs the shell prompts that call `status`, so that a command loads its work when it is called.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple

from .errors import Expected, Usage

TOP = ""  # the section of help.txt about all commands
ELSEWHERE = {  # commands that are not commands.NAME.NAME
    "tell": "commands.answer", "pause": "commands.control", "resume": "commands.control", "stop": "commands.control",
    "cancel": "commands.control", "demo": "sandbox.demo",
}
RENAMED = {"json": "as_json", "all": "everything", "approve": "approve_only"}  # where a name is taken in Python


class Command(NamedTuple):
    """One section of help.txt: operands as in its usage line; for each spelling of an option its parameter and kind."""

    name: str
    operands: list[str]
    options: dict[str, tuple[str, str]]
    example: str


def run(words: list[str]) -> int:
    sections = load_help()
    name = words[0] if words else "help"
    if name in {"help", "-h", "--help"}:
        return show_help(sections, words[1] if len(words) > 1 else TOP)
    if name == "--version":
        from .commands.version import show_version

        return show_version()
    if name not in sections:
        raise unknown_command(name, sections)
    if {"-h", "--help"} & set(words[: words.index("--")] if "--" in words else words):
        return show_help(sections, name)
    if name == "merge":
        raise Expected("issue-orch never merges; a person does, on GitHub",
                       "issue-orch conflicts, then review the pulls in that order")
    if name == "completion":
        from .commands.completion import completion

        return completion(words[1:], sections)
    return call(name, parse(read_command(name, sections[name]), words[1:]))


def call(name: str, values: dict[str, Any]) -> int:
    from importlib import import_module

    module = import_module(f".{ELSEWHERE.get(name, f'commands.{name}')}", __package__)
    return int(getattr(module, name)(**values))


def load_help() -> dict[str, str]:
    """The sections of help.txt by command."""
    with open(os.path.join(os.path.dirname(__file__), "help.txt"), encoding="utf-8") as file:
        first, *others = file.read().split("\n== ")
    return {TOP: first, **{name: text for name, _, text in (other.partition("\n") for other in others)}}


def show_help(sections: dict[str, str], name: str) -> int:
    if name == "report":
        from .report import main

        return main(["--help"])
    if name not in sections:
        raise unknown_command(name, sections)
    sys.stdout.write(sections[name].rstrip() + "\n")
    return 0


def unknown_command(name: str, sections: dict[str, str]) -> Usage:
    near = nearest(name, [*sections, "report"])
    if name.startswith("-"):
        return Usage(f"{name} is not an option of issue-orch without a command", "issue-orch --help")
    meant = f"issue-orch {near}   (issue-orch --help lists all)" if near else "issue-orch --help"
    return Usage(f"there is no command {name}", meant)


def nearest(word: str, known: list[str]) -> str:
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, known, 1, 0.6)), "")


def read_command(name: str, text: str) -> Command:
    usage, *lines = text.splitlines()
    options: dict[str, tuple[str, str]] = {}
    for line in lines:
        if line.startswith("  -"):
            spellings = line.strip().partition("  ")[0].replace(",", " ").split()
            kind = spellings.pop() if spellings[-1].isupper() else ""
            long = spellings[-1].removeprefix("--")
            options |= dict.fromkeys(spellings, (RENAMED.get(long, long.replace("-", "_")), kind))
    operands = [word for word in usage.split()[3:] if word != "[OPTIONS]"]
    return Command(name, operands, options, lines[lines.index("Examples:") + 1].strip())


def parse(command: Command, words: list[str]) -> dict[str, Any]:
    """What was given, by parameter; the defaults are those of the command's function."""
    values: dict[str, Any] = {}
    plain: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            plain += rest
            break
        if not word.startswith("-") or " " in word:  # a text that starts with a dash is no option
            plain.append(word)
            continue
        short = not word.startswith("--")
        flag, given = (word[:2], word[2:]) if short else word.partition("=")[::2]
        if flag not in command.options:
            raise unknown_option(command, flag)
        parameter, kind = command.options[flag]
        if kind:
            values[parameter] = value(command, flag, kind, given or (rest.pop(0) if rest else ""))
        elif given and short:  # -fv: the other flags follow
            rest.insert(0, f"-{given}")
            values[parameter] = True
        elif given:
            raise Usage(f"{command.name}: {flag} takes no value", hint(command))
        else:
            values[parameter] = True
    return values | operands(command, plain)


def value(command: Command, flag: str, kind: str, text: str) -> str | int | float:
    if not text or (text.startswith("-") and " " not in text):
        raise Usage(f"{command.name}: {flag} needs a value ({kind})", hint(command))
    if kind == "NUMBER" and not is_number(text):
        raise Usage(f"{command.name}: {flag} {text} is not a whole number", hint(command))
    if kind == "SECONDS":
        return seconds(command, flag, text)
    return int(text) if kind == "NUMBER" else text


def seconds(command: Command, flag: str, text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0.1 <= found < 1e9:
        raise Usage(f"{command.name}: {flag} {text} is not a number of seconds from 0.1 up", hint(command))
    return found


def is_number(word: str) -> bool:
    return word.isascii() and word.isdecimal()


def operands(command: Command, plain: list[str]) -> dict[str, Any]:
    """Plain words as the usage line names them: ISSUE, [ISSUE], [ISSUE]..., and TEXT for what is left."""
    found: dict[str, Any] = {}
    for operand in command.operands:
        what, many = operand.strip("[]."), operand.endswith("...")
        taken, plain = (plain, []) if many else (plain[:1], plain[1:])
        if not taken and not operand.startswith("["):
            raise Usage(f"{command.name}: {what} is missing", hint(command))
        if what == "TEXT":
            found["text"] = " ".join(taken)
        elif taken:
            numbers = [issue_number(command, word) for word in taken]
            found |= {"numbers": numbers} if many else {"number": numbers[0]}
    if plain:
        raise Usage(f"{command.name}: {plain[0]} is one word too many", hint(command))
    return found


def issue_number(command: Command, word: str) -> int:
    digits = word.removeprefix("#")
    if not is_number(digits) or not 0 < int(digits[:20]) < 10**18:
        raise Usage(f"{command.name}: {word} is not the number of an issue", hint(command))
    return int(digits)


def unknown_option(command: Command, flag: str) -> Usage:
    near = nearest(flag, list(command.options))
    meant = f"; did you mean {near}?" if near else ""
    return Usage(f"{command.name}: there is no option {flag}{meant}", hint(command))


def hint(command: Command) -> str:
    return f"{command.example}   (more: issue-orch {command.name} --help)"
