"""An SQLite database as a whole: its connections, its files and its reserve of disk space."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from sqlalchemy.exc import DBAPIError

from opstore_daemon.metadata.checks import Check
from opstore_daemon.metadata.database import Database
from opstore_daemon.metadata.sqlite.backup import back_up
from opstore_daemon.metadata.sqlite.checks import checks
from opstore_daemon.metadata.sqlite.connections import Connections
from opstore_daemon.metadata.sqlite.database_match import keeping_wal
from opstore_daemon.metadata.sqlite.failures import is_damage
from opstore_daemon.protocol import errors

T = TypeVar("T")


class SqliteDatabase(Connections, Database):
    """The database at `url`, sqlite:///PATH or sqlite:///:memory:."""

    advice = "opstore stop, copy the whole folder, then opstore restore a backup; see Recovery in the documentation"

    def checks(self) -> Sequence[Check]:
        """Return the checks of the database itself."""
        return checks("the database" if self.path is None else self.name)

    def is_damage(self, error: errors.OpStoreError) -> bool:
        """Return whether an error reports content that can't be right."""
        cause = error.__cause__
        return is_damage(cause.orig if isinstance(cause, DBAPIError) else cause)

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

    def is_empty(self) -> bool:
        """Return whether there is no file, or one of 0 bytes: SQLite would create it, and delete a WAL beside it."""
        return self.file is not None and self.file.is_empty()

    def create(self) -> None:
        """Create the file for its owner only, unless there is one."""
        if self.file is not None:
            self.file.create()

    def back_up(self, suffix: str) -> Path | None:
        """Copy the database durably to the file beside it with this suffix; None for a database in memory."""
        if self.path is None:
            return None
        backup = self.path.with_name(f"{self.path.name}{suffix}")
        back_up(self.path, backup)
        return backup

    def spend_on(self, work: Callable[[], T]) -> T:
        """Do work that frees space, or a step of the start; on a full disk, give the reserve up and try again."""
        return self.reserve.spend_on(work)

    def keep_reserve(self) -> None:
        """Create the reserve if there is room, and keep it from now on."""
        self.reserve.keep()

    @contextmanager
    def only_read(self) -> Iterator[None]:
        """Close the database at the end of the context, and leave its files as they are, the WAL too."""
        with keeping_wal(self.path):
            try:
                yield
            finally:
                self.close()
