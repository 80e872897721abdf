"""`issue-orch prune`: remove what a person merged; keep, with the reason, what is not safe on the remote."""

from __future__ import annotations

from collections.abc import Sequence

from ..actions import prune as action
from ..actions.context import open_context
from ..core.pruning import Asked
from ..terminal.io import print_json
from ..text import sanitise


def prune(
    numbers: Sequence[int],
    dry_run: bool,
    pull: int | None,
    closed: bool,
    cancelled: bool,
    as_json: bool,
) -> int:
    """Exit code 1 when it could not be found out of a session what became of it."""
    context = open_context()
    done = action.prune(context, Asked(numbers, pull, closed, cancelled), dry_run)
    if as_json:
        print_json(sessions=[each._asdict() for each in done])
    else:
        for each in done:
            outcome = each.outcome.replace("_", " ")
            print(f"#{each.number}: {outcome}: {sanitise(each.text)}", flush=True)
            if each.next:
                print(f"  next: {sanitise(each.next)}", flush=True)
        if not done:
            what = f"session{'s' if pull is None else f' of pull {pull}'}"
            print(f"No {what} in this clone: {context.repo.main}", flush=True)
    if not dry_run:
        action.sweep(context)
    return int(any(each.why == "unknown" for each in done))
