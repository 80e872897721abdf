"""Every hint that the program can print, found in its source: what follows an error, what a check says, and any command of
ours in a text. A hint is known by its module and its template, in which `{}` stands for what is filled in.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import typer.main

import issue_orch
from issue_orch import errors
from issue_orch.cli import app

PACKAGE = Path(issue_orch.__file__).parent
COMMANDS = {*typer.main.get_command(app).commands}  # type: ignore[attr-defined]
OURS = re.compile(rf"\bissue-orch (?:{'|'.join(sorted(COMMANDS))})\b")
# Where the hint stands among the arguments. What they raise is a subclass of Expected, in whatever module.
PLACES = {"CommandFailed": 4, "RateLimited": None, "Rejected": None, "Check": 2}
# Texts for workers and models, and what is printed for other reasons than to lead on.
NOT_FOR_PEOPLE = {"report.py", "cli.py", "declare.py"}


def _error_names() -> set[str]:
    """The classes of the tree of errors, those that other modules add included."""
    names = {name for name, each in vars(errors).items() if isinstance(each, type)}
    trees = [ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))]
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    for _ in range(3):  # a class may stand before the one that it is made of
        names |= {each.name for each in classes if {_name(base) for base in each.bases} & names}
    return names


def _name(node: ast.AST) -> str:
    return getattr(node, "id", getattr(node, "attr", ""))


def templates(node: ast.AST | None, known: dict[str, list[ast.expr]]) -> Iterator[str]:
    """The texts that an expression can be; names are looked up among the assignments of the module."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr():
            yield "".join(
                str(v.value) if isinstance(v, ast.Constant) else "{}" for v in node.values
            )
        case ast.IfExp():
            yield from templates(node.body, known)
            yield from templates(node.orelse, known)
        case ast.BoolOp():
            for each in node.values:
                yield from templates(each, known)
        case ast.Name(id=name):
            for each in known.get(name, []):
                yield from templates(each, {})
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="format")):
            for text in templates(ast.Name(id=name), known):
                yield re.sub(r"\{\w*\}", "{}", text)


def _assigned(tree: ast.AST) -> dict[str, list[ast.expr]]:
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        for target in node.targets if isinstance(node, ast.Assign) else ():
            assert isinstance(node, ast.Assign)
            value = node.value
            pairs = [(target, value)]
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                pairs = list(zip(target.elts, value.elts, strict=False))
            for name, each in pairs:
                found.setdefault(_name(name), []).append(each)
    return found


def _hints_given(scope: ast.AST, errors_: set[str]) -> Iterator[ast.AST]:
    for node in ast.walk(scope):
        if isinstance(node, ast.Call) and _name(node.func) in errors_ | {"Check"}:
            place = PLACES.get(_name(node.func), 1)
            yield from node.args[place : place + 1] if place is not None else ()
            yield from (each.value for each in node.keywords if each.arg in ("hint", "mend"))


def _in_module(path: Path, errors_: set[str]) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    whole: set[int] = set()
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    outside = [node for node in tree.body if isinstance(node, ast.Assign)]
    known = _assigned(ast.Module(list(outside), []))
    for scope in functions:
        for hint in _hints_given(scope, errors_):
            yield from templates(hint, {**known, **_assigned(scope)})
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            whole |= {id(each) for each in node.values}
        if isinstance(node, ast.Expr):  # a docstring
            whole.add(id(node.value))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in whole:
            for text in templates(node, {}):
                if OURS.search(text):
                    yield re.sub(r"\{\w+\}", "{}", text)


def collected() -> list[str]:
    """`module: template` of each, sorted."""
    found, errors_ = set(), _error_names()
    for path in sorted(PACKAGE.rglob("*.py")):
        name = str(path.relative_to(PACKAGE))
        if not name.startswith("sandbox/") and name not in NOT_FOR_PEOPLE:
            found |= {f"{name}: {_cut(text)}" for text in _in_module(path, errors_) if text.strip()}
    return sorted(found)


def _cut(text: str) -> str:
    """Of a long one the beginning does."""
    text = text.strip()
    return text if len(text) <= 95 else text[:95].rpartition(" ")[0]


VERBS = "|".join(sorted(COMMANDS))
_WORD = r"(?: (?:--?[a-z][\w-]*|\"[^\"]*\"|'[^']*'|[0-9]+|[A-Z]{3,}|owner/name|bash))*"
_COMMAND = re.compile(
    rf"(?:^|(?<=[\s`:($]))((?:EDITOR=\S+ )?issue-orch (?:tell [0-9]+ \S+|--help|(?:{VERBS})\b{_WORD})(?: -- .*)?"
    r"|(?:git(?! [0-9{])|mv|rm|cd(?= [/\"])|ls|ps|unset) [^,;(`]*?(?=,|;| \(|`|   |, or| or to|$))"
)
# Commands that only show something: what they show leads on, the trouble stays.
LOOKS = re.compile(
    r"issue-orch (status|show|logs|plan|doctor(?! --fix)|costs|conflicts|path|\w+ --help|completion)\b"
    r"|git (worktree list|config --(file|show-origin)|ls-remote|remote -v|show)|ls |ps "
)


def pattern(template: str) -> re.Pattern[str]:
    """What is printed for a template."""
    return re.compile(
        ".*?".join(map(re.escape, template.split("{}"))) + (".*" * template.endswith("{}"))
    )


def commands_in(hint: str) -> list[list[str]]:
    """The commands that a hint names, for each of its alternatives."""
    return [_COMMAND.findall(each) for each in re.split(r",? or:? |, else ", hint)]


if __name__ == "__main__":
    print(*collected(), sep="\n")
