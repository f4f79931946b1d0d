"""The versions of an op for the page: sorted and filtered, with their verdicts against the op's neighbours.

By default the newest ones come first, a page of them from an index. Any other order, and any filter, looks at the
newest MAX_SCANNED versions, so that it takes no longer in a store of any size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Executable, String, bindparam, case, cast, exists, or_, select

from opstore_daemon.metadata.statements import prepared
from opstore_daemon.metadata.tables import Label, Tag, Version
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import VersionRecord
from opstore_daemon.protocol.references import Reference
from opstore_daemon.rules.verdict import Verdict
from opstore_daemon.store.catalog import ops, removed, version_rows, versions
from opstore_daemon.store.catalog.ops import OpLine, OpRow
from opstore_daemon.store.catalog.version_rows import VersionRow
from opstore_daemon.store.reports.overview import Neighbours, like, neighbours
from opstore_daemon.store.snapshot import Snapshot, TimeFilter
from opstore_daemon.store.validity.verdicts import Chosen, choose, edge_links, op_version, verdicts

MAX_SCANNED = 10_000  # versions of an op that are sorted or filtered
MAX_COMPARED = 3  # neighbours on each side with which the versions are compared

DEFAULT_SORT = "-registered"
SORTS = (DEFAULT_SORT, "registered", "version", "-version", "size", "-size")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which versions to list, and in which order.

    `text`: a part of their number, tags, labels or message. `sort`: one of SORTS. `below`: only those below this
    sequence; `skip`: leave out so many; at most one of the two is used, by the order.
    """

    text: str = ""
    sort: str = DEFAULT_SORT
    below: int | None = None
    skip: int = 0

    @property
    def is_default(self) -> bool:
        """Whether an index has the versions in this order."""
        return not self.text and self.sort == DEFAULT_SORT


@dataclass(frozen=True, slots=True)
class NeighbourVerdicts:
    """The latest version of a neighbour (None: it has none), and the verdict of each listed version with it."""

    op: str
    version: str | None
    verdicts: list[Verdict]


@dataclass(frozen=True, slots=True)
class VersionList:
    """A page of the versions of an op.

    `op` is what the list of ops shows of it, `newest` the sequence of its newest version; None if there is none.
    `had_versions`: it has none, because all were removed.
    """

    op: OpLine
    newest: int | None
    versions: list[VersionRecord]
    has_more: bool
    neighbours: Neighbours
    upstreams: list[NeighbourVerdicts]
    downstreams: list[NeighbourVerdicts]
    had_versions: bool = False

    @property
    def is_cut(self) -> bool:
        """Whether the op has more versions than are sorted or filtered."""
        return self.newest is not None and self.newest > MAX_SCANNED


def version_list(snapshot: Snapshot, name: OpName, choice: Choice, limit: int) -> VersionList:
    """Return at most `limit` versions of the op; raise OpNotFound."""
    op = ops.get(snapshot, name)
    newest = version_rows.first(snapshot, op.id)
    rows = _rows(snapshot, op, choice, limit + 1, 0 if newest is None else newest.sequence)
    shown = rows[:limit]
    related = neighbours(snapshot, name)
    return VersionList(
        op=ops.lines(snapshot, "", 1, only=name)[0],
        newest=None if newest is None else newest.sequence,
        versions=versions.records(snapshot, shown),
        has_more=len(rows) > limit,
        had_versions=newest is None and removed.find(snapshot, name, op.id, version_rows.ALL) is not None,
        neighbours=related,
        upstreams=_neighbours(snapshot, related.upstreams, lambda other: _with_upstream(snapshot, other, op, shown)),
        downstreams=_neighbours(snapshot, related.downstreams, lambda other: verdicts(snapshot, op, shown, other)),
    )


def _neighbours(
    snapshot: Snapshot, names: Sequence[str], verdicts_with: Callable[[Chosen], list[Verdict]]
) -> list[NeighbourVerdicts]:
    found = []
    for name in names[:MAX_COMPARED]:
        latest = choose(snapshot, Reference.of(name, None))
        found.append(NeighbourVerdicts(name, op_version(latest).version, verdicts_with(latest)))
    return found


def _with_upstream(snapshot: Snapshot, latest: Chosen, op: OpRow, rows: Sequence[VersionRow]) -> list[Verdict]:
    """Return the verdict of the latest upstream version for each of the versions."""
    candidates = [] if latest.version is None else [latest.version]
    number = None if latest.version is None else latest.version.number
    links = edge_links(snapshot, latest.op, candidates, op, rows)
    return [links.verdict(number, row.number) for row in rows]


def _rows(snapshot: Snapshot, op: OpRow, choice: Choice, limit: int, newest: int) -> list[VersionRow]:
    if choice.is_default:
        return version_rows.rows(snapshot, op.id, version_rows.older_than(choice.below), limit=limit)
    values: dict[str, Any] = {"op_id": op.id, "above": newest - MAX_SCANNED, "limit": limit, "skip": choice.skip}
    if choice.text:
        values["pattern"] = like(choice.text)
    sequences = list(snapshot.execute(_selected(snapshot.time_filter, choice.sort, **values)).scalars())
    if not sequences:
        return []
    # The bounds: SQLite may read all versions between them.
    bounds = version_rows.newer_than(min(sequences) - 1) & version_rows.older_than(max(sequences) + 1)
    where = version_rows.Where((_WITH_SEQUENCES,), {"sequences": sequences}) & bounds
    rows = version_rows.rows(snapshot, op.id, where)
    return sorted(rows, key=lambda row: sequences.index(row.sequence))


_WITH_SEQUENCES = Version.sequence.in_(bindparam("sequences"))
_NUMBER = (Version.major_number, Version.minor_number, Version.patch_number)


@prepared
def _selected(
    time_filter: TimeFilter,
    sort: str,
    *,
    op_id: int,
    above: int,
    limit: int,
    skip: int,
    pattern: str | None = None,
) -> Executable:
    # Sequences have no gaps, so these are a limited number of versions, and an index finds them.
    query = select(Version.sequence).where(Version.op_id == op_id, Version.sequence > above)
    query = query.where(time_filter.existing_versions(op_id))
    if pattern is not None:
        query = query.where(_matches(time_filter, op_id, pattern))
    return query.order_by(*_order(time_filter, sort), Version.sequence.desc()).limit(limit).offset(skip)


def _matches(time_filter: TimeFilter, op_id: int, pattern: str) -> ColumnElement[bool]:
    """Return the condition that a number, a tag, a label or the message of the version has the pattern."""
    number = cast(_NUMBER[0], String) + "." + cast(_NUMBER[1], String) + "." + cast(_NUMBER[2], String)
    # Not correlated: no index has the past tags of a version.
    tagged = select(Tag.version_id).where(Tag.op_id == op_id, time_filter.in_force(Tag), Tag.version_id.is_not(None))
    tagged = tagged.where(Tag.name.ilike(pattern, escape="\\"))
    of_label = or_(Label.key.ilike(pattern, escape="\\"), Label.value.ilike(pattern, escape="\\"))
    label = exists().where(Label.version_id == Version.id, time_filter.in_force(Label), of_label)
    message = version_rows.current_message(time_filter).ilike(pattern, escape="\\")
    return or_(number.ilike(pattern, escape="\\"), message, Version.id.in_(tagged), label.correlate(Version))


def _order(time_filter: TimeFilter, sort: str) -> list[ColumnElement[Any]]:
    """Return the columns to sort by; a version without bytes is smaller than an empty one.

    No column stands alone: SQLite would read all versions of the op in the order of an index that has it.
    """
    size = case((time_filter.stored(), Version.size), else_=-1)
    by_key: dict[str, list[ColumnElement[Any]]] = {
        "registered": [Version.sequence + 0],
        "version": [number + 0 for number in _NUMBER],
        "size": [size],
    }
    columns = by_key[sort.removeprefix("-")]
    return [column.desc() if sort.startswith("-") else column.asc() for column in columns]
