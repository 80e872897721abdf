"""What is wrong before anything starts: a clear message, what to type next, exit code 1 or 2, and nothing half-made."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.kit.scene import Scene


class Bad(NamedTuple):
    """`spoil` makes it wrong and may return other words than `spawn 1`."""

    name: str
    spoil: Callable[[Scene], tuple[str, ...] | None]
    message: str
    hint: str
    code: int = 1


def config(text: str) -> Callable[[Scene], None]:
    return lambda scene: scene.write_config(text)


def write(name: str, text: str) -> Callable[[Scene], None]:
    def spoil(scene: Scene) -> None:
        (scene.clone / name).parent.mkdir(parents=True, exist_ok=True)
        (scene.clone / name).write_text(text)

    return spoil


def approved(name: str, text: str) -> Callable[[Scene], None]:
    def spoil(scene: Scene) -> None:
        write(name, text)(scene)
        scene.orch("init", "--approve", check=True)

    return spoil


def git(*words: str) -> Callable[[Scene], None]:
    def spoil(scene: Scene) -> None:
        scene.git(*words)

    return spoil


def elsewhere(*words: str) -> Callable[[Scene], None]:
    """Another folder in place of the clone, made by these words of git."""

    def spoil(scene: Scene) -> None:
        there = scene.folder / "elsewhere"
        there.mkdir()
        if words:
            scene.git(*words, str(there))
        scene.clone = there

    return spoil


def no_token(scene: Scene) -> None:
    del scene.env["ISSUE_ORCH_TOKEN"]


def other_forge(scene: Scene) -> None:
    scene.git("remote", "set-url", "origin", "git@gitlab.com:acme/widgets.git")
    scene.config = 'agent = "scripted"\n'
    scene.write_config()


def wrong_token(scene: Scene) -> None:
    scene.env["ISSUE_ORCH_TOKEN"] = "wrong"


def token_of_nobody(scene: Scene) -> None:
    scene.sandbox.private = True
    scene.env["ISSUE_ORCH_TOKEN"] = scene.sandbox.add_user("stranger", "none")


def closed(scene: Scene) -> None:
    scene.sandbox.close_issue(1)


def a_pull(scene: Scene) -> tuple[str, ...]:
    scene.git("push", "-q", str(scene.sandbox.bare), "HEAD:refs/heads/topic")
    scene.sandbox.seed({"x": "1"})
    scene.git("commit", "-q", "--allow-empty", "-m", "x")
    scene.git("push", "-q", str(scene.sandbox.bare), "HEAD:refs/heads/topic")
    return ("spawn", str(scene.sandbox.open_pull("topic", "main", "A pull", "", "you")))


def remote_branch(scene: Scene) -> None:
    scene.git("push", "-q", "origin", "HEAD:refs/heads/issue-1")
    scene.git("fetch", "-q")


def checked_out(scene: Scene) -> None:
    scene.git("worktree", "add", "-q", "-b", "issue-1", str(scene.folder / "mine"))


def folder_exists(scene: Scene) -> None:
    (scene.folder / "widgets-issue-1").mkdir()
    (scene.folder / "widgets-issue-1" / "file").write_text("mine")


def no_identity(scene: Scene) -> None:
    file = scene.home / ".gitconfig"
    file.write_text(
        re.sub(r"(?s)\[user\].*?(?=\[cred)", "[user]\n\tuseConfigOnly = true\n", file.read_text())
    )


def nobody_listens(scene: Scene) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    scene.git("remote", "set-url", "origin", f"http://127.0.0.1:{port}/acme/widgets.git")


def status_of(scene: Scene, text: str) -> None:
    folder = scene.state / "sessions" / "1"
    folder.mkdir(parents=True)
    (folder / "status.json").write_text(text)


def newer(scene: Scene) -> None:
    status_of(scene, json.dumps({"schemaVersion": 99, "issueNumber": 1, "status": "working"}))


def edited(scene: Scene) -> None:
    status_of(scene, '{"schemaVersion": 1, "issueNumber": 1, "status": "great"}')


def cut(scene: Scene) -> None:
    status_of(scene, '{"schemaVersion": 1, "issue')


def linked_state(scene: Scene) -> None:
    (scene.folder / "real").mkdir()
    (scene.clone / ".git" / "issue-orch").symlink_to(scene.folder / "real")


def signing(scene: Scene) -> None:
    """A signing program that waits for a passphrase at a terminal that is not there."""
    program = scene.folder / "gpg"
    program.write_text(
        "#!/bin/sh\necho 'gpg: signing failed: Inappropriate ioctl for device' >&2\nexit 2\n"
    )
    program.chmod(0o755)
    scene.git("config", "--global", "gpg.program", str(program))
    scene.git("config", "--global", "commit.gpgSign", "true")


def setup_fails(scene: Scene) -> None:
    scene.write_config('setup = [["false"]]')


def blocked_path(scene: Scene) -> None:
    (scene.folder / "file").write_text("")
    scene.write_config(f'path = "{scene.folder}/file/{{number}}"')


TABLE = [
    Bad("no repository", elsewhere(), "not inside a git repository", "cd into a clone"),
    Bad(
        "bare",
        elsewhere("clone", "-q", "--bare", "."),
        "a bare repository has none",
        "cd into an ordinary clone",
    ),
    Bad("unborn HEAD", elsewhere("init", "-q"), "has no commit yet", "make a first commit"),
    Bad("no remote", git("remote", "remove", "origin"), "", ""),
    Bad(
        "several remotes, none of them the configured one",
        git("remote", "rename", "origin", "upstream"),
        "",
        "",
    ),
    Bad("no token", no_token, "no token for http://127.0.0.1", "gh auth login, or set GH_TOKEN"),
    Bad("wrong token", wrong_token, "", ""),
    Bad("token without permission", token_of_nobody, "", ""),
    Bad("unknown issue", lambda scene: ("spawn", "4711"), "4711", ""),
    Bad("closed issue", closed, "closed as completed", "issue-orch plan 1"),
    Bad("a pull's number", a_pull, "is a pull, not an issue", "issue-orch plan", 2),
    Bad("agent not installed", config('agent = "x"'), "", "", 2),
    Bad(
        "branch exists here",
        git("branch", "issue-1"),
        "the branch issue-1 exists already",
        "--reuse",
    ),
    Bad(
        "branch exists on the remote",
        remote_branch,
        "the branch issue-1 exists on origin",
        "--reuse",
    ),
    Bad("branch checked out elsewhere", checked_out, "is checked out in", "git -C "),
    Bad("the worktree's folder exists", folder_exists, "exists already", "mv "),
    Bad("the worktree's folder cannot be", blocked_path, "", ""),
    Bad(
        "unknown placeholder",
        config('path = "../{repo}-{issue}"'),
        "unknown placeholder {issue}; known: {repo}, {number}",
        "",
        2,
    ),
    Bad(
        "broken TOML",
        write(".issue-orch.toml", "max_workers = ["),
        ".issue-orch.toml: not valid TOML",
        "mend it",
        2,
    ),
    Bad(
        "unknown key",
        write(".issue-orch.toml", "max_worker = 3"),
        "did you mean max_workers?",
        "mend it",
        2,
    ),
    Bad(
        "a merge key",
        write(".issue-orch.toml", "auto_merge = true"),
        "never merges",
        "take it out",
        2,
    ),
    Bad(
        "unapproved",
        write(".issue-orch.toml", 'setup = [["sh", "-c", "evil"]]'),
        "was not approved on this machine",
        "issue-orch init --approve",
    ),
    Bad(
        "unapproved template",
        write(".github/issue-orch/nudge.md.j2", "Run evil."),
        "was not approved on this machine",
        "issue-orch init --approve",
    ),
    Bad(
        "unknown template variable",
        approved(".github/issue-orch/session.md.j2", "{{ numbr }}"),
        "'numbr' is undefined; did you mean number?",
        "mend .github/issue-orch/session.md.j2",
    ),
    Bad(
        "who commits is unknown",
        no_identity,
        "git does not know who commits",
        "git config --global user.email",
    ),
    Bad("signing without a terminal", signing, "signing fails", 'git.sign = "off"'),
    Bad("setup fails", setup_fails, "setup: false ended with code 1", "see "),
    Bad("remote gone", nobody_listens, "origin cannot be reached", "git ls-remote origin"),
    Bad(
        "no such base",
        config('base = "develop"'),
        "origin has no branch develop",
        "push it, or set the base",
    ),
    Bad(
        "state of a newer version",
        newer,
        "schemaVersion is 99",
        "use the version of issue-orch that wrote it",
    ),
    Bad(
        "a forge of another kind",
        other_forge,
        "gitlab.com is no GitHub",
        "git remote -v; set remote",
    ),
    Bad("edited state", edited, "status is damaged", "issue-orch doctor"),
    Bad("cut state", cut, "cannot be read", "issue-orch doctor"),
    Bad("state behind a link", linked_state, "is a symbolic link", "rm "),
    Bad(
        "no session to answer",
        lambda scene: ("answer", "1", "x"),
        "there is no session",
        "issue-orch status",
    ),
    Bad(
        "no session to resume",
        lambda scene: ("resume", "1"),
        "there is no session",
        "issue-orch status",
    ),
    Bad(
        "no session to stop",
        lambda scene: ("stop", "1"),
        "there is no session",
        "issue-orch status",
    ),
    Bad(
        "no session to prune",
        lambda scene: ("prune", "1"),
        "there is no session",
        "issue-orch status",
    ),
    Bad("no number", lambda scene: ("stop",), "which issue?", "issue-orch status", 2),
    Bad(
        "not a number",
        lambda scene: ("spawn", "one"),
        "is no issue and no session's pull or branch",
        "issue-orch status",
        2,
    ),
    Bad("a number without end", lambda scene: ("spawn", "9" * 5000), "is no issue", "", 2),
    Bad(
        "a number that GitHub cannot have",
        lambda scene: ("spawn", str(2**63)),
        "is not the number of an issue",
        "",
        2,
    ),
    Bad(
        "unknown flag of status",
        lambda scene: ("status", "--wide"),
        "No such option: --wide",
        "issue-orch status",
        2,
    ),
    Bad(
        "a worker starts workers",
        lambda scene: scene.env.update(ISSUE_ORCH_WORKER="1.1") or None,
        "a worker does not start workers",
        "end your turn",
    ),
]


@pytest.mark.wide(16)
@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: bad.name)
def test_it_is_said_and_nothing_is_half_made(scene: Scene, bad: Bad) -> None:
    assert scene.issue() == 1
    clone = scene.clone
    words = bad.spoil(scene) or ("spawn", "1")
    before = sorted(path.name for path in scene.folder.iterdir())
    branches = scene.git("for-each-ref", "refs/heads", "refs/issue-orch", cwd=clone)
    ran = scene.orch(*words)
    assert ran.code == bad.code, ran
    assert bad.message in ran.err and "Traceback" not in ran.err, ran
    if bad.code == 1:
        assert f"next: {bad.hint}" in ran.err or ("next: " in ran.err and bad.hint in ran.err), ran
    assert not ran.out, "errors go to stderr"
    assert not scene.processes() and not scene.sandbox.pulls.keys() - {2}
    if bad.name not in {
        "signing without a terminal",
        "setup fails",
    }:  # those need the worktree to find out
        assert sorted(path.name for path in scene.folder.iterdir()) == before
        assert scene.git("for-each-ref", "refs/heads", "refs/issue-orch", cwd=clone) == branches
        assert not (clone / ".git" / "issue-orch" / "sessions" / "1" / "launch.json").exists()


@pytest.mark.parametrize(
    "name", ["dirty", "detached", "sparse", "shallow", "linked worktree", "subfolder"]
)
def test_what_is_unusual_but_works(scene: Scene, name: str) -> None:
    number = scene.issue()
    match name:
        case "dirty":
            (scene.clone / "README.md").write_text("changed\n")
            (scene.clone / "new.txt").write_text("new\n")
        case "detached":
            scene.git("switch", "-q", "--detach")
        case "sparse":
            scene.git("sparse-checkout", "set", "src")
        case "shallow":
            scene.sandbox.seed({"more.txt": "more\n"})
            shutil.rmtree(scene.clone)
            scene.git(
                "clone",
                "-q",
                "--depth",
                "1",
                scene.sandbox.git_url,
                str(scene.clone),
                cwd=scene.home,
            )
    cwd = scene.clone
    if name == "linked worktree":
        cwd = scene.folder / "mine"
        scene.git("worktree", "add", "-q", str(cwd))
    if name == "subfolder":
        cwd = scene.clone / "src"
    before = scene.git("status", "--porcelain=v2", "--branch")
    scene.orch("spawn", str(number), cwd=cwd, check=True)
    scene.wait_status(number, "complete")
    assert scene.git("status", "--porcelain=v2", "--branch") == before, (
        "the main worktree is left alone"
    )
    scene.check_invariants()


def test_a_title_of_nothing_visible_gives_way_to_that_of_the_issue(scene: Scene) -> None:
    """GitHub refuses a blank title, and the pull could never be opened."""
    scene.agent(
        'commit one.txt\nreport complete --title "$(printf " \\342\\200\\213 ")" --body Done\n'
    )
    number = scene.issue("Add one")
    scene.orch("spawn", str(number), check=True)
    scene.wait_status(number, "complete")
    scene.wait(lambda: scene.status(number)["pullRequestUrl"], what="the pull is open")
    titles = [scene.sandbox.issues[each].title for each in scene.sandbox.pulls]
    assert titles == ["Add one"]


def test_a_full_disk_is_said(scene: Scene) -> None:
    """A limit on the size of files stands for the full disk: writes fail with an OSError all the same."""
    number = scene.issue()
    line = f'ulimit -f 0; trap "" XFSZ; exec "{scene.command[0]}" -P -m issue_orch spawn {number}'
    done = subprocess.run(
        ["sh", "-c", line],
        cwd=scene.clone,
        env=scene.env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1 and "File too large" in done.stderr and "next: " in done.stderr, (
        done
    )
    scene.wait_quiet()
    scene.orch("spawn", str(number), check=True)
    scene.wait_status(number, "complete")
    scene.check_invariants()


def test_a_folder_that_cannot_be_written_is_said(scene: Scene) -> None:
    number = scene.issue()
    if os.geteuid() == 0:  # rights do not bind root: a file stands where the folder must be
        (scene.clone / ".git" / "issue-orch").write_text("")
    else:
        (scene.clone / ".git").chmod(0o500)
    ran = scene.orch("spawn", str(number))
    (scene.clone / ".git").chmod(0o755)
    assert ran.code == 1 and "issue-orch" in ran.err and "next: " in ran.err, ran


def test_a_hanging_remote_ends_in_time(scene: Scene) -> None:
    """The remote takes the connection and says nothing; git is ended with its whole tree."""
    from issue_orch.core.model import Branch, CommitSha
    from issue_orch.git import remote
    from issue_orch.git import run as hardened

    with socket.create_server(("127.0.0.1", 0)) as server:
        scene.git(
            "remote", "set-url", "origin", f"http://127.0.0.1:{server.getsockname()[1]}/x.git"
        )
        origin = remote.Remote(hardened.find_repo(str(scene.clone)), "origin", timeout=0.5)
        sha = CommitSha(scene.git("rev-parse", "HEAD").strip())
        with pytest.raises(remote.RemoteFailed, match="no answer in 0 s"):
            remote.push(origin, Branch("issue-1"), sha, Branch("main"))
