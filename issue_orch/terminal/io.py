"""Where a command meets the person: what it raises becomes words and an exit code; how lines are written."""

from __future__ import annotations

import os
import sys

from ..errors import Expected, Usage, of_system

TYPE_CHECKING = False  # typing itself costs three milliseconds
if TYPE_CHECKING:
    from typing import Any, TextIO

# What Python and the system's loader of compiled modules say where the system allows no more.
# What people type who come from other programs, and what they mean by it.
MEANT = {
    "status": "ls ps sessions board dashboard overview",
    "spawn": "new start create add launch work begin",
    "logs": "log tail output",
    "path": "cd switch checkout co goto go worktree where",
    "show": "view info describe get inspect",
    "open": "browse web edit editor code pr review",
    "watch": "ui tui top monitor",
    "attach": "enter connect join shell tmux takeover",
    "answer": "reply respond",
    "tell": "send say message msg prompt steer",
    "resume": "continue unpause restart retry unstop",
    "pause": "hold wait",
    "stop": "kill abort terminate end interrupt",
    "cancel": "drop discard abandon",
    "prune": "rm remove delete clean cleanup gc",
    "plan": "issue issues ready todo queue next",
    "costs": "cost usage budget spent",
    "doctor": "check health verify",
    "init": "setup configure config install",
    "run": "loop daemon serve up auto",
    "conflicts": "overlaps order",
}
_ALONE = {
    "status",
    "watch",
    "plan",
    "costs",
    "doctor",
    "conflicts",
}  # need no issue, change nothing
USED_UP = ("can't start new thread", "Too many open files")


def exit_code(error: BaseException, words: list[str]) -> int:
    """The exit code for what a command raised, after it was shown."""
    match error:
        case Expected():
            fail(error)
            return error.exit_code
        case BrokenPipeError():
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        case OSError():  # a full disk, a folder that is not ours
            return exit_code(of_system(error), words)
        case SystemExit():
            return error.code if isinstance(error.code, int) else 1
        case RuntimeError() | ImportError() if any(each in str(error) for each in USED_UP):
            what = "the system allows no more processes or open files"
            return exit_code(Expected(what, "ulimit -u -n; raise it, then run it again"), words)
    if type(error).__name__ in {
        "KeyboardInterrupt",
        "Abort",
    }:  # the latter is what typer makes of it
        sys.stderr.write("\ninterrupted\n")
        return 130
    if type(error).__module__.startswith(("click", "typer")):
        return exit_code(_usage(error, words), words)
    return _bug(error, words)


def fail(error: Expected) -> None:
    from ..text import redact, sanitise

    sys.stderr.write(f"error: {sanitise(redact(error.message))}\n")
    if error.hint:
        sys.stderr.write(f"  next: {sanitise(error.hint)}\n")


def _usage(error: Any, words: list[str]) -> Usage:
    """What typer raises: wrong words on the command line. A text that looks like an option is one behind `--`."""
    import shlex

    if found := _meant(error, words):
        return found
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "issue-orch"
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    message = message.replace(
        "Input should be a valid integer, unable to parse string as an integer",
        "it must be a whole number",
    )
    _, _, examples = ((context and context.command.help) or "").partition("Examples:")
    example = examples.strip().partition("\n")[0]
    hint = f"{example}   (more: {path} --help)" if example else f"{path} --help"
    texts = context and any(each.name == "text" for each in context.command.params)
    if texts and hasattr(error, "option_name") and words[2:] and words[1][0] != "-":
        hint = f"issue-orch {shlex.join([*words[:2], '--', ' '.join(words[2:])])}"
    return Usage(f"{path}: {message.rstrip('.')}", hint)


def _meant(error: Any, words: list[str]) -> Usage | None:
    """For a word of another program: what it is called here, for the same issues."""
    word = words[0] if words else ""
    ours = next((name for name, others in MEANT.items() if word in others.split()), None)
    if ours is None or getattr(error, "ctx", None) is None or error.ctx.parent:
        return None
    named = [each.removeprefix("#") for each in words[1:]]
    issues = [each for each in named if each.isdecimal()]
    hint = " ".join(["issue-orch", ours, *(issues or ["--help"] * (ours not in _ALONE))])
    if ours == "path" and issues:
        hint = f'cd "$({hint})"'
    return Usage(f"issue-orch: No such command {word!r}. Did you mean {ours!r}?", hint)


def _bug(error: BaseException, words: list[str]) -> int:
    """Anything else is our fault: the traceback goes to a file, redacted, and its path is shown."""
    import tempfile
    import traceback

    from ..text import redact

    text = redact("".join(traceback.format_exception(error)))
    with tempfile.NamedTemporaryFile(
        "w", prefix="issue-orch-bug-", suffix=".log", delete=False
    ) as file:
        file.write(f"issue-orch {' '.join(words)}\n{text}")
    sys.stderr.write(f"bug: {type(error).__name__}: {redact(str(error))}\n")
    sys.stderr.write(f"  This is a fault of issue-orch. Details: {file.name}\n")
    return 3


def say(text: str) -> None:
    """Narration: to stderr, so that stdout holds the answer alone."""
    sys.stderr.write(text + "\n")


def warn(*texts: str) -> None:
    for text in texts:
        say(f"warning: {text}")


def progress(text: str) -> None:
    """What is only worth saying while somebody waits for it."""
    if sys.stderr.isatty():
        say(text)


def ask(question: str) -> str:
    """What is typed after the question, which goes to stderr."""
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()


def given_text(text: str) -> str:
    """`-` is what comes on stdin, with its lines."""
    return sys.stdin.read().strip() if text == "-" else text


def confirm(question: str, default: bool) -> bool:
    """An empty line is the default."""
    answer = ask(f"{question} [{'Y/n' if default else 'y/N'}] ").lower()
    return answer in {"y", "yes"} or (default and not answer)


def print_json(indent: int | None = None, **record: object) -> None:
    """As ASCII: what is not could hold what a terminal obeys."""
    import json

    print(json.dumps({"schemaVersion": 1, **record}, indent=indent))


def colours(stream: TextIO) -> bool:
    """Whether to colour: a terminal, or what FORCE_COLOR says is for one, and nobody asked for none (NO_COLOR, TERM=dumb)."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    forced = os.environ.get("FORCE_COLOR", "") not in ("", "0")
    return (stream.isatty() or forced) and not plain


def width(stream: TextIO) -> int:
    """Columns to fill; 80 where it is not a terminal, unless COLUMNS says otherwise."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return 80
