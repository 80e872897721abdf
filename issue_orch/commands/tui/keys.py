"""The keys of `watch`: what each does, the line at the bottom, and the help."""

from __future__ import annotations

from typing import NamedTuple

from textual.binding import Binding, BindingType
from textual.content import Content

from ...text import display_width

# What opens a box has priority: what is typed next is for the box. So has tab, which would move the focus.
AT_ONCE = ("answer", "box", "turn")


class Key(NamedTuple):
    """`label` is its name at the bottom; without one it is in the help alone."""

    keys: str
    action: str
    label: str
    purpose: str


KEYS = (
    Key("a", "answer", "Answer", "answer, or tell the worker something"),
    Key("space", "question", "Next", "go to the next open question"),
    Key("n", "box('spawn')", "New", "start a worker: asks for the issue"),
    Key("p", "steer('pause')", "Pause", "let the turn end, then hold"),
    Key("r", "steer('resume')", "Resume", "go on after a pause, a stop, a crash"),
    Key("s", "steer('stop')", "Stop", "end the worker; session and work stay"),
    Key("o", "browse", "Open", "open pull or issue in the browser"),
    Key("e", "edit", "Edit", "the worktree in $VISUAL or $EDITOR"),
    Key("slash", "box('filter')", "Filter", "filter by number, headline or title"),
    Key("A", "attach", "Attach", "take it over by hand, in this terminal"),
    Key("D", "steer('cancel')", "Cancel", "end the worker, give the session up"),
    Key("P", "prune", "Prune", "remove the worktree of what is over"),
    Key("1", "number(1)", "", "that option; where none is, that tab"),
    Key("v", "tab('overview')", "", "question, plan, guidance, timeline"),
    Key("l", "tab('log')", "", "what the agent says and does, live"),
    Key("d", "tab('diff')", "", "what the worktree has over its base"),
    Key("w", "tab('why')", "", "why it has its headline"),
    Key("tab", "turn", "", "the next of these four"),
    Key("j,down", "move(1)", "", "the next session"),
    Key("k,up", "move(-1)", "", "the previous session"),
    Key("J,pagedown", "scroll(1)", "", "scroll down"),
    Key("K,pageup", "scroll(-1)", "", "scroll up"),
    Key("escape", "leave", "", "out of a box; no filter, no messages"),
    Key("question_mark", "help", "Help", "this list"),
    Key("q,ctrl+c", "quit", "Quit", "leave; workers go on"),
)
_NAMES = {
    "slash": "/",
    "question_mark": "?",
    "q,ctrl+c": "q",
    "1": "1-9",
    "J,pagedown": "J, pgdn",
    "K,pageup": "K, pgup",
    "escape": "esc",
}
_LAST = KEYS[-2:]  # of the line at the bottom, whatever else has room
_HELP = (
    "\nWarm colours want you, cool ones wait.\n"
    "Each is a command too: issue-orch --help\nEscape closes this."
)


def bindings() -> list[BindingType]:
    named = [
        Binding(key.keys, key.action, priority=key.action.partition("(")[0] in AT_ONCE)
        for key in KEYS
    ]
    return [*named, *(Binding(str(at), f"number({at})") for at in range(2, 10))]


def name_of(key: Key) -> str:
    return _NAMES.get(key.keys) or key.keys.replace(",", ", ")


def foot_content(width: int, typing: bool) -> Content:
    """As many keys as have room whole; the help has the rest."""
    if typing:
        return Content.from_markup(" [b]enter[/b] Send  [@click=app.leave][b]esc[/b] Back[/]")
    shown: list[Key] = []
    for key in (each for each in KEYS[:-2] if each.label):
        if display_width(_foot_text([*shown, key, *_LAST])) <= width:
            shown.append(key)
    parts = (
        f"[@click=app.{key.action}][b]{name_of(key)}[/b] {key.label}[/]" for key in (*shown, *_LAST)
    )
    return Content.from_markup(" " + "  ".join(parts))


def _foot_text(keys: list[Key]) -> str:
    return " " + "  ".join(f"{name_of(key)} {key.label}" for key in keys)


def help_text() -> str:
    return "\n".join([*(f"{name_of(key):<8} {key.purpose}" for key in KEYS), _HELP])
