"""Find out what a database and a saver are, without changing either of them."""

from sqlalchemy import inspect, literal, select

from opstore_daemon.metadata import Database, Migrate, unfinished
from opstore_daemon.metadata.tables import Base, StoredObject, StoreIdentity, Version
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.rules.store_binding import DatabaseState, SaverState
from opstore_daemon.savers import BaseSaver
from opstore_daemon.store import journal
from opstore_daemon.store.snapshot import NOW

EXAMINED = 100  # of the newest stored versions, in search of one whose bytes the saver has


def examine_database(database: Database, migrate: Migrate) -> DatabaseState:
    """Return what the database is; raise SchemaTooNew, DatabaseFailed, or DatabaseDamaged if tables are missing."""
    if database.is_in_memory:
        return DatabaseState("memory")
    if database.is_empty():
        return DatabaseState("new")  # not opened: SQLite would create it, and delete a WAL that lies beside it
    tables = migrate.tables()
    if not tables:
        return DatabaseState("new")
    if unfinished.MARKER.name in tables:
        with database.read() as connection:
            unfinished.check(connection)
    migrate.check()
    revision = migrate.current()
    missing = (set(Base.metadata.tables) if revision == migrate.head() else {Version.__tablename__}) - tables
    if revision is None or missing:
        reason = f"the table {min(missing)} is missing" if missing else "its tables have no revision"
        raise errors.DatabaseDamaged(database=database.name, reason=reason)
    store_id = database.store_id() if StoreIdentity.__tablename__ in tables else None
    stored = select(literal(1)).where(Version.digest.is_not(None)).limit(1)
    with database.read() as connection:
        has_stored = connection.execute(stored).first() is not None
        return DatabaseState("existing", store_id, has_stored, journal.last(connection))


def examine_saver(saver: BaseSaver, database: Database, state: DatabaseState) -> SaverState:
    """Return what the saver is for this database."""
    store_id, position = saver.store_id(), saver.position()
    if state.kind == "existing" and (not saver.carries_id or state.store_id == store_id is not None):
        # The usual start, which lists no folder.
        return SaverState(saver.carries_id, store_id, has_blobs=True, position=position)
    holds_newest = state.has_stored and _holds_newest(saver, database)
    return SaverState(saver.carries_id, store_id, saver.has_blobs(), holds_newest, position)


def _holds_newest(saver: BaseSaver, database: Database) -> bool:
    newest = select(Version.digest, Version.size).where(Version.digest.is_not(None))
    with database.read() as connection:
        if saver.needs_records and not inspect(connection).has_table(StoredObject.__tablename__):
            return False  # a schema from before object stores
        if any(column["name"] == "removed_position" for column in inspect(connection).get_columns("version")):
            newest = newest.where(NOW.not_removed())  # the collector takes their bytes; older schemas have no removals
        rows = connection.execute(newest.order_by(Version.stored_position.desc()).limit(EXAMINED)).all()
    return any(_has(saver, Digest.parse(row.digest), row.size) for row in rows)


def _has(saver: BaseSaver, digest: Digest, size: int) -> bool:
    try:
        return saver.size(digest) == size
    except errors.BlobNotFound:
        return False
