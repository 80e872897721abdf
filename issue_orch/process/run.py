"""The one way to run a short command, and to wait for something."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from ..errors import CommandFailed, Expected
from .secret import without_tokens

DRAIN = 1.0  # seconds for the last output of a command that has ended


class Done(NamedTuple):
    """A finished command. Streams are decoded as UTF-8 with surrogateescape."""

    code: int
    stdout: str
    stderr: str


def run(
    *argv: str,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    timeout: float = 60,
    check: bool = True,
    pass_fds: tuple[int, ...] = (),
) -> Done:
    """Run a short command without a shell or tokens, in a session of its own, ended whole after `timeout` seconds.

    Raises CommandFailed when `check` and the code is not zero, when the time is up (code None),
    and Expected when the program cannot be started.
    """
    try:
        child = subprocess.Popen(
            argv,
            cwd=cwd,
            env=without_tokens(os.environ if env is None else env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pass_fds=pass_fds,
        )
    except FileNotFoundError as error:
        raise Expected(
            f"{argv[0]}: not found ({error.filename})", f"install {argv[0]}, or mend PATH"
        ) from error
    except (
        ValueError
    ) as error:  # a NUL, half a character: nothing that was read becomes such a word
        raise Expected(
            f"{argv[0]}: no program can be given {error.args[-1]}", "mend it where it is set"
        ) from None
    except OSError as error:  # no folder, or no descriptors, processes or memory left
        raise Expected(
            f"{argv[0]}: {error.strerror}",
            f"look at the limits (ulimit -a) and at {cwd or 'the memory'}",
        ) from error
    with child:
        try:
            code, out, err = finish(child, stdin.encode("utf-8", "surrogateescape"), timeout)
        except BaseException:
            signal_group(child.pid, signal.SIGKILL)
            raise
    done = Done(child.returncode, decode(out), decode(err))
    if code is None or (check and code):
        raise CommandFailed(argv, code, done.stdout, done.stderr)
    return done


def package_parent() -> str:
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def python_module(module: str, *argv: str) -> tuple[str, ...]:
    """The argument list that runs a module of this package, whatever the current folder holds."""
    return (sys.executable, "-P", "-m", f"issue_orch.{module}", *argv)


def finish(
    child: subprocess.Popen[bytes], data: bytes, timeout: float
) -> tuple[int | None, bytes, bytes]:
    """Code (None: it was ended) and output. Something that the command leaves behind may hold its streams for ever."""
    deadline = time.monotonic() + timeout
    while True:
        ended, rest = child.poll() is not None, max(0.0, deadline - time.monotonic())
        patience = (
            rest if data else min(rest, DRAIN)
        )  # a second call would not go on with the input
        try:
            out, err = child.communicate(data or None, timeout=patience)
            return child.returncode, out, err
        except subprocess.TimeoutExpired as late:
            if patience < rest and not ended:
                continue
            if child.poll() is None:
                signal_group(child.pid, signal.SIGKILL)
            return child.returncode, late.output or b"", late.stderr or b""


def signal_group(pid: int, what: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it has just ended by itself
        os.killpg(pid, what)


def decode(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def wait_for(holds: Callable[[], bool], limit: float, pause: float = 0.05) -> bool:
    """Whether something came to hold within `limit` seconds; looked at every `pause` seconds."""
    deadline = time.monotonic() + limit
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True
