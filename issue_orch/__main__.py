"""The entry: a worker's report first, which must be quick; everything else by cli; and where errors end."""

from __future__ import annotations

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
    from .cli import run
    from .shell import guard

    return guard(run, words)


if __name__ == "__main__":
    sys.exit(main())
