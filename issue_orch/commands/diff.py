"""`issue-orch diff`: what a session has changed since its branch left the base, as `git diff` shows it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

from ..core.record import SessionStatus
from ..errors import Expected
from ..git.run import Repo, find_admin_dir, find_repo, find_sha, git
from ..git.snapshot import difference
from ..git.trust import own_setting
from ..process.secret import without_tokens
from ..store.launch import load_launch
from ..store.look import find_state, load_session
from ..terminal.io import colours, say, width
from ..text import sanitise

_SGR = r"(\x1b\[[0-9;]*m)"  # the one escape sequence that git itself writes: colours


def diff(number: int, stat: bool) -> int:
    """Commits and what is not committed; from the branch alone where there is no worktree."""
    state, repo = find_state(), find_repo(os.getcwd())
    status, launch = load_session(state, number), load_launch(state, number)
    path, branch = status["worktreePath"], f"refs/heads/{status['branch']}"
    there = os.path.isdir(path) and find_admin_dir(repo, path) is not None
    head = find_sha(repo, "HEAD" if there else branch, path if there else None)
    if head is None:
        words = f"#{number}: neither its worktree {path} nor its branch is there"
        raise Expected(words, f"issue-orch show {number}")
    base = _base_of(repo, status, launch["remote"] if launch else "origin", head)
    options = ["--stat"] * stat + ["--color=always"] * _coloured(repo)
    text = difference(repo, path if there else None, base, head, options, width(sys.stdout))
    if text:
        _show(repo, text)
    else:
        say(f"#{number}: nothing is changed yet")
    return 0


def _base_of(repo: Repo, status: SessionStatus, remote: str, head: str) -> str:
    """The merge base with the base as git saw it last. Of what is on the base already, where the work began."""
    tip = find_sha(repo, f"refs/remotes/{remote}/{status['base']}")
    found = git(repo, "merge-base", tip, head, check=False).stdout.strip() if tip else ""
    over = found == head and status["pullRequestUrl"]
    return found if found and not over else status["baseSha"]


def _coloured(repo: Repo) -> bool:
    asked = ("config", "--get-colorbool", "color.diff", str(colours(sys.stdout)).lower())
    return git(repo, *asked, check=False).stdout.strip() == "true"


def _show(repo: Repo, text: str) -> None:
    """Through git's pager on a terminal, without what a terminal would obey; else as it is."""
    if not sys.stdout.isatty():
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
        return
    parts = re.split(_SGR, text)
    parts[::2] = map(sanitise, parts[::2])
    shown, pager = "".join(parts), _pager(repo)
    if pager in ("", "cat"):
        sys.stdout.write(shown)
        return
    env = {"LESS": "FRX", "LV": "-c", **without_tokens(os.environ)}  # as git does it
    raw = shown.encode("utf-8", "replace")
    signal.signal(signal.SIGINT, lambda *_: None)  # for the pager alone
    # By a shell, as git runs it: people have options and pipes in there.
    subprocess.run(["/bin/sh", "-c", pager], input=raw, env=env, check=False)


def _pager(repo: Repo) -> str:
    """As git chooses it, but not from the clone's own configuration, where a worker can write (threat S9)."""
    own = own_setting(repo, "pager.diff")
    if own in ("false", "no", "off", "0") or os.environ.get("TERM", "dumb") == "dumb":
        return ""
    named = own if own not in ("", "true", "yes", "on", "1") else ""
    asked = (named, os.environ.get("GIT_PAGER"), own_setting(repo, "core.pager"))
    return next(filter(None, (*asked, os.environ.get("PAGER"))), "less")
