"""SHA256SUMS: the digests of all files of a backup, so that `sha256sum -c` verifies it without opstore."""

import sqlite3
from collections.abc import Iterator

from opstore_daemon.backup import database_copy, files
from opstore_daemon.backup.folder import BackupFolder
from opstore_daemon.backup.manifest import Manifest
from opstore_daemon.protocol.digests import PREFIX


def write(folder: BackupFolder, manifest: Manifest, connection: sqlite3.Connection) -> None:
    """Write the file for the backup that the manifest describes; the connection reads its database. Raises OSError."""
    missing = {blob.digest.removeprefix(PREFIX) for blob in manifest.missing}
    with files.part_of(folder.checksums) as part:
        files.write(part, _lines(folder, manifest, connection, missing))
        files.publish(part, folder.checksums)
        files.sync_names(folder.path)


def _lines(
    folder: BackupFolder, manifest: Manifest, connection: sqlite3.Connection, missing: set[str]
) -> Iterator[bytes]:
    yield f"{manifest.database.sha256}  {manifest.database.name}\n".encode()
    for prefix, blobs in database_copy.blobs(connection, folder.path / manifest.database.name):
        yield "".join(f"{name}  blobs/{prefix}/{name}\n" for name, _ in blobs if name not in missing).encode()
