"""The cleanup workflow that `init --workflows` writes; this project's own copy is .github/workflows/cleanup.yml."""

from __future__ import annotations

CLEANUP = """\
# Removes the worktrees of merged pulls, by `issue-orch prune`.
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
    if: vars.ISSUE_ORCH_CLONE != ''
    runs-on: [self-hosted, issue-orch]
    timeout-minutes: 15
    permissions:
      contents: read
      issues: read
      pull-requests: read
    steps:
      - name: Prune merged worktrees
        env:
          ISSUE_ORCH_CLONE: ${{ vars.ISSUE_ORCH_CLONE }}
          ISSUE_ORCH_TOKEN: ${{ github.token }}
        run: |
          cd "$ISSUE_ORCH_CLONE"
          issue-orch prune | tee /dev/stderr > "$RUNNER_TEMP/issue-orch-prune.txt"
          {
            echo "### issue-orch prune"
            echo
            echo '```'
            cat "$RUNNER_TEMP/issue-orch-prune.txt"
            echo '```'
          } >> "$GITHUB_STEP_SUMMARY"
"""
