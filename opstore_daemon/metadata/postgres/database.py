"""A PostgreSQL database as a whole: what its server must be, its size, and its schema."""

import logging
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import MetaData
from sqlalchemy.exc import DBAPIError

from opstore_daemon.metadata.checks import Check
from opstore_daemon.metadata.database import Database
from opstore_daemon.metadata.postgres.checks import checks
from opstore_daemon.metadata.postgres.connections import Connections
from opstore_daemon.metadata.postgres.failures import is_damage
from opstore_daemon.metadata.postgres.schema import tables
from opstore_daemon.metadata.url import invalid
from opstore_daemon.protocol import errors

log = logging.getLogger("opstore.postgres")

OLDEST = 13  # the oldest release of PostgreSQL that is supported

_SERVER = """
SELECT current_setting('server_version_num')::int / 10000, current_setting('server_encoding'),
       current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on'
"""


class PostgresDatabase(Connections, Database):
    """The database at `url`, postgresql+psycopg://USER@HOST/DATABASE."""

    is_shared = True
    advice = "stop the daemons, then restore a backup of the database, as pg_restore does; see Operations"

    def checks(self) -> Sequence[Check]:
        """Return the checks of the database itself."""
        return checks(self.name)

    def is_damage(self, error: errors.OpStoreError) -> bool:
        """Return whether an error reports content that can't be right."""
        cause = error.__cause__
        return is_damage(cause.orig if isinstance(cause, DBAPIError) else cause)

    def acquire(self, home: str | None = None) -> None:
        """Check that the server can be the database of a store; any number of daemons may use it.

        Raises InvalidSetting and DatabaseFailed.
        """
        with self.read() as connection:
            version, encoding, is_durable = connection.exec_driver_sql(_SERVER).one()
        if version < OLDEST:
            raise invalid(f"{self.name} is PostgreSQL {version}: use {OLDEST} or later")
        if encoding != "UTF8":
            raise invalid(f"{self.name} has the encoding {encoding}: create it with the encoding UTF8")
        if not is_durable:
            log.warning("%s may lose commits in a crash: fsync or full_page_writes is off", self.name)

    def tables(self) -> MetaData:
        """Return the tables as PostgreSQL gets them."""
        return tables()

    def analyze(self) -> None:
        """Have the planner learn what is in the tables."""
        with self.write_schema() as connection:  # which may take longer than other transactions
            connection.exec_driver_sql("ANALYZE")

    def back_up(self, suffix: str) -> Path | None:
        """Return None: an upgrade is one transaction, and backups are made by the operator (docs/operations.md)."""
        return None

    def size(self) -> int | None:
        """Return the bytes that the server has for the database."""
        with self.read() as connection:
            return int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())
