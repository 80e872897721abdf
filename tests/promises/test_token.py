"""The token from the environment is enough for all that talks to the remote, and no neighbour can read it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.scene import COMPLETE, Scene

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="Linux: /proc")
POWERLESS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
# Looks at every process that this user can read, and notes those that have the token in their environment.
LOOK = """\
found=$(grep -lazF "ISSUE_ORCH_TOKEN=@TOKEN@" /proc/[0-9]*/environ 2> /dev/null || :)
for each in $found; do { tr '\\0' ' ' < "${each%environ}cmdline"; echo; } >> "@SEEN@" 2> /dev/null; done
"""


def drop_powers(scene: Scene) -> None:
    """Root without capabilities can read of others what an ordinary user can; its files stay its own."""
    if not os.geteuid():
        scene.command[:0] = POWERLESS


def plant_witness(scene: Scene) -> Path:
    """Each git that is started, and each helper that it asks, looks around; so does an agent."""
    seen = scene.folder / "seen"
    look = LOOK.replace("@TOKEN@", scene.token).replace("@SEEN@", str(seen))
    real = shutil.which("git", path=scene.env["PATH"])
    folder = scene.folder / "bin"
    folder.mkdir()
    witness = folder / "git"
    witness.write_text(f'#!/bin/sh\n{look}exec {real} "$@"\n')
    witness.chmod(0o755)
    helper = folder / "asked"
    helper.write_text(f"#!/bin/sh\n{look}")
    helper.chmod(0o755)
    scene.git("config", "--global", "credential.helper", str(helper))
    scene.env["PATH"] = f"{folder}:{scene.env['PATH']}"
    return seen


@LINUX
def test_no_neighbour_finds_the_token(scene: Scene) -> None:
    """What can still be read is a program between its exec and its first line; no git runs by then."""
    one, two = scene.issue(), scene.issue()
    seen = plant_witness(scene)
    (scene.home / ".git-credentials").unlink()
    scene.gate("go")
    look = LOOK.replace("@TOKEN@", scene.token).replace("@SEEN@", "@FOLDER@/seen")
    scene.agent(f"await go\n{look}" + COMPLETE)
    drop_powers(scene)
    scene.orch("spawn", str(one), check=True)
    for words in (
        ("plan",),
        ("doctor",),
        ("spawn", str(two)),
        ("status", "--fetch"),
        ("conflicts",),
        ("prune", str(two)),
        ("stop", str(two)),
        ("init", "--yes"),
        ("run", "--once"),
    ):
        scene.orch(*words)
    scene.release("go")
    scene.release("go")
    scene.wait_status(one, "complete")
    assert scene.status(one)["pullRequestUrl"]
    assert not seen.exists(), seen.read_text()
    carries = [*scene.command[:-4], scene.folder / "bin" / "git", "version"]
    subprocess.run(carries, env=scene.env, check=True, capture_output=True)
    assert "git version" in seen.read_text(), "the witness is awake"


def make_partial(scene: Scene) -> None:
    bare = scene.sandbox.repository.path
    for key in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        scene.git("config", key, "true", cwd=bare)
    shutil.rmtree(scene.clone)
    flags = ("--quiet", "--filter=blob:none", "--no-checkout")
    scene.git("clone", *flags, scene.sandbox.git_url, str(scene.clone), cwd=scene.home)
    scene.sandbox.seed({"later.txt": "later\n", "deep/.gitattributes": "*.y text\n"}, "Later")


@pytest.mark.parametrize("scope", ["--local", "--worktree"])
def test_a_checkout_that_would_fetch_asks_nobody_whom_a_worker_named(
    scene: Scene, scope: str
) -> None:
    """`doctor --fix` in a partial clone: what it lacks comes from the remote, by the settings of the clone."""
    make_partial(scene)
    number = scene.stuck()
    path, witness = scene.worktree(number), scene.folder / "witness"
    scene.git("fetch", "-q", "origin", "main")
    if scope == "--worktree":
        scene.git("config", "extensions.worktreeConfig", "true")
    scene.git("config", scope, "credential.helper", f"!touch {witness}; :", cwd=path)
    scene.git("update-ref", f"refs/heads/issue-{number}", "FETCH_HEAD")
    shutil.rmtree(path)
    if scope == "--local":
        scene.git("worktree", "remove", "--force", str(path))
    else:  # its settings stay
        path.mkdir()
        (path / ".git").write_text(f"gitdir: {scene.clone}/.git/worktrees/{path.name}\n")
        (scene.clone / ".git" / "worktrees" / path.name / "index").unlink()
    (scene.home / ".git-credentials").unlink()
    said = " ".join(scene.orch("doctor", "--fix").err.split())
    assert "failed (" in said and "credential.helper of the git configuration changed" in said
    assert not witness.exists() and not (path / "later.txt").exists()
    scene.orch("init", "--approve", check=True)
    assert "done: #1" in " ".join(scene.orch("doctor", "--fix").err.split())
    assert (path / "later.txt").read_text() == "later\n"


@pytest.mark.parametrize("given", ["token", "helper"])
def test_a_partial_clone_needs_only_the_token(scene: Scene, given: str) -> None:
    """Also by a helper of one's own that takes it from the environment, as `gh auth git-credential` does."""
    make_partial(scene)
    (scene.home / ".git-credentials").unlink()
    if given == "helper":
        del scene.env["ISSUE_ORCH_TOKEN"]
        scene.env["GH_TOKEN"] = scene.token
        own = '!f() { test "$1" = get && echo username=x && echo "password=${GH_TOKEN:?}"; }; f'
        scene.git("config", "--global", "credential.helper", own)
    one, two = scene.issue(), scene.issue()
    scene.agent('echo "$issue" > shared.txt\ngit add shared.txt\n' + COMPLETE)
    scene.orch("spawn", str(one), str(two), check=True)
    for number in (one, two):
        scene.wait_status(number, "complete")
        assert (scene.worktree(number) / "later.txt").read_text() == "later\n"
    assert "shared.txt" in scene.orch("conflicts").out
    scene.check_invariants()


def test_a_submodule_behind_the_same_sign_in_needs_only_the_token(scene: Scene) -> None:
    url = scene.sandbox.git_url
    scene.git("submodule", "--quiet", "add", url, "lib")
    scene.git("commit", "-q", "-m", "Add the library")
    scene.git("push", "-q", str(scene.sandbox.repository.path), "HEAD:main")
    shutil.rmtree(scene.clone / ".git" / "modules" / "lib")  # nothing near to take it from
    (scene.home / ".git-credentials").unlink()
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    scene.wait_status(number, "complete")
    assert (scene.worktree(number) / "lib" / "README.md").exists()
