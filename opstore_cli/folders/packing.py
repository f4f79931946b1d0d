"""Read a folder as one seekable tar stream of known size, generated while it is read, without a temporary copy."""

import hashlib
import os
import stat
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opstore_cli.folders.ignore import IgnoreRules
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.folder_format import (
    BLOCK,
    END,
    FILE,
    FOLDER,
    LINK,
    Entry,
    InvalidFolder,
    check_entry,
    header,
    padding,
)
from opstore_daemon.system.files import NONBLOCK, open_nofollow

# The way out if a link can't be stored as a link.
FOLLOW = "{} stores what the links lead to, if you trust the folder"
MAX_FOLLOWED = 1_000_000  # entries: folders that link to one another twice would double at each level

_Place = tuple[int, int]  # device and inode

_KINDS = {stat.S_IFSOCK: "a socket", stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


class PackedFolder:
    """The tar stream of a folder in its current state. Every method raises FileRefused, which names the entry.

    It keeps a list of the entries in memory, but of their content only what one `read` returns. `follow_links`: links
    are replaced by what they lead to, also outside of the folder; a cycle is refused. `rules`: which entries are
    skipped; `skipped` is how many of them patterns of the user exclude, and whether a `.git` is skipped. `max_size`:
    refuse a folder as soon as its entries show that its stream is longer.
    """

    def __init__(
        self,
        path: str,
        *,
        follow_links: bool = False,
        rules: IgnoreRules | None = None,
        max_size: int | None = None,
    ) -> None:
        self._path, self._follows, self._rules, self._max_size = path, follow_links, rules, max_size
        self.skipped = (0, False)
        # As bytes, so that names are the same whatever encoding the user's locale has.
        self._root = os.fsencode(path)
        self._entries = sorted(self._scan(), key=lambda entry: entry.path)
        # The offset of each entry's header, and last that of the end.
        self._starts = array("Q", [0])
        for entry in self._entries:
            content = entry.size + padding(entry.size)
            self._starts.append(self._starts[-1] + len(header(entry)) + content)
        self.size = self._starts[-1] + len(END)
        self._position = 0
        self._open: tuple[Entry, int] | None = None

    @property
    def entries(self) -> Sequence[Entry]:
        """All entries, in the order of the stream."""
        return self._entries

    @property
    def start_of_last(self) -> int:
        """The offset of the last entry in the stream; 0 if there is none."""
        return self._starts[max(len(self._entries) - 1, 0)]

    def fingerprint(self) -> str:
        """Return a hash of the entries and of each file's size, inode and time; it changes with the folder."""
        fingerprint = hashlib.sha256()
        for entry in self._entries:
            fingerprint.update(header(entry) + repr(entry.state).encode())
        return fingerprint.hexdigest()

    def check_unchanged(self) -> None:
        """Raise FileRefused if any entry was changed, added or removed."""
        now = sorted(self._scan(), key=lambda entry: entry.path)
        if now != self._entries:
            changed = min({*now} ^ {*self._entries}, key=lambda entry: entry.path)
            raise self._refused(changed.path, "it changed while it was read")

    def close(self) -> None:
        """Close the file that is being read."""
        if self._open is not None:
            os.close(self._open[1])
            self._open = None

    # --- the interface of a file object -------------------------------------------------------------------------------

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Return `size` bytes, across entries, or fewer at the end."""
        left = max(self.size - self._position, 0)
        left = left if size < 0 else min(size, left)
        pieces = []
        while left:
            piece = self._piece(left)
            pieces.append(piece)
            self._position += len(piece)
            left -= len(piece)
        return b"".join(pieces)

    def _piece(self, limit: int) -> bytes:
        """Return the next bytes of one header, content or padding, at most `limit`."""
        number = bisect_right(self._starts, self._position) - 1
        offset = self._position - self._starts[number]
        if number == len(self._entries):
            return END[offset : offset + limit]
        entry = self._entries[number]
        head = header(entry)
        if offset < len(head):
            return head[offset : offset + limit]
        offset -= len(head)
        if offset < entry.size:
            return self._content(entry, offset, min(limit, entry.size - offset))
        return bytes(min(limit, entry.size + padding(entry.size) - offset))

    def _content(self, entry: Entry, offset: int, size: int) -> bytes:
        with self._translated_errors(entry.path):
            descriptor = self._descriptor(entry)
            os.lseek(descriptor, offset, os.SEEK_SET)
            data = os.read(descriptor, size)
        if not data:
            raise self._refused(entry.path, "it became shorter while it was read")
        return data

    def _descriptor(self, entry: Entry) -> int:
        if self._open is None or self._open[0] is not entry:
            self.close()
            # O_NONBLOCK: opening a pipe that replaced the file would wait for a writer.
            path, flags = os.path.join(self._root, entry.path), os.O_RDONLY | NONBLOCK
            binary = getattr(os, "O_BINARY", 0)
            descriptor = os.open(path, flags | binary) if self._follows else open_nofollow(path, flags)
            self._open = entry, descriptor
            state = os.fstat(descriptor)
            if not stat.S_ISREG(state.st_mode) or _identity(state) != entry.state:
                raise self._refused(entry.path, "it changed while it was read")
        return self._open[1]

    # --- its entries --------------------------------------------------------------------------------------------------

    def _scan(self) -> Iterator[Entry]:
        pending: list[tuple[bytes, tuple[_Place, ...]]] = [(b"", ())]
        count = 0
        self.skipped = (0, False)
        while pending:
            folder, above = pending.pop()
            path = os.path.join(self._root, folder) if folder else self._root
            within = (*above, self._place(path, folder, above)) if self._follows else ()
            with self._translated_errors(folder), os.scandir(path) as found:
                names = [each.name for each in found]
            count += len(names)
            if self._max_size is not None and count * BLOCK > self._max_size:
                raise self._refused(b"", f"its stream has more than {self._max_size} bytes")
            if self._follows and count > MAX_FOLLOWED:
                raise self._refused(folder, f"with its links followed, the folder has more than {MAX_FOLLOWED} entries")
            for name in names:
                entry_path = folder + b"/" + name if folder else name
                if self._is_skipped(entry_path):
                    continue
                entry = self._entry(entry_path)
                if entry.kind == FOLDER:
                    pending.append((entry.path, within))
                yield entry

    def _is_skipped(self, path: bytes) -> bool:
        """Return whether the rules skip the entry, and count it."""
        if self._rules is None:
            return False
        full_path = os.path.join(self._root, path)
        is_folder = os.path.isdir(full_path) and (self._follows or not os.path.islink(full_path))
        rule = self._rules.deciding(path, is_folder)
        if rule is not None:
            count, git = self.skipped
            is_git = self._rules.is_default(rule)
            self.skipped = (count + (not is_git), git or is_git)
        return rule is not None

    def _place(self, path: bytes, folder: bytes, above: "tuple[_Place, ...]") -> "_Place":
        """Return the identity of a folder; raises FileRefused if it is one of those that it is in."""
        with self._translated_errors(folder):
            state = os.stat(path)
        place = state.st_dev, state.st_ino
        if place in above:
            top = b"/".join(folder.split(b"/")[: above.index(place)])
            where = os.path.join(self._path, os.fsdecode(top)) if top else self._path
            raise self._refused(folder, f"its link leads back to {where}, which it is in: a cycle")
        return place

    def _entry(self, path: bytes) -> Entry:
        full_path = os.path.join(self._root, path)
        with self._translated_errors(path):
            # Not DirEntry.stat(): on Windows its result lacks device and inode.
            state = os.stat(full_path, follow_symlinks=False)
            is_link = stat.S_ISLNK(state.st_mode)
            if is_link and self._follows:
                state = self._state_behind(full_path, path)
            kind = stat.S_IFMT(state.st_mode)
            if kind == stat.S_IFREG:
                # Windows derives this bit from the suffix.
                executable = os.name == "posix" and bool(state.st_mode & stat.S_IXUSR)
                entry = Entry(path, FILE, size=state.st_size, executable=executable, state=_identity(state))
            elif kind == stat.S_IFDIR:
                entry = Entry(path, FOLDER)
            elif kind == stat.S_IFLNK:
                target = os.readlink(full_path)
                entry = Entry(path, LINK, target=target.replace(b"\\", b"/") if os.name == "nt" else target)
            else:
                leads = "it is a link to" if is_link else "it is"
                raise self._refused(path, f"{leads} {_KINDS.get(kind, 'something other than a file, folder or link')}")
            try:
                check_entry(entry)
            except InvalidFolder as error:
                failure = self._refused(path, str(error))
                if is_link:
                    failure.advice = FOLLOW.format("--follow-links")
                    failure.python = FOLLOW.format("follow_links=True")
                raise failure from None
        return entry

    def _state_behind(self, full_path: bytes, path: bytes) -> os.stat_result:
        """Return the state of what a link leads to. Raises FileRefused for a dangling one, and OSError."""
        try:
            return os.stat(full_path)
        except FileNotFoundError:
            target = os.fsdecode(os.readlink(full_path))
            raise self._refused(path, f"its link leads to {target!r}, which does not exist") from None

    @contextmanager
    def _translated_errors(self, path: bytes) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._refused(path, errors.reason(error)) from error

    def _refused(self, path: bytes, reason: str) -> errors.FileRefused:
        full_path = os.path.join(self._path, os.fsdecode(path)) if path else self._path
        return errors.FileRefused(path=full_path, reason=reason)


def _identity(state: os.stat_result) -> tuple[int, ...]:
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns
