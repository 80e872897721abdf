"""The cleanup workflow that `init --workflows` writes; this project's own copy is .github/workflows/cleanup.yml."""

from __future__ import annotations

CLEANUP = """\
# Removes the worktrees of merged pulls, by `issue-orch prune` (docs/cleanup-workflow.md of issue-orch).
#
# It works only on a self-hosted runner that runs as the same user, on the same machine, as the clone that you spawn
# from: worktrees are folders there. Set the repository variable ISSUE_ORCH_CLONE to the path of that clone, and give
# the runner the label `issue-orch`. Nothing of a pull request is checked out or run here.
name: issue-orch cleanup

on:
  push:
    branches: [main]
  schedule:
    - cron: "17 3 * * *"

permissions: {}

concurrency:
  group: issue-orch-cleanup
  cancel-in-progress: false

jobs:
  prune:
    name: prune
    if: vars.ISSUE_ORCH_CLONE != ''
    runs-on: [self-hosted, issue-orch]
    timeout-minutes: 15
    permissions:
      contents: read # where the remote branch is, when GitHub names another head
      pull-requests: read # which pulls were merged
    steps:
      - name: Prune merged worktrees
        env:
          ISSUE_ORCH_CLONE: ${{ vars.ISSUE_ORCH_CLONE }}
          ISSUE_ORCH_TOKEN: ${{ github.token }}
        run: |
          code=0
          {
            cd "$ISSUE_ORCH_CLONE" && issue-orch prune
          } > "$RUNNER_TEMP/issue-orch-prune.txt" 2>&1 || code=$?
          {
            echo "### issue-orch prune"
            echo
            sed 's/^/    /' "$RUNNER_TEMP/issue-orch-prune.txt"
          } | tee -a "$GITHUB_STEP_SUMMARY"
          exit "$code"
"""


def cleanup(base: str) -> str:
    """The workflow for a repository whose default branch is `base`."""
    from json import dumps

    return CLEANUP if base == "main" else CLEANUP.replace("branches: [main]", f"branches: [{dumps(base)}]")
