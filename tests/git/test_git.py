from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from issue_orch.core.model import Branch, CommitSha, Number
from issue_orch.errors import CommandFailed, Expected
from issue_orch.git import snapshot
from issue_orch.git.checkout import check_out, populate_submodules
from issue_orch.git.preserve import preserve
from issue_orch.git.remote import (
    Remote,
    ask,
    fetch_base,
    fetch_commit,
    find_remote_sha,
    load_heads_of,
    push,
    uses_lfs,
)
from issue_orch.git.run import (
    SIGN_GIT_IN,
    admin_dir,
    check_signing,
    environment,
    find_repo,
    find_sha,
    git,
    identity,
    rev_parse,
    wants_signing,
    worker_settings,
)
from issue_orch.git.settings import kind_of, known
from issue_orch.git.trust import (
    DANGEROUS,
    MARK,
    changed_keys,
    dangerous_keys,
    load_settings,
    neutral,
    split_key,
)
from tests.kit.git import Clone, clone, commit, home, make_worktree, script, sh, write

__all__ = ["clone", "home"]


def test_the_clone_is_the_same_from_everywhere_in_it(clone: Clone) -> None:
    path = make_worktree(clone)
    assert clone.repo.common_dir == str(clone.top / ".git")
    assert find_repo(str(clone.top / "src")) == clone.repo
    assert find_repo(str(path / "src")) == clone.repo._replace(top=str(path))


def test_no_repository(tmp_path: Path) -> None:
    with pytest.raises(Expected, match="not inside a git repository") as error:
        find_repo(str(tmp_path))
    assert "cd " in error.value.hint


def test_bare_repository(clone: Clone) -> None:
    with pytest.raises(Expected, match="bare"):
        find_repo(str(clone.remote))


def test_no_commit_yet(tmp_path: Path) -> None:
    sh(tmp_path, "git", "init", "-q")
    with pytest.raises(Expected, match="no commit yet"):
        find_repo(str(tmp_path))


def test_old_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "bin/git", "echo git version 2.33.8")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/bin:/usr/bin")
    with pytest.raises(Expected, match=r"git 2\.33 is too old") as error:
        find_repo(str(tmp_path))
    assert "2.34" in error.value.hint


def test_inherited_variables_steer_nothing(
    clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_CONFIG_PARAMETERS",
    ):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    assert find_repo(str(clone.top)) == clone.repo
    assert len(rev_parse(clone.repo, "HEAD")) == 40
    kept = {name for name in environment() if name.startswith("GIT_")}
    assert kept == {
        "GIT_OPTIONAL_LOCKS",
        "GIT_TERMINAL_PROMPT",
        "GIT_ASKPASS",
        "GIT_CONFIG_COUNT",
        *(f"GIT_CONFIG_{part}_{n}" for part in ("KEY", "VALUE") for n in range(8)),
    }


def test_a_worktree_of_a_bare_repository_is_one_and_the_bare_repository_is_not(
    clone: Clone, tmp_path: Path
) -> None:
    bare = tmp_path / "project/.git"
    sh(tmp_path, "git", "clone", "-q", "--bare", str(clone.remote), str(bare))
    sh(bare, "git", "worktree", "add", "-q", str(tmp_path / "project/main"), "main")
    assert find_repo(str(tmp_path / "project/main")).top == str(tmp_path / "project/main")
    with pytest.raises(Expected, match="bare repository has none"):
        find_repo(str(tmp_path / "project"))


def test_the_configuration_does_not_say_where_the_clone_is(clone: Clone, tmp_path: Path) -> None:
    path, elsewhere = make_worktree(clone), tmp_path / "elsewhere"
    elsewhere.mkdir()
    sh(clone.top, "git", "config", "core.worktree", str(elsewhere))
    assert find_repo(str(clone.top / "src")) == clone.repo
    assert find_repo(str(path)) == clone.repo._replace(top=str(path))
    with pytest.raises(Expected, match="not in a worktree"):
        find_repo(str(clone.admin / "hooks"))
    sh(path, "git", "config", "core.bare", "true")
    with pytest.raises(Expected, match=r"core\.bare is true"):
        find_repo(str(path))


def test_hanging_git_is_ended(
    clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path / "bin/git", "exec sleep 600")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/bin:/usr/bin")
    with pytest.raises(CommandFailed, match="ran out of time") as error:
        git(clone.repo, "status", timeout=0.2)
    assert error.value.code is None


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("fatal: could not read Username for 'https://x': terminal prompts disabled", SIGN_GIT_IN),
        ("fatal: remote error: upload-pack: not our ref 1234", "mend what it says, then try again"),
    ],
)
def test_what_doctor_does_not_look_at_is_not_left_to_it(
    clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, hint: str
) -> None:
    """A submodule, say, whose remote lets nobody in, or that is shallow."""
    script(tmp_path / "bin/git", f'echo "{said}" >&2; exit 128')
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/bin:/usr/bin")
    with pytest.raises(CommandFailed) as error:
        git(clone.repo, "submodule", "update", network=True)
    assert error.value.hint == hint and "doctor" not in hint


def plant(clone: Clone, path: Path, ran: Path) -> None:
    """Everything a worker can put into the shared `.git` to run code in somebody else's git."""
    evil = script(ran.parent / "evil", f'echo "$0 $*" >> "{ran}"; cat')
    hook = f'echo "hook $0" >> "{ran}"'
    for name in (
        "post-checkout",
        "pre-push",
        "reference-transaction",
        "post-index-change",
        "pre-auto-gc",
    ):
        script(clone.admin / "hooks" / name, hook)
    for key, value in {
        "core.fsmonitor": str(evil),
        "filter.evil.clean": str(evil),
        "filter.evil.smudge": str(evil),
        "filter.evil.required": "true",
        "filter.e.v=il.process": str(evil),
        "diff.evil.command": str(evil),
        "diff.evil.textconv": str(evil),
        "diff.external": str(evil),
        "merge.evil.driver": f"{evil} %A",
        "core.pager": str(evil),
        "gpg.program": str(evil),
        "core.hooksPath": str(clone.admin / "hooks"),
    }.items():
        sh(clone.top, "git", "config", key, value)
    everything = "* filter=evil diff=evil merge=evil\n*.md filter=e.v=il\n"
    write(clone.admin / "info/attributes", everything)
    write(path / ".gitattributes", everything)


def read_everything(clone: Clone, path: Path, base: str) -> None:
    assert snapshot.changes(clone.repo, str(path), base).files >= 2
    assert snapshot.dirt(clone.repo, str(path))
    ref = preserve(clone.repo, str(path), Number(1), datetime(2026, 1, 2, tzinfo=UTC))
    assert sh(clone.top, "git", "show", f"{ref}:README.md", GIT_PAGER="cat") == "changed"


def test_nothing_planted_runs(clone: Clone, tmp_path: Path) -> None:
    path, ran = make_worktree(clone), tmp_path / "ran"
    base = rev_parse(clone.repo, "main")
    write(path / "README.md", "changed\n")
    write(path / "src/café one.txt", "b\n")
    plant(clone, path, ran)
    sh(path, "git", "status")
    assert ran.read_text(), "the trap must work, or this test cannot fail"
    ran.unlink()
    read_everything(clone, path, base)
    with pytest.raises(Expected, match=r"needs the filter 'evil'"):
        make_worktree(clone, 2)
    write(clone.admin / "info/attributes", "* diff=evil merge=evil\n")
    make_worktree(clone, 3)
    assert not ran.exists(), ran.read_text()


def test_a_worktree_that_another_git_is_just_registering(
    clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_worktree(clone)
    file = Path(admin_dir(clone.repo, str(path)), "commondir")
    content = file.read_text()
    file.write_text("")  # as between git's open and its write
    with pytest.raises(CommandFailed, match="commondir"):
        git(clone.repo, "worktree", "list")
    script(
        tmp_path / "bin/git",
        f"""PATH=${{PATH#*:}}
    git "$@"; code=$?
    printf '%s' '{content}' > '{file}'
    exit $code""",
    )
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    assert str(path) in git(clone.repo, "worktree", "list").stdout


@pytest.mark.parametrize("swapped", ["git file", "commondir"])
def test_a_swapped_pointer_leads_nowhere(clone: Clone, tmp_path: Path, swapped: str) -> None:
    path, ran = make_worktree(clone), tmp_path / "ran"
    base = rev_parse(clone.repo, "main")
    lair = tmp_path / "lair.git"
    sh(tmp_path, "git", "clone", "-q", "--bare", str(clone.remote), str(lair))
    plant(clone._replace(repo=clone.repo._replace(common_dir=str(lair), main=str(lair))), path, ran)
    sh(clone.top, "git", "--git-dir", str(lair), "config", "core.bare", "false")
    if swapped == "git file":
        write(path / ".git", f"gitdir: {lair}\n")
    else:
        write(Path(admin_dir(clone.repo, str(path)), "commondir"), f"{lair}\n")
    write(path / "README.md", "changed\n")
    sh(path, "git", "status", check=False)
    assert ran.read_text(), "the trap must work, or this test cannot fail"
    ran.unlink()
    read_everything(clone, path, base)
    assert not ran.exists(), ran.read_text()


def test_filters_of_the_users_own_configuration_and_lfs_stay(clone: Clone, home: Path) -> None:
    sh(home, "git", "config", "--global", "filter.mine.clean", "tr a b")
    for key, value in {
        "clean": "git-lfs clean -- %f",
        "process": "git-lfs filter-process",
        "required": "true",
    }.items():
        sh(clone.top, "git", "config", f"filter.lfs.{key}", value)
    assert neutral(clone.repo) == ()
    sh(clone.top, "git", "config", "lfs.extension.evil.clean", "evil")
    assert ("filter.lfs.process", "") in neutral(clone.repo)
    sh(clone.top, "git", "config", "--unset", "lfs.extension.evil.clean")
    sh(clone.top, "git", "config", "filter.mine.smudge", "evil")
    assert {key for key, _ in neutral(clone.repo)} == {
        "filter.mine.process",
        "filter.mine.clean",
        "filter.mine.smudge",
        "filter.mine.required",
    }


def test_a_merge_driver_of_the_clone_is_a_conflict(clone: Clone) -> None:
    sh(clone.top, "git", "config", "merge.ours.driver", "true")
    assert neutral(clone.repo) == (("merge.ours.driver", "false"),)


def test_dangerous_keys_are_noted_and_everyday_ones_are_not(clone: Clone) -> None:
    before = dangerous_keys(clone.repo)
    write(clone.admin / "issue-orch/sessions/1/keys.json", json.dumps(before))
    assert "remote.origin.url" in before
    sh(clone.top, "git", "remote", "add", "fork", "https://user:secret@example.org/x.git")
    sh(clone.top, "git", "config", "core.hooksPath", ".husky")
    sh(clone.top, "git", "config", "branch.main.description", "x")
    assert changed_keys(clone.admin / "issue-orch", 1, dangerous_keys(clone.repo)) == []
    planted = [
        "filter.x.clean",
        "diff.x.command",
        "diff.x.textconv",
        "merge.x.driver",
        "core.sshCommand",
        "core.gitProxy",
        "credential.helper",
        "credential.https://h.helper",
        "url.https://evil/.insteadOf",
        "remote.origin.pushurl",
        "remote.origin.receivepack",
        "gpg.program",
        "gpg.ssh.program",
        "diff.external",
        "http.proxy",
        "remote.fork.promisor",
        "extensions.partialClone",
    ]
    for key in planted:
        sh(clone.top, "git", "config", key, "token-123")
    sh(clone.top, "git", "config", "remote.origin.url", "https://evil/x.git")
    sh(
        clone.top,
        "git",
        "config",
        "include.path",
        str(write(clone.top / "inc", '[filter "y"]\nsmudge = evil\n')),
    )
    now = dangerous_keys(clone.repo)
    expected = {key.lower() for key in planted} | {
        "remote.origin.url",
        "include.path",
        "filter.y.smudge",
    }
    assert {key.lower() for key in changed_keys(clone.admin / "issue-orch", 1, now)} == expected
    assert "token" not in str(now)


def test_every_setting_of_the_installed_git_is_in_the_table() -> None:
    assert len(known()) > 500
    assert [key for key in known() if kind_of(key) is None] == []


@pytest.mark.parametrize(
    "key",
    [
        "core.worktree",
        "core.alternateRefsCommand",
        "INCLUDE.path",
        "includeIf.gitdir:/a.b/.path",
        "url.https://a.b/.insteadOf",
        "remote.origin.vcs",
        "lfs.url",
        "http.https://a.b.proxy",
        "core.autocrlf",
        "core.attributesFile",
        "merge.renormalize",
        "init.templateDir",
        "submodule.lib.update",
    ],
)
def test_a_key_that_steers_our_git_is_held(clone: Clone, key: str) -> None:
    state = clone.admin / "issue-orch"
    write(state / "sessions/1/keys.json", json.dumps(dangerous_keys(clone.repo)))
    sh(clone.top, "git", "config", key, "x")
    changed = changed_keys(state, 1, dangerous_keys(clone.repo))
    assert [each.lower() for each in changed] == [key.lower()]
    assert changed_keys(state, 1, dangerous_keys(clone.repo), told=True) == []


@pytest.mark.parametrize(
    "key",
    [
        "husky.anything",
        "gitflow.branch.master",
        "git-town.main-branch",
        "remote.origin.gh-resolved",
        "branch.issue-1.merge",
        "branch.issue-1.vscode-merge-base",
        "maintenance.strategy",
        "lfs.repositoryformatversion",
    ],
)
def test_everyday_keys_are_not_held(clone: Clone, key: str) -> None:
    before = dangerous_keys(clone.repo)
    sh(clone.top, "git", "config", key, "x")
    assert dangerous_keys(clone.repo) == before


def test_keys_noted_before_there_was_a_table(clone: Clone) -> None:
    state = clone.admin / "issue-orch"
    sh(clone.top, "git", "config", "merge.renormalize", "true")
    now = dangerous_keys(clone.repo)
    old = {key: value for key, value in now.items() if DANGEROUS.fullmatch(key)}
    write(state / "sessions/1/keys.json", json.dumps(old))
    assert changed_keys(state, 1, dangerous_keys(clone.repo)) == []
    sh(clone.top, "git", "config", "remote.origin.url", "https://evil/x.git")
    assert changed_keys(state, 1, dangerous_keys(clone.repo)) == ["remote.origin.url"]


@pytest.mark.parametrize(
    ("key", "held"),
    [
        ("url.https://evil/.insteadOf", True),
        ("url.https://evil/.pushInsteadOf", True),
        ("credential.helper", True),
        ("credential.https://a@b/config.worktree: user.name.helper", True),
        ("http.https://a.b.proxy", True),
        ("core.sshCommand", True),
        ("include.path", True),
        ("includeIf.gitdir:/a.b/.path", True),
        ("remote.origin.url", True),
        ("core.sparseCheckout", None),
        ("remote.fork.url", None),
        ("user.name", False),
    ],
)
def test_what_is_set_for_one_worktree_is_compared_too(
    clone: Clone, key: str, held: bool | None
) -> None:
    """`held`, only told (False), or nothing."""
    state, wt = clone.admin / "issue-orch", clone.top.parent / "wt"
    sh(clone.top, "git", "worktree", "add", "-q", str(wt))
    sh(clone.top, "git", "config", "extensions.worktreeConfig", "true")
    sh(wt, "git", "config", "--worktree", "core.autocrlf", "input")  # it was there before
    before = dangerous_keys(clone.repo)
    write(state / "sessions/1/keys.json", json.dumps(before))
    sh(wt, "git", "config", "--worktree", key, "x")
    now = dangerous_keys(clone.repo)
    for told in (False, True):
        changed = changed_keys(state, 1, now, told)
        name = f"worktrees/wt/config.worktree: {key}".lower()
        assert [each.lower() for each in changed] == ([name] if held is (not told) else [])
    assert all(split_key(each)[1].lower() == key.lower() for each in now.keys() - before.keys())


def test_a_key_cannot_look_like_one_of_a_worktree(clone: Clone) -> None:
    state, key = clone.admin / "issue-orch", "url.worktrees/a/config.worktree: user.name.insteadof"
    write(state / "sessions/1/keys.json", json.dumps(dangerous_keys(clone.repo)))
    sh(clone.top, "git", "config", key, "https://b/")
    assert changed_keys(state, 1, dangerous_keys(clone.repo)) == [key]


def test_keys_noted_before_those_of_worktrees_were(clone: Clone) -> None:
    state, wt = clone.admin / "issue-orch", clone.top.parent / "wt"
    sh(clone.top, "git", "worktree", "add", "-q", str(wt))
    sh(clone.top, "git", "config", "extensions.worktreeConfig", "true")
    sh(wt, "git", "config", "--worktree", "core.autocrlf", "input")
    now = dangerous_keys(clone.repo)
    old = {key: value for key, value in now.items() if not split_key(key)[0]} | {MARK: "2"}
    write(state / "sessions/1/keys.json", json.dumps(old))
    assert changed_keys(state, 1, now) == []
    sh(clone.top, "git", "config", "core.autocrlf", "input")
    assert changed_keys(state, 1, dangerous_keys(clone.repo)) == ["core.autocrlf"]


def no_entry() -> None:
    raise Expected("a worker may have said how")


REACHING: dict[str, Callable[[Remote, str], object]] = {
    "push": lambda remote, sha: push(remote, Branch("issue-1"), CommitSha(sha), Branch("main")),
    "look at a branch": lambda remote, sha: find_remote_sha(remote, Branch("main")),
    "fetch the base": lambda remote, sha: fetch_base(remote, Branch("main")),
    "fetch a commit": lambda remote, sha: fetch_commit(remote, CommitSha(sha)),
    "look for LFS": lambda remote, sha: uses_lfs(remote.repo, CommitSha(sha)),
    "anything": lambda remote, sha: ask(remote, "ls-remote", remote.name),
    "a checkout": lambda remote, sha: check_out(
        remote.repo, f"{os.path.dirname(remote.repo.main)}/wt"
    ),
    "submodules": lambda remote, sha: populate_submodules(remote.repo, remote.repo.main),
}


@pytest.mark.parametrize("what", REACHING)
def test_no_git_talks_to_a_remote_before_its_guard_lets_it(clone: Clone, what: str) -> None:
    wt = clone.top.parent / "wt"
    sh(clone.top, "git", "worktree", "add", "-q", "--no-checkout", str(wt))
    if what == "submodules":
        sh(clone.top, "git", "init", "-q", "lib")
        write(clone.top / ".gitmodules", '[submodule "lib"]\npath = lib\nurl = ./lib\n')
    guarded = clone.repo._replace(guard=no_entry)
    sha = rev_parse(guarded, "HEAD")
    with pytest.raises(Expected, match="may have said how"):
        REACHING[what](Remote(guarded, "origin"), sha)
    assert os.listdir(wt) == [".git"]
    assert load_heads_of(Remote(guarded, "origin")) == [], "nothing is known of the remote"


def test_settings_with_strange_values(clone: Clone) -> None:
    sh(clone.top, "git", "config", "a.b c=d.e.key", "line one\nline = two")
    write(clone.admin / "config", (clone.admin / "config").read_text() + "[bare]\n valueless\n")
    found = load_settings(clone.repo)
    assert ("a.b c=d.e.key", "line one\nline = two", True) in found
    assert ("bare.valueless", "", True) in found


def test_identity(clone: Clone, home: Path) -> None:
    assert identity(clone.repo) == "A Person <person@example.org>"
    write(home / ".gitconfig", "[user]\nuseConfigOnly = true\n")
    with pytest.raises(Expected, match="who commits") as error:
        identity(clone.repo)
    assert "user.email" in error.value.hint


def test_signing(clone: Clone, home: Path, tmp_path: Path) -> None:
    path = str(make_worktree(clone))
    key = tmp_path / "key"
    sh(tmp_path, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    for name, value in {
        "gpg.format": "ssh",
        "user.signingKey": str(key),
        "commit.gpgSign": "true",
    }.items():
        sh(home, "git", "config", "--global", name, value)
    assert wants_signing(clone.repo)
    check_signing(clone.repo, path)
    sh(tmp_path, "ssh-keygen", "-q", "-p", "-P", "", "-N", "passphrase", "-f", str(key))
    with pytest.raises(Expected, match="signing fails") as error:
        check_signing(clone.repo, path)
    assert 'git.sign = "off"' in error.value.hint
    sh(
        home,
        "git",
        "config",
        "--global",
        "gpg.ssh.program",
        str(script(tmp_path / "hang", "exec sleep 600")),
    )
    with pytest.raises(Expected, match="passphrase"):
        check_signing(clone.repo, path, timeout=0.3)


def test_a_worker_can_commit_unsigned(clone: Clone, home: Path) -> None:
    sh(home, "git", "config", "--global", "commit.gpgSign", "true")
    sh(home, "git", "config", "--global", "gpg.program", "false")
    sh(clone.top, "git", "commit", "-qm", "unsigned", "--allow-empty", **worker_settings("off"))
    assert worker_settings("inherit") == {}


def test_a_rev_that_looks_like_an_option(clone: Clone) -> None:
    assert find_sha(clone.repo, "--all") is None
    assert find_sha(clone.repo, "nothing") is None
    assert commit(clone.top, "again", file="x") == find_sha(clone.repo, "main")
    with pytest.raises(Expected, match="no such commit"):
        rev_parse(clone.repo, "nothing")


def test_a_worktree_that_is_being_registered_is_waited_for(
    clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file is written at the sixth look: as when whoever registers it has to wait for the processor."""
    path = make_worktree(clone)
    commondir = Path(admin_dir(clone.repo, str(path))) / "commondir"
    commondir.write_text("")
    looks, real = tmp_path / "looks", shutil.which("git")
    script(
        tmp_path / "bin/git",
        f"echo >> '{looks}'\n[ $(wc -l < '{looks}') -lt 6 ] || echo ../.. > '{commondir}'\nexec {real} \"$@\"",
    )
    monkeypatch.setenv("PATH", f"{tmp_path}/bin", prepend=":")
    assert f"worktree {path}" in git(clone.repo, "worktree", "list", "--porcelain").stdout
    assert len(looks.read_text()) == 6
