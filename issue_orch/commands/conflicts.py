"""`issue-orch conflicts`: which branches of sessions would conflict, and in which order to review them."""

from __future__ import annotations

from collections.abc import Iterator

from ..actions.conflicts import Row, find_conflicts, words_of
from ..actions.context import open_context
from ..terminal.io import print_json
from ..text import one_line, sanitise


def conflicts(as_json: bool) -> int:
    rows = find_conflicts(open_context())
    if as_json:
        print_json(sessions=rows)
    else:
        print(*_text_of(rows), sep="\n")
    return 0


def _text_of(rows: list[Row]) -> Iterator[str]:
    if not rows:
        yield "No open sessions with commits."
        return
    ready = [row for row in rows if row["pull"]]
    if ready:
        yield "Suggested review order (textually clean: git can merge it; tests tell the rest):"
    for at, row in enumerate(ready, 1):
        github = {True: "mergeable", False: "conflicts", None: "not known"}[row["mergeable"]]
        yield from _lines_of(row, f"{at}. ", f"; GitHub: {github}")
    if len(ready) < len(rows):
        yield "Not to be reviewed yet, for lack of a pull:"
    for row in rows[len(ready) :]:
        yield from _lines_of(row)


def _lines_of(row: Row, place: str = "", about: str = "") -> Iterator[str]:
    stacked = f", stacked on #{row['stackedOn']}" if row["stackedOn"] else ""
    title = one_line(row["title"], 40)
    yield f"  {place}#{row['number']} {title} ({row['branch']}{stacked}{about})"
    lines = [f"conflicts with {sanitise(words)}" for words in words_of(row)]
    yield from (f"     {line}" for line in lines or ["textually clean"])
