"""Short-lived helper of the supervisor: renders messages, settles, notifies. Reads one JSON request on stdin."""

from __future__ import annotations

import json
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from ..core.model import Token
from ..errors import Expected
from ..git.trust import changed_keys, dangerous_keys
from ..github.sign_in import find_token, web_host
from ..process.secret import hide_process
from ..store.files import iso, state_folder, write_json
from ..store.launch import Launch
from .changes import repo_of

_Json = dict[str, Any]


def main() -> int:
    hide_process()
    request = json.loads(sys.stdin.read())
    operation = {"render": _render, "settle": _settle, "notify": _notify}[request.pop("operation")]
    try:
        answer = operation(request)
    except Expected as error:
        answer = {"error": error.message, "hint": error.hint}
    sys.stdout.write(json.dumps(answer))
    return 0


def _render(request: _Json) -> _Json:
    """A message to a worker, by the team's templates."""
    from ..config.templates import render

    request.pop("token", None)  # of a supervisor of before the rooms
    return {"text": render(request.pop("template"), request.pop("top"), **request)}


def _settle(request: _Json) -> _Json:
    """With the token that the starting command handed over; else what can be had now, such as `gh auth token`."""
    from ..github.client import open_github
    from .settle import Job, settle

    launch, state = request["launch"], Path(request["state"])
    base_url = launch["baseUrl"]
    token = (
        Token(request["token"], "environment of the starting command", web_host(base_url))
        if request["token"]
        else find_token(base_url, os.environ)
    )
    guard = partial(_refuse_changed_keys, launch, state, request["number"])
    guard()
    if token is None:
        raise Expected(
            f"no token for {base_url}: gh auth login, or set GH_TOKEN, then issue-orch resume"
        )
    gh = open_github(launch["repoName"], token, base_url, state, os.environ)
    told = request.get("told", False)  # not by a supervisor of before it
    return settle(
        Job(launch, request["status"], request["claim"], token, told, guard), gh
    )._asdict()


def _refuse_changed_keys(launch: Launch, state: Path, number: int) -> None:
    """Keys that run something and differ from what was noted at spawn (threat S9)."""
    now = dangerous_keys(repo_of(launch), launch["remote"])
    if changed := changed_keys(state, number, now):
        raise Expected(
            f"the git configuration changed since the worker started: {', '.join(changed)}; look at it with "
            "`issue-orch doctor`; undo it, or if it is yours `issue-orch init --approve`; "
            f"then `issue-orch resume {number}`"
        )


def _notify(request: _Json) -> _Json:
    from .notify import Notice, notify

    status, launch = request["status"], request["launch"]
    notice = Notice(
        request["kind"],
        status["issueNumber"],
        status["issueTitle"],
        request["text"],
        status["pullRequestUrl"] or status["issueUrl"],
    )
    failures = notify(notice, launch["notify"], os.environ)
    write_json(
        state_folder(launch["commonDir"])
        / "notify.json",  # for doctor: nobody waits for this process
        {"at": iso(time.time()), "issue": notice.issue, "kind": notice.kind, "failures": failures},
    )
    return {}


if __name__ == "__main__":
    sys.exit(main())
