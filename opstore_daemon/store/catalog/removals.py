"""Removals: a removed version or op exists in past states only. Its row stays, so that its number never comes back."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, bindparam, insert, select, update

from opstore_daemon.metadata.tables import Description, Link, Op, Removal, Version, aliased
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import Need, OpVersion
from opstore_daemon.protocol.records.short_text import counted
from opstore_daemon.protocol.references import Reference
from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.store import journal
from opstore_daemon.store.catalog import ops, pipelines, references, tags, version_rows
from opstore_daemon.store.catalog.link_queries import effective
from opstore_daemon.store.catalog.ops import OpRow
from opstore_daemon.store.catalog.version_rows import BLOCK, VersionRow
from opstore_daemon.store.journal import Stamp
from opstore_daemon.store.snapshot import NOW, Snapshot

MAX_PIPELINES = 5  # that an error names


@dataclass(frozen=True, slots=True)
class Selected:
    """The versions to remove, each once, and the ops to remove as a whole."""

    rows: Sequence[VersionRow]
    ops: Sequence[OpRow]
    ids: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", frozenset(row.id for row in self.rows))

    @property
    def op_ids(self) -> set[int]:
        """The ids of the ops that lose something."""
        return {row.op_id for row in self.rows} | {op.id for op in self.ops}


class LinkRow(NamedTuple):
    """A link in force with an end that is to be removed."""

    position: int
    valid: bool
    upstream_id: int
    upstream_version_id: int
    upstream: OpVersion
    upstream_number: tuple[int, int]  # major and minor
    downstream_id: int
    downstream_version_id: int | None
    downstream: OpVersion


def select_references(snapshot: Snapshot, wanted: Sequence[Reference], *, all_versions: bool) -> Selected:
    """Return what the references select for a removal.

    A bare name selects the op itself: raises OpHasVersions unless it has none, or `all_versions` are to be removed too.
    Raises OpInPipeline for an op of a pipeline, and what `find_version` raises.
    """
    rows: dict[int, VersionRow] = {}
    whole: dict[int, OpRow] = {}
    for reference in wanted:
        if not reference.bare:
            if all_versions:
                rule = f"all versions are those of an op: give its name, {reference.op}, instead of {reference}"
                raise errors.InvalidRequest(reason=rule)
            row = references.find_version(snapshot, reference)
            rows[row.id] = row
            continue
        op = ops.get(snapshot, reference.op)
        if all_versions:
            rows |= {row.id: row for row in version_rows.rows(snapshot, op.id)}
        elif version_rows.first(snapshot, op.id) is not None:
            count = ops.records(snapshot, "", 1, only=op.name)[0].versions
            raise errors.OpHasVersions(op=op.name, versions=counted(count, "versions"), count=count)
        having = pipelines.with_op(snapshot, op, MAX_PIPELINES + 1)
        if having:
            named = ", ".join(having[:MAX_PIPELINES]) + (" and others" if len(having) > MAX_PIPELINES else "")
            noun = "pipeline" if len(having) == 1 else "pipelines"
            raise errors.OpInPipeline(op=op.name, pipeline=having[0], pipelines=f"{noun} {named}")
        whole[op.id] = op
    return Selected(list(rows.values()), list(whole.values()))


# --- what needs them ------------------------------------------------------------------------------------------------


def links_of(snapshot: Snapshot, selected: Selected) -> list[LinkRow]:
    """Return the links in force of these versions and ops, in the order of positions."""
    found: dict[int, LinkRow] = {}
    ids = sorted(selected.ids)
    for start in range(0, len(ids), BLOCK):
        found |= _links(snapshot, Link.upstream_version_id.in_(ids[start : start + BLOCK]))
    for op_id in {row.op_id for row in selected.rows}:
        own = [row.id for row in selected.rows if row.op_id == op_id]
        to = Link.downstream_id == op_id
        # The index is by ops, so each query reads all links to this op: one query is enough.
        few = Link.downstream_version_id.in_(own) if len(own) <= BLOCK else Link.downstream_version_id.is_not(None)
        among = _links(snapshot, and_(to, few))
        found |= {each: link for each, link in among.items() if link.downstream_version_id in selected.ids}
    for op in selected.ops:
        found |= _links(snapshot, and_(Link.downstream_id == op.id, Link.downstream_version_id.is_(None)))
    return [found[position] for position in sorted(found)]


_UP, _DOWN, _UP_OP, _DOWN_OP = aliased(Version), aliased(Version), aliased(Op), aliased(Op)


def _links(snapshot: Snapshot, condition: ColumnElement[bool]) -> dict[int, LinkRow]:
    up = (_UP_OP.name, _UP.major_number, _UP.minor_number, _UP.patch_number)
    down = (_DOWN_OP.name, _DOWN.major_number, _DOWN.minor_number, _DOWN.patch_number)
    ids = (Link.upstream_id, Link.upstream_version_id, Link.downstream_id, Link.downstream_version_id)
    query = select(Link.position, Link.state, *ids, *up, *down).join(_UP_OP, _UP_OP.id == Link.upstream_id)
    query = query.join(_UP, _UP.id == Link.upstream_version_id).join(_DOWN_OP, _DOWN_OP.id == Link.downstream_id)
    query = query.outerjoin(_DOWN, _DOWN.id == Link.downstream_version_id)
    found: dict[int, LinkRow] = {}
    for position, state, *rest in snapshot.execute(query.where(condition, effective(snapshot.time_filter))):
        (up_id, up_version, down_id, down_version), (up_op, *up_number), (down_op, *down_number) = (
            rest[:4],
            rest[4:8],
            rest[8:],
        )
        number = None if down_number[0] is None else str(VersionNumber(*down_number))
        found[position] = LinkRow(
            position=position,
            valid=state == "valid",
            upstream_id=up_id,
            upstream_version_id=up_version,
            upstream=OpVersion(op=up_op, version=str(VersionNumber(*up_number))),
            upstream_number=(up_number[0], up_number[1]),
            downstream_id=down_id,
            downstream_version_id=down_version,
            downstream=OpVersion(op=down_op, version=number),
        )
    return found


def needs_of_links(selected: Selected, links: Iterable[LinkRow]) -> list[Need]:
    """Return the valid ones of these links whose other end stays, as what needs the versions."""
    whole = {op.id for op in selected.ops}
    needs: list[Need] = []
    for link in links:
        to_any = link.downstream_version_id is None
        is_up = link.upstream_version_id in selected.ids
        is_down = link.downstream_id in whole if to_any else link.downstream_version_id in selected.ids
        if link.valid and is_up != is_down:
            target = f"any version of {link.downstream.op}" if to_any else str(link.downstream)
            own, other = (link.upstream, target) if is_up else (link.downstream, str(link.upstream))
            needs.append(Need(kind="link", version=own, what=other, words=f"{link.upstream} is valid for {target}"))
    return needs


def needs_of_tags(snapshot: Snapshot, selected: Selected) -> list[Need]:
    """Return the tags on these versions."""
    names = tags.on_versions(snapshot.connection, [row.id for row in selected.rows])
    return [
        Need(kind="tag", version=version(row), what=name, words=f"the tag {name} is on {version(row)}")
        for row in selected.rows
        for name in names.get(row.id, ())
    ]


def version(row: VersionRow) -> OpVersion:
    """Return the record of the version's op and number."""
    return OpVersion(op=row.op, version=str(row.number))


def freeable(snapshot: Snapshot, selected: Selected) -> int:
    """Return how many bytes the versions have that no other version has. Call it before they are removed."""
    sizes = {str(row.digest): row.size or 0 for row in selected.rows if row.digest is not None}
    own = Counter(str(row.digest) for row in selected.rows)
    digests, freed = sorted(sizes), 0
    for start in range(0, len(digests), BLOCK):
        having = select(Version.digest).where(Version.digest.in_(digests[start : start + BLOCK]), NOW.not_removed())
        counts = Counter(snapshot.connection.execute(having).scalars())
        freed += sum(sizes[str(digest)] for digest, count in counts.items() if count == own[str(digest)])
    return freed


# --- the removal itself ---------------------------------------------------------------------------------------------

_MARK = update(Version).where(Version.id == bindparam("version_id")).values(removed_position=bindparam("at"))
_END_LINK = update(Link).where(Link.position == bindparam("link")).values(until=bindparam("at"))


def record(
    connection: Connection, selected: Selected, links: Sequence[LinkRow], reason: str | None, stamp: Stamp
) -> None:
    """Remove the versions and ops, revoke these links of theirs, and remove their tags.

    The entries of the removals come first: the state as of the position before the first of them has it all.
    """
    removed = [(row.op_id, row.id) for row in selected.rows] + [(op.id, None) for op in selected.ops]
    positions = journal.append_many(connection, "removal", stamp, [op_id for op_id, _ in removed])
    if not removed:
        return
    rows = [
        {"position": position, "op_id": op_id, "version_id": version_id, "reason": reason}
        for position, (op_id, version_id) in zip(positions, removed, strict=True)
    ]
    connection.execute(insert(Removal), rows)
    marks = [{"version_id": row.id, "at": at} for row, at in zip(selected.rows, positions, strict=False)]
    if marks:
        connection.execute(_MARK, marks)
    for op, position in zip(selected.ops, positions[len(marks) :], strict=True):
        ended = update(Description).where(Description.op_id == op.id, Description.until.is_(None))
        connection.execute(ended.values(until=position))
    _revoke(connection, links, stamp)
    tags.remove_all_of(connection, selected.rows, stamp)
    touched = {end for link in links for end in (link.upstream_id, link.downstream_id)} | selected.op_ids
    ops.touch(connection, sorted(touched), journal.last(connection))


def _revoke(connection: Connection, links: Sequence[LinkRow], stamp: Stamp) -> None:
    positions = journal.append_many(connection, "link", stamp, [None] * len(links))
    if not links:
        return
    ended = [{"link": link.position, "at": at} for link, at in zip(links, positions, strict=True)]
    connection.execute(_END_LINK, ended)
    revoked = [
        {
            "position": at,
            "upstream_id": link.upstream_id,
            "upstream_version_id": link.upstream_version_id,
            "upstream_major": link.upstream_number[0],
            "upstream_minor": link.upstream_number[1],
            "downstream_id": link.downstream_id,
            "downstream_version_id": link.downstream_version_id,
            "state": "revoked",
        }
        for link, at in zip(links, positions, strict=True)
    ]
    connection.execute(insert(Link), revoked)
