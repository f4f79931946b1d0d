"""The database and the saver at two URLs, and how messages and commands name them: never with a password."""

import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NoReturn

from opstore_daemon.backup.folder import contains
from opstore_daemon.config import Config
from opstore_daemon.metadata import Database
from opstore_daemon.metadata.url import parse
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.passwords import without_passwords
from opstore_daemon.savers import BaseSaver, MemorySaver
from opstore_daemon.store.object_records import DatabaseObjectRecords
from opstore_daemon.system.stray_bytes import escape_stray_bytes

_ANOTHER = "give another place"


@dataclass(frozen=True)
class Places:
    """Where a store is, or shall be: the database and the saver of the settings.

    `prefix` is that of the options which name them.
    """

    config: Config
    prefix: str = "--"

    @cached_property
    def database(self) -> Database:
        """The database, which is not opened yet. Raises InvalidSetting, and MigrationRefused for one in memory."""
        with self.named():
            database = Database(self.config.db_url)
        if database.is_in_memory:
            refuse("a database in memory can't be moved, nor moved to: nothing of it outlives the daemon")
        return database

    @property
    def folder(self) -> Path | None:
        """The folder of the blobs; None if they are elsewhere."""
        return self.config.saver_folder

    def saver(self, database: Database) -> BaseSaver:
        """Return the saver, whose objects `database` records. A folder is created if it is missing."""
        with self.named():
            saver = self.config.saver()
        if isinstance(saver, MemorySaver):
            refuse("bytes in memory can't be moved, nor moved to: nothing of them outlives the daemon")
        if saver.needs_records:
            saver.attach(DatabaseObjectRecords(database))
        return saver

    @contextmanager
    def named(self) -> Iterator[None]:
        """Have the errors about a URL name the option that it comes from."""
        try:
            yield
        except errors.InvalidSetting as error:
            setting = str(error.details["setting"]).replace("--", self.prefix)
            raise errors.InvalidSetting(setting=setting, reason=error.details["reason"]) from None

    @property
    def database_url(self) -> str:
        """The URL of the database as an option takes it."""
        path = self.database.path
        if path is None:
            # With all its options, and without the driver, which psql and pg_dump would refuse.
            return without_passwords(parse(self.config.db_url).set(drivername="postgresql").render_as_string())
        return f"sqlite:///{escape_stray_bytes(str(path))}"

    @property
    def saver_url(self) -> str:
        """The URL of the saver as an option takes it."""
        return without_passwords(self.config.saver_url)

    def command(self, *words: str) -> str:
        """Return the command with the options that say where the store is, unless it is in the home."""
        options = []
        if self.database.path != Path(os.path.realpath(self.config.database_file)):
            options += ["--db", self.database_url]
        if self.folder != self.config.home / "blobs":
            options += ["--saver", self.saver_url]
        return shlex.join(["opstore", *words, *options])


def check_apart(path: Path, others: Sequence[Path]) -> None:
    """Raise MigrationRefused if the file or folder to create is one of the others, in one of them, or around one."""
    for other in others:
        if contains(other, path) and contains(path, other):
            refuse(f"{path} is a part of the store that is moved", _ANOTHER)
        if contains(other, path):
            refuse(f"{path} is inside of {other}, which is a part of the store that is moved", _ANOTHER)
        if contains(path, other):
            refuse(f"{path} contains {other}, which is a part of the store that is moved", _ANOTHER)


def check_parent(path: Path) -> None:
    """Raise MigrationRefused unless the folder exists in which a file or folder is to be created."""
    if not path.parent.is_dir():
        # Not created: it may be the folder of a disk that is not mounted.
        refuse(f"directory {path.parent} does not exist", "create it, or choose another place")


def refuse(reason: str, advice: str = "") -> NoReturn:
    """Raise MigrationRefused."""
    raise errors.MigrationRefused(reason=reason, advice=advice)
