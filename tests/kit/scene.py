"""A whole scene for tests: the sandbox's GitHub, a clone of it, scripted agents, and the invariants of the promises."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from issue_orch.sandbox import scene
from issue_orch.sandbox.records import User
from issue_orch.sandbox.scene import Ran as Ran
from tests.kit.github_fake import FakeGitHub

IS_SUPERVISOR = (
    "supervisor /"  # of a module whose name older versions spell otherwise, with its state folder
)
REPORT = str(Path(sys.executable).with_name("issue-orch"))
GIT = Path(
    shutil.which("git") or "/usr/bin/git"
).parent  # the caller's, so that the tests can be run with another git

# What every scripted agent can do. The lock is inherited by all that it starts: two workers of one issue are seen.
PRELUDE = """\
#!/bin/sh
set -eu
issue=${ISSUE_ORCH_WORKER%.*} attempt=${ISSUE_ORCH_WORKER#*.}
exec 9>>"@FOLDER@/worker-$issue"
flock -n 9 || echo "two workers of #$issue" >> "@FOLDER@/violations"
cat > "@FOLDER@/prompt-$issue.$attempt"
prompt="@FOLDER@/prompt-$issue.$attempt"
say() { printf '{"type":"text","text":"%s"}\\n' "$1"; }
report() { "@REPORT@" report "$@"; }
commit() { echo "$issue $attempt $$" >> "$1"; git add -- "$1"; git commit -q -m "Change $1 for #$issue"; }
await() { read -r _ < "@FOLDER@/gate-$1"; }
say "at work on #$issue, attempt $attempt"
"""

COMPLETE = 'commit "work-$issue.txt"\nreport complete --title "Solve #$issue" --body "Done."\n'
ASK = """\
if grep -q '^##* From ' "$prompt"; then commit "work-$issue.txt"; report complete --title "Solve #$issue"; else
report stuck --decision "Which way?" --option left --option right --default left
fi
"""
# Works until it is ended. tail would end by itself when nobody reads its output any more.
ENDLESS = 'commit "begun-$issue.txt"\nreport working --note "for ever"\nexec tail -f /dev/null > /dev/null\n'


# Issues' comments and labels, and pulls, are all that is ever written.
WRITES = re.compile(
    r"(POST|PATCH) /repos/acme/widgets/(issues/(\d+/|)comments(/\d+)?|pulls(/\d+)?)"
    r"|(POST|DELETE) /repos/acme/widgets/(issues/\d+/)?labels(/[^/]+)?"
)


CLAIMS = {"WORKING", "PLANNING", "STARTING", "QUIET", "RETRYING"}  # that a worker runs


class MayPass(AssertionError):
    """What may be seen for a moment while something is made: a fault only when it stays so."""


class Scene(scene.Scene):
    """With a scripted agent, gates for it, and a look at all that happened."""

    sandbox: FakeGitHub

    def __init__(self, folder: Path, sandbox: FakeGitHub, clone: str = "widgets") -> None:
        super().__init__(folder, clone)
        self.env["PATH"] = f"{Path(sys.executable).parent}:{GIT}:/usr/local/bin:/usr/bin:/bin"
        self.env["LC_ALL"] = "C.UTF-8"
        self.resume = True
        self.gates: dict[str, int] = {}
        self.adopted: set[str] = set()  # branches of others that sessions may push to
        self.connect(sandbox, "scripted", max_workers=9)
        self.agent(COMPLETE)

    def agent(self, body: str) -> None:
        """What agents do from now on: lines of sh after PRELUDE. Replaced by a rename, so running ones go on."""
        path = self.folder / "agent"
        fresh = path.with_name("agent.new")
        fresh.write_text(
            (PRELUDE + body).replace("@FOLDER@", str(self.folder)).replace("@REPORT@", REPORT)
        )
        fresh.chmod(0o755)
        fresh.replace(path)

    def gate(self, name: str) -> None:
        """Something that `await NAME` of an agent blocks on until `release`. Made before the agent starts."""
        path = self.folder / f"gate-{name}"
        os.mkfifo(path)
        self.gates[name] = os.open(path, os.O_RDWR)

    def release(self, name: str) -> None:
        """Let one `await` pass, now or later."""
        os.write(self.gates[name], b"go\n")

    def write_config(self, before: str = "", after: str = "") -> None:
        command = f'["{self.folder}/agent"]'
        own = f"[agents.scripted]\ncommand = {command}\n" + f"resume = {command}\n" * self.resume
        super().write_config(before, own + after)

    def issue(self, title: str = "A task", body: str = "Do it.", **more: Any) -> int:
        return self.sandbox.add_issue(title, body, labels=["ready"], **more)

    def status(self, number: int) -> dict[str, Any]:
        """The status file; empty when there is none."""
        try:
            file = self.state / "sessions" / str(number) / "status.json"
            return dict(json.loads(file.read_text("utf-8", "surrogateescape")))
        except FileNotFoundError:
            return {}

    def events(self, number: int, kind: str = "") -> list[dict[str, Any]]:
        path = self.state / "sessions" / str(number) / "events.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [row for row in rows if not kind or row["kind"] == kind]

    def headline(self, number: int) -> str:
        return str(self.sessions().get(number, {}).get("headline", ""))

    def worktree(self, number: int) -> Path:
        return Path(self.status(number)["worktreePath"])

    def pull_of(self, number: int) -> int:
        return int(self.status(number)["pullRequestUrl"].rpartition("/")[2])

    def wait_status(self, number: int, *wanted: str) -> dict[str, Any]:
        def seen() -> dict[str, Any] | None:
            status = self.status(number)
            return status if status.get("status") in wanted and not self.supervisors() else None

        return dict(
            self.wait(seen, what=f"#{number} becomes {' or '.join(wanted)} and its supervisor ends")
        )

    def fail(self, message: str) -> NoReturn:
        raise MayPass(f"{message}\n{self.describe()}")

    def describe(self) -> str:
        """For the message of a failed test."""
        parts = []
        for folder in sorted((self.state / "sessions").glob("*")):
            for name in ("status.json", "events.jsonl", "supervisor.log", "agent.log"):
                path = folder / name
                if path.exists():
                    parts.append(
                        f"--- {folder.name}/{name}\n{path.read_text(errors='replace')[-3000:]}"
                    )
        return "\n".join(parts)

    # -- processes, found by what they are, not by what the product says

    def processes(self) -> list[tuple[int, str, bytes]]:
        """(pid, command line, environment) of what this clone's commands and workers started."""
        found = []
        for name in os.listdir("/proc"):
            if not name.isdecimal() or int(name) == os.getpid():
                continue
            try:
                line = (
                    Path("/proc", name, "cmdline")
                    .read_bytes()
                    .replace(b"\0", b" ")
                    .decode(errors="surrogateescape")
                )
                environ = Path("/proc", name, "environ").read_bytes()
            except OSError:
                continue
            if (
                f"supervisor {self.state} " in line
                or os.fsencode(f"ISSUE_ORCH_STATE={self.state}\0") in environ
            ):
                found.append((int(name), line, environ))
        return found

    def supervisors(self) -> list[int]:
        return [pid for pid, line, _ in self.processes() if IS_SUPERVISOR in line]

    def workers(self) -> list[int]:
        return [pid for pid, line, _ in self.processes() if IS_SUPERVISOR not in line]

    def wait_quiet(self, deadline: float | None = None) -> None:
        self.wait(lambda: not self.processes(), deadline, "every process of the clone ends")

    def stuck(self) -> int:
        """The number of a session whose worker has asked, and runs no longer."""
        self.agent(ASK)
        number = self.issue()
        self.orch("spawn", str(number), check=True)
        self.wait_status(number, "stuck")
        self.wait_quiet()
        return number

    # -- the promises

    def check_invariants(self, quiet: bool = True) -> None:
        """What must hold at any time; with `quiet`, when nothing is to run any more."""
        violations = self.folder / "violations"
        assert not violations.exists(), violations.read_text()
        self.check_wire()
        heads = [pull.head for pull in self.sandbox.pulls.values() if pull.merged_at is None]
        assert len(heads) == len(set(heads)), f"two pulls of one branch: {heads}"
        bodies = [
            (each.issue, each.body)
            for found in self.sandbox.comments.values()
            for each in found.values()
        ]
        assert len(bodies) == len(set(bodies)), f"a comment twice: {bodies}"
        lost = self.lost_commits()
        if not quiet:  # a snapshot is made before its ref, of files that are still there
            lost = {
                sha for sha in lost if "preserved" not in self.git("log", "-1", "--format=%s", sha)
            }
        if lost:
            self.fail(f"commits that nothing leads to: {lost}")
        if quiet:
            assert not (left := self.processes()), f"processes are left: {left}"
            self.check_truth()

    def check_wire(self) -> None:
        """What reached GitHub, whatever the test was about: no merging route, no write but those that are allowed, and by
        the remote's own `pre-receive`: pushes of issues' branches alone, none of them deleted or forced."""
        assert not self.sandbox.unknown_requests, self.sandbox.unknown_requests
        assert not self.sandbox.merge_attempts, self.sandbox.merge_attempts
        assert not self.sandbox.failures, self.sandbox.failures
        assert all(WRITES.fullmatch(each) for each in self.sandbox.writes), self.sandbox.writes
        # A test that plays a person pushes over the path: then there is no user.
        for push in (each for each in self.sandbox.pushes if each.user):
            name = push.ref.removeprefix("refs/heads/")
            assert (name.startswith("issue-") or name in self.adopted) and push.new.strip("0"), push
            if push.old.strip("0"):
                self.git(
                    "merge-base",
                    "--is-ancestor",
                    push.old,
                    push.new,
                    cwd=self.sandbox.repository.path,
                )

    def lost_commits(self) -> set[str]:
        """Commits in the clone's database that no ref, no worktree's HEAD and no branch of the remote leads to."""
        listing = self.git(
            "cat-file", "--batch-all-objects", "--batch-check=%(objecttype) %(objectname)"
        )
        every = {line[7:] for line in listing.splitlines() if line.startswith("commit ")}
        trees = self.git("worktree", "list", "--porcelain").splitlines()
        heads = [line[5:] for line in trees if line.startswith("HEAD ") and line[5:].strip("0")]
        here = set(self.git("rev-list", "--all", *heads).split())
        there = self.git("rev-list", "--all", cwd=self.sandbox.repository.path)
        lost = every - here - set(there.split())
        # The one that tries at spawn whether a signature can be made is meant to be forgotten.
        return {
            sha for sha in lost if self.git("log", "-1", "--format=%s", sha) != "signing works\n"
        }

    def check_truth(self) -> None:
        """With nothing running, `status` claims no worker, and a complete session has its pull with its head."""
        start = f"{self.sandbox.base_url}/acme/widgets/pull/"
        pulls = {f"{start}{number}": pull for number, pull in self.sandbox.pulls.items()}
        for row in self.sessions().values():
            assert row["headline"] not in CLAIMS, row
            if row["status"] == "complete":
                assert row["pullRequestUrl"] in pulls, row
                assert pulls[row["pullRequestUrl"]].head == row["branch"], row

    def lose_sign_in(self) -> User:
        """From now on GitHub and the remote do not know our token; the user as it was."""
        you = self.sandbox.users["you"]
        self.sandbox.users["you"] = you._replace(token="another")
        return you

    def close(self) -> None:
        """After a test: end what is left, each by its pid, and look at all that was sent."""
        for descriptor in self.gates.values():
            os.close(descriptor)
        for _ in range(200):
            left = self.processes()
            if not left:
                break
            for pid, _, _ in left:
                try:
                    os.kill(pid, 9)
                except ProcessLookupError:
                    pass
            time.sleep(0.01)
        self.check_wire()


@contextmanager
def make_scene(
    folder: Path, clone: str = "widgets", fake: type[FakeGitHub] = FakeGitHub
) -> Iterator[Scene]:
    """A scene with one commit in its repository. Whatever runs at the end is ended."""
    with fake(folder / "github") as sandbox:
        sandbox.seed({"README.md": "# widgets\n", "src/menu.py": "MENU = []\n"}, "Start")
        scene = Scene(folder, sandbox, clone)
        scene.write_config()
        try:
            yield scene
        finally:
            scene.close()
