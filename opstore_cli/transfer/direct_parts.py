"""Send parts of an upload to the object store, a few in parallel."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from opstore_cli.transfer.retry import RetryBudget
from opstore_cli.transfer.source import Source
from opstore_cli.transfer.source_body import SourceBody
from opstore_cli.transfer.threads import run_on_threads
from opstore_cli.transport.direct_interface import (
    PARALLEL,
    DirectConnections,
    DirectExpired,
    DirectFailed,
    DirectInterrupted,
)
from opstore_daemon.protocol.digests import Digest


@dataclass
class Part:
    """The bytes from `start` to before `end`. `sent`: how many of them are on their way or have arrived."""

    start: int
    end: int
    digest: Digest
    url: str = ""
    etag: str | None = None  # once the object store has it
    sent: int = 0
    was_refused: bool = False  # its latest URL is one that replaces one that was refused

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self.end - self.start


class _Stopped(Exception):
    """The transfer has ended while a part was sent."""


class PartSender:
    """Sends parts of a source over the connections of `connect`, and calls `tick` meanwhile, on the caller's thread."""

    def __init__(self, source: Source, connect: Callable[[str], DirectConnections], tick: Callable[[], object]) -> None:
        self._source, self._connect, self._tick = source, connect, tick
        self._connections: DirectConnections | None = None
        self._waiting: deque[Part] = deque()
        self._is_stopped = threading.Event()
        self._failures: list[DirectFailed] = []
        self._bugs: list[BaseException] = []
        self.has_worked = False  # a part has arrived

    def send(self, parts: Sequence[Part]) -> None:
        """Send the parts to their URLs, and set the ETag of each that has arrived.

        When it returns or raises, no part is on its way any more, except for one that hangs after an interrupt. Raises
        DirectFailed, DirectExpired only if nothing else has failed, and FileRefused.
        """
        if self._connections is None:
            self._connections = self._connect(parts[0].url)
        self._waiting.extend(parts)
        self._failures.clear()
        run_on_threads(self._work, min(PARALLEL, len(parts)), self._stop, self._tick)
        for bug in self._bugs:
            raise bug
        for failure in sorted(self._failures, key=lambda each: isinstance(each, DirectExpired)):
            raise failure

    def close(self) -> None:
        """Close the connections."""
        if self._connections is not None:
            self._connections.close()

    def _stop(self) -> None:
        self._is_stopped.set()
        self._waiting.clear()
        if self._connections is not None:
            self._connections.abort()

    def _work(self) -> None:
        while (part := self._next()) is not None:
            try:
                self._send(part)
            except DirectFailed as failure:
                self._failures.append(failure)
                self._waiting.clear()
            except _Stopped:
                return
            except BaseException as bug:  # noqa: BLE001 - `send` raises it
                self._bugs.append(bug)
                self._waiting.clear()

    def _next(self) -> Part | None:
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def _send(self, part: Part) -> None:
        """Send a part, and again after interruptions; only once again as long as none has arrived."""
        retries, tries = RetryBudget(0), 0
        assert self._connections is not None, "`send` has opened them"  # noqa: S101
        while True:
            try:
                part.sent = 0
                part.etag = self._connections.put(part.url, self._body(part), part.digest.base64)
            except DirectInterrupted as failure:
                tries += 1
                if self._is_stopped.is_set() or (tries > 1 and not self.has_worked):
                    raise
                retries.wait(failure)
            else:
                self.has_worked, part.sent = True, part.size
                return

    def _body(self, part: Part) -> SourceBody:
        def before_piece(position: int, _count: int) -> None:
            if self._is_stopped.is_set():
                raise _Stopped
            part.sent = position - part.start

        return SourceBody(self._source, part.start, part.end, before_piece)
