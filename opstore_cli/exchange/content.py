"""The content of a copy: versions with their ops, links and pipelines, and a source of their bytes."""

from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

import msgspec

from opstore_daemon.protocol.records import LinkRecord, OpRecord, PipelineRecord, VersionRecord


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """Versions in the order in which they were registered, their ops, the links between them, and pipelines.

    Links are in force, the oldest first.
    """

    ops: tuple[OpRecord, ...]
    versions: tuple[VersionRecord, ...]
    links: tuple[LinkRecord, ...] = ()
    pipelines: tuple[PipelineRecord, ...] = ()


class BytesSource(Protocol):
    """A source of the bytes of versions."""

    def open(self, version: VersionRecord) -> AbstractContextManager[BinaryIO]:
        """Open the verified bytes of a stored version, at their start.

        Raises FileRefused if they are damaged or can't be read, and errors of the client.
        """
