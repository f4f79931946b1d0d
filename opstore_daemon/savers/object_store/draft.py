"""A draft of an object: bytes in memory that become parts of a multipart upload, or one object if they are few.

A part is sent by a thread of the pool while the next one fills. What is left at the end of a request is stored as the
tail, an object of its own, and read back by whoever continues.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import ClassVar

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.protocol.records import NewPart, SentPart
from opstore_daemon.savers.base import BytesLost, Draft
from opstore_daemon.savers.object_store.assembly import Assembly
from opstore_daemon.savers.object_store.buffers import Budget
from opstore_daemon.savers.object_store.client import Bucket
from opstore_daemon.savers.object_store.direct_parts import DirectParts
from opstore_daemon.savers.object_store.keys import object_name
from opstore_daemon.savers.object_store.parts import MAX_PARTS, MAX_SIZE, MIN_PART, PART, part_size
from opstore_daemon.savers.object_store.reader import ObjectReader

EARLY = MAX_PARTS // 2  # parts after which none is sent before it is full


class ObjectDraft(Draft):
    """A draft of an S3Saver.

    `_buffer` has the bytes behind the parts that are stored or on their way; while `_is_loaded` is False, the first of
    them, the tail, are in the object store only. At most one step runs in the pool.
    """

    needs_seal: ClassVar[bool] = True

    def __init__(
        self, bucket: Bucket, assembly: Assembly, pool: Executor, budget: Budget, direct: DirectParts | None = None
    ) -> None:
        """`direct`: the parts of the assembly that clients send themselves; None if they can't."""
        self._bucket, self._assembly, self._pool, self._budget = bucket, assembly, pool, budget
        self._direct = direct
        # Whoever began the multipart upload may have given URLs away, also if clients get none here.
        self.has_urls = assembly.record.multipart is not None
        self._buffer = bytearray()
        self._offset = assembly.stored
        self._is_loaded = assembly.tail_size == 0
        self._expected: int | None = None
        self._taken = self._sending = 0  # bytes: of the budget, and of the part that is on its way
        self._has_step = False
        self._asks_for_memory = False
        self._waiting: list[Callable[[], None]] = []
        self._failure: BaseException | None = None
        self._sealed, self._closed = assembly.record.sealed, False
        self._is_complete = False  # the last part is stored: it may be too small to be followed by another one
        self._lock = threading.RLock()
        self._step_ended = threading.Condition(self._lock)
        self._reading = threading.Lock()
        self._reader: ObjectReader | None = None

    @property
    def offset(self) -> int:
        return self._assembly.stored if self._closed else self._offset

    def expect(self, size: int | None) -> None:
        self._expected = size

    # --- bytes coming in ----------------------------------------------------------------------------------------------

    def append(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data).cast("B")
        end = self._offset + len(view)
        with _loss_fails():
            self._check_writable()
            if end > MAX_SIZE:
                raise errors.TooLarge(what="the upload", size=end, limit=MAX_SIZE)
            for start in range(0, len(view), READ_SIZE):
                self.wait_ready()
                with self._lock:
                    self._check_writable()
                    self._fill(view[start : start + READ_SIZE])
        self._offset = end

    def _fill(self, piece: memoryview) -> None:
        """Add at most READ_SIZE bytes, for which `is_ready` has taken memory; if they are too many for a part, send it.

        One that is full stays until more bytes come: it may be all of the upload.
        """
        room = max(0, self._part_size() - len(self._buffer))
        self._buffer += piece[:room]
        if len(piece) > room:
            self._send_part()
            self._buffer += piece[room:]

    def _part_size(self) -> int:
        begin = self._assembly.stored - self._assembly.tail_size + self._sending
        return part_size(len(self._assembly.parts) + 1 + bool(self._sending), begin, self._expected)

    def _check_usable(self) -> None:
        if self._closed:
            raise ValueError("the draft is closed")
        if self._failure is not None:
            raise self._failure

    def _check_writable(self) -> None:
        self._check_usable()
        if self._sealed or self._is_complete:
            raise errors.StorageFailed(reason="the draft is complete: it takes no more bytes")

    # --- when append need not wait ------------------------------------------------------------------------------------

    def is_ready(self) -> bool:
        with self._lock:
            return self._would_raise() or (self._is_loaded and self._has_room() and self._take_memory())

    def _would_raise(self) -> bool:
        return self._closed or self._sealed or self._is_complete or self._failure is not None

    def _has_room(self) -> bool:
        # While a part is on its way, what arrives must not fill another one.
        return not self._has_step or (self._sending > 0 and len(self._buffer) + READ_SIZE < self._part_size())

    def _take_memory(self) -> bool:
        """Have memory for READ_SIZE more bytes than there are; return False if there is none."""
        needed = len(self._buffer) + self._sending + READ_SIZE - self._taken
        if needed > 0 and not self._budget.try_take(needed, self._taken):
            return False
        self._taken += max(0, needed)
        return True

    def when_ready(self, call: Callable[[], None]) -> None:
        with self._lock:
            self._waiting.append(call)
        self._advance()

    def _advance(self) -> None:
        """Do what is needed to be ready, one step after another; then call those who wait."""
        calls: list[Callable[[], None]] = []
        with self._lock:
            if self._waiting and self.is_ready():
                calls, self._waiting = self._waiting, []
            elif self._waiting and not self._has_step and not self._asks_for_memory:
                self._make_ready()
        for call in calls:
            call()

    def _make_ready(self) -> None:
        """Begin a step towards memory; who waits for memory holds none (buffers.Budget)."""
        if self._buffer:
            if len(self._buffer) >= MIN_PART and len(self._assembly.parts) < EARLY and self._part_size() == PART:
                self._send_part()
            else:
                self._start(self._store_tail)
            return
        self._give_back()
        self._asks_for_memory = True
        count = READ_SIZE + (0 if self._is_loaded else self._assembly.tail_size)
        self._budget.request(count, lambda: self._granted(count))

    def _granted(self, count: int) -> None:
        with self._lock:
            self._asks_for_memory = False
            self._taken += count
            if self._would_raise():
                self._give_back()
            elif not self._is_loaded and not self._has_step:
                self._start(self._load_tail)
        self._advance()

    # --- steps in the pool --------------------------------------------------------------------------------------------

    def _start(self, step: Callable[[], None]) -> None:
        self._has_step = True
        self._pool.submit(self._run, step)

    def _run(self, step: Callable[[], None]) -> None:
        try:
            step()
        except BaseException as error:  # noqa: BLE001 - the next use of the draft raises it
            self._end_step(error)
        else:
            self._end_step(None)

    def _send_part(self) -> None:
        """Send the buffer as the next part, and begin an empty one."""
        data, self._buffer = self._buffer, bytearray()
        self._sending = len(data)
        self._start(lambda: self._assembly.store_part(data))

    def _store_tail(self) -> None:
        self._assembly.store_tail(self._buffer)
        with self._lock:
            self._buffer, self._is_loaded = bytearray(), False

    def _load_tail(self) -> None:
        data = self._assembly.load_tail()
        with self._lock:
            self._buffer, self._is_loaded = data, True

    def _end_step(self, error: BaseException | None) -> None:
        with self._lock:
            self._has_step, self._sending = False, 0
            if error is not None:
                self._fail(error)
            elif self._closed:
                self._give_back()
            else:
                self._give_back(keep=len(self._buffer) + READ_SIZE)
            self._step_ended.notify_all()
        self._advance()

    def _fail(self, error: BaseException) -> None:
        """Be unusable from now on: bytes that were accepted are not stored."""
        self._failure = self._failure or error
        self._buffer = bytearray()
        self._give_back()

    def _give_back(self, keep: int = 0) -> None:
        spare = self._taken - keep
        if spare > 0:
            self._taken -= spare
            self._budget.give_back(spare)

    # --- parts past the daemon ----------------------------------------------------------------------------------------

    @property
    def part_size(self) -> int | None:
        with self._lock:
            is_at_part = self._offset == self._assembly.stored and not self._assembly.tail_size
            if self._direct is None or self._expected is None or not is_at_part or self._would_raise():
                return None
            return self._part_size()

    def part_urls(self, parts: Sequence[NewPart], seconds: int) -> Sequence[str]:
        assert self._direct is not None  # noqa: S101 - part_size is None then
        with _loss_fails(), self._alone():
            self.has_urls = True
            return self._direct.urls(parts, seconds)

    def add_sent(self, parts: Sequence[SentPart]) -> int:
        assert self._direct is not None  # noqa: S101 - part_size is None then
        with _loss_fails(), self._alone():
            count = self._direct.add(parts)
            self._offset = self._assembly.stored
            self._is_complete = self._offset == self._expected
            return count

    # --- bytes that are stored ----------------------------------------------------------------------------------------

    def flush(self) -> None:
        with _loss_fails(), self._alone():
            if self._offset > self._assembly.stored:
                if self._offset == self._expected and self._assembly.parts:
                    self._assembly.store_part(self._buffer)
                    self._is_complete = True
                elif self._offset != self._expected and len(self._buffer) >= self._part_size():
                    # Whole pieces of a stream: as a tail, each would be stored twice and read back.
                    self._assembly.store_part(self._buffer)
                else:
                    self._assembly.store_tail(self._buffer)
            self._forget_buffer()

    def seal(self) -> None:
        with self._alone():
            if self._sealed:
                return
            if self._assembly.parts:
                self._store_last_part()
            elif self._offset > self._assembly.stored:
                self._assembly.store_tail(self._buffer)
            self._assembly.seal()
            self._sealed = True
            self._forget_buffer()

    def _store_last_part(self) -> None:
        if not self._is_loaded:
            self._buffer, self._is_loaded = self._assembly.load_tail(), True
        if self._buffer:
            self._assembly.store_part(self._buffer)

    def _forget_buffer(self) -> None:
        with self._lock:
            self._buffer, self._is_loaded = bytearray(), self._assembly.tail_size == 0
            self._give_back()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Store bytes in this thread, as a step; a failure makes the draft unusable."""
        self.settle()
        with self._lock:
            self._check_usable()
            self._has_step = True
        try:
            yield
        except BaseException as error:
            self._end_step(error)
            raise
        self._end_step(None)

    def settle(self) -> None:
        """Wait for the step that runs; the next use of the draft raises what it raised."""
        with self._lock:
            self._step_ended.wait_for(lambda: not self._has_step)

    def read_at(self, offset: int, buffer: memoryview) -> int:
        self._check_usable()
        if not self._sealed:
            raise ValueError("the draft can be read once it is sealed")
        with self._reading:
            record = self._assembly.record
            if self._reader is None:
                self._reader = ObjectReader(self._bucket, object_name(record.key), record.size)
            self._reader.seek(offset)
            return self._reader.readinto(buffer)

    def publish(self, digest: Digest) -> None:
        digest = Digest.parse(digest)
        self.seal()
        if not self._assembly.publish(digest):
            raise errors.StorageFailed(reason="the draft was discarded")

    def is_current(self) -> bool:
        return self._assembly.is_current()

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if not self._has_step:
                self._give_back()
            self._buffer = bytearray()
        if self._reader is not None:
            self._reader.close()
        self._advance()


@contextmanager
def _loss_fails() -> Iterator[None]:
    """Report the loss of stored bytes as a failure: whoever sends more asks for the offset then."""
    try:
        yield
    except BytesLost:
        raise errors.StorageFailed(reason="the object store has lost a part of the upload; it can be resumed") from None
