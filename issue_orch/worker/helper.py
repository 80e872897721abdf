"""Short-lived helper of the supervisor: renders messages, settles, notifies. Reads one JSON request on stdin."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from ..core.model import Token
from ..errors import Expected
from ..git import run as git
from ..github.sign_in import find_token, web_host
from ..process.run import hide_process
from .changes import repo_of


def main() -> int:
    hide_process()
    request = json.loads(sys.stdin.read())
    operation = {"render": render, "settle": settle, "notify": notify}[request.pop("operation")]
    try:
        answer = operation(request)
    except Expected as error:
        answer = {"error": error.message, "hint": error.hint}
    sys.stdout.write(json.dumps(answer))
    return 0


def render(request: dict[str, Any]) -> dict[str, Any]:
    """A message to a worker, by the team's templates."""
    from ..config.templates import render as render_template

    text = render_template(
        request["template"],
        request["top"],
        number=request["number"],
        report=request["report"],
        messages=request["messages"],
        words=request["words"],
        prompt=request["prompt"],
    )
    return {"text": text}


def token_for(request: dict[str, Any]) -> Token | None:
    """The token that the starting command handed over; else what can be had now, such as `gh auth token`."""
    base_url = request["launch"]["baseUrl"]
    if request["token"]:
        return Token(request["token"], "environment of the starting command", web_host(base_url))
    return find_token(base_url, os.environ)


def settle(request: dict[str, Any]) -> dict[str, Any]:
    from ..github.client import open_github
    from .settle import Job
    from .settle import settle as settle_session

    launch, token = request["launch"], token_for(request)
    if changed := changed_keys(repo_of(launch), request):
        raise Expected(
            f"the git configuration changed since the worker started: {', '.join(changed)}; look at it with "
            "`git config --show-origin --get-all KEY`; undo it, or if it is yours `issue-orch init --approve`; "
            f"then `issue-orch resume {request['number']}`"
        )
    if token is None:
        raise Expected(
            f"no token for {launch['baseUrl']}: gh auth login, or set GH_TOKEN, then issue-orch resume"
        )
    state = Path(request["state"])
    gh = open_github(launch["repoName"], token, launch["baseUrl"], state, os.environ)
    return settle_session(Job(launch, request["status"], request["claim"], token), gh)._asdict()


def changed_keys(repo: git.Repo, request: dict[str, Any]) -> list[str]:
    """Keys of git's configuration that run something and differ from what was noted at spawn (threat S9)."""
    from ..store.files import load_json, session_folder

    noted = load_json(session_folder(Path(request["state"]), request["number"]) / "keys.json")
    if noted is None:
        return []
    return git.changed_keys(noted, git.dangerous_keys(repo, request["launch"]["remote"]))


def notify(request: dict[str, Any]) -> dict[str, Any]:
    from ..store.files import iso, state_folder, write_json
    from .notify import Event
    from .notify import notify as deliver

    status, launch = request["status"], request["launch"]
    event = Event(
        request["kind"],
        status["issueNumber"],
        status["issueTitle"],
        request["text"],
        status["pullRequestUrl"] or status["issueUrl"],
    )
    failures = deliver(event, launch["notify"])
    write_json(
        state_folder(launch["commonDir"])
        / "notify.json",  # for doctor: nobody waits for this process
        {"at": iso(time.time()), "issue": event.issue, "kind": event.kind, "failures": failures},
    )
    return {"failures": failures}


if __name__ == "__main__":
    sys.exit(main())
