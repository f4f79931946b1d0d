"""Sessions of the web page."""

from opstore_daemon.protocol.records.base import Record


class Invitation(Record, frozen=True, kw_only=True):
    """The path that starts a session of the web page. It works once, within that many `seconds`."""

    path: str
    seconds: int
