"""Servers on a folder and a database file, with a token of each scope."""

from pathlib import Path
from typing import Any

from opstore_daemon import OpStoreServer
from opstore_daemon.savers import FileSaver
from opstore_daemon.web.guards import Scope

ADMIN_TOKEN = "admin-token-4f1d0c7e"
WRITE_TOKEN = "write-token-8b02aa91"
READ_TOKEN = "read-token-c6e6d0f3"
_SCOPES: dict[str, Scope] = {WRITE_TOKEN: "write", READ_TOKEN: "read"}
TOKENS: dict[str, Any] = {"token": ADMIN_TOKEN, "tokens": _SCOPES}
"""The options of a server with a token of each scope."""
TIMEOUT = 30  # seconds, for what takes milliseconds


def open_server(folder: Path, **options: Any) -> OpStoreServer:
    """Open a server on the blobs and the database in the folder, which are created if missing."""
    saver = options.pop("saver", None) or FileSaver(folder / "blobs")
    return OpStoreServer(saver, f"sqlite:///{folder / 'opstore.db'}", **{**TOKENS, **options})
