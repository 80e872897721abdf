"""The one table of a session's life: (status, event) -> status. What is not in it is refused."""

from __future__ import annotations

from typing import Literal, get_args

from .model import Phase

Happening = Literal["planning", "working", "stuck", "answered", "settled", "followed_up", "cancelled"]

PHASES: tuple[Phase, ...] = get_args(Phase)
HAPPENINGS: tuple[Happening, ...] = get_args(Happening)

TABLE: dict[tuple[Phase, Happening], Phase] = {
    **{(phase, "planning"): "planning" for phase in ("registered", "planning", "working")},
    **{(phase, "working"): "working" for phase in ("registered", "planning", "working")},
    **{(phase, "stuck"): "stuck" for phase in ("registered", "planning", "working", "stuck")},
    ("stuck", "answered"): "working",
    **{(phase, "settled"): "complete" for phase in ("registered", "planning", "working", "complete")},
    ("complete", "followed_up"): "working",
    **{
        (phase, "cancelled"): "cancelled"
        for phase in ("registered", "planning", "working", "stuck", "complete", "cancelled")
    },
}


def after(phase: Phase, happening: Happening) -> Phase | None:
    """The status after the happening; None when it is refused."""
    return TABLE.get((phase, happening))
