"""What was decided to go, by `removal`: it is out of sight and of git's knowledge, and is only deleted here."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from glob import escape, glob
from pathlib import Path

from ..errors import Expected
from ..process.run import run
from .run import environment, named_by
from .worktree import locked


def sweep(common_dir: str, wait: bool = True) -> None:
    """Delete it, if there is something; without `wait` by a process that goes on."""
    if not any(make_attic(common_dir).iterdir()):
        return
    if wait:
        _delete(common_dir)
        return
    # Nobody waits for it, which Popen would complain about; -P: a module of the current folder is not ours.
    nothing = [(os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_RDWR, 0) for number in range(3)]
    argv = (sys.executable, "-P", "-m", __name__, common_dir)
    os.posix_spawn(sys.executable, argv, environment(), file_actions=nothing, setsid=True)


def find_abandoned(common_dir: str) -> list[str]:
    """The names of what nobody deletes at the moment: who did was ended with its machine, or with the job of a runner."""
    try:
        with locked(_lock(common_dir), 0):
            return sorted(os.listdir(make_attic(common_dir)))
    except Expected:
        return []


def _lock(common_dir: str) -> str:
    return os.path.join(common_dir, "issue-orch", "locks", "removed")


def _delete(common_dir: str) -> None:
    """The admin folders, set aside, tell where it lies, and go last."""
    with locked(_lock(common_dir), 3600):
        admins = [str(each) for each in make_attic(common_dir).glob("*")]
        lay = f"{common_dir}/worktrees/any"
        folders = [each for admin in admins for each in leftovers(named_by(admin, lay))]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(_delete_folders, (folders[0::2], folders[1::2])))
        _delete_folders(admins)


def _delete_folders(folders: Sequence[str]) -> None:
    """Measured: rm is three times as fast as shutil.rmtree."""
    if folders and run("rm", "-rf", "--", *folders, timeout=3600, check=False).code:
        for folder in folders:
            for where, _, _ in os.walk(folder):
                os.chmod(where, 0o700)  # what lies in a read-only folder cannot be deleted
        run("rm", "-rf", "--", *folders, timeout=3600)


def leftovers(path: str) -> list[str]:
    """Folders that were at `path` once, decided to be deleted."""
    return glob(f"{escape(beside(path, 'deleting-'))}*")


def beside(path: str, what: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.issue-orch-{what}")


def make_attic(common_dir: str) -> Path:
    """Whatever lies in it is deleted: a link would lead that elsewhere."""
    attic = Path(common_dir, "issue-orch", "removed")
    for folder in (attic.parent, attic):
        if folder.is_symlink():
            raise Expected(f"{folder} is a link, which issue-orch never made", f"rm {folder}")
    attic.mkdir(mode=0o700, parents=True, exist_ok=True)
    return attic


if __name__ == "__main__":
    _delete(sys.argv[1])
