"""Whether this daemon can serve requests, as a load balancer asks again and again, without a token."""

import logging
import threading
from collections.abc import Callable

from opstore_daemon.protocol import errors

TIMEOUT = 2.0  # seconds that the database and the saver have to respond; balancers ask every few seconds

log = logging.getLogger("opstore.ready")


class Readiness:
    """Runs `check` for those who ask: one at a time, in a thread of its own.

    A database that does not respond at all would otherwise keep the thread of every such request, until the server has
    none left. `is_stopping` says whether the daemon ends: then it is not ready, though it still serves requests.
    """

    def __init__(self, check: Callable[[], None], timeout: float = TIMEOUT) -> None:
        """`timeout`: the seconds that a check may take."""
        self._check, self._timeout = check, timeout
        self._lock = threading.Lock()
        self._running: _Check | None = None
        self.is_stopping = False

    def verify(self) -> None:
        """Raise NotReady unless the daemon can serve requests, now or when a check that others have begun ends."""
        if self.is_stopping:
            raise errors.NotReady
        with self._lock:
            check = self._running
            is_new = check is None or not check.is_alive()
            if check is None or is_new:
                check = self._running = _Check(self._check)
                check.start()
        if is_new or not check.is_late:
            check.join(self._timeout)
        if check.is_alive():
            check.is_late = True  # whoever asks from now on does not wait for it
            log.warning("not ready: the database (or the folder of bytes) has not responded for %g s", self._timeout)
            raise errors.NotReady
        if check.error is not None:
            log.warning("not ready: %s", check.error.text)
            raise errors.NotReady from check.error


class _Check(threading.Thread):
    """One check, and the error that it has found."""

    def __init__(self, check: Callable[[], None]) -> None:
        super().__init__(name="opstore-ready", daemon=True)
        self._check = check
        self.error: errors.OpStoreError | None = None
        self.is_late = False

    def run(self) -> None:
        try:
            self._check()
        except errors.Unavailable as error:
            self.error = error
        except Exception as failure:
            log.exception("the check of the database and the saver failed")
            self.error = errors.StorageFailed(reason=f"{type(failure).__name__}")
