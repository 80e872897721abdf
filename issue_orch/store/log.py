"""The agent's log on disk, as it grows: its lines, and when each came."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path


class LogReader:
    """Lives as long as somebody follows a log: keeps its place, and goes on in the new file after a rotation."""

    def __init__(self, path: Path, tail: int = 0, place: Sequence[int] = (-1, 0)) -> None:
        """With `tail` about that many bytes from the end; else from a place (inode, offset) that is still there, or from the
        start of the rotated part."""
        self.path, self.older, self.tail = path, path.with_name(path.name + ".1"), tail
        (self.inode, self.position), self.rest = place, b""

    def read(self) -> list[tuple[str, float]]:
        """Whole lines that were added, each with the time at which it came (seconds since the epoch, 0.0: unknown)."""
        older = _inode(self.older)
        first = not self.tail and self.inode not in (older, _inode(self.path))
        rotated = self.inode == older != -1
        paths = (self.older, self.path) if first or rotated else (self.path,)
        return [line for path in paths for line in self.read_file(path)]

    def read_file(self, path: Path) -> list[tuple[str, float]]:
        try:
            with open(path, "rb") as file:
                about = os.fstat(file.fileno())
                if about.st_ino != self.inode:
                    self.inode, self.position = (
                        about.st_ino,
                        max(0, about.st_size - self.tail) if self.tail else 0,
                    )
                file.seek(self.position)
                if self.tail and self.position:
                    file.readline()  # of which we may have only the end
                self.tail = 0
                start = file.tell() - len(self.rest)
                *whole, self.rest = (self.rest + file.read()).split(b"\n")
                self.position = file.tell()
        except FileNotFoundError:
            return []
        return list(_stamped(whole, start, _load_stamps(path) if whole else []))


def _inode(path: Path) -> int:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return -1


def _stamped(
    lines: list[bytes], start: int, stamps: list[tuple[int, float]]
) -> Iterator[tuple[str, float]]:
    for raw in lines:
        start += len(raw) + 1
        place = bisect_left(stamps, (start, 0.0))
        yield raw.decode("utf-8", "replace"), stamps[place][1] if place < len(stamps) else 0.0


def _load_stamps(log: Path) -> list[tuple[int, float]]:
    try:
        with open(f"{log}.times", encoding="ascii", errors="replace") as file:
            rows = [line.split() for line in file]
    except FileNotFoundError:
        return []
    return [(int(row[0]), float(row[1])) for row in rows if len(row) == 2 and row[0].isdecimal()]
