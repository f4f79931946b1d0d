"""The command line of opstore and its Python client, `OpStoreClient`, with its errors."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from opstore_daemon.protocol._version import __version__
from opstore_daemon.protocol.errors import OpStoreError

if TYPE_CHECKING:
    from opstore_cli.client.base import BaseOpStoreClient
    from opstore_cli.client.client import OpStoreClient
    from opstore_cli.client.warnings import YankedWarning
    from opstore_cli.evidence import CantTell
    from opstore_cli.objects import LibraryWarning
    from opstore_daemon.protocol.versions import Version

__all__ = [
    "BaseOpStoreClient",
    "CantTell",
    "LibraryWarning",
    "OpStoreClient",
    "OpStoreError",
    "Version",
    "YankedWarning",
    "__version__",
]


# Imported on first access: `opstore --help` imports this package and must not pay for the client.
_MODULES = {
    "BaseOpStoreClient": "opstore_cli.client.base",
    "CantTell": "opstore_cli.evidence",
    "LibraryWarning": "opstore_cli.objects",
    "OpStoreClient": "opstore_cli.client.client",
    "Version": "opstore_daemon.protocol.versions",
    "YankedWarning": "opstore_cli.client.warnings",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
