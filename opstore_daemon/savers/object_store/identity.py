"""Which store the objects belong to: the objects `store-id` and `position` beside them."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.store_ids import is_store_id
from opstore_daemon.savers.object_store.client import Bucket, Missing, Taken
from opstore_daemon.savers.object_store.keys import POSITION, STORE_ID

INTERVAL = 60.0  # seconds between two records of the position
LONGEST = 100  # bytes of these objects


class BucketIdentity:
    """The id and the position in the bucket. The position is recorded seldom, and behind the commits."""

    def __init__(self, bucket: Bucket, pool: Executor, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._bucket, self._pool, self._monotonic = bucket, pool, monotonic
        self._lock = threading.Lock()
        self._id: str | None = None  # as far as this process knows
        self._reached = self._recorded = self._seen = 0
        self._looked_at: float | None = None
        self._recorded_at = monotonic()
        self._is_recording = False

    def store_id(self) -> str | None:
        """Return the id in the bucket, or None; raise StoreIdDamaged, and what requests raise."""
        found = self._read(STORE_ID)
        if found is None:
            return None
        text = found[0].strip()
        if not is_store_id(text):
            path = f"{self._bucket.place}/{STORE_ID}"
            raise errors.StoreIdDamaged(path=path, text=text[:LONGEST])
        self._id = text
        return text

    def claim(self, store_id: str) -> None:
        """Write the id. Raise StoreInUse if another store writes its own at the same moment."""
        found = self._read(STORE_ID)
        if found is None or found[0].strip() != store_id:
            with self._lock:
                self._reached = self._recorded = self._seen = 0
                self._id = None
            try:
                data = f"{store_id}\n".encode()
                if found is None:
                    self._bucket.put(STORE_ID, data, only_new=True)
                else:
                    self._bucket.put(STORE_ID, data, replaces=found[1])
            except Taken:
                pass
            if self.store_id() != store_id:
                raise errors.StoreInUse(what=str(self._bucket.place), holder="another store")
        self._id = store_id

    def position(self) -> int:
        """Return the largest position that this process or, as the bucket had it a minute ago, any has reached."""
        if self._looked_at is None or self._monotonic() - self._looked_at >= INTERVAL:
            found = self._position_in_bucket()
            with self._lock:
                self._seen, self._looked_at = found, self._monotonic()
        return max(self._reached, self._seen)

    def _position_in_bucket(self) -> int:
        store_id = self._id or self.store_id()
        found = self._read(POSITION) if store_id is not None else None
        words = found[0].split() if found is not None else []
        # Of another store it does not count: a claim need not delete it.
        return int(words[1]) if len(words) == 2 and words[0] == store_id and words[1].isdecimal() else 0

    def record_position(self, position: int) -> None:
        """Record the position, in the background and not more often than once in INTERVAL."""
        now = self._monotonic()
        with self._lock:
            if self._id is None:
                return
            self._reached = max(self._reached, position)
            is_due = now - self._recorded_at >= INTERVAL
            if self._reached == self._recorded or not is_due or self._is_recording:
                return
            self._is_recording, self._recorded_at = True, now
        with suppress(RuntimeError):  # the process ends
            self._pool.submit(self._record)

    def _record(self) -> None:
        with self._lock:
            store_id, position = self._id, self._reached
        try:
            with suppress(errors.OpStoreError, Taken, Missing):
                if store_id is not None and position > self._position_in_bucket():
                    self._bucket.put(POSITION, f"{store_id} {position}\n".encode())
                self._recorded = position
        finally:
            self._is_recording = False

    def close(self) -> None:
        """Record the last position."""
        if self._reached > self._recorded:
            self._record()

    def _read(self, name: str) -> tuple[str, str] | None:
        """Return the beginning of the object as text, and its etag; None if it does not exist."""
        try:
            body = self._bucket.get(name, 0, LONGEST)
        except Missing:
            return None
        with self._bucket.reading():
            return body.stream.read().decode("utf-8", "replace"), body.etag
