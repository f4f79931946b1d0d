"""A saver in memory, for tests and trials: it forgets everything when the process ends."""

import io
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.savers.base import BaseSaver, Draft, Trashed, check_upload
from opstore_daemon.savers.collection_lock import ProcessCollectionLock
from opstore_daemon.savers.examination import Stored
from opstore_daemon.system.lock_file import EARLIER_SERVER


@dataclass(eq=False, slots=True)
class _Staged:
    """The bytes of a draft so far; they outlive the drafts that write to them."""

    data: bytearray = field(default_factory=bytearray)
    sealed: bool = False


@dataclass(frozen=True, slots=True)
class _Blob:
    data: bytes
    published_at: float
    state: str = field(default_factory=lambda: uuid.uuid4().hex)


class MemorySaver(BaseSaver):
    """Blobs, drafts and the trash in dictionaries. A draft survives close(), as in a durable saver."""

    carries_id = True
    outlives_process = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._staging: dict[str, _Staged] = {}
        self._blobs: dict[Digest, _Blob] = {}
        self._trash: dict[Digest, Trashed] = {}
        self._collection_lock = ProcessCollectionLock()
        self._store_id: str | None = None
        self._position = 0
        self._acquired = False

    def draft(self, upload: str) -> Draft:
        check_upload(upload)
        with self._lock:
            return MemoryDraft(self, upload, self._staging.setdefault(upload, _Staged()))

    def drafts(self) -> Iterator[str]:
        with self._lock:
            return iter(list(self._staging))

    def staged_size(self, upload: str) -> int:
        staged = self._staging.get(check_upload(upload))
        return 0 if staged is None else len(staged.data)

    def discard(self, upload: str) -> None:
        check_upload(upload)
        with self._lock:
            self._staging.pop(upload, None)

    def open(self, digest: Digest) -> BinaryIO:
        return io.BytesIO(self._blob(digest).data)

    def __contains__(self, digest: object) -> bool:
        return isinstance(digest, str) and digest in self._blobs

    def size(self, digest: Digest) -> int:
        return len(self._blob(digest).data)

    def published_at(self, digest: Digest) -> float:
        return self._blob(digest).published_at

    def delete(self, digest: Digest) -> None:
        Digest.parse(digest)
        with self._lock:
            self._blobs.pop(digest, None)

    def __iter__(self) -> Iterator[Digest]:
        with self._lock:
            return iter(list(self._blobs))

    @property
    def collection_lock(self) -> ProcessCollectionLock:
        return self._collection_lock

    def trash(self, digest: Digest) -> None:
        Digest.parse(digest)
        with self._lock:
            blob = self._blobs.pop(digest, None)
            if blob is not None:
                self._trash[digest] = Trashed(digest, len(blob.data), time.time())

    def trashed(self) -> Iterator[Trashed]:
        with self._lock:
            return iter(list(self._trash.values()))

    def purge(self, digest: Digest) -> None:
        Digest.parse(digest)
        with self._lock:
            self._trash.pop(digest, None)

    def examine(self, digest: Digest) -> Stored:
        blob = self._blob(digest)
        return Stored(len(blob.data), None, blob.state)

    def quarantine(self, digest: Digest, state: str) -> bool:
        with self._lock:
            blob = self._blobs.get(Digest.parse(digest))
            if blob is None or blob.state != state:
                return False
            del self._blobs[digest]
        return True

    def place(self) -> str:
        return "memory:"

    def acquire(self, home: str | None = None) -> None:
        with self._lock:
            if self._acquired:
                raise errors.StoreInUse(what=self.place(), holder=EARLIER_SERVER)
            self._acquired = True

    def release(self) -> None:
        self._acquired = False

    def store_id(self) -> str | None:
        return self._store_id

    def claim(self, store_id: str) -> None:
        if store_id != self._store_id:
            self._store_id, self._position = store_id, 0

    def position(self) -> int:
        return self._position

    def record_position(self, position: int) -> None:
        with self._lock:
            if self._store_id is not None:
                self._position = max(self._position, position)

    def _blob(self, digest: Digest) -> _Blob:
        blob = self._blobs.get(Digest.parse(digest))
        if blob is None:
            raise errors.BlobNotFound(digest=digest)
        return blob

    def _publish(self, upload: str, staged: _Staged, digest: Digest) -> None:
        with self._lock:
            if self._staging.get(upload) is not staged:
                raise errors.StorageFailed(reason="the draft was discarded")
            staged.sealed = True
            self._blobs[digest] = _Blob(bytes(staged.data), time.time())


class MemoryDraft(Draft):
    """A draft of a MemorySaver."""

    def __init__(self, saver: MemorySaver, upload: str, staged: _Staged) -> None:
        self._saver, self._upload, self._staged = saver, upload, staged
        self._closed = False

    @property
    def offset(self) -> int:
        return len(self._staged.data)

    def append(self, data: bytes | bytearray | memoryview) -> None:
        self._check_open()
        if self._staged.sealed:
            raise errors.StorageFailed(reason="the draft was published: it takes no more bytes")
        self._staged.data += data

    def read_at(self, offset: int, buffer: memoryview) -> int:
        self._check_open()
        data = self._staged.data[offset : offset + len(buffer)]
        buffer[: len(data)] = data
        return len(data)

    def seal(self) -> None:
        self._check_open()
        self._staged.sealed = True

    def publish(self, digest: Digest) -> None:
        self._check_open()
        self._saver._publish(self._upload, self._staged, Digest.parse(digest))

    def close(self) -> None:
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("the draft is closed")
