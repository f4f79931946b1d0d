"""The manifest of a backup: a file that is written last, and says what the whole backup has.

It names the copy of the database with its SHA-256, and that copy names the blobs. The manifest has a SHA-256 of its own
content, so that a bit that flips in it is noticed.
"""

import hashlib
import re
from pathlib import Path
from typing import Annotated

import msgspec

from opstore_daemon.backup import files
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.store_ids import is_store_id
from opstore_daemon.system.files import read_regular

NAME = "manifest.json"
FORMAT = 1
MAX_SIZE = 256 * 1024 * 1024  # bytes: a store of which a million blobs are damaged

_DATABASE = re.compile(r"opstore-[0-9]{1,20}-[0-9a-f]{16}\.db")
_HEX = re.compile(r"[0-9a-f]{64}")
Count = Annotated[int, msgspec.Meta(ge=0)]
DigestText = Annotated[str, msgspec.Meta(pattern=Digest.PATTERN)]


class DatabaseCopy(msgspec.Struct, frozen=True, kw_only=True):
    """The copy of the database: its name in the folder, its size in bytes and its SHA-256."""

    name: str
    size: Count
    sha256: str


class MissingBlob(msgspec.Struct, frozen=True, kw_only=True):
    """A blob that the database names, and that was damaged or missing in the store."""

    digest: DigestText
    problem: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup has. `release` made it; `schema_release` made the schema of the database, None if unknown."""

    store_id: str
    position: Count
    schema: str
    schema_release: str | None
    release: str
    created_at: str
    database: DatabaseCopy
    ops: Count
    versions: Count
    stored: Count
    blobs: Count
    blobs_size: Count
    missing: tuple[MissingBlob, ...] = ()


class _Signed(msgspec.Struct, frozen=True, kw_only=True):
    """The file: the format, the SHA-256 of the text of the manifest, and that text."""

    format: int
    sha256: str
    backup: msgspec.Raw
    release: str = "unknown"


def is_database(name: str) -> bool:
    """Return whether it can be the name of a copy of the database."""
    return _DATABASE.fullmatch(name) is not None


def position_in(name: str) -> int:
    """Return the position that the name of a copy of the database has."""
    return int(name.split("-")[1])


def encode(manifest: Manifest) -> bytes:
    """Return the content of the file."""
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    sha256 = hashlib.sha256(text).hexdigest()
    signed = _Signed(format=FORMAT, release=manifest.release, sha256=sha256, backup=msgspec.Raw(text))
    return msgspec.json.encode(signed) + b"\n"


def read(folder: Path, advice: str) -> Manifest | None:
    """Return the manifest of the backup in the folder; None if it has none.

    Raises BackupDamaged with the advice, BackupTooNew, and BackupFolderFailed.
    """
    with files.translated(folder):
        try:
            data = read_regular(folder / NAME, MAX_SIZE)
        except FileNotFoundError:
            return None
    try:
        return _decode(data, folder)
    except (ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise errors.BackupDamaged(folder=str(folder), reason=f"{NAME}: {error}", advice=advice) from None


def _decode(data: bytes, folder: Path) -> Manifest:
    signed = msgspec.json.decode(data, type=_Signed)
    if signed.format > FORMAT:
        details = {"found": signed.format, "known": FORMAT, "release": signed.release}
        raise errors.BackupTooNew(folder=str(folder), **details)
    if signed.format < 1:
        raise ValueError(f"there is no format {signed.format}")
    text = bytes(signed.backup)
    if hashlib.sha256(text).hexdigest() != signed.sha256:
        raise ValueError("its content does not match its SHA-256")
    found = msgspec.json.decode(text, type=Manifest)
    if not (is_store_id(found.store_id) and is_database(found.database.name) and _HEX.fullmatch(found.database.sha256)):
        raise ValueError("its store id or its database is not one")
    return found
