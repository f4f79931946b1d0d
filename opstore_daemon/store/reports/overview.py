"""What people look at: the ops and pipelines at a glance, what an op stands beside, and what a search finds.

Each answer is a page of an indexed query, so that it takes no longer in a large store.
"""

import re
from dataclasses import dataclass

from sqlalchemy import Executable, exists, or_, select

from opstore_daemon.metadata.statements import prepared
from opstore_daemon.metadata.tables import Link, Op, Pipeline, PipelineEdge, PipelineOp, Tag, Version
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import is_name
from opstore_daemon.protocol.records import PipelineRecord, VerdictWord, VersionRecord
from opstore_daemon.protocol.references import Reference
from opstore_daemon.store.catalog import ops, pipelines, references, version_rows, versions
from opstore_daemon.store.catalog.version_rows import VersionRow
from opstore_daemon.store.snapshot import Snapshot, TimeFilter
from opstore_daemon.store.validity import verdicts

MOST_FOUND = 20  # of each kind that a search answers
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{8,64})")


@dataclass(frozen=True, slots=True)
class PipelineLine:
    """A pipeline at a glance: its verdict, and how many of its edges are not valid."""

    pipeline: PipelineRecord
    verdict: VerdictWord
    not_valid: int


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What an op stands beside, by name: by links in force, or by pipelines; and the pipelines that it is in."""

    upstreams: list[str]
    downstreams: list[str]
    pipelines: list[str]


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found."""

    ops: list[str]
    pipelines: list[str]
    tags: list[tuple[str, str, str]]  # op, tag, number
    versions: list[VersionRecord]


def pipeline_lines(snapshot: Snapshot, after: str, limit: int) -> list[PipelineLine]:
    """Return pipelines by name with their verdicts: at most `limit` pipelines after the name `after`."""
    chosen: dict[str, verdicts.Chosen] = {}
    return [_pipeline_line(snapshot, record, chosen) for record in pipelines.records(snapshot, after, limit)]


def _pipeline_line(snapshot: Snapshot, record: PipelineRecord, chosen: dict[str, verdicts.Chosen]) -> PipelineLine:
    for op in record.ops:
        if op not in chosen:
            chosen[op] = verdicts.choose(snapshot, Reference.parse(op))
    told = verdicts.validate(
        snapshot, record.edges, {op: chosen[op] for op in record.ops}, record.position, record.name
    )
    return PipelineLine(record, told.verdict, sum(edge.verdict != "valid" for edge in told.edges))


def neighbours(snapshot: Snapshot, op: str) -> Neighbours:
    """Return the ops and pipelines that the op is connected with; raise OpNotFound."""
    row = ops.get(snapshot, op)
    ups, downs = (
        snapshot.execute(_beside(snapshot.time_filter, way, op_id=row.id)).scalars().all() for way in ("up", "down")
    )
    among = snapshot.execute(_pipelines_of(snapshot.time_filter, op_id=row.id)).scalars().all()
    return Neighbours(list(ups), list(downs), list(among))


def search(snapshot: Snapshot, text: str) -> Found:
    """Return ops, pipelines and tags whose names contain the text, and versions with that reference or digest."""
    wanted = text.strip()
    if not wanted:
        return Found([], [], [], [])
    pattern = _like(wanted.lower().partition("@")[0])
    tags = snapshot.execute(_tags_like(snapshot.time_filter, part=pattern)).all()
    return Found(
        ops=list(snapshot.execute(_ops_like(snapshot.time_filter, part=pattern)).scalars()),
        pipelines=list(snapshot.execute(_pipelines_like(snapshot.time_filter, part=pattern)).scalars()),
        tags=[(op, tag, ".".join(map(str, number))) for op, tag, *number in tags],
        versions=_named(snapshot, wanted),
    )


def _named(snapshot: Snapshot, text: str) -> list[VersionRecord]:
    rows: list[VersionRow] = []
    digest = _DIGEST.fullmatch(text.lower())
    if digest is not None:
        prefix = f"sha256:{digest[1]}"
        among = snapshot.execute(_of_digest(snapshot.time_filter, low=prefix, high=f"{prefix}g")).all()
        found = (version_rows.first(snapshot, op_id, version_rows.with_id(id_)) for id_, op_id in among)
        rows = [row for row in found if row is not None]
    elif "@" in text and is_name(text.partition("@")[0]):
        try:
            reference = Reference.parse(text)
            rows = [references.find_version(snapshot, reference)]
        except (errors.NotFound, errors.Refused):
            rows = []
    return versions.records(snapshot, rows)


def _like(text: str) -> str:
    return "%" + re.sub(r"([\\%_])", r"\\\1", text) + "%"


@prepared
def _beside(time_filter: TimeFilter, way: str, *, op_id: int) -> Executable:
    """The ops on the one side of the op: by links, or by edges of pipelines."""
    link = (Link.upstream_id, Link.downstream_id) if way == "down" else (Link.downstream_id, Link.upstream_id)
    edge = (PipelineEdge.upstream_id, PipelineEdge.downstream_id)
    own, other = edge if way == "down" else edge[::-1]
    said = Link.state != "revoked"
    linked = exists().where(link[0] == op_id, link[1] == Op.id, said, time_filter.in_force(Link))
    placed = select(other).join(Pipeline, Pipeline.id == PipelineEdge.pipeline_id)
    placed = placed.where(own == op_id, time_filter.in_force(Pipeline))
    return select(Op.name).where(Op.id != op_id, or_(linked, Op.id.in_(placed))).order_by(Op.name)


@prepared
def _pipelines_of(time_filter: TimeFilter, *, op_id: int) -> Executable:
    among = select(Pipeline.name).join(PipelineOp, PipelineOp.pipeline_id == Pipeline.id)
    return among.where(PipelineOp.op_id == op_id, time_filter.in_force(Pipeline)).order_by(Pipeline.name)


@prepared
def _ops_like(time_filter: TimeFilter, *, part: str) -> Executable:
    wanted = select(Op.name).where(Op.name.like(part, escape="\\"), time_filter.known(Op))
    return wanted.order_by(Op.name).limit(MOST_FOUND)


@prepared
def _pipelines_like(time_filter: TimeFilter, *, part: str) -> Executable:
    wanted = select(Pipeline.name).where(Pipeline.name.like(part, escape="\\"), time_filter.in_force(Pipeline))
    return wanted.order_by(Pipeline.name).limit(MOST_FOUND)


@prepared
def _tags_like(time_filter: TimeFilter, *, part: str) -> Executable:
    numbers = (Version.major_number, Version.minor_number, Version.patch_number)
    wanted = select(Op.name, Tag.name, *numbers).join(Op, Op.id == Tag.op_id)
    wanted = wanted.join(Version, Version.id == Tag.version_id)
    wanted = wanted.where(Tag.name.like(part, escape="\\"), time_filter.in_force(Tag))
    return wanted.order_by(Op.name, Tag.name).limit(MOST_FOUND)


@prepared
def _of_digest(time_filter: TimeFilter, *, low: str, high: str) -> Executable:
    wanted = select(Version.id, Version.op_id).where(Version.digest >= low, Version.digest < high, time_filter.stored())
    return wanted.order_by(Version.digest, Version.id.desc()).limit(MOST_FOUND)
