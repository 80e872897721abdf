"""A repository with a linked worktree, and the sign-in of each agent to a scripted model server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from issue_orch.agents import registry
from issue_orch.agents.base import Adapter
from tests.agents import clis
from tests.agents.model_server import ModelServer, Script, Step, serving
from tests.kit.git import commit as commit_files
from tests.kit.git import sh, wait_for, write

AGENTS = ("claude", "codex", "opencode", "gemini")


def repository(root: Path, files: dict[str, str] | None = None) -> Path:
    """The linked worktree of a new repository with these files."""
    main = root / "main"
    main.mkdir()
    sh(main, "git", "init", "-q", "-b", "main")
    commit_files(main, "first", **{"README.md": "hello\n", **(files or {})})
    sh(main, "git", "worktree", "add", "-q", "-b", "issue-1", str(root / "worktree"))
    return root / "worktree"


def sign_in(agent: str, home: Path, url: str) -> dict[str, str]:
    """The environment of a person who has signed in to the scripted server; the rest of the net is a dead end."""
    (home / ".tmp").mkdir(exist_ok=True)
    dead = "http://127.0.0.1:9"
    env = {
        **os.environ,
        "TMPDIR": str(home / ".tmp"),
        "HTTPS_PROXY": dead,
        "HTTP_PROXY": dead,
        "NO_PROXY": "127.0.0.1,localhost",
    }
    match agent:
        case "claude":
            return {
                **env,
                "ANTHROPIC_BASE_URL": url,
                "ANTHROPIC_API_KEY": "made-up",
                "IS_SANDBOX": "1",
            }
        case "codex":
            write(
                home / ".codex" / "config.toml",
                (
                    'model = "scripted"\nmodel_provider = "loop"\n[model_providers.loop]\nname = "loop"\n'
                    f'base_url = "{url}/v1"\nenv_key = "OPENAI_API_KEY"\nwire_api = "responses"\n'
                ),
            )
            return {**env, "OPENAI_API_KEY": "made-up"}
        case "opencode":
            return {**env, "OPENCODE_CONFIG_CONTENT": json.dumps(opencode_config(url))}
        case _:
            write(
                home / ".gemini" / "settings.json",
                json.dumps({"security": {"auth": {"selectedType": "gemini-api-key"}}}),
            )
            return {**env, "GEMINI_API_KEY": "made-up", "GOOGLE_GEMINI_BASE_URL": url}


def opencode_config(url: str) -> dict[str, object]:
    model = {
        "name": "scripted",
        "cost": {"input": 1, "output": 2},
        "limit": {"context": 200000, "output": 8000},
    }
    return {
        "model": "loop/scripted",
        "small_model": "loop/scripted",
        "provider": {
            "loop": {
                "npm": "@ai-sdk/openai-compatible",
                "name": "loop",
                "models": {"scripted": model},
                "options": {"baseURL": f"{url}/v1", "apiKey": "made-up"},
            }
        },
    }


class Stage:
    """One agent in one worktree on one script."""

    def __init__(self, agent: str, home: Path, worktree: Path, server: ModelServer) -> None:
        self.agent = agent
        self.adapter: Adapter = registry.load(agent)
        self.server = server
        self.worktree = worktree
        self.env = sign_in(agent, home, server.url)
        self.launch = clis.launch(worktree, agent, "")

    def start(self, prompt: str, on_line: clis.OnLine | None = None, **more: object) -> clis.Run:
        self.launch = self.launch._replace(prompt=prompt, **more)  # type: ignore[arg-type]
        return self._run(on_line)

    def resume(self, run: clis.Run, guidance: str, on_line: clis.OnLine | None = None) -> clis.Run:
        self.launch = self.launch._replace(prompt=guidance, session_id=run.turn.session_id)
        return self._run(on_line)

    def _run(self, on_line: clis.OnLine | None) -> clis.Run:
        return clis.run(
            self.agent, self.adapter.start(self.launch), self.worktree, self.env, on_line
        )

    def steps(self) -> list[tuple[str, int]]:
        return [(key, step) for _, key, step in self.server.seen]


@contextmanager
def stage(
    agent: str, home: Path, root: Path, script: Script, files: dict[str, str] | None = None
) -> Iterator[Stage]:
    if clis.program(agent) is None:
        pytest.skip(
            f"{agent} is not in {clis.FOLDER.name}: scripts/test --agents installs it (needs npm)"
        )
    with serving(script) as server:
        yield Stage(agent, home, repository(root, files), server)


def commit(name: str) -> Step:
    return Step(
        say=f"Writing {name}.",
        run=f"echo {name} > {name} && git add {name} && git commit -q -m 'Add {name}'",
    )


def subjects(worktree: Path) -> list[str]:
    return sh(worktree, "git", "log", "--format=%s").splitlines()


def signal_when(path: Path, number: signal.Signals) -> clis.OnLine:
    """Signals the agent once a file exists: not every agent says when a tool starts."""
    threads: list[threading.Thread] = []

    def wait(child: subprocess.Popen[str]) -> None:
        wait_for(path.exists, 60)
        time.sleep(0.3)  # the shell tool of the agent has only just started
        child.send_signal(number)

    def on_line(child: subprocess.Popen[str], turn: object, line: str) -> None:
        if not threads:
            threads.append(threading.Thread(target=wait, args=(child,), daemon=True))
            threads[0].start()

    return on_line
