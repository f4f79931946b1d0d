"""The ops that a version affects, in one pipeline or in the whole store."""

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import OpName, PipelineName
from opstore_daemon.protocol.records import Affected, AffectedOp
from opstore_daemon.protocol.references import Reference
from opstore_daemon.rules import affected
from opstore_daemon.rules.verdict import Verdict
from opstore_daemon.store.catalog import links, pipelines
from opstore_daemon.store.snapshot import Snapshot
from opstore_daemon.store.validity import verdicts
from opstore_daemon.store.validity.verdicts import Chosen


def find_affected(snapshot: Snapshot, reference: Reference, pipeline: PipelineName | None) -> Affected:
    """Return the downstream ops that a version affects: by the edges of one pipeline, or by all pipelines and links.

    Raises OpNotFound, VersionNotFound (also for an op without versions) and PipelineNotFound.
    """
    chosen = verdicts.choose(snapshot, reference)
    if chosen.version is None:
        raise errors.VersionNotFound(op=chosen.op.name, selector="the latest")
    graph = None if pipeline is None else pipelines.get(snapshot, pipeline)
    latest_by_op: dict[str, Chosen] = {}

    def latest(op: str) -> Chosen:
        if op not in latest_by_op:
            latest_by_op[op] = verdicts.choose(snapshot, Reference.of(OpName(op), None))
        return latest_by_op[op]

    def downstreams(op: str) -> list[str]:
        if graph is not None:
            return [down for up, down in graph.edges if up == op]
        row = chosen.op if op == chosen.op.name else latest(op).op
        return [*pipelines.downstreams(snapshot, row), *links.downstreams(snapshot, row)]

    def verdict(op: str) -> Verdict:
        edge = verdicts.edge(snapshot, chosen, latest(op))
        return Verdict(edge.verdict, edge.reason)

    found = affected.find_affected(chosen.op.name, downstreams, verdict)
    records = [
        AffectedOp(op=op, version=verdicts.op_version(latest(op)).version, verdict=why.word, reason=why.reason)
        for op, why in found
    ]
    return Affected(
        version=verdicts.op_version(chosen),
        affected=tuple(records),
        picked_yanked=tuple(snapshot.picked_yanked),
    )
