"""The entry: `report` first, then ordinary command lines, read without typer, whose import takes longer than all the rest."""

from __future__ import annotations

import gc
import os
import sys

TYPE_CHECKING = False  # typing itself costs three milliseconds
if TYPE_CHECKING:
    from typing import NoReturn

ALIASES = {"list": "status"}
_OURS = ("ISSUE_ORCH_", "GH_", "GITHUB_")
if any(name.endswith("_TOKEN") and name.startswith(_OURS) for name in os.environ):
    # At once: until here our neighbours can read it (threat S11).
    from .process.secret import hide_process

    hide_process()


def entry() -> NoReturn:
    """The program. It ends at once: to take down what was imported costs up to a tenth of a quick command."""
    gc.set_threshold(50_000)  # looking for cycles in what is imported and read, a twentieth
    closed = _mend_streams()
    code = main() or int(closed and sys.argv[1:2] != ["report"])  # what a worker said was recorded
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # nobody reads, or no room: what can be said has been said
            pass
    os._exit(code)


def _mend_streams() -> bool:
    """Streams that are closed lead nowhere, and characters that a stream has not are replaced. Whether stdout is closed: what
    is shown reaches nobody then."""
    closed = sys.stdout is None
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The number of the stream must not become that of another file.
            stream = open(os.devnull, mode, encoding="utf-8")
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)
    if not closed:
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    return closed


def main(argv: list[str] | None = None) -> int:
    """Run one command line. Exit codes: 0 done, 1 expected failure, 2 usage, 3 bug, 130 interrupted."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["report"]:
        from .report import main as report

        return report(words[1:])
    if sys.platform == "win32":
        sys.stderr.write("issue-orch runs on Linux and macOS; on Windows use it inside WSL.\n")
        return 1
    if "_ISSUE_ORCH_COMPLETE" in os.environ:  # a shell asks what could stand for the last word
        from .commands.completion import complete

        return complete(words)
    from .terminal.io import exit_code

    if words[:1] in (["help"], []):
        words = [*words[1:], "--help"]
    words = [*(ALIASES.get(word, word) for word in words[:1]), *words[1:]]
    try:
        code = run(words)
        sys.stdout.flush()
        return code
    except BaseException as error:  # noqa: BLE001 - the one place for it
        return exit_code(error, words)


def run(words: list[str]) -> int:
    name = words[0] if words else ""
    if words in (["--help"], ["-h"]) and show_help():
        return 0
    parameters = quick().get(name)
    values = read(parameters, words[1:]) if parameters else None
    if parameters is None or values is None:
        return run_typer(words)
    if "PEOPLE" in parameters:
        from .process.nesting import refuse_nested

        refuse_nested(os.environ)
    # importlib costs every shell prompt half a millisecond
    module = __import__(f"issue_orch.commands.{name}", fromlist=[name])
    return int(getattr(module, name)(*values))


def quick() -> dict[str, list[str]]:
    """What the commands that are read without typer take, in order: ISSUES are all plain words, ISSUE the first of them,
    TEXT the rest; PEOPLE says that a worker must not do it (threat S15). Made from cli.py by scripts/docs."""
    rows = [line.split("\t") for line in _text_of("quick.txt").splitlines()]
    return {row[0]: row[1:] for row in rows}


def _text_of(name: str) -> str:
    with open(f"{os.path.dirname(__file__)}/{name}", encoding="utf-8") as file:
        return file.read()


def run_typer(words: list[str]) -> int:
    os.environ["TYPER_USE_RICH"] = "0"
    from .cli import app

    result = app(words, standalone_mode=False, prog_name="issue-orch")
    return result if isinstance(result, int) else 0


def show_help() -> bool:
    """What typer would print on a terminal that is wide enough; False on one that is not."""
    from .terminal.io import width

    if width(sys.stdout) < 80:
        return False
    sys.stdout.write(_text_of("help.txt"))
    return True


def read(parameters: list[str], words: list[str]) -> list[object] | None:
    """A value for each parameter; None when a word is wrong, unknown or unusual: then typer has to look at it."""
    named = {flag: each for each in parameters for flag in each.split() if flag.startswith("-")}
    values: dict[str, object] = {each: None if "=" in each else False for each in named.values()}
    plain: list[str] = []
    rest = iter(words)
    for word in rest:
        each = named.get(word, "")
        if not word.startswith("-"):
            plain.append(word)
        elif each and "=" not in each:
            values[each] = True
        else:
            value, number = next(rest, "-"), each.endswith("=number")
            if not each or value.startswith("-") or (number and not is_number(value)):
                return None
            values[each] = int(value) if number else value
    numbers = plain if "ISSUES" in parameters else plain[:1] if "ISSUE" in parameters else []
    if not all(map(is_number, numbers)) or (len(plain) > len(numbers) and "TEXT" not in parameters):
        return None
    issues = list(dict.fromkeys(map(int, numbers)))
    values |= {
        "ISSUES": issues,
        "ISSUE": issues[0] if issues else None,
        "TEXT": " ".join(plain[1:]),
    }
    return [values[each] for each in parameters if each != "PEOPLE"]


def is_number(word: str) -> bool:
    """Of more digits, Python makes no number from 4,300 on."""
    return word.isascii() and word.isdecimal() and len(word) < 20 and bool(word.strip("0"))


if __name__ == "__main__":
    entry()
