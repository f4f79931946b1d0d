"""Move the tables, one after the other, in batches that are committed: what a crash leaves is found and completed.

The rows of the tables whose content differs from that of the source are deleted, from the first of these tables on, and
copied again. The counter and the store's own row come last, in one transaction: until then the target is at position 0.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Table, update

from opstore_daemon.backup.reporting import Report, Step, count_of
from opstore_daemon.metadata import Database, row_copy, unfinished
from opstore_daemon.metadata.row_copy import Fingerprint
from opstore_daemon.metadata.tables import Counter, ObjectDraft, ObjectPart, StoredObject, StoreIdentity, Upload
from opstore_daemon.metadata.unfinished import Marker
from opstore_daemon.protocol import errors

# One row each, which is there from the beginning.
_SINGLE = {table.__tablename__ for table in (Counter, StoreIdentity)}
# What the old saver has of unfinished uploads, and where its objects are: another saver has its own.
_OF_THE_SAVER = {table.__tablename__ for table in (Upload, StoredObject, ObjectDraft, ObjectPart)}


def copied_tables(*, keeps_saver: bool) -> Sequence[Table]:
    """Return the tables that are copied, each one after those that it refers to.

    `keeps_saver`: the blobs stay where they are, and so do unfinished uploads.
    """
    return [each for each in row_copy.tables() if keeps_saver or each.name not in _OF_THE_SAVER]


@dataclass(frozen=True, slots=True)
class RowCopy:
    """The rows that `snapshot` sees, and the database that they are copied to, which has the marker of this process.

    `keeps_saver`: the blobs stay where they are, and so do unfinished uploads.
    """

    snapshot: Connection
    target: Database
    marker: Marker
    keeps_saver: bool

    @property
    def tables(self) -> Sequence[Table]:
        """The tables that are copied, each one after those that it refers to."""
        return copied_tables(keeps_saver=self.keeps_saver)

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        """Begin a transaction that writes to the target. Raises StoreInUse if another process has taken over."""
        with self.target.write() as connection:
            unfinished.require(connection, self.marker)
            yield connection

    def fingerprints(self, report: Report) -> dict[str, Fingerprint]:
        """Return the digest of each table of the source."""
        return self._read(self.snapshot, report, "reading rows")

    def copy(self, expected: dict[str, Fingerprint], report: Report, *, is_resumed: bool) -> None:
        """Copy all rows. Raises errors of both databases."""
        wanted: Sequence[Table] = [table for table in self.tables if table.name not in _SINGLE]
        if is_resumed:
            wanted = self._emptied(wanted, expected)
        total = sum(expected[table.name].rows for table in wanted)
        step = Step(report, f"copying {count_of(total, 'row')}", total, "rows")
        for table in wanted:
            with closing(row_copy.batches(self.snapshot, table)) as batches:
                for rows in batches:
                    with self._write() as connection:
                        row_copy.put(connection, table, rows)
                    step.advance(len(rows))
        with self._write() as connection:
            row_copy.continue_ids(connection)
            for table in self.tables:
                if table.name in _SINGLE:
                    for (row,) in row_copy.batches(self.snapshot, table):
                        connection.execute(update(table).values(row))

    def _emptied(self, tables: Sequence[Table], expected: dict[str, Fingerprint]) -> Sequence[Table]:
        """Return the tables from the first one on that is not complete; delete their rows."""
        with self.target.read() as connection:
            is_complete = [row_copy.fingerprint(connection, each) == expected[each.name] for each in tables]
        first = is_complete.index(False) if False in is_complete else len(tables)
        with self._write() as connection:
            row_copy.clear(connection, tables[first:])
        return tables[first:]

    def verify(self, expected: dict[str, Fingerprint], report: Report) -> int:
        """Compare all tables of the target with those of the source; return the number of their rows.

        Raises MigrationDiffers.
        """
        with self.target.read() as connection:  # not in the long one, which would keep the marker from going
            unfinished.require(connection, self.marker)
        with self.target.read_for_long() as connection:
            for name, found in self._read(connection, report, "verifying rows").items():
                if found != expected[name]:
                    same = f"{found.rows} rows, of which some differ"
                    words = same if found.rows == expected[name].rows else f"{found.rows} rows"
                    reason = f"the table {name} has {words}; the source has {expected[name].rows}"
                    raise errors.MigrationDiffers(reason=reason)
        return sum(found.rows for found in expected.values())

    def _read(self, connection: Connection, report: Report, name: str) -> dict[str, Fingerprint]:
        step, found = Step(report, name, len(self.tables), "tables"), {}
        for table in self.tables:
            found[table.name] = row_copy.fingerprint(connection, table)
            step.advance(1)
        return found
