"""What comes into a store: uploads, and the versions that are made of them or of none."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import BinaryIO

import msgspec
from sqlalchemy import Connection

from opstore_daemon.metadata import Database
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.checksums import Checksum
from opstore_daemon.protocol.digests import Digest, parse_digest
from opstore_daemon.protocol.limits import READ_SIZE, SMALL_PUSH
from opstore_daemon.protocol.records import Fields, Level, NewVersion, Otherwise, Pushed, Upload
from opstore_daemon.savers import BaseSaver
from opstore_daemon.store.catalog import versions
from opstore_daemon.store.catalog.versions import Blob
from opstore_daemon.store.ingest import new_version
from opstore_daemon.store.ingest.open_upload import Declared
from opstore_daemon.store.ingest.uploads import Uploads
from opstore_daemon.store.transactions import Transactions, utc

PUBLISH_TRIES = 3
LOCAL = "local"  # the owner of uploads that are made in process


class _BlobGone(Exception):
    """A collector took the blob between its publication and the transaction."""


def declared(wanted: NewVersion) -> Declared:
    """What the bytes are to be, as far as it was said; raises InvalidDigest."""
    digest = None if wanted.digest is None else parse_digest(wanted.digest)
    return Declared(digest, None if wanted.checksum is None else Checksum(wanted.checksum), wanted.size)


class IngestOperations(Transactions):
    """The verbs of a store by which bytes come in and versions are made: bytes first, then one short transaction."""

    def __init__(self, database: Database, saver: BaseSaver, clock: Callable[[], datetime] = utc) -> None:
        super().__init__(database, clock)
        self.saver = saver
        self.uploads = Uploads(database, saver, self._now)

    def create_upload(self, owner: str, size: int | None) -> Upload:
        """A new upload (store.uploads)."""
        planned = self.uploads.plan(size)
        told = self._write(Upload, lambda connection: self.uploads.enter(connection, planned, owner))
        # An earlier request with this key may have made another one, which may be finished by now.
        return self.uploads.begin(planned, owner) if told.upload == planned.upload else told

    def discard_upload(self, upload: str, owner: str) -> None:
        """Throws an upload away (store.uploads)."""
        self._write(type(None), lambda connection: self.uploads.delete_row(connection, upload, owner))
        self.uploads.discard_bytes(upload)

    def push(
        self,
        op: str,
        source: bytes | BinaryIO,
        *,
        bump: Level | None = None,
        fields: Fields | None = None,
        subversions: str | None = None,
        otherwise: Otherwise = "refuse",
        new: bool = False,
        valid_for: Sequence[str] = (),
        valid_with: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        message: str | None = None,
        tags: Sequence[str] = (),
        format: str | None = None,  # noqa: A002 - the record's word
        libraries: Mapping[str, str] | None = None,
    ) -> Pushed:
        """Stores the bytes as a version of the op (protocol.verbs)."""
        wanted = NewVersion(
            bump=bump,
            fields=fields,
            subversions=subversions,
            otherwise=otherwise,
            new=new,
            valid_for=tuple(valid_for),
            valid_with=tuple(valid_with),
            labels=dict(labels or {}),
            message=message,
            tags=tuple(tags),
            format=format,
            libraries=dict(libraries or {}),
        )
        if isinstance(source, bytes) and len(source) <= SMALL_PUSH:
            return self.add_version(op, wanted, LOCAL, source)
        upload = self.uploads.create(LOCAL, None).upload
        try:
            self._take_in(upload, source)
            return self.add_version(op, msgspec.structs.replace(wanted, upload=upload), LOCAL)
        except BaseException:
            with suppress(errors.OpStoreError):  # it may be off the books already
                self.uploads.discard(upload, LOCAL)
            raise

    def _take_in(self, upload: str, source: bytes | BinaryIO) -> None:
        writer = self.uploads.writer(upload, LOCAL, 0, None)
        if isinstance(source, bytes):
            writer.append(source)
        else:
            while piece := source.read(READ_SIZE):
                writer.append(piece)

    def register(
        self,
        op: str,
        *,
        fields: Fields | None = None,
        subversions: str | None = None,
        valid_for: Sequence[str] = (),
        valid_with: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        message: str | None = None,
    ) -> Pushed:
        """Registers a version without bytes (protocol.verbs)."""
        wanted = NewVersion(
            fields=fields,
            subversions=subversions,
            valid_for=tuple(valid_for),
            valid_with=tuple(valid_with),
            labels=dict(labels or {}),
            message=message,
        )
        return self.add_version(op, wanted, LOCAL)

    def add_version(self, op: str, wanted: NewVersion, owner: str, data: bytes | None = None) -> Pushed:
        """Makes the version that was asked for: of these bytes, of the owner's upload, of bytes that the store has, or
        of no bytes.

        Bytes first, then one short transaction. A collector that took the blob in between sends us back to keep it
        again.
        """
        new_version.check(op, wanted, data)
        upload, known = wanted.upload, declared(wanted)
        if data is not None:
            return self._keep(op, wanted, known, data)
        if upload is None:
            return self._write(Pushed, lambda connection: self._make(connection, op, wanted, known.digest))
        before = self._earlier_result(Pushed)
        if before is not None:
            return before
        try:
            return self._finish(op, wanted, known, upload, owner)
        except (errors.NotFound, errors.Conflict, errors.IntegrityFailure):
            # The same request, sent twice, may have done it meanwhile: then its upload is gone.
            before = self._earlier_result(Pushed)
            if before is None:
                raise
            return before

    def _make(self, connection: Connection, op: str, wanted: NewVersion, digest: Digest | None) -> Pushed:
        """The version of bytes that the store has, or of none; raises BlobNotFound."""
        blob = None if digest is None else Blob(digest, self._size_of(connection, digest, wanted.size))
        return new_version.add(connection, op, wanted, blob, self._now())

    def _size_of(self, connection: Connection, digest: Digest, size: int | None) -> int:
        """The size of a blob that a version has, in the saver too.

        Without a version it may not be on the disk yet, or be on its way out. One of another size is damaged: sent
        again, the bytes take its place.
        """
        found = versions.size_of_blob(connection, digest)
        if found is None or size not in (None, found) or self.saver.size(digest) != found:
            raise errors.BlobNotFound(digest=digest)
        return found

    def _keep(self, op: str, wanted: NewVersion, known: Declared, data: bytes) -> Pushed:
        """Stores a few bytes: no upload goes on the books for them, and nothing is rehearsed.

        What the transaction refuses is taken away again, which is rare; a rehearsal would cost every push as much as
        the transaction itself.
        """
        blob = self.uploads.check_whole(data, known)
        try:
            return self._store(op, wanted, blob, lambda: self.uploads.publish_whole(data, blob.digest))
        except errors.OutcomeUnknown:  # the version may be there
            raise
        except errors.OpStoreError:
            with suppress(errors.OpStoreError), self.database.write() as connection:
                # Under the write lock: who relies on the blob looks for it in a transaction, and keeps it again.
                if versions.size_of_blob(connection, blob.digest) is None:
                    self.saver.delete(blob.digest)
            raise

    def _finish(self, op: str, wanted: NewVersion, known: Declared, upload: str, owner: str) -> Pushed:
        """Stores an upload. What the transaction would refuse is found out by a rehearsal, before much is written."""
        blob = self.uploads.check(upload, owner, known)
        with self.database.rehearse() as connection:
            new_version.add(connection, op, wanted, blob, self._now())
        pushed = self._store(
            op,
            wanted,
            blob,
            lambda: self.uploads.publish(upload, owner, blob.digest),
            lambda connection: self.uploads.delete_row(connection, upload),
        )
        self.uploads.discard_bytes(upload)
        return pushed

    def _store(
        self,
        op: str,
        wanted: NewVersion,
        blob: Blob,
        publish: Callable[[], None],
        delete_row: Callable[[Connection], None] = lambda _: None,
    ) -> Pushed:
        """Publishes the blob and makes the version of it; `delete_row` is done in the version's transaction."""

        def work(connection: Connection) -> Pushed:
            if blob.digest not in self.saver:
                raise _BlobGone
            delete_row(connection)
            return new_version.add(connection, op, wanted, blob, self._now())

        for _ in range(PUBLISH_TRIES):
            publish()
            with suppress(_BlobGone):
                return self._write(Pushed, work)
        raise errors.StorageFailed(reason=f"{blob.digest} was kept {PUBLISH_TRIES} times and is gone again")
