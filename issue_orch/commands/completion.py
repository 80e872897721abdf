"""`issue-orch completion SHELL`: the script that a shell loads; it asks `issue-orch completion words …` in turn."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator

from ..errors import Expected, Usage
from ..local import find_state, look_all

SCRIPTS = {
    "bash": """\
_issue_orch() {
    local IFS=$'\\n'
    COMPREPLY=($(issue-orch completion words "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f 1))
}
complete -F _issue_orch issue-orch
""",
    "zsh": """\
_issue_orch() {
    local -a found
    found=(${(f)"$(issue-orch completion words "${(@)words[2,CURRENT]}" 2>/dev/null | tr '\\t' ':')"})
    _describe issue-orch found
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _issue_orch issue-orch
""",
    "fish": """\
complete -c issue-orch -f -a '(issue-orch completion words (commandline -opc)[2..] (commandline -ct | string collect -a))'
""",
}


def completion(words: list[str], sections: dict[str, str]) -> int:
    """The script for a shell, or after `words`: what can stand where the last of them is, a line each."""
    if words[:1] == ["words"]:
        before, last = (words[1:-1], words[-1]) if words[1:] else ([], "")
        rows = candidates(before, last, sections)
        sys.stdout.write("".join(f"{word}\t{text}\n" for word, text in rows if word.startswith(last)))
        return 0
    if len(words) != 1 or words[0] not in SCRIPTS:
        raise Usage(f"completion for which shell? One of {', '.join(SCRIPTS)}", "issue-orch completion --help")
    sys.stdout.write(SCRIPTS[words[0]])
    return 0


def candidates(before: list[str], last: str, sections: dict[str, str]) -> Iterator[tuple[str, str]]:
    if not before:
        yield from re.findall(r"(?m)^  (\w+) +(.+)", sections[""].split("\nWork:")[1].split("\nOptions:")[0])
    elif before[0] in sections:
        if last.startswith("-"):
            yield from re.findall(r"(?m)^  (?:-\w, )?(--[\w-]+).*?  (\S.*)", sections[before[0]])
        elif "ISSUE" in sections[before[0]].partition("\n")[0]:
            yield from known_issues()


def known_issues() -> Iterator[tuple[str, str]]:
    """The numbers of the sessions with their titles.

    A stranger wrote the titles, and a shell may evaluate what we print: nothing that it would act on is left in them.
    """
    try:
        seen, _ = look_all(find_state(os.getcwd()), time.time())
    except Expected:
        return
    for each in seen:
        yield str(each.status["issueNumber"]), re.sub(r"[^\w .,/+-]+", " ", each.status["issueTitle"])[:60]
