"""The database of a store: its connections and its schema."""

from opstore_daemon.metadata.connections import Connections
from opstore_daemon.metadata.migrate import Migrate


class Database(Connections):
    """The database at `url`, an SQLAlchemy URL. Its schema is created or upgraded by `create_all`."""

    def create_all(self) -> None:
        """Create or upgrade the schema, as `migrate.upgrade()` does."""
        Migrate(self).upgrade()
