"""`conflicts`: who is in whose way, in which order to review; nothing is changed by looking."""

from __future__ import annotations

import json

from issue_orch.coordinator.follow_up import refresh
from tests.coordinator.test_followup import completed, pass_over, scene
from tests.kit.git import predicts
from tests.kit.scene import ENDLESS, Scene

__all__ = ["scene"]

WRITE = 'echo "from $issue" > src/menu.py; git add src; git commit -q -m M; report complete --title "Menu $issue"\n'


@predicts
def test_order_pairs_and_base(scene: Scene) -> None:
    scene.agent(WRITE)
    one, first, _ = completed(scene, title="The \x1b[31mfirst")
    two, _, _ = completed(scene)
    scene.agent('commit "free-$issue.txt"\nreport complete --title Free\n')
    free, _, _ = completed(scene)
    stacked = scene.issue("On top", body=f"Depends on #{one}")
    scene.orch("spawn", str(stacked), "--stack", check=True)
    scene.wait_status(stacked, "complete")
    looks = (("for-each-ref", "refs/heads"), ("status", "--porcelain"), ("count-objects",))
    before = [scene.git(*words) for words in looks]
    rows = json.loads(scene.orch("conflicts", "--json", check=True).out)["sessions"]
    assert [scene.git(*words) for words in looks] == before
    assert [row["number"] for row in rows] == [free, one, stacked, two]
    assert rows[1]["others"] == [{"number": two, "files": ["src/menu.py"]}]
    assert rows[2]["stackedOn"] == one and rows[2]["others"] == [
        {"number": two, "files": ["src/menu.py"]}
    ]
    assert all(row["againstBase"] == [] and row["mergeable"] is None for row in rows)
    pass_over(scene)
    done = scene.orch("conflicts", check=True)
    assert done.out == (
        "Suggested review order (textually clean: git can merge it; tests tell the rest):\n"
        f"  1. #{free} A task (issue-{free}; GitHub: mergeable)\n     textually clean\n"
        f"  2. #{one} The first (issue-{one}; GitHub: mergeable)\n     conflicts with #{two}: src/menu.py\n"
        f"  3. #{stacked} On top (issue-{stacked}, stacked on #{one}; GitHub: mergeable)\n"
        f"     conflicts with #{two}: src/menu.py\n"
        f"  4. #{two} A task (issue-{two}; GitHub: mergeable)\n"
        f"     conflicts with #{one}: src/menu.py\n     conflicts with #{stacked}: src/menu.py\n"
    )
    assert (
        f"Conflicts, as last looked at, with #{two}: src/menu.py"
        in scene.orch("status", env={"COLUMNS": "200"}).out
    )
    scene.sandbox.person.merge(first)
    pass_over(scene, refresh)
    after = {
        row["number"]: row
        for row in json.loads(scene.orch("conflicts", "--json", check=True).out)["sessions"]
    }
    assert one not in after, "it is merged"
    assert after[two]["againstBase"] == ["src/menu.py"], "the base as it is now"
    scene.check_invariants()


@predicts
def test_without_the_remote_it_says_that_the_base_is_old(scene: Scene) -> None:
    completed(scene)
    scene.git("remote", "set-url", "origin", "http://127.0.0.1:9/acme/widgets.git")
    assert "remote.origin.url of the git configuration changed" in scene.orch("conflicts").err
    scene.orch("init", "--approve", check=True)
    done = scene.orch("conflicts", check=True)
    assert "warning: main as last fetched" in done.err and "textually clean" in done.out


@predicts
def test_what_cannot_be_reviewed_yet_is_not_in_the_order(scene: Scene) -> None:
    """A session without a pull comes behind the order, one without a commit not at all."""
    scene.agent(ENDLESS)
    begun = scene.issue()
    scene.orch("spawn", str(begun), check=True)
    scene.wait(lambda: (scene.worktree(begun) / f"begun-{begun}.txt").exists())
    scene.orch("stop", str(begun), check=True)
    asking = scene.stuck()
    scene.agent(WRITE)
    done, _, _ = completed(scene)
    ran = scene.orch("conflicts", check=True)
    assert f"  1. #{done} " in ran.out and f"#{asking} " not in ran.out
    assert (
        f"Not to be reviewed yet, for lack of a pull:\n  #{begun} A task (issue-{begun})" in ran.out
    )
    rows = json.loads(scene.orch("conflicts", "--json", check=True).out)["sessions"]
    assert [(row["number"], bool(row["pull"])) for row in rows] == [(done, True), (begun, False)]


def test_nothing_to_compare(scene: Scene) -> None:
    assert scene.orch("conflicts", check=True).out == "No open sessions with commits.\n"
    refused = scene.orch("merge", "1")
    assert refused.code == 1 and "issue-orch conflicts" in refused.err
