"""`issue-orch stop`: end workers and all that they started; sessions and work stay."""

from __future__ import annotations

from functools import partial

from ..actions import steer
from .several import each_of

stop = partial(each_of, steer.stop)
