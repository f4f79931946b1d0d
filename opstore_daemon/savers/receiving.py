"""Have a draft read from a connection.

A draft may know a way that does not copy the bytes through this process (`ReceivingDraft`); all others work too.
"""

import os
from typing import Protocol, runtime_checkable

from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.savers.base import Draft


@runtime_checkable
class ReceivingDraft(Protocol):
    """A draft that reads from a connection itself: an optional part of the contract of a draft."""

    def receive(self, source: int, limit: int) -> int:
        """Append what has arrived on the connection with this descriptor, at most `limit` bytes; return their number.

        Return 0 if the connection has ended. Raise what `append` does: then no byte is appended, though they are read
        from the connection. Raise OSError if the connection fails, or BlockingIOError if it is non-blocking and no byte
        has arrived.
        """


def receive(draft: Draft, source: int, limit: int) -> int:
    """Append to the draft as `ReceivingDraft.receive` does."""
    if isinstance(draft, ReceivingDraft):
        return draft.receive(source, limit)
    data = os.read(source, min(limit, READ_SIZE))
    draft.append(data)
    return len(data)
