"""`issue-orch pause`: let the current turn of workers end, then hold them."""

from __future__ import annotations

from functools import partial

from ..actions import steer
from .several import each_of

pause = partial(each_of, steer.pause)
