"""Git, hardened: the one runner of git commands, discovery of the repository, and reads of plumbing.

A worker can write to the shared `.git`: whatever stands there must not run in our commands.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from ..core.model import CommitSha, Token
from ..errors import CommandFailed, Expected
from ..process.run import Done, run
from ..process.secret import without_tokens
from ..store.look import find_git
from .credentials import SIGN_IN, answering

MINIMUM = (2, 34)
SIGN_GIT_IN = (
    "let git sign in there without a terminal (credential helper, ssh agent), then try again"
)
TRANSPORTS = "file:git:http:https:ssh"

# `git worktree add` (an agent's, say) writes these files in place; whoever lists worktrees at that moment dies of it.
HALF_MADE = re.compile(r"failed to read .*/worktrees/.*/(commondir|gitdir|HEAD)")
# Seconds: whoever registers it may wait for the processor in between.
PAUSES = (0.0, 0.01, 0.05, 0.2, 0.5, 1.0)

# Command scope wins over every file. Automatic maintenance would leave a process behind. Up to git 2.35 any word for
# core.fsmonitor is a program that is run. A file whose time was set back has changed all the same.
ALWAYS = (
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", ""),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("core.trustctime", "true"),
    ("core.checkStat", "default"),
    ("core.alternateRefsCommand", "true"),  # a program that is run; this one lists nothing
    ("push.pushOption", ""),  # an empty one takes back those of every file
)
# In a reflog: that a commit came into being there. "Fast-forward" and "reset" only moved to one.
_MADE = re.compile(r"(commit|cherry-pick|revert|rebase|am)\b|.*: Merge made by")
Overrides = tuple[tuple[str, str], ...]  # settings that outrank every file


class TurnedBare(Expected):
    """`core.bare` turned true in a clone that has files; agents do that."""

    def __init__(self, common_dir: str) -> None:
        self.common_dir = common_dir
        words = "core.bare is true in a clone that has files"
        super().__init__(words, "git config core.bare false, or: issue-orch doctor --fix")


class Repo(NamedTuple):
    """A clone. `top` is the worktree that the command runs in, `main` the main one; all paths are real paths.

    `moved`: where one worktree lies for the moment, and its admin folder. `find_token` is asked when what the user signs in
    with does not do; `guard` before each command that may talk to a remote: it raises Expected where a worker may have said
    how and where to.
    """

    common_dir: str
    top: str
    main: str
    version: tuple[int, int]
    moved: tuple[str, str] | None = None
    find_token: Callable[[], Token | None] | None = None
    guard: Callable[[], object] | None = None


def find_repo(cwd: str) -> Repo:
    """The clone around `cwd`, the same from each of its worktrees. Raises Expected with what to do instead."""
    version = read_version()
    if version < MINIMUM:
        raise Expected(
            f"git {version[0]}.{version[1]} is too old",
            f"install git {MINIMUM[0]}.{MINIMUM[1]} or newer",
        )
    if "\n" in os.path.realpath(cwd):  # git's own files of a worktree name it in a line
        words = "a path with a line break in it is not supported"
        raise Expected(f"{os.path.realpath(cwd)!r}: {words}", "mv the clone to a path without one")
    asked = ("--git-dir", "--git-common-dir", "--is-bare-repository", "HEAD")
    done = run(
        "git",
        "rev-parse",
        "--path-format=absolute",
        *asked,
        cwd=cwd,
        env=environment(),
        check=False,
    )
    lines = done.stdout.split("\n")
    if len(lines) < 4:
        if "dubious ownership" in done.stderr:
            raise Expected(done.stderr.strip(), "run it as the owner of the clone")
        # As find_git says it where there is none.
        how = f"git config --file {find_git(cwd)}/config --list   shows what is set; mend that"
        raise Expected(f"{cwd}: {done.stderr.strip()}", how)
    git_dir, common_dir = os.path.realpath(lines[0]), os.path.realpath(lines[1])
    top = _find_top(os.path.realpath(cwd), git_dir)
    bare = lines[2] == "true" or (git_dir != common_dir and _is_bare(cwd))
    if bare and os.path.exists(os.path.join(common_dir, "index")):
        raise TurnedBare(common_dir)
    if top is None or (bare and git_dir == common_dir):
        raise Expected(
            f"{cwd}: not in a worktree (a bare repository has none)", "cd into an ordinary clone"
        )
    if done.code:
        raise Expected("the repository has no commit yet", "make a first commit and push it")
    linked = git_dir != common_dir and os.path.basename(common_dir) == ".git"
    return Repo(common_dir, top, os.path.dirname(common_dir) if linked else top, version)


def _find_top(cwd: str, git_dir: str) -> str | None:
    """The folder around `cwd` whose `.git` is, or names, this one. `core.worktree`, which a worker can set, has no say."""
    if Path(cwd).is_relative_to(git_dir):
        return None
    for folder in (cwd, *map(str, Path(cwd).parents)):
        git_file = os.path.join(folder, ".git")
        if git_dir in (os.path.realpath(git_file), os.path.realpath(leads_to(folder))):
            return folder
    return None


def _is_bare(cwd: str) -> bool:
    """Whether the clone's configuration says so; a linked worktree never calls itself bare."""
    asked = ("git", "config", "--type=bool", "--get", "core.bare")
    return run(*asked, cwd=cwd, env=environment(), check=False).stdout.strip() == "true"


def read_version() -> tuple[int, int]:
    words = run("git", "version", env=environment()).stdout
    found = re.search(r"(\d+)\.(\d+)", words)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def git(
    repo: Repo,
    *args: str,
    worktree: str | None = None,
    config: Overrides = (),
    env: Mapping[str, str] | None = None,
    network: bool = False,
    stdin: str = "",
    timeout: float = 60,
    check: bool = True,
    pass_fds: tuple[int, ...] = (),
) -> Done:
    """Run git on the clone, or in one of its worktrees when `worktree` names its path.

    Only with `network` may it talk to a remote, and only where the guard lets it: in a partial clone a plain read would
    fetch, through whatever ssh command stands in the configuration. It does so as the user signs in, then with the token
    if that was refused.
    """
    if network and repo.guard:
        repo.guard()
    places = {"GIT_DIR": repo.common_dir, "GIT_COMMON_DIR": repo.common_dir}
    if worktree is not None:
        places |= {"GIT_DIR": admin_dir(repo, worktree), "GIT_WORK_TREE": worktree}
    places["GIT_ALLOW_PROTOCOL"] = TRANSPORTS if network else "none"
    places |= dict(env or {})
    # A remote may be named by a path relative to the worktree.
    cwd = worktree or (repo.main if network else repo.common_dir)
    again = partial(_run_again, args, cwd=cwd, stdin=stdin, timeout=timeout)
    done = again(env=environment(config) | places, pass_fds=pass_fds)
    refused = network and done.code and SIGN_IN.search(done.stderr)
    if refused and repo.find_token and (token := repo.find_token()):
        with answering(token) as (answers, descriptor):
            signed_in = environment((*config, *answers)) | places
            done = again(env=signed_in, pass_fds=(*pass_fds, descriptor))
    if check and done.code:
        failed = (("git", *args), done.code, done.stdout, done.stderr)
        raise CommandFailed(*failed, *[SIGN_GIT_IN] * bool(refused))
    return done


def _run_again(args: Iterable[str], **how: Any) -> Done:
    """Git, once more while it dies of a worktree that is half made."""
    for pause in PAUSES:
        time.sleep(pause)
        done = run("git", *args, check=False, **how)
        if done.code != 128 or not HALF_MADE.search(done.stderr):
            break
    return done


def environment(config: Overrides = ()) -> dict[str, str]:
    """The environment of every git call: nothing inherited steers it, nothing asks, nobody's locks are taken."""
    inherited = without_tokens(os.environ).items()
    env = {key: value for key, value in inherited if not key.startswith("GIT_")}
    env |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": ""}
    return env | _as_variables((*ALWAYS, *config))


def _as_variables(config: Overrides) -> dict[str, str]:
    variables = {"GIT_CONFIG_COUNT": str(len(config))}
    for number, (key, value) in enumerate(config):
        variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return variables


def admin_dir(repo: Repo, path: str) -> str:
    """The folder in `.git/worktrees` that is registered for `path`. Raises Expected when there is none.

    It is looked up from the clone's side: the `.git` file in the worktree is the worker's to change.
    """
    if path == repo.main:
        return repo.common_dir
    if repo.moved and path == repo.moved[0]:
        return repo.moved[1]
    found = find_admin_dir(repo, path)
    if found is None:
        raise Expected(f"{path}: not a registered worktree of this clone", "git worktree list")
    return found


def find_admin_dir(repo: Repo, path: str) -> str | None:
    worktrees = Path(repo.common_dir, "worktrees")
    likely = worktrees / os.path.basename(path)
    each = (str(admin) for admin in chain([likely], worktrees.glob("*")))
    return next((admin for admin in each if named_by(admin) == path), None)


def named_by(admin: str, was: str = "") -> str:
    """The worktree that an admin folder says it belongs to; `was`: where it lay before it was set aside."""
    git_file = load_text(os.path.join(admin, "gitdir")).removesuffix("\n")
    # Since git 2.48 it may be relative to the admin folder.
    return os.path.dirname(os.path.normpath(os.path.join(was or admin, git_file)))


def leads_to(path: str) -> str:
    """The admin folder that a worktree's `.git` names: by a path that is relative to it, if git is told so."""
    named = load_text(f"{path}/.git").removeprefix("gitdir: ").rstrip("\n")
    return os.path.normpath(os.path.join(path, named))


def load_text(file: str) -> str:
    """The content of a small file; empty when there is no such file."""
    try:
        with open(file, encoding="utf-8", errors="surrogateescape") as opened:
            return opened.read(65536)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return ""


def identity(repo: Repo) -> str:
    """Who commits here, as `Name <address>`. Raises Expected when git does not know."""
    done = git(repo, "var", "GIT_COMMITTER_IDENT", check=False)
    if done.code:
        raise Expected(
            "git does not know who commits",
            "git config --global user.email you@example.org, and user.name",
        )
    return done.stdout.rpartition("> ")[0] + ">"


def wants_signing(repo: Repo) -> bool:
    """Whether the configuration asks for signed commits."""
    asked = ("config", "--type=bool", "--get", "commit.gpgSign")
    return git(repo, *asked, check=False).stdout.strip() == "true"


def check_signing(repo: Repo, path: str, timeout: float = 15) -> None:
    """Make sure that a signed commit can be made in the worktree without anybody at a terminal. Raises Expected."""
    hint = 'unlock the key for use without a terminal, or set git.sign = "off"'
    # Without these gpg and ssh have nowhere to ask; a worker has neither.
    quiet = {"GPG_TTY": "", "DISPLAY": "", "WAYLAND_DISPLAY": "", "SSH_ASKPASS_REQUIRE": "never"}
    tried = ("commit-tree", "-S", "-p", "HEAD", "-m", "signing works", "HEAD^{tree}")
    try:
        git(repo, *tried, worktree=path, env=quiet, timeout=timeout)
    except CommandFailed as error:
        why = "it waits for a passphrase" if error.code is None else error.stderr.strip()
        raise Expected(f"commits must be signed here, and signing fails: {why}", hint) from error


def worker_settings(sign: str) -> dict[str, str]:
    """Environment for the worker's own git: no signature is made when `sign` is `off`."""
    return _as_variables((("commit.gpgSign", "false"),)) if sign == "off" else {}


def find_sha(repo: Repo, rev: str, worktree: str | None = None) -> CommitSha | None:
    """The commit that `rev` names, None when there is none."""
    asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}")
    done = git(repo, *asked, worktree=worktree, check=False)
    return CommitSha(done.stdout.strip()) if done.code == 0 else None


def is_ancestor(repo: Repo, commit: str, of: str, worktree: str | None = None) -> bool:
    """Whether `of` is the commit, or holds it. False when either is not known here."""
    asked = ("merge-base", "--is-ancestor", commit, of)
    return git(repo, *asked, worktree=worktree, check=False).code == 0


def rev_parse(repo: Repo, rev: str) -> CommitSha:
    sha = find_sha(repo, rev)
    if sha is None:
        raise Expected(f"{rev}: no such commit in this clone", "git fetch")
    return sha


def commits_since(repo: Repo, path: str, base: str) -> list[tuple[CommitSha, str]]:
    """Commits of the worktree's HEAD that `base` lacks, newest first, each with its subject (untrusted)."""
    asked = ("--no-commit-header", "--format=%H%x00%s", "--end-of-options", f"{base}..HEAD")
    lines = git(repo, "rev-list", *asked, worktree=path).stdout.splitlines()
    return [
        (CommitSha(sha), subject) for sha, _, subject in (line.partition("\0") for line in lines)
    ]


def own_commits_on(repo: Repo, path: str, branch: str, since: str, base: str) -> list[CommitSha]:
    """What was committed in the worktree or on its branch, says their reflog, and is now on the line of `base`'s own heads
    since `since`. A pull brings none of it there: its commits are a second parent, or made anew by GitHub."""
    line = git(repo, "rev-list", "--first-parent", "--end-of-options", base, f"^{since}")
    asked = ("-g", "--no-show-signature", "--format=%H %gs", "HEAD", f"refs/heads/{branch}", "--")
    rows = git(repo, "log", *asked, worktree=path, check=False).stdout.splitlines()
    made = {sha for sha, _, how in (row.partition(" ") for row in rows) if _MADE.match(how)}
    return [CommitSha(sha) for sha in line.stdout.split() if sha in made]


def load_branches(repo: Repo, *patterns: str) -> list[tuple[str, str, str]]:
    """Refs: the full name, the commit, and the worktree that has it checked out ("" when none has)."""
    form = "--format=%(refname)%00%(objectname)%00%(worktreepath)%00"
    fields = git(repo, "for-each-ref", form, *patterns).stdout.replace("\0\n", "\0").split("\0")
    return list(zip(fields[0::3], fields[1::3], fields[2::3], strict=False))


def entries(raw: str) -> list[str]:
    """The entries of a NUL-terminated list."""
    return raw.split("\0")[:-1]


def folders(names: Iterable[str]) -> set[str]:
    """All folders above the names, the top ("") included."""
    found: set[str] = set()
    for name in names:
        while name and (name := name.rpartition("/")[0]) not in found:
            found.add(name)
    return found
