"""The Scene that a scenario runs in."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from sqlalchemy import func, select

from opstore_daemon import OpStoreServer
from opstore_daemon.metadata import Database
from opstore_daemon.metadata.postgres.database import PostgresDatabase
from opstore_daemon.metadata.tables import Base
from opstore_daemon.protocol.interface import OpStoreInterface
from opstore_daemon.protocol.records import Versions
from opstore_daemon.savers import BaseSaver
from tests.support.refusals import OF_SAVER

if TYPE_CHECKING:
    from opstore_daemon.savers import S3Saver

KEPT = {"counter", "store"}
RESET = "UPDATE counter SET position = 0"
LEVELS = {"a": "aaaa", "b": "bbbb", "c": "cccc", "d": "dddd"}


@dataclass(frozen=True)
class Scene:
    """The verbs, and the server behind them to check that a refused verb leaves nothing."""

    store: OpStoreInterface
    server: OpStoreServer
    saver: BaseSaver

    @property
    def database(self) -> Database:
        """The database behind the verbs."""
        return self.server.db

    def forget_durability(self) -> None:
        """Turn off syncs: no scenario cuts the power."""
        if self.database.path is None:
            return  # in memory, or in a server that does none
        connection = self.database.engine.raw_connection()
        connection.cursor().execute("PRAGMA synchronous = OFF")
        connection.close()

    def empty(self) -> None:
        """Empty the store, as if it were new."""
        self.server.store.uploads.close()
        if isinstance(self.database, PostgresDatabase):
            self._empty_postgres(self.database)
            return
        with self.database.write() as connection:
            for table in reversed(Base.metadata.sorted_tables):
                if table.name != "counter":
                    connection.execute(table.delete())
            connection.exec_driver_sql(RESET)
        own = self.saver.store_id()
        if own is not None:  # another claim forgets the position, or the database would count as an older copy
            self.saver.claim("0" * 32)
            self.saver.claim(own)
        for digest in list(self.saver):
            self.saver.delete(digest)
        for upload in list(self.saver.drafts()):
            self.saver.discard(upload)

    def _empty_postgres(self, database: PostgresDatabase) -> None:
        """Empty the database in one round trip; it alone knows what the objects in the bucket are."""
        tables = [table for table in reversed(Base.metadata.sorted_tables) if table.name not in KEPT]
        with database.write() as connection:
            connection.exec_driver_sql("; ".join([*(str(table.delete()) for table in tables), RESET]))
        # Or it would count as an older copy of itself: the bucket gets a position a minute after this.
        database._position = 0
        identity = cast("S3Saver", self.saver)._identity
        identity._reached, identity._recorded_at = 0, identity._monotonic()

    def rows(self) -> dict[str, int]:
        """Return the number of rows of each table, without what a saver records of its objects and of its trash."""
        with self.database.read() as connection:
            counts = {
                name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for name, table in Base.metadata.tables.items()
            }
            counts["position"] = connection.exec_driver_sql("SELECT position FROM counter").scalar_one()
        for name in OF_SAVER:
            counts.pop(name)
        counts.pop("answer")  # each request of the client has a key, even if it changes nothing
        return counts

    def has(self) -> tuple[dict[str, int], set[str], list[str]]:
        """Return all that a push could leave: rows, blobs and drafts. A refused push leaves it unchanged."""
        rows = self.rows()
        if rows.pop("upload") == 0:
            return rows, set(self.saver), sorted(self.saver.drafts())
        return rows, set(self.saver), []  # the client or the daemon deletes uploads later

    def push(self, op: str, version: str, *, valid_for: tuple[str, ...] = ()) -> str:
        """Push bytes with the subversions of three letters (`aab`, see `spelt`); return the version number.

        Ops that do not exist are created with the level major.
        """
        pushed = self.store.push(
            op, f"{op} {version}".encode(), subversions=spelt(version), valid_for=valid_for, new_ops="major"
        )
        return pushed.version

    def create(self, *ops: str) -> None:
        """Create ops without versions, with the level major: each is in a pipeline of its own."""
        for op in ops:
            self.store.register_pipeline(f"only-{op}", [op], new_ops="major")

    def numbered(self, op: str) -> None:
        """Push 1.0.0, 1.0.1, 1.1.0, 2.0.0 and then 1.0.2 of the op."""
        assert [self.push(op, version) for version in ("aaa", "aab", "aba", "baa", "aac")] == [
            "1.0.0",
            "1.0.1",
            "1.1.0",
            "2.0.0",
            "1.0.2",
        ]


Scenario = Callable[[Scene], None]


def spelt(letters: str) -> str:
    """Return the subversions that the letters stand for: `aaaa.aaaa.bbbb` for `aab`."""
    return ".".join(LEVELS[letter] for letter in letters)


def sha256(data: str | bytes) -> str:
    """Return the SHA-256 in hex."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def numbers(found: Versions) -> list[str]:
    """Return the version numbers in their order."""
    return [version.version for version in found.versions]
