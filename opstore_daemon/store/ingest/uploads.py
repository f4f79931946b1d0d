"""Uploads: bytes on their way in, hashed as they come, that survive a lost connection and a restart.

The model is that of the IETF's "Resumable Uploads for HTTP" (draft-ietf-httpbis-resumable-upload): create, append
at the offset, ask for the offset. Whoever asks becomes the only writer; an older connection that still sends to
the same upload is refused from then on. Memory holds the hash of each open upload and no bytes.
"""

import socket
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sqlalchemy import Connection, Executable, delete, insert, select, update

from opstore_daemon.metadata import Database
from opstore_daemon.metadata.statements import Statement, prepared
from opstore_daemon.metadata.tables import Upload as UploadRow
from opstore_daemon.protocol import errors, records
from opstore_daemon.protocol.checksums import Checksum, checksum_of, new_sum
from opstore_daemon.protocol.digests import Digest, digest_of
from opstore_daemon.protocol.samples import sample_of
from opstore_daemon.savers import BaseSaver, Draft
from opstore_daemon.store import journal
from opstore_daemon.store.catalog.versions import Blob
from opstore_daemon.store.ingest.trailing_hash import TrailingHash

OPEN = 256  # uploads whose file and hash are held open at once
TOUCHED = 3600 * 1_000_000  # microseconds after which another request is worth a note, and old uploads a look
KEPT = 7 * 24 * 3600 * 1_000_000  # microseconds without a request, after which an upload is thrown away
RESERVE = 64 * 1024 * 1024  # bytes of the disk that an upload leaves free, for the database


@dataclass(frozen=True)
class Declared:
    """What is known of bytes before they are stored; None is not known."""

    digest: Digest | None = None
    checksum: Checksum | None = None
    size: int | None = None

    def check(self, digest: Digest, checksum: Checksum, size: int) -> None:
        """Raises SizeMismatch, DigestMismatch or ChecksumMismatch where the bytes are others."""
        if self.size not in (None, size):
            raise errors.SizeMismatch(actual=size, expected=self.size)
        if self.digest not in (None, digest):
            raise errors.DigestMismatch(actual=digest, expected=self.digest)
        if self.checksum not in (None, checksum):
            raise errors.ChecksumMismatch(actual=checksum, expected=self.checksum)


class _Open:
    """An upload whose draft is at hand, with the hash that follows its bytes."""

    def __init__(self, upload: str, owner: str, size: int | None, draft: Draft) -> None:
        self.upload, self.owner, self.size, self.draft = upload, owner, size, draft
        self.lock = threading.Lock()
        self.closed = False
        self.writer: Writer | None = None
        self.told = False  # whether anybody was told how far it is, since it was opened
        self.hash = TrailingHash(self.read)
        self.hash.reach(draft.offset)

    def read(self, buffer: memoryview, offset: int) -> int:
        """Fills the buffer with what was kept from there on, and says how many bytes those were."""
        return self.draft.read_at(offset, buffer)

    def record(self) -> records.Upload:
        self.told = True
        return records.Upload(upload=self.upload, offset=self.draft.offset, size=self.size)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Holds the lock without ever waiting for it: appends come from a loop that serves everybody.

        Whoever holds it has taken the upload over, or is finishing it.
        """
        if not self.lock.acquire(blocking=False):
            raise errors.UploadNotOpen(upload=self.upload)
        try:
            if self.closed:
                raise errors.UploadNotOpen(upload=self.upload)
            yield
        finally:
            self.lock.release()

    def close(self) -> None:
        """Lets go of the file; by whoever holds the lock."""
        self.writer, self.closed = None, True
        self.hash.close()
        self.draft.close()

    def close_if_idle(self) -> bool:
        """The same, unless somebody is at it."""
        if not self.lock.acquire(blocking=False):
            return False
        try:
            if self.writer is None:
                self.close()
            return self.closed
        finally:
            self.lock.release()


class Writer:
    """The one that may append to an upload, until somebody asks for the offset again."""

    def __init__(self, opened: _Open) -> None:
        self._open = opened

    def append(self, data: bytes | memoryview) -> None:
        """Keeps the bytes behind those before; raises UploadNotOpen, TooLarge, StorageFull or StorageFailed."""
        with self._appending(len(data)) as draft:
            draft.append(data)

    def receive(self, source: socket.socket, most: int) -> int:
        """The same, of what has come to a connection: how many bytes (savers.Draft)."""
        with self._appending(most) as draft:
            return draft.receive(source, most)

    @contextmanager
    def _appending(self, at_most: int) -> Iterator[Draft]:
        held = self._open
        with held.at_once():
            if held.writer is not self:
                raise errors.UploadNotOpen(upload=held.upload)
            _check_size(held, held.draft.offset + at_most)
            yield held.draft
            held.hash.reach(held.draft.offset)

    def close(self) -> None:
        """The bytes so far stay; the next append needs a new writer."""
        if self._open.writer is self:
            self._open.writer = None
            self._open.hash.close()

    def record(self) -> records.Upload:
        """How far the upload is."""
        return self._open.record()


def _check_size(held: _Open, end: int) -> None:
    if held.size is not None and end > held.size:
        raise errors.TooLarge(what="the upload", size=end, limit=held.size)


class Uploads:
    """All uploads of a store. An owner is the name of a credential; to others an upload does not exist."""

    def __init__(self, database: Database, saver: BaseSaver, now: Callable[[], int]) -> None:
        self._database, self._saver, self._now = database, saver, now
        self._opened: OrderedDict[str, _Open] = OrderedDict()
        self._lock = threading.Lock()
        self._expired_at = 0

    def create(self, owner: str, size: int | None) -> records.Upload:
        """A new upload, of `size` bytes where that is known; raises StorageFull where the disk has no room."""
        planned = self.plan(size)
        with self._database.write() as connection:
            self.enter(connection, planned, owner)
        return self.begin(planned, owner)

    def plan(self, size: int | None) -> records.Upload:
        """An upload that is to be entered and then begun."""
        if self._expired_at < self._now() - TOUCHED:
            self.expire()
        return records.Upload(upload=uuid.uuid4().hex, offset=0, size=size)

    def enter(self, connection: Connection, planned: records.Upload, owner: str) -> records.Upload:
        """Puts the upload on the books; raises StorageFull where the disk has no room for it."""
        self._check_room(planned.size)
        row = {"id": planned.upload, "owner": owner, "size": planned.size, "touched_at": self._now()}
        _ENTER.run(connection, row)
        return planned

    def _check_room(self, size: int | None) -> None:
        free = self._saver.free()
        if size is not None and free is not None and size > free - RESERVE:
            raise errors.StorageFull(reason=f"{size} bytes are to come, and {max(free - RESERVE, 0)} are free")

    def begin(self, entered: records.Upload, owner: str) -> records.Upload:
        """Opens the upload that is on the books now, so that its first append finds it open."""
        draft = self._saver.draft(entered.upload)
        return self._hold(_Open(entered.upload, owner, entered.size, draft)).record()

    def take_up(self, upload: str, owner: str) -> records.Upload:
        """How far the upload is; from now on only the asker's appends count.

        After a restart the bytes that are there are hashed again, beside what comes next. Raises UploadNotFound.
        """
        with self._holding(upload, owner) as held:
            held.writer = None
            return held.record()

    def page(self, owner: str, after: str, limit: int) -> list[records.UnfinishedUpload]:
        """At most `limit` of the owner's uploads behind that id. It disturbs none that goes on."""
        with self._database.read() as connection:
            rows = _page(owner=owner, after=after, limit=limit).run(connection).all()
        return [
            records.UnfinishedUpload(
                upload=row.id,
                offset=self._saver.kept(row.id),
                size=row.size,
                expires_at=journal.moment(row.touched_at + KEPT),
            )
            for row in rows
        ]

    @contextmanager
    def _holding(self, upload: str, owner: str) -> Iterator[_Open]:
        """The upload, with nobody else at it; raises UploadNotFound."""
        while True:
            held = self._held(upload, owner)
            with held.lock:
                if not held.closed:  # by who threw it away, or needed the room, since we looked
                    yield held
                    return

    def _held(self, upload: str, owner: str) -> _Open:
        size, touched_at = self._row(upload, owner)
        if touched_at < self._now() - TOUCHED:
            with self._database.write() as connection:
                _touched(upload=upload, now=self._now()).run(connection)
        return self._opened.get(upload) or self._reopened(upload, owner, size)

    def _reopened(self, upload: str, owner: str, size: int | None) -> _Open:
        try:
            held = self._hold(_Open(upload, owner, size, self._saver.draft(upload)))
        except errors.StorageFailed:
            self._row(upload, owner)
            raise
        try:
            self._row(upload, owner)
        except errors.UploadNotFound:  # who threw it away meanwhile may not have seen this draft
            self.throw_away(upload)
            raise
        return held

    def writer(self, upload: str, owner: str, offset: int, length: int | None) -> Writer:
        """The right to append `length` bytes at the offset; quick enough for a loop that must not wait.

        Raises UploadNotFound, UploadNotOpen, OffsetMismatch or TooLarge.
        """
        held = self._opened.get(upload)
        if held is None or held.owner != owner:
            self._row(upload, owner)
            raise errors.UploadNotOpen(upload=upload)
        with held.at_once():
            if held.writer is not None:
                raise errors.UploadNotOpen(upload=upload)
            if offset != held.draft.offset:
                raise errors.OffsetMismatch(upload=upload, offset=held.draft.offset, given=offset)
            _check_size(held, offset + (length or 0))
            held.writer = Writer(held)
            return held.writer

    def check(self, upload: str, owner: str, declared: Declared) -> Blob:
        """What arrived; from now on nothing more is taken.

        Raises UploadNotFound, UploadIncomplete, and, with nothing kept, what `Declared.check` does. Where nothing was
        declared, they may be fewer than were sent (after a loss of power, or what a disk did not take): UploadNotOpen
        until somebody has asked for the offset.
        """
        with self._holding(upload, owner) as held:
            held.writer = None
            digest, checksum, offset = held.hash.digest(), held.hash.checksum(), held.draft.offset
            sample = sample_of(offset, held.read)
        if held.size is not None and offset < held.size:
            raise errors.UploadIncomplete(upload=upload, offset=offset, size=held.size)
        if not held.told and held.size is None and declared == Declared():
            raise errors.UploadNotOpen(upload=upload)
        try:
            declared.check(digest, checksum, offset)
        except errors.IntegrityFailure:
            self.discard(upload, owner)
            raise
        return Blob(digest, offset, sample)

    def publish(self, upload: str, owner: str, digest: Digest) -> None:
        """Makes the bytes a blob, whole and durable. The upload stays, so that a repetition finds it.

        Raises UploadNotOpen where somebody went on appending since `check`.
        """
        with self._holding(upload, owner) as held:
            held.writer = None
            if held.hash.digest() != digest:
                raise errors.UploadNotOpen(upload=upload)
            try:
                held.draft.publish(digest)
            except errors.Unavailable:
                # What the disk did not take is not to be relied on: the next to ask reads what is there.
                self._opened.pop(upload, None)
                held.close()
                raise

    def check_whole(self, data: bytes, declared: Declared) -> Blob:
        """What bytes make that are all at hand; raises what `Declared.check` does, or StorageFull."""
        self._check_room(len(data))
        digest = digest_of(data)
        declared.check(digest, checksum_of(new_sum(data)), len(data))
        return Blob(digest, len(data))

    def publish_whole(self, data: bytes, digest: Digest) -> None:
        """Makes these bytes a blob, whole and durable, by a draft that no upload is on the books for.

        What a crash leaves of it is thrown away at the next start.
        """
        upload = uuid.uuid4().hex
        draft = self._saver.draft(upload)
        try:
            draft.append(data)
            draft.publish(digest)
        finally:
            draft.close()
            self._saver.discard(upload)

    def discard(self, upload: str, owner: str) -> None:
        """Throws the upload away; raises UploadNotFound."""
        with self._database.write() as connection:
            self.forget(connection, upload, owner)
        self.throw_away(upload)

    def forget(self, connection: Connection, upload: str, owner: str | None = None) -> None:
        """Takes the upload (of that owner) off the books, in the caller's transaction; `throw_away` follows its commit.

        Raises UploadNotFound where somebody did so meanwhile: of one upload there is one version.
        """
        forgotten = _forgotten(upload=upload) if owner is None else _forgotten(upload=upload, owner=owner)
        if forgotten.run(connection).one_or_none() is None:
            raise errors.UploadNotFound(upload=upload[:64])

    def throw_away(self, upload: str) -> None:
        """Lets the bytes go of an upload that is off the books."""
        held = self._opened.get(upload)
        if held is None:
            self._saver.discard(upload)
            return
        with held.lock:  # it stays among the open ones until then, so that all who throw it away wait for a publish
            held.close()
            self._saver.discard(upload)
        with self._lock:
            if self._opened.get(upload) is held:
                del self._opened[upload]

    def expire(self) -> None:
        """Throws away what nobody has asked for in a week."""
        self._expired_at = self._now()
        with self._database.read() as connection:
            expired = _untouched(since=self._now() - KEPT).run(connection).scalars().all()
        for upload in expired:
            with suppress(errors.UploadNotFound):
                with self._database.write() as connection:
                    self.forget(connection, upload)
                self.throw_away(upload)

    def sweep(self) -> None:
        """At a start, before the first request: drafts without an upload are what a crash left behind."""
        self.expire()
        with self._database.read() as connection:
            known = set(connection.execute(select(UploadRow.id)).scalars())
        for upload in list(self._saver.drafts()):
            if upload not in known:
                self._saver.discard(upload)

    def close(self) -> None:
        """Lets go of all files; what was kept stays."""
        with self._lock:
            for held in self._opened.values():
                with held.lock:
                    held.close()
            self._opened.clear()

    def _row(self, upload: str, owner: str) -> tuple[int | None, int]:
        with self._database.read() as connection:
            row = _row(upload=upload, owner=owner).run(connection).one_or_none()
        if row is None:
            raise errors.UploadNotFound(upload=upload[:64])
        return row.size, row.touched_at

    def _hold(self, opened: _Open) -> _Open:
        with self._lock:
            held = self._opened.setdefault(opened.upload, opened)
            for other in list(self._opened.values()):
                if len(self._opened) <= OPEN:
                    break
                if other is not held and other.close_if_idle():
                    del self._opened[other.upload]
        if held is not opened:
            opened.close()
        return held


_ENTER = Statement(insert(UploadRow))


@prepared
def _row(*, upload: str, owner: str) -> Executable:
    return select(UploadRow.size, UploadRow.touched_at).where(UploadRow.id == upload, UploadRow.owner == owner)


@prepared
def _page(*, owner: str, after: str, limit: int) -> Executable:
    behind = select(UploadRow.id, UploadRow.size, UploadRow.touched_at).where(UploadRow.id > after)
    return behind.where(UploadRow.owner == owner).order_by(UploadRow.id).limit(limit)


@prepared
def _touched(*, upload: str, now: int) -> Executable:
    return update(UploadRow).where(UploadRow.id == upload).values(touched_at=now)


@prepared
def _untouched(*, since: int) -> Executable:
    return select(UploadRow.id).where(UploadRow.touched_at < since)


@prepared
def _forgotten(*, upload: str, owner: str | None = None) -> Executable:
    forgotten = delete(UploadRow).where(UploadRow.id == upload).returning(UploadRow.id)
    return forgotten if owner is None else forgotten.where(UploadRow.owner == owner)
