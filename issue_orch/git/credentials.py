"""How git is given the token: only after the user's own sign-in was refused, for one host, as often as git asks."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..core.model import Token, is_loopback

SIGN_IN = re.compile(
    r"authentication failed|could not read (username|password)|terminal prompts disabled|permission denied"
    r"|invalid username or|invalid credentials|requested url returned error: 40[13]|permission to .* denied"
    r"|host key verification failed|repository not found|http basic: access denied|git credentials for .* not found",
    re.IGNORECASE,
)


@contextmanager
def answering(token: Token) -> Iterator[tuple[tuple[tuple[str, str], ...], int]]:
    """Settings by which git asks us for the token, as often as it needs it, and the descriptor that they name.

    It is a socket: nobody can open that from outside, as could be done with a pipe by /proc/<pid>/fd. A message is
    never mixed with another, so several may ask at once. Git asks for this host alone, and over https; the empty helper
    switches the user's off for it, which would store the token.
    """
    import socket
    from threading import Thread
    from urllib.parse import urlsplit

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    answer = f"username=x-access-token\npassword={token.value}\n".encode()

    def serve() -> None:
        with suppress(OSError):
            while ours.recv(8) == b"get":
                ours.send(answer)

    asks = f"import os; os.write({theirs.fileno()}, b'get'); os.write(1, os.read({theirs.fileno()}, 9999))"
    program = shlex.join((sys.executable, "-ISc", asks))
    helper = f'!f() {{ test "$1" = get && exec {program}; }}; f'
    near = is_loopback(urlsplit(f"//{token.host}").hostname or "")
    hosts = [f"{scheme}://{token.host}" for scheme in ("https", "http")[: 1 + near]]
    thread = Thread(target=serve, daemon=True)
    thread.start()
    settings = ((f"credential.{host}.helper", told) for host in hosts for told in ("", helper))
    with ours, theirs:
        try:
            yield tuple(settings), theirs.fileno()
        finally:
            with suppress(OSError):  # full of answers that nobody fetched
                theirs.send(b"end", socket.MSG_DONTWAIT)
            thread.join(1)
