"""Download the bytes of one version past the daemon, from the object store; the daemon sends them if that fails."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus

from opstore_cli.transfer.direct_fallback import note_fallback
from opstore_cli.transport.api import ApiClient
from opstore_cli.transport.direct_interface import DirectConnections, DirectExpired, DirectFailed
from opstore_cli.transport.response import ApiResponse
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import DirectBytes, VersionRecord

_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")


class DirectDownload:
    """Whether and from where the bytes of one version come past the daemon.

    The daemon is asked with each request for bytes (`is_wanted`), and its answer is used for all further bytes until
    the URL has expired. After any other failure everything comes from the daemon.
    """

    def __init__(self, api: ApiClient, version: VersionRecord) -> None:
        self._api, self._version = api, version
        self._url: str | None = None
        self._connections: DirectConnections | None = None
        self._process = os.getpid()
        self._has_failed = False
        self._has_worked = False  # the current URL has returned bytes
        self._may_retry = False  # a request with it may be repeated: the server closes idle connections
        self.was_used = False  # bytes have come past the daemon

    @property
    def is_wanted(self) -> bool:
        """Whether to ask the daemon where the bytes are."""
        return self._api.may_be_direct and not self._has_failed

    @property
    def is_ready(self) -> bool:
        """Whether it is known where the bytes are."""
        return self._url is not None

    def use(self, found: DirectBytes | None) -> bool:
        """Use what the daemon has answered, if it is a URL; return whether it is."""
        if found is None or self._api.direct is None:
            return False
        self._forget()
        self._url = found.url
        return True

    @contextmanager
    def bytes_from(self, position: int, end: int | None) -> Iterator[ApiResponse]:
        """Yield the response with the bytes from `position` to before `end`.

        Raises DirectFailed, also while the response is read.
        """
        response = self._open().get(self._url or "", position, end)
        try:
            self._check(response, position, end)
            self._has_worked = self._may_retry = self.was_used = True
            yield response
        except (errors.Unreachable, errors.IntegrityFailure) as failure:
            raise DirectFailed(self._open().origin, str(failure.details.get("reason") or failure.text)) from None
        finally:
            response.close()

    def _open(self) -> DirectConnections:
        """Return the connections: a forked process must not share those of its parent."""
        if self._connections is None or self._process != os.getpid():
            if self._url is None or self._api.direct is None:
                raise DirectFailed("the object store", "its URL is not known")
            self._connections, self._process = self._api.direct(self._url), os.getpid()
        return self._connections

    def _check(self, response: ApiResponse, position: int, end: int | None) -> None:
        """Raise DirectFailed unless the response has the bytes that were requested, of as many as there are."""
        size, origin = self._version.size or 0, self._open().origin
        if response.status == HTTPStatus.OK:
            if response.header("Content-Length") not in ("", str(size)):
                raise DirectFailed(origin, f"it has other than {size} bytes")
            return
        found = _RANGE.fullmatch(response.header("Content-Range"))
        if found is None or [int(text) for text in found.groups()] != [position, (end or size) - 1, size]:
            raise DirectFailed(origin, "its response has another range than the one requested, or of other bytes")

    def failed(self, failure: DirectFailed, *, has_progressed: bool) -> None:
        """Decide how the transfer goes on after a failure: with the same URL, with a new one, or by the daemon."""
        if isinstance(failure, DirectExpired) and self._has_worked:
            self._forget()  # the next request to the daemon asks for another one
        elif not has_progressed and not self._may_retry:
            self.give_up(failure)
        else:
            self._may_retry = has_progressed
            self.close()

    def give_up(self, failure: DirectFailed) -> None:
        """Have the daemon transfer all further bytes."""
        if not self._has_failed:
            note_fallback(self._api, f"{self._version} comes", failure, has_worked=self.was_used)
        self._has_failed = True
        self._forget()

    def wrong_bytes(self) -> None:
        """Note that bytes did not match their digest: from now on they come from the daemon."""
        if self.was_used and not self._has_failed:
            origin = "the object store" if self._connections is None else self._connections.origin
            self.give_up(DirectFailed(origin, "the bytes do not match their digest"))

    def _forget(self) -> None:
        self.close()
        self._url, self._has_worked = None, False

    def close(self) -> None:
        """Close the connections."""
        connections, self._connections = self._connections, None
        if connections is not None and self._process == os.getpid():
            with suppress(OSError):
                connections.close()
