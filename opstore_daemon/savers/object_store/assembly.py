"""The object of one upload, as it is put together in the object store: parts, the tail, and the completed object.

Each method is a few requests and transactions, one after another; nothing here is in memory longer than a call. The
records decide what counts: they raise DraftTaken once there is a newer writer.
"""

import base64
import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NoReturn

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.savers.base import BytesLost
from opstore_daemon.savers.object_records import DraftRecord, DraftTaken, ObjectRecords, Part
from opstore_daemon.savers.object_store.client import Bucket, Head, Sent, Taken, UploadGone
from opstore_daemon.savers.object_store.keys import new_key, object_name
from opstore_daemon.savers.object_store.parts import MAX_PARTS
from opstore_daemon.savers.object_store.reader import ObjectReader
from opstore_daemon.savers.object_store.recorded_put import put_recorded


class Assembly:
    """The parts and the tail of an upload whose writer we are. One thread at a time uses it."""

    def __init__(self, bucket: Bucket, records: ObjectRecords, record: DraftRecord) -> None:
        self._bucket, self._records, self.record = bucket, records, record

    @property
    def parts(self) -> Sequence[Part]:
        """The parts that are stored."""
        return self.record.parts

    @property
    def stored(self) -> int:
        """The number of bytes that are stored and recorded."""
        return self.record.size

    @property
    def tail_size(self) -> int:
        """The number of stored bytes behind the parts."""
        return self.record.tail_size

    def is_current(self) -> bool:
        """Return whether we still are its writer."""
        return self._records.fence(self.record.upload) == self.record.fence

    def store_part(self, data: bytearray) -> None:
        """Store the bytes behind the parts as the next part; they begin with those of the tail."""
        number = len(self.parts) + 1
        if number > MAX_PARTS:
            limit = sum(part.size for part in self.parts)
            raise errors.TooLarge(what="an upload of unknown size", size=limit + len(data), limit=limit)
        record = self.begin_multipart()
        assert record.multipart is not None  # noqa: S101
        try:
            part = self._bucket.upload_part(object_name(record.key), record.multipart, number, data)
        except UploadGone:
            self._lose(1)
        self.add_parts((part,))

    def add_parts(self, parts: Sequence[Part]) -> None:
        """Record parts that the object store has; they begin with the bytes of the tail."""
        record = self.record
        self._records.add_parts(record.upload, record.fence, parts)
        size = record.size - record.tail_size + sum(part.size for part in parts)
        self.record = replace(record, parts=(*record.parts, *parts), size=size, tail_key=None, tail_size=0)
        self._delete_tail(record.tail_key)

    def begin_multipart(self) -> DraftRecord:
        """Begin the multipart upload unless there is one, and return the record that has it."""
        record = self.record
        if record.multipart is None:
            name = object_name(record.key)
            multipart = self._bucket.create_multipart(name)
            try:
                self._records.begin_multipart(record.upload, record.fence, multipart)
            except BaseException:
                with suppress(errors.OpStoreError):  # else a collection does it
                    self._bucket.abort(name, multipart)
                raise
            self.record = replace(record, multipart=multipart)
        return self.record

    def sent_parts(self) -> Sequence[Sent]:
        """Return the parts behind those that are stored; raise BytesLost if the object store has no part any more."""
        if self.record.multipart is None:
            return ()
        try:
            return list(self._bucket.parts(object_name(self.record.key), self.record.multipart, len(self.parts)))
        except UploadGone:
            self._lose(1)

    def store_tail(self, data: bytearray) -> None:
        """Store all bytes behind the parts as the tail, in place of the one before."""
        record, key = self.record, new_key()
        self._records.begin(key)
        put_recorded(self._bucket, self._records, key, data)
        try:
            self._records.set_tail(record.upload, record.fence, key, len(data))
        except DraftTaken:
            self._delete_tail(key)
            raise
        size = record.size - record.tail_size + len(data)
        self.record = replace(record, size=size, tail_key=key, tail_size=len(data))
        self._delete_tail(record.tail_key)

    def load_tail(self) -> bytearray:
        """Return the bytes of the tail; raise BytesLost if its object is not what was stored."""
        data = bytearray(self.record.tail_size)
        if self.record.tail_key is not None:
            try:
                done = self._read(self.record.tail_key, memoryview(data))
            except errors.ObjectStoreFailed:
                raise
            except errors.StorageFailed:
                done = 0  # it is gone
            if done < len(data):
                self._lose(len(self.parts) + 1)
        return data

    def _read(self, key: str, view: memoryview) -> int:
        done = 0
        with ObjectReader(self._bucket, object_name(key), len(view)) as file:
            while done < len(view) and (count := file.readinto(view[done:])):
                done += count
        return done

    def seal(self) -> None:
        """Put the object together, of the parts or of the tail. There is no tail beside parts. Raises BytesLost."""
        record = self.record
        if record.parts and record.multipart is not None:
            self._complete(record.multipart)
        elif record.tail_key is None:
            self._bucket.put(object_name(record.key), b"")
        if record.multipart is not None and not record.parts:
            self._bucket.abort(object_name(record.key), record.multipart)
        self.record = self._records.seal(record.upload, record.fence)

    def publish(self, digest: Digest) -> bool:
        """Make the sealed object the blob of the digest; return False if it is being deleted."""
        return self._records.publish(self.record.key, digest, self.record.size)

    def _complete(self, multipart: str) -> None:
        name = object_name(self.record.key)
        try:
            self._bucket.complete(name, multipart, self.parts)
        except Taken:
            if not self._is_whole(self._bucket.head(name)):
                self._bucket.delete(name)  # what an earlier writer completed too early
                self._complete_or_lose(name, multipart)
        except UploadGone:
            # Also if the answer to the same request was lost.
            if not self._is_whole(self._bucket.head(name)):
                self._lose(self._first_wrong_part(name, multipart))

    def _complete_or_lose(self, name: str, multipart: str) -> None:
        try:
            self._bucket.complete(name, multipart, self.parts)
        except (Taken, UploadGone):
            self._lose(1)

    def _is_whole(self, head: Head | None) -> bool:
        """Return whether the object is certainly the one of our parts."""
        if head is None or head.size != self.record.size:
            return False
        if head.checksum is not None:
            return head.checksum.partition("-")[0] == _checksum_of_checksums(self.parts)
        return head.etag == _etag_of_etags(self.parts)

    def _first_wrong_part(self, name: str, multipart: str) -> int:
        """Return the number of the first part that the object store does not have as it was sent."""
        try:
            there = {(sent.number, sent.size, sent.etag) for sent in self._bucket.parts(name, multipart)}
        except UploadGone:
            return 1
        wrong = (part.number for part in self.parts if (part.number, part.size, part.etag) not in there)
        return next(wrong, 1)

    def _lose(self, first: int) -> NoReturn:
        """Forget the parts from `first` on, which an earlier writer has overwritten, or the object store has lost."""
        record = self.record
        self._records.drop_parts(record.upload, record.fence, first)
        self._delete_tail(record.tail_key)
        if first == 1 and record.multipart is not None:
            with suppress(errors.OpStoreError):
                self._bucket.abort(object_name(record.key), record.multipart)
        raise BytesLost

    def _delete_tail(self, key: str | None) -> None:
        """Delete the object of an earlier tail; if that fails, a collection does it."""
        if key is not None:
            with suppress(errors.OpStoreError):
                if self._records.move(key, "draft", "deleting"):
                    self._bucket.delete(object_name(key))
                    self._records.forget(key)


def _checksum_of_checksums(parts: Sequence[Part]) -> str:
    joined = b"".join(base64.b64decode(part.checksum) for part in parts)
    return base64.b64encode(hashlib.sha256(joined).digest()).decode()


def _etag_of_etags(parts: Sequence[Part]) -> str:
    """Return the etag that most stores give an object of these parts; empty if theirs are of another form."""
    try:
        joined = b"".join(bytes.fromhex(part.etag.strip('"')) for part in parts)
    except ValueError:
        return ""
    return f'"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(parts)}"'
