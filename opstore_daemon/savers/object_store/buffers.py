"""The memory for parts that all uploads of a process share.

Whoever waits for memory holds none, and who is alone gets as much as it asks for: so somebody always goes on, however
large a part is.
"""

import threading
from collections import deque
from collections.abc import Callable

LIMIT = 256 * 1024 * 1024  # bytes


class Budget:
    """A number of bytes that its holders share. Its methods never wait."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit, self.used, self.peak = limit, 0, 0
        self._lock = threading.Lock()
        self._requests: deque[tuple[int, Callable[[], None]]] = deque()

    def try_take(self, count: int, held: int) -> bool:
        """Take `count` bytes if there are as many; `held` is what the caller has already."""
        with self._lock:
            if self._requests and held == 0:
                return False  # others came first
            return self._take(count, held)

    def request(self, count: int, granted: Callable[[], None]) -> None:
        """Take `count` bytes for a caller who has none, and call `granted`: at once, or later from any thread."""
        with self._lock:
            self._requests.append((count, granted))
        self._grant()

    def give_back(self, count: int) -> None:
        """Give bytes back."""
        with self._lock:
            self.used -= count
        self._grant()

    def _take(self, count: int, held: int) -> bool:
        if self.used + count > self.limit and self.used > held:
            return False
        self.used += count
        self.peak = max(self.peak, self.used)
        return True

    def _grant(self) -> None:
        while True:
            with self._lock:
                if not self._requests or not self._take(self._requests[0][0], 0):
                    return
                _, granted = self._requests.popleft()
            granted()


budget = Budget()
"""That of this process."""
