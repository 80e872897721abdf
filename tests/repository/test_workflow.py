"""The cleanup workflow: judged by GitHub's schema and zizmor, and its steps run as a runner would."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.kit.scene import Scene

TOP = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
CLEANUP = (TOP / "issue_orch" / "cleanup.yml").read_text()
PAGE = TOP / "docs" / "cleanup-workflow.md"


def judge(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / str(argv[0]), *argv[1:]], capture_output=True, text=True, check=False
    )


def of_page() -> str:
    """The exact-pull variant, as documented."""
    return re.findall(r"(?s)```yaml\n(.*?)```", PAGE.read_text())[0]


def step_of(text: str) -> dict[str, Any]:
    (job,) = YAML(typ="safe").load(text)["jobs"].values()
    (step,) = job["steps"]
    return dict(step)


def run_step(scene: Scene, step: dict[str, Any], event: dict[str, Any]) -> tuple[int, str]:
    """As a runner does: expressions put in, `bash -e` on a file, its environment. Returns code and job summary."""
    event_file, summary = scene.folder / "event.json", scene.folder / "summary.md"
    event_file.write_text(json.dumps(event))
    summary.write_text("")
    pull = json.loads(event_file.read_text()).get("pull_request", {})
    known = {
        "vars.ISSUE_ORCH_CLONE": str(scene.clone),
        "github.token": scene.token,
        "github.event.pull_request.number": str(pull.get("number")),
    }
    expression = re.compile(r"\$\{\{ *(.*?) *\}\}")
    given = {
        name: expression.sub(lambda found: known[found[1]], text)
        for name, text in step["env"].items()
    }
    assert "${{" not in step["run"], "expressions in a script are an injection"
    script = scene.folder / "step.sh"
    script.write_text(step["run"])
    temp = scene.folder / "temp"
    temp.mkdir(exist_ok=True)
    env = {name: value for name, value in scene.env.items() if name != "ISSUE_ORCH_TOKEN"}
    env |= {
        "GITHUB_STEP_SUMMARY": str(summary),
        "GITHUB_EVENT_PATH": str(event_file),
        "RUNNER_TEMP": str(temp),
        "GITHUB_ACTIONS": "true",
        "CI": "true",
        **given,
    }
    done = subprocess.run(
        ["bash", "-e", script],
        cwd=scene.home,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, summary.read_text()


def complete(scene: Scene, *titles: str) -> list[int]:
    """Workers that opened their pulls."""
    numbers = [scene.issue(title) for title in titles]
    scene.orch("spawn", "--yes", *map(str, numbers), check=True)
    for number in numbers:
        scene.wait_status(number, "complete")
    return numbers


def test_the_projects_own_copy_is_what_init_writes() -> None:
    assert (TOP / ".github" / "workflows" / "cleanup.yml").read_text() == CLEANUP


def test_init_writes_it_for_the_default_branch(scene: Scene) -> None:
    scene.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/trunk")
    scene.orch("init", "--yes", "--workflows", check=True)
    written = scene.clone / ".github" / "workflows" / "issue-orch-cleanup.yml"
    assert written.read_text() == CLEANUP.replace("branches: [main]", 'branches: ["trunk"]')
    assert YAML(typ="safe").load(written.read_text())["on"]["push"] == {"branches": ["trunk"]}
    again = scene.orch("init", "--yes", "--workflows", check=True)
    assert "it stays as it is" in again.err
    done = judge("check-jsonschema", "--builtin-schema", "vendor.github-workflows", written)
    assert done.returncode == 0, done.stdout
    done = judge("zizmor", "--offline", "--no-progress", "--pedantic", written)
    assert done.returncode == 0, done.stdout


def test_the_documented_variant_fits_the_schema_and_only_its_trigger_is_reported(
    tmp_path: Path,
) -> None:
    file = tmp_path / "one-pull.yml"
    file.write_text(of_page())
    done = judge("check-jsonschema", "--builtin-schema", "vendor.github-workflows", file)
    assert done.returncode == 0, done.stdout
    found = json.loads(
        judge("zizmor", "--offline", "--no-progress", "--format", "json", file).stdout
    )
    assert {finding["ident"] for finding in found} == {"dangerous-triggers"}


def test_a_workflow_that_is_dangerous_would_be_noticed(tmp_path: Path) -> None:
    file = tmp_path / "bad.yml"
    file.write_text(
        CLEANUP.replace("permissions: {}", "permissions: write-all").replace(
            'cd "$ISSUE_ORCH_CLONE"', 'cd "${{ github.event.head_commit.message }}"'
        )
    )
    assert judge("zizmor", "--offline", "--no-progress", file).returncode != 0


def test_the_merged_worktree_goes_and_the_summary_says_what_was_kept_and_why(scene: Scene) -> None:
    merged, open_ = complete(scene, "Merge me", "Leave me")
    scene.sandbox.person.merge(scene.pull_of(merged))
    gone, stays = scene.worktree(merged), scene.worktree(open_)
    urls = {number: scene.status(number)["pullRequestUrl"] for number in (merged, open_)}
    code, summary = run_step(scene, step_of(CLEANUP), {"ref": "refs/heads/main"})
    assert code == 0
    assert summary == (
        f"### issue-orch prune\n\n    #{merged}: removed: merged: {urls[merged]}\n"
        f"    #{open_}: kept: its pull is open: {urls[open_]}\n"
    )
    assert (gone.exists(), stays.exists()) == (False, True)
    scene.check_invariants()


def test_a_clone_without_sessions_and_a_folder_that_is_missing_are_said(scene: Scene) -> None:
    code, summary = run_step(scene, step_of(CLEANUP), {})
    assert (code, summary) == (
        0,
        f"### issue-orch prune\n\n    No sessions in this clone: {scene.clone}\n",
    )
    scene.clone.rename(scene.clone.with_name("elsewhere"))
    code, summary = run_step(scene, step_of(CLEANUP), {})
    assert code == 1
    assert "No such file or directory" in summary


def test_a_failure_of_prune_fails_the_run_and_is_in_its_summary(scene: Scene) -> None:
    (scene.clone / ".issue-orch.toml").write_text("nonsense = 1\n")
    code, summary = run_step(scene, step_of(CLEANUP), {})
    assert code == 2
    assert "    error: .issue-orch.toml: unknown key nonsense" in summary


def test_the_exact_pull_variant_touches_that_pull_alone(scene: Scene) -> None:
    first, second = complete(scene, "First", "Second")
    for number in (first, second):
        scene.sandbox.person.merge(scene.pull_of(number))
    gone, stays, pull = scene.worktree(first), scene.worktree(second), scene.pull_of(first)
    code, summary = run_step(
        scene, step_of(of_page()), {"pull_request": {"number": pull, "merged": True}}
    )
    assert code == 0
    assert (
        summary
        == f"    #{first}: removed: merged: {scene.sandbox.base_url}/acme/widgets/pull/{pull}\n"
    )
    assert (gone.exists(), stays.exists()) == (False, True)
    code, summary = run_step(
        scene, step_of(of_page()), {"pull_request": {"number": 99, "merged": True}}
    )
    assert (code, stays.exists(), summary.strip()) == (
        0,
        True,
        f"No session of pull 99 in this clone: {scene.clone}",
    )


def test_nothing_of_a_file_name_becomes_markup_of_the_summary(scene: Scene) -> None:
    """What a worker names its files is shown by prune; it stays inside the block."""
    (number,) = complete(scene, "Odd names")
    tree = scene.worktree(number)
    scene.sandbox.person.merge(scene.pull_of(number))
    Path(tree, "```\n# Click <img src=evil.example>").write_text("")  # one name with a line end
    code, summary = run_step(scene, step_of(CLEANUP), {})
    assert code == 0
    assert tree.exists()
    assert "evil.example" in summary
    assert all(line.startswith("    ") for line in summary.splitlines()[2:])


def test_the_runner_environment_is_complete() -> None:
    """Only variables that a runner or the step sets are used by the script."""
    used = set(re.findall(r"\$\{?([A-Z][A-Z_]+)", step_of(CLEANUP)["run"]))
    assert used <= {
        "ISSUE_ORCH_CLONE",
        "ISSUE_ORCH_TOKEN",
        "GITHUB_STEP_SUMMARY",
        "RUNNER_TEMP",
        "GITHUB_EVENT_PATH",
    }


HOOKS = YAML(typ="safe").load((TOP / ".pre-commit-config.yaml").read_text())["repos"]


def test_hooks_before_a_commit_run_from_the_projects_own_environment(tmp_path: Path) -> None:
    assert [repo["repo"] for repo in HOOKS] == ["local"]
    hooks = {hook["id"]: hook for hook in HOOKS[0]["hooks"]}
    assert {hook["language"] for hook in hooks.values()} == {"system"}
    file = tmp_path / "odd.py"
    file.write_text("import os\nx = {  'a':1 }\n")

    def run(name: str) -> int:
        argv = [*shlex.split(hooks[name]["entry"]), str(file)]
        return subprocess.run(argv, cwd=TOP, capture_output=True, check=False).returncode

    assert run("lint") == 1
    assert run("format") == 0 and file.read_text() == 'import os\n\nx = {"a": 1}\n'
    file.write_text('x = {"a": 1}\n')
    assert run("lint") == 0


def test_a_release_is_built_from_a_tag_and_nothing_is_published() -> None:
    text = (TOP / ".github" / "workflows" / "release.yml").read_text()
    workflow = YAML(typ="safe").load(text)
    assert workflow["on"] == {"push": {"tags": ["v*"]}} and workflow["permissions"] == {}
    (job,) = workflow["jobs"].values()
    assert job["permissions"] == {"contents": "read"} and "secrets." not in text
    (build,) = [step["run"] for step in job["steps"] if "run" in step]
    assert build.split()[0] == "scripts/dist" and "scripts/dist" in (TOP / ".ci/run").read_text()


def test_a_tag_must_be_the_version_of_what_is_built(tmp_path: Path) -> None:
    done = subprocess.run(
        [TOP / "scripts" / "dist", tmp_path, "99.0.0"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "has no dated heading for 99.0.0" in done.stderr
    assert not list(tmp_path.iterdir())
