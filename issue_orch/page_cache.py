"""Pages that GitHub sent, kept on disk with their ETag, so that asking again costs nothing of the rate limit."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

CACHE_BYTES = 128 * 1024 * 1024


class Page(NamedTuple):
    """One page: what to send as If-None-Match next time, the query of the page after it, and the content."""

    etag: str
    next: str | None
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
    """Keep `page`; `text` is its data as the server sent it."""
    head = json.dumps({"url": url, "etag": page.etag, "next": page.next})
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(dir=folder, prefix=".new-")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(f"{head}\n{text}".encode())
        os.replace(name, page_path(folder, url))
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    trim(folder, limit)


def touch_page(folder: Path, url: str) -> None:
    """Mark as used, so that trimming takes what nobody asks for any more."""
    try:
        os.utime(page_path(folder, url))
    except FileNotFoundError:
        pass


def page_path(folder: Path, url: str) -> Path:
    return folder / f"{hashlib.sha256(url.encode()).hexdigest()[:40]}.page"


def trim(folder: Path, limit: int) -> None:
    """Above `limit` bytes, drop the least recently used half."""
    pages = sorted(scan(folder), reverse=True)
    if sum(size for _, size, _ in pages) <= limit:
        return
    kept = 0
    for _, size, path in pages:
        kept += size
        if kept > limit // 2:
            Path(path).unlink(missing_ok=True)


def scan(folder: Path) -> Iterator[tuple[float, int, str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                if entry.name.endswith(".page"):
                    yield entry.stat().st_mtime, entry.stat().st_size, entry.path
            except FileNotFoundError:  # another process trimmed it
                continue
