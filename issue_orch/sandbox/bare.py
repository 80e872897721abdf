"""The bare repository behind the sandbox: sealed git commands, its witness hooks, and smart HTTP."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from ..process.run import Done, run
from .records import Incoming, Push, Reply

# Both hooks see each ref update on stdin: the first witnesses every attempt and refuses protected branches,
# the second tells the server to look at the refs again (also after a push over a path, not HTTP).
_PRE_RECEIVE = """#!/bin/sh
code=0
while read -r old new ref; do
    printf '%s %s %s %s\\n' "$ref" "$old" "$new" "$REMOTE_USER" >> sandbox-pushes
    while read -r pattern; do
        case "$ref" in refs/heads/$pattern)
            echo "error: GH006: Protected branch update failed for $ref." >&2
            code=1 ;;
        esac
    done < sandbox-protected
done
exit $code
"""
_POST_RECEIVE = "#!/bin/sh\ncat >> sandbox-received\n"
_WITNESSES = ("sandbox-pushes", "sandbox-protected", "sandbox-received")


class Bare(NamedTuple):
    path: Path
    home: Path


class Commit(NamedTuple):
    """A commit; author and committer are (name, email, ISO date)."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: tuple[str, str, str]
    committer: tuple[str, str, str]
    message: str


class FileChange(NamedTuple):
    """A changed file of a diff; `previous` is the old path of a rename."""

    sha: str
    path: str
    status: str
    additions: int
    deletions: int
    previous: str | None


def create(folder: Path, repo: str, default_branch: str) -> Bare:
    """Make (or take up) the bare repository `folder`/git/OWNER/NAME.git with a HOME of its own."""
    bare = Bare(folder / "git" / f"{repo}.git", folder / "home")
    bare.home.mkdir(parents=True, exist_ok=True)
    bare.path.mkdir(parents=True, exist_ok=True)
    git(bare, "init", "--quiet", "--bare", "--template=", f"--initial-branch={default_branch}")
    git(bare, "config", "receive.hideRefs", "refs/pull")
    hooks = bare.path / "hooks"
    hooks.mkdir(exist_ok=True)
    for name, text in (("pre-receive", _PRE_RECEIVE), ("post-receive", _POST_RECEIVE)):
        (hooks / name).write_text(text)
        (hooks / name).chmod(0o755)
    for name in _WITNESSES:
        (bare.path / name).touch()
    return bare


def environment(bare: Bare) -> dict[str, str]:
    """Nothing of the machine's git configuration or identity gets in."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(bare.home),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_NAME": "GitHub",
        "GIT_AUTHOR_EMAIL": "noreply@github.invalid",
        "GIT_COMMITTER_NAME": "GitHub",
        "GIT_COMMITTER_EMAIL": "noreply@github.invalid",
    }


def git(
    bare: Bare,
    *argv: str,
    stdin: str = "",
    check: bool = True,
    env: Mapping[str, str] | None = None,
) -> Done:
    return run(
        "git",
        *argv,
        cwd=bare.path,
        env={**environment(bare), **(env or {})},
        stdin=stdin,
        check=check,
    )


def branch_heads(bare: Bare) -> dict[str, str]:
    listing = git(
        bare, "for-each-ref", "--format=%(objectname) %(refname:strip=2)", "refs/heads"
    ).stdout
    return {name: sha for sha, name in (line.split(" ", 1) for line in listing.splitlines())}


def find_commit(bare: Bare, ref: str) -> str | None:
    """The commit of a branch or sha, branches first."""
    for name in (f"refs/heads/{ref}", ref):
        done = git(
            bare,
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            f"{name}^{{commit}}",
            check=False,
        )
        if done.code == 0:
            return done.stdout.strip()
    return None


def commit_files(bare: Bare, branch: str, files: Mapping[str, str], message: str, when: int) -> str:
    """One commit on top of `branch` (or its first) that writes `files`; scripts become executable."""
    ref = f"refs/heads/{branch}"
    parts = [
        f"commit {ref}",
        f"committer GitHub <noreply@github.invalid> {when} +0000",
        _data(message),
    ]
    if find_commit(bare, branch):
        parts.append(f"from {ref}^0")
    for path, text in files.items():
        parts += [f"M {'100755' if text.startswith('#!') else '100644'} inline {path}", _data(text)]
    git(bare, "fast-import", "--quiet", stdin="\n".join(parts) + "\n")
    return git(bare, "rev-parse", ref).stdout.strip()


def _data(text: str) -> str:
    return f"data {len(text.encode('utf-8', 'surrogateescape'))}\n{text}"


def log(bare: Bare, *span: str) -> list[Commit]:
    """Commits of a revision range, oldest first."""
    fields = "%x00".join(("%H", "%T", "%P", "%an", "%ae", "%aI", "%cn", "%ce", "%cI", "%B"))
    text = git(
        bare, "log", "--reverse", "--topo-order", f"--format={fields}%x01", *span, "--"
    ).stdout
    commits = []
    for record in text.split("\x01"):
        if not record.strip():
            continue
        sha, tree, parents, an, ae, ad, cn, ce, cd, message = record.lstrip("\n").split("\0")
        commits.append(
            Commit(
                sha, tree, tuple(parents.split()), (an, ae, ad), (cn, ce, cd), message.rstrip("\n")
            )
        )
    return commits


def diff(bare: Bare, base: str, head: str) -> list[FileChange]:
    """Files that differ between two commits, renames found."""
    statuses = {"A": "added", "D": "removed", "M": "modified", "R": "renamed", "T": "changed"}
    words = iter(
        git(bare, "diff-tree", "-r", "-M", "-z", "--raw", "--numstat", base, head).stdout.split(
            "\0"
        )
    )
    shapes: dict[str, tuple[str, str, str | None]] = {}
    changes = []
    for word in words:
        if word.startswith(":"):
            _, _, old, new, status = word.split(" ")
            path = next(words)
            previous = path if status[0] == "R" else None
            path = next(words) if previous else path
            shapes[path] = (old if status == "D" else new, statuses[status[0]], previous)
        elif word:
            added, deleted, path = word.split("\t")
            if not path:
                _, path = next(words), next(words)
            sha, status, previous = shapes[path]
            # A binary file has "-" for both counts.
            plus, minus = (int(count) if count != "-" else 0 for count in (added, deleted))
            changes.append(FileChange(sha, path, status, plus, minus, previous))
    return changes


def merge_base(bare: Bare, base: str, head: str) -> str | None:
    return git(bare, "merge-base", base, head, check=False).stdout.strip() or None


def is_ancestor(bare: Bare, commit: str, of: str) -> bool:
    return git(bare, "merge-base", "--is-ancestor", commit, of, check=False).code == 0


def merged_tree(bare: Bare, base: str, head: str) -> str | None:
    """The tree of merging `head` into `base`, or None when they conflict."""
    done = git(bare, "merge-tree", "--write-tree", base, head, check=False)
    if done.code > 1:
        return merge_in_folder(bare, base, head)  # git has that since 2.38
    return done.stdout.split("\n", 1)[0] if done.code == 0 else None


def merge_in_folder(bare: Bare, base: str, head: str) -> str | None:
    """As `merged_tree`, with any git: in an index and a worktree that go away."""
    with TemporaryDirectory() as index, TemporaryDirectory() as tree:
        env = {"GIT_INDEX_FILE": f"{index}/index", "GIT_WORK_TREE": tree}
        git(bare, "read-tree", base, env=env)
        forks = git(bare, "merge-base", "--all", base, head).stdout.split()
        if git(bare, "merge-recursive", *forks, "--", base, head, check=False, env=env).code:
            return None
        return git(bare, "write-tree", env=env).stdout.strip()


def load_pushes(bare: Bare) -> list[Push]:
    lines = (bare.path / "sandbox-pushes").read_text().splitlines()
    return [
        Push(ref, old, new, user) for ref, old, new, user in (line.split(" ", 3) for line in lines)
    ]


def received_size(bare: Bare) -> int:
    """Grows with every accepted push: a cheap sign that refs may have moved."""
    return (bare.path / "sandbox-received").stat().st_size


def refuse_pushes_to(bare: Bare, patterns: Iterable[str]) -> None:
    (bare.path / "sandbox-protected").write_text("".join(f"{pattern}\n" for pattern in patterns))


def serve(bare: Bare, incoming: Incoming, user: str) -> Reply:
    """Answer one request of git's smart HTTP by `git http-backend`."""
    path, _, query = incoming.target.partition("?")
    headers = incoming.headers
    env = environment(bare) | {
        "GIT_PROJECT_ROOT": str(bare.path.parent.parent),
        "GIT_HTTP_EXPORT_ALL": "1",
        "REQUEST_METHOD": incoming.method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "REMOTE_USER": user,
        "REMOTE_ADDR": "127.0.0.1",
        "GIT_PROTOCOL": headers.get("git-protocol", ""),
        "CONTENT_TYPE": headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(incoming.raw)),
        "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
    }
    stdin = incoming.raw.decode("utf-8", "surrogateescape")
    answer = run("git", "http-backend", cwd=bare.path, env=env, stdin=stdin, timeout=300).stdout
    head, _, body = answer.partition("\r\n\r\n")
    given = dict(line.split(": ", 1) for line in head.split("\r\n"))
    status = int(given.pop("Status", "200 OK").split(" ")[0])
    return Reply(status, given, body.encode("utf-8", "surrogateescape"))
