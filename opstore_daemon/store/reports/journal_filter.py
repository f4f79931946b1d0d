"""The entries of the journal about one op or one pipeline.

Each kind of row contributes its newest positions, and the newest of all of them are the page: what an index orders by
op and position (versions, links, levels) is not read further than the page.
"""

from typing import Any

from sqlalchemy import ColumnElement, Executable, Row, exists, select, union

from opstore_daemon.metadata.statements import prepared
from opstore_daemon.metadata.tables import (
    Description,
    Journal,
    Label,
    Level,
    Link,
    Message,
    Op,
    Pipeline,
    Tag,
    Version,
    Yank,
)
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import Name, OpName
from opstore_daemon.store.catalog import ops
from opstore_daemon.store.catalog.suggestions import names_like
from opstore_daemon.store.snapshot import Snapshot

NO_OP = 0  # no op has this id


def about(snapshot: Snapshot, name: Name, *, highest: int, limit: int) -> list[Row[Any]]:
    """Return position, time and kind of the newest entries, at most `limit`, about the op or pipeline of that name.

    No entry above the position `highest`. Raises OpNotFound if there never was such an op or pipeline.
    """
    op = ops.find(snapshot, OpName(name))
    if op is None and not snapshot.connection.execute(select(exists().where(Pipeline.name == name))).scalar_one():
        similar = names_like(snapshot, Op.name, name)
        error = errors.OpNotFound(op=name).with_text(f"there is no op or pipeline {name}")
        raise error.with_suggestions(similar)
    query = _about(op_id=NO_OP if op is None else op.id, name=name, highest=highest, most=limit)
    found: list[Row[Any]] = query.run(snapshot.connection).all()
    return found


@prepared
def _about(*, op_id: int, name: str, highest: int, most: int) -> Executable:
    of_op, of_name = Version.op_id == op_id, Pipeline.name == name

    def newest(position: Any, condition: ColumnElement[bool], through: type[Any] | None = None) -> Any:
        query = select(position.label("position")).where(condition, position <= highest)
        if through is not None:
            query = query.join(Version, Version.id == through.version_id)
        return select(query.order_by(position.desc()).limit(most).subquery().c.position)

    positions = union(
        newest(Version.position, of_op),
        newest(Version.stored_position, of_op),
        newest(Label.position, of_op, Label),
        newest(Label.until, of_op, Label),
        newest(Message.position, of_op, Message),
        newest(Description.position, Description.op_id == op_id),
        newest(Level.position, Level.op_id == op_id),
        newest(Link.position, Link.upstream_id == op_id),
        newest(Link.position, Link.downstream_id == op_id),
        newest(Tag.position, Tag.op_id == op_id),
        newest(Yank.position, of_op, Yank),
        newest(Pipeline.position, of_name),
        newest(Pipeline.until, of_name),
    )
    query = select(Journal.position, Journal.at, Journal.kind).where(Journal.position.in_(positions))
    return query.order_by(Journal.position.desc()).limit(most)
