"""`issue-orch cancel`: end workers, and give their sessions up."""

from __future__ import annotations

from functools import partial

from ..actions import steer
from .several import each_of

cancel = partial(each_of, steer.cancel)
