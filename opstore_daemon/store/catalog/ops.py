"""Ops: found, created, and their compatibility level."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, Connection, Executable, exists, func, insert, select, update
from sqlalchemy.orm import aliased

from opstore_daemon.metadata.statements import Statement, prepared
from opstore_daemon.metadata.tables import Level, Op, Version
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import check_name
from opstore_daemon.protocol.records import Compat, OpRecord
from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.store import journal
from opstore_daemon.store.catalog.suggestions import names_like
from opstore_daemon.store.snapshot import Snapshot, TimeFilter

Latest = aliased(Version)


@dataclass(frozen=True, slots=True)
class OpRow:
    """An op as the database has it. `changed` is the last entry that verdicts about it may depend on."""

    id: int
    name: str
    compat: Compat
    changed: int


@dataclass(frozen=True, slots=True)
class OpLine:
    """An op at a glance: `latest` is the number of its latest version, with its `size` in bytes (None: not stored).

    Where nothing can be picked, `latest` and `registered_at` are None. `versions` counts all.
    """

    name: str
    compat: Compat
    versions: int
    latest: str | None
    size: int | None
    registered_at: datetime | None


def find(snapshot: Snapshot, name: str) -> OpRow | None:
    """The op of that name, or None."""
    check_name(name)
    row = snapshot.execute(_named(snapshot.time_filter, name=name)).one_or_none()
    return None if row is None else OpRow(row.id, row.name, _compat(snapshot, row.id, row.compat), row.changed)


def _compat(snapshot: Snapshot, op_id: int, now: str) -> Compat:
    if snapshot.position is None:
        return cast(Compat, now)
    then = snapshot.execute(_level(op_id=op_id, position=snapshot.position)).scalar()
    return "major" if then is None else then


@prepared
def _named(time_filter: TimeFilter, *, name: str) -> Executable:
    return select(Op.id, Op.name, Op.compat, Op.changed).where(Op.name == name, time_filter.known(Op))


@prepared
def _level(*, op_id: int, position: int) -> Executable:
    said = select(Level.compat).where(Level.op_id == op_id, Level.position <= position)
    return said.order_by(Level.position.desc()).limit(1)


def get(snapshot: Snapshot, name: str) -> OpRow:
    """The op of that name; raises OpNotFound, which names similar ones."""
    op = find(snapshot, name)
    if op is None:
        raise errors.OpNotFound(op=name).with_suggestions(names_like(snapshot, Op.name, name))
    return op


def ensure(connection: Connection, name: str) -> OpRow:
    """The op of that name, created where it is unknown: with the entry that comes next."""
    op = find(Snapshot(connection), name)
    if op is None:
        made = _CREATE.run(connection, {"name": name}).one()
        op = OpRow(made.id, made.name, cast(Compat, made.compat), made.changed)
    return op


def touch(connection: Connection, op_ids: Iterable[int], position: int) -> None:
    """Notes that verdicts about these ops may depend on the entry."""
    _touched(op_ids=list(op_ids), at=position).run(connection)


_CREATE = Statement(insert(Op).values(position=journal.NEXT).returning(Op.id, Op.name, Op.compat, Op.changed))


@prepared
def _touched(*, op_ids: Sequence[int], at: int) -> Executable:
    return update(Op).where(Op.id.in_(op_ids)).values(changed=at)


def last_change(snapshot: Snapshot, names: Sequence[str]) -> int:
    """The position of the last entry that verdicts about these ops may depend on; 0 where there is none."""
    changed: int = snapshot.execute(_last_change(names=list(names))).scalar_one()
    return changed if snapshot.position is None else min(changed, snapshot.position)


@prepared
def _last_change(*, names: Sequence[str]) -> Executable:
    return select(func.coalesce(func.max(Op.changed), 0)).where(Op.name.in_(names))


def set_compat(connection: Connection, op: OpRow, compat: Compat, now: int) -> None:
    """Enters the level, unless the op has it already."""
    if compat != op.compat:
        position = journal.append(connection, "level", now)
        connection.execute(insert(Level).values(position=position, op_id=op.id, compat=compat))
        connection.execute(update(Op).where(Op.id == op.id).values(compat=compat))
        touch(connection, [op.id], position)


def records(snapshot: Snapshot, after: str, limit: int, only: str | None = None) -> list[OpRecord]:
    """Ops by name, at most `limit` of those behind `after`; or only the one."""
    found = lines(snapshot, after, limit, only)
    return [OpRecord(name=line.name, latest=line.latest, versions=line.versions, compat=line.compat) for line in found]


def lines(snapshot: Snapshot, after: str, limit: int, only: str | None = None) -> list[OpLine]:
    """The same, with what is to be seen of their latest versions."""
    found = snapshot.execute(
        _lines(snapshot.time_filter, only is not None, name=after if only is None else only, limit=limit)
    )
    return [_line(snapshot, *row) for row in found]


def _line(
    snapshot: Snapshot,
    name: str,
    compat: str | None,
    count: int,
    size: int | None,
    stored: int | None,
    at: int,
    *number: int,
) -> OpLine:
    there = number[0] is not None
    return OpLine(
        name=name,
        compat=cast(Compat, compat or "major"),
        versions=count,
        latest=str(VersionNumber(*number)) if there else None,
        size=size if snapshot.is_visible(stored) else None,
        registered_at=journal.moment(at) if there else None,
    )


@prepared
def _lines(time_filter: TimeFilter, one: bool, *, name: str, limit: int) -> Executable:
    known = time_filter.known_versions(Op.id)
    newest = select(Version.id).where(Version.op_id == Op.id, known, time_filter.not_yanked())
    newest = newest.order_by(Version.sequence.desc()).limit(1)
    any_stored = exists().where(Version.op_id == Op.id, known, time_filter.stored()).correlate(Op)
    # What lookup.latest picks, for many ops at once.
    latest = func.coalesce(
        newest.where(time_filter.stored()).scalar_subquery(), newest.where(~any_stored).scalar_subquery()
    )
    numbers = (Latest.major_number, Latest.minor_number, Latest.patch_number)
    seen = (Latest.size, Latest.stored_position, Latest.registered_at, *numbers)
    query = select(Op.name, *_counted(time_filter), *seen).outerjoin(Latest, Latest.id == latest)
    query = query.where(Op.name == name if one else Op.name > name, time_filter.known(Op))
    return query.order_by(Op.name).limit(limit)


def _counted(time_filter: TimeFilter) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """The op's compatibility level, and how many versions it has."""
    if not time_filter.then:
        return Op.compat.expression, Op.last_sequence.expression
    level = select(Level.compat).where(Level.op_id == Op.id, Level.position <= time_filter.position)
    level = level.order_by(Level.position.desc()).limit(1)
    return level.scalar_subquery(), func.coalesce(time_filter.newest_sequence(Op.id), 0)
