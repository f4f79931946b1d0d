"""Open a database and a saver together, or refuse: nothing is written before it is clear that they belong together.

A crash between any two steps leaves a state that the next start completes: first the database gets its schema and its
id, which a crash leaves without a trace or durably; then the saver is claimed for that id, while it is still empty.
"""

from dataclasses import dataclass
from pathlib import Path

from opstore_daemon.metadata import Database, Migrate, unfinished
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.store_ids import unfinished_id
from opstore_daemon.rules.store_binding import DatabaseState, Decision, SaverState, decide
from opstore_daemon.savers import BaseSaver
from opstore_daemon.store.examination import EXAMINED, examine_database, examine_saver


@dataclass(frozen=True, slots=True)
class Opened:
    """`backup` is what an upgrade made; `owns_blobs`: what is in the saver belongs to this database."""

    backup: Path | None
    owns_blobs: bool


def open_together(database: Database, migrate: Migrate, saver: BaseSaver) -> Opened:
    """Bring the database to the schema of this release, and claim the saver for it.

    Both are acquired. Raises DatabaseLost, BlobsLost, StoreMismatch, DatabaseDamaged, SchemaTooNew, and the errors of
    the two; then neither was changed.
    """
    state = examine_database(database, migrate)
    found = examine_saver(saver, database, state)
    decision = decide(state, found)
    _refuse(decision, database, state, saver, found)
    backup = migrate.upgrade(found.store_id if decision == "take" else None)
    store_id = database.store_id()
    database.name_store(store_id)
    if decision == "claim":
        saver.claim(store_id)
    saver.record_position(state.position)
    # Blobs of others can be in a saver that was not claimed, unless it was empty.
    return Opened(backup, decision != "apart" or not (found.has_blobs or any(saver.drafts())))


def check_together(database: Database, migrate: Migrate, saver: BaseSaver) -> None:
    """Raise what `open_together` raises for a database and a saver that don't belong together; change neither."""
    state = examine_database(database, migrate)
    found = examine_saver(saver, database, state)
    _refuse(decide(state, found), database, state, saver, found)


def upgrade_alone(database: Database, migrate: Migrate, saver: BaseSaver | None) -> Path | None:
    """Create the schema or upgrade it, without the daemon; `saver` is where its blobs should be, None if unknown.

    Raises DatabaseLost rather than create a database beside the blobs of another one.
    """
    state, store_id = examine_database(database, migrate), None
    if saver is not None:
        found = examine_saver(saver, database, state)
        decision = decide(state, found)
        if decision == "database lost":
            _refuse(decision, database, state, saver, found)
        store_id = found.store_id if decision == "take" else None
    return migrate.upgrade(store_id)


def _refuse(decision: Decision, database: Database, state: DatabaseState, saver: BaseSaver, found: SaverState) -> None:
    name, place = database.name, saver.place()
    blobs = f"of the store {found.store_id}" if found.store_id else "without a store id"
    if decision == "database lost":
        raise errors.DatabaseLost(saver=place, reason=f"{_what_is_there(database)}, and the blobs are {blobs}")
    if decision == "commits lost":
        reason = f"it ends at position {state.position} of the journal, and {place} has the blobs up to position"
        raise errors.DatabaseDamaged(database=name, reason=f"its last commits are missing: {reason} {found.position}")
    if decision == "mismatch":
        if state.store_id is not None and found.store_id == unfinished_id(state.store_id):
            raise errors.MigrationUnfinished(target=place, command=_command_of(database))
        of_database = f"the store {state.store_id}" if state.store_id else "another store, from before store ids"
        raise errors.StoreMismatch(database=name, of_database=of_database, saver=place, of_saver=found.store_id)
    if decision == "blobs lost":
        kind = f"has none of the newest {EXAMINED} of them" if found.has_blobs else "is empty"
        raise errors.BlobsLost(database=name, saver=place, reason=f"{place} {kind}, and has no store id")


def _command_of(database: Database) -> str:
    with database.read() as connection:
        marker = unfinished.read(connection)
    return "run the same opstore migrate again" if marker is None else marker.command


def _what_is_there(database: Database) -> str:
    if database.is_in_memory:
        return "the database is in memory"
    if database.path is None:
        return f"{database.name} has no tables"
    if not database.path.exists():
        return f"{database.path} does not exist"
    return f"{database.path} has {database.path.stat().st_size} bytes and no tables"
