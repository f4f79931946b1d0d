"""A client behind a load balancer in this process: each request goes to another daemon, some of which are gone."""

import random
from collections.abc import Callable, Mapping
from typing import Any

from opstore_cli import BaseOpStoreClient, OpStoreClient
from opstore_cli.transport.adapter import TRIES
from opstore_cli.transport.interface import Body, Response, is_repeatable
from opstore_daemon.protocol import errors, routes
from tests.support.servers import ADMIN_TOKEN

HTML = b"<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>"


class BadGateway:
    """What a load balancer responds with if the daemon that it chose is gone."""

    def __init__(self, status: int = 502) -> None:
        self.status, self.headers = status, {"Content-Type": "text/html", "Content-Length": str(len(HTML))}
        self._left = HTML

    def read(self, size: int, /) -> bytes:
        data, self._left = self._left[:size], self._left[size:]
        return data

    def close(self) -> None:
        pass


class BalancedClient(BaseOpStoreClient):
    """A client whose requests go to daemons in turn, or to random ones. `sent` has each request and its daemon.

    `before` is called with each request and may return a response in place of the daemon's.
    """

    def __init__(self, urls: list[str], *, seed: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.daemons = [OpStoreClient(url, token=ADMIN_TOKEN) for url in urls]
        self._random = None if seed is None else random.Random(seed)
        self.sent: list[tuple[int, str]] = []
        self.before: Callable[[int, str], Response | None] = lambda _number, _request: None

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        parameters: Mapping[str, Any],
        body: bytes | Body | None,
    ) -> Response:
        for left in reversed(range(TRIES if is_repeatable(method, headers) else 1)):
            number = len(self.sent)
            at = (number if self._random is None else self._random.randrange(10**6)) % len(self.daemons)
            self.sent.append((at, f"{method} {path}"))
            try:
                response = self.before(at, f"{method} {path}") or self.daemons[at].request(
                    method, path, headers=headers, parameters=parameters, body=body
                )
            except errors.Unreachable:
                if not left:
                    raise
            else:
                if response.status not in routes.WITHOUT_DAEMON or not left:
                    return response
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        for daemon in self.daemons:
            daemon.close()
