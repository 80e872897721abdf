"""`issue-orch open`: the pull or the issue in the browser, or the worktree in the editor."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import webbrowser

from ..errors import Expected, Usage
from ..git.run import find_repo
from ..git.trust import own_setting
from ..process.secret import TOKENS, without_tokens
from ..store.look import find_state, load_session, load_worktree
from ..terminal.sessions import is_link


def open(number: int, editor: bool, pull: bool, issue: bool) -> int:
    """Without a flag the pull, or the issue while there is none."""
    if editor + pull + issue > 1:
        raise Usage("--editor, --pull and --issue: one of them", f"issue-orch open {number}")
    if editor:
        return _edit(number)
    status = load_session(find_state(), number)
    if pull and not status["pullRequestUrl"]:
        raise Expected(f"#{number} has no pull yet", f"issue-orch open {number} --issue")
    url = (not issue and status["pullRequestUrl"]) or status["issueUrl"]
    _browse(number, url)
    return 0


def _browse(number: int, url: str) -> None:
    """The address is printed first: over ssh it is what people need."""
    if not is_link(url):
        raise Expected(f"#{number}: {url!r} is no address", f"issue-orch show {number}")
    print(url, flush=True)
    for name in TOKENS:
        os.environ.pop(name, None)  # the browser is started with what is left
    if not webbrowser.open(url):
        raise Expected("no browser could be started here", "set BROWSER, or open the address")


def _edit(number: int) -> int:
    argv, where = editor_of(number)
    return subprocess.run(argv, cwd=where, env=without_tokens(os.environ), check=False).returncode


def editor_of(number: int) -> tuple[list[str], str]:
    """The person's editor with the worktree, to be run there. The one of git's user: what stands in the clone's own
    configuration a worker can have written (threat S9)."""
    where = load_worktree(find_state(), number)
    named = next(filter(None, map(os.environ.get, ("VISUAL", "EDITOR"))), "")
    named = named or own_setting(find_repo(os.getcwd()), "core.editor")
    again = f"EDITOR=vi issue-orch open {number} --editor"
    try:
        words = shlex.split(named)
    except ValueError as error:  # a quote that is not closed
        raise Expected(f"the editor {named}: {error}", again) from None
    if not words:
        raise Expected(
            "no editor is set: VISUAL, EDITOR, or git config --global core.editor", again
        )
    program = shutil.which(words[0])  # here: in the worktree a relative name would be the worker's
    if program is None:
        raise Expected(f"the editor {words[0]} is not installed", again)
    return [os.path.abspath(program), *words[1:], where], where
