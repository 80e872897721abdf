"""The published schema of the status file says what the program writes."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

import issue_orch
from issue_orch.core.record import SessionStatus, new_status
from issue_orch.store.files import load_status, make_session, make_state, save_status

SCHEMA = json.loads(Path(issue_orch.__file__).with_name("status.schema.json").read_text())
FIELDS = {
    "branch": "issue-1",
    "worktreePath": "/w",
    "startedAt": "2026-01-02T03:04:05Z",
    "baseSha": "a" * 40,
}


def test_the_schema_names_every_field_and_no_other() -> None:
    assert list(SCHEMA["properties"]) == list(SessionStatus.__annotations__)


def test_a_new_status_file_is_valid(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    make_session(state, 1)
    save_status(state, new_status(1, **FIELDS))
    jsonschema.validate(json.loads((state / "sessions/1/status.json").read_text()), SCHEMA)
    assert load_status(state, 1) == new_status(1, **FIELDS)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "done"),
        ("attempt", -1),
        ("hold", "asleep"),
        ("startedAt", "yesterday"),
        ("cost", None),
        ("question", {}),
    ],
)
def test_the_schema_refuses(field: str, value: object) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(new_status(1, **FIELDS) | {field: value}, SCHEMA)
