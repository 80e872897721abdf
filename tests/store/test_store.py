"""What is in every status file, times without the imports that they need elsewhere, and what holds a report back."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issue_orch.core.record import SessionStatus, new_status
from issue_orch.store.files import BLANK, iso, make_session, make_state, save_status, seconds
from issue_orch.store.inbox import pending, send, write_context
from issue_orch.store.ledger import booked_all


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


def test_only_what_the_worker_was_not_given_holds_its_claim_back(tmp_path: Path) -> None:
    """A receipt may come late, on a full disk or a busy machine: the prompt that the worker read had the message."""
    state = make_state(tmp_path)
    make_session(state, 1)
    status = new_status(
        1, status="working", issueTitle="A task", branch="issue-1", worktreePath=str(tmp_path)
    )
    save_status(state, status)

    def claims() -> bool:
        words = [sys.executable, "-m", "issue_orch", "report", "complete", "--title", "Done"]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or "guidance for you that you have not seen" in done.stderr
        return done.returncode == 0

    send(state, 1, "guidance", "left", question="12-3")
    write_context(status, "acme/widgets", state)
    assert not claims(), "as an older supervisor writes it"
    write_context(status, "acme/widgets", state, pending(state, 1))
    assert claims()
    send(state, 1, "pause")
    assert claims(), "a control message is none for the worker"
    send(state, 1, "guidance", "and right")
    assert not claims()


def test_what_cannot_be_listed_is_not_empty(tmp_path: Path) -> None:
    """Else an answer would not be seen, and what was spent would count as nothing."""
    state = make_state(tmp_path)
    for folder in (state / "ledger", state / "sessions" / "1" / "inbox"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(exist_ok=True)
        folder.touch()
    with pytest.raises(NotADirectoryError):
        booked_all(state)
    with pytest.raises(NotADirectoryError):
        pending(state, 1)


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK])
def test_the_first_answer_wins_where_no_links_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def no_link(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", no_link)
    state = make_state(tmp_path)
    make_session(state, 1)
    with ThreadPoolExecutor(8) as pool:
        sent = list(
            pool.map(lambda text: send(state, 1, "guidance", str(text), question="q"), range(8))
        )
    assert [each.answers for each in sent].count(True) == 1
    assert {each["text"] for each in pending(state, 1)} == {str(number) for number in range(8)}
    monkeypatch.undo()
    assert not send(state, 1, "guidance", "late", question="q").answers


def test_an_answer_of_before_is_not_replaced_where_no_links_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = make_state(tmp_path)
    make_session(state, 1)
    assert send(state, 1, "guidance", "first", question="q").answers

    def no_link(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_link)
    assert not send(state, 1, "guidance", "second", question="q").answers
    assert [each["text"] for each in pending(state, 1)] == ["first", "second"]
