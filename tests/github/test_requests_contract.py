"""Every request that the product sends is one that GitHub describes, so is every answer of the sandbox, and all can be read.

Journeys over all routes are recorded. Each exchange is then repeated by the client that is generated from GitHub's own
description: the call must lead to the very request, and the answer must be of the type that the call returns.
"""

from __future__ import annotations

import datetime
import inspect
import json
import random
import re
import types
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin
from urllib.parse import parse_qsl, unquote

import httpx
import pytest
from githubkit import GitHub
from githubkit_schemas.v2026_03_10 import models, rest
from pydantic import BaseModel, TypeAdapter, ValidationError

from issue_orch.github import parse as parsed
from issue_orch.github.fence import refusal
from issue_orch.sandbox.records import Incoming, Reply
from tests.kit.github_fake import FakeGitHub
from tests.kit.scene import ASK, Scene, make_scene
from tests.sandbox.test_sandbox_contract import without_older

AREAS = ("issues", "pulls", "repos", "checks", "users")
KNOWN = {
    "Literal": Literal,
    "datetime": datetime,
    "_dt": datetime,
    "UniqueList": list,
    "Union": Union,
}


class Exchange(NamedTuple):
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    body: bytes
    status: int
    answer: bytes


class Recorder(FakeGitHub):
    """Remembers what went over the wire, answers included."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.exchanges: set[Exchange] = set()

    def answer(self, incoming: Incoming) -> Reply:
        path, _, query = incoming.target.partition("?")
        reply = super().answer(incoming)
        if path.startswith(("/repos/", "/user")):
            found = Exchange(
                incoming.method,
                path,
                tuple(parse_qsl(query)),
                incoming.raw,
                reply.status,
                reply.payload,
            )
            self.exchanges.add(found)
        return reply


class Described(NamedTuple):
    """One operation of GitHub's description, and the generated method that calls it."""

    verb: str
    template: str
    call: str

    @property
    def pattern(self) -> str:
        return re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(self.template))


def described() -> list[Described]:
    """Templates with fewer parameters first: /issues/comments before /issues/{issue_number}."""
    found = []
    client = GitHub()  # the namespace holds it weakly
    for area in AREAS:
        for name, method in inspect.getmembers(
            getattr(rest.RestNamespace(client), area), inspect.ismethod
        ):
            said = re.search(
                r"^(GET|POST|PUT|PATCH|DELETE) (/\S+)$", inspect.getdoc(method) or "", re.MULTILINE
            )
            if said and not name.startswith("async_"):
                found.append(Described(said[1], said[2], f"{area}.{name}"))
    return sorted(found, key=lambda each: each.template.count("{"))


DESCRIBED = described()


def operation(exchange: Exchange) -> tuple[Described, dict[str, str]]:
    for each in DESCRIBED:
        if each.verb == exchange.method and (match := re.fullmatch(each.pattern, exchange.path)):
            return each, {name: unquote(value) for name, value in match.groupdict().items()}
    raise AssertionError(f"GitHub describes no {exchange.method} {exchange.path}")


# -- the journeys


@pytest.fixture(scope="module")
def exchanges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[set[Exchange]]:
    folder = tmp_path_factory.mktemp("journeys")
    with make_scene(folder, fake=Recorder) as scene:
        scene.config = scene.config.replace("[github]\n", "[github]\nwrite_back = true\n")
        scene.write_config()
        set_up(scene)
        first, pull = ask_and_answer(scene)
        follow_up(scene, pull)
        stack_and_retarget(scene, first, pull)
        scene.orch("prune", check=True)
        scene.wait_quiet()
        scene.check_invariants()
    yield scene.sandbox.exchanges


def set_up(scene: Scene) -> None:
    """`init`, `doctor` by several kinds of protection, and a `plan` with everything that has to be asked for."""
    scene.orch("init", "--yes", "--labels", "--repo", "acme/widgets", check=True)
    (scene.clone / ".issue-orch.toml").unlink()
    scene.orch("init", "--approve", check=True)
    scene.orch("doctor")
    scene.sandbox.protect_branch("main", reviews=1)
    scene.sandbox.protect_branch("mai*", reviews=1, ruleset=True)
    scene.orch("doctor")
    child, blocker = scene.sandbox.add_issue("Child"), scene.sandbox.add_issue("Blocker")
    parent = scene.issue(body="Depends on other/place#7 and #1", assignees=["maria"])
    scene.sandbox.add_sub_issue(parent, child)
    scene.sandbox.add_blocked_by(parent, blocker)
    scene.sandbox.add_blocked_by(parent, ("other/place", 7, True))
    scene.orch("plan", check=True)
    scene.orch("plan", str(parent), check=True)
    scene.sandbox.remove_label(parent, "ready")


def ask_and_answer(scene: Scene) -> tuple[int, int]:
    """`run` starts an issue, whose question is answered by a comment; its pull."""
    scene.agent(ASK)
    number = scene.issue()
    scene.orch("run", "--once", check=True)
    scene.wait_status(number, "stuck")
    scene.orch("run", "--once", check=True)
    scene.sandbox.comment(number, "/answer 1", by="maria")
    scene.orch("run", "--once", check=True)
    status = scene.wait_status(number, "complete")
    return number, int(status["pullRequestUrl"].rpartition("/")[2])


def follow_up(scene: Scene, pull: int) -> None:
    head = scene.sandbox.pulls[pull].head_sha
    scene.sandbox.set_check(
        head, "test", "failure", [{"path": "src/menu.py", "line": 3, "message": "is empty"}]
    )
    scene.sandbox.set_status(head, "ci/old", "success")
    scene.sandbox.review(
        pull,
        "maria",
        "CHANGES_REQUESTED",
        "Not yet",
        [{"path": "README.md", "line": 1, "body": "Why?"}],
    )
    scene.orch("run", "--once", check=True)
    scene.wait(lambda: scene.sandbox.pulls[pull].head_sha != head)
    scene.wait_quiet()
    scene.orch("plan", check=True)  # with the files of an open pull


def stack_and_retarget(scene: Scene, first: int, pull: int) -> None:
    scene.agent('commit "on-top-$issue.txt"\nreport complete --title "On top"\n')
    second = scene.issue(body=f"Depends on #{first}")
    scene.orch("spawn", str(second), "--stack", check=True)
    scene.wait_status(second, "complete")
    scene.sandbox.protections.clear()
    scene.sandbox.person.merge(pull)
    scene.orch("run", "--once", check=True)
    scene.orch("run", "--once", check=True)
    scene.orch("status", "--fetch", check=True)


# -- what was recorded


def test_every_route_that_may_be_used_is_used(exchanges: set[Exchange]) -> None:
    """What the fence lets through and GitHub describes is what the journeys went through: no more, no less."""
    samples = {
        "owner": "acme",
        "repo": "widgets",
        "ref": "a" * 40,
        "username": "maria",
        "branch": "main",
        "name": "ready",
    }
    allowed = set()
    for each in DESCRIBED:
        path = re.sub(r"\{(\w+)\}", lambda match: samples.get(match[1], "1"), each.template)
        if refusal(each.verb, path, "", None, "acme/widgets") is None:
            allowed.add((each.verb, each.template))
    used = {operation(exchange)[0][:2] for exchange in exchanges}
    assert used == allowed


def test_every_request_and_every_answer_is_as_github_describes_it(exchanges: set[Exchange]) -> None:
    problems = [problem for exchange in sorted(exchanges) for problem in repeated(exchange)]
    assert not problems, "\n".join(problems)
    assert {exchange.status for exchange in exchanges} >= {200, 201, 304}


def repeated(exchange: Exchange) -> Iterator[str]:
    """What is wrong with one exchange, seen by the generated client."""
    what = f"{exchange.method} {exchange.path} {exchange.query} {exchange.body!r}: "
    each, parts = operation(exchange)

    def server(request: httpx.Request) -> httpx.Response:
        same = (request.method, unquote(request.url.path)) == (
            exchange.method,
            unquote(exchange.path),
        )
        assert same and dict(request.url.params) == dict(exchange.query), f"{what}{request.url}"
        assert json.loads(request.content or b"null") == json.loads(exchange.body or b"null"), what
        return httpx.Response(
            exchange.status if exchange.status < 300 else 200, content=exchange.answer or b"null"
        )

    with GitHub(
        "token", transport=httpx.MockTransport(server), http_cache=False, auto_retry=False
    ) as client:
        call = attrgetter(each.call)(client.rest)
        takes = inspect.signature(call).parameters
        given: dict[str, Any] = {}
        for name, value in [*parts.items(), *exchange.query]:
            key = name if name in takes else f"{name}_"  # `filter` is Python's
            if key not in takes:
                yield f"{what}no parameter {key}"
                return
            try:
                TypeAdapter(type_of(takes[key])).validate_python(value)
            except ValidationError as error:
                yield f"{what}{error}"
                return
            given[key] = value
        if exchange.body:
            given["data"] = json.loads(exchange.body)
            try:
                TypeAdapter(type_of(takes["data"])).validate_json(
                    exchange.body, strict=True, extra="forbid"
                )
            except ValidationError as error:
                yield f"{what}{error}"
                return
        if exchange.status >= 300:
            assert exchange.status == 304 or json.loads(exchange.answer)["message"], what
            return
        response = call(**given)
    if exchange.answer and (body := without_older(json.loads(exchange.answer))) not in ([], {}):
        try:
            TypeAdapter(response._data_model).validate_json(
                json.dumps(body), strict=True, extra="forbid"
            )
        except ValidationError as error:
            yield f"{what}{error}"


def type_of(parameter: inspect.Parameter) -> Any:
    """The type of a parameter, of which the description is left as text: Missing[X] is X."""
    text = str(parameter.annotation)
    text = text.removeprefix("Missing[").removesuffix("]") if text.startswith("Missing[") else text
    text = re.sub(r"Type\b", "", text)
    described = {
        name: getattr(models, name)
        for name in re.findall(r"[A-Z]\w+", text)
        if hasattr(models, name)
    }
    return eval(text, {**described, **KNOWN})


# -- answers as GitHub may send them, drawn from its description

READERS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "issue": (parsed.issue, models.Issue),
    "blocker": (parsed.blocker, models.Issue),
    "pull": (parsed.pull, models.PullRequest),
    "pull of a list": (parsed.pull, models.PullRequestSimple),
    "comment": (parsed.comment, models.IssueComment),
    "review comment": (parsed.comment, models.PullRequestReviewComment),
    "review": (parsed.review, models.PullRequestReview),
    "check run": (parsed.check_run, models.CheckRun),
    "label set": (parsed.label_event, models.LabeledIssueEvent),
    "label taken": (parsed.label_event, models.UnlabeledIssueEvent),
    "annotation": (parsed.annotation, models.CheckAnnotation),
    "repository": (parsed.repo_facts, models.FullRepository),
    "user": (parsed.login, models.PrivateUser),
}


ADDRESS = "https://api.github.com/repos/acme/widgets/issues/7"


@pytest.mark.parametrize("reader", READERS)
def test_whatever_github_may_send_can_be_read(reader: str) -> None:
    """With every optional part there, or none, or some; and null wherever it may be."""
    read, model = READERS[reader]
    for seed in range(40):
        drawn = random.Random(f"{reader} {seed}")
        body = sample(model, drawn, optional=(seed % 4) / 3, depth=0)
        assert parsed.parse(read, json.loads(json.dumps(body))) is not None


def sample(kind: Any, drawn: random.Random, optional: float, depth: int) -> Any:
    """A JSON value of a type of the description. `optional` is how likely it is that an optional part is there."""
    origin, inside = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        some = [each for each in inside if "UNSET" not in str(each) and each is not type(None)]
        if not some or (type(None) in inside and (depth > 3 or drawn.random() > optional)):
            return None
        return sample(drawn.choice(some), drawn, optional, depth)
    if origin is Literal:
        return drawn.choice([each for each in inside if isinstance(each, str | int)])
    if origin is list:
        return (
            []
            if depth > 3
            else [sample(inside[0], drawn, optional, depth + 1) for _ in range(drawn.randint(0, 2))]
        )
    if inspect.isclass(kind) and issubclass(kind, BaseModel):
        known = {
            name: ADDRESS if name.endswith("url") else "a" * 40
            for name in kind.model_fields
            if name.endswith(("url", "sha"))
        }
        return {
            field.alias or name: known.get(name)
            or sample(field.annotation, drawn, optional, depth + 1)
            for name, field in kind.model_fields.items()
            if field.is_required() or drawn.random() < optional
        }
    plain = {
        str: "text",
        int: 7,
        float: 0.5,
        bool: True,
        datetime.datetime: "2030-01-02T03:04:05Z",
        datetime.date: "2030-01-02",
    }
    return plain.get(kind, {})
