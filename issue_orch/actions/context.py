"""What a command works with: the clone, its state, its configuration, and how to reach GitHub."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..config.keys import Config
from ..config.layers import REPOSITORY_FILE, load_config
from ..core.model import Branch, CommitSha, RepoName, Token
from ..core.record import SessionStatus
from ..errors import Expected, SignInFailed
from ..git import remote
from ..git.run import Repo, find_admin_dir, find_repo, find_sha, git, own_commits_on
from ..git.trust import changed_keys, dangerous_keys, split_key
from ..github.sign_in import (
    api_url,
    find_token,
    is_here,
    no_github,
    parse_remote,
    resolve_host,
    web_host,
)
from ..store.files import load_sessions, make_state
from ..store.ledger import Ceilings

if TYPE_CHECKING:
    from ..github.client import GitHub


class Context(NamedTuple):
    """One command's surroundings. `name` is the repository's on GitHub."""

    repo: Repo
    state: Path
    config: Config
    name: RepoName
    base_url: str
    env: Mapping[str, str]

    @property
    def ceilings(self) -> Ceilings:
        config = self.config
        limits = config.budget_total, config.budget_per_issue, config.budget_per_day
        return Ceilings(*limits, config.budget_allow_unknown)

    @property
    def channels(self) -> dict[str, list[str]]:
        config = self.config
        return {"command": list(config.notify_command), "urls": list(config.notify_urls)}


class Base(NamedTuple):
    """A branch of the remote, and where it is."""

    branch: Branch
    sha: CommitSha


def open_context(flags: Mapping[str, Any] | None = None, executing: bool = True) -> Context:
    """Raises Expected, with what to type next, when this is no clone that issue-orch can work in."""
    repo = find_repo(os.getcwd())
    state = make_state(repo.common_dir)
    config = load_config(Path(repo.top), state, os.environ, flags or {}, executing=executing)
    host, name = _find_name(repo, config)
    base_url = config.github_base_url or api_url(host)
    repo = repo._replace(find_token=partial(find_token, base_url, os.environ))
    return guarded(Context(repo, state, config, name, base_url, os.environ))


def guarded(context: Context) -> Context:
    """Whose git talks to no remote where a worker may have said how."""
    guard = partial(refuse_changed_keys, context)
    return context._replace(repo=context.repo._replace(guard=guard))


def _find_name(repo: Repo, config: Config) -> tuple[str, RepoName]:
    """Host and owner/name, from the configuration or from the remote."""
    url = remote_url(repo, config.remote)
    host, name = parse_remote(url or "") or ("github.com", None)
    if url and not config.github_base_url:
        host = resolve_host(url, host)
        refuse_other_forge(url)
    if config.repo:
        name = RepoName(config.repo)
    if name:
        return host, name
    if url:
        words = f"the remote {config.remote} ({url}) does not name a GitHub repository"
        written = os.path.exists(os.path.join(repo.top, REPOSITORY_FILE))
        set_it = f'set repo = "owner/name" in {REPOSITORY_FILE}'
        raise Expected(words, set_it if written else "issue-orch init --repo owner/name")
    others = ", ".join(git(repo, "remote").stdout.split())
    raise Expected(
        f"there is no remote called {config.remote}" + (f" (there is: {others})" if others else ""),
        'git remote add origin URL, or set remote = "…" in .issue-orch.toml',
    )


def refuse_other_forge(url: str | None) -> None:
    if host := no_github(url or ""):
        raise Expected(
            f"{host} is no GitHub; issue-orch works with GitHub's issues and pulls",
            "git remote set-url origin URL, or set remote or github.base_url in .issue-orch.toml",
        )


def remote_url(repo: Repo, remote: str) -> str | None:
    done = git(repo, "remote", "get-url", "--", remote, check=False)
    return done.stdout.strip() if done.code == 0 else None


def token_of(context: Context) -> Token | None:
    return find_token(context.base_url, context.env)


def how_to_sign_in(context: Context) -> str:
    host = web_host(context.base_url)
    page = "personal-access-tokens/new" if host == "github.com" else "tokens"
    made = "" if is_here(host) else f"; made at https://{host}/settings/{page}"
    return f"gh auth login, or set GH_TOKEN (ISSUE_ORCH_TOKEN for any host){made}"


def connect(context: Context) -> GitHub:
    """Raises SignInFailed when there is no token, and Expected when a worker may have said where it is to be sent."""
    from ..github.client import open_github

    refuse_changed_keys(context)
    token = token_of(context)
    if token is None:
        raise SignInFailed(f"no token for {context.base_url}", how_to_sign_in(context))
    return open_github(context.name, token, context.base_url, context.state, context.env)


def find_default(context: Context, before: Base | None, connected: Callable[[], GitHub]) -> Base:
    """The base that GitHub names, as fetched now; the one that it was before is fetched while that is found out."""
    last = Branch(context.config.base or (before.branch if before else ""))
    with ThreadPoolExecutor(max_workers=1) as pool:
        fetched = pool.submit(fetch_base, context, last) if last else None
        branch = Branch(context.config.base or connected().fetch_repo().default_branch)
        if fetched and branch == last:
            return Base(branch, fetched.result())
    return Base(branch, fetch_base(context, branch))


def remote_of(context: Context) -> remote.Remote:
    return remote.Remote(context.repo, context.config.remote)


def last_base(context: Context) -> Base | None:
    """The base as git last saw it: the configured one, or the default branch of the remote. None when git has seen none."""
    ref = f"refs/remotes/{context.config.remote}/{context.config.base or 'HEAD'}"
    asked = ("for-each-ref", "--count=1", "--format=%(symref:lstrip=3)%00%(objectname)", ref)
    symref, _, sha = git(context.repo, *asked).stdout.strip().partition("\0")
    return Base(Branch(context.config.base or symref), CommitSha(sha)) if sha else None


def fetch_base(context: Context, base: Branch) -> CommitSha:
    """Where `base` is on the remote; fetched."""
    return remote.fetch_base(remote_of(context), base)


def find_pushed(context: Context, status: SessionStatus) -> CommitSha | None:
    """What the worker pushed to its base itself, its newest commit there, as far as git saw the base last."""
    repo, base, since = context.repo, status["base"], status["baseSha"]
    tip = find_sha(repo, f"refs/remotes/{context.config.remote}/{base}")
    path = status["worktreePath"]
    if not (tip and since and os.path.isdir(path) and find_admin_dir(repo, path)):
        return None
    own = own_commits_on(repo, path, status["branch"], since, tip)
    return next(iter(own), None)


def refuse_changed_keys(context: Context) -> dict[str, str]:
    """The keys of git's configuration that run something, as they are now. Expected when a worker may have set one."""
    keys = look_at_keys(context)
    for key, issues in keys.held.items():
        raise Expected(
            f"{key} of the git configuration changed after {numbers(issues)} started; it can run commands, or send "
            "what we fetch and push elsewhere",
            how_to_undo(context, key),
        )
    return keys.now


def how_to_undo(context: Context, key: str) -> str:
    where, plain = split_key(key)
    own = (
        f"--file {shlex.quote(f'{context.repo.common_dir}/{where}')}" if where else "--show-origin"
    )
    look = f"git config {own} --get-all {shlex.quote(plain)}"
    return f"{look}; undo it, or if it is yours: issue-orch init --approve"


class Keys(NamedTuple):
    """Settings of git as they are `now`; which of them differ from what was noted when a worker started, with its issues
    (threat S9): what is `held` against it, and what is only `told`, since people's own git alone obeys it."""

    now: dict[str, str]
    held: dict[str, list[int]]
    told: dict[str, list[int]]


def look_at_keys(context: Context) -> Keys:
    found = Keys(dangerous_keys(context.repo, context.config.remote), {}, {})
    for status in load_sessions(context.state)[0]:
        number = status["issueNumber"]
        for changed, told in ((found.held, False), (found.told, True)):
            for key in changed_keys(context.state, number, found.now, told):
                changed.setdefault(key, []).append(number)
    return found


def worktree_path(context: Context, number: int) -> str:
    """Where the worktree of an issue lies, as an absolute path with links resolved above it."""
    name = context.config.path.format(repo=context.name.rpartition("/")[2], number=int(number))
    path = os.path.normpath(os.path.join(context.repo.main, os.path.expanduser(name)))
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def numbers(issues: list[int]) -> str:
    return ", ".join(f"#{number}" for number in issues)
