"""Run the sandbox as a process: one JSON line says where it is, then it serves until it is ended."""

from __future__ import annotations

import argparse
import json
import signal
from pathlib import Path

from .server import Sandbox


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m issue_orch.sandbox", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the bare repository goes")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--repo", default="acme/widgets", metavar="OWNER/NAME")
    parser.add_argument("--private", action="store_true")
    parser.add_argument("--user", action="append", default=[], metavar="LOGIN:PERMISSION")
    options = parser.parse_args()
    ends = {signal.SIGINT, signal.SIGTERM}
    # Blocked before any thread starts, so that sigwait below is the one who hears them.
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with Sandbox(
        options.folder.resolve(), options.repo, private=options.private, port=options.port
    ) as sandbox:
        for user in options.user or ["worker:write"]:
            login, _, permission = user.partition(":")
            sandbox.add_user(login, permission or "write")
        where = {
            "base_url": sandbox.base_url,
            "git_url": sandbox.git_url,
            "bare": str(sandbox.bare),
        }
        print(
            json.dumps({**where, "tokens": sandbox.tokens, "control": sandbox.control_token}),
            flush=True,
        )
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
