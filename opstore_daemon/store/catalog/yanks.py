"""Yanks, in the sense of PEP 592: a yanked version stays, and only a reference that names it exactly selects it."""

from sqlalchemy import Connection, insert, select, update

from opstore_daemon.metadata.tables import Yank
from opstore_daemon.store import journal
from opstore_daemon.store.catalog import ops
from opstore_daemon.store.catalog.version_rows import VersionRow
from opstore_daemon.store.journal import Stamp


def record(connection: Connection, row: VersionRow, reason: str | None, stamp: Stamp) -> None:
    """Yank the version for a reason, or (None) undo its yank; do nothing if it is already in that state."""
    current = select(Yank.yanked, Yank.reason).where(Yank.version_id == row.id, Yank.until.is_(None))
    before = connection.execute(current).one_or_none()
    if reason == (None if before is None else before.reason):
        return
    position = journal.append(connection, "yank", stamp, row.op_id)
    connection.execute(update(Yank).where(Yank.version_id == row.id, Yank.until.is_(None)).values(until=position))
    connection.execute(
        insert(Yank).values(position=position, version_id=row.id, yanked=reason is not None, reason=reason)
    )
    ops.touch(connection, [row.op_id], position)
