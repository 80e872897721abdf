"""`init` in a terminal: what it asks, and what it does not do unasked."""

from __future__ import annotations

import os
import tomllib

import pytest

from issue_orch.agents import registry
from tests.kit.scene import Ran, Scene


def typing(scene: Scene, text: str, *words: str) -> Ran:
    """A command whose input is a terminal in which `text` was typed."""
    master, slave = os.openpty()
    try:
        os.write(master, text.encode())
        return scene.orch(*words, stdin=slave)
    finally:
        os.close(master)
        os.close(slave)


def test_it_asks_for_what_was_not_given_and_for_write_back(scene: Scene) -> None:
    ran = typing(scene, "go\ny\n", "init", "--agent", "codex")
    assert ran.err.count("]: ") == 2 and "Agent (" not in ran.err
    found = tomllib.loads((scene.clone / ".issue-orch.toml").read_text())
    assert (found["agent"], found["ready"]["labels"], found["max_workers"]) == ("codex", ["go"], 2)
    assert found["github"]["write_back"] is True and "orch:stuck" in ran.err
    assert list(found["agents"]) == ["codex"], (
        "the commented keys are those of the agent that was chosen"
    )


def test_what_came_with_the_repository_is_not_approved_unasked(scene: Scene) -> None:
    (scene.clone / ".issue-orch.toml").write_text('setup = [["sh", "-c", "exit 0"]]\n')
    ran = typing(scene, "\n", "init")
    assert (
        ran.code == 1
        and "Approve this on this machine?" in ran.err
        and "error: not approved" in ran.err
    )
    assert "was not approved on this machine" in scene.orch("plan").err
    assert typing(scene, "y\n", "init").code == 0 and scene.orch("plan").code == 0
    assert "Approve this" not in typing(scene, "", "init").err, "once is enough"


def test_a_clone_of_a_fork_is_refused_until_somebody_says_so(scene: Scene) -> None:
    scene.config = scene.config.replace('repo = "acme/widgets"\n', "")
    scene.write_config()
    scene.git("remote", "add", "upstream", "https://github.com/first/widgets.git")
    refused = scene.orch("init", "--agent", "scripted")
    assert refused.code == 1 and "acme/widgets looks like a fork of first/widgets" in refused.err
    assert 'set repo = "acme/widgets"' in refused.err
    file = scene.clone / ".issue-orch.toml"
    file.write_text('repo = "acme/widgets"\n' + file.read_text())
    assert "GitHub: acme/widgets" in scene.orch("init", check=True).err


def cli(scene: Scene, name: str, script: str) -> None:
    """A program that a person installed; `scene.folder / "bin"` comes first on PATH."""
    path = scene.folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    scene.env["PATH"] = f"{path.parent}:/usr/bin:/bin"


def test_an_answer_that_is_none_is_asked_again(scene: Scene) -> None:
    cli(scene, "gemini", "echo 0.61.0")
    ran = typing(scene, "codx\ngemini\ngo\ncodex\nmaybe\ny\n", "init")
    assert ran.err.count("Agent (") == 2 and ran.err.count("(y/n) [n]: ") == 3
    assert "agent codx: not built in" in ran.err and "installed here: gemini" in ran.err
    assert "codex: this is neither yes nor no" in ran.err
    found = tomllib.loads((scene.clone / ".issue-orch.toml").read_text())
    assert (found["agent"], found["github"]["write_back"]) == ("gemini", True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--agent", "codx"), "agent codx: not built in"),
        (("--agent", "claude code"), "agent claude code: not built in"),
    ],
)
def test_an_agent_that_is_none_is_refused_before_anything_is_written(
    scene: Scene, words: tuple[str, ...], said: str
) -> None:
    ran = scene.orch("init", "--yes", *words)
    assert ran.code == 2 and said in ran.err
    assert not (scene.clone / ".issue-orch.toml").exists()


def set_agent(scene: Scene, name: str) -> None:
    scene.config = scene.config.replace('agent = "scripted"\n', "")
    scene.write_config()
    (scene.clone / ".issue-orch.toml").write_text(f'agent = "{name}"\n')


INSTALL = {
    "claude": "npm install -g @anthropic-ai/claude-code",
    "codex": "npm install -g @openai/codex",
    "opencode": "npm install -g opencode-ai",
    "gemini": "npm install -g @google/gemini-cli",
}
LOGIN = {
    "claude": "claude auth login",
    "codex": "codex login",
    "opencode": "opencode auth login",
    "gemini": "gemini",
}


@pytest.mark.parametrize("agent", INSTALL)
def test_what_is_missing_of_the_agent_is_named_with_the_command(scene: Scene, agent: str) -> None:
    """Not installed, not executable, not signed in; then all is well. Nothing of it calls a model."""
    set_agent(scene, agent)
    scene.env["PATH"] = "/usr/bin:/bin"
    ran = scene.orch("init")
    assert ran.code == 1 and "which is not installed" in ran.err
    assert f"  next: {INSTALL[agent]}, or " in ran.err
    cli(scene, agent, f'echo "$*" >> {scene.folder}/asked; echo 9.9.9')
    (scene.folder / "bin" / agent).chmod(0o644)
    ran = scene.orch("init")
    assert ran.code == 1 and f"{scene.folder}/bin/{agent} cannot be executed" in ran.err
    (scene.folder / "bin" / agent).chmod(0o755)
    ran = scene.orch("init")
    assert ran.code == 1 and f"{agent} 9.9.9 is not signed in\n  next: {LOGIN[agent]}\n" in ran.err
    tried = registry.load(agent).CAPABILITIES.tried
    assert f"{agent} 9.9.9 is newer than {tried}" in ran.err
    asked = {*(scene.folder / "asked").read_text().splitlines()}
    assert asked <= {"--version", "auth status", "login status"}
    scene.env[registry.load(agent).CAPABILITIES.sign_in[0]] = "made-up"
    ran = scene.orch("init")
    assert ran.code == 0 and "signed in by" in ran.err and "is newer than" in ran.err


def test_a_token_that_is_missing_is_named_with_the_command_and_the_page(scene: Scene) -> None:
    del scene.env["ISSUE_ORCH_TOKEN"]
    ran = scene.orch("init", "--yes", "--agent", "scripted")
    assert ran.code == 1 and "gh auth login, or set GH_TOKEN" in ran.err
    scene.git("remote", "set-url", "origin", "https://github.com/acme/widgets.git")
    scene.config = scene.config.partition("[github]")[0]
    scene.write_config()
    ran = scene.orch("init")
    assert ran.code == 1 and "https://github.com/settings/personal-access-tokens/new" in ran.err


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://gitlab.com/acme/widgets.git", "gitlab.com"),
        ("git@gitlab.com:acme/group/widgets.git", "gitlab.com"),
        ("git@bitbucket.org:acme/widgets.git", "bitbucket.org"),
        ("https://codeberg.org/acme/widgets", "codeberg.org"),
        ("https://you@dev.azure.com/acme/project/_git/widgets", "dev.azure.com"),
        ("git@ssh.dev.azure.com:v3/acme/project/widgets", "ssh.dev.azure.com"),
        ("ssh://git@gitlab.example.org:2222/acme/widgets.git", "gitlab.example.org"),
    ],
)
def test_another_forge_is_called_so_before_anything_is_written(
    scene: Scene, url: str, host: str
) -> None:
    scene.config = "".join(scene.config.partition("[github]")[:1])
    scene.write_config()
    scene.git("remote", "set-url", "origin", url)
    for words in (("init", "--yes"), ("plan",)):
        ran = scene.orch(*words)
        assert ran.code == 1 and f"error: {host} is no GitHub" in ran.err
    assert not (scene.clone / ".issue-orch.toml").exists()


def test_a_server_of_ones_own_may_be_called_as_one_likes(scene: Scene) -> None:
    """Where it is said which API it has."""
    scene.git("remote", "set-url", "origin", "https://gitlab.com/acme/widgets.git")
    assert scene.orch("plan").code == 0, "github.base_url is set"


def test_a_server_without_https_is_called_so(scene: Scene) -> None:
    scene.config = scene.config.partition("[github]")[0]
    scene.write_config()
    ran = scene.orch("init", "--yes", "--agent", "scripted")
    assert ran.code == 1 and "it answers, but not in https" in ran.err
    assert "WRONG_VERSION" not in ran.err and "github.base_url" in ran.err


@pytest.mark.parametrize(
    ("typed", "made"),
    [("n\n", False), ("y\n", True)],
)
def test_a_label_that_is_probably_another_is_asked_about(
    scene: Scene, typed: str, made: bool
) -> None:
    scene.sandbox.add_issue("Other", "x", labels=["agent-ready"])
    (scene.clone / ".issue-orch.toml").write_text('[ready]\nlabels = ["agent-redy", "go"]\n')
    ran = typing(scene, f"y\n{typed}", "init", "--labels")
    assert 'GitHub has no label "agent-redy"; do you mean "agent-ready"?' in ran.err
    names = {*scene.sandbox.labels}
    assert ("agent-redy" in names) == made and "go" in names
    assert ran.code == int(not made)


@pytest.mark.parametrize("label", ["raedy", "Redy", "rready"])
def test_a_label_that_is_probably_the_proposed_one_is_not_made_unasked(
    scene: Scene, label: str
) -> None:
    (scene.clone / ".issue-orch.toml").write_text(f'[ready]\nlabels = ["{label}"]\n')
    ran = scene.orch("init", "--yes", "--labels")
    assert f'"{label}"; do you mean "ready"?' in ran.err and ran.code == 1
    assert label.casefold() not in scene.sandbox.labels


def test_what_asks_for_approval_is_named_as_it_is(scene: Scene) -> None:
    (scene.clone / ".issue-orch.toml").write_text('setup = [["sh", "-c", "exit 0"]]\n')
    assert "\n.issue-orch.toml sets:\n  setup" in scene.orch("init").err
    template = scene.clone / ".github" / "issue-orch" / "nudge.md.j2"
    template.parent.mkdir(parents=True)
    template.write_text("Report.\n")
    assert "\n.issue-orch.toml and .github/issue-orch set:\n" in scene.orch("init").err
    (scene.clone / ".issue-orch.toml").write_text("")
    assert "\n.github/issue-orch sets:\n" in scene.orch("init").err
    template.unlink()
    assert "\nGone is:\n" in scene.orch("init").err


def test_a_remote_that_is_a_path_needs_the_name_before_anything_is_written(scene: Scene) -> None:
    """And the hint works when it is typed, whether the file is there or not."""
    scene.config = scene.config.replace('repo = "acme/widgets"\n', "")
    scene.write_config()
    scene.git("remote", "set-url", "origin", str(scene.sandbox.repository.path))
    file = scene.clone / ".issue-orch.toml"
    for words in (["init", "--yes"], ["init", "--agent", "scripted"], ["plan"]):
        ran = scene.orch(*words)
        assert ran.code in (1, 2) and "does not name a GitHub repository" in ran.err, ran
        assert ran.err.endswith("next: issue-orch init --repo owner/name\n") and not file.exists()
    file.write_text("max_workers = 2\n")
    ran = scene.orch("plan")
    assert ran.err.endswith('next: set repo = "owner/name" in .issue-orch.toml\n'), ran
    file.unlink()
    assert "Push to origin: works" in scene.orch("init", "--repo", "acme/widgets").err
    assert scene.orch("plan").code == 0
