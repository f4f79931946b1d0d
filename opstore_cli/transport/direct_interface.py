"""The interface of requests past the daemon, to the object store that has the bytes, and their failures."""

from typing import Protocol

from opstore_cli.transport.interface import Body
from opstore_cli.transport.response import ApiResponse

PARALLEL = 4  # parts of an upload that are sent at once: each has a connection, and a piece of READ_SIZE in memory


class DirectConnections(Protocol):
    """Connections to the server of a URL in the object store, past the daemon, for any thread."""

    @property
    def origin(self) -> str:
        """Scheme and host of the URLs, which may be printed."""

    def get(self, url: str, first: int, end: int | None = None) -> ApiResponse:
        """GET the bytes from offset `first` to before `end`; raises DirectExpired and DirectFailed."""

    def put(self, url: str, body: Body, checksum: str) -> str:
        """PUT the bytes of one part; return the ETag of the answer. `checksum`: their SHA-256 in base64.

        Raises DirectExpired, DirectInterrupted, DirectFailed, and what reading the body raises.
        """

    def abort(self) -> None:
        """End all requests of other threads, which raise DirectFailed then, and have no more."""

    def close(self) -> None: ...


class DirectFailed(Exception):
    """A transfer past the daemon failed at `origin`, for a reason in words: the daemon transfers the bytes instead."""

    def __init__(self, origin: str, reason: str) -> None:
        super().__init__(f"{origin}: {reason}")
        self.origin, self.reason = origin, reason


class DirectExpired(DirectFailed):
    """The object store refuses the URL, perhaps because it has expired, or the bytes that were sent to it."""


class DirectInterrupted(DirectFailed):
    """The connection was lost, or the object store is busy: the same request may be sent again."""
