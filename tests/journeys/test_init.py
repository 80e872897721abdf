"""`init` in a terminal: what it asks, and what it does not do unasked."""

from __future__ import annotations

import os
import tomllib

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
