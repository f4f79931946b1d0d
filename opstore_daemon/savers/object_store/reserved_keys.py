"""Keys of objects that are recorded before anybody needs them, several in one transaction."""

import threading
import time
from collections.abc import Callable

from opstore_daemon.savers.object_records import ObjectRecords
from opstore_daemon.savers.object_store.keys import new_key

MOST = 16  # keys that are recorded at once
WITHIN = 1.0  # seconds: as many as were taken within the last of them
LIFETIME = 3600.0  # seconds; a collection deletes drafts that nobody needs after a day


class ReservedKeys:
    """New keys, each recorded as a draft before it is given out.

    What a killed process has left of them are drafts without an object, which a collection deletes.
    """

    def __init__(self, records: Callable[[], ObjectRecords], clock: Callable[[], float] = time.monotonic) -> None:
        self._records, self._clock = records, clock
        self._lock = threading.Lock()
        self._keys: list[tuple[float, str]] = []  # with the time when it was recorded
        self._taken: list[float] = []  # the times of the last ones

    def take(self) -> str:
        """Return a key that is recorded. Raises DatabaseFailed."""
        now = self._clock()
        with self._lock:
            self._taken = [*(at for at in self._taken[-MOST:] if at > now - WITHIN), now]
            while self._keys:
                recorded_at, key = self._keys.pop()
                if recorded_at > now - LIFETIME:
                    return key
            count = min(len(self._taken), MOST)
        key, *others = (new_key() for _ in range(count))
        if others:
            self._records().begin_all([key, *others])
        else:
            self._records().begin(key)
        with self._lock:
            self._keys += [(now, each) for each in others]
        return key

    def drop(self) -> None:
        """Give out none of the keys that are recorded: a record is gone, and with it perhaps theirs."""
        with self._lock:
            self._keys = []

    def give_back(self) -> None:
        """Forget the keys that nobody has taken. Raises DatabaseFailed."""
        with self._lock:
            keys, self._keys = [key for _, key in self._keys], []
        if keys:
            self._records().forget(*keys)
