"""Records of versions that may be removed by now: runs and bisections of the past name them."""

from collections.abc import Callable

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import VersionRecord


def show_removed_too(show: Callable[[str | None], VersionRecord]) -> VersionRecord:
    """Return what `show` returns for None or, if the version was removed, for the last position that had it."""
    try:
        return show(None)
    except errors.VersionRemoved as error:
        return show(str(error.details.get("before")))
