"""The interface of requests past the daemon, to the object store that has the bytes, and their failures."""

from typing import Protocol

from opstore_cli.transport.response import ApiResponse


class DirectConnections(Protocol):
    """Connections to the server of one URL in the object store, past the daemon."""

    @property
    def origin(self) -> str:
        """Scheme and host of the URL, which may be printed."""

    def get(self, first: int, end: int | None = None) -> ApiResponse:
        """GET the bytes from offset `first` to before `end`; raises DirectExpired and DirectFailed."""

    def close(self) -> None: ...


class DirectFailed(Exception):
    """A transfer past the daemon failed at `origin`, for a reason in words: the daemon transfers the bytes instead."""

    def __init__(self, origin: str, reason: str) -> None:
        super().__init__(f"{origin}: {reason}")
        self.origin, self.reason = origin, reason


class DirectExpired(DirectFailed):
    """The object store refuses the URL, perhaps because it has expired."""
