"""Processes: the one way to run a short command, identity of a process, ending everything that a worker started; and
the helper processes of lean ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..core.record import ProcessId
from ..errors import CommandFailed, Expected

MARKER = "ISSUE_ORCH_WORKER"
STATE_MARKER = "ISSUE_ORCH_STATE"
SETTLE_LIMIT = 900.0  # seconds for a helper that pushes and asks GitHub
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
    """Run a short command without a shell, in a session of its own, ended whole after `timeout` seconds.

    Raises CommandFailed when `check` and the code is not zero, when the time is up (code None),
    and Expected when the program cannot be started.
    """
    try:
        child = subprocess.Popen(
            argv,
            cwd=cwd,
            env=env,
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
            f"{argv[0]}: no program can be given {error.args[-1]}", "issue-orch doctor"
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
            kill_group(child.pid)
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
                kill_group(child.pid)
            return child.returncode, late.output or b"", late.stderr or b""


def kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:  # it has just ended by itself
        pass


def decode(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def boot_id() -> str:
    """An id that changes at every boot: wall-clock boot times move when the clock is set."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        import psutil

        return str(int(psutil.boot_time()))


def stat_of(pid: int) -> list[bytes]:
    """What Linux says of a process after its name, its state first; empty when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot (hundredths of a second elsewhere); None when it is gone."""
    if os.path.isdir("/proc/self"):
        found = stat_of(pid)
        return int(found[19]) if found else None
    import psutil

    try:
        return int(psutil.Process(pid).create_time() * 100)
    except psutil.Error:
        return None


def identity(pid: int) -> ProcessId:
    return {"pid": pid, "startTicks": start_ticks(pid) or 0, "bootId": boot_id()}


def marker(state: str, number: int, attempt: int) -> dict[str, str]:
    """Environment by which everything that a worker starts is found again. The state folder tells clones apart."""
    return {MARKER: f"{number}.{attempt}", STATE_MARKER: state}


def is_marked(environ: bytes, state: str, number: int | None) -> bool:
    entries = environ.split(b"\0")
    if f"{STATE_MARKER}={state}".encode() not in entries:
        return False
    wanted = f"{MARKER}=" if number is None else f"{MARKER}={number}."
    return any(entry.startswith(wanted.encode()) for entry in entries)


def find_marked(state: str, number: int | None) -> list[int]:
    """Processes that workers of this clone started (of one session, or of all with None), ourselves left out."""
    if os.path.isdir("/proc/self"):
        pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    else:
        import psutil

        pids = psutil.pids()
    return [
        pid for pid in pids if pid != os.getpid() and is_marked(read_environ(pid), state, number)
    ]


def read_environ(pid: int) -> bytes:
    """The environment that a process began with; empty when it is gone or another user's."""
    if not os.path.isdir("/proc/self"):
        import psutil

        try:
            return b"\0".join(
                f"{key}={value}".encode() for key, value in psutil.Process(pid).environ().items()
            )
        except (psutil.Error, OSError):
            return b""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""  # no descriptor left, say, is not "nothing is marked": that is raised


def refuse_nested(env: Mapping[str, str]) -> None:
    """For people alone: nothing that a worker started may do this, its own marker taken off or not (threat S15)."""
    if env.get(MARKER) or below_worker():
        raise Expected(
            "a worker does not start workers, nor answer, approve or end anything",
            "end your turn; a person does that",
        )


def below_worker() -> bool:
    """Whether a process above us carries the marker. What left its tree is not found, nor anything without /proc."""
    pid = os.getppid()
    while pid > 1:
        if any(entry.startswith(f"{MARKER}=".encode()) for entry in read_environ(pid).split(b"\0")):
            return True
        found = stat_of(pid)
        pid = int(found[1]) if found else 0
    return False


def end_marked(state: str, number: int, grace: float = 5.0) -> bool:
    """End everything that the session's workers started: TERM, grace in seconds, KILL until two scans are empty.

    A process is signalled only when its environment still carries the marker, through a descriptor that cannot
    be reused for another process where the system has one. Returns whether there was something.
    """
    found = find_marked(state, number)
    for pid in found:
        signal_marked(pid, state, number, signal.SIGTERM)
    wait_for(lambda: not any(start_ticks(pid) and not is_zombie(pid) for pid in found), grace, 0.02)
    empty = 0
    while empty < 2:
        rest = [pid for pid in find_marked(state, number) if not is_zombie(pid)]
        empty = 0 if rest else empty + 1
        for pid in rest:
            signal_marked(pid, state, number, signal.SIGKILL)
        time.sleep(0.01)
    return bool(found)


def wait_for(holds: Callable[[], bool], limit: float, pause: float = 0.05) -> bool:
    """Whether something came to hold within `limit` seconds; looked at every `pause` seconds."""
    deadline = time.monotonic() + limit
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


def is_zombie(pid: int) -> bool:
    return stat_of(pid)[:1] == [b"Z"]


def signal_marked(pid: int, state: str, number: int, what: signal.Signals) -> None:
    try:
        handle = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None
    except ProcessLookupError:
        return
    try:
        if is_marked(read_environ(pid), state, number):
            if handle is None:
                os.kill(pid, what)
            else:
                signal.pidfd_send_signal(handle, what)
    except ProcessLookupError:
        pass
    finally:
        if handle is not None:
            os.close(handle)


class Helper:
    """Asks for what needs more than the standard library, such as GitHub: one short-lived process per request.

    Holds the token that the starting command had in its environment, and hands it to each helper by a pipe.
    """

    def __init__(self, token: str | None) -> None:
        self.token = token

    def call(self, operation: str, timeout: float = 60, **arguments: Any) -> dict[str, Any]:
        """Run one operation to its end. Raises Expected with the helper's words when it fails."""
        request = json.dumps({"operation": operation, "token": self.token, **arguments})
        try:
            done = run(
                *python_module("worker.helper"),
                stdin=request,
                timeout=timeout,
                env={**os.environ, "PYTHONPATH": package_parent()},
            )
        except Expected as error:
            said = (
                error.stderr.strip().splitlines()[-1:] if isinstance(error, CommandFailed) else []
            )
            words = "".join(said) or error.message
            if not os.path.exists(__file__):
                words = f"issue-orch was upgraded or removed while this worker ran ({words})"
            raise Expected(f"{operation}: {words}") from error
        answer = json.loads(done.stdout)
        if "error" in answer:
            raise Expected(answer["error"], answer.get("hint", ""))
        return dict(answer)

    def send(self, operation: str, **arguments: Any) -> None:
        """Start one operation and do not wait for it."""
        request = json.dumps({"operation": operation, "token": None, **arguments}).encode()
        child = subprocess.Popen(
            python_module("worker.helper"),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": package_parent()},
            start_new_session=True,
        )
        child.returncode = 0  # nobody waits for it: the system reaps it when we end
        assert child.stdin is not None
        with child.stdin:
            child.stdin.write(request)
