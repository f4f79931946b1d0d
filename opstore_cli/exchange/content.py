"""What is copied from a store: versions with what belongs to them, and the bytes wherever they are."""

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
    """Where the bytes of the versions are."""

    def open(self, version: VersionRecord) -> AbstractContextManager[BinaryIO]:
        """Open the verified bytes of a stored version, at their start.

        Raises FileRefused if they are damaged or can't be read, and errors of the client.
        """
