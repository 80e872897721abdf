"""CommonMark by markdown-it, with the tables, footnotes and strike-through of GFM, and the place of each link, picture and
piece of HTML noted."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

DEEPEST = 50  # containers in containers; what lies deeper is left out
# Each level costs another look at the rest; links in brackets that go deeper are not known.
_DEEPEST_BRACKETS = 8


@cache
def parser() -> MarkdownIt:
    from markdown_it import MarkdownIt
    from markdown_it.rules_inline import html_inline, image, link
    from mdit_py_plugins.footnote import footnote_plugin

    class Parser(MarkdownIt):
        def validateLink(self, url: str) -> bool:
            """GitHub takes an address away that it does not like, and the link stays one."""
            return True

        def normalizeLink(self, url: str) -> str:
            return url

    found = Parser("commonmark", {"inline_definitions": True, "maxNesting": DEEPEST})
    found.enable(["table", "strikethrough"])
    found.use(footnote_plugin, inline=False, move_to_end=False, always_match_refs=True)
    for name, rule in (("link", link), ("image", image), ("html_inline", html_inline)):
        found.inline.ruler.at(name, _noting(rule))
    return found


def _noting(rule: Callable[[Any, bool], bool]) -> Callable[[Any, bool], bool]:
    """The rule, which notes in its token where in the text of the block it matched: markdown-it does not say."""

    def noted(state: Any, silent: bool) -> bool:
        start, index = state.pos, len(state.tokens) + bool(state.pending)
        if silent and state.level >= _DEEPEST_BRACKETS and state.src.startswith(("[", "!["), start):
            state.env.setdefault("deep", set()).add(state.src)
            state.pos = state.posMax  # as markdown-it does, later
            return True
        found = rule(state, silent)
        if found and not silent:
            token = state.tokens[index]
            label = token.type == "link_open" and state.md.helpers.parseLinkLabel(
                state, start, True
            )
            token.meta["at"] = start, label + 1, state.pos
        return found

    return noted
