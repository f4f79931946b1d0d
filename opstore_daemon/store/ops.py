"""Ops: found, created, and their compatibility level."""

from dataclasses import dataclass
from typing import cast

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.orm import aliased

from opstore_daemon.metadata.tables import Level, Op, Version
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import check_name
from opstore_daemon.protocol.records import Compat, OpRecord
from opstore_daemon.protocol.versions import Number
from opstore_daemon.store import journal
from opstore_daemon.store.similar import names_like

Latest = aliased(Version)


@dataclass(frozen=True, slots=True)
class OpRow:
    """An op as the database has it."""

    id: int
    name: str
    compat: Compat


def find(connection: Connection, name: str) -> OpRow | None:
    """The op of that name, or None."""
    check_name(name)
    row = connection.execute(select(Op.id, Op.name, Op.compat).where(Op.name == name)).one_or_none()
    return None if row is None else OpRow(row.id, row.name, cast(Compat, row.compat))


def get(connection: Connection, name: str) -> OpRow:
    """The op of that name; raises OpNotFound, which names similar ones."""
    op = find(connection, name)
    if op is None:
        raise errors.OpNotFound(op=name).among(names_like(connection, Op.name, name))
    return op


def ensure(connection: Connection, name: str) -> OpRow:
    """The op of that name, created where it is unknown."""
    op = find(connection, name)
    if op is None:
        connection.execute(insert(Op).values(name=name))
        op = get(connection, name)
    return op


def set_compat(connection: Connection, op: OpRow, compat: Compat, now: int) -> None:
    """Enters the level, unless the op has it already."""
    if compat != op.compat:
        position = journal.enter(connection, "level", now)
        connection.execute(insert(Level).values(position=position, op_id=op.id, compat=compat))
        connection.execute(update(Op).where(Op.id == op.id).values(compat=compat))


def records(connection: Connection, after: str, limit: int, only: str | None = None) -> list[OpRecord]:
    """Ops by name, at most `limit` of those behind `after`; or only the one."""
    count = select(func.count()).where(Version.op_id == Op.id).scalar_subquery()
    newest = select(Version.id).where(Version.op_id == Op.id).order_by(Version.sequence.desc()).limit(1)
    stored = newest.where(Version.digest.is_not(None)).scalar_subquery()
    latest = func.coalesce(stored, newest.scalar_subquery())  # what lookup.latest picks, for many ops at once
    numbers = (Latest.major_number, Latest.minor_number, Latest.patch_number)
    query = select(Op.name, Op.compat, count, *numbers).outerjoin(Latest, Latest.id == latest)
    query = query.where(Op.name == only) if only is not None else query.where(Op.name > after)
    return [
        OpRecord(
            name=name, latest=None if number[0] is None else str(Number(*number)), versions=versions, compat=compat
        )
        for name, compat, versions, *number in connection.execute(query.order_by(Op.name).limit(limit))
    ]
