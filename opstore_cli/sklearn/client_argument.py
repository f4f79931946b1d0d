"""The argument `client` of the functions for pipelines."""

from opstore_cli.client.base import BaseOpStoreClient
from opstore_cli.objects.format import type_name
from opstore_daemon.protocol import errors


def check_client(client: object) -> None:
    """Raise InvalidArgument for anything but a client, such as the name in its place."""
    if not isinstance(client, BaseOpStoreClient):
        actual = f"a {type_name(type(client))}"
        advice = "the client comes first: save_pipeline(client, name, fitted), load_pipeline(client, name)"
        raise errors.InvalidArgument(argument="client", expected="an OpStoreClient", actual=actual, advice=advice)
