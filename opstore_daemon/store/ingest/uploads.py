"""Uploads: bytes on their way into the store, hashed as they arrive, resumable after lost connections and restarts.

The model is "Resumable Uploads for HTTP" (draft-ietf-httpbis-resumable-upload): create an upload, append at its
offset, ask for the offset. Asking for the offset claims the upload: it refuses later appends of older connections.
Memory holds the hash of each open upload and none of its bytes.

One request at a time uses an upload. A request that waits while many bytes of it are hashed, or that has to hash them,
takes one of few places.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from sqlalchemy import Connection

from opstore_daemon.metadata import Database
from opstore_daemon.protocol import errors, records
from opstore_daemon.protocol.checksums import checksum_of, new_sum
from opstore_daemon.protocol.digests import Digest, digest_of
from opstore_daemon.protocol.samples import sample_of
from opstore_daemon.savers import BaseSaver
from opstore_daemon.savers.base import BytesLost, is_upload
from opstore_daemon.store import journal, long_reads
from opstore_daemon.store.catalog.versions import Blob
from opstore_daemon.store.ingest import upload_rows
from opstore_daemon.store.ingest.expiry import RETENTION, ExpiringUploads
from opstore_daemon.store.ingest.known_hash import KnownHash, Verified
from opstore_daemon.store.ingest.long_pushes import PATIENCE
from opstore_daemon.store.ingest.open_upload import Declaration, OpenUpload, check_size
from opstore_daemon.store.ingest.space import Space
from opstore_daemon.store.ingest.writer import Writer, check_max
from opstore_daemon.store.long_reads import LONG
from opstore_daemon.store.places import Places
from opstore_daemon.store.quota import Quota

MAX_UPLOADS = 10_000  # of a token
MAX_VERIFIED = 1000  # uploads of which it is remembered


class Uploads(ExpiringUploads):
    """The uploads of a store. An owner is the name of a credential; only the owner can see an upload."""

    def __init__(
        self, database: Database, saver: BaseSaver, now: Callable[[], int], reads: Places | None = None
    ) -> None:
        """`now` returns the time in microseconds since the epoch; `reads` are the places of the store's long reads."""
        super().__init__(database, saver, now)
        self._space = Space(lambda: saver.free())
        self._reads = reads or long_reads.places()
        self._verified: dict[str, Verified] = {}  # sealed uploads whose versions are not made yet
        frees = "finish or delete some; each expires a week after its last request"
        self._quota = Quota(MAX_UPLOADS, "unfinished uploads", frees, upload_rows.count)

    def create(self, owner: str, size: int | None) -> records.Upload:
        """Create an upload of `size` bytes (None: unknown); raise StorageFull if the disk has no room for it."""
        planned = self.plan(size)
        with self._database.write() as connection:
            self.insert_row(connection, planned, owner)
        return self.open(planned, owner)

    def plan(self, size: int | None) -> records.Upload:
        """Return the record of a new upload, for `insert_row` and then `open`; raise TooLarge."""
        check_max(self._saver.max_size, size or 0)
        if self._is_old(self._expired_at):
            self.expire()
        return records.Upload(upload=uuid.uuid4().hex, offset=0, size=size)

    def insert_row(self, connection: Connection, planned: records.Upload, owner: str) -> records.Upload:
        """Insert the upload in the caller's transaction.

        Raises StorageFull if the disk has no room for it, and QuotaExceeded if the owner has too many.
        """
        self._space.check(planned.size or 0)
        self._quota.take(connection, owner)
        row = {"id": planned.upload, "owner": owner, "size": planned.size, "touched_at": self._now()}
        upload_rows.INSERT.run(connection, row)
        return planned

    def open(self, inserted: records.Upload, owner: str) -> records.Upload:
        """Open the draft of an upload whose row is committed, so that it is open for the first append."""
        try:
            draft = self._saver.draft(inserted.upload)
        except errors.Unavailable:
            self.end(inserted.upload)
            raise
        return self.opened.keep(OpenUpload(inserted.upload, owner, inserted.size, draft)).record()

    def claim(self, upload: str, owner: str) -> records.Upload:
        """Return the upload's offset, and refuse all earlier writers from now on; raise UploadNotFound, TooManyReads.

        After a restart, or if another daemon has taken the upload over, this reopens the draft. The bytes of a file
        are hashed again while the next ones arrive.
        """
        with self._locked(upload, owner) as opened:
            opened.writer = None
            opened.store()
            return opened.record()

    def page(self, owner: str, after: str, limit: int) -> list[records.UnfinishedUpload]:
        """Return uploads of the owner by id: at most `limit` uploads after the id `after`. Their writers stay valid."""
        with self._database.read() as connection:
            rows = upload_rows.page(owner=owner, after=after, limit=limit).run(connection).all()
        return [
            records.UnfinishedUpload(
                upload=row.id,
                offset=self._saver.staged_size(row.id),
                size=row.size,
                expires_at=journal.to_datetime(row.touched_at + RETENTION),
            )
            for row in rows
        ]

    @contextmanager
    def _locked(self, upload: str, owner: str, *, hashes: bool = False) -> Iterator[OpenUpload]:
        """Hold the lock of the upload, and open it first if it is closed, or if another daemon has taken it over.

        Raises UploadNotFound and TooManyReads.
        """
        while True:
            opened = self._find(upload, owner)
            with self._alone(opened, hashes=hashes):
                if not opened.closed:  # closed between `_find` and the lock: discarded, or to stay below MAX_OPEN
                    opened.check_not_refused()
                    if opened.draft.is_current():
                        yield opened
                        return
                    opened.close()

    @contextmanager
    def _alone(self, opened: OpenUpload, *, hashes: bool) -> Iterator[None]:
        """Hold the lock of the upload; `hashes`: the caller hashes what is not hashed yet. Raise TooManyReads.

        A place is taken before the lock: whoever holds the lock never waits for a place.
        """
        is_long = hashes and opened.hash.lag > LONG
        if not is_long and opened.acquire_unless_hashing():
            try:
                yield
            finally:
                opened.lock.release()
            return
        with self._reads.held():
            if not opened.lock.acquire(timeout=PATIENCE):
                raise opened.not_verified()
            opened.is_hashing = is_long
            try:
                yield
            finally:
                opened.is_hashing = False
                opened.lock.release()

    def _find(self, upload: str, owner: str) -> OpenUpload:
        size, touched_at = self._row(upload, owner)
        if self._is_old(touched_at):
            # On a full disk it expires earlier, but its offset can be read and its bytes can be finished.
            with suppress(errors.Unavailable), self._database.write(ordered=False) as connection:
                upload_rows.touch(upload=upload, now=self._now()).run(connection)
        return self.opened.get(upload) or self._reopen(upload, owner, size)

    def _reopen(self, upload: str, owner: str, size: int | None) -> OpenUpload:
        try:
            new = OpenUpload(upload, owner, size, self._saver.draft(upload))
        except errors.StorageFailed:
            self._row(upload, owner)
            raise
        if upload in self._verified:  # another daemon has taken it over meanwhile, but nobody can change its bytes
            new.hash = KnownHash(self._verified[upload])
        opened = self.opened.keep(new)
        try:
            self._row(upload, owner)
        except errors.UploadNotFound:  # discarded meanwhile, perhaps before this draft was made
            self.discard_bytes(upload)
            raise
        return opened

    def writer(self, upload: str, owner: str, offset: int, length: int | None) -> Writer:
        """Return the writer that appends `length` bytes (None: unknown) at `offset`. Waits for locks.

        If several daemons can use the saver, this takes the upload over, should another one have it. Else the upload
        has to be open in this process. Raises UploadNotFound, OffsetMismatch, TooLarge, and UploadNotOpen if another
        request appends to it, or until it has been claimed.
        """
        writer = self.writer_at_once(upload, owner, offset, length)
        if writer is not None:
            return writer
        if not self._saver.needs_records:
            self._row(upload, owner)
            raise errors.UploadNotOpen(upload=upload)
        with self.at(upload, owner, offset) as opened:
            return self._writer(opened, offset, length)

    def writer_at_once(self, upload: str, owner: str, offset: int, length: int | None) -> Writer | None:
        """Do what `writer` does, without waiting for the database, the storage or a lock; None if it has to wait."""
        opened = self.opened.get(upload)
        if self._saver.needs_records or opened is None or opened.owner != owner:
            return None
        with opened.try_lock():
            return self._writer(opened, offset, length)

    @contextmanager
    def at(self, upload: str, owner: str, offset: int) -> Iterator[OpenUpload]:
        """Hold the lock of the upload, which nobody appends to, and take it over, should another daemon have it.

        Raises UploadNotFound, UploadNotOpen, OffsetMismatch and TooManyReads.
        """
        self._row(upload, owner)
        opened = self.opened.get(upload)
        if opened is None or not opened.draft.is_current():
            # A request with a wrong offset takes nothing from the daemon that appends.
            stored = self._saver.staged_size(upload)
            if stored != offset:
                raise errors.OffsetMismatch(upload=upload, offset=stored, given=offset)
        with self._locked(upload, owner) as opened:
            _check_free(opened, offset)
            yield opened

    def _writer(self, opened: OpenUpload, offset: int, length: int | None) -> Writer:
        _check_free(opened, offset)
        check_size(opened, offset + (length or 0))
        check_max(self._saver.max_size, offset + (length or 0))
        opened.is_unstored = opened.draft.needs_seal
        opened.writer = writer = Writer(opened, self._space, self.end, self._saver.max_size)
        return writer

    def verify(self, upload: str, owner: str, declaration: Declaration) -> Blob:
        """Return the blob that has arrived, and refuse the current writer from now on.

        Raises UploadNotFound, UploadIncomplete, TooManyReads, and (after it has discarded the upload) what
        `Declaration.verify` raises.
        If the client declared nothing, bytes can be missing without notice (after a power failure, or because the disk
        refused them), so UploadNotOpen is raised until the client has asked for the offset.
        """
        with self._finishing(upload, owner, hashes=True) as opened:
            draft, offset = opened.draft, opened.draft.offset
            if opened.size is not None and offset < opened.size:
                raise errors.UploadIncomplete(upload=upload, offset=offset, size=opened.size)
            if not opened.offset_reported and opened.size is None and declaration == Declaration():
                raise errors.UploadNotOpen(upload=upload)
            if draft.needs_seal:
                draft.seal()
                opened.is_unstored = False
            digest, checksum = opened.hash.digest(), opened.hash.checksum()
            sample = sample_of(offset, opened.read)
            if draft.needs_seal:
                self._remember(upload, Verified(digest, checksum))
        try:
            declaration.verify(digest, checksum, offset)
        except errors.IntegrityFailure:
            self.discard(upload, owner)
            raise
        return Blob(digest, offset, sample)

    def _remember(self, upload: str, verified: Verified) -> None:
        self._verified[upload] = verified
        if len(self._verified) > MAX_VERIFIED:
            with suppress(KeyError, RuntimeError):  # other threads do the same
                self._verified.pop(next(iter(self._verified)))

    def is_long(self, upload: str, owner: str) -> bool:
        """Return whether the upload has so many bytes that reading them takes long; raise UploadNotFound."""
        size, _ = self._row(upload, owner)
        return (self._saver.staged_size(upload) if size is None else size) > LONG

    def not_verified(self, upload: str) -> errors.NotVerified:
        """Return the error for a request that can't wait until all bytes of the upload are read."""
        opened = self.opened.find(upload)
        if opened is None:
            return errors.NotVerified(upload=upload, verified=0, size=self._saver.staged_size(upload))
        return opened.not_verified()

    def publish(self, upload: str, owner: str, digest: Digest) -> None:
        """Make the bytes a durable blob. The upload stays, so that the request can be repeated.

        Raises UploadNotOpen if bytes were appended since `verify`, TooManyReads, and StorageFull if there is no space
        for metadata.
        """
        with self._finishing(upload, owner) as opened:
            if opened.hash.digest() != digest:
                raise errors.UploadNotOpen(upload=upload)
            self._space.check(0)
            try:
                opened.draft.publish(digest)
            except errors.Unavailable:
                # The disk may not hold what the hash has seen: close the draft, so that a claim reads it again.
                self.opened.forget(opened)
                opened.close()
                raise

    @contextmanager
    def _finishing(self, upload: str, owner: str, *, hashes: bool = False) -> Iterator[OpenUpload]:
        """Hold the lock of the upload without a writer, while its draft is sealed or published; raise as `_locked`.

        If stored bytes turn out to be gone, raise UploadNotOpen, so that the client asks for the offset and sends them
        again. If nobody knows how many bytes there were, end the upload: the rest would pass for the whole.
        """
        try:
            with self._locked(upload, owner, hashes=hashes) as opened:
                opened.writer = None
                with opened.storing():
                    yield opened
        except BytesLost:
            if opened.size is not None:
                raise errors.UploadNotOpen(upload=upload) from None
            self.end(upload)
            raise errors.UploadNotFound(upload=upload) from None

    def verify_small(self, data: bytes, declaration: Declaration) -> Blob:
        """Return the blob that these bytes make; raise what `Declaration.verify` raises."""
        digest = digest_of(data)
        declaration.verify(digest, checksum_of(new_sum(data)), len(data))
        return Blob(digest, len(data))

    def prepare_small(self, data: bytes, digest: Digest) -> Callable[[], bool]:
        """Store these bytes durably, without an upload; return what makes them a blob (`BaseSaver.prepare`).

        After a crash, `sweep` discards the draft.
        """
        upload = uuid.uuid4().hex
        self._small.add(upload)
        try:
            with self._space.writing(len(data)):
                return self._saver.prepare(data, digest, upload)
        finally:
            self._small.discard(upload)

    def discard(self, upload: str, owner: str) -> None:
        """Discard the upload and its bytes; raise UploadNotFound."""
        self.discard_with(upload, owner, self._database.write_freeing)

    def discard_with(self, upload: str, owner: str, write: Callable[[Callable[[Connection], None]], object]) -> None:
        """Discard the upload and its bytes; `write` runs the transaction. Raise UploadNotFound.

        The row goes first, so that a crash leaves a draft that `sweep` discards. If the disk is too full for that, the
        bytes go first.
        """

        def work(connection: Connection) -> None:
            self.delete_row(connection, upload, owner)

        try:
            write(work)
        except errors.StorageFull:
            self._row(upload, owner)  # to discard the bytes of its owner only
            self.discard_bytes(upload)
            write(work)
        self.discard_bytes(upload)
        self._database.regain_space()

    def end(self, upload: str) -> None:
        """Discard an upload whatever its owner: its bytes first, which on a full disk makes room for the rest.

        If the row can't be deleted, what is left is an empty upload, which expires.
        """
        self.end_all([upload])

    def end_all(self, uploads: Sequence[str]) -> bool:
        """Do what `end` does, in one transaction, since each syncs the disk; return whether the rows are deleted."""
        if not uploads:
            return True

        def delete_rows(connection: Connection) -> bool:
            for upload in uploads:
                upload_rows.delete_one(upload=upload).run(connection)
            return True

        is_deleted = False
        self._discard_all(uploads)
        with suppress(errors.OpStoreError):
            is_deleted = self._database.write_freeing(delete_rows)
        self._discard_all(uploads)  # a request may have opened one again meanwhile
        self._database.regain_space()
        return is_deleted

    def _discard_all(self, uploads: Sequence[str]) -> None:
        for upload in uploads:
            with suppress(errors.OpStoreError):
                self.discard_bytes(upload)

    def delete_row(self, connection: Connection, upload: str, owner: str | None = None) -> None:
        """Delete the upload's row in the caller's transaction; call `discard_bytes` after the commit.

        Raises UploadNotFound if the row is gone already, or has another owner: one upload makes one version.
        """
        _check_id(upload)
        statement = (
            upload_rows.delete_one(upload=upload)
            if owner is None
            else upload_rows.delete_one(upload=upload, owner=owner)
        )
        if statement.run(connection).one_or_none() is None:
            raise errors.UploadNotFound(upload=upload[:64])

    def discard_bytes(self, upload: str) -> None:
        """Delete the bytes of an upload whose row is deleted."""
        self._verified.pop(upload, None)
        opened = self.opened.find(upload)
        if opened is None:
            self._saver.discard(upload)
            return
        opened.ending = errors.UploadNotFound(upload=upload)
        with opened.lock:  # removed from `opened` only afterwards, so that other threads wait for a publish
            opened.close()
            self._saver.discard(upload)
        self.opened.forget(opened)

    def close(self) -> None:
        """Store what was accepted, and close all drafts; their bytes stay."""
        self.opened.close()

    def _row(self, upload: str, owner: str) -> tuple[int | None, int]:
        _check_id(upload)
        with self._database.read() as connection:
            row = upload_rows.row(upload=upload, owner=owner).run(connection).one_or_none()
        if row is None:
            raise errors.UploadNotFound(upload=upload[:64])
        return row.size, row.touched_at


def _check_free(opened: OpenUpload, offset: int) -> None:
    """Raise UploadNotOpen if a request appends to the upload, and OffsetMismatch unless it is at the offset."""
    if opened.writer is not None:
        raise errors.UploadNotOpen(upload=opened.upload)
    if offset != opened.draft.offset:
        raise errors.OffsetMismatch(upload=opened.upload, offset=opened.draft.offset, given=offset)


def _check_id(upload: str) -> None:
    """Raise UploadNotFound for a text that can't be an id: PostgreSQL refuses to look for some, such as a NUL."""
    if not is_upload(upload):
        raise errors.UploadNotFound(upload=upload[:64])
