"""Change the labels and the message of a version. Each change is an entry of the journal."""

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import Connection, and_, insert, update

from opstore_daemon.metadata.tables import Label, Message
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.limits import MAX_LABELS
from opstore_daemon.protocol.records import VersionRecord
from opstore_daemon.store import journal
from opstore_daemon.store.catalog import versions
from opstore_daemon.store.catalog.version_rows import VersionRow
from opstore_daemon.store.catalog.versions import Added
from opstore_daemon.store.journal import Stamp
from opstore_daemon.store.snapshot import Snapshot

Labels = Mapping[str, str | None]  # None: the label is removed


def set_labels(connection: Connection, added: Added, labels: Mapping[str, str], stamp: Stamp) -> None:
    """Set labels of the version that a push made or found; existing keys get the new value.

    If the version existed before, the change appends an entry of its own to the journal. Raises TooManyLabels.
    """
    known = {} if added.fresh else _record(connection, added.row).labels
    changed = {key: value for key, value in labels.items() if known.get(key) != value}
    if not changed:
        return
    _check_number(added.row, known, known.keys() | changed.keys())
    position = (
        journal.last(connection) if added.created else journal.append(connection, "version", stamp, added.row.op_id)
    )
    _replace_labels(connection, added.row, changed, position)


def edit(
    connection: Connection,
    row: VersionRow,
    message: str | None,
    labels: Mapping[str, str],
    unlabel: Iterable[str],
    stamp: Stamp,
) -> None:
    """Change the message (None: keep it, empty: remove it) and the labels of a version, in one entry of the journal.

    What changes nothing appends no entry. Raises LabelNotFound if `unlabel` has a key
    that the version does not have, and TooManyLabels.
    """
    before = _record(connection, row)
    changed: dict[str, str | None] = {}
    for key in unlabel:
        if key not in before.labels:
            known = ", ".join(before.labels) or "none"
            raise errors.LabelNotFound(op=row.op, version=str(row.number), key=key, known=known)
        changed[key] = None
    changed |= {key: value for key, value in labels.items() if before.labels.get(key) != value}
    removed = {key for key, value in changed.items() if value is None}
    _check_number(row, before.labels, {*before.labels, *changed} - removed)
    new_message = None if message is None or message == (before.message or "") else message
    if not changed and new_message is None:
        return
    position = journal.append(connection, "version", stamp, row.op_id)
    _replace_labels(connection, row, changed, position)
    if new_message is not None:
        in_force = and_(Message.version_id == row.id, Message.until.is_(None))
        connection.execute(update(Message).where(in_force).values(until=position))
        connection.execute(insert(Message).values(position=position, version_id=row.id, text=new_message))


def _record(connection: Connection, row: VersionRow) -> VersionRecord:
    return versions.records(Snapshot(connection), [row])[0]


def _check_number(row: VersionRow, before: Collection[str], after: Collection[str]) -> None:
    """Raise TooManyLabels if a version gets more labels than one may have; one that has more already may lose some."""
    if len(after) > max(MAX_LABELS, len(before)):
        raise errors.TooManyLabels(op=row.op, version=str(row.number), number=len(after), limit=MAX_LABELS)


def _replace_labels(connection: Connection, row: VersionRow, labels: Labels, position: int) -> None:
    if not labels:
        return
    in_force = and_(Label.version_id == row.id, Label.key.in_(list(labels)), Label.until.is_(None))
    connection.execute(update(Label).where(in_force).values(until=position))
    values = [
        {"version_id": row.id, "key": key, "position": position, "value": value}
        for key, value in labels.items()
        if value is not None
    ]
    if values:
        connection.execute(insert(Label), values)
