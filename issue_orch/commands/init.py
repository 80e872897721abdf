"""`issue-orch init`: find out what can be found out, ask little, write .issue-orch.toml, approve it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..actions.context import (
    Context,
    connect,
    keys_changed,
    numbers,
    open_context,
    remote_url,
    token_of,
)
from ..actions.launch import check_agent
from ..actions.spawn import last_base
from ..agents.registry import NAMES
from ..config import layers
from ..config.keys import commented_file
from ..core.headline import LABELS
from ..errors import Expected, GitHubError, Usage
from ..git import remote as push
from ..git.run import Repo, dangerous_keys, find_repo
from ..github.sign_in import Token, parse_remote
from ..store.files import make_state, session_folder, write_json, write_text
from ..terminal.io import ask, confirm, say
from ..text import sanitise

if TYPE_CHECKING:
    from ..github.client import GitHub

READY = ("0e8a16", "An agent may work on it")


def init(
    yes: bool,
    repo: str | None,
    agent: str | None,
    base_url: str | None,
    approve_only: bool,
    workflows: bool,
    templates: bool,
    labels: bool,
) -> int:
    clone = find_repo(os.getcwd())
    state = make_state(clone.common_dir)
    given = {"repo": repo, "agent": agent, "github.base_url": base_url}
    wrote = not approve_only and _write_configuration(clone, yes, given)
    if templates:
        _copy_templates(clone)
    _approve_configuration(clone, state, yes or wrote)
    context = open_context()
    found, name = context.config, context.name
    upstream = parse_remote(remote_url(clone, "upstream") or "")
    if upstream and not (approve_only or found.repo) and upstream[1].lower() != name.lower():
        raise Expected(
            f"{name} looks like a fork of {upstream[1]}; issue-orch works in one repository, without forks",
            f'clone {upstream[1]}; or, to work in the fork, set repo = "{name}" in {layers.REPOSITORY_FILE}',
        )
    if approve_only:
        _approve_git(context, yes)
    if workflows:
        seen = last_base(context)
        _write_workflow(clone, found.base or (seen.branch if seen else "main"))
    if not approve_only:
        fine = all([_try_agent(context), _try_github(context, labels)])
        say("\nNext: issue-orch plan" if fine else "\nNext: mend that, then: issue-orch doctor")
    return 0


def _write_configuration(clone: Repo, yes: bool, given: dict[str, str | None]) -> bool:
    """Write the file when there is none, and say so. An existing one is the team's: it stays as it is."""
    file = Path(clone.top, layers.REPOSITORY_FILE)
    values: dict[str, Any] = {name: value for name, value in given.items() if value}
    if file.exists():
        layers.load_team(clone.top)
        if values:
            wanted = "; ".join(f"{name} = {json.dumps(value)}" for name, value in values.items())
            raise Usage(f"{file.name} exists already", f"write it there yourself: {wanted}")
        say(f"{file.name} exists and is valid; it stays as it is.")
        return False
    if not parse_remote(remote_url(clone, "origin") or "") and "repo" not in values:
        values["repo"] = _ask(yes, "GitHub repository (owner/name)", "")
    if "agent" not in values:
        values["agent"] = _ask(
            yes, f"Agent ({', '.join(NAMES[:-1])})", next(filter(shutil.which, NAMES), NAMES[0])
        )
    label = _ask(yes, "Label of issues that are ready", "ready")
    back = _ask(
        yes,
        "Show progress on the issues, by a comment and labels, and take answers there (y/n)",
        "n",
    ).lower()
    values |= {
        "ready.labels": (label,),
        "max_workers": 2,
        "github.write_back": back in {"y", "yes"},
    }
    write_text(file, commented_file({name: value for name, value in values.items() if value}))
    say(f"Wrote {file.name}. Commit it, so that your team shares it.")
    return True


def _ask(yes: bool, what: str, default: str) -> str:
    if yes or not sys.stdin.isatty():
        return default
    return ask(f"{what} [{default}]: " if default else f"{what}: ") or default


def _approve_configuration(clone: Repo, state: Path, yes: bool) -> None:
    """What of the repository needs approval is shown, and approved by its content."""
    asked = layers.to_approve(clone.top, layers.load_team(clone.top))
    approved = layers.load_approved(state)
    if not asked and not any(approved.values()):
        return
    rows = "\n".join(layers.listing(asked, approved))
    say(f"{layers.REPOSITORY_FILE} and {layers.TEAM_FOLDER} set:\n{rows}")
    _ask_approval(
        yes or layers.fingerprint(asked) in approved,
        f"edit {layers.REPOSITORY_FILE}, then: issue-orch init --approve",
    )
    layers.approve(state, clone.top, asked)
    say("Approved on this machine. A change of this needs it again.")


def _approve_git(context: Context, yes: bool) -> None:
    """Keys of git's configuration that run something, and changed after a worker started, are shown and noted anew."""
    now = dangerous_keys(context.repo, context.config.remote)
    changed = keys_changed(context, now)
    if not changed:
        return
    say(
        "The git configuration can run commands, or send what is fetched and pushed elsewhere. Changed are:"
    )
    for key, issues in changed.items():
        say(
            f"  {sanitise(key)}, after {numbers(issues)} started (git config --show-origin --get-all {sanitise(key)})"
        )
    _ask_approval(yes, "undo what is not yours: git config --unset KEY")
    for number in {number for issues in changed.values() for number in issues}:
        write_json(session_folder(context.state, number) / "keys.json", now)
    say("Approved as it is now.")


def _ask_approval(yes: bool, otherwise: str) -> None:
    if not yes and sys.stdin.isatty() and not confirm("Approve this on this machine?", False):
        raise Expected("not approved", otherwise)


def _try_agent(context: Context) -> bool:
    try:
        check_agent(context, context.config.agent)
    except Expected as error:
        say(f"Agent: {error.message}\n  next: {error.hint}")
        return False
    return True


def _try_github(context: Context, labels: bool) -> bool:
    """Try what will be needed: sign-in, labels, a push. What fails is said with its mend; init goes on."""
    token = token_of(context)
    try:
        with connect(context, token) as gh:
            facts = gh.fetch_repo()
            say(f"GitHub: {context.name}, base {context.config.base or facts.default_branch}.")
            _check_labels(context, gh, labels)
    except GitHubError as error:
        say(f"GitHub: {error.message}\n  next: {error.hint or 'issue-orch doctor'}")
        return False
    return _try_push(context, token)


def _check_labels(context: Context, gh: GitHub, create: bool) -> None:
    wanted = dict.fromkeys(context.config.ready_labels, READY)
    wanted |= LABELS if context.config.github_write_back else {}
    have = {name.casefold() for name in gh.fetch_labels()}
    missing = [name for name in wanted if name.casefold() not in have]
    for name in missing if create else ():
        gh.create_label(name, *wanted[name])
    names = ", ".join(f'"{name}"' for name in missing)
    if missing:
        missed = f"GitHub has no label {names}: issue-orch init --labels"
        say(f"Created labels {names}." if create else missed)


def _try_push(context: Context, token: Token | None) -> bool:
    """A dry run: signs in, changes nothing."""
    flags = [
        "--dry-run",
        "--porcelain",
        "--no-verify",
        "--no-follow-tags",
        "--recurse-submodules=no",
    ]
    remote, trial = context.config.remote, context.config.branch.format(number=0)
    words = ("push", *flags, "--", remote, f"HEAD:refs/heads/{trial}")
    try:
        done = push.ask(context.repo, remote, token, *words, timeout=60)
        refused = done.stderr.strip() if done.code else ""
    except push.RemoteFailed as error:
        refused = error.message
    fine = ": works (tried without changing anything)."
    say(f"Push to {remote}{f' does not work: {sanitise(refused)}' if refused else fine}")
    return not refused


def _copy_templates(clone: Repo) -> None:
    """The prompt templates, for a team that wants other words. Existing files stay."""
    from ..config.templates import builtin_folder

    folder = Path(clone.top) / layers.TEAM_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for source in sorted(builtin_folder().glob("*.j2")):
        if not (folder / source.name).exists():
            shutil.copyfile(source, folder / source.name)
    say(
        f"Templates are in {layers.TEAM_FOLDER}. Delete those that you do not change, then: issue-orch init --approve"
    )


def _write_workflow(clone: Repo, base: str) -> None:
    """The cleanup workflow, for a repository whose default branch is `base`; our own is .github/workflows/cleanup.yml."""
    target = Path(clone.top) / ".github" / "workflows" / "issue-orch-cleanup.yml"
    if target.exists():
        say(f"{target.relative_to(clone.top)} exists; it stays as it is.")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    text = Path(__file__).parents[1].joinpath("cleanup.yml").read_text(encoding="utf-8")
    target.write_text(text.replace("branches: [main]", f"branches: [{json.dumps(base)}]"))
    say(f"Wrote {target.relative_to(clone.top)}; its first lines say which runner it needs.")
