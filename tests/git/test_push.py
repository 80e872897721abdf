from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from issue_orch.core.model import Branch, CommitSha, Token
from issue_orch.errors import Expected
from issue_orch.git.checkout import populate_submodules
from issue_orch.git.merges import predict
from issue_orch.git.remote import (
    Rejected,
    Remote,
    RemoteFailed,
    SignInRefused,
    fetch_base,
    find_remote_sha,
    push,
    uses_lfs,
)
from issue_orch.git.run import Repo, find_repo, git, rev_parse
from tests.kit.git import (
    Clone,
    clone,
    commit,
    home,
    make_worktree,
    predicts,
    script,
    sh,
    wait_for,
    write,
)

__all__ = ["clone", "home"]
ONE, MAIN = Branch("issue-1"), Branch("main")


def signed(repo: Repo, token: Token) -> Repo:
    return repo._replace(find_token=lambda: token)


def work(clone: Clone, **files: str) -> tuple[Path, CommitSha]:
    path = make_worktree(clone)
    return path, CommitSha(commit(path, "work", **(files or {"file": "x"})))


def test_one_ref_is_pushed_and_once(clone: Clone) -> None:
    path, sha = work(clone)
    sh(path, "git", "tag", "-am", "x", "tag")
    more = {
        "push.followTags": "true",
        "push.default": "matching",
        "remote.origin.push": "+refs/*:refs/*",
    }
    for key, value in more.items():
        sh(path, "git", "config", key, value)
    assert find_remote_sha(Remote(clone.repo, "origin"), ONE) is None
    push(Remote(clone.repo, "origin"), ONE, sha, MAIN)
    assert find_remote_sha(Remote(clone.repo, "origin"), ONE) == sha
    push(Remote(clone.repo, "origin"), ONE, sha, MAIN)
    refs = sh(clone.remote, "git", "for-each-ref", "--format=%(refname)").split()
    assert refs == ["refs/heads/issue-1", "refs/heads/main"]


def test_no_push_options_go_along(clone: Clone, home: Path) -> None:
    """The remote takes none: with one, nothing would ever be pushed."""
    path, sha = work(clone)
    sh(path, "git", "config", "push.pushOption", "merge_request.merge_when_pipeline_succeeds")
    sh(path, "git", "config", "--global", "push.pushOption", "ci.skip")
    push(Remote(clone.repo, "origin"), ONE, sha, MAIN)
    assert find_remote_sha(Remote(clone.repo, "origin"), ONE) == sha


def test_no_command_lists_the_refs_of_alternates(clone: Clone, tmp_path: Path) -> None:
    _, sha = work(clone)
    evil = script(tmp_path / "evil", f'echo ran >> "{tmp_path}/ran"')
    write(clone.admin / "objects/info/alternates", f"{clone.remote}/objects\n")
    sh(clone.top, "git", "config", "core.alternateRefsCommand", str(evil))
    sh(clone.top, "git", "rev-list", "HEAD", "--alternate-refs")
    assert (tmp_path / "ran").exists(), "the trap must work, or this test cannot fail"
    (tmp_path / "ran").unlink()
    git(clone.repo, "rev-list", "HEAD", "--alternate-refs")
    fetch_base(Remote(clone.repo, "origin"), MAIN)
    push(Remote(clone.repo, "origin"), ONE, sha, MAIN)
    assert not (tmp_path / "ran").exists()


def test_a_branch_whose_name_ends_like_ours_is_not_ours(clone: Clone) -> None:
    """`git ls-remote origin refs/heads/issue-1` lists it first."""
    _, sha = work(clone)
    sh(clone.repo.main, "git", "push", "-q", "origin", f"{sha}:refs/heads/a/refs/heads/{ONE}")
    assert find_remote_sha(Remote(clone.repo, "origin"), ONE) is None
    push(Remote(clone.repo, "origin"), ONE, sha, MAIN)
    assert sh(clone.remote, "git", "rev-parse", f"refs/heads/{ONE}") == sha


def test_the_commit_is_pushed_not_what_the_branch_has_become(clone: Clone) -> None:
    path, sha = work(clone)
    commit(path, "later", later="x")
    push(Remote(clone.repo, "origin"), ONE, sha, MAIN)
    assert sh(clone.remote, "git", "rev-parse", ONE) == sha


def test_what_must_never_be_pushed(clone: Clone) -> None:
    _, sha = work(clone)
    with pytest.raises(Expected, match="never pushed to"):
        push(Remote(clone.repo, "origin"), MAIN, sha, MAIN)
    for empty in ("", "HEAD", "-f"):
        with pytest.raises(Expected, match="not a commit"):
            push(Remote(clone.repo, "origin"), ONE, CommitSha(empty), MAIN)


def test_never_forced(clone: Clone) -> None:
    path, sha = work(clone)
    push(Remote(clone.repo, "origin"), ONE, sha, MAIN)
    sh(path, "git", "commit", "-q", "--amend", "-m", "rewritten")
    sh(path, "git", "config", "remote.origin.push", f"+refs/heads/{ONE}:refs/heads/{ONE}")
    with pytest.raises(Rejected) as found:
        push(Remote(clone.repo, "origin"), ONE, rev_parse(clone.repo, ONE), MAIN)
    assert found.value.kind == "non_fast_forward"
    assert sh(clone.remote, "git", "rev-parse", ONE) == sha


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("no pushes on Friday", "hook"),
        ("error: GH013: Repository rule violations found for refs/heads/issue-1.", "other"),
        ("error: GH006: Protected branch update failed", "other"),
    ],
)
def test_the_words_of_the_remote(clone: Clone, words: str, kind: str) -> None:
    _, sha = work(clone)
    script(clone.remote / "hooks/pre-receive", f"echo '{words}' >&2; exit 1")
    with pytest.raises(Rejected) as found:
        push(Remote(clone.repo, "origin"), ONE, sha, MAIN)
    assert (found.value.kind, found.value.message) == (kind, words)


def test_hooks_of_the_clone_do_not_run(clone: Clone, tmp_path: Path) -> None:
    _, sha = work(clone)
    for name in ("pre-push", "reference-transaction"):
        script(clone.admin / "hooks" / name, f"touch '{tmp_path}/ran'; exit 1")
    push(Remote(clone.repo, "origin"), ONE, sha, MAIN)
    assert not (tmp_path / "ran").exists()


def test_a_remote_that_is_gone(clone: Clone) -> None:
    _, sha = work(clone)
    clone.remote.rename(clone.remote.with_name("away"))
    with pytest.raises(RemoteFailed, match="cannot be reached"):
        push(Remote(clone.repo, "origin"), ONE, sha, MAIN)
    with pytest.raises(Expected, match="cannot be reached") as error:
        fetch_base(Remote(clone.repo, "origin"), MAIN)
    assert error.value.hint == "git ls-remote origin"


def test_a_remote_that_does_not_answer(clone: Clone, tmp_path: Path) -> None:
    _, sha = work(clone)
    sh(
        clone.top,
        "git",
        "config",
        "core.sshCommand",
        str(script(tmp_path / "ssh", "exec sleep 600")),
    )
    sh(clone.top, "git", "config", "ssh.variant", "ssh")
    sh(clone.top, "git", "remote", "set-url", "origin", "git@example.invalid:a/b.git")
    with pytest.raises(RemoteFailed, match="no answer in 0 s"):
        push(Remote(clone.repo, "origin", timeout=0.3), ONE, sha, MAIN)


def test_a_remote_that_hangs_while_it_takes_the_push(clone: Clone, tmp_path: Path) -> None:
    """What it leaves behind holds the streams, as a shared connection of ssh does. A later attempt succeeds."""
    _, sha = work(clone)
    note = tmp_path / "left"
    hanging = f'*receive-pack*) if mkdir "{tmp_path}/once"; then setsid tail -f /dev/null & echo $! > "{note}"; wait; fi;;'
    ssh = script(
        tmp_path / "ssh",
        f'for last; do :; done\ncase "$last" in {hanging} esac\nexec sh -c "$last"',
    )
    sh(clone.top, "git", "config", "core.sshCommand", f"'{ssh}'")
    sh(clone.top, "git", "config", "ssh.variant", "simple")
    sh(
        clone.top,
        "git",
        "remote",
        "set-url",
        "origin",
        f"ssh://there.invalid{str(clone.remote).replace(' ', '%20')}",
    )
    with pytest.raises(RemoteFailed, match="no answer in 3 s"):
        push(Remote(clone.repo, "origin", timeout=3), ONE, sha, MAIN)
    assert sh(clone.remote, "git", "branch", "--list", ONE) == ""
    if note.exists():
        os.kill(int(note.read_text()), signal.SIGKILL)
    else:  # it was not reached in time
        (tmp_path / "once").mkdir()
    push(Remote(clone.repo, "origin"), ONE, sha, MAIN)
    assert sh(clone.remote, "git", "rev-parse", ONE) == sha


def test_ssh_is_the_users_and_does_not_ask(clone: Clone, tmp_path: Path) -> None:
    _, sha = work(clone)
    denied = 'echo "me@h: Permission denied (publickey)." >&2; exit 255'
    ssh = script(tmp_path / "bin/ssh", f'echo "$@" >> "{tmp_path}/said"; {denied}')
    sh(clone.top, "git", "config", "core.sshCommand", f"'{ssh}' -i key")
    sh(clone.top, "git", "remote", "set-url", "origin", "me@example.invalid:a/b.git")
    with pytest.raises(SignInRefused):
        push(Remote(clone.repo, "origin"), ONE, sha, MAIN)
    said = (tmp_path / "said").read_text()
    assert said.startswith("-i key -oBatchMode=yes")
    with pytest.raises(Expected, match="does not let us in"):
        fetch_base(Remote(clone.repo, "origin"), MAIN)


def test_a_url_that_is_a_command_does_not_run(clone: Clone, tmp_path: Path) -> None:
    _, sha = work(clone)
    sh(clone.top, "git", "config", "protocol.ext.allow", "always")
    sh(clone.top, "git", "remote", "set-url", "origin", f"ext::touch {tmp_path}/ran")
    with pytest.raises(RemoteFailed, match="cannot be reached"):
        push(Remote(clone.repo, "origin"), ONE, sha, MAIN)
    assert not (tmp_path / "ran").exists()


SERVER = """
import base64, http.server, os, ssl, subprocess, sys, urllib.parse
root, cert, log = sys.argv[1:4]

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        given = self.headers.get("Authorization", "")
        with open(log, "a") as file:
            file.write(base64.b64decode(given.removeprefix("Basic ")).decode() + "\\n")
        if given == "Basic " + base64.b64encode(b"x-access-token:right").decode():
            self.answer(200, *self.ask_git())
        else:
            self.answer(401, ['WWW-Authenticate: Basic realm="x"'], b"")

    do_POST = do_GET

    def ask_git(self):
        path, _, query = urllib.parse.unquote(self.path).partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        env = os.environ | {
            "GIT_PROJECT_ROOT": root, "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query,
            "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""), "REMOTE_USER": "x",
            "CONTENT_LENGTH": str(len(body)), "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        out = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True).stdout
        head, _, rest = out.partition(b"\\r\\n\\r\\n")
        return head.decode().splitlines(), rest

    def answer(self, code, head, body):
        self.send_response(code)
        for line in [*head, f"Content-Length: {len(body)}"]:
            self.send_header(*line.split(": ", 1))
        self.end_headers()
        self.wfile.write(body)

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture
def https(clone: Clone, tmp_path: Path, home: Path):  # type: ignore[no-untyped-def]
    """The remote behind https with a password; yields its host and the log of what was tried."""
    cert, log = tmp_path / "cert", write(tmp_path / "log", "")
    sh(
        tmp_path,
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=127.0.0.1",
        "-days",
        "2",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        "cert",
        "-out",
        "crt",
    )
    cert.write_text(cert.read_text() + (tmp_path / "crt").read_text())
    sh(home, "git", "config", "--global", "http.sslCAInfo", str(tmp_path / "crt"))
    argv = [sys.executable, "-c", SERVER, str(clone.remote.parent), str(cert), str(log)]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout
        host = f"127.0.0.1:{server.stdout.readline().strip()}"
        sh(
            clone.top,
            "git",
            "remote",
            "set-url",
            "origin",
            f"https://{host}/{clone.remote.name.replace(' ', '%20')}",
        )
        yield host, log
        server.terminate()


def test_the_token_is_for_its_host_and_leaves_no_trace(
    clone: Clone, home: Path, https: tuple[str, Path]
) -> None:
    host, log = https
    _, sha = work(clone)
    stored = home / "stored"
    sh(home, "git", "config", "--global", "credential.helper", f"store --file '{stored}'")
    with pytest.raises(SignInRefused):
        push(Remote(clone.repo, "origin"), ONE, sha, MAIN)
    with pytest.raises(SignInRefused):
        push(
            Remote(signed(clone.repo, Token("right", "", "example.org")), "origin"), ONE, sha, MAIN
        )
    with pytest.raises(SignInRefused):
        push(Remote(signed(clone.repo, Token("wrong", "", host)), "origin"), ONE, sha, MAIN)
    assert "right" not in log.read_text()
    push(Remote(signed(clone.repo, Token("right", "", host)), "origin"), ONE, sha, MAIN)
    assert fetch_base(
        Remote(signed(clone.repo, Token("right", "", host)), "origin"), MAIN
    ) == rev_parse(clone.repo, "main")
    assert "x-access-token:right" in log.read_text()
    assert not stored.exists(), "no helper of the user may store it"
    assert "right" not in repr(Token("right", "", host))


def test_a_helper_of_the_user_comes_first(
    clone: Clone, home: Path, https: tuple[str, Path]
) -> None:
    host, log = https
    _, sha = work(clone)
    helper = script(home / "helper", "echo username=x-access-token; echo password=right")
    sh(home, "git", "config", "--global", "credential.helper", str(helper))
    asked: list[str] = []  # to ask gh takes long
    repo = clone.repo._replace(find_token=lambda: asked.append(host))
    push(Remote(repo, "origin"), ONE, sha, MAIN)
    assert not asked and "x-access-token:right" in log.read_text()


def partial_clone(clone: Clone, home: Path, tmp_path: Path) -> Repo:
    """A clone that has no contents yet, of a remote to which nothing of the user's leads any more."""
    sh(clone.top, "git", "checkout", "-q", "-b", "two")
    commit(clone.top, "two", both="of two\n", **{".gitattributes": "*.x filter=lfs\n"})
    sh(clone.top, "git", "checkout", "-q", "-b", "three", "main")
    commit(clone.top, "three", both="of three\n")
    sh(clone.top, "git", "push", "-q", str(clone.remote), "two", "three")
    sh(clone.remote, "git", "config", "uploadpack.allowFilter", "true")
    sh(clone.remote, "git", "config", "uploadpack.allowAnySHA1InWant", "true")
    helper = script(home / "once", "echo username=x-access-token; echo password=right")
    told = ("-c", f"credential.helper={helper}")
    url = sh(clone.top, "git", "remote", "get-url", "origin")
    flags = ("--filter=blob:none", "--no-checkout")
    sh(tmp_path, "git", *told, "clone", "-q", *flags, url, "partly")
    return find_repo(str(tmp_path / "partly"))


def fill(repo: Repo, _: Repo) -> str:
    return (make_worktree(Clone(repo, Path())) / "README.md").read_text()


def attributes(repo: Repo, _: Repo) -> bool:
    return uses_lfs(repo, rev_parse(repo, "origin/two"))


def conflicts(repo: Repo, _: Repo) -> tuple[str, ...]:
    heads = {Branch(name): rev_parse(repo, f"origin/{name}") for name in ("two", "three")}
    [files] = predict(repo, rev_parse(repo, "origin/main"), heads).pairs.values()
    return files


def submodule(repo: Repo, able: Repo) -> bool:
    """The repository itself, as one of its own submodules."""
    path = make_worktree(Clone(able, Path()))
    write(Path(repo.main) / "lib/.git", "")
    url = sh(repo.main, "git", "remote", "get-url", "origin")
    write(path / ".gitmodules", f'[submodule "lib"]\n\tpath = lib\n\turl = {url}\n')
    gitlink = f"160000,{rev_parse(repo, 'origin/main')},lib"
    sh(path, "git", "update-index", "--add", "--cacheinfo", gitlink)
    populate_submodules(repo, str(path))
    return (path / "lib/README.md").exists()


ASKS = [
    (fill, "one\ntwo\n"),
    (attributes, True),
    pytest.param(conflicts, ("both",), marks=predicts),
    (submodule, True),
]


@pytest.mark.parametrize(("does", "gives"), ASKS)
def test_whatever_asks_the_remote_has_the_token(
    clone: Clone,
    home: Path,
    tmp_path: Path,
    https: tuple[str, Path],
    does: Callable[[Repo, Repo], object],
    gives: object,
) -> None:
    host, log = https
    repo = partial_clone(clone, home, tmp_path)
    able = signed(repo, Token("right", "", host))
    log.write_text("")
    for elsewhere in ("127.0.0.1", f"{host}0", "example.org"):
        # what is asked with it may first need what only the right one gets
        with pytest.raises(Expected):
            does(signed(repo, Token("other", "", elsewhere)), able)
    assert "other" not in log.read_text()
    assert does(able, able) == gives
    assert "x-access-token:right" in log.read_text()


def test_a_helper_for_that_host_alone_stores_nothing_and_others_keep_theirs(
    clone: Clone, home: Path, https: tuple[str, Path], tmp_path: Path
) -> None:
    """As `gh auth setup-git` sets it up; a submodule may lie on another host."""
    host, _ = https
    _, sha = work(clone)
    stored = home / "stored"
    key = f"credential.https://{host}.helper"
    sh(home, "git", "config", "--global", key, f"store --file '{stored}'")
    theirs = script(home / "theirs", "echo username=me; echo password=mine")
    sh(home, "git", "config", "--global", "credential.https://example.org.helper", str(theirs))
    lfs = "case $1 in push) printf 'url=https://example.org\\n\\n' | git credential fill"
    log = tmp_path / "filled"
    script(tmp_path / "bin/git-lfs", f"{lfs} > '{log}'; git ls-remote origin || exit 1; esac")
    repo = signed(clone.repo, Token("right", "", host))
    bin = f"{tmp_path}/bin:{os.environ['PATH']}"
    assert git(repo, "lfs", "push", env={"PATH": bin}, network=True).code == 0
    assert "password=mine" in log.read_text()
    push(Remote(repo, "origin"), ONE, sha, MAIN)
    assert not stored.exists()


def test_git_asks_for_the_token_often_and_at_once(
    clone: Clone, https: tuple[str, Path], tmp_path: Path
) -> None:
    """As LFS does: for the batch, for locks, for each transfer."""
    host, _ = https
    out = tmp_path / "out"
    out.mkdir()
    fill = f"printf 'protocol=https\\nhost={host}\\n\\n' | git credential fill"
    many = f"for n in $(seq 30); do {fill} > '{out}'/$n & done; wait; {fill}; {fill}"
    script(tmp_path / "bin/git-lfs", f"{fill} > /dev/null || exit 2\n{many}")
    bin = f"{tmp_path}/bin:{os.environ['PATH']}"
    repo = signed(clone.repo, Token("right", "", host))
    done = git(repo, "lfs", env={"PATH": bin}, network=True)
    answers = [each.read_text() for each in out.iterdir()] + done.stdout.split("protocol=")[1:]
    assert len(answers) == 32
    assert all("username=x-access-token\npassword=right\n" in each for each in answers)


def test_who_asks_and_goes_away_holds_nobody_up(
    clone: Clone, https: tuple[str, Path], tmp_path: Path
) -> None:
    host, _ = https
    asked = "import os, re; [os.write(int(re.findall('write.(\\\\d+)', os.environ[k])[0]), b'get')"
    asked += " for k in os.environ if 'os.write' in os.environ[k] for _ in range(40)]"
    fill = f"printf 'protocol=https\\nhost={host}\\n\\n' | git credential fill"
    rude = f'timeout 1 "{sys.executable}" -c "{asked}"'
    script(tmp_path / "bin/git-lfs", f"{fill} > /dev/null || exit 2\n{rude}; exit 0")
    bin = f"{tmp_path}/bin:{os.environ['PATH']}"
    repo = signed(clone.repo, Token("right", "", host))
    assert git(repo, "lfs", env={"PATH": bin}, network=True).code == 0
    assert find_remote_sha(Remote(repo, "origin"), MAIN)


def test_lfs_objects_go_first(
    clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, sha = work(
        clone, **{"deep/.gitattributes": "*.bin filter=lfs diff=lfs\n", "deep/a.bin": "x"}
    )
    assert uses_lfs(clone.repo, sha)
    assert not uses_lfs(clone.repo, rev_parse(clone.repo, "main"))
    with pytest.raises(Rejected) as found:
        push(Remote(clone.repo, "origin"), ONE, sha, MAIN)
    assert (found.value.kind, find_remote_sha(Remote(clone.repo, "origin"), ONE)) == ("other", None)
    said = f'"{tmp_path}/said"'
    script(
        tmp_path / "bin/git-lfs", f'echo "$@" >> {said}; ls "{clone.remote}/refs/heads" >> {said}'
    )
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    push(Remote(clone.repo, "origin"), ONE, sha, MAIN)
    assert (tmp_path / "said").read_text() == "push origin issue-1\nmain\n"


def test_fetching_the_base_touches_that_ref_alone(clone: Clone, tmp_path: Path) -> None:
    sh(tmp_path, "git", "clone", "-q", str(clone.remote), "other")
    sha = commit(tmp_path / "other", "newer", **{"README.md": "newer\n"})
    sh(tmp_path / "other", "git", "push", "-q", "origin", "main", "main:second")
    sh(tmp_path / "other", "git", "tag", "t")
    sh(tmp_path / "other", "git", "push", "-q", "--tags")
    sh(clone.top, "git", "config", "fetch.prune", "true")
    sh(clone.top, "git", "update-ref", "refs/remotes/origin/stale", "HEAD")
    before = set(sh(clone.top, "git", "for-each-ref").splitlines())
    assert fetch_base(Remote(clone.repo, "origin"), MAIN) == sha
    changed = set(sh(clone.top, "git", "for-each-ref").splitlines()) ^ before
    assert {line.split("\t")[1] for line in changed} == {"refs/remotes/origin/main"}
    assert not (clone.admin / "FETCH_HEAD").exists()


def test_a_base_that_is_not_there(clone: Clone) -> None:
    with pytest.raises(Expected, match="origin has no branch trunk"):
        fetch_base(Remote(clone.repo, "origin"), Branch("trunk"))


FETCH = """
import sys
from issue_orch.git.run import find_repo
from issue_orch.git.remote import Remote, fetch_base
print(fetch_base(Remote(find_repo(sys.argv[1]), "origin"), "main"))
"""


def test_fetching_by_many_at_once(clone: Clone, tmp_path: Path) -> None:
    sh(tmp_path, "git", "clone", "-q", str(clone.remote), "other")
    sha = commit(tmp_path / "other", "newer", **{"README.md": "newer\n"})
    sh(tmp_path / "other", "git", "push", "-q", "origin", "main")
    argv = [sys.executable, "-c", FETCH, str(clone.top)]
    running = [
        subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    wait_for(lambda: all(each.poll() is not None for each in running))
    assert [each.communicate() for each in running] == [(f"{sha}\n", "")] * 8
