"""Prompts and posted texts from strict, sandboxed templates; a team replaces single ones in .github/issue-orch."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

from ..core.model import Issue
from ..errors import Expected
from ..markdown import shown
from ..raw_html import left_out
from ..text import fence, neutralise, one_line, redact, sanitise
from .approval import TEAM_FOLDER, StrPath, load_template

if TYPE_CHECKING:
    from jinja2.sandbox import SandboxedEnvironment

SUFFIX = ".md.j2"
NOTES_LIMIT = 40_000

# Every template with the variables that it gets, by example. `doctor` renders them; docs/templates.md lists them.
MESSAGES = [
    {
        "text": "Use sliding expiration.",
        "author": "@octocat",
        "at": "2030-01-02T03:04:05Z",
        "question": None,
    }
]
COMMON: dict[str, Any] = {"number": 7, "report": "/usr/bin/issue-orch"}
SAMPLES: dict[str, dict[str, Any]] = {
    "session": {
        **COMMON,
        "repo": "owner/repo",
        "url": "https://github.com/owner/repo/issues/7",
        "branch": "issue-7",
        "base": "main",
        "worktree": "/src/repo-issue-7",
        "earlier": 2,
        "pull": "https://github.com/owner/repo/pull/9",
        "task": "<<<DATA…",
        "worker_opens_pull": False,
        "repository_notes": "Use tabs.",
    },
    "guidance": {**COMMON, "messages": MESSAGES},
    "guidance_fresh": {**COMMON, "messages": MESSAGES, "prompt": "You are a worker…"},
    "nudge": {**COMMON, "words": "the agent ended its turn; it was not permitted to use: Write"},
    "reporting": COMMON,
    "pull_body": {**COMMON, "words": "Adds a button.", "marker": "<!-- issue-orch:7 -->"},
    "followup_checks": {
        **COMMON,
        "url": "https://github.com/owner/repo/pull/9",
        "checks": [
            {
                "name": "test",
                "conclusion": "failure",
                "url": "https://ci.example/1",
                "text": "1 failed",
            }
        ],
    },
    "followup_review": {
        **COMMON,
        "url": "https://github.com/owner/repo/pull/9",
        "reviews": [
            {
                "author": "octocat",
                "state": "changes_requested",
                "text": "Why?",
                "path": "a.py",
                "line": 3,
                "url": "",
            }
        ],
    },
    "followup_conflict": {
        **COMMON,
        "base": "main",
        "theirs": "refs/remotes/origin/main",
        "files": ["a.py"],
    },
    "issue_edited": {**COMMON, "author": "octocat", "task": "<<<DATA…"},
}


def render(name: str, top: StrPath, **values: Any) -> str:
    """One template of SAMPLES with `values`; a file of that name in the team's folder below `top` replaces ours. For
    what is sent, `top` is `config.approved_folder`.

    Raises Expected for a template that cannot be rendered, with its name, the line and the nearest variable.
    """
    import jinja2

    values.setdefault("marker", marker(values.get("number", 0)))
    try:
        return templates(top).get_template(name + SUFFIX).render(values).strip() + "\n"
    except jinja2.TemplateSyntaxError as error:
        raise _broken(
            error.name or name, error.lineno, error.message or "syntax error", values
        ) from error
    except (
        jinja2.TemplateError,
        ArithmeticError,
        LookupError,
        TypeError,
        ValueError,
        RecursionError,
    ) as error:
        file, line = _where(error, name + SUFFIX)
        raise _broken(file, line, str(error), values) from error


def templates(top: StrPath) -> SandboxedEnvironment:
    """The team's folder before ours. A team's template reaches ours as `default/NAME.md.j2`, to extend its blocks."""
    from jinja2 import ChoiceLoader, FileSystemLoader, FunctionLoader, PrefixLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    team, ours = (
        FunctionLoader(partial(_load_team, top)),
        FileSystemLoader(builtin_folder()),
    )
    found = ImmutableSandboxedEnvironment(
        loader=ChoiceLoader([team, ours, PrefixLoader({"default": ours})]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    found.filters.update(fence=fence, sanitise=sanitise, one_line=one_line, neutralise=neutralise)
    return found


def _load_team(top: StrPath, name: str) -> tuple[str, str, None] | None:
    """Source and path of a team's template, as the loader wants it."""
    text = load_template(top, name)
    return None if text is None else (text, f"{TEAM_FOLDER}/{name}", None)


def builtin_folder() -> Path:
    """Inside the package when installed from a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_prompts"
    return installed if installed.is_dir() else package.parent / "prompts"


def _where(error: Exception, name: str) -> tuple[str, int]:
    """The template and line that an error came from: jinja puts them into the traceback."""
    frames = [each for each in extract_tb(error.__traceback__) if each.filename.endswith(SUFFIX)]
    return (Path(frames[-1].filename).name, frames[-1].lineno or 0) if frames else (name, 0)


def _broken(file: str, line: int, problem: str, values: dict[str, Any]) -> Expected:
    from difflib import get_close_matches

    at = f"template {file}" + (f", line {line}" if line else "")
    missing = re.search(r"'(\w+)' is undefined", problem)
    near = get_close_matches(missing[1], values, 1, 0.5) if missing else []
    meant = f"; did you mean {near[0]}?" if near else ""
    known = f" (variables: {', '.join(sorted(values))})" if missing else ""
    words = f"{at}: {one_line(problem, 300)}{meant}{known}"
    return Expected(words, f"mend {TEAM_FOLDER}/{file}, or delete it to use ours")


def check_templates(top: StrPath) -> list[Expected]:
    """What is wrong with the team's templates: each rendered with its example, and files that replace nothing."""
    problems = []
    for name, values in SAMPLES.items():
        try:
            render(name, top, **values)
        except Expected as error:
            problems.append(error)
    folder = Path(top, TEAM_FOLDER)
    for file in sorted(folder.glob("*.j2")):
        if file.name.removesuffix(SUFFIX) not in SAMPLES:
            problems.append(
                _broken(file.name, 0, f"replaces nothing; names are {', '.join(SAMPLES)}", {})
            )
    return problems


def task(issue: Issue) -> str:
    """Title and body, fenced as data: a template cannot forget to do it. A title is no Markdown to GitHub; a comment in
    one can only be meant to be overlooked."""
    body = shown(issue.body).strip() or "(no description)"
    title = re.sub(r"<!--.*?(?:-->|\Z)", left_out("comment"), one_line(issue.title, 300))
    return fence(f"Title: {title}\n\n{body}", issue.author, markdown=False)


def pull_body(top: StrPath, number: int, words: str, secrets: tuple[str, ...] = ()) -> str:
    """The text of a pull around the worker's words. What links it to its issue and to us is there in any template."""
    body = render(
        "pull_body", top, number=number, report="", words=neutralise(redact(words, secrets), 50_000)
    )
    if marker(number) not in body:
        body += f"\n{marker(number)}\n"
    return body if re.search(rf"(?i)\bcloses #{number}\b", body) else f"Closes #{number}\n\n{body}"


def marker(number: int) -> str:
    """Hidden in what we post, so that we know it again. neutralise() breaks one that a worker writes."""
    return f"<!-- issue-orch:{number} -->"


def repository_notes(top: StrPath, agent: str, skip: tuple[str, ...] = ()) -> str | None:
    """AGENTS.md and CLAUDE.md (GEMINI.md too for gemini), but for those that the agent reads by itself (`skip`)."""
    names = ["AGENTS.md", "CLAUDE.md"] + ["GEMINI.md"] * (agent == "gemini")
    found: list[str] = []
    for file in (Path(top, name) for name in names if name not in skip):
        # a link out of the repository would put any file of this machine into the prompt
        if file.is_file() and file.resolve().is_relative_to(Path(top).resolve()):
            text = sanitise(file.read_text(encoding="utf-8", errors="replace"))
            text = text.strip()[:NOTES_LIMIT]
            if text and not any(text in other for other in found):
                found.append(text)
    return "\n\n".join(found) or None
