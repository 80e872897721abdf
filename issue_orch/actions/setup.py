"""What `init` writes beside the configuration, and tries: agent, sign-in, labels, a push. What fails is said with its mend."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.approval import TEAM_FOLDER
from ..core.headline import LABELS
from ..errors import Expected, GitHubError
from ..git.remote import Remote, RemoteFailed, ask
from ..git.run import git
from ..terminal.io import say
from ..text import sanitise
from .context import Context, connect
from .launch import require_agent

if TYPE_CHECKING:
    from ..github.client import GitHub

READY = ("0e8a16", "An agent may work on it")


def try_agent(context: Context) -> bool:
    try:
        require_agent(context)
    except Expected as error:
        say(f"Agent: {error.message}\n  next: {error.hint}")
        return False
    return True


def try_github(context: Context, labels: bool) -> bool:
    """Try what will be needed: sign-in, labels, a push. What fails is said with its mend; init goes on."""
    try:
        with connect(context) as gh:
            facts = gh.fetch_repo()
            say(f"GitHub: {context.name}, base {context.config.base or facts.default_branch}.")
            _check_labels(context, gh, labels)
    except GitHubError as error:
        say(f"GitHub: {error.message}\n  next: {error.hint or 'issue-orch doctor'}")
        return False
    return _try_push(context)


def _check_labels(context: Context, gh: GitHub, create: bool) -> None:
    wanted = dict.fromkeys(context.config.ready_labels, READY)
    wanted |= LABELS if context.config.github_write_back else {}
    have = {name.casefold() for name in gh.fetch_labels()}
    missing = [name for name in wanted if name.casefold() not in have]
    names = ", ".join(f'"{name}"' for name in missing)
    if create:
        for name in missing:
            gh.create_label(name, *wanted[name])
    if missing:
        missed = f"GitHub has no label {names}: issue-orch init --labels"
        say(f"Created labels {names}." if create else missed)


def _try_push(context: Context) -> bool:
    """A dry run: signs in, changes nothing."""
    flags = ("--dry-run", "--porcelain", "--no-verify", "--no-follow-tags")
    remote, trial = context.config.remote, context.config.branch.format(number=0)
    where = ("--recurse-submodules=no", "--", remote, f"HEAD:refs/heads/{trial}")
    try:
        done = ask(Remote(context.repo, remote, timeout=60), "push", *flags, *where)
        refused = done.stderr.strip() if done.code else ""
    except RemoteFailed as error:
        refused = error.message
    fine = ": works (tried without changing anything)."
    say(f"Push to {remote}{f' does not work: {sanitise(refused)}' if refused else fine}")
    return not refused


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
