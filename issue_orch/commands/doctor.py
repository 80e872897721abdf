"""`issue-orch doctor`: look at everything, say how to mend it, and mend what is safe."""

from __future__ import annotations

import os
import sys
from itertools import chain

from .. import git
from ..config_keys import Config
from ..context import Context, open_context
from ..doctor import Check, examine
from ..doctor_fix import fix as mend_all
from ..errors import Expected
from ..shell import colours, print_json, say
from ..store import make_state
from ..text import one_line, sanitise

MARKS = {"ok": ("ok     ", "32"), "warning": ("warning", "33"), "error": ("error  ", "31")}


def doctor(fix: bool, dry_run: bool, as_json: bool) -> int:
    """Exit code 1 when there is an error left."""
    context, first = open_anyway()
    mended = mend(context, dry_run) if fix else []
    checks: list[Check] = []
    for check in chain((first,), examine(context, first.state == "ok")):
        checks.append(check)
        if not as_json:
            show(check)
    if as_json:
        found = {"schemaVersion": 1, "checks": [check._asdict() for check in checks], "mended": mended}
        print_json(found)
    return int(any(check.state == "error" for check in checks))


def open_anyway() -> tuple[Context, Check]:
    """With a broken configuration the rest is looked at under the defaults. Raises Expected outside a clone."""
    try:
        return open_context(), Check("configuration", "ok", "is understood, and approved where it has to be")
    except Expected as error:
        found = Check("configuration", "error", one_line(error.message, 500), sanitise(error.hint))
    repo = git.find_repo(os.getcwd())
    return Context(repo, make_state(repo.common_dir), Config(), "", "", os.environ), found


def mend(context: Context, dry_run: bool) -> list[str]:
    done = []
    for text, problem in mend_all(context, dry_run):
        how = "would" if dry_run else f"failed ({problem}):" if problem else "done:"
        say(f"{how} {sanitise(text)}")
        done.append(text)
    if not done:
        say("Nothing to mend by itself.")
    return done


def show(check: Check) -> None:
    word, code = MARKS[check.state]
    mark = f"\x1b[{code}m{word}\x1b[0m" if colours(sys.stdout) else word
    sys.stdout.write(f"{mark}  {check.name}: {check.text}\n")
    if check.mend:
        sys.stdout.write(f"         -> {check.mend}\n")
    sys.stdout.flush()
