"""The schema's migrations, by Alembic: which revision a database has, and how it gets to ours."""

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError

from opstore_daemon.protocol import errors

if TYPE_CHECKING:
    from opstore_daemon.metadata.database import Database

FOLDER = Path(__file__).parent / "migrations"


class Migrate:
    """The migrations of one database."""

    def __init__(self, database: "Database") -> None:
        self._database = database
        self._config = Config()
        self._config.set_main_option("script_location", str(FOLDER))
        self._scripts = ScriptDirectory.from_config(self._config)

    def head(self) -> str:
        """The revision that this release needs."""
        head = self._scripts.get_current_head()
        if head is None:
            raise errors.DatabaseFailed(reason=f"there are no migrations in {FOLDER}")
        return head

    def current(self) -> str | None:
        """The database's revision; None where it has no schema yet."""
        with self._database.read() as connection:
            return MigrationContext.configure(connection).get_current_revision()

    def check(self) -> None:
        """Raises SchemaTooNew if the database has a revision that this release does not know."""
        current = self.current()
        if current is None:
            return
        try:
            self._scripts.get_revision(current)
        except CommandError:
            raise errors.SchemaTooNew(found=current, known=self.head()) from None

    def upgrade(self) -> Path | None:
        """Makes the schema, or brings an older one up to ours after a backup; returns the backup's path."""
        self.check()
        current = self.current()
        if current == self.head():
            return None
        backup = self._back_up(current) if current else None
        with self._database.write() as connection:
            self._config.attributes["connection"] = connection
            command.upgrade(self._config, "head")
        return backup

    def _back_up(self, revision: str) -> Path | None:
        path = self._database.path
        if path is None:
            return None
        backup = path.with_name(f"{path.name}.before-{self.head()}-at-{revision}")
        source, target = sqlite3.connect(path), sqlite3.connect(backup)
        try:
            source.backup(target)
        finally:
            source.close()
            target.close()
        return backup
