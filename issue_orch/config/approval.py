"""What a repository sets counts, where it can do harm, only as a person approved it on this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import Expected
from ..store.files import load_json, write_json, write_text
from ..text import sanitise
from .keys import find_key

TEAM_FOLDER = ".github/issue-orch"  # templates
StrPath = str | os.PathLike[str]
APPROVED = "approved.json"


def to_approve(top: StrPath, team: Mapping[str, Any]) -> dict[str, Any]:
    """What counts only as approved, by name: such keys of the repository's file, and the templates by content."""
    asked = {
        name: value
        for name, value in sorted(team.items())
        if (key := find_key(name)) and key.approval and value != key.default
    }
    for name, text in _load_templates(top).items():
        asked[f"{TEAM_FOLDER}/{name}"] = fingerprint({"": text})
    return asked


def _load_templates(top: StrPath) -> dict[str, str]:
    folder = Path(top, TEAM_FOLDER)
    names = (file.relative_to(folder).as_posix() for file in sorted(folder.rglob("*.j2")))
    return {name: text for name in names if (text := load_template(top, name)) is not None}


def load_template(top: StrPath, name: str) -> str | None:
    """A template of the team, None when there is none. Raises Expected for a link: it could post any file of this machine."""
    folder = Path(top).resolve() / TEAM_FOLDER
    file = folder / name
    if not file.is_file():
        return None
    if file.resolve() != file:
        words = f"template {name}: lies outside of {TEAM_FOLDER}"
        raise Expected(words, f"put the file itself into {TEAM_FOLDER}")
    return file.read_text(encoding="utf-8", errors="replace")


def listing(asked: Mapping[str, Any], approved: Mapping[str, Any]) -> Iterator[str]:
    """Lines for a person who is to approve; JSON keeps every hidden character visible."""
    for name, value in asked.items():
        yield f"  {name} = {json.dumps(value)}"
    for name in sorted({name for names in approved.values() for name in names} - set(asked)):
        yield f"  {sanitise(name)} was approved before, and is not set any more"


def fingerprint(values: Mapping[str, Any]) -> str:
    from hashlib import sha256

    return sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def load_approved(state: StrPath) -> dict[str, Any]:
    """The fingerprint that was approved last, with the names it was given for; empty before the first approval."""
    return load_json(Path(state, APPROVED)) or {}


def approved_folder(state: StrPath) -> str:
    """Where the templates lie as approved, below TEAM_FOLDER: what is checked out meanwhile does not count."""
    return os.path.join(state, "approved")


def approve(state: StrPath, top: StrPath, asked: Mapping[str, Any]) -> None:
    """Record that a person approved this on this machine. Only the last approval counts: an older one was taken back."""
    folder = Path(approved_folder(state), TEAM_FOLDER)
    texts = {
        folder / name: text
        for name, text in _load_templates(top).items()
        if f"{TEAM_FOLDER}/{name}" in asked
    }
    for file in {*folder.rglob("*.j2")} - texts.keys():
        file.unlink()
    for file, text in texts.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, text, durable=True)
    write_json(Path(state, APPROVED), {fingerprint(asked): sorted(asked)}, durable=True)
