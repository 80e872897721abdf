"""Processes: the one way to run a short command, identity of a process, and ending everything that a worker started."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from typing import NamedTuple

from .errors import CommandFailed, Expected


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
    """Run a short command without a shell, in a session of its own, ended whole after `timeout` seconds.

    Raises CommandFailed when `check` and the code is not zero, when the time is up (code None),
    and Expected when the program does not exist.
    """
    try:
        child = subprocess.Popen(
            argv, cwd=cwd, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True, pass_fds=pass_fds,
        )
    except FileNotFoundError as error:
        raise Expected(f"{argv[0]}: not found ({error.filename})", f"install {argv[0]}, or mend PATH") from error
    except NotADirectoryError as error:
        raise Expected(f"{cwd}: not a folder") from error
    with child:
        try:
            out, err = child.communicate(stdin.encode("utf-8", "surrogateescape"), timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            out, err = child.communicate()
            raise CommandFailed(argv, None, decode(out), decode(err)) from None
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise
    done = Done(child.returncode, decode(out), decode(err))
    if check and done.code:
        raise CommandFailed(argv, done.code, done.stdout, done.stderr)
    return done


def decode(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
