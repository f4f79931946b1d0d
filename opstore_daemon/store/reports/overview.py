"""Overviews for the web page: pipelines with their verdicts, the neighbours of an op, and the search.

Each reads one page of an indexed query, so that a large store takes no longer.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from sqlalchemy import Executable, and_, exists, func, null, or_, select

from opstore_daemon.metadata.statements import prepared
from opstore_daemon.metadata.tables import (
    Description,
    Label,
    Link,
    Op,
    Pipeline,
    PipelineEdge,
    PipelineOp,
    Tag,
    Version,
    aliased,
)
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import OpName, is_name
from opstore_daemon.protocol.records import PipelineRecord, VerdictWord, VersionRecord
from opstore_daemon.protocol.references import Reference
from opstore_daemon.rules.budget import Budget
from opstore_daemon.store.catalog import ops, pipelines, references, version_rows, versions
from opstore_daemon.store.catalog.link_queries import effective
from opstore_daemon.store.catalog.version_rows import VersionRow
from opstore_daemon.store.snapshot import Snapshot, TimeFilter
from opstore_daemon.store.validity import verdicts

MAX_RESULTS = 20  # of each kind in a search
MAX_EDGES = verdicts.FEW_EDGES  # of a list of pipelines; a larger pipeline is the only one of its list
MAX_NEIGHBOURS = 100  # of each kind
MAX_SEARCHED = 10_000  # newest versions whose messages a search reads, and newest labels
MAX_TEXT = 500  # characters to search for: no name or reference is longer, and SQLite refuses long patterns
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{8,64})")


@dataclass(frozen=True, slots=True)
class PipelineLine:
    """A line of the list of pipelines.

    `not_valid` counts the edges that are not valid, `known_invalid` those that a link says are not.
    """

    pipeline: PipelineRecord
    verdict: VerdictWord
    not_valid: int
    known_invalid: int

    @property
    def is_chain(self) -> bool:
        """Whether each op of the pipeline is the only upstream of the next one."""
        ops = self.pipeline.ops
        return set(self.pipeline.edges) == set(pairwise(ops))


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The names of the ops that links in force or edges of pipelines connect with an op, and of its pipelines.

    At most MAX_NEIGHBOURS of each kind; `has_more`: there are more of some kind.
    """

    upstreams: list[str]
    downstreams: list[str]
    pipelines: list[str]
    has_more: bool


@dataclass(frozen=True, slots=True)
class TextMatch:
    """A version with a message or a label that contains the text: `label` is the key of the label, None for a message.

    `text` is the message or the label's value.
    """

    op: str
    version: str
    label: str | None
    text: str


@dataclass(frozen=True, slots=True)
class SearchResults:
    """The results of a search, at most MAX_RESULTS of each kind."""

    ops: list[tuple[str, str | None]]  # op, description
    pipelines: list[str]
    tags: list[tuple[str, str, str]]  # op, tag, version number
    versions: list[VersionRecord]
    texts: list[TextMatch]


def pipeline_lines(snapshot: Snapshot, after: str, limit: int, budget: Budget) -> list[PipelineLine]:
    """Return pipelines by name with their verdicts: at most `limit` pipelines after the name `after`.

    Fewer if they have more than MAX_EDGES edges together. A pipeline that has more by itself takes from the budget.
    """
    chosen: dict[str, verdicts.Chosen] = {}
    lines: list[PipelineLine] = []
    edges = 0
    for record in pipelines.records(snapshot, after, limit):
        edges += len(record.edges)
        if lines and edges > MAX_EDGES:
            break
        lines.append(_pipeline_line(snapshot, record, chosen, budget if edges > MAX_EDGES else None))
    return lines


def _pipeline_line(
    snapshot: Snapshot, record: PipelineRecord, chosen: dict[str, verdicts.Chosen], budget: Budget | None
) -> PipelineLine:
    if budget is not None:
        budget.add_edges(len(record.edges))
    unknown = {op: Reference.of(op, None) for op in map(OpName, record.ops) if op not in chosen}
    chosen |= verdicts.choose_all(snapshot, unknown)
    own = {op: chosen[op] for op in record.ops}
    validation = verdicts.validate(snapshot, record.edges, own, record.position, record.name, budget)
    not_valid = [edge for edge in validation.edges if edge.verdict != "valid"]
    known_invalid = sum(edge.basis == "known-invalid" for edge in not_valid)
    return PipelineLine(record, validation.verdict, len(not_valid), known_invalid)


def neighbours(snapshot: Snapshot, op: OpName) -> Neighbours:
    """Return the ops and pipelines that the op is connected with; raise OpNotFound."""
    row = ops.get(snapshot, op)
    time_filter, beyond = snapshot.time_filter, MAX_NEIGHBOURS + 1
    queries = (
        _connected(time_filter, "upstream", beyond, op_id=row.id),
        _connected(time_filter, "downstream", beyond, op_id=row.id),
        _pipelines_of(time_filter, beyond, op_id=row.id),
    )
    found = [list(snapshot.execute(query).scalars()) for query in queries]
    upstreams, downstreams, names = shown = [each[:MAX_NEIGHBOURS] for each in found]
    return Neighbours(upstreams, downstreams, names, has_more=shown != found)


def search(snapshot: Snapshot, text: str) -> SearchResults:
    """Return what has the text: ops, pipelines and tags in their names, versions in their messages and labels.

    Also versions with that reference or digest. Messages and labels are searched among the newest MAX_SEARCHED.
    """
    query = text.strip()
    if not query or len(query) > MAX_TEXT:
        return SearchResults([], [], [], [], [])
    pattern = like(query.lower().partition("@")[0])
    tags = snapshot.execute(_tags_like(snapshot.time_filter, part=pattern)).all()
    return SearchResults(
        ops=[
            (op, text) for op, text in snapshot.execute(_ops_like(snapshot.time_filter, part=pattern, text=like(query)))
        ],
        pipelines=list(snapshot.execute(_pipelines_like(snapshot.time_filter, part=pattern)).scalars()),
        tags=[(op, tag, ".".join(map(str, number))) for op, tag, *number in tags],
        versions=_versions(snapshot, query),
        texts=_texts(snapshot, like(query)),
    )


def _texts(snapshot: Snapshot, pattern: str) -> list[TextMatch]:
    time_filter = snapshot.time_filter
    messages = snapshot.execute(_messages_like(time_filter, part=pattern, scanned=MAX_SEARCHED))
    labels = snapshot.execute(_labels_like(time_filter, part=pattern, scanned=MAX_SEARCHED))
    return [
        TextMatch(op, ".".join(map(str, number)), label, text)
        for op, label, text, *number in (*messages.all(), *labels.all())
    ]


def _versions(snapshot: Snapshot, text: str) -> list[VersionRecord]:
    """Return the versions with this digest, or a prefix of 8 digits or more, or the one that a reference selects."""
    rows: list[VersionRow] = []
    digest = _DIGEST.fullmatch(text.lower())
    if digest is not None:
        prefix = f"sha256:{digest[1]}"
        matches = snapshot.execute(_of_digest(snapshot.time_filter, low=prefix, high=f"{prefix}g")).all()
        found = (version_rows.first(snapshot, op_id, version_rows.with_id(id_)) for id_, op_id in matches)
        rows = [row for row in found if row is not None]
    elif "@" in text and is_name(text.partition("@")[0]):
        with suppress(errors.NotFound, errors.Refused):
            rows = [references.find_version(snapshot, Reference.parse(text))]
    return versions.records(snapshot, rows)


def like(text: str) -> str:
    """Return the pattern for LIKE that any text with this part matches."""
    return "%" + re.sub(r"([\\%_])", r"\\\1", text) + "%"


@prepared
def _connected(
    time_filter: TimeFilter, side: Literal["upstream", "downstream"], limit: int, *, op_id: int
) -> Executable:
    """Select the ops on one side of the op: by links, or by edges of pipelines."""
    columns = Link.upstream_id, Link.downstream_id
    edge_columns = PipelineEdge.upstream_id, PipelineEdge.downstream_id
    own, other = columns if side == "downstream" else columns[::-1]
    edge_own, edge_other = edge_columns if side == "downstream" else edge_columns[::-1]
    linked = exists().where(own == op_id, other == Op.id, effective(time_filter))
    in_pipeline = select(edge_other).join(Pipeline, Pipeline.id == PipelineEdge.pipeline_id)
    in_pipeline = in_pipeline.where(edge_own == op_id, time_filter.in_force(Pipeline))
    return select(Op.name).where(Op.id != op_id, or_(linked, Op.id.in_(in_pipeline))).order_by(Op.name).limit(limit)


@prepared
def _pipelines_of(time_filter: TimeFilter, limit: int, *, op_id: int) -> Executable:
    query = select(Pipeline.name).join(PipelineOp, PipelineOp.pipeline_id == Pipeline.id)
    return query.where(PipelineOp.op_id == op_id, time_filter.in_force(Pipeline)).order_by(Pipeline.name).limit(limit)


@prepared
def _ops_like(time_filter: TimeFilter, *, part: str, text: str) -> Executable:
    in_force = and_(Description.op_id == Op.id, time_filter.in_force(Description))
    query = select(Op.name, Description.text).outerjoin(Description, in_force).where(time_filter.exists(Op))
    query = query.where(or_(Op.name.ilike(part, escape="\\"), Description.text.ilike(text, escape="\\")))
    return query.order_by(Op.name).limit(MAX_RESULTS)


@prepared
def _pipelines_like(time_filter: TimeFilter, *, part: str) -> Executable:
    query = select(Pipeline.name).where(Pipeline.name.ilike(part, escape="\\"), time_filter.in_force(Pipeline))
    return query.order_by(Pipeline.name).limit(MAX_RESULTS)


@prepared
def _tags_like(time_filter: TimeFilter, *, part: str) -> Executable:
    numbers = (Version.major_number, Version.minor_number, Version.patch_number)
    query = select(Op.name, Tag.name, *numbers).join(Op, Op.id == Tag.op_id)
    query = query.join(Version, Version.id == Tag.version_id)
    query = query.where(Tag.name.ilike(part, escape="\\"), time_filter.in_force(Tag))
    return query.order_by(Op.name, Tag.name).limit(MAX_RESULTS)


_NUMBER = (Version.major_number, Version.minor_number, Version.patch_number)


@prepared
def _messages_like(time_filter: TimeFilter, *, part: str, scanned: int) -> Executable:
    version = aliased(Version)
    newest = select(version.id).order_by(version.position.desc()).limit(1)
    if time_filter.past:
        newest = newest.where(version.position <= time_filter.position)
    last = newest.scalar_subquery()  # ids grow with positions
    message = version_rows.current_message(time_filter)
    query = select(Op.name, null(), message, *_NUMBER).join(Op, Op.id == Version.op_id)
    query = query.where(Version.id > last - scanned, Version.id <= last, message.ilike(part, escape="\\"))
    return query.where(time_filter.not_removed()).order_by(Version.id.desc()).limit(MAX_RESULTS)


@prepared
def _labels_like(time_filter: TimeFilter, *, part: str, scanned: int) -> Executable:
    newest = select(Label.position).order_by(Label.position.desc())
    if time_filter.past:
        newest = newest.where(Label.position <= time_filter.position)
    oldest = select(func.min(newest.limit(scanned).subquery().c.position)).scalar_subquery()
    query = select(Op.name, Label.key, Label.value, *_NUMBER).join(Version, Version.id == Label.version_id)
    query = query.join(Op, Op.id == Version.op_id).where(Label.position >= oldest, time_filter.in_force(Label))
    query = query.where(or_(Label.key.ilike(part, escape="\\"), Label.value.ilike(part, escape="\\")))
    query = query.where(time_filter.not_removed())
    return query.order_by(Label.position.desc(), Label.key).limit(MAX_RESULTS)


@prepared
def _of_digest(time_filter: TimeFilter, *, low: str, high: str) -> Executable:
    query = select(Version.id, Version.op_id).where(Version.digest >= low, Version.digest < high, time_filter.stored())
    return query.where(time_filter.not_removed()).order_by(Version.digest, Version.id.desc()).limit(MAX_RESULTS)
