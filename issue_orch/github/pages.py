"""Pages of GitHub as they were last seen, on disk: what is sent again as If-None-Match, so that nothing new costs nothing."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ..store.files import write_text

CACHE_BYTES = 256 * 1024 * 1024


class Page(NamedTuple):
    """One page: what to send as If-None-Match next time, the query of the page after it, and the content."""

    etag: str
    next: str
    data: Any


def load_page(folder: Path, url: str) -> Page | None:
    """What was stored for `url`; None for nothing, and for a file that a crash left damaged."""
    try:
        head, _, body = page_path(folder, url).read_bytes().decode("utf-8").partition("\n")
        known = json.loads(head)
        if known["url"] != url:
            return None
        return Page(known["etag"], known["next"], json.loads(body))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def store_page(folder: Path, url: str, page: Page, text: str, limit: int = CACHE_BYTES) -> None:
    """Keep `page`, if there is room for it; `text` is its data as the server sent it."""
    head = json.dumps({"url": url, "etag": page.etag, "next": page.next})
    with suppress(
        OSError
    ):  # a full disk, mostly: then it is asked for again, and `prune` can make room
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _trim(folder, limit - len(text))
        write_text(page_path(folder, url), f"{head}\n{text}", mode=0o600)


def page_path(folder: Path, url: str) -> Path:
    return folder / f"{hashlib.sha256(url.encode()).hexdigest()[:40]}.page"


def _trim(folder: Path, limit: int) -> None:
    """Above `limit` bytes, begin anew."""
    pages = list(folder.glob("*.page"))
    with suppress(FileNotFoundError):  # another process is at it
        if sum(page.stat().st_size for page in pages) > limit:
            for page in pages:
                page.unlink()
