"""Requests for new versions, as the HTTP API makes them of JSON."""

from typing import Any

import msgspec

from opstore_daemon.protocol import records
from opstore_daemon.protocol.records import NewVersion


def new_version(**values: Any) -> NewVersion:
    """Return the request with these values, whose texts are parsed."""
    return msgspec.convert(values, NewVersion, dec_hook=records.parse)
