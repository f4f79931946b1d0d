"""Say that a transfer past the daemon failed, and that the daemon transfers the rest."""

import logging

from opstore_cli.transport.api import ApiClient
from opstore_cli.transport.direct_interface import DirectFailed

log = logging.getLogger("opstore_cli.direct")


def note_fallback(api: ApiClient, transfer: str, failure: DirectFailed, *, has_worked: bool) -> None:
    """Log that a transfer, such as "pca goes", is one through the daemon; if nothing worked, pause the others, too."""
    log.info("%s through the daemon: %s", transfer, failure)
    if not has_worked:
        api.pause_direct()
