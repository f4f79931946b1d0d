"""The ops that a version affects, in one pipeline or in the whole store."""

from opstore_daemon.protocol.names import OpName, PipelineName
from opstore_daemon.protocol.records import Affected, AffectedOp, PipelineRecord
from opstore_daemon.protocol.references import Reference
from opstore_daemon.rules import affected
from opstore_daemon.rules.budget import QUERY_STEPS, Budget
from opstore_daemon.rules.verdict import Verdict
from opstore_daemon.store.catalog import links, pipelines, references
from opstore_daemon.store.snapshot import Snapshot
from opstore_daemon.store.validity import verdicts
from opstore_daemon.store.validity.verdicts import Chosen


def find_affected(snapshot: Snapshot, reference: Reference, pipeline: PipelineName | None, budget: Budget) -> Affected:
    """Return the downstream ops that a version affects: by the edges of one pipeline, or by all pipelines and links.

    Raises OpNotFound, VersionNotFound (also for an op without versions), PipelineNotFound, and what `budget.spend`
    raises.
    """
    chosen = verdicts.choose(snapshot, reference)
    if chosen.version is None:
        raise references.no_latest(snapshot, chosen.op.id, chosen.op.name)
    edges = None if pipeline is None else _downstreams_by_op(pipelines.get(snapshot, pipeline))
    latest_by_op: dict[str, Chosen] = {}

    def latest(op: str) -> Chosen:
        if op not in latest_by_op:
            latest_by_op[op] = verdicts.choose(snapshot, Reference.of(OpName(op), None))
        return latest_by_op[op]

    def downstreams(op: str) -> list[str]:
        if edges is not None:
            return edges.get(op, [])
        budget.spend(5 * QUERY_STEPS)
        row = chosen.op if op == chosen.op.name else latest(op).op
        return [*pipelines.downstreams(snapshot, row), *links.downstreams(snapshot, row)]

    def verdict(op: str) -> Verdict:
        budget.spend(3 * QUERY_STEPS)
        edge = verdicts.edge(snapshot, chosen, latest(op))
        return Verdict(edge.basis, edge.reason)

    found = affected.find_affected(chosen.op.name, downstreams, verdict)
    records = [
        AffectedOp(
            op=op,
            version=verdicts.op_version(latest(op)).version,
            verdict=why.word,
            basis=why.basis,
            reason=why.reason,
        )
        for op, why in found
    ]
    return Affected(
        version=verdicts.op_version(chosen),
        affected=tuple(records),
        picked_yanked=tuple(snapshot.picked_yanked),
    )


def _downstreams_by_op(pipeline: PipelineRecord) -> dict[str, list[str]]:
    downstreams: dict[str, list[str]] = {}
    for up, down in pipeline.edges:
        downstreams.setdefault(up, []).append(down)
    return downstreams
