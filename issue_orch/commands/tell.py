"""`issue-orch tell`: give guidance to a worker."""

from __future__ import annotations

from ..actions.context import open_context
from ..actions.steer import guide
from ..terminal.io import given_text


def tell(number: int, text: str, now: bool) -> int:
    print(f"#{number}: {guide(open_context(), number, given_text(text), at_once=now)}")
    return 0
