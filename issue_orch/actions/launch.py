"""Starting a supervisor: what it needs to know in launch.json, what it inherits, the hand-over of the lease."""

from __future__ import annotations

import json
import os
import select
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from ..agents import registry
from ..agents.base import Adapter
from ..config.approval import approved_folder
from ..config.layers import known_agent
from ..core.record import SessionStatus
from ..errors import Expected
from ..git.checkout import (
    Checkouts,
    check_out,
    copy_listed,
    lacks_index,
    refuse_overwriting,
)
from ..git.run import admin_dir, identity
from ..git.worktree import Intent, register
from ..process.run import package_parent, python_module, run
from ..store.files import session_folder
from ..store.launch import AgentSettings, save_launch
from ..store.leases import Lease
from .context import Context, token_of
from .whereabouts import refuse_misplaced

READY_WAIT = 60.0
BEGIN = "begin\n"  # supervisor.py knows it too
# For git over ssh, notifications and keyrings; the agent gets none of these unless the configuration names them.
SERVICE_VARIABLES = (
    "SSH_AUTH_SOCK",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "GNUPGHOME",
    "GH_CONFIG_DIR",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_GLOBAL",
    "ISSUE_ORCH_WRITE_GAP",
    "COVERAGE_PROCESS_START",
)


def report_command() -> str:
    """`issue-orch` by absolute path: login shells of agents reset PATH."""
    script = Path(sys.executable).with_name("issue-orch")
    return shlex.quote(str(script)) if script.exists() else shlex.join(python_module("__main__"))


def adapter_name(agent: str) -> str:
    """An agent that is not built in is run by the adapter `command`."""
    return agent if agent in registry.NAMES else "command"


def load_adapter(agent: str) -> Adapter:
    return registry.load(adapter_name(agent))


def write_launch(context: Context, status: SessionStatus, committer: str | None = None) -> None:
    config, agent = context.config, status["agent"]
    settings = config.agent_settings(agent)
    path = status["worktreePath"]
    found = {**settings._asdict(), "adapter": adapter_name(agent)}
    repo = context.repo._asdict()
    del repo["find_token"], repo["guard"]
    save_launch(
        context.state,
        status["issueNumber"],
        {
            "agent": cast("AgentSettings", found),
            "commonDir": context.repo.common_dir,
            "gitDir": admin_dir(context.repo, path),
            "top": approved_folder(context.state),
            "repo": repo,
            "repoName": context.name,
            "baseUrl": context.base_url,
            "remote": config.remote,
            "report": report_command(),
            "limits": {"retries": config.retries},
            "budget": context.ceilings._asdict(),
            "slots": config.max_workers,
            "pullsOpen": config.pulls_open,
            "draft": config.pulls_draft,
            "sign": config.git_sign,
            "identity": committer or identity(context.repo),
            "notify": context.channels,
            "stallAfter": settings.quiet_minutes * 60,
        },
    )


def require_agent(context: Context) -> None:
    """Before anything is made: is the agent there, and may it run under this budget?"""
    agent = known_agent(context.config)
    settings, capabilities = context.config.agent_settings(agent), load_adapter(agent).CAPABILITIES
    program = settings.command[0] if settings.command else capabilities.program
    _require_program(context.env, agent, program, capabilities.install)
    known = capabilities.reports_usd or settings.prices or context.config.budget_allow_unknown
    if context.ceilings.limited and not known:
        raise Expected(
            f"a budget is set, and {agent} does not report what it costs",
            f"set prices for [agents.{agent}], or budget.allow_unknown = true",
        )


def _require_program(env: Mapping[str, str], agent: str, program: str, install: str) -> None:
    from shutil import which

    path = env.get("PATH")
    if which(program, path=path):
        return
    if there := which(program, os.F_OK, path):
        words = f"the agent {agent!r} needs {program}: {there} cannot be executed"
        raise Expected(words, f"chmod +x {shlex.quote(there)}, or: {install or 'install it anew'}")
    others = " or ".join(registry.installed(env)) or "NAME (see docs/agents.md)"
    raise Expected(
        f"the agent {agent!r} needs {program}, which is not installed",
        f"{install or 'install it'}, or choose another: issue-orch spawn --agent {others}",
    )


class Starting:
    """A supervisor that waits for `begin`. Until then it has done nothing, and `abandon` ends it."""

    def __init__(self, context: Context, status: SessionStatus, lease: Lease) -> None:
        self.context, self.status, self.number = context, status, status["issueNumber"]
        self.log = session_folder(context.state, self.number) / "supervisor.log"
        ready_read, ready_write = os.pipe()
        word_read, word_write = os.pipe()
        self.ready, self.word = open(ready_read, "rb", 0), open(word_write, "w", encoding="utf-8")
        self.theirs = (lease.descriptor, ready_write, word_read)

    def begin(self, committer: str | None = None) -> None:
        """Let it start its agent, if one is needed, and wait until that lives.

        Raises Expected with the supervisor's own words when it could not.
        """
        write_launch(self.context, self.status, committer)
        token = token_of(self.context)
        given = token.value if token and not token.source.startswith("gh ") else ""
        with suppress(BrokenPipeError), self.word:  # it is gone: `ready` says why
            self.word.write(f"{BEGIN}{given}")
        answer = self.read_answer()
        if answer is None:
            raise Expected(f"#{self.number}: the supervisor did not start", f"see {self.log}")
        if "error" in answer:
            hint = answer.get("hint") or f"issue-orch resume {self.number}"
            raise Expected(f"#{self.number}: {answer['error']}", hint)

    def abandon(self) -> None:
        """Returns when it holds the lease no longer with us, unless it was begun."""
        if not self.word.closed:
            self.word.close()
            self.read_answer()
        self.ready.close()

    def read_answer(self) -> dict[str, Any] | None:
        """The supervisor's one line; None when it ended or stayed silent."""
        readable, _, _ = select.select([self.ready], [], [], READY_WAIT)
        raw = self.ready.read(65_536) if readable else b""
        return dict(json.loads(raw)) if raw else None


@contextmanager
def starting_supervisors(
    context: Context, sessions: Sequence[tuple[SessionStatus, Lease]]
) -> Iterator[list[Starting]]:
    """Supervisors of sessions of one agent, with copies of their leases: one process imports, and then forks them.

    It does so while the caller prepares. What is not begun in the end is ended.
    """
    supervisors = [Starting(context, status, lease) for status, lease in sessions]
    child = None
    try:
        child = _fork_all(context, sessions[0][0]["agent"], supervisors)
        yield supervisors
    finally:
        for supervisor in supervisors:
            supervisor.abandon()
        if child is not None:
            child.wait()


def _fork_all(context: Context, agent: str, supervisors: list[Starting]) -> subprocess.Popen[bytes]:
    words = (f"{each.number}:{','.join(map(str, each.theirs))}" for each in supervisors)
    try:
        with open(supervisors[0].log, "ab") as errors:
            return subprocess.Popen(
                python_module("worker.supervisor", str(context.state), *words),
                cwd="/",
                env=service_environment(context, agent),
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
                pass_fds=[each for supervisor in supervisors for each in supervisor.theirs],
            )
    finally:
        for supervisor in supervisors:
            for descriptor in supervisor.theirs[1:]:  # so that its end is seen here
                os.close(descriptor)


def service_environment(context: Context, agent: str) -> dict[str, str]:
    own = context.config.agent_settings(agent).env
    allowed = registry.environment(context.env, load_adapter(agent), own)
    extra = {name: context.env[name] for name in SERVICE_VARIABLES if name in context.env}
    return {**allowed, **extra, "PYTHONPATH": package_parent()}


def run_setup(context: Context, path: str, log: Path) -> None:
    """The team's commands in a fresh worktree, with the environment of a worker. What they print is kept."""
    deadline = time.monotonic() + context.config.setup_timeout
    environment = service_environment(context, context.config.agent)
    for argv in context.config.setup:
        left = max(1.0, deadline - time.monotonic())
        done = run(*argv, cwd=path, env=environment, timeout=left, check=False)
        words = " ".join(argv)
        with open(log, "a", encoding="utf-8", errors="replace") as file:
            file.write(f"$ {words}\n{done.stdout}{done.stderr}")
        if done.code:
            raise Expected(f"setup: {words} ended with code {done.code}", f"see {log}")


def relaunch(context: Context, status: SessionStatus, lease: Lease) -> None:
    """Start the supervisor of an existing session again, with today's configuration of its agent."""
    number, path = status["issueNumber"], status["worktreePath"]
    if not (session_folder(context.state, number) / "prompt.md").exists():
        words = f"#{number}: its start was cut off before it had all it needs"
        raise Expected(words, f"issue-orch spawn {number}")
    refuse_misplaced(context, status)
    if not os.path.isdir(path):
        words = f"#{number}: its worktree {path} is gone"
        raise Expected(words, f"git worktree list; issue-orch cancel {number}")
    if lacks_index(admin_dir(context.repo, path)):
        refuse_overwriting(context.repo, path)
        words = f"#{number}: its worktree was not checked out to the end"
        raise Expected(words, "issue-orch doctor --fix")
    with starting_supervisors(context, [(status, lease)]) as [supervisor]:
        supervisor.begin()


# -- whose a worktree is


def make_worktree(
    context: Context,
    status: SessionStatus,
    intent: Intent,
    reuse: bool,
    there: str = "",
    ahead: Checkouts | None = None,
) -> None:
    """The worktree of a session with its files; what is there already of this intent is taken up. `there`: where the remote
    has its branch."""
    repo, path = context.repo, status["worktreePath"]
    asked = (status["branch"], status["baseSha"], intent)
    head = register(repo, path, *asked, reuse=reuse, there=there, remote=context.config.remote)
    check_out(repo, path, head, ahead)
    copy_listed(repo, path)
