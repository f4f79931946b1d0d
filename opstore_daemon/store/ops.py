"""Ops: found, created, and their compatibility level."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Connection, Executable, exists, func, insert, select, update
from sqlalchemy.orm import aliased

from opstore_daemon.metadata.prepared import prepared
from opstore_daemon.metadata.tables import Level, Op, Version
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import check_name
from opstore_daemon.protocol.records import Compat, OpRecord
from opstore_daemon.protocol.versions import Number
from opstore_daemon.store import journal
from opstore_daemon.store.similar import names_like
from opstore_daemon.store.view import Sight, View

Latest, Other = aliased(Version), aliased(Version)


@dataclass(frozen=True, slots=True)
class OpRow:
    """An op as the database has it. `changed` is the last entry that verdicts about it may depend on."""

    id: int
    name: str
    compat: Compat
    changed: int


def find(view: View, name: str) -> OpRow | None:
    """The op of that name, or None."""
    check_name(name)
    row = view.execute(_named(view.sight, name=name)).one_or_none()
    return None if row is None else OpRow(row.id, row.name, _compat(view, row.id, row.compat), row.changed)


def _compat(view: View, op_id: int, now: str) -> Compat:
    if view.position is None:
        return cast(Compat, now)
    then = view.execute(_level(op_id=op_id, position=view.position)).scalar()
    return "major" if then is None else then


@prepared
def _named(sight: Sight, *, name: str) -> Executable:
    return select(Op.id, Op.name, Op.compat, Op.changed).where(Op.name == name, sight.known(Op))


@prepared
def _level(*, op_id: int, position: int) -> Executable:
    said = select(Level.compat).where(Level.op_id == op_id, Level.position <= position)
    return said.order_by(Level.position.desc()).limit(1)


def get(view: View, name: str) -> OpRow:
    """The op of that name; raises OpNotFound, which names similar ones."""
    op = find(view, name)
    if op is None:
        raise errors.OpNotFound(op=name).among(names_like(view, Op.name, name))
    return op


def ensure(connection: Connection, name: str) -> OpRow:
    """The op of that name, created where it is unknown: with the entry that comes next."""
    op = find(View(connection), name)
    if op is None:
        made = connection.execute(_CREATE, {"name": name}).one()
        op = OpRow(made.id, made.name, cast(Compat, made.compat), made.changed)
    return op


def touch(connection: Connection, op_ids: Iterable[int], position: int) -> None:
    """Notes that verdicts about these ops may depend on the entry."""
    _touched(op_ids=list(op_ids), at=position).run(connection)


_CREATE = insert(Op).values(position=journal.NEXT).returning(Op.id, Op.name, Op.compat, Op.changed)


@prepared
def _touched(*, op_ids: Sequence[int], at: int) -> Executable:
    return update(Op).where(Op.id.in_(op_ids)).values(changed=at)


def last_change(view: View, names: Sequence[str]) -> int:
    """The position of the last entry that verdicts about these ops may depend on; 0 where there is none."""
    changed: int = view.execute(_last_change(names=list(names))).scalar_one()
    return changed if view.position is None else min(changed, view.position)


@prepared
def _last_change(*, names: Sequence[str]) -> Executable:
    return select(func.coalesce(func.max(Op.changed), 0)).where(Op.name.in_(names))


def set_compat(connection: Connection, op: OpRow, compat: Compat, now: int) -> None:
    """Enters the level, unless the op has it already."""
    if compat != op.compat:
        position = journal.enter(connection, "level", now)
        connection.execute(insert(Level).values(position=position, op_id=op.id, compat=compat))
        connection.execute(update(Op).where(Op.id == op.id).values(compat=compat))
        touch(connection, [op.id], position)


def records(view: View, after: str, limit: int, only: str | None = None) -> list[OpRecord]:
    """Ops by name as they are now, at most `limit` of those behind `after`; or only the one."""
    newest = (
        select(Version.id)
        .where(Version.op_id == Op.id, ~view.sight.yanked())
        .order_by(Version.sequence.desc())
        .limit(1)
    )
    stored = newest.where(view.sight.stored()).scalar_subquery()
    any_stored = exists().where(Other.op_id == Op.id, Other.digest.is_not(None)).correlate(Op)
    # What lookup.latest picks, for many ops at once.
    latest = func.coalesce(stored, newest.where(~any_stored).scalar_subquery())
    numbers = (Latest.major_number, Latest.minor_number, Latest.patch_number)
    query = select(Op.name, Op.compat, Op.last_sequence, *numbers).outerjoin(Latest, Latest.id == latest)
    query = query.where(Op.name == only) if only is not None else query.where(Op.name > after)
    return [
        OpRecord(
            name=name, latest=None if number[0] is None else str(Number(*number)), versions=versions, compat=compat
        )
        for name, compat, versions, *number in view.execute(query.order_by(Op.name).limit(limit))
    ]
