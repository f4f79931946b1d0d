"""What the store knows, but for the bytes: the tables, the database and its migrations."""

from opstore_daemon.metadata.database import Database
from opstore_daemon.metadata.migrate import Migrate

__all__ = ["Database", "Migrate"]
