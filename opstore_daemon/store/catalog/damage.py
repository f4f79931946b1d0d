"""Blobs that are marked as damaged or missing, until their bytes are pushed again."""

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from sqlalchemy import Connection, Executable, delete, insert, select

from opstore_daemon.metadata import Database
from opstore_daemon.metadata.statements import Statement, prepared
from opstore_daemon.metadata.tables import DamagedBlob
from opstore_daemon.protocol import errors


class Mark(NamedTuple):
    """What was found wrong with a blob, and when, in microseconds since 1970."""

    problem: str
    found_at: int


class DamageMarks:
    """The marks of a store.

    Nearly always there are none, and then no method runs a statement: pushes and pulls ask all the time. In a database
    of several daemons, another one may add marks at any time, and each question takes a statement.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._may_be_any = True
        with suppress(errors.Unavailable):  # a damaged database may still be read elsewhere
            self.reload()

    def reload(self) -> None:
        """Look up again whether there are any: the last one may have been deleted. Raises DatabaseFailed."""
        with self._database.read_between_writes() as connection:
            self._may_be_any = connection.execute(select(DamagedBlob.digest).limit(1)).first() is not None

    @property
    def may_be_any(self) -> bool:
        """Whether there may be any: if not, no blob is marked."""
        return self._may_be_any or self._database.is_shared

    def find(self, connection: Connection, digest: str) -> Mark | None:
        """Return the mark of the blob, or None."""
        row = _mark(digest=digest).run(connection).first() if self.may_be_any else None
        return None if row is None else Mark(*row)

    def among(self, connection: Connection, digests: Sequence[str]) -> dict[str, Mark]:
        """Return the marks of those blobs, a page of a list, by digest."""
        if not self.may_be_any:
            return {}
        columns = (DamagedBlob.digest, DamagedBlob.problem, DamagedBlob.found_at)
        rows = connection.execute(select(*columns).where(DamagedBlob.digest.in_(digests)))
        return {row[0]: Mark(*row[1:]) for row in rows}

    def add(self, connection: Connection, digest: str, mark: Mark) -> None:
        """Mark the blob in the caller's transaction; the time of an earlier mark stays."""
        self._may_be_any = True  # before the commit: from then on pushes look for marks
        earlier = self.find(connection, digest)
        self.heal(connection, digest)
        found_at = mark.found_at if earlier is None else earlier.found_at
        _ADD.run(connection, {"digest": digest, "problem": mark.problem, "found_at": found_at})

    def heal(self, connection: Connection, digest: str) -> None:
        """Delete the mark of a blob that was published again, in the caller's transaction."""
        if self.may_be_any:
            _delete(digest=digest).run(connection)


_ADD = Statement(insert(DamagedBlob))


@prepared
def _mark(*, digest: str) -> Executable:
    return select(DamagedBlob.problem, DamagedBlob.found_at).where(DamagedBlob.digest == digest)


@prepared
def _delete(*, digest: str) -> Executable:
    return delete(DamagedBlob).where(DamagedBlob.digest == digest)
