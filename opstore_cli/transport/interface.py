"""The interface of transports, which carry the requests of the API client."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from opstore_daemon.protocol import records, routes

UNKNOWN_HOST = "unknown host name"  # the reason of DaemonUnreachable for a URL whose host can't be resolved
DAEMON_LOST = "a proxy or load balancer there reaches no daemon"  # how the reason of DaemonUnreachable begins


class Body(Protocol):
    """A request body of known length that is not in memory; `bytes` implement it too."""

    def __len__(self) -> int:
        """Return the number of bytes that are left to read."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield the rest of the bytes. Raises FileRefused if they can't be read."""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next `size` bytes, by default all of them. Raises FileRefused if they can't be read."""


class Response(Protocol):
    """The response to a request: a subset of `http.client.HTTPResponse`."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, by case-insensitive names."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes of the body, at most `size`, none at its end.

        Raises ConnectionLost if the body ends early.
        """

    def close(self) -> None: ...


class Transport(Protocol):
    """Carries requests to one daemon, and adds the token to them."""

    @property
    def address(self) -> str:
        """The daemon's name in error messages."""

    @property
    def identity(self) -> str:
        """The identity of the daemon, which is the same after a restart."""

    @property
    def author(self) -> str | None:
        """Who makes the changes, for the journal (protocol.authors); None if nobody is named."""

    @property
    def warn(self) -> Callable[[records.PickedYanked], object]:
        """The callback for each yanked version that a reference selected."""

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        parameters: Mapping[str, Any],
        body: bytes | Body | None,
    ) -> Response:
        """Send a request and return the response, whatever its status.

        `parameters` is the query: a list becomes a repeated parameter, and None is omitted. Only a request for which
        `is_repeatable` is true may be sent more than once. Raises the errors of the family `Unreachable`.
        """


def is_repeatable(method: str, headers: Mapping[str, str]) -> bool:
    """Return whether the request is idempotent, so that it may be sent again."""
    return method == "GET" or routes.IDEMPOTENCY_KEY in headers
