"""`issue-orch tell`: give guidance to a worker."""

from __future__ import annotations

import sys

from ..actions.context import open_context
from ..actions.steer import guide


def tell(number: int, text: str, now: bool) -> int:
    sys.stdout.write(f"#{number}: {guide(open_context(), number, text, at_once=now)}\n")
    return 0
