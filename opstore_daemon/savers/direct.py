"""Have clients read a blob past the daemon, from the object store itself.

A saver may offer that (`DirectSaver`); all others work too.
"""

from typing import Protocol, runtime_checkable

from opstore_daemon.protocol.digests import Digest

DIRECT_ON = "on"  # the setting: clients reach the object store at the endpoint of the daemon
LIFETIME = 15 * 60  # seconds; a client whose URL has expired asks for another one


@runtime_checkable
class DirectSaver(Protocol):
    """A saver whose blobs may be readable at URLs of their own."""

    def direct_url(self, digest: Digest, seconds: int) -> str | None:
        """Return a URL at which a GET, with or without Range, has the bytes of the blob for that many seconds.

        None if the operator has not said that clients reach the object store. The URL is a credential: whoever has it
        reads these bytes, and can do nothing else. Sends no request to the object store. Raises BlobNotFound, and
        StorageFailed.
        """
