"""An end of a bisection as people write it: the path of a lock file, a position of the journal, or a time."""

import os
from pathlib import Path

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.times import RULE, AsOf


def parse_end(text: str) -> AsOf | Path:
    """Return the path if there is a file at it, else the position or the time; raise InvalidRequest."""
    if os.path.lexists(text) and not os.path.isdir(text):
        return Path(text)
    try:
        return AsOf.parse(text)
    except errors.InvalidRequest:
        raise errors.InvalidRequest(reason=f"{text[:60]!r} is neither a lock file that exists nor {RULE}") from None
