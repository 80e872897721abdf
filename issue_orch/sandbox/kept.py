"""A demo that stays: its server goes on in the background until it is told to end, and its pages can be looked at."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
from contextlib import suppress

from .records import Incoming, Reply
from .scene import Scene
from .server import Sandbox


class Pages(Sandbox):
    """Also shows people what its addresses name, as plain text."""

    def answer(self, incoming: Incoming) -> Reply:
        found = re.fullmatch(rf"/{self.repo}/(?:pull|issues)/(\d+)", incoming.target)
        number = int(found[1]) if found else 0
        if incoming.method != "GET" or number not in self.issues:
            return super().answer(incoming)
        kind = {"Content-Type": "text/plain; charset=utf-8"}
        with self.lock:
            return Reply(200, kind, self._page(number).encode())

    def _page(self, number: int) -> str:
        issue, pull = self.issues[number], self.pulls.get(number)
        state = "merged" if pull and pull.merged_at else issue.state
        head = f"{'Pull' if pull else 'Issue'} #{number}, {state}: {issue.title}"
        branch = f"{pull.head} into {pull.base}" if pull else ""
        said = [f"{each.author}:\n{each.body}" for each in self.comments[number].values()]
        return "\n\n".join(filter(None, (head, branch, issue.body, *said))) + "\n"


class Stay:
    """Made before anything is started: a child goes on with the work, and the command that was typed waits for it."""

    def __init__(self) -> None:
        reading, self._writing = os.pipe()
        self.child = os.fork()
        if self.child:
            os.close(self._writing)
            self._reading = reading
        else:
            os.close(reading)

    def wait(self) -> int:
        """The exit code of the command: 0 once the child has left the terminal, else the child's."""
        with suppress(KeyboardInterrupt), open(self._reading, "rb") as source:
            if source.read(1):
                return 0
        while True:
            with suppress(KeyboardInterrupt):  # the child hears it too, and cleans up
                return os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])

    def leave(self) -> None:
        """In the child: leave the terminal, let the command end, and wait until somebody says that it is enough."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for what in (signal.SIGTERM, signal.SIGINT):
            signal.signal(what, lambda *_: None)
        os.setsid()
        sys.stdout.flush()
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        os.write(self._writing, b"x")
        os.close(self._writing)
        while os.read(reading, 1)[0] not in (signal.SIGTERM, signal.SIGINT):
            continue


def write_door(scene: Scene, sandbox: Sandbox) -> tuple[str, str]:
    """The commands that lead into the scene, and end it."""
    folder = scene.folder
    program = folder / "bin" / "issue-orch"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.join(scene.command)} "$@"\n')
    program.chmod(0o755)
    given = {
        **{name: scene.env[name] for name in scene.env if name not in ("TERM", "COLUMNS", "PATH")},
        "SANDBOX_URL": sandbox.base_url,
        "SANDBOX_CONTROL": sandbox.control_token,
    }
    given.pop("FORCE_COLOR", None)
    lines = [f"export {name}={shlex.quote(value)}" for name, value in given.items()]
    lines += [
        f'export PATH={shlex.quote(str(program.parent))}:"$PATH"',
        f"cd {shlex.quote(str(scene.clone))} || exit",
        '[ $# -gt 0 ] && exec "$@"',
        'exec "${SHELL:-/bin/sh}"',
    ]
    enter, pid = folder / "enter", folder / "pid"
    enter.write_text("\n".join(("#!/bin/sh", *lines, "")))
    pid.write_text(f"{os.getpid()}\n")
    return f"sh {shlex.quote(str(enter))}", f"kill $(cat {shlex.quote(str(pid))})"
