"""Everything that the store knows except the bytes: tables, connections, statements and migrations."""

from opstore_daemon.metadata.database import Database
from opstore_daemon.metadata.migrate import Migrate

__all__ = ["Database", "Migrate"]
