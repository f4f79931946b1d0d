"""Which blobs the database needs: those of versions that are not removed."""

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, select

from opstore_daemon.metadata.tables import Version
from opstore_daemon.protocol.digests import Digest

BLOCK = 500  # digests in one statement: SQLite limits its parameters


def unreferenced(connection: Connection, digests: Sequence[Digest]) -> list[Digest]:
    """Return those of the digests that no version refers to, in their order."""
    needed = set(referenced(connection, digests))
    return [digest for digest in digests if digest not in needed]


def referenced(connection: Connection, digests: Sequence[Digest]) -> Iterator[str]:
    """Yield those of the digests that a version refers to."""
    for start in range(0, len(digests), BLOCK):
        block = digests[start : start + BLOCK]
        query = select(Version.digest).where(Version.digest.in_(block), Version.removed_position.is_(None))
        yield from (digest for digest in connection.execute(query).scalars() if digest is not None)
