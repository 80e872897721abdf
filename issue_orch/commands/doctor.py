"""`issue-orch doctor`: look at everything, say how to mend it, and mend what is safe."""

from __future__ import annotations

import sys
from itertools import chain

from ..actions.doctor import Check, examine, open_anyway
from ..actions.mend import mend
from ..terminal.io import colours, print_json, say
from ..text import sanitise

MARKS = {"ok": ("ok     ", "32"), "warning": ("warning", "33"), "error": ("error  ", "31")}


def doctor(fix: bool, dry_run: bool, as_json: bool) -> int:
    """Exit code 1 when there is an error left."""
    context, first = open_anyway()
    mended = []
    for how, text in mend(context, dry_run) if fix else ():
        say(f"{how} {sanitise(text)}")
        mended.append(text)
    if fix and not mended:
        say("Nothing to mend by itself.")
    checks: list[Check] = []
    for check in chain((first,), examine(context, first.state == "ok")):
        checks.append(check)
        if not as_json:
            _show(check)
    if as_json:
        print_json(checks=[check._asdict() for check in checks], mended=mended)
    return int(any(check.state == "error" for check in checks))


def _show(check: Check) -> None:
    word, code = MARKS[check.state]
    mark = f"\x1b[{code}m{word}\x1b[0m" if colours(sys.stdout) else word
    print(f"{mark}  {check.name}: {check.text}")
    if check.mend:
        print(f"         -> {check.mend}")
    sys.stdout.flush()
