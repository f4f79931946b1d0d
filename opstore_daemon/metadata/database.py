"""The database of a store: its connections and its schema."""

import os
from contextlib import suppress

from opstore_daemon.metadata.connections import Connections
from opstore_daemon.metadata.identity import id_of
from opstore_daemon.metadata.migrate import Migrate


class Database(Connections):
    """The database at `url`, an SQLAlchemy URL. Its schema is created or upgraded by `create_all`."""

    def create_all(self) -> None:
        """Create or upgrade the schema, as `migrate.upgrade()` does."""
        Migrate(self).upgrade()

    def store_id(self) -> str:
        """Return the id of the store; raise DatabaseDamaged if it has none."""
        with self.read() as connection:
            return id_of(connection, str(self.path))

    def acquire(self, home: str | None = None) -> None:
        """Become the one daemon of the database until `close` (DatabaseFile.acquire); one in memory has no other.

        Only then may the reserve be given up, or for the lock itself: it needs space only if its file is missing, and
        then nobody holds it.
        """
        if self.file is not None:
            file = self.file
            self.reserve.spend_on(lambda: file.acquire(home))

    def name_store(self, store_id: str) -> None:
        """Record whose commits the WAL has, for a start that finds another database beside it."""
        if self.file is not None:
            self.file.name_store(store_id)

    def size(self) -> int | None:
        """Return the bytes of the database and its WAL; None for a database in memory."""
        if self.path is None:
            return None
        total = 0
        for suffix in ("", "-wal"):
            with suppress(FileNotFoundError):
                total += os.stat(f"{self.path}{suffix}").st_size
        return total

    def verify(self) -> None:
        """Raise DatabaseReplaced if a commit could not be acknowledged."""
        if self.file is not None:
            self.file.verify()
