"""`issue-orch init`: find out what can be found out, ask little, write .issue-orch.toml, approve it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ..actions.context import (
    Context,
    how_to_undo,
    look_at_keys,
    numbers,
    open_context,
    refuse_other_forge,
    remote_url,
)
from ..actions.setup import copy_templates, try_agent, try_github, write_workflow
from ..agents.registry import installed
from ..config import approval, layers
from ..config.keys import BUILT_IN_AGENTS, Config, commented_file
from ..errors import Expected, Usage
from ..git.run import Repo, find_repo
from ..github.sign_in import parse_remote
from ..store.files import make_state, session_folder, write_json, write_text
from ..terminal.io import ask, confirm, say
from ..text import sanitise

_YES = ("y", "yes")


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
    wrote = not approve_only and _write_configuration(clone, state, yes, given)
    if templates:
        copy_templates(clone.top)
    _approve_configuration(clone, state, yes or wrote)
    context = open_context()
    name = context.name
    upstream = parse_remote(remote_url(clone, "upstream") or "")
    if (
        upstream
        and not (approve_only or context.config.repo)
        and upstream[1].lower() != name.lower()
    ):
        raise Expected(
            f"{name} looks like a fork of {upstream[1]}; issue-orch works in one repository, without forks",
            f'clone {upstream[1]}; or, to work in the fork, set repo = "{name}" in {layers.REPOSITORY_FILE}',
        )
    if approve_only:
        _approve_git(context, yes)
    if workflows:
        write_workflow(context)
    if not approve_only:
        fine = all([try_agent(context), try_github(context, labels, yes)])
        say("\nNext: issue-orch plan" if fine else "\nNext: mend that, then: issue-orch doctor")
        return int(not fine)
    return 0


def _write_configuration(clone: Repo, state: Path, yes: bool, given: dict[str, str | None]) -> bool:
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
    own = layers.load_config(Path(clone.top), state, os.environ, {}, executing=False)
    url = remote_url(clone, own.remote)
    if not (given["github.base_url"] or own.github_base_url):
        refuse_other_forge(url)
    if given["agent"]:
        _check_agent(own, given["agent"])
    if not parse_remote(url or "") and "repo" not in values:
        values["repo"] = _ask(yes, "GitHub repository (owner/name)", "")
        if not (values["repo"] or own.repo):  # before anything is written, which is kept
            words = f"{own.remote} does not name a GitHub repository"
            raise Usage(words, "issue-orch init --repo owner/name")
    values |= _ask_for_the_rest(yes, own, values)
    write_text(file, commented_file({name: value for name, value in values.items() if value}))
    say(f"Wrote {file.name}. Commit it, so that your team shares it.")
    return True


def _ask_for_the_rest(yes: bool, own: Config, values: dict[str, Any]) -> dict[str, Any]:
    rest: dict[str, Any] = {"max_workers": 2}
    if "agent" not in values:
        here = installed(os.environ)
        listed = f"{', '.join(BUILT_IN_AGENTS)}; installed here: {', '.join(here) or 'none'}"
        default = next(iter(here), BUILT_IN_AGENTS[0])
        rest["agent"] = _ask(yes, f"Agent ({listed})", default, partial(_check_agent, own))
    rest["ready.labels"] = (_ask(yes, "Label of issues that are ready", "ready"),)
    what = "Show progress on the issues, by a comment and labels, and take answers there (y/n)"
    rest["github.write_back"] = _ask(yes, what, "n", _check_yes).lower() in _YES
    return rest


def _ask(
    yes: bool, what: str, default: str, check: Callable[[str], object] = lambda answer: None
) -> str:
    """`check` raises Expected for what is none of the answers: then it is asked again."""
    if yes or not sys.stdin.isatty():
        return default
    while True:
        answer = ask(f"{what} [{default}]: " if default else f"{what}: ") or default
        try:
            check(answer)
            return answer
        except Expected as error:
            say(f"{error.message}\n  next: {error.hint}")


def _check_agent(own: Config, name: str) -> None:
    if name != "command":  # whose argument list is written into the file afterwards
        layers.known_agent(own, name)


def _check_yes(answer: str) -> None:
    if answer.lower() not in (*_YES, "n", "no"):
        raise Usage(f"{sanitise(answer)}: this is neither yes nor no", "y or n")


def _approve_configuration(clone: Repo, state: Path, yes: bool) -> None:
    """What of the repository needs approval is shown, and approved by its content."""
    asked = approval.to_approve(clone.top, layers.load_team(clone.top))
    approved = approval.load_approved(state)
    if not asked and not any(approved.values()):
        return
    rows = "\n".join(approval.listing(asked, approved))
    templates = {name for name in asked if name.startswith(approval.TEAM_FOLDER)}
    there = [layers.REPOSITORY_FILE] * bool(asked.keys() - templates)
    there += [approval.TEAM_FOLDER] * bool(templates)
    said = f"{' and '.join(there)} {'set' if len(there) > 1 else 'sets'}:" if there else "Gone is:"
    say(f"{said}\n{rows}")
    _ask_approval(
        yes or approval.fingerprint(asked) in approved,
        f"edit {layers.REPOSITORY_FILE}, then: issue-orch init --approve",
    )
    approval.approve(state, clone.top, asked)
    say("Approved on this machine. A change of this needs it again.")


def _approve_git(context: Context, yes: bool) -> None:
    """Keys of git's configuration that run something, and changed after a worker started, are shown and noted anew."""
    keys = look_at_keys(context)
    changed = keys.held | keys.told
    if not changed:
        return
    say(
        "The git configuration can run commands, or send what is fetched and pushed elsewhere. Changed are:"
    )
    for key, issues in changed.items():
        how = how_to_undo(context, key).partition(";")[0]
        say(f"  {sanitise(key)}, after {numbers(issues)} started ({sanitise(how)})")
    _ask_approval(yes, "undo what is not yours: git config --unset KEY")
    for number in {number for issues in changed.values() for number in issues}:
        write_json(session_folder(context.state, number) / "keys.json", keys.now)
    say("Approved as it is now.")


def _ask_approval(yes: bool, otherwise: str) -> None:
    if not yes and sys.stdin.isatty() and not confirm("Approve this on this machine?", False):
        raise Expected("not approved", otherwise)
