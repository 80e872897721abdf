"""How the sandbox reads and writes JSON over HTTP: bodies, refusals, pages, entity tags."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import urlencode

from .reads import Call, Listing
from .records import Json, Refused, Reply


def parse(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        raise Refused(400, "Problems parsing JSON") from None


def as_json(status: int, body: Any, headers: dict[str, str] | None = None) -> Reply:
    payload = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogateescape"
    )
    return Reply(
        status, {"Content-Type": "application/json; charset=utf-8", **(headers or {})}, payload
    )


def refusal(refused: Refused, api: str) -> Reply:
    body: Json = {"message": refused.message, "documentation_url": "https://docs.github.com/rest"}
    if refused.moved_to:
        url = f"{api}{refused.moved_to}"
        return as_json(refused.status, {"url": url, **body}, {"Location": url})
    errors = {"errors": refused.errors} if refused.errors else {}
    return as_json(refused.status, {**body, "status": str(refused.status), **errors})


def answered(status: int, answer: Any, call: Call, path: str) -> Reply:
    """The body of a route's answer; a listing is cut to the page asked for, with links to the others."""
    if not isinstance(answer, Listing):
        return as_json(status, answer)
    rows = list(answer.rows)
    size, page = int(call.query.get("per_page", 30)), int(call.query.get("page", 1))
    last = max(1, -(-len(rows) // size))
    earlier = {"prev": page - 1, "first": 1} if page > 1 else {}
    later = {"next": page + 1, "last": last} if page < last else {}
    links = ", ".join(
        f'<{call.view.api}{path}?{urlencode({**call.query, "page": number})}>; rel="{name}"'
        for name, number in {**earlier, **later}.items()
    )
    shown = [answer.render(call.view, row) for row in rows[(page - 1) * size : page * size]]
    return as_json(status, answer.wrap(shown), {"Link": links} if links else None)


def tagged(reply: Reply) -> Reply:
    """The tag is of the content, so that a change elsewhere does not move it."""
    content = reply.payload + reply.headers.get("Link", "").encode()
    tag = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    headers = {"ETag": f'W/"{tag}"', "Cache-Control": "private, max-age=60, s-maxage=60"}
    return reply._replace(headers={**reply.headers, **headers})


def unchanged(reply: Reply, if_none_match: str) -> bool:
    known = {each.strip().removeprefix("W/") for each in if_none_match.split(",")}
    return reply.headers["ETag"].removeprefix("W/") in known
