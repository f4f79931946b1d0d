"""Tags: movable names of versions. Each move is an entry of the journal."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, Select, and_, insert, select, update

from opstore_daemon.metadata.tables import Journal, Op, Tag, Version
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import TagRecord
from opstore_daemon.protocol.references import TagName
from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.store import journal
from opstore_daemon.store.catalog import ops
from opstore_daemon.store.catalog.ops import OpRow
from opstore_daemon.store.catalog.version_rows import BLOCK, VersionRow
from opstore_daemon.store.journal import Stamp
from opstore_daemon.store.snapshot import Snapshot

_IN_FORCE = Tag.until.is_(None)


def move(connection: Connection, names: Iterable[TagName], rows: Sequence[VersionRow], stamp: Stamp) -> None:
    """Move the tags to each of the versions, in one entry; tags that are there already do not move.

    `rows` has at most one version of an op.
    """
    moves = [(name, row) for name in dict.fromkeys(names) for row in rows if _at(connection, row.op_id, name) != row.id]
    if moves:
        _append(connection, [(row.op_id, name, row.id) for name, row in moves], stamp)


def remove(connection: Connection, op: OpRow, name: TagName, stamp: Stamp) -> None:
    """Remove the tag; raise TagNotFound."""
    if _at(connection, op.id, name) is None:
        raise errors.TagNotFound(op=op.name, tag=name)
    _append(connection, [(op.id, name, None)], stamp)


def remove_all_of(connection: Connection, rows: Sequence[VersionRow], stamp: Stamp) -> None:
    """Remove the tags on these versions, in one entry; append none if there are none."""
    names = on_versions(connection, [row.id for row in rows])
    moves = [(row.op_id, name, None) for row in rows for name in names.get(row.id, ())]
    if moves:
        _append(connection, moves, stamp)


def on_versions(connection: Connection, version_ids: Sequence[int]) -> dict[int | None, list[str]]:
    """Return the tags in force on these versions, sorted, by the id of the version."""
    found: dict[int | None, list[str]] = {}
    for start in range(0, len(version_ids), BLOCK):  # SQLite limits the parameters of a statement
        query = select(Tag.version_id, Tag.name).where(
            Tag.version_id.in_(version_ids[start : start + BLOCK]), _IN_FORCE
        )
        for version_id, name in connection.execute(query.order_by(Tag.name)):
            found.setdefault(version_id, []).append(name)
    return found


def _at(connection: Connection, op_id: int, name: str) -> int | None:
    query = select(Tag.version_id).where(Tag.op_id == op_id, Tag.name == name, _IN_FORCE)
    found: int | None = connection.execute(query).scalar()
    return found


def _append(connection: Connection, moves: Sequence[tuple[int, str, int | None]], stamp: Stamp) -> None:
    position = journal.append(connection, "tag", stamp)
    for op_id, name, version_id in moves:
        replaced = and_(Tag.op_id == op_id, Tag.name == name, _IN_FORCE)
        connection.execute(update(Tag).where(replaced).values(until=position))
        connection.execute(insert(Tag).values(position=position, op_id=op_id, name=name, version_id=version_id))
    ops.touch(connection, [op_id for op_id, _, _ in moves], position)  # references may name the tag


def records(
    snapshot: Snapshot, op_id: int | None, below: tuple[int, str, str] | None, limit: int, *, history: bool
) -> list[TagRecord]:
    """Return the tags in force, or with `history` every move, newest first: at most `limit` of those after `below`.

    `below` is the position, op and tag of the last record of the page before (`parse_cursor`).
    """
    query = _select_entries().order_by(Tag.position.desc(), Op.name, Tag.name).limit(limit)
    if history:
        query = query if snapshot.position is None else query.where(Tag.position <= snapshot.position)
    else:
        query = query.where(snapshot.time_filter.in_force(Tag), Tag.version_id.is_not(None))
    if op_id is not None:
        query = query.where(Tag.op_id == op_id)
    if below is not None:
        position, op, tag = below
        after = (Op.name > op) | and_(Op.name == op, Tag.name > tag)
        query = query.where((Tag.position < position) | and_(Tag.position == position, after))
    return _records(snapshot, query)


_Entries = Select[str, str, int, int, int, int, int]


def _select_entries() -> _Entries:
    return (
        select(
            Op.name,
            Tag.name,
            Version.major_number,
            Version.minor_number,
            Version.patch_number,
            Tag.position,
            Journal.at,
        )
        .join(Op, Op.id == Tag.op_id)
        .join(Journal, Journal.position == Tag.position)
        .outerjoin(Version, Version.id == Tag.version_id)
    )


def _records(snapshot: Snapshot, query: _Entries) -> list[TagRecord]:
    return [
        TagRecord(
            op=op,
            tag=tag,
            version=None if number[0] is None else str(VersionNumber(*number)),
            position=position,
            registered_at=journal.to_datetime(at),
        )
        for op, tag, *number, position, at in snapshot.execute(query)
    ]


def of_versions(snapshot: Snapshot, name: TagName, rows: Sequence[VersionRow]) -> list[TagRecord]:
    """Return the tag of that name on each of these versions of different ops, in their order."""
    found: dict[str, TagRecord] = {}
    for start in range(0, len(rows), BLOCK):  # SQLite limits the parameters of a statement
        ops_ = [row.op_id for row in rows[start : start + BLOCK]]
        query = _select_entries().where(snapshot.time_filter.in_force(Tag), Tag.op_id.in_(ops_), Tag.name == name)
        found |= {record.op: record for record in _records(snapshot, query)}
    return [found[row.op] for row in rows]


def cursor_of(record: TagRecord) -> str:
    """Return the cursor of the page after this record."""
    return f"{record.position}:{record.op}:{record.tag}"


def parse_cursor(text: str | None) -> tuple[int, str, str] | None:
    """Return the position, op and tag of a cursor of `cursor_of`; raise InvalidRequest."""
    if text is None:
        return None
    position, *names = text.split(":")
    if len(names) != 2 or not position.isascii() or not position.isdigit() or len(position) > 18:
        raise errors.InvalidRequest(reason="cursor is not the next_cursor of a page")
    return int(position), names[0], names[1]
