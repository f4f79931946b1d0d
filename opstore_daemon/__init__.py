"""The opstore daemon, which stores versions with their bytes and links. Start with `OpStoreServer`."""

from typing import TYPE_CHECKING, Any

from opstore_daemon.protocol._version import __version__

if TYPE_CHECKING:
    from opstore_daemon.server import OpStoreServer

__all__ = ["OpStoreServer", "__version__"]


def __getattr__(name: str) -> Any:
    # Imported on first use: the client imports opstore_daemon.protocol, and must not import Flask with it.
    if name == "OpStoreServer":
        from opstore_daemon.server import OpStoreServer

        return OpStoreServer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
