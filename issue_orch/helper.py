"""Where supervisors that a version of before the rooms started look for their helper (docs/upgrading.md)."""

from __future__ import annotations

import sys

from .worker.helper import main

if __name__ == "__main__":
    sys.exit(main())
