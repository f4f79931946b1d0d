"""Pipelines: named directed acyclic graphs of ops."""

from collections.abc import Iterable, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from sqlalchemy import Connection, Executable, Select, case, exists, func, insert, select, update

from opstore_daemon.metadata.statements import prepared
from opstore_daemon.metadata.tables import Op, Pipeline, PipelineEdge, PipelineOp, aliased
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import OpName, PipelineName
from opstore_daemon.protocol.records import Compat, PipelineRecord
from opstore_daemon.store import journal
from opstore_daemon.store.catalog import ops
from opstore_daemon.store.catalog.ops import OpRow
from opstore_daemon.store.catalog.suggestions import names_like
from opstore_daemon.store.journal import Entry, Stamp
from opstore_daemon.store.snapshot import Snapshot, TimeFilter

MAX_PIPELINES = 5  # named in an error
Edges = tuple[tuple[OpName, OpName], ...]


def graph(chain: Sequence[OpName], edges: Sequence[tuple[OpName, OpName]] | None) -> tuple[tuple[OpName, ...], Edges]:
    """Return the ops in the order of data flow (ties by name), and the sorted edges; raise InvalidGraph.

    If `edges` is None, the ops of `chain` are a chain.
    """
    if edges is None:
        if len(set(chain)) < len(chain):
            raise errors.InvalidGraph(reason="the chain contains an op twice")
        edges = list(pairwise(chain))
    if not chain and not edges:
        raise errors.InvalidGraph(reason="it has no ops")
    return _ordered(chain, edges), tuple(sorted(set(edges)))


def _ordered(chain: Sequence[OpName], edges: Sequence[tuple[OpName, OpName]]) -> tuple[OpName, ...]:
    sorter: TopologicalSorter[OpName] = TopologicalSorter(dict.fromkeys(chain, ()))
    for upstream, downstream in edges:
        if upstream == downstream:
            raise errors.InvalidGraph(reason=f"{upstream} can't be its own upstream")
        sorter.add(downstream, upstream)
    try:
        sorter.prepare()
    except CycleError as error:
        cycle = " -> ".join(error.args[1])
        raise errors.InvalidGraph(reason=f"its edges form a cycle: {cycle}") from None
    ordered: list[OpName] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        ordered += ready
        sorter.done(*ready)
    return tuple(ordered)


def register(
    connection: Connection, name: PipelineName, order: Sequence[OpName], edges: Edges, new_ops: Compat, stamp: Stamp
) -> PipelineRecord:
    """Register the pipeline and create its missing ops with that level; do nothing if it has this graph already.

    Raises PipelineConflict if the name has another graph.
    """
    snapshot = Snapshot(connection)
    found = find(snapshot, name)
    if found is not None:
        if (set(found.ops), found.edges) != (set(order), edges):
            raise errors.PipelineConflict(pipeline=name)
        return found
    known = {op: ops.find(snapshot, op) for op in order}
    missing = tuple(op for op, row in known.items() if row is None)
    ids = {op: (row or ops.ensure(connection, op, new_ops, stamp)).id for op, row in known.items()}
    position = journal.append(connection, "pipeline", stamp)
    created = insert(Pipeline).values(name=name, registered_at=stamp.at, position=position).returning(Pipeline.id)
    pipeline_id = connection.execute(created).scalar_one()
    places = [{"pipeline_id": pipeline_id, "op_id": ids[op], "place": place} for place, op in enumerate(order)]
    connection.execute(insert(PipelineOp), places)
    if edges:
        pairs = [{"pipeline_id": pipeline_id, "upstream_id": ids[up], "downstream_id": ids[down]} for up, down in edges]
        connection.execute(insert(PipelineEdge), pairs)
    return PipelineRecord(
        name=name,
        ops=tuple(order),
        edges=edges,
        registered_at=journal.to_datetime(stamp.at),
        position=position,
        created=True,
        created_ops=missing,
    )


def find(snapshot: Snapshot, name: PipelineName) -> PipelineRecord | None:
    """Return the pipeline of that name, or None."""
    row = snapshot.execute(_by_name(snapshot.time_filter, name=name)).one_or_none()
    return None if row is None else _record(snapshot, *row)


@prepared
def _by_name(time_filter: TimeFilter, *, name: str) -> Executable:
    return _in_force(time_filter).where(Pipeline.name == name)


def get(snapshot: Snapshot, name: PipelineName) -> PipelineRecord:
    """Return the pipeline of that name; raise PipelineNotFound, which suggests similar names."""
    found = find(snapshot, name)
    if found is None:
        raise _not_found(snapshot, name)
    return found


def check_known(snapshot: Snapshot, name: PipelineName) -> None:
    """Raise PipelineNotFound unless there is, or ever was, a pipeline of that name."""
    if not snapshot.execute(_ever(name=name)).scalar_one():
        raise _not_found(snapshot, name)


@prepared
def _ever(*, name: str) -> Executable:
    return select(exists().where(Pipeline.name == name))


def last_change(snapshot: Snapshot, name: PipelineName) -> Entry:
    """Return the last entry that the verdict for the pipeline may depend on; raise PipelineNotFound.

    One statement, because clients that wait for a verdict poll it.
    """
    position, at = snapshot.execute(_last_change(snapshot.time_filter, name=name)).one()
    if position is None:
        raise _not_found(snapshot, name)
    return Entry(position, at)


@prepared
def _last_change(time_filter: TimeFilter, *, name: str) -> Executable:
    registered, changed = func.max(Pipeline.position), func.max(Op.changed)
    last = (
        select(case((registered > changed, registered), else_=changed))
        .join(PipelineOp, PipelineOp.pipeline_id == Pipeline.id)
        .join(Op, Op.id == PipelineOp.op_id)
        .where(Pipeline.name == name, time_filter.in_force(Pipeline))
    )
    return time_filter.entry(last)


def records(snapshot: Snapshot, after: str, limit: int) -> list[PipelineRecord]:
    """Return pipelines by name: at most `limit` pipelines after the name `after`."""
    query = _in_force(snapshot.time_filter).where(Pipeline.name > after).order_by(Pipeline.name).limit(limit)
    return [_record(snapshot, *row) for row in snapshot.execute(query).all()]


def remove(connection: Connection, name: PipelineName, stamp: Stamp) -> None:
    """Remove the pipeline; raise PipelineNotFound."""
    get(Snapshot(connection), name)
    position = journal.append(connection, "pipeline", stamp)
    removed = update(Pipeline).where(Pipeline.name == name, Pipeline.until.is_(None))
    connection.execute(removed.values(until=position))


def with_op(snapshot: Snapshot, op: OpRow, limit: int) -> list[str]:
    """Return the names of the pipelines that have the op, at most `limit`."""
    having = select(Pipeline.name).join(PipelineOp, PipelineOp.pipeline_id == Pipeline.id)
    query = having.where(PipelineOp.op_id == op.id, snapshot.time_filter.in_force(Pipeline))
    return list(snapshot.execute(query.order_by(Pipeline.name).limit(limit)).scalars())


def with_ops(snapshot: Snapshot, op_ids: Iterable[int]) -> list[str]:
    """Return the names of all pipelines that have one of these ops, sorted."""
    names: set[str] = set()
    for op_id in op_ids:
        having = select(Pipeline.name).join(PipelineOp, PipelineOp.pipeline_id == Pipeline.id)
        query = having.where(PipelineOp.op_id == op_id, snapshot.time_filter.in_force(Pipeline))
        names.update(snapshot.execute(query).scalars())
    return sorted(names)


def downstreams(snapshot: Snapshot, op: OpRow) -> list[str]:
    """Return the ops that are directly downstream of the op in any pipeline."""
    return list(snapshot.execute(_downstreams(snapshot.time_filter, op_id=op.id)).scalars())


def _not_found(snapshot: Snapshot, name: PipelineName) -> errors.OpStoreError:
    op = ops.find(snapshot, OpName(name))
    if op is not None:
        return errors.PipelineNotFound(pipeline=name).of_other_kind(op_of=with_op(snapshot, op, MAX_PIPELINES))
    similar = names_like(snapshot, Pipeline.name, name, snapshot.time_filter.in_force(Pipeline))
    return errors.PipelineNotFound(pipeline=name).with_suggestions(similar)


@prepared
def _downstreams(time_filter: TimeFilter, *, op_id: int) -> Executable:
    edges = _edges().where(PipelineEdge.upstream_id == op_id, time_filter.in_force(Pipeline))
    return edges.with_only_columns(_DOWN.name).distinct()


def _in_force(time_filter: TimeFilter) -> Select[int, str, int, int]:
    query = select(Pipeline.id, Pipeline.name, Pipeline.registered_at, Pipeline.position)
    return query.where(time_filter.in_force(Pipeline))


_UP, _DOWN = aliased(Op), aliased(Op)


def _edges() -> Select[str, str]:
    return (
        select(_UP.name, _DOWN.name)
        .select_from(PipelineEdge)
        .join(Pipeline, Pipeline.id == PipelineEdge.pipeline_id)
        .join(_UP, _UP.id == PipelineEdge.upstream_id)
        .join(_DOWN, _DOWN.id == PipelineEdge.downstream_id)
    )


def _record(snapshot: Snapshot, pipeline_id: int, name: str, registered_at: int, position: int) -> PipelineRecord:
    edges = snapshot.execute(_edges_of(pipeline_id=pipeline_id))
    return PipelineRecord(
        name=name,
        ops=tuple(snapshot.execute(_ops_of(pipeline_id=pipeline_id)).scalars()),
        edges=tuple(sorted((up, down) for up, down in edges)),
        registered_at=journal.to_datetime(registered_at),
        position=position,
    )


@prepared
def _ops_of(*, pipeline_id: int) -> Executable:
    places = select(Op.name).join(PipelineOp, PipelineOp.op_id == Op.id).where(PipelineOp.pipeline_id == pipeline_id)
    return places.order_by(PipelineOp.place)


@prepared
def _edges_of(*, pipeline_id: int) -> Executable:
    return _edges().where(PipelineEdge.pipeline_id == pipeline_id)
