"""Pipelines: named directed acyclic graphs of ops."""

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.orm import aliased

from opstore_daemon.metadata.tables import Op, Pipeline, PipelineEdge, PipelineOp
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import check_name
from opstore_daemon.protocol.records import PipelineRecord
from opstore_daemon.store import journal, ops
from opstore_daemon.store.similar import names_like

Edges = tuple[tuple[str, str], ...]


def graph(chain: Sequence[str], edges: Sequence[tuple[str, str]] | None) -> tuple[tuple[str, ...], Edges]:
    """The ops in the order of the data (ties by name), and the sorted edges; raises InvalidGraph.

    Without `edges` the ops are a chain.
    """
    for name in chain:
        check_name(name)
    if edges is None:
        if len(set(chain)) < len(chain):
            raise errors.InvalidGraph(reason="an op stands twice in the chain")
        edges = list(pairwise(chain))
    if not chain and not edges:
        raise errors.InvalidGraph(reason="it has no op")
    return _ordered(chain, edges), tuple(sorted(set(edges)))


def _ordered(chain: Sequence[str], edges: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    sorter: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(chain, ()))
    for upstream, downstream in edges:
        if upstream == downstream:
            raise errors.InvalidGraph(reason=f"{upstream} can't be its own upstream")
        sorter.add(check_name(downstream), check_name(upstream))
    try:
        sorter.prepare()
    except CycleError as error:
        cycle = " -> ".join(error.args[1])
        raise errors.InvalidGraph(reason=f"its edges go round in a circle: {cycle}") from None
    ordered: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        ordered += ready
        sorter.done(*ready)
    return tuple(ordered)


def register(connection: Connection, name: str, order: Sequence[str], edges: Edges, now: int) -> PipelineRecord:
    """Registers the graph, with the ops that are unknown; the same graph again makes nothing new.

    Raises PipelineConflict where the name has another graph.
    """
    found = find(connection, check_name(name))
    if found is not None:
        if (set(found.ops), found.edges) != (set(order), edges):
            raise errors.PipelineConflict(pipeline=name)
        return found
    created = insert(Pipeline).values(name=name, registered_at=now).returning(Pipeline.id)
    pipeline_id = connection.execute(created).scalar_one()
    ids = {op: ops.ensure(connection, op).id for op in order}
    places = [{"pipeline_id": pipeline_id, "op_id": ids[op], "place": place} for place, op in enumerate(order)]
    connection.execute(insert(PipelineOp), places)
    if edges:
        pairs = [{"pipeline_id": pipeline_id, "upstream_id": ids[up], "downstream_id": ids[down]} for up, down in edges]
        connection.execute(insert(PipelineEdge), pairs)
    registered_at = journal.moment(now)
    return PipelineRecord(name=name, ops=tuple(order), edges=edges, registered_at=registered_at, created=True)


def find(connection: Connection, name: str) -> PipelineRecord | None:
    """The pipeline of that name, or None."""
    wanted = select(Pipeline.id, Pipeline.name, Pipeline.registered_at).where(Pipeline.name == check_name(name))
    row = connection.execute(wanted).one_or_none()
    return None if row is None else _record(connection, *row)


def get(connection: Connection, name: str) -> PipelineRecord:
    """The pipeline of that name; raises PipelineNotFound, which names similar ones."""
    found = find(connection, name)
    if found is None:
        raise errors.PipelineNotFound(pipeline=name).among(names_like(connection, Pipeline.name, name))
    return found


def records(connection: Connection, after: str, limit: int) -> list[PipelineRecord]:
    """Pipelines by name, at most `limit` of those behind `after`."""
    wanted = select(Pipeline.id, Pipeline.name, Pipeline.registered_at).where(Pipeline.name > after)
    return [_record(connection, *row) for row in connection.execute(wanted.order_by(Pipeline.name).limit(limit)).all()]


def remove(connection: Connection, name: str) -> None:
    """Removes the pipeline; raises PipelineNotFound."""
    get(connection, name)
    pipeline_id = connection.execute(select(Pipeline.id).where(Pipeline.name == name)).scalar_one()
    for table in (PipelineEdge, PipelineOp):
        connection.execute(delete(table).where(table.pipeline_id == pipeline_id))
    connection.execute(delete(Pipeline).where(Pipeline.id == pipeline_id))


def _record(connection: Connection, pipeline_id: int, name: str, registered_at: int) -> PipelineRecord:
    places = select(Op.name).join(PipelineOp, PipelineOp.op_id == Op.id).where(PipelineOp.pipeline_id == pipeline_id)
    order = connection.execute(places.order_by(PipelineOp.place)).scalars().all()
    up, down = aliased(Op), aliased(Op)
    pairs = (
        select(up.name, down.name)
        .select_from(PipelineEdge)
        .join(up, up.id == PipelineEdge.upstream_id)
        .join(down, down.id == PipelineEdge.downstream_id)
        .where(PipelineEdge.pipeline_id == pipeline_id)
    )
    edges = tuple(sorted((row[0], row[1]) for row in connection.execute(pairs)))
    return PipelineRecord(name=name, ops=tuple(order), edges=edges, registered_at=journal.moment(registered_at))
