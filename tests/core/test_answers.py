"""What an answer means."""

from __future__ import annotations

import pytest

from issue_orch.core.record import read_answer


@pytest.mark.parametrize(
    ("text", "options", "meant"),
    [
        ("1", ["left", "right"], "left"),
        (" 2 ", ["left", "right"], "right"),
        ("2.", ["left", "right"], "right"),
        ("(2)", ["left", "right"], "right"),
        ("#1", ["left", "right"], "left"),
        ("Option 1", ["left", "right"], "left"),
        ("1", ["2", "1"], "2"),
        ("30", ["15", "30"], "30"),
        ("7", [], "7"),
        ("²", ["left"], "²"),
        ("-1", ["left"], "-1"),
        ("1 or 2", ["left", "right"], "1 or 2"),
        ("9" * 5000, ["left"], "9" * 5000),
        ("left", ["left", "right"], "left"),
    ],
)
def test_the_number_of_an_option_is_that_option(text: str, options: list[str], meant: str) -> None:
    assert read_answer(text, options) == meant


@pytest.mark.parametrize("text", ["0", "3", "03", "3)", "option 9"])
def test_a_number_that_no_option_has_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="1 to 2"):
        read_answer(text, ["left", "right"])
