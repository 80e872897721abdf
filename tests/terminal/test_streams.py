"""Output that cannot be written, or has characters that the stream has not: no fault of ours, and no traceback."""

from __future__ import annotations

import subprocess

import pytest

from tests.kit.scene import Scene


def in_shell(scene: Scene, line: str) -> subprocess.CompletedProcess[str]:
    program = " ".join(scene.command)
    return subprocess.run(
        ["/bin/sh", "-c", line.replace("issue-orch", program)],
        cwd=scene.clone,
        env=scene.env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("line", ["status", "plan --json", "--help", "doctor", "spawn 99"])
def test_closed_output_is_quiet_and_no_success(scene: Scene, line: str) -> None:
    ran = in_shell(scene, f"issue-orch {line} >&-")
    assert ran.returncode == 1 and "Traceback" not in ran.stderr and "bug" not in ran.stderr, ran
    ran = in_shell(scene, f"issue-orch {line} <&- >&- 2>&-")
    assert ran.returncode == 1 and not ran.stderr, ran


def test_closed_errors_are_quiet(scene: Scene) -> None:
    assert in_shell(scene, "issue-orch status 2>&-").returncode == 0
    assert in_shell(scene, "issue-orch show 99 2>&- <&-").returncode == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8:strict"])
def test_characters_that_the_stream_has_not_are_replaced(scene: Scene, encoding: str) -> None:
    number = scene.issue("\u00dcn\u00efcode \u2713")
    scene.orch("spawn", str(number), check=True)
    scene.wait_status(number, "complete")
    scene.env["PYTHONIOENCODING"] = encoding
    for words in (("status",), ("show", str(number)), ("plan",), ("logs", str(number))):
        ran = scene.orch(*words)
        assert ran.code == 0 and "bug" not in ran.err, ran
    assert "code" in scene.orch("status").out


@pytest.mark.parametrize("count", ["-5", "-1"])
def test_a_count_below_nothing_is_refused_in_words(scene: Scene, count: str) -> None:
    number = scene.issue()
    scene.orch("spawn", str(number), check=True)
    for words in (("-n", count), (f"--lines={count}",)):
        ran = scene.orch("logs", str(number), *words)
        assert ran.code == 2 and "0" in ran.err and "bug" not in ran.err, ran
    scene.wait_status(number, "complete")
