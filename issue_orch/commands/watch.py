"""`issue-orch watch`: the one command that loads textual."""

from __future__ import annotations

import os
import sys

from ..errors import Usage
from ..local import find_state


def watch() -> int:
    state = find_state(os.getcwd())
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise Usage("watch needs a terminal", "issue-orch status, or issue-orch status --watch")
    from ..watch import Watch
    from .answer import give

    app = Watch(state, os.getcwd(), give)
    app.run()
    return 3 if app.return_code else 0
