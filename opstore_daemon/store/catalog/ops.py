"""Ops: find and create them, list them, set their compatibility levels and descriptions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, Connection, Executable, Select, and_, exists, func, insert, select, update

from opstore_daemon.metadata.statements import Statement, prepared
from opstore_daemon.metadata.tables import Description, Level, Op, Pipeline, Removal, Version, aliased
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import Compat, OpRecord
from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.store import journal
from opstore_daemon.store.catalog import removed
from opstore_daemon.store.catalog.suggestions import names_like
from opstore_daemon.store.catalog.version_rows import ALL, Where
from opstore_daemon.store.journal import Entry, Stamp
from opstore_daemon.store.snapshot import Snapshot, TimeFilter

NAMES = 1000  # that a statement looks up, each with a parameter

Latest = aliased(Version)


@dataclass(frozen=True, slots=True)
class OpRow:
    """An op's row. `changed` is the position of the last entry that verdicts about the op may depend on."""

    id: int
    name: OpName
    compat: Compat
    changed: int


@dataclass(frozen=True, slots=True)
class OpLine:
    """A line of the list of ops: `versions` counts all versions, the last three fields describe the latest one.

    `latest` is its version number, `size` its bytes (None: not stored). If nothing can be selected, all three are None.
    """

    name: str
    compat: Compat
    description: str | None
    versions: int
    latest: str | None
    size: int | None
    registered_at: datetime | None


def find(snapshot: Snapshot, name: OpName) -> OpRow | None:
    """Return the op of that name, or None."""
    row = _find(snapshot, name)
    return None if row is None or row.removed_at is not None else _row(snapshot, row)


def find_any(snapshot: Snapshot, name: OpName) -> int | None:
    """Return the id of the op of that name, also of one that is removed, or None."""
    row = _find(snapshot, name)
    return None if row is None else row.id


def get_id(snapshot: Snapshot, name: OpName, *, history: bool) -> int:
    """Return the id of the op of that name; with `history` also of one that is removed. Raises OpNotFound."""
    known = find_any(snapshot, name) if history else None
    return get(snapshot, name).id if known is None else known


def _find(snapshot: Snapshot, name: OpName) -> Any:
    return snapshot.execute(_by_name(snapshot.time_filter, name=name)).one_or_none()


def _row(snapshot: Snapshot, row: Any) -> OpRow:
    compat = row.compat
    if snapshot.position is not None:
        compat = snapshot.execute(_level(op_id=row.id, position=snapshot.position)).scalar() or row.created_compat
    return OpRow(row.id, OpName(row.name), cast(Compat, compat), row.changed)


@prepared
def _by_name(time_filter: TimeFilter, *, name: str) -> Executable:
    return _select(time_filter).where(Op.name == name)


@prepared
def _by_names(time_filter: TimeFilter, *, names: Sequence[str]) -> Executable:
    return _select(time_filter).where(Op.name.in_(names))


def _select(time_filter: TimeFilter) -> Select[*tuple[Any, ...]]:
    columns = (Op.id, Op.name, Op.compat, Op.created_compat, Op.changed)
    removed_at = time_filter.op_removed_at(Op).label("removed_at")
    return select(*columns, removed_at).where(time_filter.created(Op))


@prepared
def _level(*, op_id: int, position: int) -> Executable:
    levels = select(Level.compat).where(Level.op_id == op_id, Level.position <= position)
    return levels.order_by(Level.position.desc()).limit(1)


def get(snapshot: Snapshot, name: OpName) -> OpRow:
    """Return the op of that name; raise OpNotFound, which suggests similar names."""
    row = _find(snapshot, name)
    if row is None or row.removed_at is not None:
        raise _not_found(snapshot, name, is_removed=row is not None)
    return _row(snapshot, row)


def get_all(snapshot: Snapshot, names: Iterable[OpName]) -> dict[str, OpRow]:
    """Return the ops of these names, in their order; raise OpNotFound for the first that there is not."""
    names = list(dict.fromkeys(names))
    found: dict[str, Any] = {}
    for start in range(0, len(names), NAMES):
        query = _by_names(snapshot.time_filter, names=names[start : start + NAMES])
        found |= {row.name: row for row in snapshot.execute(query)}
    ops: dict[str, OpRow] = {}
    for name in names:
        row = found.get(name)
        if row is None or row.removed_at is not None:
            raise _not_found(snapshot, name, is_removed=row is not None)
        ops[name] = _row(snapshot, row)
    return ops


def _not_found(snapshot: Snapshot, name: OpName, *, is_removed: bool) -> errors.NotFound:
    pipeline = select(Pipeline.id).where(Pipeline.name == name, snapshot.time_filter.in_force(Pipeline)).limit(1)
    if snapshot.execute(pipeline).scalar() is not None:
        return errors.OpNotFound(op=name).of_other_kind(is_pipeline=True)
    if is_removed:
        return errors.OpNotFound.of_removed(name, removed.of_op(snapshot, name))
    return errors.OpNotFound(op=name).with_suggestions(
        names_like(snapshot, Op.name, name, snapshot.time_filter.exists(Op))
    )


def ensure(connection: Connection, name: OpName, compat: Compat, stamp: Stamp) -> OpRow:
    """Return the op of that name; if there is none, create it with that compatibility level.

    A new op gets the position of the next entry, which the caller appends in the same transaction. One that was removed
    is created again: its numbers and sequences continue.
    """
    found = _find(Snapshot(connection), name)
    if found is None:
        row = _CREATE.run(connection, {"name": name, "compat": compat, "created_compat": compat}).one()
        return OpRow(row.id, OpName(row.name), compat, row.changed)
    op = OpRow(found.id, OpName(found.name), cast(Compat, found.compat), found.changed)
    return _create_again(connection, op, compat, stamp) if found.removed_at is not None else op


def _create_again(connection: Connection, op: OpRow, compat: Compat, stamp: Stamp) -> OpRow:
    position = journal.append(connection, "removal", stamp, op.id)
    in_force = and_(Removal.op_id == op.id, Removal.version_id.is_(None), Removal.until.is_(None))
    connection.execute(update(Removal).where(in_force).values(until=position))
    touch(connection, [op.id], position)
    created = OpRow(op.id, op.name, op.compat, position)
    set_compat(connection, created, compat, stamp)
    return replace(created, compat=compat)


def touch(connection: Connection, op_ids: Iterable[int], position: int) -> None:
    """Record that verdicts about these ops may depend on the entry at that position."""
    _set_changed(op_ids=list(op_ids), at=position).run(connection)


_CREATE = Statement(insert(Op).values(position=journal.NEXT).returning(Op.id, Op.name, Op.changed))


@prepared
def _set_changed(*, op_ids: Sequence[int], at: int) -> Executable:
    return update(Op).where(Op.id.in_(op_ids)).values(changed=at)


def last_change(snapshot: Snapshot, names: Sequence[OpName]) -> Entry:
    """Return the last entry that verdicts about these ops may depend on."""
    return Entry(*snapshot.execute(_last_change(snapshot.time_filter, names=list(names))).one())


@prepared
def _last_change(time_filter: TimeFilter, *, names: Sequence[str]) -> Executable:
    return time_filter.entry(select(func.coalesce(func.max(Op.changed), 0)).where(Op.name.in_(names)))


def set_compat(connection: Connection, op: OpRow, compat: Compat, stamp: Stamp) -> None:
    """Record the level, unless the op has it already."""
    if compat != op.compat:
        position = journal.append(connection, "level", stamp, op.id)
        connection.execute(insert(Level).values(position=position, op_id=op.id, compat=compat))
        connection.execute(update(Op).where(Op.id == op.id).values(compat=compat))
        touch(connection, [op.id], position)


def describe(connection: Connection, op: OpRow, text: str, stamp: Stamp) -> None:
    """Record the description (empty: none), unless the op has it already."""
    in_force = and_(Description.op_id == op.id, Description.until.is_(None))
    before: str | None = connection.execute(select(Description.text).where(in_force)).scalar()
    if text != (before or ""):
        position = journal.append(connection, "level", stamp, op.id)
        connection.execute(update(Description).where(in_force).values(until=position))
        connection.execute(insert(Description).values(position=position, op_id=op.id, text=text))


def records(
    snapshot: Snapshot, after: str, limit: int, only: OpName | None = None, having: Where = ALL
) -> list[OpRecord]:
    """Return ops by name: at most `limit` ops after the name `after`, or the op `only`.

    `having`: only ops with a version that meets these conditions.
    """
    found = lines(snapshot, after, limit, only, having)
    return [
        OpRecord(
            name=line.name,
            latest=line.latest,
            versions=line.versions,
            compat=line.compat,
            description=line.description,
        )
        for line in found
    ]


def lines(snapshot: Snapshot, after: str, limit: int, only: OpName | None = None, having: Where = ALL) -> list[OpLine]:
    """Return ops with their latest versions, by name; the arguments are those of `records`."""
    name = after if only is None else only
    query = _lines(snapshot.time_filter, only is not None, having.conditions, name=name, limit=limit, **having.values)
    found = snapshot.execute(query)
    return [_line(snapshot, *row) for row in found]


def _line(
    snapshot: Snapshot,
    name: str,
    compat: str,
    description: str | None,
    count: int,
    size: int | None,
    stored: int | None,
    at: int,
    *number: int,
) -> OpLine:
    has_latest = number[0] is not None
    return OpLine(
        name=name,
        compat=cast(Compat, compat),
        description=description or None,
        versions=count,
        latest=str(VersionNumber(*number)) if has_latest else None,
        size=size if snapshot.is_visible(stored) else None,
        registered_at=journal.to_datetime(at) if has_latest else None,
    )


@prepared
def _lines(
    time_filter: TimeFilter,
    one: bool,
    having: tuple[ColumnElement[bool], ...],
    *,
    name: str,
    limit: int,
    **_: object,
) -> Executable:
    known = time_filter.existing_versions(Op.id)
    newest = select(Version.id).where(Version.op_id == Op.id, known, time_filter.not_yanked())
    newest = newest.order_by(Version.sequence.desc()).limit(1)
    any_stored = exists().where(Version.op_id == Op.id, known, time_filter.stored()).correlate(Op)
    # The same version as version_rows.latest selects, for many ops in one query.
    latest = func.coalesce(
        newest.where(time_filter.stored()).scalar_subquery(), newest.where(~any_stored).scalar_subquery()
    )
    numbers = (Latest.major_number, Latest.minor_number, Latest.patch_number)
    seen = (Latest.size, Latest.stored_position, Latest.registered_at, *numbers)
    described = select(Description.text).where(Description.op_id == Op.id, time_filter.in_force(Description))
    compat, count = _columns(time_filter)
    columns = (Op.name, compat, described.scalar_subquery(), count)
    query = select(*columns, *seen).select_from(Op).outerjoin(Latest, Latest.id == latest)
    query = query.where(Op.name == name if one else Op.name > name, time_filter.exists(Op))
    if having:
        query = query.where(exists().where(Version.op_id == Op.id, known, *having).correlate(Op))
    return query.order_by(Op.name).limit(limit)


def _columns(time_filter: TimeFilter) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Return the columns with the op's compatibility level and its number of versions."""
    removed = time_filter.removed_versions(Op.id)
    if not time_filter.past:
        return Op.compat, Op.last_sequence - removed
    level = select(Level.compat).where(Level.op_id == Op.id, Level.position <= time_filter.position)
    level = level.order_by(Level.position.desc()).limit(1)
    count = func.coalesce(time_filter.newest_sequence(Op.id), 0) - removed
    return func.coalesce(level.scalar_subquery(), Op.created_compat), count
