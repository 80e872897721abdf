"""The one tree of errors: what a user can mend, with the command to type next."""

from __future__ import annotations


class Expected(Exception):
    """Something the user can mend. `hint` is what to type next; `exit_code` ends the command."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Usage(Expected):
    """The command line or the configuration is wrong."""

    exit_code = 2


class Unapproved(Expected):
    """The repository's configuration would run something that was not approved on this machine."""


class CommandFailed(Expected):
    """A short command ended with a code other than zero (or ran out of time: code is None)."""

    def __init__(
        self,
        argv: tuple[str, ...],
        code: int | None,
        stdout: str,
        stderr: str,
        hint: str = "mend what it says, then try again",
    ) -> None:
        what = "ran out of time" if code is None else f"exit code {code}"
        detail = (stderr or stdout).strip()
        super().__init__(f"{' '.join(argv[:6])}: {what}" + (f": {detail}" if detail else ""), hint)
        self.code, self.stdout, self.stderr = code, stdout, stderr


def of_system(error: OSError | Expected) -> Expected:
    """What the operating system refused, in words; what is in words already, as it is."""
    if isinstance(error, Expected):
        return error
    words = f"{error.filename or 'a file'}: {error.strerror or error}"
    if isinstance(error, PermissionError):
        return Expected(
            words,
            f"ls -ld {error.filename or '.'}   shows whose it is; make it yours, then try again",
        )
    return Expected(words, "mend that (disk full? df -h .), then try again")


class LeaseHeld(Expected):
    """Somebody else holds the session; the message names who."""


class StateUnreadable(Expected):
    """A state file is damaged or written by a newer version. Nothing is deleted."""


class GitHubError(Expected):
    """GitHub could not be asked, or refused. Never means 'not found'."""


class NotFound(GitHubError):
    """GitHub answered that the thing does not exist, or that the token may not see it (404, 410)."""


class Moved(GitHubError):
    """GitHub answered that the thing is elsewhere now (301, 307, 308)."""


class RateLimited(GitHubError):
    """GitHub asks to wait; `until` is seconds since the epoch."""

    def __init__(self, message: str, until: float) -> None:
        super().__init__(message, "wait, then run the command again")
        self.until = until


class SignInFailed(GitHubError):
    """No token, or GitHub refused it (401)."""


class MaybeDone(GitHubError):
    """A write that may have taken place (422, 5xx, no answer): look before it is tried again."""
