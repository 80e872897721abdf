"""Every hint leads on: it is printed in a scene, typed there as it stands, and the same trouble does not come again.

Commands of the program run in the test's own process. What a person does (mends a file, signs in) the scene does.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import webbrowser
from collections.abc import Callable, Iterator
from importlib import reload
from itertools import chain, groupby
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer.main

from issue_orch.__main__ import main
from issue_orch.cli import app
from issue_orch.core.record import new_status
from issue_orch.store.files import iso, make_session, make_state, save_status, write_json
from issue_orch.store.leases import take
from tests.kit import screens
from tests.kit.git import script
from tests.kit.hints import LOOKS, collected, commands_in, pattern
from tests.kit.scene import ASK, COMPLETE, ENDLESS, Scene


class Ran(NamedTuple):
    code: int
    said: str


class World:
    """A scene in which lines are typed, and that is as it was before after each of them."""

    def __init__(self, scene: Scene, capfd: pytest.CaptureFixture[str]) -> None:
        self.scene, self.capfd = scene, capfd
        self.bin = scene.folder / "bin"
        self.bin.mkdir()
        scene.env["PATH"] = f"{self.bin}:{scene.env['PATH']}"
        scene.env["COLUMNS"] = "200"  # a line of output is a line of the terminal
        self.env, self.config = dict(scene.env), scene.config
        self.git_config = (scene.clone / ".git/config").read_text()
        self.mine = (scene.home / ".gitconfig").read_text()
        self.cwd, self.sha = scene.clone, scene.git("rev-parse", "HEAD").strip()
        self.number = 0
        self.doctor = self.first = False

    # -- typing

    def filled(self, command: str) -> str:
        """With what only a person knows."""
        known = {
            "owner/name": "acme/widgets",
            "URL": self.scene.sandbox.git_url,
            "NUMBER": str(self.number),
            "ISSUE": str(self.number),
            "NAME": "scripted",
            "\u2026": "left",
        }
        for name, value in known.items():
            command = re.sub(rf"(?<![\w/]){re.escape(name)}(?![\w/])", value, command)
        return command.strip()

    def type(self, line: str) -> Ran:
        """As in a shell; commands of ours in this process."""
        word, _, rest = line.partition(" ")
        if word == "cd":
            self.cwd = Path(rest)
        elif word == "unset":
            self.env.pop(rest)
        elif word == "issue-orch":
            return self.type_ours(shlex.split(rest))
        else:
            done = subprocess.run(
                ["/bin/sh", "-c", line],
                cwd=self.cwd,
                env=self.env,
                capture_output=True,
                text=True,
                check=False,
            )
            return Ran(done.returncode, done.stdout + done.stderr)
        return Ran(0, "")

    def type_ours(self, words: list[str]) -> Ran:
        before, where, stdin = dict(os.environ), os.getcwd(), sys.stdin
        os.environ.clear()
        os.environ.update(self.env)
        os.chdir(self.cwd)
        try:
            with open(os.devnull) as sys.stdin:
                self.capfd.readouterr()
                code = main(words)
        finally:
            sys.stdin = stdin
            os.chdir(where)
            os.environ.clear()
            os.environ.update(before)
        said = self.capfd.readouterr()
        return Ran(code, said.out + said.err)

    # -- scenery

    def issue(self, **more: Any) -> int:
        self.number = self.scene.issue(**more)
        return self.number

    def configure(self, before: str = "", after: str = "") -> None:
        self.scene.write_config(before, after)

    def replace_config(self, old: str, new: str) -> None:
        self.scene.config = self.scene.config.replace(old, new)
        self.scene.write_config()

    def session(self, phase: str = "working", folder: bool = True, **fields: Any) -> int:
        """As on disk; nothing runs, and of git there is nothing but a folder."""
        number = self.issue()
        path = self.scene.clone.with_name(f"widgets-issue-{number}")
        if folder:
            path.mkdir()
        blank = {
            "issueTitle": "A task",
            "status": phase,
            "startedAt": iso(time.time()),
            "branch": f"issue-{number}",
            "worktreePath": str(path),
            "repo": "acme/widgets",
            "base": "main",
            "baseSha": self.sha,
            "agent": "scripted",
            "attempt": 1,
            "issueUrl": f"{self.scene.sandbox.base_url}/acme/widgets/issues/{number}",
        }
        state = make_state(self.scene.clone / ".git")
        status: Any = {**blank, **fields}
        made = make_session(state, number)
        (made / "prompt.md").write_text("")
        save_status(state, new_status(number, **status))
        return number

    def work(self, body: str = COMPLETE, until: str = "complete") -> int:
        """A real one."""
        self.scene.agent(body)
        number = self.issue()
        ran = self.type(f"issue-orch spawn {number}")
        assert ran.code == 0, ran
        if until:
            self.scene.wait_status(number, until)
        self.scene.agent(COMPLETE)
        return number

    def reset(self) -> None:
        scene = self.scene
        scene.close()
        scene.gates.clear()
        (scene.clone / ".git/config").write_text(self.git_config)
        (scene.home / ".gitconfig").write_text(self.mine)
        for path in scene.folder.glob("widgets-issue-*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.rmtree(scene.state, ignore_errors=True)
        for name in (".issue-orch.toml", ".github"):
            left = scene.clone / name
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
        scene.git("worktree", "prune")
        for branch in scene.git("for-each-ref", "--format=%(refname:short)", "refs/heads").split():
            if branch != "main":
                scene.git("branch", "-q", "-D", branch)
        for tracking in scene.git("for-each-ref", "--format=%(refname)", "refs/remotes").split():
            if "issue-" in tracking:
                scene.git("update-ref", "-d", tracking)
        scene.config, self.cwd, self.env = self.config, scene.clone, dict(scene.env)
        scene.sandbox.faults.clear()
        scene.write_config()
        for each in self.bin.iterdir():
            each.unlink()


class Wrong(str):
    """A line that is wrong itself: what the hint names is typed in its place."""


Play = Callable[[World], Iterator[str | tuple[str, int]]]
SCENES: dict[str, list[tuple[str, Play]]] = {}


def leads(kind: str, *keys: str) -> Callable[[Play], Play]:
    """A scene for each of these hints: it yields the line that prints it, with the place of the alternative to be taken if
    that is not the first; what it does then a person does."""

    def declare(play: Play) -> Play:
        SCENES.setdefault(kind, []).extend((key, play) for key in keys)
        return play

    return declare


# -- config


def bad_config(text: str) -> Play:
    def play(w: World) -> Iterator[str]:
        w.configure(text)
        yield "issue-orch plan"
        w.configure()

    return play


leads("config", "config/layers.py: mend it in {}")(bad_config("max_worker = 2"))
leads("config", "config/layers.py: take it out of {}")(bad_config("auto_merge = true"))


@leads("config", "config/layers.py: mend {}, or move it away")
def not_text(w: World) -> Iterator[str]:
    (w.scene.clone / ".issue-orch.toml").write_bytes(b"\xff\xfe")
    yield "issue-orch plan"
    (w.scene.clone / ".issue-orch.toml").unlink()


@leads("config", "config/layers.py: unset {}")
def no_such_variable(w: World) -> Iterator[str]:
    w.env["ISSUE_ORCH_MAX_WORKER"] = "3"
    yield "issue-orch plan"


@leads("config", "config/layers.py: choose one of {}, or set agents.{}.command")
def no_such_agent(w: World) -> Iterator[str]:
    w.issue()
    w.replace_config('agent = "scripted"', 'agent = "nosuch"')
    yield f"issue-orch spawn {w.number}"
    w.replace_config('agent = "nosuch"', 'agent = "scripted"')


@leads("config", "config/layers.py: read it; then: issue-orch init --approve")
def not_approved(w: World) -> Iterator[str]:
    (w.scene.clone / ".issue-orch.toml").write_text('setup = [["true"]]\n')
    yield "issue-orch plan"


@leads("config", "config/approval.py: put the file itself into {}")
def template_behind_a_link(w: World) -> Iterator[str]:
    folder = w.scene.clone / ".github/issue-orch"
    folder.mkdir(parents=True)
    (folder / "session.md.j2").symlink_to("/etc/hostname")
    yield "issue-orch init --approve"
    (folder / "session.md.j2").unlink()


@leads("config", "config/templates.py: mend {}/{}, or delete it to use ours")
def broken_template(w: World) -> Iterator[str]:
    broken = w.scene.clone / ".github/issue-orch/session.md.j2"
    broken.parent.mkdir(parents=True)
    broken.write_text("{% if %}")
    assert w.type("issue-orch init --approve").code == 0
    w.issue()
    yield f"issue-orch spawn {w.number}"
    broken.unlink()
    w.type("issue-orch init --approve")


@leads(
    "config",
    'actions/context.py: git remote add origin URL, or set remote = "…" in .issue-orch.toml',
)
def no_remote(w: World) -> Iterator[str]:
    w.replace_config('repo = "acme/widgets"\n', "")
    w.scene.git("remote", "remove", "origin")
    yield "issue-orch plan"


@leads("config", "actions/context.py: issue-orch init --repo owner/name")
def remote_is_a_path(w: World) -> Iterator[str]:
    w.replace_config('repo = "acme/widgets"\n', "")
    w.scene.git("remote", "set-url", "origin", str(w.scene.sandbox.repository.path))
    yield "issue-orch plan"


@leads("config", "commands/init.py: issue-orch init --repo owner/name")
def init_of_a_path(w: World) -> Iterator[str]:
    w.replace_config('repo = "acme/widgets"\n', "")
    w.scene.git("remote", "set-url", "origin", str(w.scene.sandbox.repository.path))
    yield "issue-orch init --yes"


@leads("config", 'actions/context.py: set repo = "owner/name" in {}')
def path_with_a_file(w: World) -> Iterator[str]:
    w.replace_config('repo = "acme/widgets"\n', "")
    w.scene.git("remote", "set-url", "origin", str(w.scene.sandbox.repository.path))
    file = w.scene.clone / ".issue-orch.toml"
    file.write_text("max_workers = 2\n")
    yield "issue-orch plan"
    file.write_text('repo = "acme/widgets"\n')


@leads("config", "commands/init.py: write it there yourself: {}")
def file_is_there(w: World) -> Iterator[str]:
    (w.scene.clone / ".issue-orch.toml").write_text("")
    yield "issue-orch init --agent codex"
    (w.scene.clone / ".issue-orch.toml").unlink()


@leads("config", 'commands/init.py: clone {}; or, to work in the fork, set repo = "{}" in {}')
def fork(w: World) -> Iterator[str]:
    w.replace_config('repo = "acme/widgets"\n', "")
    w.scene.git("remote", "add", "upstream", "https://github.com/first/widgets.git")
    yield "issue-orch init --agent scripted"
    (w.scene.clone / ".issue-orch.toml").write_text('repo = "acme/widgets"\n')


@leads("config", "commands/init.py: Next: issue-orch plan")
def init_is_fine(w: World) -> Iterator[str]:
    yield "issue-orch init"


@leads("config", "actions/setup.py: GitHub has no label {}: issue-orch init --labels")
def no_label(w: World) -> Iterator[str]:
    w.configure('ready.labels = ["go"]')
    yield "issue-orch init"


@leads(
    "config",
    "actions/setup.py: Templates are in {}. Delete those that you do not change, then: issue-orch init --approve",
)
def templates_copied(w: World) -> Iterator[str]:
    yield "issue-orch init --templates"


@leads("config", "actions/launch.py: set prices for [agents.{}], or budget.allow_unknown = true")
def no_prices(w: World) -> Iterator[str]:
    w.configure(after="[budget]\ntotal = 5\n")
    w.issue()
    yield f"issue-orch spawn {w.number}"
    w.configure(after="[budget]\ntotal = 5\nallow_unknown = true\n")


@leads(
    "config",
    "actions/launch.py: {}, or choose another: issue-orch spawn --agent {}",
)
def agent_is_not_installed(w: World) -> Iterator[str]:
    w.issue()
    w.replace_config('agent = "scripted"', 'agent = "opencode"')
    yield f"issue-orch spawn {w.number}"
    script(w.bin / "opencode", "exit 0")


# -- token, GitHub


@leads("token", "github/fence.py: gh auth login, or set ISSUE_ORCH_TOKEN")
def refused_token(w: World) -> Iterator[str]:
    w.env["ISSUE_ORCH_TOKEN"] = "wrong"
    yield "issue-orch plan"
    w.env["ISSUE_ORCH_TOKEN"] = w.scene.token


@leads("token", "github/rest.py: set another one")
def impossible_token(w: World) -> Iterator[str]:
    w.env["ISSUE_ORCH_TOKEN"] = "a b"
    yield "issue-orch plan"
    w.env["ISSUE_ORCH_TOKEN"] = w.scene.token


@leads("token", "commands/init.py: Next: mend that, then: issue-orch doctor")
def init_without_a_token(w: World) -> Iterator[str]:
    token = w.env.pop("ISSUE_ORCH_TOKEN")
    yield "issue-orch init"
    w.env["ISSUE_ORCH_TOKEN"] = token


@leads("token", "actions/facts.py: issue-orch plan, or issue-orch doctor for the token")
def no_such_issue(w: World) -> Iterator[str | tuple[str, int]]:
    yield "issue-orch spawn 999"


@leads("token", "actions/facts.py: issue-orch plan")
def a_pull_is_no_issue(w: World) -> Iterator[str]:
    pull = w.scene.status(w.work())["pullRequestUrl"].rpartition("/")[2]
    yield f"issue-orch spawn {pull}"


@leads("token", "github/fence.py: issue-orch doctor")
def not_permitted(w: World) -> Iterator[str]:
    w.scene.sandbox.fail(method="GET", route="/repos/.*/issues.*", status=403, times=9)
    yield "issue-orch plan"


@leads("token", "github/fence.py: run the command again")
def github_is_ill(w: World) -> Iterator[str]:
    w.scene.sandbox.fail(method="GET", route="/repos/.*/issues.*", status=418, times=9)
    yield "issue-orch plan"
    w.scene.sandbox.faults.clear()


@leads("token", "github/rest.py: check the network, then try again")
def nobody_listens(w: World) -> Iterator[str]:
    w.replace_config(w.scene.sandbox.base_url, "http://127.0.0.1:9")
    yield "issue-orch plan"
    w.scene.config = w.config
    w.scene.write_config()


@leads(
    "token",
    "actions/doctor.py: protect {} with a required review, or use a token that may not write contents",
)
def not_protected(w: World) -> Iterator[str]:
    yield "issue-orch doctor"
    w.scene.sandbox.protect_branch("main", reviews=1)


# -- git


@leads("git", "git/run.py: git config core.bare false, or: issue-orch doctor --fix")
def turned_bare(w: World) -> Iterator[str | tuple[str, int]]:
    w.scene.git("config", "core.bare", "true")
    yield "issue-orch plan"


@leads("git", "git/run.py: git config core.bare false, or: issue-orch doctor --fix")
def turned_bare_for_doctor(w: World) -> Iterator[str | tuple[str, int]]:
    w.scene.git("config", "core.bare", "true")
    yield "issue-orch plan", 1


@leads("git", "git/run.py: git config --file {}/config --list   shows what is set; mend that")
def broken_git_config(w: World) -> Iterator[str]:
    (w.scene.clone / ".git/config").write_text("[core\n")
    yield "issue-orch plan"
    (w.scene.clone / ".git/config").write_text(w.git_config)


@leads("git", "git/run.py: git config --global user.email you@example.org, and user.name")
def nobody_commits(w: World) -> Iterator[str]:
    (w.scene.home / ".gitconfig").write_text(f"{w.mine}[user]\n\tuseConfigOnly = true\n\temail =\n")
    w.scene.git("config", "--global", "--unset-all", "user.email")
    w.issue()
    yield f"issue-orch spawn {w.number}"


@leads("git", "git/run.py: make a first commit and push it")
def no_commit(w: World) -> Iterator[str]:
    w.cwd = w.scene.folder / "empty"
    w.scene.git("init", "-q", str(w.cwd))
    yield "issue-orch plan"
    w.type("git commit -q --allow-empty -m first")


@leads("git", "git/run.py: cd into an ordinary clone")
def bare(w: World) -> Iterator[str]:
    w.cwd = w.scene.folder / "bare"
    w.scene.git("clone", "-q", "--bare", str(w.scene.clone), str(w.cwd))
    yield "issue-orch plan"
    w.cwd = w.scene.clone


@leads("git", "store/look.py: cd into a clone of the GitHub repository")
def no_clone(w: World) -> Iterator[str]:
    w.cwd = w.scene.home
    yield "issue-orch status"
    w.cwd = w.scene.clone


@leads("git", "git/remote.py: push it, or set the base branch in the configuration")
def no_such_base(w: World) -> Iterator[str]:
    w.configure('base = "develop"')
    w.issue()
    yield f"issue-orch spawn {w.number}"
    w.configure()


@leads("git", "git/remote.py: git ls-remote {}")
def remote_is_gone(w: World) -> Iterator[str]:
    w.scene.git("remote", "set-url", "origin", "http://127.0.0.1:9/acme/widgets.git")
    w.issue()
    yield f"issue-orch spawn {w.number}"
    w.scene.git("remote", "set-url", "origin", w.scene.sandbox.git_url)


@leads("git", "actions/context.py: {}; undo it, or if it is yours: issue-orch init --approve")
def key_changed(w: World) -> Iterator[str]:
    w.work(ENDLESS, "")
    w.scene.git("config", "core.sshCommand", "ssh -v")
    yield "issue-orch plan"
    assert w.type("issue-orch init --approve").code == 0


# -- worktrees


@leads("worktree", "git/worktree.py: issue-orch spawn {} --reuse, or git branch -m {} {}-old")
def branch_in_the_way(w: World) -> Iterator[str | tuple[str, int]]:
    w.scene.git("branch", f"issue-{w.issue()}")
    yield f"issue-orch spawn {w.number}", 1


@leads("worktree", "git/worktree.py: issue-orch spawn {} --reuse, or git branch -m {} {}-old")
def branch_is_continued(w: World) -> Iterator[str | tuple[str, int]]:
    w.scene.git("branch", f"issue-{w.issue()}")
    yield f"issue-orch spawn {w.number}"


@leads(
    "worktree",
    "git/worktree.py: ask who works on it; to go on with it: issue-orch spawn {} --reuse",
)
def branch_on_the_remote(w: World) -> Iterator[str]:
    w.scene.git(
        "push", "-q", str(w.scene.sandbox.repository.path), f"main:refs/heads/issue-{w.issue()}"
    )
    yield f"issue-orch spawn {w.number}"


@leads("worktree", "git/worktree.py: git -C {} switch --detach")
def checked_out_elsewhere(w: World) -> Iterator[str]:
    where = w.scene.folder / f"elsewhere-{w.issue()}"
    w.scene.git("worktree", "add", "-q", "-b", f"issue-{w.number}", str(where))
    yield f"issue-orch spawn {w.number} --reuse"
    shutil.rmtree(where / "nothing", ignore_errors=True)


@leads("worktree", "git/worktree.py: git worktree remove {}")
def a_worktree_of_a_person(w: World) -> Iterator[str]:
    where = w.scene.clone.with_name(f"widgets-issue-{w.issue()}")
    w.scene.git("worktree", "add", "-q", "--detach", str(where))
    yield f"issue-orch spawn {w.number}"


@leads("worktree", "git/worktree.py: mv {} {}.aside")
def a_folder_in_the_way(w: World) -> Iterator[str]:
    where = w.scene.clone.with_name(f"widgets-issue-{w.issue()}")
    where.mkdir()
    (where / "notes").write_text("mine")
    yield f"issue-orch spawn {w.number}"


@leads("worktree", "git/run.py: git worktree list")
def not_registered(w: World) -> Iterator[str]:
    number = w.session("stuck", stuckReason="x")
    yield f"issue-orch resume {number}"


@leads("worktree", "actions/launch.py: git worktree list; issue-orch cancel {}")
def folder_is_gone(w: World) -> Iterator[str]:
    number = w.session("stuck", folder=False, stuckReason="x")
    yield f"issue-orch resume {number}"


@leads(
    "worktree", "actions/launch.py: issue-orch spawn {}", "actions/doctor.py: issue-orch spawn {}"
)
def cut_off(w: World) -> Iterator[str]:
    number = w.session("registered", folder=False, attempt=0)
    (w.scene.state / f"sessions/{number}/prompt.md").unlink()
    yield "issue-orch doctor" if w.doctor else f"issue-orch resume {number}"


@leads(
    "worktree",
    "actions/whereabouts.py: git worktree remove {} (it refuses when work would be lost), then issue-orch doctor --fix",
)
def another_worktree_in_its_place(w: World) -> Iterator[str]:
    number = w.work(ASK, "stuck")
    path = w.scene.worktree(number)
    w.scene.git("worktree", "remove", "--force", str(path))
    w.scene.git("worktree", "add", "-q", str(path), f"issue-{number}")
    yield f'issue-orch tell {number} "left"'


@leads(
    "worktree",
    "actions/doctor.py: mount it; if it is gone for good: git worktree remove {}, then {}",
)
def not_mounted(w: World) -> Iterator[str]:
    number = w.work(ASK, "stuck")
    shutil.rmtree(w.scene.worktree(number))
    yield "issue-orch doctor"


@leads(
    "worktree",
    "actions/doctor.py: git worktree remove {} (it refuses when work would be lost)",
)
def without_a_session(w: World) -> Iterator[str]:
    where = w.scene.clone.with_name("widgets-issue-77")
    w.scene.git("worktree", "add", "-q", "-b", "issue-77", str(where))
    yield "issue-orch doctor"


@leads(
    "worktree",
    "actions/launch.py: issue-orch doctor --fix",
    "actions/doctor.py: issue-orch doctor --fix",
)
def without_an_index(w: World) -> Iterator[str]:
    number = w.work(ASK, "stuck")
    shutil.rmtree(w.scene.worktree(number) / ".issue-orch")  # as where a checkout was killed
    (w.scene.clone / f".git/worktrees/widgets-issue-{number}/index").unlink()
    yield "issue-orch doctor" if w.doctor else f'issue-orch tell {number} "left"'


@leads(
    "worktree",
    "git/checkout.py: git -C {} reset, which makes it again and leaves the files alone",
    "actions/doctor.py: git -C {} reset, which leaves the files alone",
)
def an_index_gone_with_work(w: World) -> Iterator[str]:
    number = w.work(ASK, "stuck")
    (w.scene.worktree(number) / "README.md").write_text("work\n")
    (w.scene.clone / f".git/worktrees/widgets-issue-{number}/index").unlink()
    yield "issue-orch doctor" if w.doctor else f'issue-orch tell {number} "left"'


@leads("worktree", "store/look.py: issue-orch doctor")
def path_is_gone(w: World) -> Iterator[str]:
    yield f"issue-orch path {w.session(folder=False)}"


@leads("worktree", "commands/diff.py: issue-orch show {}")
def nothing_to_compare(w: World) -> Iterator[str]:
    yield f"issue-orch diff {w.session(folder=False)}"


# -- sessions


@leads("sessions", "store/look.py: issue-orch status")
def no_session(w: World) -> Iterator[str]:
    yield "issue-orch show 99"


@leads("sessions", "actions/prune.py: issue-orch status")
def nothing_to_prune(w: World) -> Iterator[str]:
    yield "issue-orch prune 99"


@leads("sessions", "actions/naming.py: issue-orch status")
def no_name(w: World) -> Iterator[str]:
    yield "issue-orch show issue-77"


@leads("sessions", "actions/naming.py: cd into a clone of {}")
def another_repository(w: World) -> Iterator[str]:
    yield Wrong("issue-orch show acme/gadgets#1")


@leads(
    "sessions",
    "terminal/sessions.py: No active sessions.\n  issue-orch plan shows what is ready; issue-orch spawn starts it.",
)
def no_sessions(w: World) -> Iterator[str]:
    yield "issue-orch status"


@leads("sessions", "terminal/sessions.py: Next: {} · all about one: issue-orch show {}")
def many_sessions(w: World) -> Iterator[str]:
    for number in [w.session("complete", pullRequestUrl="https://x/pull/1") for _ in range(10)]:
        assert number
    w.env["BROWSER"] = "true"
    yield "issue-orch status"


@leads("sessions", "terminal/sessions.py: All about one: issue-orch show {}")
def many_that_need_nothing(w: World) -> Iterator[str]:
    for _ in range(10):
        number = w.session()
        held.append(take(w.scene.state, number, "supervisor"))
    yield "issue-orch status"
    while held:
        held.pop().release()


held: list[Any] = []


@leads("sessions", "commands/answer.py: issue-orch show {}", "actions/steer.py: issue-orch show {}")
def no_such_option(w: World) -> Iterator[str]:
    number = w.session("stuck", question=screens.question("Which?", "left", "right"))
    yield f"issue-orch answer {number} -o 9" if w.first else f"issue-orch answer {number} 9"


@leads("sessions", "commands/answer.py: issue-orch answer ISSUE --option {}")
def option_of_which(w: World) -> Iterator[str]:
    w.work(ASK, "stuck")
    yield Wrong("issue-orch answer --option 1")


@leads(
    "sessions",
    'commands/answer.py: issue-orch answer {} "…"',
    'actions/steer.py: issue-orch answer {} "…"',
)
def no_answer(w: World) -> Iterator[str]:
    number = w.work(ASK, "stuck")
    yield Wrong(f"issue-orch answer {number}") if w.first else f"issue-orch resume {number}"


@leads("sessions", 'actions/steer.py: issue-orch answer {} "what to do"')
def empty_answer(w: World) -> Iterator[str]:
    number = w.work(ASK, "stuck")
    yield Wrong(f'issue-orch tell {number} " "')


@leads("sessions", "commands/answer.py: issue-orch tell {} {}")
def complete_asks_nothing(w: World) -> Iterator[str]:
    yield f"issue-orch answer {w.work()} fine"


@leads("sessions", "commands/attach.py: issue-orch logs {} -f")
def attach_without_a_terminal(w: World) -> Iterator[str]:
    yield f"issue-orch attach {w.session()}"


@leads("sessions", "commands/spawn.py: issue-orch plan {}")
def held_back(w: World) -> Iterator[str]:
    yield f"issue-orch spawn {w.session()}"


@leads("sessions", "commands/spawn.py: issue-orch prune {} --cancelled")
def was_cancelled(w: World) -> Iterator[str]:
    number = w.work(ASK, "stuck")
    w.type(f"issue-orch cancel {number}")
    yield f"issue-orch spawn {number}"


@leads("sessions", "actions/steer.py: issue-orch prune {} --cancelled; issue-orch spawn {} --reuse")
def told_a_cancelled_one(w: World) -> Iterator[str]:
    number = w.work(ASK, "stuck")
    w.type(f"issue-orch cancel {number}")
    yield f"issue-orch tell {number} hello"


@leads("sessions", "commands/spawn.py: issue-orch spawn --yes, or name the issues")
def spawn_without_a_terminal(w: World) -> Iterator[str]:
    w.issue()
    yield "issue-orch spawn"


@leads("sessions", "commands/spawn.py: issue-orch spawn {} --yes")
def asks_before(w: World) -> Iterator[str]:
    number = w.issue(body="Depends on nobody/nothing#1")
    yield f"issue-orch spawn {number}"


@leads(
    "sessions",
    "commands/spawn.py: Nothing is ready. Label issues with {}, or name them: issue-orch spawn NUMBER",
)
def nothing_is_ready(w: World) -> Iterator[str | tuple[str, int]]:
    w.configure('ready.labels = ["go"]')
    w.issue()
    yield "issue-orch spawn", 1


@leads("sessions", "commands/spawn.py: All {} places are taken. issue-orch status")
def no_place_is_free(w: World) -> Iterator[str]:
    w.replace_config("max_workers = 9", "max_workers = 1")
    w.work(ENDLESS, "")
    w.issue()
    yield "issue-orch spawn"


@leads("sessions", "actions/spawn.py: wait, or raise max_workers")
def places_are_taken(w: World) -> Iterator[str]:
    w.replace_config("max_workers = 9", "max_workers = 1")
    w.work(ENDLESS, "")
    yield f"issue-orch spawn {w.issue()}"
    w.replace_config("max_workers = 1", "max_workers = 9")


@leads("sessions", "actions/launch.py: see {}")
def setup_fails(w: World) -> Iterator[str]:
    w.configure('setup = [["false"]]')
    yield f"issue-orch spawn {w.issue()}"
    w.configure()


@leads("sessions", "commands/run.py: issue-orch status")
def run_runs(w: World) -> Iterator[str]:
    state = make_state(w.scene.clone / ".git")
    with take(state, "run", "run"):
        yield "issue-orch run --once"


@leads("sessions", "actions/steer.py: {}queued: the session is {}; issue-orch resume {}")
def told_a_paused_one(w: World) -> Iterator[str]:
    number = w.work(ASK, "stuck")
    assert w.type(f"issue-orch stop {number}").code == 0
    yield f"issue-orch answer {number} left"


@leads("sessions", "commands/open.py: issue-orch open {} --issue")
def no_pull(w: World) -> Iterator[str]:
    w.env["BROWSER"] = "true"
    yield Wrong(f"issue-orch open {w.session()} --pull")


@leads("sessions", "commands/open.py: issue-orch open {}")
def open_what(w: World) -> Iterator[str]:
    w.env["BROWSER"] = "true"
    yield Wrong(f"issue-orch open {w.session()} --pull --issue")


@leads("sessions", "commands/open.py: EDITOR=vi issue-orch open {} --editor")
def no_editor(w: World) -> Iterator[str]:
    script(w.bin / "vi", "exit 0")
    yield f"issue-orch open {w.session()} --editor"
    w.env["EDITOR"] = "vi"


@leads("sessions", "commands/open.py: issue-orch show {}")
def no_address(w: World) -> Iterator[str]:
    yield f"issue-orch open {w.session(issueUrl='file:///etc')}"


@leads("sessions", "commands/completion.py: issue-orch completion bash")
def no_completion(w: World) -> Iterator[str]:
    yield "issue-orch completion tcsh"


@leads("sessions", "terminal/io.py: issue-orch {}")
def text_like_an_option(w: World) -> Iterator[str]:
    number = w.work(ASK, "stuck")
    yield Wrong(f"issue-orch answer {number} --no-cache")


@leads("sessions", "terminal/io.py: {} --help")
def no_such_word(w: World) -> Iterator[str]:
    yield Wrong("issue-orch frobnicate")


@leads("sessions", "terminal/io.py: {}   (more: {} --help)")
def wrong_words(w: World) -> Iterator[str]:
    yield "issue-orch costs x"


@leads("sessions", 'terminal/io.py: cd "$({})"')
def cd(w: World) -> Iterator[str]:
    yield f"issue-orch cd {w.session()}"


# -- what status and show say


def next_of(**fields: Any) -> Play:
    def play(w: World) -> Iterator[str]:
        yield f"issue-orch show {w.session(**fields)}"

    return play


def real_next(body: str, until: str, *then: str) -> Play:
    def play(w: World) -> Iterator[str]:
        number = w.work(body, until)
        for verb in then:
            assert w.type(f"issue-orch {verb} {number}").code == 0
        w.env["BROWSER"] = "true"
        yield f"issue-orch show {number}"

    return play


QUIET = "echo hello\n"
leads("next", "core/headline.py: issue-orch open {}")(real_next(COMPLETE, "complete"))
leads("next", 'core/headline.py: issue-orch answer {} "…"{}')(real_next(ASK, "stuck"))
leads("next", "core/headline.py: ; issue-orch resume {}")(real_next(ASK, "stuck", "stop"))
leads("next", "core/headline.py: issue-orch resume {}")(real_next(ENDLESS, "", "stop"))
LOGS = "core/headline.py: issue-orch logs {}, then issue-orch"
leads("next", f'{LOGS} tell {{}} "…"')(real_next(QUIET, "stuck"))


@leads("next", f"{LOGS} resume {{}}")
def crashed(w: World) -> Iterator[str]:
    w.configure("retries = 0")
    yield f"issue-orch show {w.work('exit 7', 'stuck')}"


leads("next", "core/headline.py: issue-orch prune --{}")(real_next(ASK, "stuck", "cancel"))
leads("next", "core/headline.py: issue-orch spawn {}")(
    next_of(phase="registered", attempt=0, folder=False)
)


@leads("next", "core/headline.py: sign in with {}, then issue-orch resume {}")
def signed_out(w: World) -> Iterator[str]:
    number = w.work(
        'printf \'{"type":"error","status":401,"text":"unauthorized: not logged in"}\\n\'; exit 1\n',
        "stuck",
    )
    yield f"issue-orch show {number}"


@leads("next", "core/headline.py: issue-orch prune")
def merged(w: World) -> Iterator[str]:
    number = w.work()
    w.scene.sandbox.person.merge(w.scene.pull_of(number))
    assert w.type("issue-orch status --fetch").code == 0
    yield f"issue-orch show {number}"


@leads("next", "core/headline.py: issue-orch logs {}")
def quiet_one(w: World) -> Iterator[str]:
    number = w.session(lastHeartbeat=iso(time.time() - 400))
    held.append(take(w.scene.state, number, "supervisor"))
    yield f"issue-orch show {number}"
    held.pop().release()


# -- state


@leads("state", "store/files.py: issue-orch doctor")
def damaged(w: World) -> Iterator[str]:
    number = w.session()
    (w.scene.state / f"sessions/{number}/status.json").write_text("{")
    yield f"issue-orch show {number}"


@leads("state", "store/files.py: use the version of issue-orch that wrote it, or a newer one")
def newer(w: World) -> Iterator[str]:
    number = w.session()
    file = w.scene.state / f"sessions/{number}/status.json"
    text = file.read_text()
    file.write_text(json.dumps({**json.loads(text), "schemaVersion": 99}))
    yield f"issue-orch show {number}"
    file.write_text(text)


@leads("state", "store/files.py: look at where it points, then remove the link: rm {}")
def linked_state(w: World) -> Iterator[str]:
    make_state(w.scene.clone / ".git")
    (w.scene.state / "sessions").rmdir()
    (w.scene.state / "sessions").symlink_to(w.scene.folder)
    yield "issue-orch plan"


@leads("state", "store/files.py: rm {}")
def linked_session(w: World) -> Iterator[str]:
    make_state(w.scene.clone / ".git")
    (w.scene.state / f"sessions/{w.issue()}").symlink_to(w.scene.home)
    yield f"issue-orch spawn {w.number}"


@leads("state", "store/leases.py: issue-orch show {}")
def lease_is_held(w: World) -> Iterator[str]:
    number = w.session()
    with take(w.scene.state, number, "supervisor"):
        yield f"issue-orch spawn {number} --yes"


@leads("state", "errors.py: mend that (disk full? df -h .), then try again")
def a_file_in_the_way(w: World) -> Iterator[str]:
    w.scene.state.write_text("")
    yield "issue-orch plan"
    w.scene.state.unlink()


@leads("state", "store/ledger.py: issue-orch costs; raise the budget to go on")
def spent(w: World) -> Iterator[str]:
    over(w, usd=9.0)
    yield f"issue-orch spawn {w.number}"
    w.configure()


@leads(
    "state", "store/ledger.py: issue-orch costs; to go on all the same: budget.allow_unknown = true"
)
def unknown_cost(w: World) -> Iterator[str]:
    over(w, usd=None)
    yield f"issue-orch spawn {w.number}"
    w.configure(after="[budget]\ntotal = 5\nallow_unknown = true\n")


def over(w: World, usd: float | None) -> None:
    """A ceiling that is reached, or of which nobody knows whether it is."""
    allowed = str(usd is not None).lower()
    w.configure(
        after="prices = {input = 1.0, output = 1.0}\n"
        f"[budget]\ntotal = 5\nallow_unknown = {allowed}\n"
    )
    row = {"at": iso(time.time()), "kind": "cost", "attempt": 1, "agent": "scripted", "usd": usd}
    state = make_state(w.scene.clone / ".git")
    (state / "ledger/77.jsonl").write_text(json.dumps({**row, "inputTokens": 1}) + "\n")
    w.issue()


# -- and more of each


@leads("config", "process/run.py: install {}, or mend PATH")
def no_such_program(w: World) -> Iterator[str]:
    w.configure('setup = [["nosuchprogram"]]')
    yield f"issue-orch spawn {w.issue()}"
    script(w.bin / "nosuchprogram", "exit 0")


@leads("config", "actions/doctor.py: mend [notify]")
def no_notification(w: World) -> Iterator[str]:
    w.configure(after='[notify]\ncommand = ["false"]\n')
    w.work(ASK, "stuck")
    w.scene.wait(lambda: (w.scene.state / "notify.json").exists())
    yield "issue-orch doctor"
    write_json(w.scene.state / "notify.json", {"at": iso(time.time()), "failures": []})


@leads("config", "actions/doctor.py: issue-orch costs; budget.allow_unknown = true lets work go on")
def cut_ledger(w: World) -> Iterator[str]:
    over(w, usd=1.0)
    ledger = w.scene.state / "ledger/77.jsonl"
    ledger.write_text(ledger.read_text() + "{\n")
    yield "issue-orch doctor"
    ledger.unlink()


@leads("config", "commands/tui/watch.py: issue-orch status, or issue-orch status --watch")
def watch_without_a_terminal(w: World) -> Iterator[str]:
    w.session()
    yield "issue-orch watch"


@leads(
    "token",
    "github/fence.py: if the repository was renamed or the issue transferred: git remote set-url origin URL, or the",
)
def renamed(w: World) -> Iterator[str]:
    there = {"Location": f"{w.scene.sandbox.base_url}/api/v3/repositories/1"}
    w.scene.sandbox.fail(route="/repos/.*/issues.*", status=301, headers=there, times=9)
    yield "issue-orch plan"
    w.scene.sandbox.faults.clear()


@leads("token", "github/fence.py: run the command again; if it stays: check github.base_url")
def no_json(w: World) -> Iterator[str]:
    w.scene.sandbox.fail("malformed", route="/repos/.*/issues.*", times=9)
    yield "issue-orch plan"
    w.scene.sandbox.faults.clear()


@leads("token", "process/nesting.py: end your turn; a person does that")
def typed_by_a_worker(w: World) -> Iterator[str]:
    w.env["ISSUE_ORCH_WORKER"] = "1.1"
    yield "issue-orch stop --all"
    del w.env["ISSUE_ORCH_WORKER"]


@leads("git", "git/run.py: install git {}.{} or newer")
def old_git(w: World) -> Iterator[str]:
    script(w.bin / "git", "echo git version 2.20.1")
    yield "issue-orch plan"
    (w.bin / "git").unlink()


@leads("git", 'git/run.py: unlock the key for use without a terminal, or set git.sign = "off"')
def locked_key(w: World) -> Iterator[str]:
    w.scene.git("config", "--global", "commit.gpgSign", "true")
    w.scene.git("config", "--global", "gpg.program", "false")
    yield f"issue-orch spawn {w.issue()}"
    w.configure('git.sign = "off"')


@leads("git", "git/run.py: git fetch")
def base_never_seen(w: World) -> Iterator[str]:
    number = w.session("stuck", stuckReason="x")
    made = w.scene.git("commit-tree", "-p", w.sha, "-m", "work", f"{w.sha}^{{tree}}").strip()
    w.scene.git("branch", f"issue-{number}", made)
    w.scene.git("update-ref", "-d", "refs/remotes/origin/main")
    w.scene.git("remote", "set-url", "origin", "http://127.0.0.1:9/acme/widgets.git")
    yield "issue-orch conflicts"
    w.scene.git("remote", "set-url", "origin", w.scene.sandbox.git_url)


@leads(
    "git",
    "git/checkout.py: set it in your own: git config --global filter.{}.smudge …, and the other keys of it",
)
def filter_of_the_clone(w: World) -> Iterator[str]:
    w.scene.git("config", "filter.mine.smudge", "cat")
    attributes = w.scene.clone / ".git/info/attributes"
    attributes.write_text("* filter=mine\n")
    yield f"issue-orch spawn {w.issue()}"
    w.scene.git("config", "--unset", "filter.mine.smudge")
    attributes.unlink()


@leads("worktree", "actions/doctor.py: {}{}")
def not_of_this_clone(w: World) -> Iterator[str]:
    number = w.session("stuck", stuckReason="x", baseSha=w.sha)
    w.scene.git("branch", f"issue-{number}")
    yield "issue-orch doctor"


@leads("worktree", "actions/doctor.py: issue-orch resume {}")
def worker_is_gone(w: World) -> Iterator[str]:
    w.work(ENDLESS, "")
    w.scene.wait(lambda: w.scene.workers())
    w.scene.close()
    yield "issue-orch doctor"


@leads("worktree", "actions/taken.py: issue-orch doctor --fix   ends it")
def lives_without_a_state(w: World) -> Iterator[str]:
    number = w.work(ENDLESS, "")
    w.scene.wait(lambda: w.scene.workers())
    for pid in w.scene.supervisors():
        os.kill(pid, signal.SIGKILL)
    w.scene.wait(lambda: not w.scene.supervisors())
    shutil.rmtree(w.scene.state / f"sessions/{number}")
    yield f"issue-orch spawn {number} --reuse --yes"


@leads("worktree", "actions/doctor.py: look at it; if it is not yours: rm {}")
def new_hook(w: World) -> Iterator[str]:
    w.work(ASK, "stuck")
    script(w.scene.clone / ".git/hooks/post-commit", "exit 0")
    yield "issue-orch doctor"


@leads("worktree", "core/headline.py: issue-orch doctor")
def of_another_clone(w: World) -> Iterator[str]:
    number = w.session()
    other = w.scene.folder / "other/.git/worktrees/one"
    other.mkdir(parents=True, exist_ok=True)
    w.scene.clone.with_name(f"widgets-issue-{number}").joinpath(".git").write_text(
        f"gitdir: {other}\n"
    )
    yield f"issue-orch show {number}"


PLANNED = "core/ready.py: "


@leads("sessions", f'{PLANNED}its session is stuck: `issue-orch answer {{}} "…"`')
def planned_and_stuck(w: World) -> Iterator[str]:
    yield f"issue-orch plan {w.work(ASK, 'stuck')}"


@leads("sessions", f"{PLANNED}: `issue-orch show {{}}`")
def planned_and_at_work(w: World) -> Iterator[str]:
    yield f"issue-orch plan {w.work(ENDLESS, '')}"


@leads("sessions", f"{PLANNED}already complete: `issue-orch show {{}}`")
def planned_and_complete(w: World) -> Iterator[str]:
    yield f"issue-orch plan {w.work()}"


@leads("sessions", f"{PLANNED}, without a worker: `issue-orch resume {{}}`")
def planned_and_stopped(w: World) -> Iterator[str]:
    number = w.work(ENDLESS, "")
    assert w.type(f"issue-orch stop {number}").code == 0
    yield f"issue-orch plan {number}"


@leads(
    "sessions", f"{PLANNED}was cancelled: `issue-orch prune --cancelled` makes room for a new start"
)
def planned_and_cancelled(w: World) -> Iterator[str]:
    number = w.work(ASK, "stuck")
    assert w.type(f"issue-orch cancel {number}").code == 0
    yield f"issue-orch plan {number}"


@leads("sessions", "commands/open.py: set BROWSER, or open the address")
def no_browser(w: World) -> Iterator[str]:
    number = w.session()
    reload(webbrowser)
    yield f"issue-orch open {number}"
    w.env["BROWSER"] = "true"
    reload(webbrowser)


PUSHED = 'commit "work-$issue.txt"\ngit push -q origin HEAD:main\nreport complete --title "Solve #$issue"\n'


def pushed(line: str) -> Play:
    """Its worker pushed to the base: that is taken out of what the remote witnessed, before it is looked at."""

    def play(w: World) -> Iterator[str]:
        number = w.work(PUSHED, "stuck")
        witness = w.scene.sandbox.repository.path / "sandbox-pushes"
        kept = [
            each for each in witness.read_text().splitlines(True) if "refs/heads/main " not in each
        ]
        witness.write_text("".join(kept))
        yield line.format(number)
        git = (
            "git",
            "push",
            "-q",
            "--force",
            str(w.scene.sandbox.bare),
            f"{w.sha}:refs/heads/main",
        )
        subprocess.run(git, cwd=w.scene.clone, env=w.scene.env, check=True)

    return play


leads(
    "next",
    "core/headline.py: git show {}; {}, else issue-orch cancel {}",
    "core/headline.py: undo it on {}: issue-orch resume {}",
)(pushed("issue-orch show {}"))
leads("next", "actions/doctor.py: protect {} (docs/permissions.md); git show {}")(
    pushed("issue-orch doctor")
)
leads("next", "actions/steer.py: issue-orch cancel {}, then issue-orch prune --cancelled")(
    pushed("issue-orch resume {}")
)


@leads("state", "actions/doctor.py: look at the file; nothing is deleted by itself")
def damaged_for_doctor(w: World) -> Iterator[str]:
    file = w.scene.state / f"sessions/{w.session()}/status.json"
    text = file.read_text()
    file.write_text("{")
    yield "issue-orch doctor"
    file.write_text(text)


@leads("state", "actions/steer.py: issue-orch resume {}; what it spent: issue-orch costs")
def over_by_an_answer(w: World) -> Iterator[str]:
    number = w.work(ASK, "stuck")
    over(w, usd=9.0)
    yield f"issue-orch answer {number} left"


@leads("state", "actions/steer.py: is still over its budget: issue-orch costs ({})")
def still_over(w: World) -> Iterator[str]:
    number = w.work(ASK, "stuck")
    over(w, usd=9.0)
    w.type(f"issue-orch answer {number} left")
    yield f"issue-orch resume {number}"


@leads("state", "actions/steer.py: cd {}, and work with it there")
def copied_clone(w: World) -> Iterator[str]:
    number = w.work(ENDLESS, "")
    w.scene.wait(lambda: w.scene.workers())
    w.cwd = w.scene.folder / "copy"
    shutil.copytree(w.scene.clone, w.cwd, symlinks=True)
    yield f"issue-orch stop {number}"


# -- the rule


def follow(w: World, keys: list[str], play: Play) -> str:
    """What is wrong with a hint in its scene; empty when it leads on. Several are the parts of one."""
    template, *parts = [key.partition(": ")[2] for key in keys]
    w.doctor, w.first = keys[0].startswith("actions/doctor"), keys[0].startswith("commands/")
    scene = play(w)
    step = next(scene)
    line, chosen = step if isinstance(step, tuple) else (step, 0)
    ran = w.type(line)
    if template == "{}{}":  # of two parts, of which the first may be empty
        template = "-> mv {}"
    told = ran.said.find("  next: ")
    found = pattern(template).search(ran.said, max(told, 0)) or pattern(template).search(ran.said)
    if not (found and all(pattern(part).search(ran.said) for part in parts)):
        return f"{line!r} does not print it: {ran}"
    error = re.search("(?m)^error: .*", ran.said)
    # The whole line: a template may be a part of what is printed.
    start, end = ran.said.rfind("\n", 0, found.start()) + 1, ran.said.find("\n", found.end())
    alternatives = commands_in(re.sub("^ *(next:|Next:|->) ", "", ran.said[start:end]))
    commands = alternatives[chosen] if alternatives[chosen:] else []
    acts = next(scene, None) is None and not commands
    for command in commands:
        typed = w.filled(command)
        then = w.type(typed)
        if error and error[0] in then.said and found[0] in then.said:
            return f"{typed!r} says the same again: {then}"
        if then.code and not LOOKS.match(typed):
            return f"{typed!r} does not work: {then}"
        if typed == "issue-orch doctor" and not re.search("(?m)^(error|warning) ", then.said):
            return f"doctor finds nothing: {then}"
    mends = acts or not all(map(LOOKS.match, commands))
    if mends and not isinstance(line, Wrong) and (error or line == "issue-orch doctor"):
        again = w.type(line)
        if found[0] in again.said and (not error or error[0] in again.said):
            return f"after {commands} {line!r} says the same again: {again}"
    return ""


@pytest.mark.parametrize("kind", SCENES)
def test_a_hint_leads_on(scene: Scene, capfd: pytest.CaptureFixture[str], kind: str) -> None:
    w, wrong = World(scene, capfd), []
    only = os.environ.get("HINT", "")
    for (play, _), found in groupby(SCENES[kind], lambda each: (each[1], each[0].split(": ")[0])):
        keys = [key for key, _ in found]
        if only not in f"{keys} {play.__name__}":
            continue
        try:
            if problem := follow(w, keys, play):
                wrong.append(f"{play.__name__} ({keys[0]}): {problem}")
        except Exception as error:  # noqa: BLE001 - the other scenes are looked at all the same
            wrong.append(f"{play.__name__} ({keys[0]}): {type(error).__name__}: {error}")
        w.reset()
    assert not wrong, "\n\n".join(wrong)


# Hints that are not followed here, by why. The list may only become shorter.
WITHOUT_A_SCENE: dict[str, tuple[str, ...]] = {
    "a person does it, with no command of ours or git's": (
        "actions/doctor.py: a token, or another credential, that may write contents (docs/permissions.md)",
        "actions/adopt.py: name the branch of the work",
        "actions/adopt.py: reopen it on GitHub, then the same again",
        "github/fence.py: ask the repository's owner, or GitHub's support",
        "github/rest.py: set github.base_url to its API's address",
        'actions/doctor.py: git.sign = "inherit"',
        "actions/doctor.py: issue-orch prune, or make room",
        "actions/doctor.py: loginctl enable-linger, and start with: systemd-run --user --scope issue-orch run",
        "actions/doctor.py: look at its permissions",
        "actions/doctor.py: pip install 'issue-orch[notify]'",
        "actions/doctor.py: unarchive it",
        "actions/spawn.py: install git-lfs, then git lfs install",
        "actions/spawn.py: make room on that disk",
        "agents/gemini.py: choose another agent, install issue-orch as root, or trust them:",
        "git/merges.py: install a newer git; everything else works without",
        "git/run.py: run it as the owner of the clone",
        "process/run.py: look at the limits (ulimit -a) and at {}",
        "store/leases.py: put the clone on a local file system",
        "terminal/io.py: ulimit -u -n; raise it, then run it again",
    ),
    "it is said on a terminal, in the full screen, in a file, on GitHub, by a notification or as the reason of a publication": (
        "commands/attach.py: ; issue-orch resume {}",
        'commands/attach.py: it asks: {}\n  next: issue-orch answer {} "…"{}',
        "commands/attach.py: nothing was running before; issue-orch resume {} starts the worker",
        "commands/tui/doing.py: issue-orch attach {}",
        "commands/tui/doing.py: issue-orch resume {}",
        "commands/tui/doing.py: mend $VISUAL or $EDITOR; then watch again",
        "commands/tui/watch.py: No sessions yet.\n\nissue-orch spawn starts workers; they show up here as they come.",
        "worker/helper.py: the git configuration changed since the worker started: {}; look at it with `issue-orch",
        "commands/attach.py: issue-orch attach {} --now",
        "commands/attach.py: issue-orch show {}",
        "commands/init.py: edit {}, then: issue-orch init --approve",
        "commands/run.py: next: issue-orch status, issue-orch stop --all, or issue-orch run again",
        "commands/status.py: … {} more lines: issue-orch watch",
        "config/keys.py: # Configuration of issue-orch. Keys marked (approval) count after: issue-orch init --approve",
        "coordinator/follow_up.py: merged by a person; issue-orch prune removes its worktree",
        "coordinator/follow_up.py: {}: look at it, then issue-orch resume {}, or cancel {}",
        "coordinator/follow_up.py: {}; issue-orch resume {} lets its worker follow up again",
        "coordinator/write_back.py: Somebody with write permission answers by a new comment, `/answer 1` or `/answer your own",
        "worker/helper.py: no token for {}: gh auth login, or set GH_TOKEN, then issue-orch resume",
        "worker/notify.py: issue-orch answer {}",
    ),
    "something before it refuses, so that it is the second fence": (
        "actions/spawn.py: issue-orch show {}",
        "agents/registry.py: agents: {}",
        "git/remote.py: give the session a branch of its own",
        "github/fence.py: mend github.base_url",
        "github/fence.py: mend that name",
        "github/fence.py: use https in github.base_url",
        "process/run.py: mend it where it is set",
        "worker/session.py: issue-orch show {}",
        "worker/session.py: issue-orch spawn {}",
    ),
    "of its error only the message is shown, as the reason why something is kept": (
        "git/hidden.py: git -C {} update-ref refs/NAME {}",
        "git/preserve.py: commit it, or move it away",
        "git/preserve.py: commit, ignore or move the big files first",
        "git/preserve.py: move it away",
        "git/preserve.py: push or move it first",
        "git/preserve.py: push or remove that work first",
    ),
    "no scene yet": (
        'actions/adopt.py: change its base on GitHub, or set base = "{}"',
        "actions/adopt.py: git -C {} switch --detach",
        "actions/adopt.py: git branch -m OLD NEW, and push it",
        "actions/adopt.py: git branch -m {} {}-mine, then the same again",
        "actions/adopt.py: git fetch {} pull/{}/head:NAME, git push {} NAME, then issue-orch spawn {} --branch NAME",
        "actions/adopt.py: git fetch {} {}:{}",
        "actions/adopt.py: git log {}",
        "actions/adopt.py: git ls-remote {}",
        "actions/adopt.py: issue-orch plan {}",
        "actions/adopt.py: issue-orch show {}, or issue-orch spawn {} --reuse",
        "actions/adopt.py: issue-orch spawn NUMBER --pull NUMBER",
        "actions/adopt.py: issue-orch spawn {} --branch NAME",
        "actions/adopt.py: issue-orch spawn {}, which starts from {}",
        "actions/context.py: git remote set-url origin URL, or set remote or github.base_url in .issue-orch.toml",
        "actions/doctor.py: git -C {} switch --detach, then {}",
        "actions/launch.py: chmod +x {}, or: {}",
        "actions/prune.py: end it in {}, then issue-orch prune {}",
        "actions/prune.py: end that, or leave the folder, then issue-orch prune {}",
        "actions/prune.py: git worktree unlock {}, then issue-orch prune {}",
        "actions/prune.py: issue-orch cancel {}, then issue-orch prune {} --cancelled, which keeps it below",
        "actions/prune.py: mend that, then issue-orch prune {}",
        "actions/prune.py: move it away, then issue-orch prune {}",
        "actions/prune.py: move it elsewhere, then issue-orch prune {}",
        "actions/taken.py: delete it there: git push {} --delete {}",
        "actions/taken.py: git branch -D {}",
        "commands/init.py: y or n",
        "commands/spawn.py: issue-orch spawn NUMBER --pull NUMBER, or --branch NAME",
        "commands/spawn.py: issue-orch spawn {} {} --yes",
        "git/leftovers.py: rm {}",
        "git/run.py: mv the clone to a path without one",
        "worker/attempt.py: issue-orch doctor",
        "worker/settle.py: issue-orch cancel {}, if it is given up",
        "worker/settle.py: reopen it, then issue-orch resume {}",
        "actions/launch.py: issue-orch resume {}",
        "actions/setup.py: issue-orch doctor",
        "actions/steer.py: follows up again at the next poll (issue-orch run)",
        "actions/steer.py: {}the worker was started with it; the receipt follows in: issue-orch show {}",
        "errors.py: ls -ld {}   shows whose it is; make it yours, then try again",
        "git/merges.py: git fetch",
        "git/remote.py: git fetch {}",
        "git/worktree.py: git -C {} switch {}",
        "git/worktree.py: git worktree repair",
        "git/worktree.py: wait until the other issue-orch is done",
        "github/parse.py: check github.base_url",
        "github/rest.py: look on GitHub, then run the command again",
        "github/rest.py: narrow it down by a label",
        "github/rest.py: run the command again",
        "process/survivors.py: ps -o user,stat,args -p {}; end them",
        "store/inbox.py: remove it from the base branch",
        "store/leases.py: wait for it, then try again",
    ),
}
AT_MOST = 104


def test_every_hint_has_its_scene() -> None:
    """Or stands in the list of those that have none."""
    played = {key for scenes in SCENES.values() for key, _ in scenes}
    known = {*collected()}
    left = [key for keys in WITHOUT_A_SCENE.values() for key in keys]
    assert not played - known, "scenes of hints that are gone"
    assert not known - played - {*left}, "hints without a scene"
    assert not played & {*left} and not {*left} - known, "to be taken out of the list"
    assert len(left) == AT_MOST, "lower it when the list becomes shorter; it never becomes longer"
    print(f"{len(known)} hints, {len(played)} of them followed, {len(left)} not")


@pytest.mark.parametrize("key", [key for key in collected() if "issue-orch " in key])
def test_a_command_in_a_hint_is_one(key: str) -> None:
    """Verb, options and arguments are those of the command line."""
    root: Any = typer.main.get_command(app)
    text = re.sub(r"\b(NUMBER|ISSUE)\b", "7", key.partition(": ")[2].replace("{}", "7"))
    for command in chain.from_iterable(commands_in(text)):
        verb, *words = shlex.split(command[command.find("issue-orch ") :])[1:] or ["--help"]
        if (
            "issue-orch" in command
            and verb not in {"7", "--help", "tell"}
            and "--help" not in words
        ):
            root.commands[verb].make_context(verb, words)
