"""When the store was last collected by itself: in the database, so that of all its daemons one collects each day."""

from sqlalchemy import ColumnElement, Executable, func, select, update

from opstore_daemon.metadata import Database
from opstore_daemon.metadata.statements import prepared
from opstore_daemon.metadata.tables import StoreIdentity

SECOND = 1_000_000  # microseconds


class CollectionSchedule:
    """The time of the last daily collection, in seconds since the epoch; that of the store's creation if none was."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def last(self) -> float:
        """Return the time. Raises DatabaseFailed."""
        with self._database.read() as connection:
            at: int = _last().run(connection).scalar_one()
        return at / SECOND

    def replace(self, seen: float, at: float) -> bool:
        """Set the time to `at` if it is still the one that was seen; return whether it was.

        Of several daemons that have seen the same time, only one gets True. Raises DatabaseFailed.
        """
        with self._database.write(ordered=False) as connection:
            replaced = _replace(seen=round(seen * SECOND), by=round(at * SECOND)).run(connection)
            return replaced.first() is not None


def _collected_at() -> ColumnElement[int]:
    return func.coalesce(StoreIdentity.collected_at, StoreIdentity.created_at)


@prepared
def _last() -> Executable:
    return select(_collected_at())


@prepared
def _replace(*, seen: int, by: int) -> Executable:
    replaced = update(StoreIdentity).where(_collected_at() == seen).values(collected_at=by)
    return replaced.returning(StoreIdentity.one)
