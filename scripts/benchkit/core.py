"""Rows of work that is done in memory or by git alone: the plan, and predicted conflicts."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from itertools import combinations, pairwise
from typing import Any

from issue_orch.core.model import Issue
from issue_orch.core.plan import plan as make_plan
from issue_orch.core.ready import Facts, Rules, index_of, why_not

from .place import Place

FILES = [f"src/d{number // 100}/f{number}.py" for number in range(3_500)]
PREDICT = """\
import json, os, sys, time
from issue_orch.git import merges
from issue_orch.git.run import find_repo
repo = find_repo(os.getcwd())
base, *heads = sys.argv[1:]
begun = time.perf_counter()
found = merges.predict(repo, base, {f"work-{n}": head for n, head in enumerate(heads)})
print(json.dumps([(time.perf_counter() - begun) * 1000, len(found.pairs)]))
"""


def issues_json(count: int) -> str:
    """Open issues, three in ten of them with a dependency, each with one to three declared files."""
    chance = random.Random(count)
    rows = []
    for number in range(1, count + 1):
        depends = (
            f"Depends on #{chance.randrange(1, number)}\n\n"
            if number > 1 and chance.random() < 0.3
            else ""
        )
        named = ", ".join(chance.sample(FILES, chance.randrange(1, 4)))
        rows.append(
            {
                "number": number,
                "title": f"Add part {number} to the menu",
                "author": "ann",
                "url": f"https://github.com/a/w/issues/{number}",
                "body": f"{depends}As a user I want part {number}, so that the work is done.\n\nFiles: {named}",
                "labels": ["ready"],
                "state": "open",
                "state_reason": None,
                "assignees": [],
                "milestone": None,
                "created_at": "2025-01-01T00:00:00Z",
                "is_pull": False,
                "open_blockers": 0,
                "total_blockers": 0,
                "sub_issues_total": 0,
                "sub_issues_completed": 0,
            }
        )
    return json.dumps(rows)


def facts_of(rows: list[dict[str, Any]]) -> Facts:
    issues = tuple(
        Issue(**{**row, "labels": tuple(row["labels"]), "assignees": ()}) for row in rows
    )
    return Facts("a/w", issues, tree=frozenset(FILES))


def plan(count: int) -> Callable[[Place, int], Iterator[tuple[float, float]]]:
    """From the parsed JSON to the plan, against parsing it."""

    def measure(place: Place, rounds: int) -> Iterator[tuple[float, float]]:
        text = issues_json(count)
        for number in range(rounds + 1):
            begun = time.perf_counter()
            rows = json.loads(text)
            parsed = time.perf_counter()
            make_plan(facts_of(rows), Rules(trust=False), 5)
            ended = time.perf_counter()
            if number:
                yield (ended - parsed) * 1000, (parsed - begun) * 1000

    return measure


def plan_phases(place: Place) -> str:
    rows = json.loads(issues_json(10_000))
    marks = [time.perf_counter()]
    facts = facts_of(rows)
    marks.append(time.perf_counter())
    index = index_of(facts)
    marks.append(time.perf_counter())
    for issue in facts.issues:
        why_not(issue, facts, Rules(trust=False), index)
    marks.append(time.perf_counter())
    values, indexed, why = ((b - a) * 1000 for a, b in pairwise(marks))
    return f"values {values:.0f} ms, references {indexed:.0f}, why not {why:.0f}, the rest is files and order"


def conflicts(place: Place, rounds: int) -> Iterator[tuple[float, float]]:
    """Branches that change three of forty files each: about every fifth pair shares one."""
    place.make_clone(3_500, 0)
    heads = make_branches(place, 20)
    base = place.git("rev-parse", "main")
    for number in range(rounds + 1):
        done = place.stack_run(PREDICT, base, *heads)
        begun = time.perf_counter()
        for one, other in combinations(heads, 2):
            place.merges(one, other)
        lasted = (time.perf_counter() - begun) * 1000
        if number:
            yield done, lasted


def make_branches(place: Place, count: int) -> list[str]:
    chance = random.Random(count)
    parts = []
    for number in range(count):
        parts.append(
            f"commit refs/heads/work-{number}\ncommitter Bench <bench@example.org> 1700000001 +0000\ndata 4\nWork\n"
            "from refs/heads/main^0\n"
        )
        parts += [
            f"M 100644 inline {name}\ndata {len(str(number)) + 1}\n{number}\n"
            for name in chance.sample(FILES[:40], 3)
        ]
    place.git("fast-import", "--quiet", stdin="".join(parts))
    return [place.git("rev-parse", f"work-{number}") for number in range(count)]
