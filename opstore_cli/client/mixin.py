"""What the mixins of the client have in common."""

from opstore_cli.transport.api import ApiClient
from opstore_daemon.protocol.interface import OpStoreInterface


class ApiMixin(OpStoreInterface):
    """A part of the client. `_api` is set by the class that has all parts."""

    _api: ApiClient


def ignore(*_: object) -> None:
    """Where nobody listens."""
