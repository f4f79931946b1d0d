"""The entries of the journal about one op or one pipeline.

The journal itself, the links, tags, pipelines, runs and bisections contribute their newest positions, each by an index
that ends with the position, and the newest of all of them are the page.
"""

from typing import Any

from sqlalchemy import ColumnElement, Executable, Row, exists, select, union

from opstore_daemon.metadata.statements import prepared
from opstore_daemon.metadata.tables import Bisection, Journal, Link, Op, Pipeline, Run, RunVersion, Tag
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import Name, OpName
from opstore_daemon.store.catalog import ops
from opstore_daemon.store.catalog.suggestions import names_like
from opstore_daemon.store.snapshot import Snapshot

NO_OP = 0  # no op has this id


def about(snapshot: Snapshot, name: Name, *, highest: int, limit: int) -> list[Row[Any]]:
    """Return position, time, kind and author of the newest entries about the op or pipeline of that name.

    At most `limit` entries, none above the position `highest`. Raises OpNotFound if there never was one of that name.
    """
    op_id = ops.find_any(snapshot, OpName(name))
    if op_id is None and not snapshot.connection.execute(select(exists().where(Pipeline.name == name))).scalar_one():
        similar = names_like(snapshot, Op.name, name)
        error = errors.OpNotFound(op=name).with_text(f"there is no op or pipeline {name}")
        raise error.with_suggestions(similar)
    query = _about(op_id=NO_OP if op_id is None else op_id, name=name, highest=highest, most=limit)
    found: list[Row[Any]] = query.run(snapshot.connection).all()
    return found


@prepared
def _about(*, op_id: int, name: str, highest: int, most: int) -> Executable:
    def newest(position: Any, condition: ColumnElement[bool]) -> Any:
        # Distinct: one entry may move many tags.
        query = select(position.label("position")).distinct().where(condition, position <= highest)
        return select(query.order_by(position.desc()).limit(most).subquery().c.position)

    positions = union(
        newest(Journal.position, Journal.op_id == op_id),
        newest(Link.position, Link.upstream_id == op_id),
        newest(Link.position, Link.downstream_id == op_id),
        newest(Tag.position, Tag.op_id == op_id),
        newest(Pipeline.position, Pipeline.name == name),
        newest(Pipeline.until, Pipeline.name == name),
        newest(Run.position, Run.pipeline == name),
        newest(RunVersion.run_position, RunVersion.op_id == op_id),
        newest(Bisection.position, Bisection.pipeline == name),
    )
    query = select(Journal.position, Journal.at, Journal.kind, Journal.author).where(Journal.position.in_(positions))
    return query.order_by(Journal.position.desc()).limit(most)
