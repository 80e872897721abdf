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
PLACES = {"CommandFailed": 4, "RateLimited": None, "Check": 2}
# Texts for workers and models, and what is printed for other reasons than to lead on.
NOT_FOR_PEOPLE = {"report.py", "cli.py", "declare.py"}


def _error_names() -> set[str]:
    names = {name for name, each in vars(errors).items() if isinstance(each, type)}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and any(_name(base) in names for base in node.bases):
                names.add(node.name)
    return {name for name in names if name != "Usage"} | {"Usage"}


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


def _assigned(tree: ast.Module) -> dict[str, list[ast.expr]]:
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                pairs = (
                    zip(target.elts, node.value.elts, strict=False)
                    if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
                    else [(target, node.value)]
                )
                for name, value in pairs:
                    found.setdefault(_name(name), []).append(value)
    return found


def _in_module(path: Path, errors_: set[str]) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    known, whole = _assigned(tree), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            whole |= {id(each) for each in node.values}
        if isinstance(node, ast.Expr):  # a docstring
            whole.add(id(node.value))
        if isinstance(node, ast.Call) and _name(node.func) in errors_ | {"Check"}:
            place = PLACES.get(_name(node.func), 1)
            named = [each.value for each in node.keywords if each.arg in ("hint", "mend")]
            given = node.args[place : place + 1] if place is not None else []
            for hint in [*given, *named]:
                yield from templates(hint, known)
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
            found |= {
                f"{name}: {text.strip()}" for text in _in_module(path, errors_) if text.strip()
            }
    return sorted(found)


if __name__ == "__main__":
    print(*collected(), sep="\n")
