"""What strangers write and servers answer never becomes a request, a ref or a word that was not looked at: real processes.

FUZZ_EXAMPLES=100000 tries that many hundreds of fleets (in CI one): each holds many hostile values at a time.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.fleet import make_fleet
from tests.kit.github_fake import ODD_TEXTS
from tests.kit.scene import ASK, COMPLETE, Ran, Scene

LONG = "9" * 5000
HERE = "/repos/acme/widgets"
# What issue-orch asks this host for, whatever was written: names and numbers, and nothing else of an address.
ASKED = re.compile(
    r"/user|/repos/[\w.-]+/[\w.-]+(/[a-z-]+(/[\w%.-]+(/[\w-]+(/[\w%-]+)?)?)?)?", re.ASCII
)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with make_fleet(tmp_path) as made:
        made.config += "write_back = true\n"
        made.write_config()
        made.agent(COMPLETE)
        yield made


def fine(scene: Scene, *words: str, codes: tuple[int, ...] = (0, 1)) -> Ran:
    """Run the command: done or refused with words, never a bug of ours."""
    ran = scene.orch(*words)
    assert ran.code in codes and not re.search(
        r"Traceback|bug:|fault of issue-orch", ran.err + ran.out
    ), (words, ran)
    for each in scene.sandbox.requests:
        assert ASKED.fullmatch(each.path) and not {".", ".."} & {*each.path.split("/")}, each.path
    return ran


# -- the lines of an issue

ROWS = {
    "Depends on https://codeberg.org/acme/x/issues/9": "codeberg.org/acme/x#9",
    "blocked by ghe.corp.example/acme/x#9": "ghe.corp.example/acme/x#9",
    "Depends on ../..#5": "../..#5",
    "Depends on acme/..#5": "acme/..#5",
    "Depends on https://github.com/acme/widgets/issues/1": "github.com/acme/widgets#1",
    "Depends on @HOST@/acme/../issues/5": "acme/..#5",
    "Blocked by: acme/%2e%2e%2f%2e%2e#5": "acme/%2e%2e%2f%2e%2e#5",
    "Depends on аcme/widgets#5": "аcme/widgets#5",
    "Depends on\n\n- https://gitlab.com/g/sub/p/-/issues/9": "gitlab.com/g/sub/p/-/issues/9",
    f"Depends on #{2**63}": f"#{2**63}",
    f"Depends on #{LONG}": "#9999999999",
}


def test_a_line_of_a_stranger_ends_nobodys_work(scene: Scene) -> None:
    """Without the label it ends no plan; with it that issue alone waits, and says for what."""
    host = scene.sandbox.base_url.removeprefix("http://")
    texts = {text.replace("@HOST@", host): words for text, words in ROWS.items()}
    for text in texts:
        scene.sandbox.add_issue("By a stranger", text, author="eve")
    held = {scene.issue(body=text): words for text, words in texts.items()}
    real = scene.issue("A real one")
    own = scene.issue("On this host", f"Depends on http://{host}/acme/widgets/issues/{real}")
    shown = json.loads(fine(scene, "plan", "--json", codes=(0,)).out)
    assert [each["number"] for each in shown["eligible"]] == [real]
    reasons = {
        each["number"]: [reason["text"] for reason in each["reasons"]]
        for each in shown["ineligible"]
    }
    for number, words in held.items():
        [reason] = reasons[number]
        assert reason.startswith(f"depends on what cannot be read: {words}")
    assert reasons[own] == [f'blocked by #{real} "A real one"']
    fine(scene, "run", "--once", codes=(0,))
    scene.wait_status(real, "complete")
    assert not [number for number in held if scene.status(number)]
    first = min(held)
    ran = fine(scene, "spawn", str(first), codes=(1,))
    assert (
        f"#{first}: not started: depends on what cannot be read: codeberg.org/acme/x#9" in ran.err
    )
    fine(scene, "spawn", str(first), "--yes", codes=(0,))
    scene.wait_status(first, "complete")
    scene.check_invariants()


# -- what the server says

SHA = "a" * 40
ODD_ANSWERS: dict[str, tuple[str, Any]] = {
    "blocker of another host": (
        "issues/[0-9]+/dependencies/blocked_by",
        [
            {
                "number": 9,
                "title": "x",
                "state": "open",
                "repository_url": "https://codeberg.org/api/v1/repos/acme/x",
            }
        ],
    ),
    "blocker of no repository": (
        "issues/[0-9]+/dependencies/blocked_by",
        [
            {
                "number": 9,
                "title": "x",
                "state": "open",
                "repository_url": "https://api.github.com/repos/../..",
            }
        ],
    ),
    "blocker below another path": (
        "issues/[0-9]+/dependencies/blocked_by",
        [
            {
                "number": "9/../../../user",
                "title": "x",
                "state": "open",
                "repository_url": f"http://h{HERE}",
            }
        ],
    ),
    "blocker minus one": (
        "issues/[0-9]+/dependencies/blocked_by",
        [{"number": -1, "title": "x", "state": "open", "repository_url": f"http://h{HERE}"}],
    ),
    "sub-issue without end": (
        "issues/[0-9]+/sub_issues",
        [{"number": 10**300, "title": "x", "state": "open", "repository_url": f"http://h{HERE}"}],
    ),
    "blockers are no list": ("issues/[0-9]+/dependencies/blocked_by", {"a": 1}),
}


def test_an_odd_answer_holds_what_it_is_about(scene: Scene) -> None:
    number, other = scene.issue(), scene.sandbox.add_issue("Before")
    scene.sandbox.add_blocked_by(number, other)
    scene.sandbox.add_sub_issue(number, other)
    for route, answer in ODD_ANSWERS.values():
        scene.sandbox.twists.clear()
        scene.sandbox.twist(f"{HERE}/{route}", lambda body, answer=answer: answer)  # type: ignore[misc]
        assert "Eligible (0)" in fine(scene, "plan", codes=(0,)).out
        fine(scene, "run", "--once")
        assert not scene.status(number), "it waits for what cannot be read"


def odd_pull(pull: dict[str, Any], **head: Any) -> dict[str, Any]:
    return {
        **pull,
        "number": 900,
        "html_url": "http://h/acme/widgets/pull/900",
        "head": {**pull["head"], **head},
    }


ODD_PULLS = {
    "a number that is no issue's": {"ref": f"issue-{LONG}"},
    "digits of another script": {"ref": "issue-١"},
    "zeros in front": {"ref": "issue-0001"},
    "half a character": {"ref": "issue-1\ud800"},
    "a commit that is none": {"sha": "../../../user"},
    "no text": {"ref": 7},
}


def finished(scene: Scene) -> int:
    number = scene.issue()
    fine(scene, "spawn", str(number), codes=(0,))
    scene.wait_status(number, "complete")
    return number


def test_an_odd_pull_is_no_session_s(scene: Scene) -> None:
    finished(scene)
    waits = scene.sandbox.add_issue("Later")
    for odd in ODD_PULLS.values():
        scene.sandbox.twists.clear()
        scene.sandbox.twist(
            f"{HERE}/pulls",
            lambda body, odd=odd: [*body, *(odd_pull(each, **odd) for each in body[:1])],
        )  # type: ignore[misc]
        fine(scene, "run", "--once")
        assert "has an open pull" not in fine(scene, "plan", str(waits)).out


ODD_CHANGES: list[dict[str, Any]] = [
    {"head": {"sha": "a/../../user", "ref": "issue-1", "repo": None}},
    {"number": -4},
    {"base": {"ref": "a\u0000b"}},
    {"base": {"ref": "*"}},
    {"html_url": 7},
    {"html_url": f"http://h/pull/{LONG}"},
    {"user": {"login": ".."}},
]


def test_what_the_server_says_of_a_session_s_pull_is_looked_at(scene: Scene) -> None:
    number = finished(scene)
    refs = scene.git("for-each-ref", "--format=%(refname)")
    for change in ODD_CHANGES:
        scene.sandbox.twists.clear()
        scene.sandbox.twist(
            f"{HERE}/pulls(/[0-9]+)?",
            lambda body, change=change: (  # type: ignore[misc]
                [{**each, **change} for each in body]
                if isinstance(body, list)
                else {**body, **change}
            ),
        )
        for words in (("run", "--once"), ("prune",)):
            fine(scene, *words)
    for words in (("show", str(number)), ("conflicts",), ("status",)):
        fine(scene, *words, codes=(0,))
    assert scene.git("for-each-ref", "--format=%(refname)") == refs


ODD_PEOPLE: list[tuple[str, Any]] = [
    *(
        (
            "issues/[0-9]+/timeline",
            lambda body, login=login: [
                {**each, "actor": {"login": login, "type": "User"}} for each in body
            ],
        )
        for login in ("..", "", "a/../b", "a%2f..%2f..", "\ud800", "ünï\n?x#y")
    ),
    ("issues/[0-9]+/timeline", lambda body: ["labeled", None, 7]),
    ("collaborators/[^/]+/permission", lambda body: ["admin"]),
    ("collaborators/[^/]+/permission", lambda body: None),
]


def test_who_cannot_be_asked_about_may_nothing(scene: Scene) -> None:
    """Who labelled: asked for by that name, or not at all; `run` says so and does not start it."""
    number = scene.issue()
    for route, change in ODD_PEOPLE:
        scene.sandbox.twists.clear()
        scene.sandbox.twist(f"{HERE}/{route}", change)
        fine(scene, "run", "--once")
        assert not scene.status(number)


ODD_HEADERS = [
    {"Link": '<http://[::1>; rel="next"'},
    {"Link": '<http://h/../../user?page=2#x>; rel="next"'},
    {"X-RateLimit-Remaining": "٣"},
    {"X-RateLimit-Remaining": LONG, "X-RateLimit-Limit": LONG, "X-RateLimit-Reset": LONG},
    {"Retry-After": LONG, "Date": "Mon, 01 Jan 0001 00:00:00 -2359"},
]


def test_odd_headers_end_nothing(scene: Scene) -> None:
    for headers in ODD_HEADERS:
        raw = {name: value.encode().decode("latin-1") for name, value in headers.items()}
        for status in (200, 403):
            scene.sandbox.fail(route=f"{HERE}/issues", status=status, message="x", headers=raw)
            fine(scene, "plan")


def test_an_answer_that_no_parser_takes_is_said(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordinary = scene.sandbox.answer
    for payload in (
        "[" * 100_000,
        '[{"number": 1e999}]',
        f"[{LONG}]",
        '[{"number": 1, "title": 7, "state": "open"}]',
    ):

        def answer(incoming: Any, payload: str = payload) -> Any:
            reply = ordinary(incoming)
            return (
                reply._replace(status=200, payload=payload.encode())
                if incoming.target.startswith(f"{HERE}/issues?")
                else reply
            )

        monkeypatch.setattr(scene.sandbox, "answer", answer)
        fine(scene, "plan", codes=(1,))


def test_an_answer_of_digits_without_end_is_guidance(scene: Scene) -> None:
    """Python refuses to read that many digits as a number."""
    number = scene.stuck()
    fine(scene, "run", "--once", codes=(0,))
    scene.sandbox.comment(number, f"/answer {LONG}")
    fine(scene, "run", "--once", codes=(0,))
    scene.wait_status(number, "complete")
    assert LONG in (scene.folder / f"prompt-{number}.2").read_text()


# -- branches

BRANCHES = [
    f"issue-{'9' * 200}".encode(),
    "issue-١".encode(),
    b"issue-007",
    b"issue-0",
    b"issue--1",
    b"-x",
    b"--upload-pack=touch",
    b"HEAD",
    SHA.encode(),
    b"a/refs/heads/issue-1",
    b"refs/heads/main",
    b"origin/main",
    "ünï/ｆｕｌｌ".encode(),
    b"\xff\xfe",
    b"issue-\xff",
    b"$(touch owned)",
    b"`id`",
    b"a;b|c&d",
    b'quo"te',
    b"it's",
    b"{number}",
    "a\u202eb".encode(),
    "zero\u200bwidth".encode(),
    b"@",
    b"a@b",
    b"x" * 200,
    b"%2e%2e",
    b"issue-1%2f",
    b"!",
    b"#1",
    b"issue-2/below",
    b"a,b",
]


def make_branch(folder: Path, name: bytes, sha: str, env: dict[str, str]) -> None:
    """Where git allows it."""
    argv: list[bytes] = [b"git", b"update-ref", b"refs/heads/" + name, sha.encode()]
    subprocess.run(argv, cwd=folder, env=env, check=False, capture_output=True)


# -- all of it at once

HOSTS = [
    "",
    "https://github.com/",
    "http://@HOST@/",
    "https://codeberg.org/",
    "//evil/",
    "git@evil:",
    "ssh://-oX=1@h/",
    "https://[::1/",
    "http://127.0.0.1:1/",
    "https://ｇithub.com/",
    "HTTPS://GITHUB.COM/",
    "file:///etc/passwd/",
]
NAMES = [
    "",
    "acme/widgets",
    "..",
    "../..",
    "acme/..",
    "./.",
    "acme/%2e%2e",
    "acme%2fwidgets",
    "аcme/widgets",
    "a" * 300 + "/b",
    "acme//widgets",
    "acme/widgets/../../user",
    "acme\\widgets",
    "acme/wid\u200bgets",
    "acme/wid@HALF@gets",
    "-x/--y",
    "acme/widgets?x=1",
    "user",
]
MARKS = [
    "#",
    "/issues/",
    "/pull/",
    "/-/issues/",
    "/issues/../",
    " #",
    "GH-",
    "%23",
    "/merge_requests/",
]
NUMBERS = [
    "1",
    "0",
    "007",
    "-1",
    "9" * 11,
    str(2**63),
    LONG,
    "1" + "0" * 300,
    "١",
    "１",
    "1e9",
    "1/../../user",
    "1%2f..",
    "1\n2",
    "²",
    "1.0",
]
LEADS = [
    "Depends on ",
    "blocked by ",
    "Depends on:\n- ",
    "- [ ] **Blocked by:** ",
    "Files: ",
    "Files:\n- ",
    "/answer ",
    "",
    "Closes ",
]
LABELS = [
    "orch:working",
    "a/b",
    "..",
    "%2e%2e",
    "a,b",
    "l" * 50,
    "ünï",
    "a\nb",
    "?x=1",
    "#1",
    "orch:STUCK",
]
COMMANDS = [
    "plan",
    "plan --json",
    "plan @",
    "run --once",
    "spawn @ --yes",
    "status",
    "status --json",
    "status --fetch",
    "show @",
    "show @ --json",
    "conflicts",
    "prune",
    "prune --dry-run",
    "prune --cancelled",
    "doctor",
    "run --once",
]


class Strangers:
    """Draws what they write."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self.scene, self.rng, self.host = (
            scene,
            random.Random(seed),
            scene.sandbox.base_url.removeprefix("http://"),
        )

    def reference(self) -> str:
        pick = self.rng.choice
        return f"{pick(LEADS)}{pick(HOSTS)}{pick(NAMES)}{pick(MARKS)}{pick(NUMBERS)}".replace(
            "@HOST@", self.host
        )

    def text(self) -> str:
        draw = (
            self.reference,
            lambda: self.rng.choice([*ROWS]),
            lambda: self.rng.choice(ODD_TEXTS)[:2000],
        )
        lines = [self.rng.choice(draw)() for _ in range(self.rng.randint(1, 6))]
        return self.rng.choice(["\n", "\r\n", " ", "\u2028", ", "]).join(lines)

    def issue(self) -> int:
        labels = [*(["ready"] if self.rng.random() < 0.6 else []), *self.rng.sample(LABELS, 2)]
        number = self.scene.sandbox.add_issue(
            self.text()[:256], self.text(), labels, author="eve", ready_by="maria"
        )
        if self.rng.random() < 0.3:
            repo = self.rng.choice(["acme/other", "..", "a/..", "evil/x", "acme/widgets/x"])
            self.scene.sandbox.add_blocked_by(
                number, (repo, self.rng.randint(1, 9), self.rng.random() < 0.7)
            )
        return number

    def comments(self, number: int) -> None:
        for _ in range(3):
            self.scene.sandbox.comment(number, self.text(), by=self.rng.choice(["maria", "eve"]))

    def branches(self) -> None:
        sha = self.scene.git("rev-parse", "HEAD").strip()
        for folder in (self.scene.clone, self.scene.sandbox.repository.path):
            for name in self.rng.sample(BRANCHES, 12):
                make_branch(folder, name, sha, self.scene.env)
        self.scene.sandbox.sync()

    def pulls(self, body: Any) -> Any:
        """Some more in the list of pulls, from forks whose branches and names are theirs to choose."""
        heads = [
            {
                "ref": branch.decode("utf-8", "replace"),
                "repo": {"full_name": self.rng.choice(NAMES)},
            }
            for branch in BRANCHES
        ]
        return [
            *body,
            *(
                {**odd_pull(body[0], **head), "number": 901 + at, "title": self.text()}
                for at, head in enumerate(heads)
                if body
            ),
        ]


def seeds() -> range:
    return range(max(1, int(os.environ.get("FUZZ_EXAMPLES") or 100) // 100))


@pytest.mark.parametrize("seed", seeds())
def test_hostile_words_everywhere_make_no_command_fail_of_itself(scene: Scene, seed: int) -> None:
    """Titles, texts, labels, comments, reviews, branches here and there, pulls of forks: whatever is run among them."""
    strangers = Strangers(scene, seed)
    stuck = scene.stuck()
    scene.agent(COMPLETE)
    done, gone = scene.issue("Done"), scene.issue("Gone")
    fine(scene, "spawn", str(done), str(gone), codes=(0,))
    scene.wait_status(done, "complete")
    scene.wait_status(gone, "complete")
    fine(scene, "cancel", str(gone), codes=(0,))
    fine(scene, "run", "--once", codes=(0,))
    numbers = [strangers.issue() for _ in range(25)]
    strangers.branches()
    [pull] = [
        number for number, each in scene.sandbox.pulls.items() if each.head == f"issue-{done}"
    ]
    for number in (stuck, pull, *numbers[:5]):
        strangers.comments(number)
    scene.sandbox.review(
        pull, "maria", "COMMENTED", strangers.text(), [{"path": "x", "body": strangers.text()}]
    )
    scene.sandbox.edit_issue(done, title=strangers.text()[:256], body=strangers.text(), by="eve")
    scene.sandbox.twist(f"{HERE}/pulls", strangers.pulls)
    scene.sandbox.twist(
        f"{HERE}/issues.*", lambda body: json.loads(json.dumps(body).replace("@HALF@", "\\ud800"))
    )
    scene.agent(ASK)
    for command in COMMANDS:
        number = strangers.rng.choice([stuck, done, gone, *numbers])
        fine(scene, *command.replace("@", str(number)).split())
    scene.wait_quiet()
    assert not list(scene.folder.rglob("owned"))
