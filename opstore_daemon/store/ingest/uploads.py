"""Uploads: bytes on their way into the store, hashed as they arrive, resumable after lost connections and restarts.

The model is "Resumable Uploads for HTTP" (draft-ietf-httpbis-resumable-upload): create an upload, append at its
offset, ask for the offset. Asking for the offset claims the upload: it refuses later appends of older connections.
Memory holds the hash of each open upload and none of its bytes.

One request at a time uses an upload. A request that waits while many bytes of it are hashed, or that has to hash them,
takes one of few places.
"""

import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

from sqlalchemy import Connection, Executable, delete, func, insert, select, update

from opstore_daemon.metadata import Database
from opstore_daemon.metadata.statements import Statement, prepared
from opstore_daemon.metadata.tables import Upload as UploadRow
from opstore_daemon.protocol import errors, records
from opstore_daemon.protocol.checksums import checksum_of, new_sum
from opstore_daemon.protocol.digests import Digest, digest_of
from opstore_daemon.protocol.samples import sample_of
from opstore_daemon.savers import BaseSaver
from opstore_daemon.store import journal, long_reads
from opstore_daemon.store.catalog.versions import Blob
from opstore_daemon.store.ingest.open_upload import Declaration, OpenUpload, Writer, check_size
from opstore_daemon.store.ingest.space import Space
from opstore_daemon.store.long_reads import LONG
from opstore_daemon.store.places import Places
from opstore_daemon.store.quota import Quota

MAX_OPEN = 256  # uploads whose file and hash stay open
TOUCH_INTERVAL = 3600 * 1_000_000  # microseconds between updates of the time of the last request
RETENTION = 7 * 24 * 3600 * 1_000_000  # microseconds without a request after which an upload is discarded
EXPIRED_AT_ONCE = 1000  # uploads that one request discards
MAX_UPLOADS = 10_000  # of a token


class ByAge(NamedTuple):
    """Some of the uploads: those that no request has used for RETENTION, and those that can be resumed."""

    expired: list[str]
    unfinished: list[str]


class Uploads:
    """The uploads of a store. An owner is the name of a credential; only the owner can see an upload."""

    def __init__(
        self, database: Database, saver: BaseSaver, now: Callable[[], int], reads: Places | None = None
    ) -> None:
        """`now` returns the time in microseconds since the epoch; `reads` are the places of the store's long reads."""
        self._database, self._saver, self._now = database, saver, now
        self._space = Space(lambda: saver.free())
        self._opened: OrderedDict[str, OpenUpload] = OrderedDict()
        self._lock = threading.Lock()
        self._reads = reads or long_reads.places()
        frees = "finish or delete some; each expires a week after its last request"
        self._quota = Quota(MAX_UPLOADS, "unfinished uploads", frees, _count)
        self._expired_at = 0
        self._small: set[str] = set()  # the drafts of small pushes, which have no row
        self.max_open = MAX_OPEN  # fewer if the process may have few files open

    def create(self, owner: str, size: int | None) -> records.Upload:
        """Create an upload of `size` bytes (None: unknown); raise StorageFull if the disk has no room for it."""
        planned = self.plan(size)
        with self._database.write() as connection:
            self.insert_row(connection, planned, owner)
        return self.open(planned, owner)

    def plan(self, size: int | None) -> records.Upload:
        """Return the record of a new upload, for `insert_row` and then `open`."""
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
        _INSERT.run(connection, row)
        return planned

    def open(self, inserted: records.Upload, owner: str) -> records.Upload:
        """Open the draft of an upload whose row is committed, so that it is open for the first append."""
        try:
            draft = self._saver.draft(inserted.upload)
        except errors.Unavailable:
            self.end(inserted.upload)
            raise
        return self._keep_open(OpenUpload(inserted.upload, owner, inserted.size, draft)).record()

    def claim(self, upload: str, owner: str) -> records.Upload:
        """Return the upload's offset, and refuse all earlier writers from now on; raise UploadNotFound, TooManyReads.

        After a restart this reopens the draft; its bytes are hashed again while the next ones arrive.
        """
        with self._locked(upload, owner) as opened:
            opened.writer = None
            return opened.record()

    def page(self, owner: str, after: str, limit: int) -> list[records.UnfinishedUpload]:
        """Return uploads of the owner by id: at most `limit` uploads after the id `after`. Their writers stay valid."""
        with self._database.read() as connection:
            rows = _page(owner=owner, after=after, limit=limit).run(connection).all()
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
        """Hold the lock of the upload, and open it first if it is closed; raise UploadNotFound and TooManyReads."""
        while True:
            opened = self._find(upload, owner)
            with self._alone(opened, hashes=hashes):
                if not opened.closed:  # closed between `_find` and the lock: discarded, or to stay below MAX_OPEN
                    opened.check_not_refused()
                    yield opened
                    return

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
        with self._reads.held(), opened.lock:
            opened.is_hashing = is_long
            try:
                yield
            finally:
                opened.is_hashing = False

    def _find(self, upload: str, owner: str) -> OpenUpload:
        size, touched_at = self._row(upload, owner)
        if self._is_old(touched_at):
            # On a full disk it expires earlier, but its offset can be read and its bytes can be finished.
            with suppress(errors.Unavailable), self._database.write() as connection:
                _touch(upload=upload, now=self._now()).run(connection)
        return self._opened.get(upload) or self._reopen(upload, owner, size)

    def _reopen(self, upload: str, owner: str, size: int | None) -> OpenUpload:
        try:
            opened = self._keep_open(OpenUpload(upload, owner, size, self._saver.draft(upload)))
        except errors.StorageFailed:
            self._row(upload, owner)
            raise
        try:
            self._row(upload, owner)
        except errors.UploadNotFound:  # discarded meanwhile, perhaps before this draft was made
            self.discard_bytes(upload)
            raise
        return opened

    def writer(self, upload: str, owner: str, offset: int, length: int | None) -> Writer:
        """Return the writer that appends `length` bytes (None: unknown) at `offset`. Does not wait for locks.

        Raises UploadNotFound, OffsetMismatch, TooLarge, and UploadNotOpen until the upload has been claimed.
        """
        opened = self._opened.get(upload)
        if opened is None or opened.owner != owner:
            self._row(upload, owner)
            raise errors.UploadNotOpen(upload=upload)
        with opened.try_lock():
            if opened.writer is not None:
                raise errors.UploadNotOpen(upload=upload)
            if offset != opened.draft.offset:
                raise errors.OffsetMismatch(upload=upload, offset=opened.draft.offset, given=offset)
            check_size(opened, offset + (length or 0))
            opened.writer = Writer(opened, self._space, self.end)
            return opened.writer

    def verify(self, upload: str, owner: str, declaration: Declaration) -> Blob:
        """Return the blob that has arrived, and refuse the current writer from now on.

        Raises UploadNotFound, UploadIncomplete, TooManyReads, and (after it has discarded the upload) what
        `Declaration.verify` raises.
        If the client declared nothing, bytes can be missing without notice (after a power failure, or because the disk
        refused them), so UploadNotOpen is raised until the client has asked for the offset.
        """
        with self._locked(upload, owner, hashes=True) as opened:
            opened.writer = None
            digest, checksum, offset = opened.hash.digest(), opened.hash.checksum(), opened.draft.offset
            sample = sample_of(offset, opened.read)
        if opened.size is not None and offset < opened.size:
            raise errors.UploadIncomplete(upload=upload, offset=offset, size=opened.size)
        if not opened.offset_reported and opened.size is None and declaration == Declaration():
            raise errors.UploadNotOpen(upload=upload)
        try:
            declaration.verify(digest, checksum, offset)
        except errors.IntegrityFailure:
            self.discard(upload, owner)
            raise
        return Blob(digest, offset, sample)

    def publish(self, upload: str, owner: str, digest: Digest) -> None:
        """Make the bytes a durable blob. The upload stays, so that the request can be repeated.

        Raises UploadNotOpen if bytes were appended since `verify`, TooManyReads, and StorageFull if there is no space
        for metadata.
        """
        with self._locked(upload, owner) as opened:
            opened.writer = None
            if opened.hash.digest() != digest:
                raise errors.UploadNotOpen(upload=upload)
            self._space.check(0)
            try:
                opened.draft.publish(digest)
            except errors.Unavailable:
                # The disk may not hold what the hash has seen: close the draft, so that a claim reads it again.
                self._opened.pop(upload, None)
                opened.close()
                raise

    def verify_small(self, data: bytes, declaration: Declaration) -> Blob:
        """Return the blob that these bytes make; raise what `Declaration.verify` raises."""
        digest = digest_of(data)
        declaration.verify(digest, checksum_of(new_sum(data)), len(data))
        return Blob(digest, len(data))

    def publish_small(self, data: bytes, digest: Digest) -> None:
        """Make these bytes a durable blob, without an upload: after a crash, `sweep` discards the draft."""
        upload = uuid.uuid4().hex
        self._small.add(upload)
        try:
            with self._space.writing(len(data)):
                self._saver.put(data, digest, upload)
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
                _delete(upload=upload).run(connection)
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
        statement = _delete(upload=upload) if owner is None else _delete(upload=upload, owner=owner)
        if statement.run(connection).one_or_none() is None:
            raise errors.UploadNotFound(upload=upload[:64])

    def discard_bytes(self, upload: str) -> None:
        """Delete the bytes of an upload whose row is deleted."""
        opened = self._opened.get(upload)
        if opened is None:
            self._saver.discard(upload)
            return
        with opened.lock:  # removed from `_opened` only afterwards, so that other threads wait for a publish
            opened.close()
            self._saver.discard(upload)
        with self._lock:
            if self._opened.get(upload) is opened:
                del self._opened[upload]

    def expire(self) -> int:
        """Discard uploads that no request has used for RETENTION, at most EXPIRED_AT_ONCE; return how many there were.

        If there may be more, the next new upload continues. Whatever the clock says, an upload that receives bytes
        stays, and one from a time when the clock was ahead expires RETENTION after this call.
        """
        now = self._now()
        with self._database.read() as connection:
            found = _untouched(EXPIRED_AT_ONCE, since=now - RETENTION).run(connection).scalars().all()
        self.correct_times()
        if len(found) < EXPIRED_AT_ONCE:
            self._expired_at = now
        expired = [upload for upload in found if not self._is_receiving(upload)]
        return len(expired) if self.end_all(expired) else 0

    def correct_times(self) -> None:
        """Let uploads from a time when the clock was ahead expire RETENTION after this call."""
        now = self._now()
        with self._database.read() as connection:
            ahead = _touched_later(time=now + TOUCH_INTERVAL).run(connection).first() is not None
        if ahead:
            with suppress(errors.Unavailable), self._database.write() as connection:
                _touch_later(time=now + TOUCH_INTERVAL, now=now).run(connection)

    def by_age(self) -> Iterator[ByAge]:
        """Yield all uploads, EXPIRED_AT_ONCE at a time."""
        after, oldest = "", self._now() - RETENTION
        while True:
            with self._database.read() as connection:
                rows = _ages(EXPIRED_AT_ONCE, after=after).run(connection).all()
            if not rows:
                return
            after = rows[-1].id
            expired = [row.id for row in rows if row.touched_at < oldest and not self._is_receiving(row.id)]
            yield ByAge(expired, [row.id for row in rows if row.id not in set(expired)])

    def orphans(self) -> list[str]:
        """Return the drafts that belong to no upload, and to no small push of this process.

        They are listed before the rows: the row of an upload is committed before its draft is made. No id is ever used
        twice, so what is found here may be discarded later.
        """
        drafts = list(self._saver.drafts())
        with self._database.read() as connection:
            known = set(connection.execute(select(UploadRow.id)).scalars())
        return [draft for draft in drafts if draft not in known and draft not in self._small]

    def sweep(self, *, drafts: bool = True) -> None:
        """Discard expired uploads and the drafts that a crash left without an upload; call before the first request.

        Without `drafts` the latter stay: they may be those of another store.
        """
        while self.expire() == EXPIRED_AT_ONCE:
            pass
        if drafts:
            for upload in self.orphans():
                self._saver.discard(upload)

    def close(self) -> None:
        """Close all drafts; their bytes stay."""
        with self._lock:
            for opened in self._opened.values():
                with opened.lock:
                    opened.close()
            self._opened.clear()

    def _is_old(self, time: int) -> bool:
        """Return whether a time is an hour away or more, also after now: the clock may have been set back."""
        return abs(self._now() - time) > TOUCH_INTERVAL

    def _is_receiving(self, upload: str) -> bool:
        opened = self._opened.get(upload)
        return opened is not None and opened.writer is not None

    def _row(self, upload: str, owner: str) -> tuple[int | None, int]:
        with self._database.read() as connection:
            row = _row(upload=upload, owner=owner).run(connection).one_or_none()
        if row is None:
            raise errors.UploadNotFound(upload=upload[:64])
        return row.size, row.touched_at

    def _keep_open(self, new: OpenUpload) -> OpenUpload:
        """Keep the upload open, unless it is already (return that one instead), and close idle ones beyond MAX_OPEN."""
        with self._lock:
            opened = self._opened.setdefault(new.upload, new)
            for other in list(self._opened.values()):
                if len(self._opened) <= min(self.max_open, MAX_OPEN):
                    break
                if other is not opened and other.close_if_idle():
                    del self._opened[other.upload]
        if opened is not new:
            new.close()
        return opened


_INSERT = Statement(insert(UploadRow))


@prepared
def _row(*, upload: str, owner: str) -> Executable:
    return select(UploadRow.size, UploadRow.touched_at).where(UploadRow.id == upload, UploadRow.owner == owner)


@prepared
def _page(*, owner: str, after: str, limit: int) -> Executable:
    following = select(UploadRow.id, UploadRow.size, UploadRow.touched_at).where(UploadRow.id > after)
    return following.where(UploadRow.owner == owner).order_by(UploadRow.id).limit(limit)


@prepared
def _touch(*, upload: str, now: int) -> Executable:
    return update(UploadRow).where(UploadRow.id == upload).values(touched_at=now)


@prepared
def _untouched(limit: int, *, since: int) -> Executable:
    return select(UploadRow.id).where(UploadRow.touched_at < since).limit(limit)


@prepared
def _touched_later(*, time: int) -> Executable:
    return select(UploadRow.id).where(UploadRow.touched_at > time).limit(1)


@prepared
def _touch_later(*, time: int, now: int) -> Executable:
    return update(UploadRow).where(UploadRow.touched_at > time).values(touched_at=now)


@prepared
def _ages(limit: int, *, after: str) -> Executable:
    following = select(UploadRow.id, UploadRow.touched_at).where(UploadRow.id > after)
    return following.order_by(UploadRow.id).limit(limit)


@prepared
def _count_of(*, owner: str) -> Executable:
    return select(func.count()).select_from(UploadRow).where(UploadRow.owner == owner)


def _count(connection: Connection, owner: str) -> int:
    count: int = _count_of(owner=owner).run(connection).scalar_one()
    return count


@prepared
def _delete(*, upload: str, owner: str | None = None) -> Executable:
    statement = delete(UploadRow).where(UploadRow.id == upload).returning(UploadRow.id)
    return statement if owner is None else statement.where(UploadRow.owner == owner)
