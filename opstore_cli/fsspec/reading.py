"""A version, or a file in a folder, opened for reading: from the local cache, or in ranges of bytes."""

import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsspec.spec import AbstractBufferedFile

from opstore_cli.client.base import BaseOpStoreClient
from opstore_cli.folders.members import Member, Members, read_members
from opstore_cli.folders.packing import PackedFolder
from opstore_cli.fsspec.paths import PROTOCOL
from opstore_cli.transfer.download import Pull
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.folder_format import InvalidFolder
from opstore_daemon.protocol.records import VersionRecord

WHOLE = 16 * 1024 * 1024  # bytes; a version of up to this size is pulled whole, and verified before it is read
AHEAD = 256 * 1024  # bytes that are read ahead; they double while a file is read in order, up to
MAX_AHEAD = 8 * 1024 * 1024
LINE = 8 * 1024  # bytes that are looked through at a time for the end of a line

_READ_OPTIONS = ("autocommit", "cache_options", "cache_type", "size")


@dataclass(frozen=True, slots=True, eq=False)
class Access:
    """A version that was read (or opened to be read), or that a write stored. `path`: as the caller wrote it."""

    client: BaseOpStoreClient
    path: str
    version: VersionRecord
    is_write: bool = False


# Called with each access, in the thread of the access: so a caller learns which version "latest" was.
observers: list[Callable[[Access], object]] = []


def observed(access: Access) -> None:
    """Report the access to the observers."""
    for observer in tuple(observers):
        observer(access)


def check_read_options(options: Mapping[str, Any]) -> None:
    """Raise InvalidRequest unless all are options of fsspec's files."""
    for name in options:
        if name not in _READ_OPTIONS:
            reason = f"{PROTOCOL}:// has no option {name!r} for reading; 'whole' is an option of the file system"
            raise errors.InvalidRequest(reason=reason)


class Content:
    """The bytes of one version. `path` is the verified copy in the local cache; None if they are read in ranges."""

    def __init__(self, client: BaseOpStoreClient, version: VersionRecord, whole: bool | None) -> None:
        """Pull the version into the cache if it is to be read `whole` (None: if it is small, or there already)."""
        self.version = version
        self.path = _cached(client, version, whole)
        self._pull = Pull(client._api, version, None, lambda *_: None, None)

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes from offset `start` to before `end` of the version."""
        return self._pull.read_range(start, end)

    def members(self) -> Members:
        """Return the members of a folder. Raises FolderRefused."""
        try:
            if self.path is not None:
                return Members(map(Member, PackedFolder(str(self.path)).entries))
            return read_members(self.read, self.version.size or 0)
        except InvalidFolder as error:
            version = self.version
            raise errors.FolderRefused(op=version.op, version=version.version, reason=str(error)) from None


def _cached(client: BaseOpStoreClient, version: VersionRecord, whole: bool | None) -> Path | None:
    cache, size = client._cache(), version.size or 0
    if size > cache.size or not (cache.may_have(version) or size <= WHOLE if whole is None else whole):
        return None
    with suppress(errors.OutputFailed):  # the cache can't be written
        return client._cached(version)
    return None


class OpStoreReader(AbstractBufferedFile):  # type: ignore[misc]
    """A file of the store, open for reading. `version` is the record of its version.

    Bytes from the local cache are verified before the first is read. Bytes that are read in ranges are verified with
    the last of them, if they are read from the first to the last; a file in a folder that is read in ranges is not.
    """

    DEFAULT_BLOCK_SIZE = AHEAD

    def __init__(self, fs: Any, content: Content, member: Member | None, info: dict[str, Any], **options: Any) -> None:
        self.version, self._content, self._member = content.version, content, member
        self._local = None
        if content.path is not None:
            path = os.fsencode(content.path)
            self._local = open(path if member is None else os.path.join(path, member.entry.path), "rb")  # noqa: SIM115
            options.update(cache_type="none")
        self._offset = 0 if member is None else member.offset
        self._hash, self._hashed = hashlib.sha256(), 0
        is_default = options.get("block_size") is None and options.get("cache_type", "readahead") == "readahead"
        self._may_grow = is_default and self._local is None
        super().__init__(fs, info["name"], "rb", **{**options, "size": info["size"]})
        self._details = info

    def _fetch_range(self, start: int, end: int) -> bytes:
        if self._local is None:
            if self._may_grow:
                self.cache.blocksize = min(2 * self.cache.blocksize, MAX_AHEAD)
            return self._content.read(self._offset + start, self._offset + end)
        self._local.seek(start)
        return self._local.read(end - start)

    def read(self, length: int = -1) -> bytes:
        """Return the next bytes. Raises DigestMismatch with the last ones, if all were read and they are wrong."""
        start = self.loc
        if self._may_grow and not self.closed and not self.cache.start <= start <= self.cache.end:
            self.cache.blocksize = AHEAD  # not in order
        data: bytes = super().read(length)
        if self._local is None and self._member is None and start <= self._hashed < start + len(data):
            self._hash.update(memoryview(data)[self._hashed - start :])
            self._hashed = start + len(data)
            if self._hashed == self.size and (actual := f"sha256:{self._hash.hexdigest()}") != self.version.digest:
                raise errors.DigestMismatch(actual=actual, expected=self.version.digest)
        return data

    def readline(self) -> bytes:
        """Return the next line. That of fsspec copies a whole block for each line."""
        if self._local is None:
            return bytes(self.readuntil(b"\n", LINE))
        self._local.seek(self.loc)
        line = self._local.readline()
        self.loc += len(line)
        return line

    def __reduce__(self) -> tuple[Any, ...]:
        _, slash, member = self.path.partition("/")
        # The same version, whatever is the latest then.
        return _reopen, (self.fs, f"{self.version}{slash}{member}", self.blocksize, self.loc)

    def close(self) -> None:
        """Close the file."""
        if (local := getattr(self, "_local", None)) is not None:
            local.close()
        super().close()


def _reopen(fs: Any, path: str, block_size: int, position: int) -> OpStoreReader:
    file: OpStoreReader = fs.open(path, "rb", block_size=block_size)
    file.seek(position)
    return file
