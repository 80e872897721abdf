"""What is in every status file, and times without the imports that the standard library needs for them."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from issue_orch.core.record import SessionStatus
from issue_orch.store.files import BLANK, iso, seconds


def test_a_blank_status_has_every_field() -> None:
    assert list(BLANK) and set(BLANK) == set(SessionStatus.__annotations__)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 12, 31)))
def test_seconds_read_what_iso_wrote(moment: datetime) -> None:
    exact = moment.replace(microsecond=0, tzinfo=UTC)
    assert seconds(iso(exact.timestamp())) == exact.timestamp()
    assert seconds(exact.strftime("%Y-%m-%dT%H:%M:%SZ")) == exact.timestamp()


def test_anything_else_is_zero() -> None:
    wrong = ("", "soon", "2025-13-01T00:00:00Z", "2025-01-01 00:00:00Z", "2025-01-01")
    assert [seconds(text) for text in wrong] == [0.0] * 5
