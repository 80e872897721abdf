"""What is written about the program is what the program does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent
PAGES = sorted([TOP / "README.md", *(TOP / "docs").glob("*.md")])


def test_the_references_are_current() -> None:
    done = subprocess.run([sys.executable, TOP / "scripts" / "docs", "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_are_named_exist(page: Path) -> None:
    from typer.main import get_command

    from issue_orch.cli import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    text = page.read_text()
    code = re.findall(r"(?s)```.*?```|`[^`\n]+`", text)
    named = {name for part in code for name in re.findall(r"(?:^|[`$(]|&&) *issue-orch ([a-z]+)\b", part, re.MULTILINE)}
    assert named <= known, f"{page.name}: {sorted(named - known)}"
