"""Sessions of the page."""

from opstore_daemon.protocol.records.base import Record


class Invitation(Record, frozen=True, kw_only=True):
    """The path that begins a session of the page. It works once, within `seconds`."""

    path: str
    seconds: int
