"""The command line of opstore and its Python client, `OpStoreClient`, with its errors."""

from typing import TYPE_CHECKING, Any

from opstore_daemon.protocol._version import __version__
from opstore_daemon.protocol.errors import OpStoreError

if TYPE_CHECKING:
    from opstore_cli.client.base import BaseOpStoreClient
    from opstore_cli.client.client import OpStoreClient
    from opstore_cli.client.warnings import YankedWarning
    from opstore_cli.objects import LibraryWarning
    from opstore_daemon.protocol.versions import Version

__all__ = [
    "BaseOpStoreClient",
    "LibraryWarning",
    "OpStoreClient",
    "OpStoreError",
    "Version",
    "YankedWarning",
    "__version__",
]


def __getattr__(name: str) -> Any:
    # Imported on first access: `opstore --help` imports this package and must not pay for the client.
    if name == "BaseOpStoreClient":
        from opstore_cli.client.base import BaseOpStoreClient

        return BaseOpStoreClient
    if name == "OpStoreClient":
        from opstore_cli.client.client import OpStoreClient

        return OpStoreClient
    if name == "LibraryWarning":
        from opstore_cli.objects import LibraryWarning

        return LibraryWarning
    if name == "YankedWarning":
        from opstore_cli.client.warnings import YankedWarning

        return YankedWarning
    if name == "Version":
        from opstore_daemon.protocol.versions import Version

        return Version
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
