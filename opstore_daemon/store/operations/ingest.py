"""Push and register: the bytes first, then one short transaction that makes the version."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import BinaryIO

import msgspec
from sqlalchemy import Connection

from opstore_daemon.metadata import Database
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.limits import READ_SIZE, SMALL_PUSH
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import Compat, Fields, Level, NewVersion, Otherwise, Pushed, Upload
from opstore_daemon.protocol.references import Reference, TagName
from opstore_daemon.protocol.versions import Version
from opstore_daemon.savers import BaseSaver
from opstore_daemon.savers.object_records import Collided
from opstore_daemon.store import long_reads
from opstore_daemon.store.catalog import versions
from opstore_daemon.store.catalog.damage import DamageMarks
from opstore_daemon.store.catalog.versions import Blob
from opstore_daemon.store.ingest import new_version
from opstore_daemon.store.ingest.direct_parts import DirectParts
from opstore_daemon.store.ingest.long_pushes import LongPushes
from opstore_daemon.store.ingest.open_upload import Declaration
from opstore_daemon.store.ingest.publications import Publications
from opstore_daemon.store.ingest.uploads import Uploads
from opstore_daemon.store.ingest.writer import ended
from opstore_daemon.store.maintenance.collectable import Collectable
from opstore_daemon.store.maintenance.collector import Collector
from opstore_daemon.store.page_sessions import PageSessions
from opstore_daemon.store.transactions import Transactions, utc

PUBLISH_TRIES = 3
LOCAL = "local"  # the owner of uploads of this process


class _BlobGone(Exception):
    """A collector deleted the blob between its publication and the transaction."""


def declaration(request: NewVersion) -> Declaration:
    """Return what the request declares of the bytes."""
    return Declaration(request.digest, request.checksum, request.size)


class IngestOperations(Transactions):
    """Create uploads, and make versions of their bytes, of small bytes, of stored blobs or of no bytes."""

    def __init__(
        self, database: Database, saver: BaseSaver, clock: Callable[[], datetime] = utc, *, owns_blobs: bool = True
    ) -> None:
        """`owns_blobs`: every blob of the saver belongs to this database, so those without a version can be deleted."""
        super().__init__(database, saver, clock)
        self._owns_blobs = owns_blobs
        self.publications = Publications()
        self.damage = DamageMarks(database)
        self.reads = long_reads.places()
        self.uploads = Uploads(database, saver, self._now, self.reads)
        self.long_pushes = LongPushes()
        self.direct_parts = DirectParts(self.uploads, self.now)
        self._collectable = Collectable(
            database, saver, self.uploads, self.publications, self._now, owns_blobs=owns_blobs
        )
        self.collector = Collector(self._collectable, self.reads)
        self.page_sessions = PageSessions(database)

    def create_upload(self, owner: str, size: int | None) -> Upload:
        """Create an upload of `size` bytes (None: unknown); raise StorageFull if the disk has no room for it."""
        planned = self.uploads.plan(size)
        created = self._write(Upload, lambda connection: self.uploads.insert_row(connection, planned, owner))
        # An earlier request with this key may have created another one, which may be finished by now.
        return self.uploads.open(planned, owner) if created.upload == planned.upload else created

    def discard_upload(self, upload: str, owner: str) -> None:
        """Delete an upload and its bytes; raise UploadNotFound."""
        self.uploads.discard_with(upload, owner, lambda work: self._write_freeing(type(None), work))

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
        filename: str | None = None,
        executable: bool = False,
        format: str | None = None,  # noqa: A002 - the record's word
        libraries: Mapping[str, str] | None = None,
        new_ops: Compat | None = None,
    ) -> Pushed:
        """Store the bytes as a version of the op (protocol.interface)."""
        request = NewVersion(
            bump=bump,
            fields=fields,
            subversions=None if subversions is None else Version.parse(subversions),
            otherwise=otherwise,
            new=new,
            valid_for=tuple(map(Reference.parse, valid_for)),
            valid_with=tuple(map(Reference.parse, valid_with)),
            labels=dict(labels or {}),
            message=message,
            tags=tuple(map(TagName.parse, tags)),
            filename=filename,
            executable=executable,
            format=format,
            libraries=dict(libraries or {}),
            new_ops=new_ops,
        )
        if isinstance(source, bytes) and len(source) <= SMALL_PUSH:
            return self.add_version(op, request, LOCAL, source)
        upload = self.uploads.create(LOCAL, None).upload
        try:
            self._append(upload, source)
            return self.add_version(op, msgspec.structs.replace(request, upload=upload), LOCAL)
        except BaseException:
            with suppress(errors.OpStoreError):  # the upload may be finished or deleted already
                self.uploads.discard(upload, LOCAL)
            raise

    def _append(self, upload: str, source: bytes | BinaryIO) -> None:
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
        new_ops: Compat | None = None,
    ) -> Pushed:
        """Register a version without bytes (protocol.interface)."""
        request = NewVersion(
            fields=fields,
            subversions=None if subversions is None else Version.parse(subversions),
            valid_for=tuple(map(Reference.parse, valid_for)),
            valid_with=tuple(map(Reference.parse, valid_with)),
            labels=dict(labels or {}),
            message=message,
            new_ops=new_ops,
        )
        return self.add_version(op, request, LOCAL)

    def add_version(self, op: str, request: NewVersion, owner: str, data: bytes | None = None) -> Pushed:
        """Make the version of `data`, of the owner's upload, of the stored blob `request.digest`, or without bytes.

        Raises BlobNotFound, UploadNotFound, and the errors of `push` and `register`.
        """
        name = OpName.parse(op)
        new_version.check(name, request, data)
        if data is not None:
            return self._store_small(name, request, data)
        if request.upload is None:
            return self._from_existing(name, request)
        upload = request.upload
        # What a repetition of the request finds may be that its upload is gone.
        return self._unless_repeated(Pushed, lambda: self._store_in_time(name, request, upload, owner))

    def _store_in_time(self, op: OpName, request: NewVersion, upload: str, owner: str) -> Pushed:
        """Do what `_store_upload` does; raise NotVerified if it takes so long that the client should ask again."""

        def work() -> Pushed:
            return self._store_upload(op, request, upload, owner)

        key = (owner, upload)
        if owner == LOCAL or not (key in self.long_pushes or self.uploads.is_long(upload, owner)):
            return work()
        return self.long_pushes.run(key, (op, request, self._request), work, lambda: self.uploads.not_verified(upload))

    def _from_existing(self, op: OpName, request: NewVersion) -> Pushed:
        """Make the version of a blob that a version has, or of no bytes; raise BlobNotFound."""
        digest = declaration(request).digest

        def work(connection: Connection) -> Pushed:
            blob = None if digest is None else Blob(digest, self._size_of(connection, digest, request.size))
            return new_version.make(connection, op, request, blob, self._stamp())

        return self._write(Pushed, work)

    def _size_of(self, connection: Connection, digest: Digest, size: int | None) -> int:
        """Return the size of a blob that a version has; raise BlobNotFound if it has another one than `size`.

        A blob that no version has does not count: it may not be on the disk yet, or a collector may be deleting it.
        Nor does one that is marked as damaged, or whose size in the saver differs: a push of its bytes heals it.
        """
        found = versions.size_of_blob(connection, digest)
        is_damaged = found is not None and self.damage.find(connection, digest) is not None
        if found is None or is_damaged or size not in (None, found) or self.saver.size(digest) != found:
            raise errors.BlobNotFound(digest=digest)
        return found

    def _store_small(self, op: OpName, request: NewVersion, data: bytes) -> Pushed:
        """Store bytes that came with the request; they need no upload."""
        blob = self.uploads.verify_small(data, declaration(request))
        return self._publish_and_commit(op, request, blob, lambda: self.uploads.prepare_small(data, blob.digest))

    def _store_upload(self, op: OpName, request: NewVersion, upload: str, owner: str) -> Pushed:
        """Store the bytes of an upload, which ends in the transaction of its version and stays if that is refused.

        If the disk is full, the upload ends too, which frees its bytes.
        """
        try:
            blob = self.uploads.verify(upload, owner, declaration(request))

            def publish() -> Callable[[], bool]:
                self.uploads.publish(upload, owner, blob.digest)
                return lambda: blob.digest in self.saver

            pushed = self._publish_and_commit(
                op, request, blob, publish, lambda connection: self.uploads.delete_row(connection, upload)
            )
        except errors.StorageFull as error:
            self.uploads.end(upload)
            raise ended(error) from error
        self.uploads.discard_bytes(upload)
        return pushed

    def _publish_and_commit(
        self,
        op: OpName,
        request: NewVersion,
        blob: Blob,
        prepare: Callable[[], Callable[[], bool]],
        end_upload: Callable[[Connection], None] = lambda _: None,
    ) -> Pushed:
        """Store the blob and make its version in a transaction, which also calls `end_upload`.

        `prepare` stores the bytes, and returns what makes them the blob in the transaction, or finds that they are
        (`BaseSaver.prepare`). If the transaction is refused, the blob is deleted. Begins again if a collector deleted
        the bytes before the transaction.
        """

        def work(connection: Connection) -> Pushed:
            self.saver.check_place()
            if not publish():
                raise _BlobGone
            end_upload(connection)
            self.damage.heal(connection, blob.digest)
            return new_version.make(connection, op, request, blob, self._stamp())

        is_prepared = False
        try:
            self.saver.check_place()  # nothing is published into a folder that took its place
            with self.publications.running(blob.digest):
                for _ in range(PUBLISH_TRIES):
                    is_prepared = False
                    publish = prepare()
                    is_prepared = True
                    with suppress(_BlobGone, Collided):
                        return self._write(Pushed, work)
            reason = f"{blob.digest} was published {PUBLISH_TRIES} times and deleted each time"
            raise errors.StorageFailed(reason=reason)
        except errors.OutcomeUnknown:  # the version may be there
            raise
        except errors.OpStoreError:
            self._delete_unless_used(blob.digest)
            if is_prepared:
                self._heal(blob.digest, publish)
            raise

    def _heal(self, digest: Digest, publish: Callable[[], bool]) -> None:
        """Replace a blob that is marked by the bytes of a push, and delete the mark, though no version was made."""
        if not self.damage.may_be_any:
            return
        with suppress(errors.OpStoreError, _BlobGone, Collided), self.database.write() as connection:
            self.saver.check_place()
            if self.damage.find(connection, digest) is not None:
                if not publish():
                    raise _BlobGone
                self.damage.heal(connection, digest)

    def _delete_unless_used(self, digest: Digest) -> None:
        """Delete a blob that no version has or had; what fails, or is read by a backup, is left to the collector.

        While no transaction writes: a concurrent push of the same bytes looks for its blob in its own transaction, and
        publishes it again, also if it runs in another daemon. With a folder this only reads the database, because a
        full disk may be why the push failed.
        """
        if not self._owns_blobs:
            return
        with suppress(errors.OpStoreError), self._collectable.alone() as connection:
            if digest not in self.publications and not versions.ever_had_blob(connection, digest):
                # The trash of an object store is a change in the database: nothing waits for the object store here.
                (self.saver.trash if self.saver.needs_records else self.saver.delete)(digest)
