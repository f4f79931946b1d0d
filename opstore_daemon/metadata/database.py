"""The database of a store: `Database(url)` is the one that its URL names."""

from importlib import import_module
from typing import Any

from opstore_daemon.metadata.base import BaseDatabase
from opstore_daemon.metadata.identity import id_of
from opstore_daemon.metadata.migrate import Migrate
from opstore_daemon.metadata.url import SERVERS, invalid, parse

# By name, as SQLAlchemy finds its dialects: the driver of a database is imported only if a URL asks for it.
_POSTGRES = ("opstore_daemon.metadata.postgres.database", "PostgresDatabase")
_IMPLEMENTATIONS = {
    "sqlite": ("opstore_daemon.metadata.sqlite.database", "SqliteDatabase"),
    **dict.fromkeys(SERVERS, _POSTGRES),
}


class Database(BaseDatabase):
    """The database at `url`, an SQLAlchemy URL. Its schema is created or upgraded by `create_all`."""

    def __new__(cls, url: str, **options: Any) -> "Database":
        """Return the database of the kind that the URL names; raise InvalidSetting."""
        if cls is not Database:
            return super().__new__(cls)
        kind = parse(url).get_backend_name()
        if kind not in _IMPLEMENTATIONS:
            raise invalid(f"{kind} is not supported: use sqlite:///PATH or postgresql://HOST/DATABASE")
        module, name = _IMPLEMENTATIONS[kind]
        found: type[Database] = getattr(import_module(module), name)
        return super().__new__(found)

    def create_all(self) -> None:
        """Create or upgrade the schema, as `migrate.upgrade()` does."""
        Migrate(self).upgrade()

    def store_id(self) -> str:
        """Return the id of the store; raise DatabaseDamaged if it has none."""
        with self.read() as connection:
            return id_of(connection, self.name)
