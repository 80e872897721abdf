"""Whatever state a worktree is in and whatever is done to it: each content and commit is found again, in place or by a ref.

FUZZ_EXAMPLES=3000 draws more of them; `--hypothesis-seed` draws others.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha1
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from issue_orch.core.model import Branch, CommitSha, Number
from issue_orch.errors import Expected
from issue_orch.git.checkout import check_out
from issue_orch.git.remote import Remote
from issue_orch.git.removal import Removed, Wanted, delete_branches, foresee, remove_worktrees
from issue_orch.git.worktree import register
from tests.git.test_worktree import NOW, ONE
from tests.kit.git import INTENT, Clone, clone, commit, home, script, sh
from tests.kit.scene import Scene, make_scene
from tests.promises.test_hidden_work import with_submodule

__all__ = ["clone", "home"]
EXAMPLES = os.environ.get("FUZZ_EXAMPLES")
SKIPPED = {".git", "ignored.log", ".issue-orch"}
HELD = ("MERGE_HEAD", "MERGE_AUTOSTASH", "CHERRY_PICK_HEAD", "REVERT_HEAD", "ORIG_HEAD")
HELD_BELOW = ("rebase-merge/autostash", "rebase-merge/orig-head", "rebase-apply/autostash")


def g(folder: Path, *words: str) -> str:
    """What one ingredient leaves may make another impossible: that is a state, too."""
    return sh(folder, "git", *words, check=False) if folder.is_dir() else ""


def edit(file: Path, content: str | bytes) -> None:
    raw = content if isinstance(content, bytes) else content.encode()
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(raw)


def conflict(path: Path, *words: str) -> None:
    g(path, "branch", "-f", "theirs", "HEAD~1")
    where = path.parent / "theirs"
    g(path, "worktree", "add", "-q", str(where), "theirs")
    edit(where / "mine.txt", "theirs\n")
    g(where, "add", ".")
    g(where, "commit", "-qm", "theirs")
    g(path, "worktree", "remove", "--force", str(where))
    g(path, *words)


def flagged(flag: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        g(path, "update-index", flag, "lib/y.py")
        edit(path / "lib/y.py", f"{flag}\n")

    return make


def inner(*words: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        (path / "build").mkdir(exist_ok=True)
        g(path, *words)
        edit(path / "build/repo/inside", "mine\n")
        if "add" not in words:
            g(path / "build/repo", "add", ".")
            g(path / "build/repo", "commit", "-qm", "inside")

    return make


def in_sub(where: str, *commands: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        edit(path / where / "mine", f"in {where}\n")
        for each in commands:
            g(path / where, *each.split())

    return make


def sparse(path: Path) -> None:
    g(path, "sparse-checkout", "set", "src")
    edit(path / "lib/y.py", "outside\n")


def amended(path: Path) -> None:
    g(path, "commit", "-q", "--amend", "-m", "in other words")


def reset_away(path: Path) -> None:
    edit(path / "away", "reset away\n")
    g(path, "add", "away")
    g(path, "commit", "-qm", "away")
    g(path, "reset", "-q", "--hard", "HEAD~1")


def own_ref(path: Path) -> None:
    edit(path / "README.md", "for a ref\n")
    if sha := g(path, "stash", "create"):
        g(path, "update-ref", "refs/worktree/keep", sha)
    g(path, "checkout", "-q", "README.md")


def autostash(path: Path) -> None:
    edit(path / "README.md", "stashed by itself\n")
    g(path, "-c", "sequence.editor=sed -i s/^pick/edit/", "rebase", "-i", "--autostash", "HEAD~1")


def link(path: Path) -> None:
    with suppress(OSError):
        (path / "README.md").unlink()
        (path / "README.md").symlink_to("nowhere")


def mode(path: Path) -> None:
    with suppress(OSError):
        (path / "run").chmod(0o755)


def unreadable(path: Path) -> None:
    edit(path / "secret", "mine\n")
    with suppress(OSError):
        (path / "secret").chmod(0)


def lfs_pointer(path: Path) -> None:
    words = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 1\n"
    edit(path / ".gitattributes", "*.bin filter=lfs -text\n")
    edit(path / "a.bin", words)


def mixed_ends(path: Path) -> None:
    edit(path / ".gitattributes", "*.txt text\n")
    edit(path / "mixed.txt", b"one\r\ntwo\n")


def other_encoding(path: Path) -> None:
    edit(path / "caf\udce9", "latin\n")


def gone_branch(path: Path) -> None:
    g(path, "checkout", "-q", "--detach")
    edit(path / "gone", "gone\n")
    g(path, "add", "gone")
    g(path, "commit", "-qm", "gone")
    g(path, "push", "-q", "origin", "HEAD:refs/heads/gone")
    g(path, "fetch", "-q", "origin")
    g(path, "push", "-q", "origin", ":refs/heads/gone")
    g(path, "update-ref", "refs/remotes/origin/gone", "HEAD")


def without_index(path: Path) -> None:
    if named := g(path, "rev-parse", "--absolute-git-dir"):
        Path(named, "index").unlink(missing_ok=True)


def staged(path: Path) -> None:
    edit(path / "lib/y.py", "staged\n")
    g(path, "add", "--sparse", "lib/y.py")
    edit(path / "lib/y.py", "and changed\n")


def several(*steps: Callable[[Path], object]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        for step in steps:
            step(path)

    return make


INGREDIENTS: dict[str, Callable[[Path], object]] = {
    "clean": lambda path: None,
    "modified": lambda path: edit(path / "README.md", "modified\n"),
    "new": lambda path: edit(path / "new/deep/file", "new\n"),
    "staged": staged,
    "deleted": lambda path: (path / "run").unlink(missing_ok=True),
    "removed from the index": lambda path: g(path, "rm", "-q", "--cached", "README.md"),
    "intent to add": several(
        lambda path: edit(path / "intended", "mine\n"),
        lambda path: g(path, "add", "-N", "intended"),
    ),
    "assume unchanged": flagged("--assume-unchanged"),
    "skip worktree": flagged("--skip-worktree"),
    "sparse": sparse,
    "ignored": lambda path: edit(path / "ignored.log", "not work\n"),
    "repository in an ignored folder": inner("init", "-q", "build/repo"),
    "worktree in an ignored folder": inner("worktree", "add", "-q", "--detach", "build/repo"),
    "repository beside": lambda path: (
        commit(path / "beside", "inner", x="x\n")
        if g(path, "init", "-q", "beside") is not None and (path / "beside").is_dir()
        else None
    ),
    "stash": several(
        lambda path: edit(path / "README.md", "stashed\n"), lambda path: g(path, "stash")
    ),
    "stash in a submodule": in_sub("sub", "add mine", "stash"),
    "stash in a nested one": in_sub("sub/deep", "add mine", "stash"),
    "rebase": lambda path: conflict(path, "rebase", "theirs"),
    "rebase with an autostash": autostash,
    "merge": lambda path: conflict(path, "merge", "theirs"),
    "merge of ours": lambda path: conflict(path, "merge", "-s", "ours", "--no-commit", "theirs"),
    "cherry-pick": lambda path: conflict(path, "cherry-pick", "theirs"),
    "revert": lambda path: g(path, "revert", "--no-edit", "--no-commit", "HEAD"),
    "bisect": lambda path: g(path, "bisect", "start", "HEAD", "HEAD~1"),
    "detached": lambda path: g(path, "checkout", "-q", "--detach", "HEAD~1"),
    "on another branch": lambda path: g(path, "switch", "-qc", "another"),
    "submodule dirty": in_sub("sub"),
    "submodule ahead": in_sub("sub", "add mine", "commit -qm ahead"),
    "submodule ahead and left": in_sub(
        "sub", "add mine", "commit -qm ahead", "tag v9", "checkout -q --detach HEAD~1"
    ),
    "nested dirty": in_sub("sub/deep"),
    "nested ahead": in_sub("sub/deep", "add mine", "commit -qm ahead"),
    "submodule deinitialised": lambda path: g(path, "submodule", "--quiet", "deinit", "-f", "sub"),
    "LFS pointer": lfs_pointer,
    "a link": link,
    "unreadable": unreadable,
    "huge": lambda path: edit(path / "huge", b"\0" * 51_000_000),
    "mode": mode,
    "name in another encoding": other_encoding,
    "mixed line ends": mixed_ends,
    "amended": amended,
    "reset away": reset_away,
    "ref of its own": own_ref,
    "gone from the remote": gone_branch,
    "index gone": without_index,
}


# -- what there is


def blob_sha(content: bytes) -> str:
    return sha1(b"blob %d\0%b" % (len(content), content), usedforsecurity=False).hexdigest()


def contents(path: Path) -> dict[str, bytes]:
    """What git does not ignore, and what lies in repositories."""
    found = {}
    for where, folders, names in os.walk(path):
        links = [name for name in folders if Path(where, name).is_symlink()]
        for name in (*names, *links):
            file = Path(where, name)
            if name not in SKIPPED:
                raw = os.fsencode(os.readlink(file)) if file.is_symlink() else file.read_bytes()
                found[str(file.relative_to(path))] = raw
        folders[:] = [name for name in folders if name not in SKIPPED]
    return found


def objects(path: Path) -> set[str]:
    """What the index, HEAD, stashes, operations, own refs and the reflog name; of every repository inside."""
    found: set[str] = set()
    for folder in [path, *(each.parent for each in path.rglob(".git") if each.parent != path)]:
        git_dir = Path(g(folder, "rev-parse", "--absolute-git-dir") or "/nowhere")
        listed = [line.split()[1] for line in g(folder, "ls-files", "-s").splitlines()]
        modes = g(folder, "ls-files", "-s").splitlines()
        found |= {sha for sha, row in zip(listed, modes, strict=True) if row[:6] != "160000"}
        own = ["HEAD"] if folder == path else ["HEAD", "--exclude=refs/remotes/*", "--all"]
        found |= set(g(folder, "rev-parse", "--revs-only", *own).split())
        found |= set(g(folder, "for-each-ref", "--format=%(objectname)", "refs/worktree").split())
        found |= set(g(folder, "log", "-g", "--format=%H", "refs/stash", "--").split())
        for name in (*HELD, *HELD_BELOW):
            if (git_dir / name).is_file():
                found |= set((git_dir / name).read_text().split())
        if folder == path:
            log = g(path, "log", "-g", "--format=%H %gs").splitlines()
            rows = [each.partition(" ")[::2] for each in log]
            gone = [False, *(row[1].startswith("commit (amend)") for row in rows)]
            found |= {row[0] for row, lost in zip(rows, gone, strict=False) if not lost}
    nothing = blob_sha(b"")  # what the index says of a file that is only intended
    return {each for each in found if len(each) == 40} - {nothing}


def held(*repositories: Path) -> set[str]:
    """All that refs of these hold that stay."""
    every: set[str] = set()
    for each in repositories:
        asked = ("rev-list", "--objects", "--no-object-names", "--exclude=refs/remotes/*", "--all")
        every |= set(g(each, *asked).split())
    return every


def check(
    box: Path, repositories: list[Path], path: Path, before: dict[str, bytes], named: set[str]
) -> None:
    """In place as it was, or by refs."""
    kept = held(*repositories, box / "module", box / "deep", repositories[0] / "sub")
    if path.exists() and contents(path) == before:
        lost = named - objects(path)
        assert not lost - kept, lost - kept
        return
    for name, content in before.items():
        ways = (content, content.replace(b"\r\n", b"\n"))
        assert {blob_sha(each) for each in ways} & kept, name
    assert not named - kept, named - kept


# -- what is done

KILLED = """
import sys
from datetime import UTC, datetime
from issue_orch.git.run import find_repo
from issue_orch.git.remote import Remote
from issue_orch.git.removal import Wanted, remove_worktrees
repo = find_repo(sys.argv[1])
wanted = [Wanted(sys.argv[2], 1, sys.argv[3] or None)]
remove_worktrees(repo, wanted, datetime.now(UTC), remote=Remote(repo, "origin"))
"""


def prune(clone: Clone, path: Path, head: CommitSha | None) -> None:
    wanted = [Wanted(str(path), Number(1), head)]
    [done] = remove_worktrees(clone.repo, wanted, NOW, remote=Remote(clone.repo, "origin"))
    if isinstance(done, Removed) and head:
        delete_branches(clone.repo, [(ONE, head)])


def prune_merged(clone: Clone, path: Path, head: CommitSha, at: int) -> None:
    prune(clone, path, head)


def prune_cancelled(clone: Clone, path: Path, head: CommitSha, at: int) -> None:
    prune(clone, path, None)


def dry_run(clone: Clone, path: Path, head: CommitSha, at: int) -> None:
    foresee(clone.repo, Wanted(str(path), Number(1), None), Remote(clone.repo, "origin"))


def check_out_again(clone: Clone, path: Path, head: CommitSha, at: int) -> None:
    """What `doctor --fix` does."""
    with suppress(Expected):
        register(clone.repo, str(path), ONE, head, INTENT, reuse=True)
        check_out(clone.repo, str(path))


def cancel_and_reuse(clone: Clone, path: Path, head: CommitSha, at: int) -> None:
    prune(clone, path, None)
    with suppress(Expected):
        register(clone.repo, str(path), Branch("issue-1"), head, INTENT, reuse=True)
        check_out(clone.repo, str(path))


def killed(clone: Clone, path: Path, head: CommitSha | None, at: int) -> None:
    """At some command of git; then it is done again."""
    real, count = shutil.which("git"), clone.top.parent / "count"
    lines = (
        f'echo >> "{count}"; [ "$(wc -l < "{count}")" = {at} ] && kill -9 $PPID\nexec {real} "$@"'
    )
    script(clone.top.parent / "killing/git", lines)
    env = os.environ | {"PATH": f"{clone.top.parent}/killing:{os.environ['PATH']}"}
    argv = [sys.executable, "-c", KILLED, str(clone.top), str(path), head or ""]
    subprocess.run(argv, env=env, capture_output=True, check=False)
    prune(clone, path, head)


def killed_when_cancelled(clone: Clone, path: Path, head: CommitSha, at: int) -> None:
    killed(clone, path, None, at)


ACTIONS: list[Callable[[Clone, Path, CommitSha, int], None]] = [
    prune_merged,
    prune_cancelled,
    dry_run,
    check_out_again,
    cancel_and_reuse,
    killed,
    killed_when_cancelled,
]


def prepare(clone: Clone) -> tuple[Path, CommitSha]:
    more = {
        "run": "#!/bin/sh\n",
        "lib/y.py": "old\n",
        ".gitignore": "*.log\nbuild/\n",
        "src/x.py": "old\n",
    }
    commit(clone.top, "more", **more)
    sh(clone.top, "git", "push", "-q", "origin", "main")
    path, _ = with_submodule(clone)
    commit(path, "the work", **{"mine.txt": "mine\n"})
    sh(path, "git", "push", "-q", "origin", "issue-1")
    return path, CommitSha(sh(path, "git", "rev-parse", "HEAD"))


def restore(box: Path, template: Path) -> None:
    while box.exists():  # a git whose parent was killed may still be at work
        subprocess.run(["chmod", "-R", "u+w", str(box)], check=False, capture_output=True)
        shutil.rmtree(box, ignore_errors=True)
    subprocess.run(["cp", "-a", str(template), str(box)], check=True)


INGREDIENTS_DRAWN = st.lists(
    st.sampled_from(sorted(INGREDIENTS)), min_size=1, max_size=4, unique=True
)


def drawn(count: int) -> settings:
    return settings(
        max_examples=int(EXAMPLES or count),
        derandomize=EXAMPLES is None,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def test_no_state_of_a_worktree_loses_work(clone: Clone) -> None:
    path, head = prepare(clone)
    box = clone.top.parent
    template = box.with_name(f"{box.name}-template")
    subprocess.run(["cp", "-a", str(box), str(template)], check=True)

    @drawn(12)
    @given(
        INGREDIENTS_DRAWN,
        st.sampled_from(ACTIONS),
        st.integers(1, 40),
    )
    def play(names: list[str], act: Callable[[Clone, Path, CommitSha, int], None], at: int) -> None:
        restore(box, template)
        for name in names:
            INGREDIENTS[name](path)
        before, named = contents(path), objects(path)
        act(clone, path, head, at)
        check(box, [clone.top, *box.glob("*.git")], path, before, named)

    play()


# -- the same by the commands, on sessions with an agent

WORK = """echo "mine $issue" > mine.txt; git add mine.txt; git commit -qm "the work"
if [ "$issue" = @MERGED@ ]; then report complete --title work; else report stuck --decision "Which?"; fi
"""
COMMANDS = [
    ("prune",),
    ("prune", "doctor --fix"),
    ("doctor --fix",),
    ("cancel N", "prune --cancelled"),
    ("cancel N", "prune N --cancelled", "spawn N --reuse --yes"),
    ("answer N left", "stop N", "prune --closed", "resume N"),
    ("tell N more", "cancel N", "prune --cancelled --closed"),
]


def prepare_sessions(scene: Scene) -> tuple[int, int]:
    """An issue whose pull is merged, and one whose worker waits for an answer."""
    folder, remote = scene.folder, str(scene.sandbox.repository.path)
    for name, *inside in (("deep",), ("module", "deep")):
        sh(folder, "git", "init", "-q", name)
        for each in inside:
            sh(folder / name, "git", "submodule", "--quiet", "add", str(folder / each), each)
        commit(folder / name, name, x="x\n")
    files = {"run": "#!/bin/sh\n", "lib/y.py": "old\n", "src/x.py": "old\n"}
    commit(scene.clone, "more", **files, **{".gitignore": "*.log\nbuild/\n"})
    sh(scene.clone, "git", "submodule", "--quiet", "add", str(folder / "module"), "sub")
    commit(scene.clone, "with a submodule")
    sh(scene.clone, "git", "push", "-q", remote, "main")
    merged, stuck = scene.issue("One"), scene.issue("Two")
    scene.agent(WORK.replace("@MERGED@", str(merged)))
    scene.orch("spawn", "--yes", str(merged), str(stuck), check=True)
    scene.wait_status(merged, "complete")
    scene.wait_status(stuck, "stuck")
    scene.wait_quiet()
    scene.sandbox.person.merge(scene.pull_of(merged))
    scene.agent('report stuck --decision "And now?"\n')
    assert (scene.worktree(stuck) / "sub/deep/x").exists()
    return merged, stuck


def killing(scene: Scene, at: int) -> dict[str, str]:
    """An environment in which whoever starts the command of git of this number is killed."""
    count = scene.folder / "count"
    count.unlink(missing_ok=True)
    lines = f'echo >> "{count}"; [ "$(wc -l < "{count}")" = {at} ] && kill -9 $PPID'
    script(scene.folder / "killing/git", f'{lines}\nexec {shutil.which("git")} "$@"')
    return {"PATH": f"{scene.folder}/killing:{scene.env['PATH']}"}


def test_no_command_loses_work(tmp_path: Path) -> None:
    folder = tmp_path / "scene"
    folder.mkdir()
    with make_scene(folder) as scene:
        play_commands(scene)


def play_commands(scene: Scene) -> None:
    sh(scene.folder, "git", "config", "--global", "protocol.file.allow", "always")
    numbers = prepare_sessions(scene)
    paths = {number: scene.worktree(number) for number in numbers}
    box = scene.folder
    parts = [scene.clone, scene.sandbox.repository.path, box / "module", box / "deep"]
    parts += paths.values()
    for place, part in enumerate(parts):
        subprocess.run(["cp", "-a", str(part), str(box / f"template-{place}")], check=True)

    @drawn(3)
    @given(
        INGREDIENTS_DRAWN,
        st.sampled_from(numbers),
        st.sampled_from(COMMANDS),
        st.none() | st.integers(1, 60),
    )
    def play(names: list[str], number: int, commands: tuple[str, ...], at: int | None) -> None:
        for place, part in enumerate(parts):
            restore(part, box / f"template-{place}")
        path = paths[number]
        for name in names:
            INGREDIENTS[name](path)
        before, named = contents(path), objects(path)
        for line in commands * (2 if at else 1):
            ran = scene.orch(*line.replace("N", str(number)).split(), env=killing(scene, at or 0))
            assert ran.code in (0, 1, -9), ran.err  # whatever is refused, the words are understood
            scene.wait_quiet()
            at = 0
        check(box, parts[:2], path, before, named)

    play()
