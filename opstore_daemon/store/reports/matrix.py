"""The matrix: which versions of an upstream op are valid for which versions of a downstream op.

Rows are upstream versions, columns downstream versions, the newest first. Sequences leave no gap, so any part of the
matrix is found by them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import VerdictWord
from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.rules.verdict import EdgeLinks, Verdict
from opstore_daemon.store.catalog import link_queries, ops, version_rows
from opstore_daemon.store.catalog.ops import OpRow
from opstore_daemon.store.catalog.version_rows import VersionRow
from opstore_daemon.store.snapshot import Snapshot

DETAILED_VERSIONS = 25  # versions of each op that are told with reasons
MAX_VERSIONS = 20 * DETAILED_VERSIONS  # versions of each op that are told without


@dataclass(frozen=True, slots=True)
class Axis:
    """The versions of one op that are looked at, newest first; `newest` is the op's highest sequence, 0 for none."""

    op: OpRow
    versions: list[VersionRow]
    newest: int


@dataclass(frozen=True, slots=True)
class Matrix:
    """A part of the matrix. Where the downstream op has no version, the one column is for none of its versions."""

    upstream: Axis
    downstream: Axis
    rows: list[list[Verdict]]


@dataclass(frozen=True, slots=True)
class Run:
    """Cells of one row that have the same verdict: of `count` columns from `column` on."""

    row: int
    column: int
    count: int
    verdict: VerdictWord


def matrix(snapshot: Snapshot, upstream: str, downstream: str, row: int | None, column: int | None) -> Matrix:
    """Return the verdicts with reasons of at most DETAILED_VERSIONS versions of each op, from these sequences down.

    None is the newest version. Raises OpNotFound, and InvalidRequest if the two ops are the same.
    """
    up, down = _axes(snapshot, upstream, downstream, row, column, DETAILED_VERSIONS)
    between = _between(snapshot, up, down)
    columns: list[VersionNumber | None] = [version.number for version in down.versions]
    columns = columns or [None]
    rows = [[between.verdict(version.number, number) for number in columns] for version in up.versions]
    return Matrix(up, down, rows)


def matrix_map(snapshot: Snapshot, upstream: str, downstream: str, row: int | None, column: int | None) -> list[Run]:
    """Return the verdicts without their reasons, of at most MAX_VERSIONS versions of each op; otherwise as `matrix`."""
    up, down = _axes(snapshot, upstream, downstream, row, column, MAX_VERSIONS)
    return list(_runs(_between(snapshot, up, down), up, down))


def _axes(
    snapshot: Snapshot, upstream: str, downstream: str, row: int | None, column: int | None, limit: int
) -> tuple[Axis, Axis]:
    if upstream == downstream:
        raise errors.InvalidRequest(reason=f"{upstream} can't be its own upstream")
    return _axis(snapshot, upstream, row, limit), _axis(snapshot, downstream, column, limit)


def _axis(snapshot: Snapshot, name: str, first: int | None, limit: int) -> Axis:
    op = ops.get(snapshot, name)
    newest = version_rows.first(snapshot, op.id)
    highest = 0 if newest is None else newest.sequence
    below = min(highest if first is None else first, highest) + 1
    return Axis(op, version_rows.rows(snapshot, op.id, version_rows.older_than(below), limit=limit), highest)


def _between(snapshot: Snapshot, up: Axis, down: Axis) -> EdgeLinks:
    found = link_queries.relevant_links(snapshot, up.op, up.versions, down.op, down.versions)
    return EdgeLinks(up.op.name, down.op.name, up.op.compat, found)


def _runs(between: EdgeLinks, up: Axis, down: Axis) -> Iterator[Run]:
    numbers = [version.number for version in down.versions]
    for row, version in enumerate(up.versions):
        column = 0
        for word, cells in groupby(between.word(version.number, number) for number in numbers):
            count = sum(1 for _ in cells)
            yield Run(row, column, count, word)
            column += count
