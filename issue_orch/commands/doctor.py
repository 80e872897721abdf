"""`issue-orch doctor`: look at everything, say how to mend it, and mend what is safe."""

from __future__ import annotations

import sys
from itertools import chain

from ..actions.doctor import Check, examine, open_anyway
from ..actions.mend import mend, mend_bare
from ..git.run import TurnedBare
from ..terminal.io import colours, print_json, say
from ..terminal.sessions import paint
from ..text import sanitise

COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


def doctor(fix: bool, dry_run: bool, as_json: bool) -> int:
    """Exit code 1 when there is an error left."""
    mended = []
    try:
        context, first = open_anyway()
    except TurnedBare as error:
        how, text = mend_bare(error, dry_run) if fix else ("", "")
        if not fix or dry_run:
            return _only(Check("error", error.message, error.hint, "git"), how, text, as_json)
        say(f"{how} {text}")
        mended.append(text)
        context, first = open_anyway()
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


def _only(check: Check, how: str, text: str, as_json: bool) -> int:
    """Nothing else can be looked at before this is mended."""
    if how:
        say(f"{how} {text}")
    if as_json:
        print_json(checks=[check._asdict()], mended=[text] if how else [])
    else:
        _show(check)
    return 1


def _show(check: Check) -> None:
    mark = paint(f"{check.state:7}", COLOURS[check.state], colours(sys.stdout))
    print(f"{mark}  {check.name}: {check.text}", flush=True)
    if check.mend:
        print(f"         -> {check.mend}", flush=True)
