"""The interface between the API client and whatever carries its requests."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from opstore_daemon.protocol import records, routes

if TYPE_CHECKING:
    import socket


class Slice(Protocol):
    """Bytes of an open file."""

    def send_to(self, to: "socket.socket") -> None:
        """Sends all of them, without their ever being here; raises FileRefused, and OSError."""


class Body(Protocol):
    """A stream of known length, as requests sends it. `bytes` are a body too."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[bytes]: ...
    def read(self, size: int = -1, /) -> bytes: ...
    def pieces(self, *, slices: bool) -> "Iterator[bytes | Slice]":
        """All of it, for a transport that ends a request where this raises: what is sent may have become needless.

        With `slices` parts of a file may come as such.
        """


class Response(Protocol):
    """What carries an answer: what `http.client.HTTPResponse` has."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]:
        """Looked up whatever the case of a name."""

    def read(self, size: int, /) -> bytes:
        """The next bytes of the body, at most `size`, none at its end; raises ConnectionLost where it ends early."""

    def close(self) -> None: ...


class Transport(Protocol):
    """What carries requests to one daemon and adds to them what says who asks."""

    @property
    def address(self) -> str:
        """The daemon, in errors."""

    @property
    def identity(self) -> str:
        """What stays the same of the daemon when it restarts."""

    @property
    def warn(self) -> Callable[[records.PickedYanked], object]:
        """What is told of each yanked version that a reference picked."""

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        parameters: Mapping[str, Any],
        body: "bytes | Body | None",
    ) -> Response:
        """Carries a request, and answers whatever the status; raises the errors of `Unreachable`.

        `parameters` are the query: a list is a parameter that comes several times, a None one that does not come. A
        GET, and what has an `Idempotency-Key`, may be sent again; anything else is sent once.
        """


def may_be_repeated(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a request that was sent twice has the effect of one."""
    return method == "GET" or routes.IDEMPOTENCY_KEY in headers
