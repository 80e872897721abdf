"""What an issue waits for: GitHub's own blockers, sub-issues, lines in its text; and circles among them, named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from typing import Literal, NamedTuple

from .model import Blocker, Issue, RepoName
from .wording import Ref, said

SHOWN_PATH = 12  # issues of a circle that are named before the rest is left out
MOST_ASKED = 100  # issues that one text makes us ask for

Origin = Literal["github", "sub_issue", "text"]


class Unmet(NamedTuple):
    """One unmet dependency. `number` is None when it is not one issue of this repository."""

    name: str
    number: int | None
    title: str
    status: Literal["open", "not_planned", "unknown"]
    source: Origin


Known = Callable[[Ref], Blocker | None]
Linked = tuple[Blocker, ...] | None


def needs_blockers(issue: Issue) -> bool:
    """Whether the blockers must be fetched: open ones to name them, closed ones for how they were closed.

    Nothing is asked of servers that have no such summary.
    """
    return bool(issue.open_blockers or issue.total_blockers)


def needs_states(issues: Iterable[Issue], repo: str, known: Known) -> tuple[Ref, ...]:
    """What the texts of `issues` refer to and nobody knows yet: to be fetched, in order, each once; of a text that names
    very many the first ones."""
    found: dict[Ref, None] = {}
    for issue in issues:
        refs = [
            ref
            for ref in text_references(issue, repo)
            if isinstance(ref, Ref) and known(ref) is None
        ]
        found.update(dict.fromkeys(refs[:MOST_ASKED]))
    return tuple(found)


def unmet(
    issue: Issue, repo: str, blockers: Linked, sub_issues: Linked, known: Known
) -> tuple[Unmet, ...]:
    """Everything that the issue still waits for.

    `blockers` and `sub_issues` are as fetched: empty when nobody asked (GitHub's own count decides), None when they
    could not be read. A count that the server does not give is left to the text.
    """
    refs = text_references(issue, repo)
    if not (refs or issue.open_blockers or issue.sub_issues_total) and blockers == () == sub_issues:
        return ()  # nearly all of many issues
    children = max((issue.sub_issues_total or 0) - (issue.sub_issues_completed or 0), 0)
    linked = {
        (each.repo.casefold(), each.number) for each in (*(blockers or ()), *(sub_issues or ()))
    }
    own = [wait for ref in refs if ref not in linked and (wait := _from_text(ref, repo, known))]
    return (
        *_from_github(blockers, issue.open_blockers or 0, repo, "github"),
        *_from_github(sub_issues, children, repo, "sub_issue"),
        *own,
    )


def _from_github(linked: Linked, count: int, repo: str, source: Origin) -> list[Unmet]:
    """What of `linked` is unmet, with `count` open ones by GitHub's summary: those that are not listed are unknown."""
    what = "blocker" if source == "github" else "sub-issue"
    if linked is None:
        return [Unmet(f"its {what}s", None, "", "unknown", source)]
    if not linked:
        some = f"{count} open {what}{'s'[: count > 1]}"
        return [Unmet(some, None, "", "open", source)] if count else []
    waits = [wait for blocker in linked if (wait := _from_blocker(blocker, repo, source))]
    hidden = count - sum(wait.status == "open" for wait in waits)
    if hidden > 0:
        more = f"{hidden} more {what}{'s'[: hidden > 1]}"
        waits.append(Unmet(more, None, "", "unknown", source))
    return waits


def _from_blocker(blocker: Blocker, repo: str, source: Origin) -> Unmet | None:
    name, number = _named(blocker.repo, blocker.number, repo)
    if blocker.state == "open":
        return Unmet(name, number, blocker.title, "open", source)
    # What servers close without saying why (state_reason None), merged pulls among it, counts as completed.
    if blocker.state_reason in (None, "completed"):
        return None
    return Unmet(name, number, blocker.title, "not_planned", source)


def _from_text(ref: Ref | str, repo: str, known: Known) -> Unmet | None:
    if isinstance(ref, str):
        return Unmet(ref, None, "", "unknown", "text")
    if blocker := known(ref):
        return _from_blocker(blocker, repo, "text")
    return Unmet(*_named(ref.repo, ref.number, repo), "", "unknown", "text")


def _named(owner: RepoName, number: int, repo: str) -> tuple[str, int | None]:
    """What an issue is called from `repo`, and its number when it is one of it."""
    here = owner.casefold() == repo.casefold()
    return (f"#{number}", number) if here else (f"{owner}#{number}", None)


def text_references(issue: Issue, repo: str) -> tuple[Ref | str, ...]:
    return said(issue, repo).refs


def circles(edges: Mapping[int, Sequence[int]]) -> dict[int, str]:
    """For each issue whose dependencies lead into a circle: the way, `#3 -> #1 -> #2 -> #1`."""
    sorter = TopologicalSorter(edges)
    with suppress(CycleError):
        sorter.prepare()
    done: set[int] = set()
    while (
        free := sorter.get_ready()
    ):  # what waits for nothing else is taken away; what is never taken waits for a circle
        sorter.done(*free)
        done.update(free)
    ahead = {
        node: next(target for target in edges[node] if target not in done)
        for node in edges
        if node not in done
    }
    return {node: way_around(node, ahead) for node in ahead}


def way_around(node: int, ahead: Mapping[int, int]) -> str:
    steps = [node]
    while steps[-1] not in steps[:-1]:
        if len(steps) > SHOWN_PATH:
            return " -> ".join([*(f"#{step}" for step in steps), "…"])
        steps.append(ahead[steps[-1]])
    return " -> ".join(f"#{step}" for step in steps)
