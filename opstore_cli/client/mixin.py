"""The base class and helpers of the client's mixins."""

from collections.abc import Iterable

from opstore_cli.transport.api import ApiClient
from opstore_daemon.protocol.interface import OpStoreInterface
from opstore_daemon.protocol.references import Reference


class ApiMixin(OpStoreInterface):
    """A mixin of the client, which sets `_api`."""

    _api: ApiClient


def parse_references(references: Iterable[str | Reference]) -> tuple[Reference, ...]:
    """Return the parsed references. Raises InvalidName, InvalidReference or InvalidVersion."""
    return tuple(map(Reference.parse, references))


def as_parameter(references: Iterable[str | Reference]) -> list[str]:
    """Return the references as the values of a repeated parameter. Raises what `parse_references` raises."""
    return [str(Reference.parse(reference)) for reference in references]


def ignore(*_: object) -> None:
    """Ignore all arguments: the default callback."""
