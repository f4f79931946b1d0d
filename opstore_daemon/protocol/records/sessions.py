"""Sessions of the web page."""

from typing import Annotated

from msgspec import Meta

from opstore_daemon.protocol.records.base import Record
from opstore_daemon.protocol.records.short_text import counted

_SIGN_IN = r"^/ui/open/[A-Za-z0-9_-]{16,128}(?![\s\S])"  # routes.SIGN_IN


class Invitation(Record, frozen=True, kw_only=True):
    """The path that starts a session of the web page. It works once, within that many `seconds`."""

    path: Annotated[str, Meta(max_length=256, pattern=_SIGN_IN)]
    seconds: Annotated[int, Meta(ge=1, le=86400)]

    NOT_IN_TABLES = frozenset({"path"})  # a notebook is passed on with its outputs

    def _summary(self) -> str:
        """Return how long it works, without the path."""
        return counted(self.seconds, "seconds")
