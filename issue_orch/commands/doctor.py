"""`issue-orch doctor`: look at everything, say how to mend it, and mend what is safe."""

from __future__ import annotations

import sys
from itertools import chain

from ..actions.doctor import Check, examine, open_anyway
from ..actions.mend import mend
from ..terminal.io import colours, print_json, say
from ..terminal.sessions import paint
from ..text import sanitise

COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


def doctor(fix: bool, dry_run: bool, as_json: bool) -> int:
    """Exit code 1 when there is an error left."""
    context, first = open_anyway()
    mended = []
    for how, text in mend(context, dry_run) if fix else ():
        say(f"{how} {sanitise(text)}")
        mended.append(text)
    if fix and not mended:
        say("Nothing to mend by itself.")
    checks = []
    for check in chain((first,), examine(context, first.state == "ok")):
        checks.append({"name": check.name, **check._asdict()})
        if not as_json:
            _show(check)
    if as_json:
        print_json(checks=checks, mended=mended)
    return int(any(check["state"] == "error" for check in checks))


def _show(check: Check) -> None:
    mark = paint(f"{check.state:7}", COLOURS[check.state], colours(sys.stdout))
    print(f"{mark}  {check.name}: {check.text}", flush=True)
    if check.mend:
        print(f"         -> {check.mend}", flush=True)
