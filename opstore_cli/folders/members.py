"""Find the members of a folder in its tar stream by reading only the headers, and where each content begins."""

import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from opstore_cli.folders.unpacking import check_next
from opstore_daemon.protocol.folder_format import FOLDER, LINK, Entry, InvalidFolder, padding, read_entry

MIN_READ = 32 * 1024  # bytes; the first read, and one after a file that is longer than what was read
MAX_READ = 4 * 1024 * 1024  # bytes; headers that follow each other closely are read in pieces that double up to this
MAX_MEMBERS = 250_000  # held in memory
MAX_LINKS = 40  # that one path may lead through, as on Linux

# Returns the bytes of the stream from an offset to before another.
ReadRange = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Member:
    """An entry of the folder. `offset`: where its content begins in the stream."""

    entry: Entry
    offset: int = 0


ROOT = Member(Entry(b"", FOLDER))  # the folder itself


class Members:
    """The members of a folder, by path; the path of the folder itself is empty."""

    def __init__(self, members: Iterable[Member]) -> None:
        self._members = {member.entry.path.decode(): member for member in members}
        self._children: dict[str, list[str]] = defaultdict(list)
        for path in self._members:
            self._children[posixpath.dirname(path)].append(path)

    def find(self, path: str) -> Member | None:
        """Return the file or folder at the path, links followed; None if there is none."""
        links, done, left = 0, "", path.split("/") if path else []
        member = ROOT
        while left:
            found = self._members.get(posixpath.join(done, left[0]))
            if found is None or member.entry.kind != FOLDER:
                return None
            if found.entry.kind != LINK:
                member, done, left = found, posixpath.join(done, left[0]), left[1:]
                continue
            links += 1
            # The target has `..` at its start only, and does not lead out of the folder (folder_format.check_entry).
            target = posixpath.normpath(posixpath.join(done, found.entry.target.decode()))
            member, done, left = ROOT, "", [*target.split("/"), *left[1:]]
            left = [part for part in left if part != "."]
            if links > MAX_LINKS:
                return None
        return member

    def children(self, path: str) -> list[str]:
        """Return the paths directly below that of a folder, in the order of the stream."""
        return self._children.get(path, [])


def read_members(read: ReadRange, size: int) -> Members:
    """Return the members of the stream of `size` bytes. Raises InvalidFolder, and what `read` raises.

    Nothing verifies the bytes; each header has to be in the form that opstore writes.
    """
    stream = _Headers(read, size)
    members: list[Member] = []
    last, folders = b"", {b""}
    while (entry := read_entry(stream.read_exactly)) is not None:
        check_next(entry, last, folders)
        if len(members) == MAX_MEMBERS:
            raise InvalidFolder(f"it has more than {MAX_MEMBERS:,} entries")
        members.append(Member(entry, stream.position))
        last = entry.path
        if entry.kind == FOLDER:
            folders.add(entry.path)
        stream.position += entry.size + padding(entry.size)
    return Members(members)


class _Headers:
    """Reads headers at increasing positions, with few requests and little in between."""

    def __init__(self, read: ReadRange, size: int) -> None:
        self._read, self._size = read, size
        self.position = 0
        self._start, self._window = 0, b""
        self._length = MIN_READ // 2

    def read_exactly(self, count: int) -> bytes:
        end = self.position + count
        if end > self._size:
            raise InvalidFolder("it ends early")
        if end > self._start + len(self._window):
            follows = self.position <= self._start + len(self._window) + self._length
            self._length = min(2 * self._length, MAX_READ) if follows else MIN_READ
            self._start = self.position
            self._window = self._read(self._start, min(self._size, self._start + max(count, self._length)))
        first = self.position - self._start
        self.position = end
        return self._window[first : first + count]
