"""Which agents are on this machine, as far as can be told without a call of a model (for `doctor`)."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .. import process
from ..errors import Expected
from . import NAMES, environment, load


class Installed(NamedTuple):
    """An agent on this machine. `signed_in` names where a sign-in was found, None when none was.

    `problem` is set when it does not run or when its version is known to be bad.
    """

    name: str
    path: str | None
    version: str | None
    signed_in: str | None
    problem: str | None


def look(env: Mapping[str, str], programs: Mapping[str, str], names: Iterable[str] = NAMES) -> list[Installed]:
    """Every agent that has a program of its own; `programs` are those that the configuration gives by name."""
    adapters = {name: load(name) for name in names}
    return [
        _look(name, programs.get(name, adapter.PROGRAM), env)
        for name, adapter in adapters.items() if programs.get(name, adapter.PROGRAM)
    ]


def _look(name: str, program: str, env: Mapping[str, str]) -> Installed:
    adapter = load(name)
    path = shutil.which(program, path=env.get("PATH"))
    if path is None:
        return Installed(name, None, None, adapter.signed_in(env), None)
    version, problem = None, None
    try:
        done = process.run(path, "--version", env=environment(env, adapter), timeout=30)
        found = re.search(r"\d+\.\d+\.\d+\S*", done.stdout)
        version = found[0] if found else None
        problem = adapter.KNOWN_BAD.get(version or "")
    except Expected as error:
        problem = error.message
    return Installed(name, path, version, adapter.signed_in(env), problem)
