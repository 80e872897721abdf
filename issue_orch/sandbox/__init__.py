"""A GitHub on 127.0.0.1 for the demo and for tests. Nothing here is part of what works on real repositories."""

from __future__ import annotations

from .server import Sandbox

__all__ = ["Sandbox"]
