"""Real repositories for the tests of the git modules."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from issue_orch.core.model import Branch, CommitSha
from issue_orch.git import merges
from issue_orch.git.checkout import check_out
from issue_orch.git.run import Repo, admin_dir, find_repo, read_version
from issue_orch.git.worktree import Intent, register

OLD_GIT = read_version() < merges.MINIMUM
predicts = pytest.mark.skipif(OLD_GIT, reason="predicting conflicts needs a newer git")


class Clone(NamedTuple):
    repo: Repo
    remote: Path

    @property
    def top(self) -> Path:
        return Path(self.repo.main)

    @property
    def admin(self) -> Path:
        return Path(self.repo.common_dir)


def sh(cwd: Path | str, *argv: str, check: bool = True, **env: str) -> str:
    """A command as a person would run it."""
    done = subprocess.run(
        argv, cwd=cwd, env=os.environ | env, capture_output=True, text=True, check=False
    )
    assert not check or done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def write(file: Path, content: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    return file


def script(file: Path, content: str) -> Path:
    write(file, f"#!/bin/sh\n{content}\n").chmod(0o755)
    return file


def commit(where: Path, message: str = "change", **files: str) -> str:
    for name, content in files.items():
        write(where / name, content)
    sh(where, "git", "add", "-A")
    sh(where, "git", "commit", "-qm", message)
    return sh(where, "git", "rev-parse", "HEAD")


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)  # between two looks


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own; no variable of the caller steers git."""
    for name in [name for name in os.environ if name.startswith(("GIT_", "XDG_", "SSH_"))]:
        monkeypatch.delenv(name)
    folder = tmp_path / "home"
    person = "[user]\n name = A Person\n email = person@example.org\n"
    write(folder / ".gitconfig", f"{person}[init]\n defaultBranch = main\n")
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def clone(home: Path, tmp_path: Path) -> Clone:
    return make_clone(tmp_path, "clone ü")


def make_clone(folder: Path, name: str, *options: str) -> Clone:
    """A clone, in a path with a space and an umlaut, of a bare remote with two files."""
    remote = folder / f"{name}-remote.git"
    sh(folder, "git", "init", "-q", "--bare", str(remote))
    sh(folder, "git", "clone", "-q", *options, str(remote), name)
    top = folder / name
    commit(
        top,
        "first",
        **{"README.md": "one\ntwo\n", "src/café one.txt": "a\n", ".gitignore": "*.log\n.env\n"},
    )
    sh(top, "git", "push", "-q", "origin", "main")
    return Clone(find_repo(str(top)), remote)


INTENT = Intent("issue-orch of the tests")


def make_worktree(
    clone: Clone,
    number: int = 1,
    intent: Intent = INTENT,
    reuse: bool = False,
    there: str = "",
) -> Path:
    path = clone.top.parent / f"work {number}"
    start = sh(clone.top, "git", "rev-parse", "origin/main")
    branch = Branch(f"issue-{number}")
    register(clone.repo, str(path), branch, CommitSha(start), intent, reuse=reuse, there=there)
    check_out(clone.repo, str(path))
    return path


def make_relative(clone: Clone, path: Path) -> None:
    """As git writes it from 2.48 on when worktree.useRelativePaths is set; the extension that it notes beside it is left
    out, so that an older one goes on reading the clone."""
    admin = admin_dir(clone.repo, str(path))
    write(path / ".git", f"gitdir: {os.path.relpath(admin, path)}\n")
    write(Path(admin, "gitdir"), f"{os.path.relpath(path / '.git', admin)}\n")
