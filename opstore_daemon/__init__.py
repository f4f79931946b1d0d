"""The daemon of opstore: versions, links, verdicts, and the bytes. `OpStoreServer` is its front door."""

from typing import TYPE_CHECKING, Any

from opstore_daemon.protocol._version import __version__

if TYPE_CHECKING:
    from opstore_daemon.server import OpStoreServer

__all__ = ["OpStoreServer", "__version__"]


def __getattr__(name: str) -> Any:
    # Imported when asked for: the client shares opstore_daemon.protocol and must not pay for Flask.
    if name == "OpStoreServer":
        from opstore_daemon.server import OpStoreServer

        return OpStoreServer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
