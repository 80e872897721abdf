"""The control side: a person's merge on GitHub is played here, and this is the one place where a merge may happen."""

from __future__ import annotations

from typing import Literal

from ..errors import Expected
from . import bare as git
from .issues import PERSON
from .pulls import Pulls
from .records import Pull

Method = Literal["merge", "squash", "rebase"]


class Person:
    """What a person does to a pull with GitHub's buttons. Nothing of issue-orch proper may call it."""

    def __init__(self, store: Pulls) -> None:
        self._store = store

    def merge(
        self, number: int, method: Method = "merge", by: str = PERSON, delete_branch: bool = False
    ) -> str:
        """Press the merge button: returns the sha that the base is at then. Refused where GitHub refuses."""
        store = self._store
        with store.lock:
            store.sync()
            pull, issue = store.pulls[number], store.issues[number]
            if issue.state == "closed" or pull.draft:
                raise Expected(
                    f"pull {number} is {'a draft' if pull.draft else 'not open'}",
                    "merge an open pull",
                )
            onto = store.heads[pull.base]
            sha = self._made(pull, onto, method, f"{issue.title} (#{number})")
            git.git(store.repository, "update-ref", f"refs/heads/{pull.base}", sha, onto)
            store.mark_merged(number, by, sha, onto)
            if delete_branch:
                self._delete_branch(pull)
            store.sync()
            return sha

    def close_pull(self, number: int, by: str = PERSON) -> None:
        """Close without merging."""
        self._store.close_issue(number, by=by)

    def _made(self, pull: Pull, onto: str, method: Method, title: str) -> str:
        bare = self._store.repository
        tree = git.merged_tree(bare, onto, pull.head_sha)
        if not tree:
            raise Expected(
                f"pull {pull.number} has conflicts with {pull.base}", "resolve them on its branch"
            )
        if method == "rebase":
            return self._rebased(pull.head_sha, onto)
        parents = ["-p", onto, "-p", pull.head_sha] if method == "merge" else ["-p", onto]
        return git.git(bare, "commit-tree", tree, *parents, "-m", title).stdout.strip()

    def _rebased(self, head: str, tip: str) -> str:
        """Each commit anew on top of `tip`, its author kept, as GitHub does even when nothing has moved."""
        bare = self._store.repository
        for commit in git.log(bare, "--no-merges", f"{tip}..{head}"):
            # merge-tree takes its merge base from history: give the tip's tree the commit's own parent.
            stand_in = git.git(
                bare, "commit-tree", f"{tip}^{{tree}}", "-p", commit.parents[0], "-m", "tip"
            ).stdout
            tree = git.merged_tree(bare, stand_in.strip(), commit.sha)
            if not tree:
                raise Expected(
                    f"commit {commit.sha[:10]} does not apply to the base",
                    "merge or squash instead",
                )
            name, email, date = commit.author
            author = {"GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": email, "GIT_AUTHOR_DATE": date}
            argv = ("commit-tree", tree, "-p", tip, "-m", commit.message)
            tip = git.git(bare, *argv, env=author).stdout.strip()
        return tip

    def _delete_branch(self, pull: Pull) -> None:
        """Pulls that were stacked on the branch go to its base, as on GitHub."""
        store = self._store
        for other in store.pulls.values():
            if other.base == pull.head and store.issues[other.number].state == "open":
                store.pulls[other.number] = other._replace(base=pull.base)
        git.git(store.repository, "update-ref", "-d", f"refs/heads/{pull.head}")
