"""What the declarations of the command line are made of: options, completion, versions. The work is imported when called."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from . import __version__

app = typer.Typer(
    name="issue-orch",
    rich_markup_mode=None,
    add_completion=False,  # our own is quick: typer's import takes longer than the rest
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Turn ready GitHub issues into pull requests by coding agents. It never merges: you do.\n\n"
    "Start with: issue-orch demo   then, in your clone: issue-orch init",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(_version_text())
        raise typer.Exit


def _version_text() -> str:
    """Asked side by side: some agents take a second to say it."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor() as pool:
        lines = pool.map(_version_line, ("git", "claude", "codex", "opencode", "gemini"))
    return "\n".join([f"issue-orch {__version__}", *filter(None, lines)])


def _version_line(program: str) -> str:
    from .errors import Expected
    from .process.run import run
    from .text import one_line

    try:
        done = run(program, "--version", timeout=10, check=False)
    except Expected:
        return ""
    words = (done.stdout or done.stderr).strip().splitlines()
    return f"{program}: {one_line(words[0], 100)}" if words else ""


def _issue_of(word: str) -> int:
    from .actions.naming import issue_of

    return issue_of(word)


NUMBER = "Number, address or branch of the issue."


def flag(words: str, *names: str) -> Any:
    return typer.Option(False, *names, help=words)


def option(words: str, *names: str) -> Any:
    return typer.Option(None, *names, help=words)


def _given(name: str, value: Any) -> Any:
    """Several words are one text; each number is meant once; without a number, `here` is the session of this worktree."""
    if name == "text":
        return " ".join(value or [])
    if name == "here" and value is None:
        from .actions.naming import issue_here

        return issue_here()
    return list(dict.fromkeys(value or [])) if name == "issues" else value


def command(
    place: str = "", people: bool = False
) -> Callable[[Callable[..., None]], Callable[..., int]]:
    """Declare a command: name, options and help. Its work is the function of its name in `commands`, or at `place`.

    With `people`, a worker must not do it (threat S15).
    """

    def declare(declared: Callable[..., None]) -> Callable[..., int]:
        @app.command()
        @wraps(declared)
        def call(**values: Any) -> int:
            from importlib import import_module

            if people:
                from .process.nesting import refuse_nested

                refuse_nested(os.environ)
            name = declared.__name__
            module = import_module(f".{place or f'commands.{name}'}", __package__)
            return int(getattr(module, name)(*map(_given, values, values.values())))

        call.people = people  # type: ignore[attr-defined]
        return call

    return declare


def _issue(words: str) -> Any:
    return typer.Argument(metavar="ISSUE", help=words, parser=_issue_of)


Number = Annotated[int, _issue(NUMBER)]
MaybeNumber = Annotated[int | None, _issue(NUMBER)]
Here = Annotated[int | None, _issue(f"{NUMBER[:-1]}; inside its worktree not needed.")]
Numbers = Annotated[list[int] | None, _issue("Numbers, addresses or branches of issues.")]
JSON = flag("Print JSON (docs/json.md).", "--json")
ANY_WORDS = {"ignore_unknown_options": True, "allow_extra_args": True}
YES = flag("Ask nothing.", "--yes", "-y")
ALL = flag("Every session.", "--all")


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Print the versions of issue-orch, git and the agents.",
        ),
    ] = False,
) -> None:
    pass
