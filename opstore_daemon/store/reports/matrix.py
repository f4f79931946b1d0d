"""The matrix of an edge: which versions of the upstream op are valid for which versions of the downstream op.

Rows are upstream versions, columns downstream versions, newest first. Sequences address any part of the matrix; only
removed versions leave gaps in them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import VERDICTS, Basis
from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.rules.verdict import EdgeLinks, Verdict
from opstore_daemon.store.catalog import ops, version_rows
from opstore_daemon.store.catalog.ops import OpRow
from opstore_daemon.store.catalog.version_rows import VersionRow
from opstore_daemon.store.snapshot import Snapshot
from opstore_daemon.store.validity.verdicts import edge_links

DETAILED_VERSIONS = 25  # versions of each op in a matrix with reasons
MAX_VERSIONS = 20 * DETAILED_VERSIONS  # versions of each op in a map, which has no reasons

# A verdict without its reason; an invalid one is either known or only not validated.
CellLook = Literal["valid", "known-invalid", "not-validated", "unknown"]


@dataclass(frozen=True, slots=True)
class Axis:
    """Some versions of one op, newest first; `newest` is the highest sequence of the op, 0 if it has no version.

    `newer`, `older` and `oldest` are the sequences where the parts beside these versions begin, and the last part; None
    if there are no further versions on that side. `map_start` is the highest sequence of the map that they are in, and
    `mapped` has the sequences of all versions in it.
    """

    op: OpRow
    versions: list[VersionRow]
    newest: int
    newer: int | None = None
    older: int | None = None
    oldest: int | None = None
    map_start: int = 0
    mapped: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Matrix:
    """A part of the matrix: a row of verdicts for each upstream version.

    If the downstream op has no version, there is one column, for the op itself.
    """

    upstream: Axis
    downstream: Axis
    rows: list[list[Verdict]]


@dataclass(frozen=True, slots=True)
class Run:
    """Adjacent cells of one row that look the same: `count` columns from `column` on."""

    row: int
    column: int
    count: int
    look: CellLook


def matrix(snapshot: Snapshot, upstream: OpName, downstream: OpName, row: int | None, column: int | None) -> Matrix:
    """Return the verdicts with reasons of at most DETAILED_VERSIONS versions of each op.

    `row` and `column`: the highest sequences, None for the newest versions. Raises OpNotFound, and InvalidRequest if
    the two ops are the same.
    """
    up, down = _axes(snapshot, upstream, downstream, row, column)
    links = _links(snapshot, up, down)
    columns: list[VersionNumber | None] = [version.number for version in down.versions]
    columns = columns or [None]
    rows = [[links.verdict(version.number, number) for number in columns] for version in up.versions]
    return Matrix(up, down, rows)


def matrix_map(
    snapshot: Snapshot, upstream: OpName, downstream: OpName, row: int | None, column: int | None
) -> list[Run]:
    """Return the verdicts without reasons of at most MAX_VERSIONS versions of each op (arguments: see `matrix`)."""
    _check(upstream, downstream)
    up, down = _mapped(snapshot, upstream, row), _mapped(snapshot, downstream, column)
    return list(_runs(_links(snapshot, up, down), up, down))


def _axes(
    snapshot: Snapshot, upstream: OpName, downstream: OpName, row: int | None, column: int | None
) -> tuple[Axis, Axis]:
    _check(upstream, downstream)
    return _axis(snapshot, upstream, row), _axis(snapshot, downstream, column)


def _check(upstream: OpName, downstream: OpName) -> None:
    if upstream == downstream:
        raise errors.InvalidRequest(reason=f"{upstream} can't be its own upstream")


def _axis(snapshot: Snapshot, name: OpName, start: int | None) -> Axis:
    op = ops.get(snapshot, name)
    newest = version_rows.first(snapshot, op.id)
    if newest is None:
        return Axis(op, [], 0)
    last_part = version_rows.sequences(snapshot, op.id, 0, DETAILED_VERSIONS, oldest_first=True)
    # At least the last part, whatever was removed below `start`.
    start = max(newest.sequence if start is None else min(start, newest.sequence), last_part[0])
    rows = version_rows.rows(snapshot, op.id, version_rows.older_than(start + 1), limit=DETAILED_VERSIONS)
    first, last = rows[0].sequence, rows[-1].sequence
    newer = version_rows.sequences(snapshot, op.id, first, DETAILED_VERSIONS, oldest_first=True)
    older = version_rows.first(snapshot, op.id, version_rows.older_than(last))
    map_start = newest.sequence - (newest.sequence - first) // MAX_VERSIONS * MAX_VERSIONS
    mapped = version_rows.sequences(snapshot, op.id, map_start - MAX_VERSIONS, MAX_VERSIONS, oldest_first=True)
    return Axis(
        op,
        rows,
        newest.sequence,
        newer[-1] if newer else None,
        None if older is None else older.sequence,
        None if older is None else last_part[-1],
        map_start,
        [sequence for sequence in mapped if sequence <= map_start],
    )


def _mapped(snapshot: Snapshot, name: OpName, start: int | None) -> Axis:
    """Return the versions of a map that begins at that sequence."""
    op = ops.get(snapshot, name)
    newest = version_rows.first(snapshot, op.id)
    highest = 0 if newest is None else newest.sequence
    start = highest if start is None else min(start, highest)
    where = version_rows.older_than(start + 1) & version_rows.newer_than(start - MAX_VERSIONS)
    return Axis(op, version_rows.rows(snapshot, op.id, where, limit=MAX_VERSIONS), highest)


def _links(snapshot: Snapshot, up: Axis, down: Axis) -> EdgeLinks:
    return edge_links(snapshot, up.op, up.versions, down.op, down.versions)


def _runs(links: EdgeLinks, up: Axis, down: Axis) -> Iterator[Run]:
    numbers = [version.number for version in down.versions]
    for row, version in enumerate(up.versions):
        column = 0
        for look, cells in groupby(_look(links.basis(version.number, number)) for number in numbers):
            count = sum(1 for _ in cells)
            yield Run(row, column, count, look)
            column += count


def _look(basis: Basis) -> CellLook:
    word = VERDICTS[basis]
    if word != "invalid":
        return word
    return "known-invalid" if basis == "known-invalid" else "not-validated"
