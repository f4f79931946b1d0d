"""List what the tar stream of a folder has, with the digest of each file, without keeping its contents."""

import hashlib
from dataclasses import dataclass

from opstore_daemon.protocol.folder_format import FILE, Entry, InvalidFolder, padding, read_entry

MAX_ENTRIES = 100_000  # of a listing, which is held in memory


@dataclass(frozen=True, slots=True)
class ListedEntry:
    """An entry: its header, and the SHA-256 of the bytes of a file."""

    entry: Entry
    digest: bytes = b""


class _Incomplete(Exception):
    """The bytes of the next header have not arrived yet."""


class FolderLister:
    """A writable object: write the stream to it, in pieces of any size, and `entries` are what the stream has, by path.

    `write` raises InvalidFolder. The entries count only once the caller has verified the whole stream.
    """

    def __init__(self) -> None:
        self.entries: dict[bytes, ListedEntry] = {}
        self._waiting = b""  # the beginning of a header
        self._entry: Entry | None = None  # whose content arrives
        self._content = self._padding = 0  # bytes of it that are missing
        self._hash = hashlib.sha256()
        self._is_whole = False

    def write(self, data: bytes | memoryview) -> int:
        """Take the next bytes of the stream."""
        view = memoryview(self._waiting + bytes(data) if self._waiting else data)
        self._waiting = b""
        while view and not self._is_whole:
            if self._entry is not None:
                view = self._read_content(view)
                continue
            try:
                view = self._read_header(view)
            except _Incomplete:
                self._waiting = bytes(view)
                return len(data)
        if view:
            raise InvalidFolder("there are bytes after its end")
        return len(data)

    def flush(self) -> None:
        """Raise InvalidFolder if the stream ended early."""
        if not self._is_whole:
            raise InvalidFolder("it ends early")

    def _read_header(self, view: memoryview) -> memoryview:
        """Take a header; return the bytes after it. Raises _Incomplete."""
        position = 0

        def read_exactly(count: int) -> bytes:
            nonlocal position
            if position + count > len(view):
                raise _Incomplete
            position += count
            return bytes(view[position - count : position])

        entry = read_entry(read_exactly)
        if entry is None:
            self._is_whole = True
            return view[position:]
        if len(self.entries) == MAX_ENTRIES:
            raise InvalidFolder(f"it has more than {MAX_ENTRIES:,} entries, too many to compare")
        if entry.path in self.entries:
            raise InvalidFolder(f"{str(entry)[:200]!r} is duplicated")
        self._entry, self._hash = entry, hashlib.sha256()
        self._content, self._padding = entry.size, padding(entry.size)
        return self._read_content(view[position:])

    def _read_content(self, view: memoryview) -> memoryview:
        """Take content and padding of the entry; return the bytes after them."""
        assert self._entry is not None, "a header came before"  # noqa: S101
        content, view = view[: self._content], view[self._content :]
        self._hash.update(content)
        self._content -= len(content)
        skipped = min(self._padding, len(view))
        self._padding -= skipped
        if self._content == self._padding == 0:
            digest = self._hash.digest() if self._entry.kind == FILE else b""
            self.entries[self._entry.path] = ListedEntry(self._entry, digest)
            self._entry = None
        return view[skipped:]
