"""An HTTP server in a thread of the tests' process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self, cast


@contextmanager
def serving(server: HTTPServer) -> Iterator[int]:
    """Serve while the context lasts, and yield the port."""
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


class HttpThread:
    """A server on a free port, which serves while the context lasts. Its handlers know it as their `owner`."""

    def __init__(self, handler: "type[Handler]") -> None:
        self._server = _Server(self, handler)
        self._serving = serving(self._server)
        self.port: int = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._serving.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._serving.__exit__(kind, error, trace)


class _Server(ThreadingHTTPServer):
    def __init__(self, owner: HttpThread, handler: "type[Handler]") -> None:
        self.owner = owner
        super().__init__(("127.0.0.1", 0), handler)


class Handler(BaseHTTPRequestHandler):
    """A handler that keeps connections alive, logs nothing, and does not mind a client that disconnects."""

    protocol_version = "HTTP/1.1"

    @property
    def owner(self) -> Any:
        """The HttpThread that the request is for."""
        return cast(_Server, self.server).owner

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base names it so
        """Log nothing."""

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True
