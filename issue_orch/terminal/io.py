"""Where a command meets the person: the one place that catches errors, and how lines are written."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from ..errors import Expected, Usage, of_system


def guard(command: Callable[[list[str]], int], words: list[str]) -> int:
    """Run a command; turn what it raises into a message and an exit code."""
    try:
        code = command(words)
        sys.stdout.flush()
        return code
    except Expected as error:
        fail(error)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:  # a full disk, a folder that is not ours
        fail(of_system(error))
        return 1
    except (
        RuntimeError,
        ImportError,
    ) as error:  # ImportError: a compiled module is opened by the system's loader
        if "can't start new thread" not in str(error) and "Too many open files" not in str(error):
            return bug(error, words)
        fail(
            Expected(
                "the system allows no more processes or open files",
                "ulimit -u -n; raise it, then run it again",
            )
        )
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        return 130
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except Exception as error:  # noqa: BLE001 - the one place for it
        if type(error).__module__.startswith(("click", "typer")):
            return usage(error)
        return bug(error, words)


def fail(error: Expected) -> None:
    from ..text import redact, sanitise

    sys.stderr.write(f"error: {sanitise(redact(error.message))}\n")
    if error.hint:
        sys.stderr.write(f"  next: {sanitise(error.hint)}\n")


def usage(error: Exception) -> int:
    """What typer raises: wrong words on the command line, or Ctrl-C at a prompt."""
    name = type(error).__name__
    if name == "Abort":
        sys.stderr.write("\ninterrupted\n")
        return 130
    if name == "Exit":
        return int(getattr(error, "exit_code", 0))
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "issue-orch"
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    message = message.replace(
        "Input should be a valid integer, unable to parse string as an integer",
        "it must be a whole number",
    )
    _, _, examples = ((context and context.command.help) or "").partition("Examples:")
    example = examples.strip().partition("\n")[0]
    fail(
        Usage(
            f"{path}: {message.rstrip('.')}",
            f"{example}   (more: {path} --help)" if example else f"{path} --help",
        )
    )
    return Usage.exit_code


def bug(error: Exception, words: list[str]) -> int:
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
    sys.stderr.flush()


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


def confirm(question: str, default: bool) -> bool:
    """An empty line is the default."""
    answer = ask(f"{question} [{'Y/n' if default else 'y/N'}] ").lower()
    return answer in {"y", "yes"} or (default and not answer)


def print_json(indent: int | None = None, **record: object) -> None:
    """As ASCII: what is not could hold what a terminal obeys."""
    import json

    print(json.dumps({"schemaVersion": 1, **record}, indent=indent))


def colours(stream: object) -> bool:
    """Whether to colour: a terminal, and nobody asked for none (NO_COLOR, TERM=dumb)."""
    isatty = getattr(stream, "isatty", None)
    return (
        bool(isatty and isatty())
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
    )


def width(stream: object) -> int:
    """Columns to fill; 80 where it is not a terminal, unless COLUMNS says otherwise."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    try:
        return os.get_terminal_size(stream.fileno()).columns  # type: ignore[attr-defined]
    except (OSError, ValueError, AttributeError):
        return 80
