"""What `conflicts` finds: which branches of sessions would conflict, in the order in which they are best reviewed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from ..core.model import Branch, CommitSha
from ..core.record import PullFacts, SessionStatus
from ..errors import Expected
from ..git.merges import Prediction, predict
from ..git.run import find_sha, rev_parse
from ..store.files import iso, load_pull, load_sessions, write_json
from ..terminal.io import warn
from ..text import one_line
from .context import Context, fetch_base, refuse_changed_keys

Row = dict[str, Any]  # one session as printed with --json; docs/json.md describes it


def find_conflicts(context: Context) -> list[Row]:
    """They are noted too: `status` and `show` name them."""
    refuse_changed_keys(context)  # in a partial clone, predicting fetches
    found_rows = _find_rows(context)
    ready = _in_order(row for row in found_rows if row["pull"])
    rows = [*ready, *_in_order(row for row in found_rows if not row["pull"])]
    found = {str(row["number"]): words for row in rows if (words := [*words_of(row)])}
    write_json(context.state / "conflicts.json", {"at": iso(time.time()), "sessions": found})
    return rows


def _find_rows(context: Context) -> list[Row]:
    """Sessions with a branch whose pull is not merged or closed, grouped by the base that they end up in."""
    sessions: dict[Branch, SessionStatus] = {}
    mergeable: dict[Branch, bool | None] = {}
    for status in load_sessions(context.state)[0]:
        pull = load_pull(context.state, status["issueNumber"]) or PullFacts()
        if status["status"] != "cancelled" and pull.get("state") != "closed":
            branch = status["branch"]
            sessions[branch], mergeable[branch] = status, pull.get("mergeable")
    groups: dict[Branch, dict[Branch, CommitSha]] = {}
    for branch, status in sessions.items():
        sha = find_sha(context.repo, f"refs/heads/{branch}")
        if sha and (
            sha != status["baseSha"] or status["pullRequestUrl"]
        ):  # else there is nothing yet
            base = status["base"]
            for _ in sessions:  # below a stack: the base of its lowest session
                base = sessions[base]["base"] if base in sessions else base
            groups.setdefault(base, {})[branch] = sha
    return [
        _row(sessions, branch, mergeable[branch], found)
        for base, heads in sorted(groups.items())
        for found in [predict(context.repo, _find_base(context, base), heads)]
        for branch in heads
    ]


def _row(
    sessions: dict[Branch, SessionStatus], branch: Branch, mergeable: bool | None, found: Prediction
) -> Row:
    status = sessions[branch]
    others = sorted(
        (sessions[b if a == branch else a]["issueNumber"], files)
        for (a, b), files in found.pairs.items()
        if branch in (a, b)
    )
    below = sessions.get(status["base"])
    return {
        "number": status["issueNumber"],
        "title": status["issueTitle"],
        "branch": branch,
        "base": status["base"],
        "stackedOn": below and below["issueNumber"],
        "againstBase": list(found.against_base.get(branch, ())),
        "others": [{"number": other, "files": list(files)} for other, files in others],
        "mergeable": mergeable,
        "pull": status["pullRequestUrl"],
    }


def _find_base(context: Context, base: Branch) -> CommitSha:
    """The remote's base as it is now, or as it was last seen when the remote cannot be reached."""
    try:
        return fetch_base(context, base)
    except Expected as error:
        warn(f"{base} as last fetched: {one_line(error.message, 200)}")
    return rev_parse(context.repo, f"refs/remotes/{context.config.remote}/{base}")


def _in_order(rows: Iterable[Row]) -> list[Row]:
    """As they are best reviewed: what others are stacked on first, then those with the fewest conflicts."""
    left = sorted(
        rows, key=lambda row: (len(row["others"]) + bool(row["againstBase"]), row["number"])
    )
    done: list[Row] = []
    while left:
        numbers = {row["number"] for row in left}
        done.append(next((row for row in left if row["stackedOn"] not in numbers), left[0]))
        left.remove(done[-1])
    return done


def words_of(row: Row) -> Iterator[str]:
    if row["againstBase"]:
        yield f"{row['base']}: {', '.join(row['againstBase'])}"
    for other in row["others"]:
        yield f"#{other['number']}: {', '.join(other['files'])}"
