"""What `init` writes beside the configuration, and tries: agent, sign-in, labels, a push. What fails is said with its mend."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.approval import TEAM_FOLDER
from ..config.layers import REPOSITORY_FILE
from ..core.headline import LABELS
from ..errors import Expected, GitHubError
from ..git.remote import Remote, RemoteFailed, ask
from ..git.run import git
from ..terminal.io import confirm, say
from ..text import sanitise
from .agent_check import examine_agent
from .context import Context, connect

if TYPE_CHECKING:
    from ..github.client import GitHub

PROPOSED = "ready"
READY = ("0e8a16", "An agent may work on it")


def try_agent(context: Context) -> bool:
    """Whether the agent is there, runs and is signed in; a call of its model is not made."""
    try:
        found = [*examine_agent(context)]
    except Expected as error:
        found = [("error", error.message, error.hint, "")]
    for state, text, mend, name in found:
        if name not in ("budget", "trust"):  # doctor's
            say(
                f"Agent: {sanitise(text)}."
                if state == "ok"
                else f"Agent: {sanitise(text)}\n  next: {mend}"
            )
    return all(state != "error" for state, *_ in found)


def try_github(context: Context, labels: bool, yes: bool) -> bool:
    """Try what will be needed: sign-in, labels, a push. What fails is said with its mend; init goes on."""
    try:
        with connect(context) as gh:
            facts = gh.fetch_repo()
            say(f"GitHub: {context.name}, base {context.config.base or facts.default_branch}.")
            known = _check_labels(context, gh, labels, yes)
    except GitHubError as error:
        say(f"GitHub: {error.message}\n  next: {error.hint or 'issue-orch doctor'}")
        return False
    return _try_push(context) and known


def _check_labels(context: Context, gh: GitHub, create: bool, yes: bool) -> bool:
    """False when one was not made since another is probably meant: people find that out by issues that never start."""
    wanted = dict.fromkeys(context.config.ready_labels, READY)
    wanted |= LABELS if context.config.github_write_back else {}
    have = {name.casefold() for name in gh.fetch_labels()}
    missing = [name for name in wanted if name.casefold() not in have]
    doubtful = {name: near for name in missing if (near := _nearest(name, have))}
    meant = [name for name in missing if name not in doubtful]
    for name, near in doubtful.items():
        words = f'GitHub has no label "{name}"; do you mean "{near}"?'
        asked = create and not yes and sys.stdin.isatty()
        if asked and confirm(f'{words} Create "{name}" all the same?', False):
            meant.append(name)
        else:
            say(f"{words}\n  next: mend ready.labels in {REPOSITORY_FILE}")
    names = ", ".join(f'"{name}"' for name in meant)
    for name in meant if create else ():
        gh.create_label(name, *wanted[name])
    if meant:
        missed = f"GitHub has no label {names}: issue-orch init --labels"
        say(f"Created labels {names}." if create else missed)
    return not create or len(meant) == len(missing)


def _nearest(name: str, have: set[str]) -> str:
    """What was probably meant by a label that is not there; '' when nothing is near."""
    from difflib import get_close_matches

    if name.casefold() == PROPOSED:
        return ""
    return next(iter(get_close_matches(name.casefold(), {*have, PROPOSED}, 1, 0.75)), "")


def _try_push(context: Context) -> bool:
    refused, remote = find_push_problem(context), context.config.remote
    fine = ": works (tried without changing anything)."
    say(f"Push to {remote}{f' does not work: {sanitise(refused)}' if refused else fine}")
    return not refused


def find_push_problem(context: Context) -> str:
    """What a push would be refused with; empty when it works. A dry run: signs in, changes nothing."""
    flags = ("--dry-run", "--porcelain", "--no-verify", "--no-follow-tags")
    remote, trial = context.config.remote, context.config.branch.format(number=0)
    where = ("--recurse-submodules=no", "--", remote, f"HEAD:refs/heads/{trial}")
    try:
        done = ask(Remote(context.repo, remote, timeout=60), "push", *flags, *where)
        return done.stderr.strip() if done.code else ""
    except RemoteFailed as error:
        return error.message


def copy_templates(top: str) -> None:
    """The prompt templates, for a team that wants other words. Existing files stay."""
    from ..config.templates import builtin_folder

    folder = Path(top, TEAM_FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    for source in builtin_folder().glob("*.j2"):
        if not (folder / source.name).exists():
            shutil.copyfile(source, folder / source.name)
    say(
        f"Templates are in {TEAM_FOLDER}. Delete those that you do not change, then: issue-orch init --approve"
    )


def write_workflow(context: Context) -> None:
    """The cleanup workflow, for the default branch; our own is .github/workflows/cleanup.yml."""
    name = ".github/workflows/issue-orch-cleanup.yml"
    target = Path(context.repo.top, name)
    if target.exists():
        say(f"{name} exists; it stays as it is.")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    text = Path(__file__).parents[1].joinpath("cleanup.yml").read_text(encoding="utf-8")
    # Where it leads, fetched or not: a clone of a single branch has no ref of another one.
    folder = f"refs/remotes/{context.config.remote}/"
    head = git(context.repo, "symbolic-ref", "-q", f"{folder}HEAD", check=False).stdout.strip()
    base = context.config.base or head.removeprefix(folder) or "main"
    target.write_text(text.replace("branches: [main]", f"branches: [{json.dumps(base)}]"))
    say(f"Wrote {name}; its first lines say which runner it needs.")
