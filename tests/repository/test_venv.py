"""scripts/venv, with a Python that does what venv and pip do to the folder, and installs nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PYTHON = """#!/bin/sh
for folder; do :; done
case "$*" in
*"-m venv"*)
    case "$*" in *--clear*) rm -rf "$folder" ;; esac
    mkdir -p "$folder/bin"
    [ -L "$folder/bin/python" ] || ln -s "$0" "$folder/bin/python"
    [ -z "$NO_ENSUREPIP" ] || exit 1
    touch "$folder/pip" ;;
*"-m pip"*) [ -e "${0%/bin/python}/pip" ] ;;
esac
"""


def make_python(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(PYTHON)
    file.chmod(0o755)
    return file


def copy_of_project(folder: Path) -> Path:
    for name in ("scripts/venv", "scripts/constraints.txt", "pyproject.toml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TOP / name, folder / name)
    return folder


def venv(project: Path, python: Path, **env: str) -> subprocess.CompletedProcess[str]:
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [project / "scripts" / "venv", "demo"],
        env={**os.environ, "PATH": path, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_is_made_once(tmp_path: Path) -> None:
    project, python = (
        copy_of_project(tmp_path / "project"),
        make_python(tmp_path / "bin" / "python3.11"),
    )
    first, second = venv(project, python), venv(project, python)
    assert first.stdout == second.stdout == f"{project}/.venvs/demo\n"
    assert ("Installing" in first.stderr, second.stderr) == (True, "")


def test_one_that_was_left_half_made_is_made_anew(tmp_path: Path) -> None:
    project, python = (
        copy_of_project(tmp_path / "project"),
        make_python(tmp_path / "bin" / "python3.11"),
    )
    assert venv(project, python, NO_ENSUREPIP="1").returncode == 1
    assert venv(project, python).returncode == 0


def test_one_whose_python_is_gone_is_made_anew(tmp_path: Path) -> None:
    project, old = (
        copy_of_project(tmp_path / "project"),
        make_python(tmp_path / "old" / "python3.11"),
    )
    venv(project, old)
    old.unlink()
    done = venv(project, make_python(tmp_path / "new" / "python3.11"))
    assert done.returncode == 0, done.stderr
    assert (project / ".venvs" / "demo" / "bin" / "python").exists()
