"""Pushes whose bytes may have to be read for long before their versions can be made.

Each goes on in a thread of its own when its request has ended, because clients and load balancers wait for no answer
as long as 100 GiB take. A request waits for a while; then it is answered with NotVerified, and repeated.
"""

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import Pushed

PATIENCE = 40.0  # seconds that a request waits: load balancers give up after 60 or more
CLOSING = 5.0  # seconds
KEPT = 100  # outcomes that no request has asked for


@dataclass(eq=False)
class _Push:
    """A push that runs or has ended. `request` tells its repetitions from others with the same upload."""

    request: object
    outcome: Future[Pushed] = field(default_factory=Future)
    waiting: threading.Lock = field(default_factory=threading.Lock)  # held by the request that waits

    def run(self, work: Callable[[], Pushed]) -> None:
        try:
            pushed = work()
        except BaseException as error:  # noqa: BLE001 - the request that asks for it raises it
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(pushed)


class LongPushes:
    """The long pushes of this process, at most one for each upload.

    Of the requests for one of them, one at a time waits, so that they never hold more threads than there are pushes.
    """

    def __init__(self) -> None:
        self._pushes: dict[Hashable, _Push] = {}
        self._lock = threading.Lock()

    def __contains__(self, upload: Hashable) -> bool:
        return upload in self._pushes

    def run(
        self,
        upload: Hashable,
        request: object,
        work: Callable[[], Pushed],
        unfinished: Callable[[], errors.NotVerified],
    ) -> Pushed:
        """Do the work once for all repetitions of a request; return or raise its outcome.

        Raises what `unfinished` returns if it takes longer than PATIENCE.
        """
        push = self._begin(upload, request, work, unfinished)
        if not push.waiting.acquire(blocking=False):
            raise unfinished()
        try:
            pushed = push.outcome.result(PATIENCE)
        except TimeoutError:
            if not push.outcome.done():
                raise unfinished() from None
            raise
        finally:
            push.waiting.release()
            if push.outcome.done():
                self._forget(upload, push)
        return pushed

    def _begin(
        self,
        upload: Hashable,
        request: object,
        work: Callable[[], Pushed],
        unfinished: Callable[[], errors.NotVerified],
    ) -> _Push:
        with self._lock:
            push = self._pushes.get(upload)
            if push is not None and push.request == request:
                return push
            if push is not None and not push.outcome.done():
                raise unfinished()
            push = self._pushes[upload] = _Push(request)
            ended = [key for key, each in self._pushes.items() if each.outcome.done()]
            for key in ended[:-KEPT]:
                del self._pushes[key]
        threading.Thread(target=push.run, args=(work,), name="opstore-push", daemon=True).start()
        return push

    def close(self) -> None:
        """Wait until those that run have ended, at most CLOSING: none should be in a transaction at the end."""
        with self._lock:
            running = [push.outcome for push in self._pushes.values()]
        wait(running, CLOSING)

    def _forget(self, upload: Hashable, push: _Push) -> None:
        with self._lock:
            if self._pushes.get(upload) is push:
                del self._pushes[upload]
