"""What a resolution can choose from (rules.resolution.Candidates), read from a view in blocks and kept for one search.

For an edge, the links of a downstream version are read with the block of candidates that it came in, the links to the
downstream op with the block of the upstream version. Which upstream candidates a downstream version accepts is then
found by their lines, so that versions that no link speaks of cost nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from typing import Literal

from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.rules.resolution import Edge
from opstore_daemon.rules.verdict import EdgeLinks
from opstore_daemon.store.catalog import link_queries, version_rows
from opstore_daemon.store.catalog.ops import OpRow
from opstore_daemon.store.catalog.version_rows import VersionRow, Where
from opstore_daemon.store.snapshot import Snapshot

Line = tuple[int, ...]


class Lazy:
    """Rows that are read by the block as somebody looks at them, and once."""

    def __init__(self, blocks: Iterator[list[VersionRow]]) -> None:
        self._blocks = blocks
        self._read: list[VersionRow] = []

    def __iter__(self) -> Iterator[VersionRow]:
        place = 0
        while True:
            while place < len(self._read):
                yield self._read[place]
                place += 1
            block = next(self._blocks, None)
            if block is None:
                return
            self._read += block


class Candidates:
    """The candidates of some ops, and which of them the edges accept.

    `overrides` replaces the candidates of some ops. With `accept_unknown`, edges whose verdict is unknown are accepted.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        ops: Mapping[str, OpRow],
        edges: Iterable[Edge],
        overrides: Mapping[str, "Override"],
        *,
        accept_unknown: bool,
    ) -> None:
        self._snapshot, self._ops, self._accept_unknown = snapshot, ops, accept_unknown
        self._conditions = {name: self._candidates(op, overrides.get(name)) for name, op in ops.items()}
        self._all: dict[str, Lazy] = {}
        self._lines: dict[tuple[str, Line], Lazy] = {}
        self._rows: dict[int, VersionRow] = {}
        self._blocks: dict[int, list[VersionRow]] = {}  # the block that a version came in, by its id
        self._edges = {edge: _EdgeReader(snapshot, ops[edge[0]], ops[edge[1]]) for edge in edges}

    def newest_first(self, op: str) -> Lazy:
        """The op's candidates, newest first."""
        if op not in self._all:
            self._all[op] = self._lazy(op)
        return self._all[op]

    def accepted_upstreams(self, edge: Edge, downstream: VersionRow) -> Iterator[VersionRow]:
        """The candidates of the upstream op that are valid for that version, newest first."""
        between = self._read(edge, None, downstream)
        fits: Callable[[VersionRow], bool] = lambda row: self.accepts(edge, row, downstream)  # noqa: E731
        if not between.is_known:
            return filter(fits, self.newest_first(edge[0])) if self._accept_unknown else iter(())
        if self._edges[edge].has_valid_for_op:
            return filter(fits, self.newest_first(edge[0]))
        if self._ops[edge[0]].compat == "exact":
            self._prefetch(edge[0], between.all_lines())
        streams = [self._of_line(edge[0], line) for line in between.lines_for(downstream.number)]
        return filter(fits, merge(*streams, key=lambda row: -row.sequence))

    def accepts(self, edge: Edge, upstream: VersionRow, downstream: VersionRow) -> bool:
        """Whether the edge is valid between these two (or, when accept_unknown, not invalid)."""
        between = self._read(edge, upstream, downstream)
        if self._accept_unknown and not between.is_known:
            return between.verdict(upstream.number, downstream.number).word != "invalid"
        return between.is_valid(upstream.number, downstream.number)

    def between(self, edge: Edge, upstream: VersionRow, downstream: VersionRow) -> EdgeLinks:
        """What is known of the edge, enough for the verdict of these two."""
        return self._read(edge, upstream, downstream)

    def _read(self, edge: Edge, upstream: VersionRow | None, downstream: VersionRow) -> EdgeLinks:
        upstreams = [] if upstream is None else self._blocks.get(upstream.id, [upstream])
        return self._edges[edge].read(upstreams, self._blocks.get(downstream.id, [downstream]))

    def _of_line(self, op: str, line: Line) -> Lazy:
        if (op, line) not in self._lines:
            self._lines[op, line] = self._lazy(op, version_rows.with_number_prefix(line))
        return self._lines[op, line]

    def _prefetch(self, op: str, lines: Iterable[Line]) -> None:
        """Where a line is a single version: a query for many of them, not one for each."""
        missing = [line for line in lines if (op, line) not in self._lines]
        for start in range(0, len(missing), version_rows.BLOCK):
            some = missing[start : start + version_rows.BLOCK]
            found = {row.number: row for row in self._lazy(op, version_rows.with_numbers(some))}
            for line in some:
                self._lines[op, line] = Lazy(
                    iter([[found[VersionNumber(*line)]]] if VersionNumber(*line) in found else [])
                )

    def _lazy(self, op: str, where: Where = version_rows.ALL) -> Lazy:
        return Lazy(self._known(version_rows.blocks(self._snapshot, self._ops[op].id, self._conditions[op] & where)))

    def _known(self, blocks: Iterator[list[VersionRow]]) -> Iterator[list[VersionRow]]:
        """The blocks, each version as the same row however often it is read."""
        for block in blocks:
            rows = [self._rows.setdefault(row.id, row) for row in block]
            for row in rows:
                self._blocks.setdefault(row.id, rows)
            yield rows

    def _candidates(self, op: OpRow, among: "Override | None") -> Where:
        if among is None:
            return version_rows.candidates(self._snapshot, op.id)
        if among.kind == "only":
            return version_rows.with_id(among.version.id)
        older = version_rows.older_than(among.version.sequence) if among.kind == "latest" else version_rows.ALL
        return version_rows.either(among.version, version_rows.candidates(self._snapshot, op.id) & older)


@dataclass(frozen=True, slots=True)
class Override:
    """What an op's candidates are but the usual ones: a version that counts as its latest, its only one, or one more.

    It is named, so it may be yanked.
    """

    version: VersionRow
    kind: Literal["latest", "only", "extra"]


class _EdgeReader:
    """The links of one edge, as far as they were read."""

    def __init__(self, snapshot: Snapshot, upstream: OpRow, downstream: OpRow) -> None:
        self._snapshot, self._upstream, self._downstream = snapshot, upstream, downstream
        self._between = EdgeLinks(upstream.name, downstream.name, upstream.compat)
        self._between.add(link_queries.newest_valid(snapshot, upstream, downstream))
        self.has_valid_for_op = link_queries.any_valid_for_op(snapshot, upstream, downstream)
        self._ups: set[int] = set()
        self._downs: set[int] = set()

    def read(self, upstreams: Sequence[VersionRow], downstreams: Sequence[VersionRow]) -> EdgeLinks:
        """All that is in force for these versions."""
        if downstreams and downstreams[0].id not in self._downs:
            self._between.add(link_queries.to_versions(self._snapshot, self._upstream, self._downstream, downstreams))
            self._downs |= {row.id for row in downstreams}
        if upstreams and upstreams[0].id not in self._ups:
            self._between.add(link_queries.of_versions(self._snapshot, self._upstream, upstreams, self._downstream, []))
            self._ups |= {row.id for row in upstreams}
        return self._between
