"""How the daemon is asked: the headers, keys and records of a request, and the daemon found again when it has gone.

The connections below it are made by requests, which is imported with the first request only.
"""

import os
import threading
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, overload

import msgspec

from opstore_cli.target import Target
from opstore_daemon.protocol import errors, records, routes

if TYPE_CHECKING:
    from opstore_cli.connections import Answer, Connections

T = TypeVar("T")

CONNECT_WITHIN = 5.0  # seconds
ANSWER_WITHIN = 60.0  # seconds without a byte
COMMIT_WITHIN = 300.0  # the same where the daemon writes: it waits for the disk
# Seconds for a piece of a body to leave. It stands for the connect timeout because urllib3 keeps that one while it
# sends; five seconds for a piece of a mebibyte would cut off every line slower than 1.7 Mbit/s.
SEND_WITHIN = 60.0
MAX_ANSWER = 256 * 1024 * 1024  # bytes of a JSON answer: 1000 versions with their messages are less


class Http:
    """Requests to the daemon that `locate` finds, from any thread.

    `locate` is called with the first request, and once more for a request that a local daemon no longer takes: it
    may have stopped at that moment, since it stops when it is idle.
    """

    def __init__(self, locate: Callable[[], Target]) -> None:
        self._locate = locate
        self._target: Target | None = None
        self._lock = threading.Lock()
        self._mine = threading.local()
        self._all: weakref.WeakSet[Connections] = weakref.WeakSet()

    @property
    def target(self) -> Target:
        """The daemon that is asked."""
        return self._find(None)

    def close(self) -> None:
        """Closes all connections."""
        with self._lock:
            for connections in self._all:
                connections.close()

    @overload
    def call(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        body: records.Request | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> T: ...
    @overload
    def call(self, method: str, path: str, kind: None) -> None: ...
    def call(
        self,
        method: str,
        path: str,
        kind: type[T] | None,
        *,
        body: records.Request | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> T | None:
        """The record that answers. What is no GET has a key of its own, so that a retry has the effect of one."""
        headers = {"Accept": f"{routes.JSON}, {routes.PROBLEM}"}
        if method != "GET":
            headers[routes.IDEMPOTENCY_KEY] = uuid.uuid4().hex
        if body is not None:
            headers["Content-Type"] = routes.JSON

        def ask(connections: "Connections") -> T | None:
            with connections.exchange(
                method,
                path,
                headers=headers,
                parameters=parameters or {},
                body=None if body is None else records.encode(body),
                within=(CONNECT_WITHIN, ANSWER_WITHIN if method == "GET" else COMMIT_WITHIN),
            ) as answer:
                return _record(answer, kind, connections)

        return self._with_daemon(ask)

    def append(self, upload: str, offset: int, body: Any) -> records.Upload:
        """Appends the body (bytes, or a reader with a length) to an upload.

        Sent once: after a failure the offset has to be asked for before anything else is appended.
        """
        headers = {routes.UPLOAD_OFFSET: str(offset), "Content-Type": routes.APPEND_TYPE}
        connections = self._connections(self.target)
        with connections.exchange(
            "PATCH",
            routes.path(routes.UPLOAD, upload=upload),
            headers=headers,
            parameters={},
            body=body,
            within=(SEND_WITHIN, COMMIT_WITHIN),
        ) as answer:
            return _record(answer, records.Upload, connections)

    @contextmanager
    def fetch(self, path: str, first: int, etag: str) -> "Iterator[Answer]":
        """The answer that brings the bytes from `first` on of what has the etag, or (200) all of it."""
        headers = {"Accept": f"{routes.BYTES_TYPE}, {routes.PROBLEM}"}
        if first > 0:
            headers |= {"Range": f"bytes={first}-", "If-Range": etag}

        def open_answer(connections: "Connections") -> "tuple[ExitStack, Answer]":
            stack = ExitStack()
            exchange = connections.exchange(
                "GET", path, headers=headers, parameters={}, body=None, within=(CONNECT_WITHIN, COMMIT_WITHIN)
            )
            return stack, stack.enter_context(exchange)

        stack, answer = self._with_daemon(open_answer)
        with stack:
            yield answer

    def _with_daemon(self, request: "Callable[[Connections], T]") -> T:
        target = self.target
        try:
            return request(self._connections(target))
        except (errors.DaemonUnreachable, errors.ProofFailed):
            if target.found is None:
                raise
        return request(self._connections(self._find(target)))

    def _find(self, gone: Target | None) -> Target:
        """The target, looked for anew where it is the one that has gone."""
        with self._lock:
            if self._target is None or self._target is gone:
                self._target = self._locate()
            return self._target

    def _connections(self, target: Target) -> "Connections":
        from opstore_cli.connections import Connections

        mine: Connections | None = getattr(self._mine, "connections", None)
        # A forked process has its parent's sockets: two that write to one mix up their requests.
        if mine is None or mine.target is not target or mine.process != os.getpid():
            if mine is not None:
                mine.close()
            mine = self._mine.connections = Connections(target)
            with self._lock:
                self._all.add(mine)
        return mine


@overload
def _record(answer: "Answer", kind: type[T], connections: "Connections") -> T: ...
@overload
def _record(answer: "Answer", kind: type[T] | None, connections: "Connections") -> T | None: ...
def _record(answer: "Answer", kind: type[T] | None, connections: "Connections") -> T | None:
    from opstore_cli.connections import NO_DAEMON

    try:
        body = answer.read(MAX_ANSWER)
        if kind is None:
            return None
        if answer.content_type != routes.JSON:
            raise ValueError(answer.content_type)
        return msgspec.json.decode(body, type=kind)
    except (ValueError, msgspec.DecodeError, RecursionError):
        raise connections.unreachable(f"{NO_DAEMON} (HTTP {answer.status})") from None
