"""A saver that behaves like one with an object store, without one: what a request stores, another saver finds.

Several savers share a SharedStore, as several daemons share a bucket and its records. Bytes are in memory first, and
parts of them are stored by a thread, one after another; a test can hold these requests back, or make them fail.
"""

import io
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO, ClassVar

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.savers import BaseSaver, Draft
from opstore_daemon.savers.base import BytesLost, Trashed, check_upload
from opstore_daemon.savers.collection_lock import ProcessCollectionLock
from opstore_daemon.savers.object_records import DraftTaken

PART = 2 * 1024 * 1024


@dataclass(eq=False)
class Staged:
    """The stored bytes of an upload, and the number of its newest writer."""

    data: bytearray = field(default_factory=bytearray)
    fence: int = 0
    sealed: bool = False
    lost: int | None = None  # bytes that are left when it is sealed, as if a late request had replaced a part


class SharedStore:
    """What an object store and its records have. `memory` counts the bytes that all drafts hold, and `peak` the most.

    Each part that is stored, and each read of a blob, is a request: `gate` holds them back, and `fails` returns an
    error for one.
    """

    def __init__(self, memory: int = 64 * PART) -> None:
        self.lock = threading.Condition()
        self.staged: dict[str, Staged] = {}
        self.blobs: dict[Digest, bytes] = {}
        self.trash: dict[Digest, bytes] = {}
        self.requests: Counter[str] = Counter()
        self.fences = 0
        self.stored = 0  # bytes, also those that were stored twice
        self.accepted = 0  # bytes that drafts accepted, also those that were lost with their daemon
        self.read = 0  # bytes of drafts
        self.readers = 0  # of blobs, that are open
        self.limit, self.memory, self.peak, self.drafts = memory, 0, 0, 0
        self.waiting: list[Callable[[], None]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.fails: Callable[[str], Exception | None] = lambda _: None
        self.before: Callable[[str], None] = lambda _: None  # each step of a push

    def request(self, kind: str) -> None:
        """Wait for the gate; raise what the test wants."""
        self.before(kind)
        self.gate.wait()
        with self.lock:
            self.requests[kind] += 1
        error = self.fails(kind)
        if error is not None:
            raise error

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Hold all requests back in the context."""
        self.gate.clear()
        try:
            yield
        finally:
            self.gate.set()

    def current(self, upload: str, fence: int) -> Staged:
        """Return what is staged; raise DraftTaken unless this is the newest writer."""
        staged = self.staged.get(upload)
        if staged is None or staged.fence != fence:
            raise DraftTaken
        return staged

    def take(self, count: int) -> bool:
        """Take memory if there is any."""
        with self.lock:
            if count > 0 and self.memory + count > self.limit:
                return False
            self.memory += count
            self.peak = max(self.peak, self.memory)
            return True

    def give_back(self, count: int) -> None:
        """Give memory back, and call those who wait for it."""
        with self.lock:
            self.memory -= count
            calls, self.waiting = self.waiting, []
        for call in calls:
            call()


class SharedSaver(BaseSaver):
    """A daemon's view of a SharedStore."""

    needs_records: ClassVar[bool] = True
    max_size = 5 * 1024**4
    outlives_process: ClassVar[bool] = False

    def __init__(self, store: SharedStore) -> None:
        self.store = store
        self._collection_lock = ProcessCollectionLock()

    def draft(self, upload: str) -> Draft:
        check_upload(upload)
        self.store.request("take")
        with self.store.lock:
            staged = self.store.staged.setdefault(upload, Staged())
            self.store.fences += 1
            staged.fence = self.store.fences
            return SharedDraft(self.store, upload, staged.fence, len(staged.data))

    def drafts(self) -> Iterator[str]:
        return iter(list(self.store.staged))

    def staged_size(self, upload: str) -> int:
        staged = self.store.staged.get(check_upload(upload))
        return 0 if staged is None else len(staged.data)

    def discard(self, upload: str) -> None:
        self.store.staged.pop(check_upload(upload), None)

    def put(self, data: bytes, digest: Digest, upload: str) -> None:
        del upload
        self.store.request("put")
        self.store.blobs[Digest.parse(digest)] = bytes(data)
        self.store.before("stored")

    def open(self, digest: Digest) -> BinaryIO:
        return SharedBlob(self.store, self._blob(digest))

    def __contains__(self, digest: object) -> bool:
        self.store.before("contains")
        return digest in self.store.blobs

    def size(self, digest: Digest) -> int:
        return len(self._blob(digest))

    def published_at(self, digest: Digest) -> float:
        self._blob(digest)
        return 1.0

    def delete(self, digest: Digest) -> None:
        self.store.blobs.pop(Digest.parse(digest), None)

    def __iter__(self) -> Iterator[Digest]:
        return iter(list(self.store.blobs))

    @property
    def collection_lock(self) -> ProcessCollectionLock:
        return self._collection_lock

    def trash(self, digest: Digest) -> None:
        self.store.before("trash")
        data = self.store.blobs.pop(Digest.parse(digest), None)
        if data is not None:
            self.store.trash[digest] = data

    def trashed(self) -> Iterator[Trashed]:
        return iter([Trashed(digest, len(data), 1.0) for digest, data in list(self.store.trash.items())])

    def purge(self, digest: Digest) -> None:
        self.store.trash.pop(Digest.parse(digest), None)

    def _blob(self, digest: Digest) -> bytes:
        data = self.store.blobs.get(Digest.parse(digest))
        if data is None:
            raise errors.BlobNotFound(digest=digest)
        return data


class SharedBlob(io.BytesIO):
    """A blob whose reads are requests. The store counts the open ones."""

    def __init__(self, store: SharedStore, data: bytes) -> None:
        super().__init__(data)
        self._store = store
        store.readers += 1

    def read(self, size: int | None = -1, /) -> bytes:
        self._store.request("get")
        return super().read(size)

    def close(self) -> None:
        if not self.closed:
            self._store.readers -= 1
        super().close()


class SharedDraft(Draft):
    """A draft of a SharedSaver. It accepts bytes while less than two parts are in memory."""

    needs_seal: ClassVar[bool] = True

    def __init__(self, store: SharedStore, upload: str, fence: int, stored: int) -> None:
        self._store, self._upload, self._fence, self._stored = store, upload, fence, stored
        self._held = bytearray()  # behind what is stored
        self._taken = 0
        self._lock = threading.Condition(threading.RLock())
        self._is_storing = self._closed = False
        self._failure: Exception | None = None
        self._waiting: list[Callable[[], None]] = []
        store.drafts += 1

    @property
    def offset(self) -> int:
        return self._stored if self._closed else self._stored + len(self._held)

    def append(self, data: bytes | bytearray | memoryview) -> None:
        self._check()
        staged = self._store.staged.get(self._upload)
        if staged is not None and staged.sealed:
            raise errors.StorageFailed(reason="the draft is sealed")
        self.wait_ready()
        self._check()
        with self._lock:
            self._held += memoryview(data).cast("B")
            self._store.accepted += memoryview(data).nbytes
            if len(self._held) >= PART and not self._is_storing:
                self._is_storing = True
                threading.Thread(target=self._store_parts, daemon=True).start()

    def is_ready(self) -> bool:
        with self._lock:
            if self._closed or self._failure is not None:
                return True
            wanted = 2 * PART - self._taken  # what a draft takes at once, so that none waits for more
            if len(self._held) >= PART or not self._store.take(wanted):
                return False
            self._taken += wanted
            return True

    def when_ready(self, call: Callable[[], None]) -> None:
        with self._lock:
            if not self.is_ready():
                self._waiting.append(call)
                if not self._taken:
                    self._store.waiting.append(self._call)
                return
        call()

    def _call(self) -> None:
        with self._lock:
            if not self._waiting:
                return
            if not self.is_ready():
                if not self._taken:
                    self._store.waiting.append(self._call)
                return
            calls, self._waiting = self._waiting, []
        for call in calls:
            call()

    def _store_parts(self) -> None:
        try:
            while True:
                with self._lock:
                    if len(self._held) < PART or self._failure is not None:
                        return
                    part = bytes(self._held[:PART])
                self._store_bytes("part", part)
                self._call()
        except Exception as error:  # noqa: BLE001 - the next use of the draft raises it
            self._failure = error
        finally:
            with self._lock:
                self._is_storing = False
                self._lock.notify_all()
            self._call()

    def _store_bytes(self, kind: str, data: bytes) -> None:
        self._store.request(kind)
        with self._store.lock:
            staged = self._store.current(self._upload, self._fence)
            if staged.sealed:
                raise errors.StorageFailed(reason="the draft is sealed")
            staged.data += data
            self._store.stored += len(data)
        with self._lock:
            del self._held[: len(data)]
            self._stored += len(data)

    def flush(self) -> None:
        self._check()
        with self._lock:
            self._lock.wait_for(lambda: not self._is_storing)
        try:
            self._check()
            if self._held:
                self._store_bytes("tail", bytes(self._held))
            self._give_back()
        except Exception as error:
            self._failure = error
            self._give_back()
            raise
        finally:
            self._call()

    def seal(self) -> None:
        self.flush()
        self._store.request("seal")
        with self._store.lock:
            staged = self._store.current(self._upload, self._fence)
            if staged.lost is not None:
                del staged.data[staged.lost :]
                staged.lost = None
                raise BytesLost
            staged.sealed = True

    def read_at(self, offset: int, buffer: memoryview) -> int:
        self._check()
        staged = self._store.current(self._upload, self._fence)
        if not staged.sealed:
            raise ValueError("the draft is not sealed")
        data = staged.data[offset : offset + len(buffer)]
        buffer[: len(data)] = data
        self._store.requests["read"] += 1
        self._store.read += len(data)
        return len(data)

    def publish(self, digest: Digest) -> None:
        digest = Digest.parse(digest)
        self.seal()
        self._store.request("publish")
        with self._store.lock:
            self._store.blobs[digest] = bytes(self._store.current(self._upload, self._fence).data)
        self._store.before("stored")

    def is_current(self) -> bool:
        staged = self._store.staged.get(self._upload)
        return staged is not None and staged.fence == self._fence

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._held.clear()
            self._give_back()
            self._store.drafts -= 1
        self._call()

    def _give_back(self) -> None:
        with self._lock:
            count, self._taken = self._taken, 0
        self._store.give_back(count)

    def _check(self) -> None:
        if self._closed:
            raise ValueError("the draft is closed")
        if self._failure is not None:
            raise self._failure
