"""An export: a folder with `export.json`, which describes the versions, and their bytes in `blobs/`, by digest."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import msgspec

from opstore_cli.exchange.content import BytesSource, Content
from opstore_cli.files.bounded_read import Unreadable, read_bytes
from opstore_cli.files.part_file import PartFile
from opstore_cli.transfer.hashing import Hasher
from opstore_daemon.protocol import errors
from opstore_daemon.protocol._version import __version__
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.protocol.records import VersionRecord
from opstore_daemon.protocol.records.base import Time
from opstore_daemon.system.files import open_regular, write_atomically

FORMAT = 1
DESCRIPTION, BLOBS = "export.json", "blobs"
MAX_DESCRIPTION = 256 * 1024 * 1024  # bytes: about 200,000 versions


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of every `export.json`, whatever its format. `release` is the opstore that wrote it."""

    format: int
    release: str


class Export(Head, frozen=True, kw_only=True):
    """The content of `export.json`."""

    exported_at: Time
    content: Content


def write_export(folder: Path, content: Content, source: BytesSource) -> int:
    """Write the bytes of the versions, then their description; return how many bytes were written.

    Verifies and keeps what an earlier run wrote, so that a run after an interruption completes it. Raises FileRefused
    for a folder with anything else in it, and OutputFailed.
    """
    with _output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        foreign = sorted({path.name for path in folder.iterdir()} - {DESCRIPTION, BLOBS})
        if foreign:
            raise errors.FileRefused(
                path=str(folder), reason=f"it has {foreign[0]}, which is no part of an export; name a new folder"
            )
        (folder / DESCRIPTION).unlink(missing_ok=True)  # it describes an export that may be incomplete from here on
        (folder / BLOBS).mkdir(exist_ok=True)
        written = 0
        for version in content.versions:
            if version.digest is not None:
                written += _write_bytes(folder, version, source)
        export = Export(format=FORMAT, release=__version__, exported_at=datetime.now(UTC), content=content)
        body = msgspec.json.format(msgspec.json.encode(export), indent=1)
        write_atomically(folder / DESCRIPTION, body + b"\n")
    return written


def _write_bytes(folder: Path, version: VersionRecord, source: BytesSource) -> int:
    """Write the bytes of a version unless they are there; return how many were written."""
    target = _path(folder, version)
    try:
        with _opened(target, version):
            return 0
    except errors.FileRefused:
        pass
    with source.open(version) as file, PartFile.beside(target, Digest.parse(version.digest or "")) as part:
        part.empty()
        while data := file.read(READ_SIZE):
            part.write(data)
        part.publish(target, overwrite=True)
    return version.size or 0


def read_export(folder: Path) -> Content:
    """Return what the export describes; raise FileRefused if it is not one, or incomplete."""
    path = folder / DESCRIPTION
    try:
        body = read_bytes(path, MAX_DESCRIPTION, pipes=False)
        head = msgspec.json.decode(body, type=Head)
        if head.format != FORMAT:
            reason = f"it has format {head.format}, written by opstore {head.release}; this one reads format {FORMAT}"
            raise errors.FileRefused(path=str(path), reason=reason)
        return msgspec.json.decode(body, type=Export).content
    except FileNotFoundError:
        reason = f"it has no {DESCRIPTION}: it is no export, or the export was interrupted; run it again"
        raise errors.FileRefused(path=str(folder), reason=reason) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise errors.FileRefused(path=str(path), reason=f"it is not the description of an export: {error}") from None
    except (OSError, Unreadable) as error:
        raise errors.FileRefused(path=str(path), reason=errors.reason(error)) from None


class ExportedBytes:
    """The bytes of versions in an export (BytesSource)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def open(self, version: VersionRecord) -> Iterator[BinaryIO]:
        """Open the bytes and verify them."""
        with _opened(_path(self._folder, version), version) as file:
            yield file


def _path(folder: Path, version: VersionRecord) -> Path:
    return folder / BLOBS / Digest.parse(version.digest or "").hex


@contextmanager
def _opened(path: Path, version: VersionRecord) -> Iterator[BinaryIO]:
    """Open the file and verify its size and digest; raise FileRefused."""
    try:
        file = os.fdopen(open_regular(path, os.O_RDONLY), "rb")
    except OSError as error:
        raise errors.FileRefused(path=str(path), reason=errors.reason(error)) from None
    with file:
        with Hasher() as hasher:
            try:
                while data := file.read(READ_SIZE):
                    hasher.update(data)
                file.seek(0)
            except OSError as error:
                raise errors.FileRefused(path=str(path), reason=errors.reason(error)) from None
            digest = hasher.digest()
        if digest != version.digest:
            raise errors.FileRefused(
                path=str(path), reason=f"its bytes do not match the digest of {version}: it is damaged"
            )
        yield file


@contextmanager
def _output_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise errors.OutputFailed(path=str(error.filename or folder), reason=errors.reason(error)) from error
