"""What real repositories bring along; docs/real-repositories.md says the same in words."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from issue_orch.git.run import read_version
from tests.kit.scene import ASK, COMPLETE, Scene


def to_the_pull(scene: Scene, number: int, *words: str) -> str:
    scene.orch("spawn", str(number), *words, check=True)
    url = str(scene.wait_status(number, "complete")["pullRequestUrl"])
    scene.check_invariants()
    return url


def program(scene: Scene, name: str, text: str) -> Path:
    folder = scene.folder / "bin"
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    scene.env["PATH"] = f"{folder}:{scene.env['PATH'].removeprefix(f'{folder}:')}"
    return path


def hook(scene: Scene, name: str, text: str) -> None:
    path = scene.clone / ".git" / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_signing_with_a_locked_key_is_refused_or_switched_off(scene: Scene) -> None:
    key = scene.home / "key"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "a passphrase", "-f", str(key)], check=True
    )
    for name, value in (
        ("gpg.format", "ssh"),
        ("user.signingKey", f"{key}.pub"),
        ("commit.gpgSign", "true"),
    ):
        scene.git("config", "--global", name, value)
    number = scene.issue()
    ran = scene.orch("spawn", str(number))
    assert ran.code == 1 and "commits must be signed here, and signing fails" in ran.err, ran
    assert 'git.sign = "off"' in ran.err and not scene.workers()
    scene.write_config('git.sign = "off"')
    to_the_pull(scene, number)
    assert "gpgsig" not in scene.git("cat-file", "commit", f"issue-{number}")


def test_signing_with_an_open_key_signs_the_workers_commits(scene: Scene) -> None:
    key = scene.home / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    for name, value in (
        ("gpg.format", "ssh"),
        ("user.signingKey", f"{key}.pub"),
        ("commit.gpgSign", "true"),
    ):
        scene.git("config", "--global", name, value)
    number = scene.issue()
    to_the_pull(scene, number)
    assert "gpgsig" in scene.git("cat-file", "commit", f"issue-{number}")


def test_hooks_run_for_the_worker_and_not_for_us(scene: Scene) -> None:
    seen = scene.folder / "hooks-seen"
    for name in ("pre-commit", "commit-msg", "post-checkout", "pre-push", "reference-transaction"):
        hook(scene, name, f'echo "{name} ${{ISSUE_ORCH_WORKER:-nobody}}" >> "{seen}"')
    number = scene.issue()
    to_the_pull(scene, number)
    lines = set(seen.read_text().splitlines())
    assert {f"pre-commit {number}.1", f"commit-msg {number}.1"} <= lines
    assert not [line for line in lines if line.endswith("nobody")], (
        "no hook ran in our own git commands"
    )


def test_a_hook_that_refuses_the_commit_is_the_workers_matter(scene: Scene) -> None:
    hook(scene, "pre-commit", "test -e .issue-orch/mended || { echo 'lint: mend it' >&2; exit 1; }")
    scene.agent("commit work.txt 2> .issue-orch/said || touch .issue-orch/mended\n" + COMPLETE)
    number = scene.issue()
    to_the_pull(scene, number)
    assert "lint: mend it" in (scene.worktree(number) / ".issue-orch" / "said").read_text()


def test_lfs_is_refused_without_git_lfs_and_uploaded_before_the_push(scene: Scene) -> None:
    scene.sandbox.seed({".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n"}, "LFS")
    number = scene.issue()
    scene.env["PATH"] = without(scene, "git-lfs")
    refused = scene.orch("spawn", str(number))
    assert (
        refused.code == 1 and "git-lfs is not installed" in refused.err and not scene.status(number)
    )
    log = scene.folder / "lfs-log"
    program(scene, "git-lfs", f'echo "$*" >> "{log}"; case "$1" in clean|smudge) cat;; esac')
    to_the_pull(scene, number)
    assert log.read_text().splitlines()[-1] == f"push origin issue-{number}"


def without(scene: Scene, name: str) -> str:
    folders = scene.env["PATH"].split(":")
    return ":".join(folder for folder in folders if not (Path(folder) / name).exists())


def test_submodules_come_as_the_clone_has_them(scene: Scene) -> None:
    library = scene.folder / "library"
    scene.git("init", "-q", str(library), cwd=scene.folder)
    scene.git("commit", "-q", "--allow-empty", "-m", "Library", cwd=library)
    scene.git("submodule", "--quiet", "add", str(library), "lib")
    scene.git("commit", "-q", "-m", "Add the library")
    scene.git("push", "-q", str(scene.sandbox.repository.path), "HEAD:main")
    number = scene.issue()
    url = to_the_pull(scene, number)
    assert (scene.worktree(number) / "lib" / ".git").exists()
    scene.sandbox.person.merge(int(url.rpartition("/")[2]))
    assert "removed" in scene.orch("prune", check=True).out
    assert (scene.clone / "lib" / ".git").exists()


def test_the_default_branch_was_renamed(scene: Scene) -> None:
    first = scene.issue()
    to_the_pull(scene, first)
    scene.git("push", "-q", str(scene.sandbox.repository.path), "HEAD:refs/heads/trunk")
    scene.sandbox.sync()
    scene.sandbox.default_branch = "trunk"
    scene.sandbox.changed()
    second = scene.issue()
    to_the_pull(scene, second)
    assert scene.status(first)["base"] == "main" and scene.status(second)["base"] == "trunk"


def test_reopened_after_prune_starts_anew_and_keeps_the_old_session(scene: Scene) -> None:
    number = scene.issue()
    url = to_the_pull(scene, number)
    scene.sandbox.person.merge(int(url.rpartition("/")[2]), delete_branch=True)
    scene.orch("prune", check=True)
    scene.sandbox.reopen_issue(number)
    scene.agent('commit again.txt\nreport complete --title "Again"\n')
    scene.git("fetch", "-q", "--prune")
    again = to_the_pull(scene, number)
    assert again != url and len(list((scene.state / "archive").iterdir())) == 1


def test_files_of_worktreeinclude_and_setup(scene: Scene) -> None:
    scene.sandbox.seed({".gitignore": ".env\nsecret\n", ".worktreeinclude": ".env\n"}, "Ignore")
    scene.git("pull", "-q")
    for name in (".env", "secret"):
        (scene.clone / name).write_text("x\n")
    scene.write_config('setup = [["sh", "-c", "env > .issue-orch/setup-env; cat .env"]]')
    number = scene.issue()
    to_the_pull(scene, number)
    tree = scene.worktree(number)
    assert (tree / ".env").exists() and not (tree / "secret").exists()
    assert scene.token not in (tree / ".issue-orch" / "setup-env").read_text()
    assert (scene.state / "sessions" / str(number) / "setup.log").read_text().endswith("x\n")


def test_a_fork_is_refused_and_the_key_named(scene: Scene) -> None:
    scene.config = scene.config.replace('repo = "acme/widgets"\n', "")
    scene.write_config()
    scene.git("remote", "rename", "origin", "upstream")
    number = scene.issue()
    ran = scene.orch("spawn", str(number))
    assert ran.code == 1 and "there is no remote called origin (there is: upstream)" in ran.err, ran
    assert 'remote = "…" in .issue-orch.toml' in ran.err


@pytest.mark.skipif(read_version() < (2, 48), reason="needs git 2.48")
@pytest.mark.parametrize("kind", ["reftable", "relative"])
def test_what_newer_versions_of_git_can_be_told_to_write(scene: Scene, kind: str) -> None:
    if kind == "relative":
        scene.git("config", "--global", "worktree.useRelativePaths", "true")
    else:
        shutil.rmtree(scene.clone)
        scene.git(
            "clone",
            "-q",
            "--ref-format=reftable",
            scene.sandbox.git_url,
            str(scene.clone),
            cwd=scene.home,
        )
    scene.agent(ASK)
    one, two = scene.issue(), scene.issue()
    scene.orch("spawn", str(one), str(two), check=True)
    for number in (one, two):
        scene.wait_status(number, "stuck")
    scene.orch("answer", str(one), "left", check=True)
    url = str(scene.wait_status(one, "complete")["pullRequestUrl"])
    scene.check_invariants()
    assert f"#{one}" in scene.orch("conflicts", check=True).out
    scene.sandbox.person.merge(int(url.rpartition("/")[2]))
    (scene.worktree(two) / "unsaved").write_text("kept\n")
    scene.orch("cancel", str(two), check=True)
    pruned = scene.orch("prune", "--cancelled", check=True).out
    assert f"#{one}: removed: merged: {url}" in pruned and f"#{two}: removed" in pruned, pruned
    [preserved] = scene.git(
        "for-each-ref", "--format=%(refname)", "refs/issue-orch/preserved"
    ).split()
    assert scene.git("show", f"{preserved}:unsaved") == "kept\n"
    scene.wait(
        lambda: not [*scene.folder.glob(".widgets-*")],
        what="the files of what was removed are deleted",
    )
    scene.check_invariants()
