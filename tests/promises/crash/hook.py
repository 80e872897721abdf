"""Loaded by a .pth of a venv that tests make: numbers what a process does to the world, and hits it at one number.

What to do stands in the file `plan` of that venv: `record FILE`, `kill ROLE NUMBER` or `deny ROLE NUMBER` (the disk is
full for that write, the table of processes for that start); a file `killed` says that it was done.
"""

from __future__ import annotations

import errno
import itertools
import os
import signal
import sys

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = {
    "os.rename",
    "os.link",
    "os.remove",
    "os.rmdir",
    "os.mkdir",
    "os.truncate",
    "os.kill",
    "fcntl.flock",
    "subprocess.Popen",
}
NEEDS_ROOM = ("write", "os.rename", "os.link", "os.mkdir")
numbers = itertools.count(1)


def role() -> str:
    """The command that this process is: `spawn`, `supervisor`, `helper` …; empty for anything else."""
    words = sys.orig_argv
    module = words[words.index("-m") + 1] if "-m" in words else ""
    if module == "issue_orch":
        return words[words.index("-m") + 2]
    return module.rpartition(".")[2] if module.startswith("issue_orch.") else ""


def what(event: str, args: tuple[object, ...]) -> str:
    """The point's name; empty for what changes nothing that matters."""
    if args and "__pycache__" in str(args[0]):
        return ""
    if event == "open":
        path, flags = args[0], args[2]
        ours = isinstance(path, str) and not path.startswith(("/dev/", "/proc/"))
        if ours and isinstance(flags, int) and flags & WRITING:
            return f"write {os.path.basename(str(path))}"
    elif event == "http.client.send":
        data = args[1]
        writes = isinstance(data, bytes) and data.startswith((b"POST", b"PATCH", b"PUT", b"DELETE"))
        return "api write" if writes else ""
    elif event in CHANGES:
        argv = args[1] if event == "subprocess.Popen" else None
        words = (
            [str(word) for word in argv[:6]] if isinstance(argv, (list, tuple)) else [str(args[0])]
        )
        return f"{event} {' '.join(words)}"
    return ""


def denial(point: str) -> OSError | None:
    """What the system says when it has no room for it; None for what needs none."""
    kind = point.split()[0]
    number = (
        errno.ENOSPC if kind in NEEDS_ROOM else errno.EAGAIN if kind == "subprocess.Popen" else 0
    )
    return OSError(number, os.strerror(number)) if number else None


def install(folder: str) -> None:
    me = role()
    with open(os.path.join(folder, "plan")) as file:
        plan = file.read().split()
    wanted = int(plan[2]) if plan[0] in ("kill", "deny") and plan[1] == me else 0
    if not me or not (wanted or plan[0] == "record"):
        return

    def hook(event: str, args: tuple[object, ...]) -> None:
        point = what(event, args)
        if not point or hook_paused:
            return
        number = next(numbers)
        hook_paused.append(True)
        try:
            if plan[0] == "record":
                log = os.open(
                    os.path.join(folder, plan[1]), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600
                )
                most = "deny" if denial(point) else "kill"
                os.write(
                    log, f"{me} {os.getpid()} {number} {most} {point}\n".encode("utf-8", "replace")
                )
                os.close(log)
            elif number >= wanted and (plan[0] == "kill" or denial(point)):
                try:
                    os.close(
                        os.open(
                            os.path.join(folder, "killed"), os.O_WRONLY | os.O_CREAT | os.O_EXCL
                        )
                    )
                except FileExistsError:
                    return
                if plan[0] == "deny":
                    raise denial(point)
                os.kill(os.getpid(), signal.SIGKILL)
        finally:
            hook_paused.pop()

    hook_paused: list[bool] = []
    sys.addaudithook(hook)


install(sys.prefix)
