"""The entry: the paths that must be quick first (report, status), everything else by typer; and where errors end."""

from __future__ import annotations

import os
import sys


def main(argv: list[str] | None = None) -> int:
    """Run one command line. Exit codes: 0 done, 1 expected failure, 2 usage, 3 bug, 130 interrupted."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["report"]:
        from .report import main as report

        return report(words[1:])
    if sys.platform == "win32":
        sys.stderr.write("issue-orch runs on Linux and macOS; on Windows use it inside WSL.\n")
        return 1
    from .shell import guard

    if words[:1] == ["help"] or not (words or "_ISSUE_ORCH_COMPLETE" in os.environ):  # a shell that completes gives no words
        words = [*words[1:], "--help"]

    if words[:1] == ["status"] and not {"--help", "-h"} & set(words):
        from .commands.status import main as status

        return guard(status, words[1:])
    return guard(run_command, words)


FOR_PEOPLE = frozenset({  # what a worker must not do (threat S15)
    "init", "spawn", "run", "answer", "tell", "attach", "pause", "resume", "stop", "cancel", "prune",
})


def run_command(words: list[str]) -> int:
    if FOR_PEOPLE.intersection(words[:1]):
        import os

        from .process import refuse_nested

        refuse_nested(os.environ)
    from .words import run as run_plain

    code = run_plain(words)
    return run_typer(words) if code is None else code


def run_typer(words: list[str]) -> int:
    os.environ["TYPER_USE_RICH"] = "0"
    from .cli import run

    return run(words)


if __name__ == "__main__":
    sys.exit(main())
