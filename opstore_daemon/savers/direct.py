"""Have clients read a blob and send the parts of an upload past the daemon, to and from the object store itself.

A saver may offer that (`DirectSaver`, and `DirectDraft` for what it returns as drafts); all others work too.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.records import NewPart, SentPart

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


@runtime_checkable
class DirectDraft(Protocol):
    """A draft that clients may send parts of to URLs of their own.

    What they have sent counts once it is added: until then it has no offset, and appends may take its place.
    """

    @property
    def part_size(self) -> int | None:
        """The size in bytes of each part behind the offset, of which the last one has the rest.

        None if none can be sent past the daemon now: it has not been told where clients reach the object store, or the
        size of the upload, or the bytes that it has do not end where a part does.
        """

    @property
    def has_urls(self) -> bool:
        """Whether somebody may have a URL of a part behind the offset at which the draft was opened.

        So what an append passes on may be overwritten: only bytes that are read after the seal are certain.
        """

    def part_urls(self, parts: Sequence[NewPart], seconds: int) -> Sequence[str]:
        """Return a URL for each of the next parts, at which a PUT stores these bytes and no others for that long.

        The size and the SHA-256 are part of the signature. A URL is for one part of this draft: it makes no object, and
        nothing else can be done with it. Raises StorageFailed.
        """

    def add_sent(self, parts: Sequence[SentPart]) -> int:
        """Add the parts, which follow the offset and are as large as the rule says, and return how many were added.

        The object store is asked whether it has each with this size and etag: those from the first on that it does not
        have are not added. Raises StorageFailed.
        """
