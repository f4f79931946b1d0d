"""Select what to copy from a store."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import BinaryIO

from opstore_cli.client.base import BaseOpStoreClient
from opstore_cli.exchange.content import Content
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import LinkRecord, VersionRecord
from opstore_daemon.protocol.reference_text import format_reference
from opstore_daemon.protocol.references import Reference


def select(
    client: BaseOpStoreClient,
    references: Sequence[Reference],
    pipelines: Sequence[str] = (),
    *,
    all_versions: bool = False,
) -> Content:
    """Return the versions that the references select, and those of the pipelines' resolutions, with what belongs to
    them.

    `all_versions`: all versions of the ops of the references. Raises NotFound errors, and NoResolution.
    """
    versions: dict[str, VersionRecord] = {}
    for reference in references:
        found = client.versions(reference.op) if all_versions else [client.show(reference)]
        versions.update({str(record): record for record in found})
    for pipeline in pipelines:
        versions.update({str(record): record for record in client.resolve(pipeline)})
    ops = list(dict.fromkeys(record.op for record in versions.values()))
    return Content(
        ops=tuple(client.op(op) for op in ops),
        versions=tuple(sorted(versions.values(), key=lambda record: record.position)),
        links=tuple(_links(client, ops, versions)),
        pipelines=tuple(client.pipeline(name) for name in pipelines),
    )


def _links(client: BaseOpStoreClient, ops: Sequence[str], versions: dict[str, VersionRecord]) -> list[LinkRecord]:
    """Return the links between these versions, and from them to any version of these ops."""
    found = [link for op in ops for link in client.links(upstream=op)]

    def is_wanted(link: LinkRecord) -> bool:
        upstream = format_reference(link.upstream, link.upstream_version)
        if link.downstream_version is None:
            return upstream in versions and link.downstream in ops
        return upstream in versions and format_reference(link.downstream, link.downstream_version) in versions

    return sorted(filter(is_wanted, found), key=lambda link: link.position)


class StoreBytes:
    """The bytes of versions in a store (BytesSource), each pulled to a temporary file."""

    def __init__(self, client: BaseOpStoreClient) -> None:
        self._client = client

    @contextmanager
    def open(self, version: VersionRecord) -> Iterator[BinaryIO]:
        with _temporary_file() as file:
            self._client.pull(format_reference(version.op, version.version), file)
            file.seek(0)
            yield file


def _temporary_file() -> BinaryIO:
    try:
        return TemporaryFile()
    except OSError as error:
        raise errors.OutputFailed(path="a temporary file", reason=errors.reason(error)) from error
